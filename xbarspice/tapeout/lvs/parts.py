"""The pieces that one net consists of, and which of them joins what should be apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from xbarspice.tapeout.extraction.extracted import Extracted, LineName, line_name
from xbarspice.tapeout.extraction.shapes import Boxes, Integers, Shapes, find_overlaps

__all__ = ["Bridge", "Split", "split_net"]

Flags = npt.NDArray[np.bool_]

_LONGEST = 400
"""Pieces of a path that are tried."""


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """A piece that joins two lines.

    Attributes:
        lines: that it joins.
        layer: of the piece, a metal or a via.
        box: its outline, database units.
    """

    lines: tuple[LineName, LineName]
    layer: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """A net taken apart.

    Attributes:
        bridges: what joined its lines.
        shared: lines whose labels stand on one piece of metal.
        lines: of each device electrode on the net, by (device, "bottom" or "top").
        penalty: how badly labels and devices fit to lines afterwards.
    """

    bridges: tuple[Bridge, ...]
    shared: tuple[tuple[LineName, LineName], ...]
    lines: dict[tuple[int, str], LineName]
    penalty: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Graph:
    """Pieces of a net and which of them touch.

    Attributes:
        boxes: outlines of all pieces.
        layers: layer of each.
        links: (pieces, pieces), 1 where two touch.
        labels: (line, piece).
        electrodes: (device, side, piece, net of the other electrode).
    """

    boxes: Boxes
    layers: list[str]
    links: csr_array
    labels: list[tuple[LineName, int]]
    electrodes: list[tuple[int, str, int, int]]


def split_net(extracted: Extracted, net: int) -> Split:
    """Find the pieces that join the lines of one net.

    Args:
        extracted: the drawing.
        net: one with labels of several lines.
    """
    splits = [_split(_graph(extracted, net, horizontal)) for horizontal in (True, False)]
    return min(splits, key=lambda split: split.penalty)


def _graph(extracted: Extracted, net: int, horizontal: bool) -> _Graph:
    """Pieces of a net; its polygons are cut into horizontal or vertical trapezoids."""
    con = extracted.connectivity
    first, count = {}, 0
    boxes, layers, links = [], [], []
    metals: dict[int, tuple[Shapes, dict[int, int]]] = {}
    for m, shapes in enumerate(con.metals):
        chosen = np.flatnonzero(con.net_of[m] == net)
        part = shapes.subset(chosen, horizontal=horizontal)
        metals[m] = part, {p: k for k, p in enumerate(chosen.tolist())}
        first[m] = count
        i, j = find_overlaps(part.boxes, part.boxes, touching=True)
        same = (part.owner[i] == part.owner[j]) & (i < j)
        links.append(np.stack([i[same], j[same]]) + count)
        boxes.append(part.boxes)
        layers += [shapes.name] * len(part.boxes)
        count += len(part.boxes)
    for v, cuts in enumerate(con.cuts):
        below, above = con.via_metals(v)
        members = np.flatnonzero(
            np.isin(
                np.arange(len(cuts.shapes.polygons)),
                cuts.lower[0][con.net_of[below][cuts.lower[1]] == net],
            )
        )
        part = cuts.shapes.subset(members, horizontal=horizontal)
        for m in (below, above):
            i, j = find_overlaps(metals[m][0].boxes, part.boxes)
            links.append(np.stack([i + first[m], j + count]))
        boxes.append(part.boxes)
        layers += [part.name] * len(part.boxes)
        count += len(part.boxes)
    pairs = np.concatenate(links, axis=1)
    ones = np.ones(pairs.shape[1])
    graph = csr_array((ones, (pairs[0], pairs[1])), shape=(count, count))
    graph = csr_array(graph + graph.T)
    every = np.concatenate(boxes)
    owners = {m: (part.owner, names) for m, (part, names) in metals.items()}

    def piece_at(metal: int, polygon: int, x: float, y: float) -> int:
        owner, names = owners[metal]
        members = np.flatnonzero(owner == names[polygon]) + first[metal]
        b = every[members]
        off = np.maximum(np.maximum(b[:, 0] - x, x - b[:, 2]), 0) + np.maximum(
            np.maximum(b[:, 1] - y, y - b[:, 3]), 0
        )
        return int(members[off.argmin()])

    labels = [
        (name, piece_at(label.metal, label.polygon, label.x, label.y))
        for label in extracted.labels_of(net)
        if (name := line_name(label.text)) is not None
    ]
    return _Graph(
        boxes=every,
        layers=layers,
        links=graph,
        labels=labels,
        electrodes=list(_electrodes(extracted, net, piece_at)),
    )


def _electrodes(
    extracted: Extracted, net: int, piece_at: Callable[[int, int, float, float], int]
) -> Iterator[tuple[int, str, int, int]]:
    """Every electrode of a device that lies on a net: (device, side, piece, other net)."""
    d, device = extracted.devices, extracted.technology.device
    sides = (
        ("bottom", device.bottom, d.bottom, d.bottom_net, d.top_net),
        ("top", device.top, d.top, d.top_net, d.bottom_net),
    )
    for side, name, polygon, nets, others in sides:
        metal = extracted.connectivity.metal(name)
        for k in np.flatnonzero(nets == net).tolist():
            x, y = (d.boxes[k, :2] + d.boxes[k, 2:]) / 2
            yield k, side, piece_at(metal, int(polygon[k]), x, y), int(others[k])


def _split(graph: _Graph) -> Split:
    """Take away piece after piece, always the one that leaves lines most as they should be."""
    removed = np.zeros(len(graph.boxes), dtype=bool)
    taken: list[tuple[int, tuple[LineName, LineName]]] = []
    kept = {piece for _, _, piece, _ in graph.electrodes} | {piece for _, piece in graph.labels}
    shared: list[tuple[LineName, LineName]] = []
    while len(taken) < 4 * len(graph.labels):
        member = _members(graph, removed)
        pair = _joined_pair(graph, member, shared)
        if pair is None:
            break
        start, stop = _ends(graph, member, pair)
        if start == stop:
            shared.append((pair[0][0], pair[1][0]))
            continue
        path = _path(graph, removed, start, stop)
        path = [piece for piece in path if piece not in kept] or path[1:-1] or path
        piece = _best_piece(graph, removed, path)
        removed[piece] = True
        taken.append((piece, (pair[0][0], pair[1][0])))
    member = _members(graph, removed)
    return Split(
        bridges=tuple(_bridge(graph, member, removed, *one) for one in taken),
        shared=tuple(shared),
        lines=_lines_of(graph, member, removed),
        penalty=_penalty(graph, member, removed),
    )


def _ends(
    graph: _Graph, member: Integers, pair: tuple[tuple[LineName, int], tuple[LineName, int]]
) -> tuple[int, int]:
    """Two pieces of one component that should be apart, near to what joins them.

    Two devices that share their other line, else a device with its bottom and one with its top on
    the net, else the two labels.
    """
    component = member[pair[0][1]]
    first: dict[tuple[str, int], int] = {}
    sides: dict[str, int] = {}
    for _, side, piece, other in graph.electrodes:
        if member[piece] == component:
            if first.setdefault((side, other), piece) != piece:
                return first[side, other], piece
            sides.setdefault(side, piece)
    if len(sides) == 2:
        return sides["bottom"], sides["top"]
    return pair[0][1], pair[1][1]


def _best_piece(graph: _Graph, removed: Flags, path: list[int]) -> int:
    """The piece without which labels and devices fit best to lines; of equal ones the middle."""
    scores = []
    for piece in path:
        removed[piece] = True
        scores.append(_penalty(graph, _members(graph, removed), removed))
        removed[piece] = False
    ties = [piece for piece, score in zip(path, scores, strict=True) if score == min(scores)]
    return ties[len(ties) // 2]


def _bridge(
    graph: _Graph,
    member: Integers,
    removed: Flags,
    piece: int,
    pair: tuple[LineName, LineName],
) -> Bridge:
    """A piece that was taken away, with the lines that it touches."""
    names: dict[int, set[LineName]] = {}
    for name, at in graph.labels:
        names.setdefault(int(member[at]), set()).add(name)
    row = graph.links[[piece]].indices
    touched = sorted({min(names[int(member[k])]) for k in row if int(member[k]) in names})
    lines = (touched[0], touched[1]) if len(touched) > 1 else pair
    box = tuple(graph.boxes[piece].tolist())
    return Bridge(lines=lines, layer=graph.layers[piece], box=box)


def _members(graph: _Graph, removed: Flags) -> Integers:
    """Component of every piece that is not removed; those that are have one each."""
    kept = graph.links.copy()
    rows = np.repeat(np.arange(len(removed)), np.diff(kept.indptr))
    kept.data = np.where(removed[rows] | removed[kept.indices], 0.0, kept.data)
    kept.eliminate_zeros()
    return connected_components(kept, directed=False)[1].astype(np.int64)


def _joined_pair(
    graph: _Graph, member: Integers, shared: Sequence[tuple[LineName, LineName]]
) -> tuple[tuple[LineName, int], tuple[LineName, int]] | None:
    """Two labels of different lines in one component; those of the nearest numbers first."""
    pairs = [
        (a, b)
        for k, a in enumerate(graph.labels)
        for b in graph.labels[k + 1 :]
        if a[0] != b[0]
        and member[a[1]] == member[b[1]]
        and tuple(sorted((a[0], b[0]))) not in shared
    ]
    if not pairs:
        return None
    return min(
        (tuple(sorted(pair)) for pair in pairs),
        key=lambda p: (p[0][0].kind != p[1][0].kind, p[1][0].number - p[0][0].number, p),
    )  # type: ignore[return-value]


def _path(graph: _Graph, removed: Flags, start: int, stop: int) -> list[int]:
    """A shortest way through the pieces."""
    kept = graph.links.copy()
    rows = np.repeat(np.arange(len(removed)), np.diff(kept.indptr))
    kept.data = np.where(removed[rows] | removed[kept.indices], 0.0, kept.data)
    kept.eliminate_zeros()
    _, before = breadth_first_order(kept, start, directed=False)
    path = [stop]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    step = -(-len(path) // _LONGEST)
    return path[::-1][::step]


def _penalty(graph: _Graph, member: Integers, removed: Flags) -> float:
    """How far components are from lines: one label each, one device for every other line."""
    heavy = 10.0 * (len(graph.electrodes) + 1)
    names: dict[int, set[LineName]] = {}
    total = 0.0
    for name, piece in graph.labels:
        total += heavy * bool(removed[piece])
        names.setdefault(int(member[piece]), set()).add(name)
    total += heavy * sum(len(lines) - 1 for lines in names.values())
    seen: dict[int, set[tuple[str, int]]] = {}
    sides: dict[int, dict[str, int]] = {}
    for _, side, piece, other in graph.electrodes:
        component = int(member[piece])
        total += 2.0 * (bool(removed[piece]) or component not in names)
        key = (side, other)
        total += key in seen.setdefault(component, set())
        seen[component].add(key)
        count = sides.setdefault(component, {"bottom": 0, "top": 0})
        count[side] += 1
    return total + sum(min(count.values()) for count in sides.values())


def _lines_of(graph: _Graph, member: Integers, removed: Flags) -> dict[tuple[int, str], LineName]:
    """The line of every device electrode whose component has one label."""
    names: dict[int, set[LineName]] = {}
    for name, piece in graph.labels:
        names.setdefault(int(member[piece]), set()).add(name)
    single = {component: min(lines) for component, lines in names.items() if len(lines) == 1}
    return {
        (device, side): single[int(member[piece])]
        for device, side, piece, _ in graph.electrodes
        if int(member[piece]) in single and not removed[piece]
    }


def nearest_gap(a: Boxes, b: Boxes) -> tuple[float, tuple[float, float]]:
    """Distance of the nearest two boxes of two nets, and the middle between them."""
    gap_x = np.maximum(np.maximum(a[:, None, 0] - b[None, :, 2], b[None, :, 0] - a[:, None, 2]), 0)
    gap_y = np.maximum(np.maximum(a[:, None, 1] - b[None, :, 3], b[None, :, 1] - a[:, None, 3]), 0)
    distance = np.hypot(gap_x, gap_y)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    low, high = np.maximum(a[i, :2], b[j, :2]), np.minimum(a[i, 2:], b[j, 2:])
    x, y = (low + high) / 2
    return float(distance[i, j]), (float(x), float(y))


def boxes_of(extracted: Extracted, nets: Sequence[int], metal: int) -> Boxes:
    """Outlines of the trapezoids of some nets on a metal."""
    con = extracted.connectivity
    shapes = con.metals[metal]
    return shapes.boxes[np.isin(con.net_of[metal][shapes.owner], nets)]
