"""The field solution of single lines of a layout file, which nobody but the file describes."""

from __future__ import annotations

import klayout.db as kdb
import numpy as np

from tests.unit.tapeout.sheets import Sheets


class DrawnLines:
    """A layout file of one array with a device at some crossing of its first row and column."""

    def __init__(self, path, technology):
        self.technology = technology
        self.layout = kdb.Layout()
        self.layout.read(str(path))
        self.dbu = self.layout.dbu
        (self.top,) = self.layout.top_cells()
        every = (*technology.metal, *technology.via)
        self.parts = {part.name: self._region(part.layer) for part in every}
        self.pins = {metal.name: self._region(metal.pin) for metal in technology.metal}
        devices = self._region(technology.device.layer)
        centres = np.array([(b.center().x, b.center().y) for b in (d.bbox() for d in devices)])
        self.x = np.unique(centres[:, 0]) * self.dbu
        self.y = np.unique(centres[:, 1]) * self.dbu

    def _region(self, layer):
        number = self.layout.find_layer(*layer)
        if number is None:
            return kdb.Region()
        return kdb.Region(self.top.begin_shapes_rec(number)).merged()

    def pads(self, kind):
        """Metal and place, um, of the label of every line that stands furthest from the array."""
        out = {}
        for metal in self.technology.metal:
            number = self.layout.find_layer(*metal.label)
            for shape in self.top.begin_shapes_rec(number) if number is not None else ():
                text = shape.shape().text_string
                if text.startswith(f"{kind}<"):
                    at = shape.trans() * shape.shape().text_pos
                    place = metal.name, (at.x * self.dbu, at.y * self.dbu)
                    out.setdefault(int(text[3:-1]), []).append(place)
        return {line: max(at, key=lambda p: np.hypot(*p[1])) for line, at in out.items()}

    def metal_of(self, kind, number):
        """Metal and cuts that touch the pad of a line, and nothing else, as a cell of its own."""
        t, (name, (x, y)) = self.technology, self.pads(kind)[number]
        spot = kdb.Region(kdb.Box(*(round(v / self.dbu) for v in (x - 0.1, y - 0.1, x, y))))
        net = {part: kdb.Region() for part in self.parts}
        net[name] = self.parts[name].interacting(spot)
        size = -1
        while size != (size := sum(region.count() for region in net.values())):
            for via in t.via:
                metals = net[via.lower] + net[via.upper]
                net[via.name] = self.parts[via.name].interacting(metals)
                for side in (via.lower, via.upper):
                    net[side] += self.parts[side].interacting(net[via.name])
                    net[side].merge()
        layout = kdb.Layout()
        layout.dbu = self.dbu
        cell = layout.create_cell("line")
        for part in (*t.metal, *t.via):
            cell.shapes(layout.layer(*part.layer)).insert(net[part.name])
        for metal in t.metal:
            cell.shapes(layout.layer(*metal.pin)).insert(self.pins[metal.name].interacting(spot))
        layout.layer(*t.device.layer)
        return layout, cell

    def lead(self, kind, number):
        """From the pad to the crossing next to it, ohm: 1 A from the far end of the line."""
        layout, cell = self.metal_of(kind, number)
        t, (_, pad) = self.technology, self.pads(kind)[number]
        line = t.array.word_line if kind == "WL" else t.array.bit_line
        w, h = t.device.size
        index = [m.name for m in t.metal].index(line.metal)
        ends = cell.bbox_per_layer(layout.find_layer(*t.metal[index].layer)).to_dtype(self.dbu)
        if kind == "WL":
            x, y = self.x[0], self.y[::-1][number]
            tip = self.x[-1] + w / 2, y - line.width / 2, ends.right, y + line.width / 2
        else:
            x, y = self.x[number], self.y[0]
            tip = x - line.width / 2, self.y[-1] + h / 2, x + line.width / 2, ends.top
        sheets = Sheets(cell, t)
        V = sheets.potentials(pad, index, tip)
        return sheets.mean(V, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
