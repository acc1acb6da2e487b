"""Draws a passive crossbar: lines, devices at the crossings, pads, cuts and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineMissingError, install_command
from xbarspice.core.types import Flags
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb
    from matplotlib.figure import Figure

__all__ = [
    "LARGEST_PICTURE",
    "Grid",
    "Plain",
    "draw",
    "figure",
    "klayout_db",
    "picture",
    "read",
    "save",
]

LARGEST_PICTURE = 1024
"""Most crossings of an array that is worth a picture; larger ones show nothing."""


def klayout_db() -> Any:
    """The module `klayout.db`, loaded on first use.

    Raises:
        EngineMissingError: it is not installed.
    """
    try:
        import klayout.db
    except ImportError as error:
        raise EngineMissingError(
            "layout and LVS need KLayout's Python package, which is not installed. "
            f"Install it: {install_command('klayout')}."
        ) from error
    return klayout.db


Layer = tuple[int, int]


@dataclass(frozen=True)
class Line:
    """Metal of one direction: layers, width in um, typical ohm a square."""

    layer: Layer
    label: Layer
    width: float
    sheet: float


@dataclass(frozen=True)
class Part:
    """A square of one layer, um."""

    layer: Layer
    size: float


@dataclass(frozen=True)
class Pad(Part):
    """Land; `lead` um from its edge to the centre of the first cell."""

    lead: float


@dataclass(frozen=True)
class Cut(Part):
    """`count` x `count` cuts in every pad, ohm a cut."""

    pitch: float
    count: int
    resistance: float


@dataclass(frozen=True)
class Plain:
    """What this drawing takes of a technology: one land and one kind of cut a line end."""

    dbu: float
    pitch: float
    word_line: Line
    bit_line: Line
    device: Part
    pad: Pad
    via: Cut

    @classmethod
    def of(cls, technology: Technology) -> Plain:
        """The first electrode pair, and the via below the last metal."""
        typical, pitch = technology.at("typ"), max(technology.array.pitch)
        lines = []
        for line in (technology.array.word_line, technology.array.bit_line):
            metal = technology.metals[line.metal]
            label = metal.label or metal.layer
            lines.append(Line(metal.layer, label, line.width, typical.sheet[metal.name]))
        via = technology.vias[technology.array.landing.bit_line[-2]]
        land = round(0.8 * pitch / (2 * technology.grid)) * 2 * technology.grid
        return cls(
            dbu=technology.dbu,
            pitch=pitch,
            word_line=lines[0],
            bit_line=lines[1],
            device=Part(technology.device.layer, min(technology.device.size)),
            pad=Pad(technology.metal[-1].layer, land, 2.5 * pitch),
            via=Cut(via.layer, via.size, via.size + via.space, 2, typical.via[via.name]),
        )

    def wires(self) -> dict[str, float]:
        """Resistances in ohm that the geometry gives: R_wl, R_bl, R_driver, R_sense."""
        via = self.via.resistance / self.via.count**2
        wl, bl = (line.sheet / line.width for line in (self.word_line, self.bit_line))
        return {
            "R_wl": wl * self.pitch,
            "R_bl": bl * self.pitch,
            "R_driver": wl * self.pad.lead + via,
            "R_sense": bl * self.pad.lead + via,
        }


class Grid:
    """Where everything stands, in database units: column 0 at x = 0, the last row at y = 0."""

    def __init__(self, rows: int, cols: int, technology: Technology) -> None:
        self.rows, self.cols, self.technology = rows, cols, Plain.of(technology)

    def units(self, um: float) -> int:
        """Database units of a length in um."""
        return round(um / self.technology.dbu)

    def x(self, col: int) -> int:
        """Centre of a bit line."""
        return col * self.units(self.technology.pitch)

    def y(self, row: int) -> int:
        """Centre of a word line; row 0 is the top."""
        return (self.rows - 1 - row) * self.units(self.technology.pitch)

    def pad(self, kind: str, line: int) -> tuple[int, int]:
        """Centre of the pad of a word line ("WL", left) or a bit line ("BL", at the bottom)."""
        t = self.technology
        out = -self.units(t.pad.lead) - self.units(t.pad.size) // 2
        return (out, self.y(line)) if kind == "WL" else (self.x(line), out)

    def cells_in(self, box: kdb.Box) -> list[tuple[int, int]]:
        """Crossings (row, column) whose centres lie in a box."""
        pitch = self.units(self.technology.pitch)
        cols = range(max(0, -(-box.left // pitch)), min(self.cols - 1, box.right // pitch) + 1)
        low, high = max(0, -(-box.bottom // pitch)), min(self.rows - 1, box.top // pitch)
        return [(self.rows - 1 - k, c) for k in range(low, high + 1) for c in cols]


def draw(crossbar: Crossbar, technology: Technology, name: str = "crossbar") -> kdb.Layout:
    """Draw one array.

    The crossing is a cell of its own that is placed wherever a device is present (G > 0), row by
    row as regular arrays: a large array takes as few records as it has rows.

    Args:
        crossbar: a single array; only its shape and which devices are absent matter.
        technology: layers and dimensions.
        name: name of the top cell, with which those of the others begin.

    Raises:
        EngineMissingError: KLayout's package is not installed.
    """
    kdb = klayout_db()
    layout = kdb.Layout()
    layout.dbu = technology.dbu
    grid = Grid(crossbar.rows, crossbar.cols, technology)
    top = layout.create_cell(name)
    device = layout.create_cell(f"{name}__device")
    half = grid.units(grid.technology.device.size) // 2
    device.shapes(layout.layer(*technology.device.layer)).insert(kdb.Box(-half, -half, half, half))
    for r, present in enumerate(crossbar.G_flat[0] > 0):
        for first, stop in _runs(present):
            top.insert(_row(device.cell_index(), grid, r, first, stop - first))
    pad = _pad_cell(layout, grid, f"{name}__pad")
    for r in range(crossbar.rows):
        _line(layout, top, pad, grid, "WL", r)
    for c in range(crossbar.cols):
        _line(layout, top, pad, grid, "BL", c)
    return layout


def _runs(present: Flags) -> list[tuple[int, int]]:
    """First and last + 1 of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _row(cell: int, grid: Grid, row: int, col: int, count: int) -> kdb.CellInstArray:
    """Neighbouring crossings of one word line."""
    kdb, pitch = klayout_db(), grid.units(grid.technology.pitch)
    at, nothing = kdb.Trans(grid.x(col), grid.y(row)), kdb.Vector(0, 0)
    return kdb.CellInstArray(cell, at, kdb.Vector(pitch, 0), nothing, count, 1)


