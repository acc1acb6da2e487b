"""Extracts the netlist of a drawn crossbar with KLayout: crossings are nodes, metal is segments.

A node is where the metals of both directions cross, or a pad. The metal between two nodes is one
resistance of ``sheet * distance / width``, the distance from centre to centre (for a pad: from its
edge), the width that of the drawn metal. The switching layer between the two metals of a crossing
is a device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from xbarspice.tapeout.layout import Grid, Line, klayout_db

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Extracted", "Fault", "extract"]

_A, _B = 0, 1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong at one place of the drawing.

    Attributes:
        kind: "short", "open", "missing device", "extra device", "label", "value" or "mismatch".
        place: the place in words.
        x, y: its centre in um; NaN if it has none.
    """

    kind: str
    place: str
    x: float = float("nan")
    y: float = float("nan")

    def __str__(self) -> str:
        return f"{self.kind}: {self.place} (at {self.x:.3f}, {self.y:.3f} um)"


@dataclass(kw_only=True)
class Extracted:
    """What KLayout extracted from a drawing.

    Attributes:
        netlist: the extracted netlist (kept alive by `source`).
        devices: plain element name (``w_0_1``, ``wl_0``, ``d_2_3``) -> resistance in ohm, or None
            for a device.
        faults: shapes that are no segment and no device.
        labels: (label, line it stands on) of every label.
    """

    netlist: Any = None
    source: Any = None
    devices: dict[str, float | None] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    labels: list[tuple[str, str]] = field(default_factory=list)


def extract(layout: kdb.Layout, grid: Grid) -> Extracted:
    """Extract a drawing.

    Args:
        layout: a drawing as `draw` makes it, read from a file or changed since.
        grid: the array that it is meant to be.
    """
    kdb, t = klayout_db(), grid.technology
    out = Extracted()
    flat = layout.dup()
    flat.top_cell().flatten(-1, True)
    l2n = kdb.LayoutToNetlist(kdb.RecursiveShapeIterator(flat, flat.top_cell(), []))
    make = l2n.make_layer
    cuts = kdb.Region(flat.top_cell().shapes(flat.layer(*t.via.layer)))
    layers = {"wl": t.word_line, "bl": t.bit_line, "dev": t.device, "pad": t.pad}
    wl, bl, dev, pad = (make(flat.layer(*part.layer), name) for name, part in layers.items())
    label_layers = {
        kind: l2n.make_text_layer(flat.layer(*line.label), f"{kind} label")
        for kind, line in (("WL", t.word_line), ("BL", t.bit_line))
    }
    nodes: dict[str, Any] = {}
    shapes: list[_Shape] = []
    for kind, metal, crossing in (("WL", wl, bl), ("BL", bl, wl)):
        nodes[kind] = (metal & crossing) + (metal & pad)
        l2n.register(nodes[kind], f"{kind} node")
        body = metal - crossing - pad
        l2n.register(body, f"{kind} body")
        _find_shorted_nodes(metal & crossing, kind, grid, out)
        extractor = _segment_extractor(kind, shapes)
        l2n.extract_devices(extractor, {"body": body, "node": nodes[kind]})
    devices = dev & wl & bl
    l2n.register(devices, "device")
    terminals = {"dev": devices, "wl": nodes["WL"], "bl": nodes["BL"]}
    l2n.extract_devices(_device_extractor(shapes), terminals)
    for stray in (dev - (wl & bl)).merged().each():
        place = "a device shape stands beside its crossing"
        out.faults.append(Fault(kind="extra device", place=place, **_um(grid, stray.bbox())))
    for kind in ("WL", "BL"):
        l2n.connect(nodes[kind])
        l2n.connect(nodes[kind], label_layers[kind])
    l2n.extract_netlist()
    out.netlist, out.source = l2n.netlist(), (l2n, flat)
    _place_segments(grid, out.netlist, shapes, cuts, out)
    out.labels = list(_labels(flat, grid))
    return out


class _Shape(NamedTuple):
    """A body with all nodes that it touches and the two of one device, at KLayout's own origin."""

    kind: str
    body: kdb.Polygon
    nodes: list[kdb.Box]
    a: kdb.Box
    b: kdb.Box

    @property
    def ends(self) -> tuple[kdb.Box, kdb.Box]:
        return self.a, self.b


def _um(grid: Grid, box: kdb.Box) -> dict[str, float]:
    centre = box.center()
    return {"x": centre.x * grid.technology.dbu, "y": centre.y * grid.technology.dbu}


