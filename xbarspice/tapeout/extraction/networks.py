"""The resistances of one net: straight pieces by squares, every other shape by its field.

Nodes are the ends of straight pieces, both sides of every cut, and the contacts (pads). Probes are
places where devices stand: each draws its current evenly over its area and sees the mean potential
there. Between contacts and probes the net is one matrix of resistances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.extraction.connectivity import Connectivity
from xbarspice.tapeout.extraction.fields import Field, lies_on, solve_sheet
from xbarspice.tapeout.extraction.runs import Run, clear_of, find_runs, outlines
from xbarspice.tapeout.extraction.shapes import Integers, box_array, find_overlaps
from xbarspice.tapeout.technology import Resistances

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Contact", "Part", "Probe", "SheetCache", "transfer_resistances"]

Floats = npt.NDArray[np.float64]


class Contact(NamedTuple):
    """An equipotential place on a metal: a pad, or the square around a label."""

    metal: int
    polygon: int
    shape: kdb.Polygon


class Probe(NamedTuple):
    """A device's area on a metal, (left, bottom, right, top) in database units."""

    metal: int
    polygon: int
    box: tuple[int, int, int, int]


class Part(NamedTuple):
    """A straight piece, a shape, or the cuts of one net, as a resistor in a list.

    Attributes:
        kind: "straight", "shape" or "cut".
        layer: its name.
        nodes: that it joins.
        resistance: ohm; of a shape between its first two nodes.
        squares: of metal, NaN for a cut.
        width: of a straight piece, um, else NaN.
        x, y: its middle, um.
    """

    kind: str
    layer: str
    nodes: tuple[int, ...]
    resistance: float
    squares: float
    width: float
    x: float
    y: float


SheetCache = dict[tuple[object, ...], Field]
"""Shapes that were solved, by their geometry at the origin."""


