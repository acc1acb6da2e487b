"""The elimination tree of a crossbar shape: which nodes are eliminated where, as flat arrays.

The array is halved along its longer side until blocks of at most 2x2 cells remain (nested
dissection, George 1973, doi:10.1137/0710032). The *front* of a block holds its elements and the
fronts of its halves, eliminates every node whose elements it has all seen, and hands the rest to
the parent. Sources and sense nodes are terminals and are never eliminated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, End

__all__ = ["TILE", "WIRES", "Plan", "Topology", "plan_of", "topology_of"]

Index = npt.NDArray[np.int64]

TILE = 4
"""Eliminated and kept nodes of a front are each padded to a multiple of this, so that kernels see
whole tiles only."""
WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")
"""The shared resistances, in the order in which kernels take their conductances."""


class Topology(NamedTuple):
    """What the tree depends on; `zero` tells which of `WIRES` are exactly 0 ohm."""

    rows: int
    cols: int
    wl_ends: tuple[tuple[str, str], ...]
    bl_ends: tuple[tuple[str, str], ...]
    zero: tuple[bool, bool, bool, bool]


class Plan(NamedTuple):
    """The tree in post-order; positions count vectors (one number of every lane).

    Attributes:
        rows, cols: shape of the array.
        front: (fronts, 15) integers a front, see the ``F_*`` constants of this module.
        element: (elements, 3): position of the two nodes in their front, and the value number:
            cells count from 0 by rows, then the four shared conductances (`WIRES`).
        child_map: positions of every front's kept nodes in the front of its parent.
        nodes: node number of every position of every front (word-line nodes by rows, bit-line
            nodes by rows, terminals), in the order of the fronts.
        values: conductances of an array, the shared ones (`WIRES`) last.
        panels: size of all panels together.
        stack: size of the forward workspace.
        reverse_stack: size of the reverse workspace.
        widest: largest panel of one front.
        tallest: largest count of eliminated nodes of a front, padded to `TILE`.
        broadest: largest padded count of kept nodes of a front.
        source_row: word line of every source terminal.
        sink_col: bit line of every sink terminal, -1 for the common ground.
    """

    rows: int
    cols: int
    front: Index
    element: Index
    child_map: Index
    nodes: Index
    values: int
    panels: int
    stack: int
    reverse_stack: int
    widest: int
    tallest: int
    broadest: int
    source_row: Index
    sink_col: Index


# Columns of `Plan.front`: eliminated nodes, kept nodes, kept nodes padded, kept nodes before the
# first source, kept nodes before the first sink, then positions: panel, forward stack, reverse
# stack, first element; element count; the two children (-1: none), the parent (-1: root); position
# in `child_map` of the own kept nodes, and in `nodes` of all nodes.
F_E, F_K, F_PAD, F_SOURCE, F_SINK, F_PANEL, F_STACK, F_REVERSE = range(8)
F_ELEMENT, F_ELEMENTS, F_CHILD_A, F_CHILD_B, F_PARENT, F_MAP, F_NODE = range(8, 15)
FRONT_COLUMNS = 15


def topology_of(crossbar: Crossbar) -> Topology:
    """The part of a crossbar that decides its elimination tree."""
    return Topology(
        crossbar.rows,
        crossbar.cols,
        tuple((str(a), str(b)) for a, b in crossbar.wl_ends),
        tuple((str(a), str(b)) for a, b in crossbar.bl_ends),
        tuple(getattr(crossbar, name) == 0 for name in WIRES),  # type: ignore[arg-type]
    )


class _Network:
    """Nodes after merging those joined by 0 ohm, and the elements of every cell."""

    def __init__(self, t: Topology) -> None:
        cells = t.rows * t.cols
        self.t = t
        self.wl = np.arange(cells).reshape(t.rows, t.cols)
        self.bl = cells + self.wl
        self.first_terminal = 2 * cells
        self.source = self.first_terminal + np.arange(t.rows)
        self.first_sink = self.first_terminal + t.rows
        self.sense = self.first_sink + np.arange(t.cols)
        self.drive = self.sense + t.cols  # bit lines that are driven, not sensed
        self.ground = int(self.first_sink + 2 * t.cols)  # sensed word lines
        self.alias = np.arange(self.ground + 1)
        raw = {(i, j): self._raw_elements(i, j) for i in range(t.rows) for j in range(t.cols)}
        for a, b, value in (element for given in raw.values() for element in given):
            if value >= cells and t.zero[value - cells]:
                self._merge(a, b)
        self.elements = {
            cell: [(x, y, v) for a, b, v in given if (x := self.of(a)) != (y := self.of(b))]
            for cell, given in raw.items()
        }
        self.degree = np.zeros(self.ground + 1, dtype=np.int64)
        for given in self.elements.values():
            for a, b, _value in given:
                self.degree[a] += 1
                self.degree[b] += 1

    def of(self, node: int) -> int:
        while self.alias[node] != node:
            node = int(self.alias[node])
        return node

    def _merge(self, a: int, b: int) -> None:
        low, high = sorted((self.of(a), self.of(b)))
        self.alias[low] = high  # terminals have the highest numbers and stay

    def _raw_elements(self, i: int, j: int) -> list[tuple[int, int, int]]:
        t, cells = self.t, self.t.rows * self.t.cols
        wl, bl = int(self.wl[i, j]), int(self.bl[i, j])
        out = [(wl, bl, i * t.cols + j)]
        if j + 1 < t.cols:
            out.append((wl, int(self.wl[i, j + 1]), cells))
        if i + 1 < t.rows:
            out.append((bl, int(self.bl[i + 1, j]), cells + 1))
        ends = [(t.wl_ends[i][0], j == 0, wl), (t.wl_ends[i][1], j == t.cols - 1, wl),
                (t.bl_ends[j][0], i == 0, bl), (t.bl_ends[j][1], i == t.rows - 1, bl)]  # fmt: skip
        for kind, here, node in ends:
            if not here or kind == End.FLOATING:
                continue
            if kind == End.DRIVEN:
                terminal = self.source[i] if node == wl else self.drive[j]
                out.append((node, int(terminal), cells + 2))
            else:
                terminal = self.ground if node == wl else self.sense[j]
                out.append((node, int(terminal), cells + 3))
        return out


class _Front:
    """One block of the tree while it is built."""

    def __init__(self, network: _Network, block: tuple[int, int, int, int]) -> None:
        r0, r1, c0, c1 = block
        self.children: list[_Front] = []
        self.elements: list[tuple[int, int, int]] = []
        self.seen: dict[int, int] = {}
        """Elements of this block at every node."""
        if r1 - r0 <= 2 and c1 - c0 <= 2:
            for i in range(r0, r1):
                for j in range(c0, c1):
                    self.elements += network.elements[i, j]
            for a, b, _value in self.elements:
                self.seen[a] = self.seen.get(a, 0) + 1
                self.seen[b] = self.seen.get(b, 0) + 1
        else:
            if c1 - c0 >= r1 - r0:
                cut = (c0 + c1) // 2
                halves = ((r0, r1, c0, cut), (r0, r1, cut, c1))
            else:
                cut = (r0 + r1) // 2
                halves = ((r0, cut, c0, c1), (cut, r1, c0, c1))
            self.children = [_Front(network, half) for half in halves]
            for child in self.children:
                for node in child.kept:
                    self.seen[node] = self.seen.get(node, 0) + child.seen[node]
        self.eliminated = sorted(
            node
            for node, count in self.seen.items()
            if node < network.first_terminal and count == network.degree[node]
        )
        self.kept = sorted(self.seen.keys() - set(self.eliminated))
        self.inner = self.eliminated + self.kept


def _post_order(front: _Front, out: list[_Front]) -> list[_Front]:
    for child in front.children:
        _post_order(child, out)
    out.append(front)
    return out


def _order_kept(order: list[_Front], first_terminal: int) -> None:
    """Sort the nodes of all fronts by the time of their elimination, terminals last.

    The order is then the same in a front and its parent, so upper triangles stay upper.
    """
    time: dict[int, int] = {}
    for front in order:
        for node in front.eliminated:
            time[node] = len(time)
    late = len(time)
    for front in order:
        front.kept.sort(key=lambda n: late + n if n >= first_terminal else time[n])
        front.inner = front.eliminated + front.kept


@lru_cache(maxsize=64)
def plan_of(topology: Topology) -> Plan:
    """Build (or recall) the elimination tree of a topology."""
    network = _Network(topology)
    block = (0, topology.rows, 0, topology.cols)
    root = _Front(network, block)
    order = _post_order(root, [])
    _order_kept(order, network.first_terminal)
    number = {id(front): k for k, front in enumerate(order)}
    table = np.full((len(order), FRONT_COLUMNS), -1, dtype=np.int64)
    elements: list[tuple[int, int, int]] = []
    maps: list[int] = []
    nodes: list[int] = []
    panels = 0
    for k, front in enumerate(order):
        kept, count = front.kept, len(front.eliminated)
        padded = wide(len(kept))
        gap = wide(count) - count  # kept nodes begin on a tile
        where = {node: p + gap * (p >= count) for p, node in enumerate(front.inner)}
        row = table[k]
        row[F_E], row[F_K], row[F_PAD] = count, len(kept), padded
        row[F_SOURCE] = sum(n < network.first_terminal for n in kept)
        row[F_SINK] = sum(n < network.first_sink for n in kept)
        row[F_PANEL], row[F_ELEMENT], row[F_NODE] = panels, len(elements), len(nodes)
        panels += _panel(row)
        for a, b, value in front.elements:
            low, high = sorted((where[a], where[b]))
            elements.append((low, high, value))
        row[F_ELEMENTS] = len(front.elements)
        for column, child in zip((F_CHILD_A, F_CHILD_B), front.children, strict=False):
            row[column] = number[id(child)]
            table[row[column], F_PARENT], table[row[column], F_MAP] = k, len(maps)
            maps += [where[node] for node in child.kept]
        nodes += front.inner
    stack, reverse = _stack_positions(table)
    return Plan(
        rows=topology.rows,
        cols=topology.cols,
        front=table,
        element=np.array(elements, dtype=np.int64).reshape(-1, 3),
        child_map=np.array(maps, dtype=np.int64),
        nodes=np.array(nodes, dtype=np.int64),
        values=topology.rows * topology.cols + len(WIRES),
        panels=panels,
        stack=stack,
        reverse_stack=reverse,
        widest=max(map(_panel, table)),
        tallest=int(wide(table[:, F_E].max())),
        broadest=int(table[:, F_PAD].max()),
        source_row=np.array(
            [n - network.first_terminal for n in root.kept if n < network.first_sink], np.int64
        ),
        sink_col=np.array(
            [
                -1 if n == network.ground else (n - network.first_sink) % topology.cols
                for n in root.kept
                if n >= network.first_sink
            ],
            np.int64,
        ),
    )


def wide(count: int) -> int:
    """A number of nodes, padded to whole tiles."""
    return -(-count // TILE) * TILE


def stride(across: int) -> int:
    """Distance of the rows of a matrix that is `across` wide: long rows are an odd number of tiles.

    A column of a matrix whose rows are a power of two apart falls into a few sets of the caches.
    """
    return across + TILE if across >= 32 and across % (2 * TILE) == 0 else across


def _panel(front: Index) -> int:
    """Size of a front's panel: a row and a scale for every eliminated node."""
    return int(front[F_E] * (stride(wide(front[F_E]) + front[F_PAD]) + 1))


def _stack_positions(table: Index) -> tuple[int, int]:
    """Place every front above its parent (forward also above its elder sibling); sizes needed."""
    table[-1, F_STACK] = table[-1, F_REVERSE] = 0
    stack = reverse = 0
    for row in table[::-1]:
        kept = row[F_PAD] * stride(row[F_PAD])
        full = (wide(row[F_E]) + row[F_K]) * stride(wide(row[F_E]) + row[F_PAD])
        end, end_reverse = row[F_STACK] + kept, row[F_REVERSE] + full
        stack, reverse = max(stack, end), max(reverse, end_reverse)
        for column in (F_CHILD_A, F_CHILD_B):
            if row[column] >= 0:
                child = table[row[column]]
                child[F_STACK], child[F_REVERSE] = end, end_reverse
                end += child[F_PAD] * stride(child[F_PAD])
    return int(stack), int(reverse)