def _node_place(grid: Grid, kind: str, box: kdb.Box) -> tuple[str, int, int] | None:
    """("cell", row, col) or ("pad", line, 0) of a node; None if it is neither."""
    cells = grid.cells_in(box)
    if cells:
        return ("cell", *cells[0])
    count = grid.rows if kind == "WL" else grid.cols
    centre = box.center()
    pitch = grid.units(grid.technology.pitch)
    line = round(centre.x / pitch) if kind == "BL" else grid.rows - 1 - round(centre.y / pitch)
    if 0 <= line < count and box.contains(klayout_db().Point(*grid.pad(kind, line))):
        return ("pad", line, 0)
    return None


_WORD = {"WL": "word", "BL": "bit"}


def _find_shorted_nodes(crossings: kdb.Region, kind: str, grid: Grid, out: Extracted) -> None:
    """Crossings that reach over more than one cell: lines joined along a crossing line."""
    for polygon in crossings.merged().each():
        lines = sorted({cell[0 if kind == "WL" else 1] for cell in grid.cells_in(polygon.bbox())})
        if len(lines) > 1:
            place = f"{_WORD[kind]} lines {lines[0]} and {lines[1]} are joined"
            out.faults.append(Fault(kind="short", place=place, **_um(grid, polygon.bbox())))


def _segment_name(kind: str, places: list[tuple[str, int, int]]) -> str | None:
    """Element name of the segment between two nodes; None if they are no neighbours."""
    (a, *at_a), (b, *at_b) = sorted(places, reverse=True)
    if (a, b) == ("pad", "cell"):
        line, cell_line = at_a[0], at_b[0 if kind == "WL" else 1]
        return None if line != cell_line else f"{'wl' if kind == 'WL' else 'bb'}_{line}"
    if (a, b) != ("cell", "cell"):
        return None
    (r0, c0), (r1, c1) = sorted((at_a, at_b))
    if kind == "WL" and r0 == r1 and c1 == c0 + 1:
        return f"w_{r0}_{c0}"
    if kind == "BL" and c0 == c1 and r1 == r0 + 1:
        return f"b_{r0}_{c0}"
    return None


def _short_place(kind: str, places: list[tuple[str, int, int]]) -> str:
    axis = 1 if kind == "WL" else 2
    lines = sorted({p[1] if p[0] == "pad" else p[axis] for p in places})
    along = sorted({p[3 - axis] for p in places if p[0] == "cell"})
    where = f" near {'column' if kind == 'WL' else 'row'} {along[0]}" if along else " at the pads"
    if len(lines) > 1:
        return f"{_WORD[kind]} lines {lines[0]} and {lines[1]} are joined{where}"
    return f"{_WORD[kind]} line {lines[0]} is joined to itself{where}"


def _resistance(
    kind: str, line: Line, grid: Grid, body: kdb.Polygon, touched: list[tuple[Any, Any]], vias: Any
) -> float:
    """Sheet resistance times squares from centre to centre, and the cuts of a pad.

    The squares of the metal itself are summed slice by slice, so that a narrow place counts; the
    halves of the crossings count with the line's width.
    """
    kdb, t = klayout_db(), grid.technology
    squares, half, extra = _squares(kind, body), 0.0, 0.0
    for place, box in touched:
        if place is None or place[0] == "cell":
            half += (box.width() if kind == "WL" else box.height()) / 2
        else:
            cuts = (vias & kdb.Region(box)).count()
            extra += t.via.resistance / cuts if cuts else float("inf")
    return line.sheet * (squares + half / grid.units(line.width)) + extra


def _squares(kind: str, body: kdb.Polygon) -> float:
    """Length over width of a piece of metal, in the direction of its line."""
    kdb, box = klayout_db(), body.bbox()
    if body.is_box():
        long, wide = box.width(), box.height()
        return long / wide if kind == "WL" else wide / long
    region, total = kdb.Region(body), 0.0
    cuts = sorted({p.x if kind == "WL" else p.y for p in body.each_point_hull()})
    for low, high in itertools.pairwise(cuts):
        if kind == "WL":
            piece = kdb.Box(low, box.bottom, high, box.top)
        else:
            piece = kdb.Box(box.left, low, box.right, high)
        total += (high - low) ** 2 / (region & kdb.Region(piece)).area()
    return total