@dataclass(kw_only=True, eq=False)
class _Network:
    """What is collected of a net: conductances between nodes, and what probes see."""

    nodes: int = 0
    elements: list[tuple[list[int], Floats]] = field(default_factory=list)
    shares: dict[int, tuple[list[int], Floats]] = field(default_factory=dict)
    between_probes: list[tuple[list[int], Floats]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    joined: list[tuple[int, int]] = field(default_factory=list)

    def node(self) -> int:
        """A new node."""
        self.nodes += 1
        return self.nodes - 1


def transfer_resistances(
    connectivity: Connectivity,
    net: int,
    contacts: Sequence[Contact],
    probes: Sequence[Probe],
    resistances: Resistances,
    cache: SheetCache,
) -> tuple[Floats, list[Part]]:
    """Potentials in a net whose first contact is at 0.

    Args:
        connectivity: of the drawing.
        net: its number.
        contacts: at least one; all but the first carry no current unless they are probed.
        probes: devices.
        resistances: of metals and cuts.
        cache: grows.

    Returns:
        Potential of each contact but the first, then of each probe, per current into each of them,
        ohm, (n, n); NaN where no metal leads to. And the parts of the net.
    """
    network = _Network()
    places = [network.node() for _ in contacts]
    cut_nodes = _add_cuts(network, connectivity, net, resistances)
    for metal, owner in enumerate(connectivity.net_of):
        R = resistances.sheet[connectivity.technology.metal[metal].name]
        for polygon in np.flatnonzero(owner == net).tolist():
            electrodes = [
                (place, contact.shape)
                for place, contact in zip(places, contacts, strict=True)
                if (contact.metal, contact.polygon) == (metal, polygon)
            ]
            electrodes += cut_nodes.get((metal, polygon), [])
            here = [
                (k, probe.box)
                for k, probe in enumerate(probes)
                if (probe.metal, probe.polygon) == (metal, polygon)
            ]
            shape = connectivity.metals[metal].polygons[polygon]
            _add_polygon(network, shape, electrodes, here, R, cache, _Scale(connectivity, metal))
    return _solve(network, len(contacts), len(probes)), network.parts


class _Scale(NamedTuple):
    connectivity: Connectivity
    metal: int

    def part(
        self, kind: str, nodes: tuple[int, ...], R: float, squares: float, width: float, at: Floats
    ) -> Part:
        dbu = self.connectivity.dbu
        name = self.connectivity.technology.metal[self.metal].name
        x, y = (float(v) * dbu for v in at)
        return Part(kind, name, nodes, R, squares, width * dbu, x, y)


Electrode = tuple[int, "kdb.Polygon"]


def _add_cuts(
    network: _Network, connectivity: Connectivity, net: int, resistances: Resistances
) -> dict[tuple[int, int], list[Electrode]]:
    """A resistance for every cut of a net; the nodes of its sides by metal and polygon."""
    out: dict[tuple[int, int], list[Electrode]] = {}
    dbu = connectivity.dbu
    for k, cuts in enumerate(connectivity.cuts):
        via = connectivity.technology.via[k]
        below, above = connectivity.via_metals(k)
        members = connectivity.net_of[below][cuts.lower[1]] == net
        numbers = cuts.lower[0][members]
        for number in np.intersect1d(numbers, cuts.upper[0]).tolist():
            shape = cuts.shapes.polygons[number]
            sides = (below, cuts.lower), (above, cuts.upper)
            nodes = tuple(network.node() for _ in sides)
            for node, (metal, (cut, polygon)) in zip(nodes, sides, strict=True):
                for touched in polygon[cut == number].tolist():
                    out.setdefault((metal, touched), []).append((node, shape))
            R = resistances.via[via.name] * (via.size / dbu) ** 2 / shape.area()
            _add_resistor(network, nodes, R)
            centre = shape.bbox().center()
            part = ("cut", via.name, nodes, R, float("nan"), float("nan"))
            network.parts.append(Part(*part, centre.x * dbu, centre.y * dbu))
    return out


def _add_resistor(network: _Network, nodes: Sequence[int], R: float) -> None:
    """A resistor; one without resistance makes its two nodes one."""
    if R == 0:
        network.joined.append((nodes[0], nodes[1]))
        return
    network.elements.append((list(nodes), np.array([[1, -1], [-1, 1]]) / R))


def _add_polygon(
    network: _Network,
    shape: kdb.Polygon,
    electrodes: list[Electrode],
    probes: list[tuple[int, tuple[int, int, int, int]]],
    R: float,
    cache: SheetCache,
    scale: _Scale,
) -> None:
    """One polygon of metal: its straight pieces, and the shapes between them."""
    kdb = klayout_db()
    blocks = box_array([polygon.bbox() for _, polygon in electrodes])
    for a, b in zip(*find_overlaps(blocks, blocks), strict=True):  # cuts on cuts, cuts in a pad
        network.joined.append((electrodes[a][0], electrodes[b][0]))
    runs = find_runs(shape, blocks)
    if probes:
        boxes = np.array([box for _, box in probes], dtype=np.float64)
        runs = [clear for run in runs if (clear := clear_of(run, boxes)) is not None]
    ends = [(network.node(), network.node()) for _ in runs]
    free = dict(probes)
    for run, nodes in zip(runs, ends, strict=True):
        _add_run(network, run, nodes, free, R, scale)
    remainder = kdb.Region(shape)
    for outline in outlines(runs, 4.0):
        remainder -= kdb.Region(kdb.Polygon([kdb.Point(*map(round, p)) for p in outline.tolist()]))
    for _, polygon in electrodes:
        remainder -= kdb.Region(polygon)
    remainder.min_coherence = True
    borders = [(node, _points(polygon.each_point_hull())) for node, polygon in electrodes]
    borders += [
        (n, run.end(k)) for run, nodes in zip(runs, ends, strict=True) for k, n in enumerate(nodes)
    ]
    for piece in remainder.merged().each():
        here = [(k, box) for k, box in free.items() if piece.inside(_centre(box))]
        for k, _ in here:
            del free[k]
        _add_piece(network, piece, borders, here, R, cache, scale)
    for k, box in free.items():  # those on an electrode
        for node, polygon in electrodes:
            if polygon.inside(_centre(box)):
                network.shares[k] = [node], np.ones(1)


def _centre(box: tuple[int, int, int, int]) -> kdb.Point:
    return klayout_db().Point((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)


def _points(points: object) -> Floats:
    return np.array([(p.x, p.y) for p in points], dtype=np.float64)  # type: ignore[attr-defined]


def _add_run(
    network: _Network,
    run: Run,
    nodes: tuple[int, int],
    probes: dict[int, tuple[int, int, int, int]],
    R: float,
    scale: _Scale,
) -> None:
    """A straight piece; the probes on it are taken from `probes`."""
    squares = run.length / run.width
    _add_resistor(network, nodes, R * squares)
    middle = (np.array(run.start) + run.stop) / 2
    network.parts.append(scale.part("straight", nodes, R * squares, squares, run.width, middle))
    if not probes:
        return
    keys = np.array(list(probes))
    boxes = np.array(list(probes.values()), dtype=np.float64)
    along, across = run.locate((boxes[:, :2] + boxes[:, 2:]) / 2)
    on = (along >= 0) & (along <= run.length) & (np.abs(across) <= run.width / 2)
    t = along[on] / run.length
    for key, at in zip(keys[on].tolist(), t.tolist(), strict=True):
        network.shares[key] = list(nodes), np.array([1 - at, at])
        del probes[key]
    along_run = R * squares * (np.minimum.outer(t, t) - np.outer(t, t))
    network.between_probes.append((keys[on].tolist(), along_run))


def _add_piece(
    network: _Network,
    piece: kdb.Polygon,
    borders: list[tuple[int, Floats]],
    probes: list[tuple[int, tuple[int, int, int, int]]],
    R: float,
    cache: SheetCache,
    scale: _Scale,
) -> None:
    """A shape with the electrodes at its edge; one with a single electrode carries no current."""
    box = piece.bbox()
    contours = [_points(piece.each_point_hull())]
    contours += [_points(piece.each_point_hole(k)) for k in range(piece.holes())]
    corners = np.concatenate(contours)
    near = [
        (node, border)
        for node, border in borders
        if _is_near(border, box) and lies_on(corners, border).sum() >= 2
    ]
    if not near or (len(near) == 1 and not probes):
        return
    origin = np.array([box.left, box.bottom], dtype=np.float64)
    moved = [c - origin for c in contours], [b - origin for _, b in near]
    boxes = [np.array(b, dtype=np.float64) - np.tile(origin, 2) for _, b in probes]
    key = tuple(
        tuple(np.round(a.ravel(), 2).tolist())
        for part in (*moved, boxes)
        for a in [*part, np.array([np.inf])]
    )
    if key not in cache:
        cache[key] = solve_sheet(*moved, boxes)
    sheet = cache[key]
    nodes = [node for node, _ in near]
    network.elements.append((nodes, sheet.conductance / R))
    for k, (probe, _) in enumerate(probes):
        network.shares[probe] = nodes, sheet.shares[k]
    network.between_probes.append(([k for k, _ in probes], sheet.between_probes * R))
    if len(near) > 1:
        G = -sheet.conductance[0, 1]
        squares = 1 / G if len(near) == 2 and G > 0 else float("nan")
        centre = (corners.min(0) + corners.max(0)) / 2
        part = scale.part("shape", tuple(nodes), R * squares, squares, float("nan"), centre)
        network.parts.append(part)


def _is_near(border: Floats, box: kdb.Box) -> bool:
    low, high = border.min(0) - 2, border.max(0) + 2
    return bool(
        low[0] <= box.right and high[0] >= box.left and low[1] <= box.top and high[1] >= box.bottom
    )


def _solve(network: _Network, contacts: int, probes: int) -> Floats:
    """Potentials of contacts and probes per current into them."""
    count, node = _contract(network)
    G = np.zeros((count, count))
    for nodes, values in network.elements:
        at = node[nodes]
        np.add.at(G, (at[:, None], at[None, :]), values)
    A = np.zeros((contacts - 1 + probes, count))
    A[np.arange(contacts - 1), node[1:contacts]] = 1
    known = np.ones(len(A), dtype=bool)
    for k in range(probes):
        if k in network.shares:
            nodes, shares = network.shares[k]
            np.add.at(A[contacts - 1 + k], node[nodes], shares)
        else:
            known[contacts - 1 + k] = False
    _, member = connected_components(G != 0, directed=False)
    reached = member == member[node[0]]
    known &= ~(A[:, ~reached] != 0).any(1)
    kept = np.setdiff1d(np.flatnonzero(reached), node[:1])
    Z = A[:, kept] @ np.linalg.solve(G[np.ix_(kept, kept)], A[:, kept].T)
    for keys, values in network.between_probes:
        at = [contacts - 1 + k for k in keys]
        Z[np.ix_(at, at)] += values
    Z[~known] = np.nan
    Z[:, ~known] = np.nan
    return Z


def _contract(network: _Network) -> tuple[int, Integers]:
    """How many nodes stay apart, and the number of each node among them."""
    i, j = np.array(network.joined, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(network.nodes, network.nodes))
    count, node = connected_components(graph, directed=False)
    return int(count), node.astype(np.int64)
