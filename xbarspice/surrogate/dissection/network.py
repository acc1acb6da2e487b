"""The elements of a crossbar between its nodes, of which those joined by 0 ohm are one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["Network", "Topology", "network_of", "topology_of"]


class Topology(NamedTuple):
    """What the tree depends on.

    Attributes:
        rows, cols: shape of the array.
        wl_ends, bl_ends: what both ends of every line are.
        each: whether every segment and end has a conductance of its own; else there are those of
            `WIRES`.
        zero: which of these are exactly 0 ohm, a byte each, in the order of `Plan.element`.
    """

    rows: int
    cols: int
    wl_ends: tuple[tuple[str, str], ...]
    bl_ends: tuple[tuple[str, str], ...]
    each: bool
    zero: bytes


def topology_of(crossbar: Crossbar, R: Array) -> Topology:
    """The part of a crossbar that decides its elimination tree.

    `R` are the resistances of `WIRES`, or of all its segments and ends, ohm, in the order of
    `Plan.element`.
    """
    return Topology(
        crossbar.rows,
        crossbar.cols,
        tuple((str(a), str(b)) for a, b in crossbar.wl_ends),
        tuple((str(a), str(b)) for a, b in crossbar.bl_ends),
        not crossbar.uniform,
        (R == 0).tobytes(),
    )


class Network(NamedTuple):
    """Elements between nodes, of which those joined by 0 ohm are one.

    Attributes:
        low, high: nodes of every element, cell by cell.
        value: its value number, see `Plan.element`.
        cell: its cell, by rows.
        degree: elements at every node.
        first_terminal, first_sink, ground: the first source, the first sink, and the last node:
            the common ground of sensed word lines.
    """

    low: Indices
    high: Indices
    value: Indices
    cell: Indices
    degree: Indices
    first_terminal: int
    first_sink: int
    ground: int


def network_of(t: Topology) -> Network:
    """The elements of an array."""
    cells = t.rows * t.cols
    ground = 2 * cells + t.rows + 2 * t.cols
    a, b, value = _all_elements(t, ground)
    order = np.argsort(a % cells, kind="stable")
    a, b, value = a[order], b[order], value[order]
    zero = np.flatnonzero(np.frombuffer(t.zero, bool))
    alias = _merge(ground + 1, a, b, np.isin(value, cells + zero))
    x, y = alias[a], alias[b]
    apart = x != y
    x, y = x[apart], y[apart]
    degree = np.bincount(np.concatenate([x, y]), minlength=ground + 1)
    return Network(
        low=np.minimum(x, y),
        high=np.maximum(x, y),
        value=value[apart],
        cell=(a % cells)[apart],
        degree=degree,
        first_terminal=2 * cells,
        first_sink=2 * cells + t.rows,
        ground=ground,
    )


def _all_elements(t: Topology, ground: int) -> Indices:
    """Devices, segments and ends, also those of 0 ohm: (3, count), see `_elements`."""
    cells = t.rows * t.cols
    wl = np.arange(cells).reshape(t.rows, t.cols)
    bl = cells + wl
    source = 2 * cells + np.arange(t.rows)
    sense = 2 * cells + t.rows + np.arange(t.cols)
    drive = sense + t.cols  # bit lines that are driven, not sensed
    on_wl, on_bl, of_ends = _value_numbers(t)
    groups = [
        _elements(wl, bl, wl),
        _elements(wl[:, :-1], wl[:, 1:], on_wl),
        _elements(bl[:-1], bl[1:], on_bl),
    ]
    word_lines = (t.wl_ends, (wl[:, 0], wl[:, -1]), source, np.full(t.rows, ground))
    bit_lines = (t.bl_ends, (bl[0], bl[-1]), drive, sense)
    for kind, (ends, nodes, driver, sink) in enumerate((word_lines, bit_lines)):
        for side, kinds in enumerate(np.array(ends).T):
            for end, terminal in ((End.DRIVEN, driver), (End.SENSED, sink)):
                some = kinds == str(end)
                values = of_ends[end][kind][some, side]
                groups.append(_elements(nodes[side][some], terminal[some], values))
    return np.concatenate(groups, axis=1)


def _value_numbers(t: Topology) -> tuple[Indices, Indices, dict[End, tuple[Indices, Indices]]]:
    """Value numbers (`Plan.element`) of the segments of word and bit lines, and of ends.

    The latter by their role, (rows, 2) and (cols, 2).
    """
    cells = t.rows * t.cols
    shapes = ((t.rows, t.cols - 1), (t.rows - 1, t.cols), (t.rows, 2), (t.cols, 2))
    if t.each:
        sizes = [math.prod(shape) for shape in shapes]
        starts = cells + np.cumsum(sizes) - sizes
        numbers = [
            start + np.arange(size).reshape(shape)
            for start, size, shape in zip(starts, sizes, shapes, strict=True)
        ]
        ends = (numbers[2], numbers[3])
        return numbers[0], numbers[1], {End.DRIVEN: ends, End.SENSED: ends}
    wl, bl = (np.full(shape, cells + k) for k, shape in enumerate(shapes[:2]))
    driven, sensed = (
        (np.full(shapes[2], cells + k), np.full(shapes[3], cells + k)) for k in (2, 3)
    )
    return wl, bl, {End.DRIVEN: driven, End.SENSED: sensed}


def _elements(a: Indices, b: Indices, value: Indices) -> Indices:
    """Elements (3, count) between nodes."""
    return np.array([a.ravel(), b.ravel(), value.ravel()])


def _merge(count: int, a: Indices, b: Indices, joined: Flags) -> Indices:
    """The node that stands for every node: the highest of those joined, so that terminals stay."""
    a, b = a[joined], b[joined]
    alias = np.arange(count)
    while (alias[a] != alias[b]).any():
        np.maximum.at(alias, a, alias[b])
        np.maximum.at(alias, b, alias[a])
        alias = alias[alias]
    return alias