def _segment_extractor(kind: str, shapes: list[_Shape]) -> Any:
    """KLayout device extractor of the segments of one direction.

    KLayout shows every cluster of shapes moved to the origin; the devices carry the displacement.
    So the shapes are kept under the device's name, and `_place_segments` goes on from there.
    """
    kdb = klayout_db()
    model = {"WL": "RWL", "BL": "RBL"}[kind]

    class Segments(kdb.GenericDeviceExtractor):
        def setup(self) -> None:
            self.name = model  # also the name of the device class
            self.define_layer("body", "metal between nodes")
            self.define_layer("node", "crossings and pads")
            self.register_device_class(kdb.DeviceClassResistor())

        def get_connectivity(self, layout: Any, layers: Any) -> Any:
            connectivity = kdb.Connectivity()
            connectivity.connect(layers[0], layers[0])
            connectivity.connect(layers[0], layers[1])
            return connectivity

        def extract_devices(self, geometry: Any) -> None:
            bodies, nodes = geometry[0].merged(), geometry[1].merged()
            for body in bodies.each():
                polygons = list(nodes.interacting(kdb.Region(body)).each())
                for node in polygons[1:]:  # a stump touches one node and is no segment
                    device = self.create_device()
                    device.name = f"{kind}{len(shapes)}"
                    boxes = [polygon.bbox() for polygon in polygons]
                    ends = boxes[0], node.bbox()
                    shapes.append(_Shape(kind, body.dup(), boxes, *ends))
                    self.define_terminal(device, _A, 1, polygons[0])
                    self.define_terminal(device, _B, 1, node)

    return Segments()


def _place_segments(
    grid: Grid, netlist: Any, shapes: list[_Shape], cuts: Any, out: Extracted
) -> None:
    """Name every segment after its place, give it its resistance, and find what is none."""
    t = grid.technology
    lines = {"WL": t.word_line, "BL": t.bit_line}
    for device in next(iter(netlist.each_circuit_top_down())).each_device():
        d = device.trans.disp
        by = klayout_db().Vector(grid.units(d.x), grid.units(d.y))
        if device.name.startswith("MEM"):
            cells = grid.cells_in(shapes[int(device.name[3:])].body.bbox().moved(by))
            device.name = f"d_{cells[0][0]}_{cells[0][1]}"
            out.devices[device.name] = None
            continue
        shape = shapes[int(device.name[2:])]
        body = shape.body.moved(by)
        ends = [(_node_place(grid, shape.kind, b.moved(by)), b.moved(by)) for b in shape.ends]
        places = [
            place for b in shape.nodes if (place := _node_place(grid, shape.kind, b.moved(by)))
        ]
        R = _resistance(shape.kind, lines[shape.kind], grid, body, ends, cuts)
        device.set_parameter("R", R)
        name = _segment_name(shape.kind, places) if len(places) == 2 else None
        device.name = name or "short"
        if name:
            out.devices[name] = R
            continue
        fault = Fault(
            kind="short", place=_short_place(shape.kind, places), **_um(grid, body.bbox())
        )
        if fault not in out.faults:
            out.faults.append(fault)


def _device_extractor(shapes: list[_Shape]) -> Any:
    """KLayout device extractor of the devices at the crossings."""
    kdb = klayout_db()

    class Crossings(kdb.GenericDeviceExtractor):
        def setup(self) -> None:
            self.name = "RMEM"
            for layer in ("dev", "wl", "bl"):
                self.define_layer(layer, layer)
            self.register_device_class(kdb.DeviceClassResistor())

        def get_connectivity(self, layout: Any, layers: Any) -> Any:
            connectivity = kdb.Connectivity()
            connectivity.connect(layers[0], layers[0])
            connectivity.connect(layers[0], layers[1])
            connectivity.connect(layers[0], layers[2])
            return connectivity

        def extract_devices(self, geometry: Any) -> None:
            for shape in geometry[0].merged().each():
                wl, bl = (
                    next(iter(geometry[k].merged().interacting(kdb.Region(shape)).each()), None)
                    for k in (1, 2)
                )
                if wl is None or bl is None:
                    continue  # `extract` reports shapes outside the crossings
                device = self.create_device()
                device.name = f"MEM{len(shapes)}"
                shapes.append(_Shape("MEM", shape.dup(), [], shape.bbox(), shape.bbox()))
                self.define_terminal(device, _A, 1, wl)
                self.define_terminal(device, _B, 2, bl)

    return Crossings()


def _labels(layout: kdb.Layout, grid: Grid) -> Iterator[tuple[str, str]]:
    """Every label with the name of the pad that it stands on ("" if on none)."""
    pads = {grid.pad("WL", r): f"WL<{r}>" for r in range(grid.rows)}
    pads |= {grid.pad("BL", c): f"BL<{c}>" for c in range(grid.cols)}
    half = grid.units(grid.technology.pad.size) // 2
    for line in (grid.technology.word_line, grid.technology.bit_line):
        for shape in layout.top_cell().shapes(layout.layer(*line.label)).each():
            x, y = shape.text.x, shape.text.y
            near = [
                name
                for (px, py), name in pads.items()
                if abs(x - px) <= half and abs(y - py) <= half
            ]
            yield shape.text.string, near[0] if near else ""
