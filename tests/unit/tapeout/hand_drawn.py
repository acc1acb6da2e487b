"""Arrays that are drawn here, box by box, so that extraction is tested on what nobody promised."""

from __future__ import annotations

from dataclasses import dataclass

import klayout.db as kdb
import numpy as np

from xbarspice.tapeout.technology import Technology, load_technology

TECHNOLOGIES = ("demo", "sky130b")
PAD, STEP = 20.0, 30.0
"""Size of a pad and distance to the next, um."""


@dataclass(kw_only=True)
class HandDrawn:
    """A layout of one array: word lines leave to the left, bit lines at the bottom."""

    technology: Technology
    rows: int
    cols: int
    layout: kdb.Layout
    cell: kdb.Cell
    pad_size: float = PAD
    step: float = STEP

    def x(self, col):
        return col * self.technology.array.pitch[0]

    def y(self, row):
        return (self.rows - 1 - row) * self.technology.array.pitch[1]

    def layer(self, name):
        t = self.technology
        if name == "device":
            return self.layout.layer(*t.device.layer)
        parts = {part.name: part.layer for part in (*t.metal, *t.via)}
        return self.layout.layer(*parts[name])

    def box(self, name, x0, y0, x1, y1):
        """Draw a box, um."""
        self.cell.shapes(self.layer(name)).insert(self.units(x0, y0, x1, y1))

    def units(self, *um):
        return kdb.Box(*(round(v / self.layout.dbu) for v in um))

    def erase(self, name, x0, y0, x1, y1):
        """Take a box out of a layer."""
        shapes = self.cell.shapes(self.layer(name))
        region = kdb.Region(shapes) - kdb.Region(self.units(x0, y0, x1, y1))
        shapes.clear()
        shapes.insert(region.merged())

    def move(self, name, x0, y0, x1, y1, dx, dy):
        """Move what lies within a box."""
        shapes = self.cell.shapes(self.layer(name))
        every, box = kdb.Region(shapes), kdb.Region(self.units(x0, y0, x1, y1))
        inside = every.inside(box)
        moved = inside.moved(round(dx / self.layout.dbu), round(dy / self.layout.dbu))
        remaining = every.not_inside(box)
        shapes.clear()
        shapes.insert(remaining)
        shapes.insert(moved)

    def label(self, name, text, x, y):
        metal = self.technology.metals[name]
        at = kdb.Trans(round(x / self.layout.dbu), round(y / self.layout.dbu))
        self.cell.shapes(self.layout.layer(*metal.label)).insert(kdb.Text(text, at))

    def relabel(self, names):
        """Write other texts: old name -> new name, None for no label."""
        for metal in self.technology.metal:
            shapes = self.cell.shapes(self.layout.layer(*metal.label))
            for shape in list(shapes.each()):
                if shape.is_text() and shape.text.string in names:
                    text, new = shape.text, names[shape.text.string]
                    shapes.erase(shape)
                    if new is not None:
                        shapes.insert(kdb.Text(new, text.trans))

    def pad(self, kind, line):
        """Centre of a pad, um."""
        return self.pads[kind, line]

    def device(self, row, col, size=None, dx=0.0, dy=0.0):
        w, h = size or self.technology.device.size
        x, y = self.x(col) + dx, self.y(row) + dy
        self.box("device", x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def hand_drawn(name="sky130b", G=None, rows=4, cols=3, pad_size=PAD, step=STEP):
    """A layout without any hierarchy."""
    t = name if isinstance(name, Technology) else load_technology(name)
    G = np.ones((rows, cols)) if G is None else G
    layout = kdb.Layout()
    layout.dbu = t.dbu
    drawn = HandDrawn(
        technology=t,
        rows=G.shape[0],
        cols=G.shape[1],
        layout=layout,
        cell=layout.create_cell("die"),
        pad_size=pad_size,
        step=step,
    )
    drawn.pads = {}
    for r, c in np.argwhere(G > 0).tolist():
        drawn.device(r, c)
    for r in range(drawn.rows):
        _word_line(drawn, r)
    for c in range(drawn.cols):
        _bit_line(drawn, c)
    return drawn


def _word_line(d, r):
    t = d.technology
    line, y, out = t.array.word_line, d.y(r), 4 * t.array.pitch[0]
    right = d.x(d.cols - 1) + t.device.size[0] / 2 + line.extension
    d.box(line.metal, -out, y - line.width / 2, right, y + line.width / 2)
    top = _landing(d, t.array.landing.word_line, -out, y)
    w = t.metals[top].width
    lane, height = -out - 3.0 - 2 * w * r, d.y(0) + d.step + d.step * (d.rows - 1 - r)
    d.box(top, lane - w / 2, y - w / 2, -out, y + w / 2)
    d.box(top, lane - w / 2, y - w / 2, lane + w / 2, height + w / 2)
    column = -out - 10.0 - 2 * w * d.rows
    d.box(top, column, height - w / 2, lane + w / 2, height + w / 2)
    _pad(d, top, f"WL<{r}>", column - d.pad_size / 2, height)
    d.pads["WL", r] = column - d.pad_size / 2, height


def _bit_line(d, c):
    t = d.technology
    line, x, out = t.array.bit_line, d.x(c), 4 * t.array.pitch[1]
    top_end = d.y(0) + t.device.size[1] / 2 + line.extension
    d.box(line.metal, x - line.width / 2, -out, x + line.width / 2, top_end)
    top = _landing(d, t.array.landing.bit_line, x, -out)
    w = t.metals[top].width
    depth = -out - 3.0 - 2 * w * (d.cols - 1 - c)
    across = d.x(d.cols - 1) + d.step + d.step * c
    d.box(top, x - w / 2, depth - w / 2, x + w / 2, -out)
    d.box(top, x - w / 2, depth - w / 2, across + w / 2, depth + w / 2)
    row = -out - 10.0 - 2 * w * d.cols
    d.box(top, across - w / 2, row, across + w / 2, depth + w / 2)
    _pad(d, top, f"BL<{c}>", across, row - d.pad_size / 2)
    d.pads["BL", c] = across, row - d.pad_size / 2


def _pad(d, metal, text, x, y):
    half = d.pad_size / 2
    d.box(metal, x - half, y - half, x + half, y + half)
    pin = d.technology.metals[metal].pin
    box = d.units(x - half, y - half, x + half, y + half)
    d.cell.shapes(d.layout.layer(*pin)).insert(box)
    d.label(metal, text, x, y)


def _landing(d, stack, x, y):
    """Metals and one cut of each via; the name of the top metal."""
    t = d.technology
    for name in stack[::2]:
        half = max(t.metals[name].width / 2, *(_land_half(t, via, name) for via in stack[1::2]))
        d.box(name, x - half, y - half, x + half, y + half)
    for name in stack[1::2]:
        half = t.vias[name].size / 2
        d.box(name, x - half, y - half, x + half, y + half)
    return stack[-1]


def _land_half(t, via, metal):
    rule = t.vias[via]
    side = {rule.lower: rule.enclosure.lower, rule.upper: rule.enclosure.upper}.get(metal)
    return 0.0 if side is None else rule.size / 2 + side.along
