"""Nets over all metals and vias, and the labels that stand on them, from the geometry alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.extraction.shapes import Integers, Shapes, overlaps_of
from xbarspice.tapeout.technology import Technology
from xbarspice.tapeout.technology.layers import Metal

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Connectivity", "Cuts", "Label", "connect", "polygon_at", "region_of"]


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text of a label layer.

    Attributes:
        text: the name.
        x, y: its place in database units.
        metal: index of the metal in the technology.
        polygon: of that metal below the text, -1 for none.
        net: of that polygon, -1 for none.
        pin: whether a shape of the metal's pin layer lies below it; None without such a layer.
    """

    text: str
    x: int
    y: int
    metal: int
    polygon: int
    net: int
    pin: bool | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Cuts:
    """The merged cuts of one via layer.

    Attributes:
        shapes: the cuts that connect; those within a device belong to it.
        lower, upper: pairs (cut, polygon of the metal below or above).
        on_device: outlines of cuts that lie on a device.
        repeated: places where cuts are drawn on cuts.
    """

    shapes: Shapes
    lower: tuple[Integers, Integers]
    upper: tuple[Integers, Integers]
    on_device: list[kdb.Box]
    repeated: list[kdb.Box]

    def floating(self) -> Integers:
        """Cuts that lack a metal."""
        every = np.arange(len(self.shapes.polygons))
        return np.setdiff1d(every, np.intersect1d(self.lower[0], self.upper[0]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Connectivity:
    """Everything that is joined in a drawing.

    Attributes:
        technology: the layers that were read.
        dbu: database unit, um.
        metals: shapes of every metal, in the technology's order.
        cuts: of every via, in the technology's order.
        net_of: net of every polygon, an array a metal.
        count: how many nets there are.
        labels: every text.
        pins: merged shapes of every metal's pin layer.
    """

    technology: Technology
    dbu: float
    metals: tuple[Shapes, ...]
    cuts: tuple[Cuts, ...]
    net_of: tuple[Integers, ...]
    count: int
    labels: tuple[Label, ...]
    pins: tuple[kdb.Region, ...]

    def metal(self, name: str) -> int:
        """Index of a metal by its name."""
        return [metal.name for metal in self.technology.metal].index(name)

    def via_metals(self, via: int) -> tuple[int, int]:
        """Indices of the metals below and above a via."""
        rule = self.technology.via[via]
        return self.metal(rule.lower), self.metal(rule.upper)


def region_of(cell: kdb.Cell, layer: Sequence[int]) -> kdb.Region:
    """All shapes of a layer in a cell and everything below it; nothing is merged."""
    kdb, layout = klayout_db(), cell.layout()
    index = layout.find_layer(*layer)
    region = kdb.Region() if index is None else kdb.Region(cell.begin_shapes_rec(index))
    region.merged_semantics = False
    return region


def connect(cell: kdb.Cell, technology: Technology) -> Connectivity:
    """Find the nets of a drawing.

    Args:
        cell: the drawing, of any hierarchy and at any place.
        technology: which layers are metals, vias, devices and labels.
    """
    metals = tuple(Shapes.of(region_of(cell, m.layer), m.name) for m in technology.metal)
    devices = region_of(cell, technology.device.layer).merged()
    index = {metal.name: k for k, metal in enumerate(metals)}
    cuts = []
    for via in technology.via:
        ends = metals[index[via.lower]], metals[index[via.upper]]
        cuts.append(_cuts(region_of(cell, via.layer), via.name, devices, ends, technology))
    first = np.cumsum([0, *(len(m.polygons) for m in metals)])
    edges: list[Integers] = []
    node = int(first[-1])
    for via, cut in zip(technology.via, cuts, strict=True):
        for (number, polygon), name in ((cut.lower, via.lower), (cut.upper, via.upper)):
            edges.append(np.stack([node + number, first[index[name]] + polygon]))
        node += len(cut.shapes.polygons)
    i, j = np.concatenate(edges, axis=1) if edges else np.zeros((2, 0), dtype=np.int64)
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(node, node))
    count, net = connected_components(graph, directed=False)
    net_of = tuple(net[a:b].astype(np.int64) for a, b in itertools.pairwise(first))
    pins = tuple(
        klayout_db().Region() if m.pin is None else region_of(cell, m.pin).merged()
        for m in technology.metal
    )
    labels = tuple(
        label
        for k, metal in enumerate(technology.metal)
        for label in _labels(cell, metal, k, metals[k], net_of[k], pins[k])
    )
    return Connectivity(
        technology=technology,
        dbu=cell.layout().dbu,
        metals=metals,
        cuts=tuple(cuts),
        net_of=net_of,
        count=int(count),
        labels=labels,
        pins=pins,
    )


def _cuts(
    region: kdb.Region,
    name: str,
    devices: kdb.Region,
    ends: tuple[Shapes, Shapes],
    technology: Technology,
) -> Cuts:
    """Cuts of one via with the metals that they meet.

    A cut within a device is a part of it where the technology names a foundry cell that has one;
    elsewhere it connects.
    """
    repeated = [polygon.bbox() for polygon in region.merged(False, 2).each()]
    joined = region.merged()
    on_device = [polygon.bbox() for polygon in joined.interacting(devices).each()]
    if technology.device.cell is not None:
        joined = joined.not_inside(devices)
        on_device = [polygon.bbox() for polygon in joined.interacting(devices).each()]
    shapes = Shapes.of(joined, name)
    (lower, cut), (upper, same) = (overlaps_of(metal, shapes) for metal in ends)
    return Cuts(
        shapes=shapes,
        lower=(cut, lower),
        upper=(same, upper),
        on_device=on_device,
        repeated=repeated,
    )


def _labels(
    cell: kdb.Cell,
    metal: Metal,
    index: int,
    shapes: Shapes,
    net_of: Integers,
    pins: kdb.Region,
) -> list[Label]:
    """Texts of a metal's label and pin layers, each once."""
    kdb, layout = klayout_db(), cell.layout()
    texts: dict[tuple[str, int, int], None] = {}
    for layer in (metal.label, metal.pin):
        number = None if layer is None else layout.find_layer(*layer)
        if number is not None:
            for text in kdb.Texts(cell.begin_shapes_rec(number)).each():
                texts[(text.string, text.x, text.y)] = None
    out = []
    for name, x, y in texts:
        polygon = polygon_at(shapes, x, y)
        pin = None
        if metal.pin is not None:
            spot = kdb.Region(kdb.Box(x - 1, y - 1, x + 1, y + 1))
            pin = not pins.interacting(spot).is_empty()
        net = -1 if polygon < 0 else int(net_of[polygon])
        place = {"text": name, "x": x, "y": y, "metal": index}
        out.append(Label(**place, polygon=polygon, net=net, pin=pin))
    return out


def polygon_at(shapes: Shapes, x: int, y: int) -> int:
    """Polygon that holds a point, its edge included; -1 for none."""
    b = shapes.boxes
    if not len(b):
        return -1
    near = (b[:, 0] <= x) & (x <= b[:, 2]) & (b[:, 1] <= y) & (y <= b[:, 3])
    point = klayout_db().Point(x, y)
    for k in np.flatnonzero(near).tolist():
        if k not in shapes.slanted or shapes.slanted[k].inside(point):
            return int(shapes.owner[k])
    return -1