def _pad_cell(layout: kdb.Layout, grid: Grid, name: str) -> kdb.Cell:
    """Land and cuts; the metal below belongs to the line."""
    kdb, t = klayout_db(), grid.technology
    cell = layout.create_cell(name)
    half = grid.units(t.pad.size) // 2
    cell.shapes(layout.layer(*t.pad.layer)).insert(kdb.Box(-half, -half, half, half))
    cut, step = grid.units(t.via.size) // 2, grid.units(t.via.pitch)
    first = -step * (t.via.count - 1) // 2
    shapes = cell.shapes(layout.layer(*t.via.layer))
    for k in range(t.via.count):
        for m in range(t.via.count):
            x, y = first + k * step, first + m * step
            shapes.insert(kdb.Box(x - cut, y - cut, x + cut, y + cut))
    return cell


def _line(
    layout: kdb.Layout, top: kdb.Cell, pad: kdb.Cell, grid: Grid, kind: str, line: int
) -> None:
    """Metal, pad and label of one line."""
    kdb, t = klayout_db(), grid.technology
    metal, crossing, last = (
        (t.word_line, t.bit_line, grid.x(grid.cols - 1))
        if kind == "WL"
        else (t.bit_line, t.word_line, grid.y(0))
    )
    half = grid.units(metal.width) // 2
    wire = (-grid.units(t.pad.lead), last + grid.units(crossing.width) // 2)
    x, y = grid.pad(kind, line)
    land = grid.units(t.pad.size) // 2
    shapes = top.shapes(layout.layer(*metal.layer))
    if kind == "WL":
        shapes.insert(kdb.Box(wire[0], y - half, wire[1], y + half))
    else:
        shapes.insert(kdb.Box(x - half, wire[0], x + half, wire[1]))
    shapes.insert(kdb.Box(x - land, y - land, x + land, y + land))
    top.insert(kdb.CellInstArray(pad.cell_index(), kdb.Trans(x, y)))
    _label(layout, top, metal, f"{kind}<{line}>", x, y)


def _label(layout: kdb.Layout, top: kdb.Cell, line: Line, text: str, x: int, y: int) -> None:
    kdb = klayout_db()
    top.shapes(layout.layer(*line.label)).insert(kdb.Text(text, kdb.Trans(x, y)))


def save(layout: kdb.Layout, folder: Path, stem: str) -> list[Path]:
    """Write GDSII and OASIS without dates, so that equal drawings are equal files."""
    kdb = klayout_db()
    paths = []
    for suffix, form in ((".gds", "GDS2"), (".oas", "OASIS")):
        options = kdb.SaveLayoutOptions()
        options.format = form
        options.gds2_write_timestamps = False
        paths.append(folder / f"{stem}{suffix}")
        layout.write(str(paths[-1]), options)
    return paths


def read(path: Path) -> kdb.Layout:
    """Read a GDSII or OASIS file."""
    layout = klayout_db().Layout()
    layout.read(str(path))
    return layout


def picture(layout: kdb.Layout, technology: Technology, path: Path) -> None:
    """Draw the layout as a PNG picture with its labels."""
    figure(layout, technology).savefig(path)


def figure(layout: kdb.Layout, technology: Technology) -> Figure:
    """The layout with its labels as a matplotlib figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    kdb, dbu = klayout_db(), layout.dbu
    t = Plain.of(technology)
    parts = (
        ("word line", t.word_line.layer, "#3b6fb6", 0.75),
        ("bit line", t.bit_line.layer, "#d9822b", 0.6),
        ("device", t.device.layer, "#222222", 1),
        ("pad", t.pad.layer, "#8a8f98", 0.45),
        ("cut", t.via.layer, "#ffffff", 1),
    )
    page = Figure(figsize=(6.4, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(page)
    axes = page.add_subplot()
    top = layout.top_cell()
    for order, (_, layer, colour, alpha) in enumerate(parts):
        region = kdb.Region(top.begin_shapes_rec(layout.layer(*layer))).merged()
        pieces = (b.bbox() for polygon in region.each() for b in polygon.decompose_convex())
        boxes = [
            Rectangle((b.left * dbu, b.bottom * dbu), b.width() * dbu, b.height() * dbu)
            for b in pieces
        ]
        axes.add_collection(
            PatchCollection(boxes, facecolor=colour, alpha=alpha, linewidth=0, zorder=order)
        )
    for label in (t.word_line.label, t.bit_line.label):
        for shape in top.shapes(layout.layer(*label)).each():
            x, y = shape.text.x * dbu, shape.text.y * dbu
            word = label == t.word_line.label
            gap = t.pad.size / 2 + 0.4
            if word:
                axes.text(x - gap, y, shape.text.string, fontsize=7, ha="right", va="center")
            else:
                place = (x, y - gap)
                axes.text(*place, shape.text.string, fontsize=7, ha="center", va="top", rotation=90)
    box = top.bbox()
    axes.set_xlim(box.left * dbu - 3.2, box.right * dbu + 0.6)
    axes.set_ylim(box.bottom * dbu - 3.2, box.top * dbu + 0.6)
    axes.set_aspect("equal")
    axes.set_xlabel("x (um)")
    axes.set_ylabel("y (um)")
    names = [Patch(facecolor=c, alpha=a, label=n) for n, _, c, a in parts[:4]]
    page.legend(handles=names, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return page
