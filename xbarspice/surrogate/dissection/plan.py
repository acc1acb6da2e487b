"""The elimination tree of a crossbar shape: which nodes are eliminated where, as flat arrays.

The array is halved along its longer side until blocks of at most 2x2 cells remain (nested
dissection, George 1973, doi:10.1137/0710032). The *front* of a block holds its elements and the
fronts of its halves, eliminates every node whose elements it has all seen, and hands the rest to
the parent. Sources and sense nodes are terminals and are never eliminated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from xbarspice.core.types import Flags, Indices
from xbarspice.surrogate.dissection.network import Network, Topology, network_of

__all__ = ["TILE", "Plan", "plan_of"]


TILE = 4
"""Eliminated and kept nodes of a front are each padded to a multiple of this, so that kernels see
whole tiles only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The tree in post-order; positions count vectors (one number of every lane).

    Attributes:
        rows, cols: shape of the array.
        front: (fronts, 19) integers a front, see the ``F_*`` constants of this module.
        element: (elements, 3): position of the two nodes in their front, and the value number:
            cells count from 0 by rows, then the four shared conductances (`WIRES`), or those of
            every segment of the word lines (rows, cols - 1) and of the bit lines (rows - 1, cols)
            and of every end (rows, 2), (cols, 2).
        child_map: positions of every front's kept nodes in the front of its parent.
        halves: (positions, 2): which kept node of its first and of its second child every node of a
            front is; the padded count of these where it is none.
        conductances: number of those of an array, with its segments and ends.
        panels: size of all panels together.
        stack: size of the forward workspace.
        reverse_stack: size of the reverse workspace.
        voltages: size of the largest matrix of eliminated and kept nodes of a front, either padded.
        broadest: largest padded count of kept nodes of a front, and 1.
        widest: largest panel of one front.
        source_row: word line of every source terminal.
        sink_col: bit line of every sink terminal, -1 for the common ground.
    """

    rows: int
    cols: int
    front: Indices
    element: Indices
    child_map: Indices
    halves: Indices
    conductances: int
    panels: int
    stack: int
    reverse_stack: int
    voltages: int
    broadest: int
    widest: int
    source_row: Indices
    sink_col: Indices


# Columns of `Plan.front`: eliminated nodes, kept nodes, kept nodes padded, kept nodes before the
# first source, kept nodes before the first sink, then positions: panel, forward stack, reverse
# stack, first element; element count; the two children (-1: none), the parent (-1: root); position
# in `child_map` of the front's kept nodes, and in `halves` of all its nodes; eliminated nodes
# padded; distance of the rows of the panel and of the matrix H of the reverse mode, of the kept
# matrix, and of a matrix of the eliminated nodes.
F_E, F_K, F_PAD, F_SOURCE, F_SINK, F_PANEL, F_STACK, F_REVERSE = range(8)
F_ELEMENT, F_ELEMENTS, F_CHILD_A, F_CHILD_B, F_PARENT, F_MAP, F_HALVES = range(8, 15)
F_TALL, F_WIDTH, F_ROW, F_HIGH = range(15, 19)
FRONT_COLUMNS = 19


def _halve(block: tuple[int, int, int, int], depth: int, out: list[tuple[int, ...]]) -> int:
    """Append the blocks below a block, and then itself; returns its number.

    A row holds first and last row and column of the block, its depth and its two halves or -1.
    """
    r0, r1, c0, c1 = block
    if r1 - r0 <= 2 and c1 - c0 <= 2:
        halves = (-1, -1)
    elif c1 - c0 >= r1 - r0:
        cut = (c0 + c1) // 2
        left = _halve((r0, r1, c0, cut), depth + 1, out)
        halves = (left, _halve((r0, r1, cut, c1), depth + 1, out))
    else:
        cut = (r0 + r1) // 2
        top = _halve((r0, cut, c0, c1), depth + 1, out)
        halves = (top, _halve((cut, r1, c0, c1), depth + 1, out))
    out.append((*block, depth, *halves))
    return len(out) - 1


class _Tree(NamedTuple):
    """Nodes of all fronts, sorted by front and by the time of their elimination.

    Attributes:
        children: (fronts, 2); -1 for none.
        parent: of every front; -1 for the root, which is the last.
        leaf: front that holds the elements of every cell.
        front, node: of every entry.
        gone: whether the front eliminates the node.
    """

    children: Indices
    parent: Indices
    leaf: Indices
    front: Indices
    node: Indices
    gone: Flags


def _tree(t: Topology, network: Network) -> _Tree:
    rows: list[tuple[int, ...]] = []
    _halve((0, t.rows, 0, t.cols), 0, rows)
    blocks = np.array(rows, np.int64)
    children, parent = blocks[:, 5:], np.full(len(blocks), -1)
    leaf = np.empty((t.rows, t.cols), np.int64)
    for k, (r0, r1, c0, c1, _depth, *halves) in enumerate(rows):
        if halves[0] < 0:
            leaf[r0:r1, c0:c1] = k
        else:
            parent[halves] = k
    front, node, gone = _climb(blocks[:, 4], parent, leaf.ravel()[network.cell], network)
    order = np.lexsort((node[gone], front[gone]))
    time = len(order) + np.arange(len(network.degree))  # terminals stay: they are the last
    time[node[gone][order]] = np.arange(len(order))
    # the order is the same in a front and its parent, so upper triangles stay upper
    order = np.lexsort((time[node], front))
    return _Tree(children, parent, leaf.ravel(), front[order], node[order], gone[order])


def _climb(
    depth: Indices, parent: Indices, leaf: Indices, network: Network
) -> tuple[Indices, Indices, Flags]:
    """Fronts, their nodes and whether these are eliminated there, the deepest blocks first.

    `leaf` is the front of every element. A node goes where all of its elements are in the block.
    """
    count = len(network.degree)
    ends = np.concatenate([leaf * count + network.low, leaf * count + network.high])
    leaves, elements = np.unique(ends, return_counts=True)
    kept, of_kept = leaves[:0], elements[:0]
    entries: list[tuple[Indices, Indices, Flags]] = []
    for level in range(int(depth.max()), -1, -1):
        here = depth[leaves // count] == level
        keys, which = np.unique(np.concatenate([leaves[here], kept]), return_inverse=True)
        seen = np.zeros(len(keys), np.int64)
        np.add.at(seen, which.ravel(), np.concatenate([elements[here], of_kept]))
        front, node = np.divmod(keys, count)
        gone = (node < network.first_terminal) & (seen == network.degree[node])
        entries.append((front, node, gone))
        kept, of_kept = (parent[front] * count + node)[~gone], seen[~gone]
    front, node, gone = (np.concatenate(part) for part in zip(*entries, strict=True))
    return front, node, gone


@lru_cache(maxsize=64)
def plan_of(topology: Topology) -> Plan:
    """Build (or recall) the elimination tree of a topology."""
    network = network_of(topology)
    tree = _tree(topology, network)
    table = np.full((len(tree.parent), FRONT_COLUMNS), -1, dtype=np.int64)
    kept = ~tree.gone
    for column, chosen in (
        (F_E, tree.gone),
        (F_K, kept),
        (F_SOURCE, kept & (tree.node < network.first_terminal)),
        (F_SINK, kept & (tree.node < network.first_sink)),
    ):
        table[:, column] = np.bincount(tree.front[chosen], minlength=len(table))
    table[:, F_TALL], table[:, F_PAD] = wide(table[:, F_E]), wide(table[:, F_K])
    table[:, F_WIDTH] = stride(table[:, F_TALL] + table[:, F_PAD])
    table[:, F_ROW], table[:, F_HIGH] = table[:, F_PAD] + 1, stride(table[:, F_TALL])
    table[:, F_PANEL] = _starts(_panel(table))
    table[:, F_CHILD_A], table[:, F_CHILD_B] = tree.children.T
    table[:, F_PARENT] = tree.parent
    element, child_map = _positions(network, tree, table)
    halves = _halves(table, child_map)
    stack, reverse = _stack_positions(table)
    terminals = tree.node[kept & (tree.front == len(table) - 1)]
    sinks = terminals[terminals >= network.first_sink]
    return Plan(
        rows=topology.rows,
        cols=topology.cols,
        front=table,
        element=element,
        child_map=child_map,
        halves=halves,
        conductances=topology.rows * topology.cols + len(topology.zero),
        panels=int(_panel(table).sum()),
        stack=stack,
        reverse_stack=reverse,
        voltages=int((table[:, F_TALL] * table[:, [F_ROW, F_HIGH]].max(axis=1)).max()),
        broadest=int(table[:, F_ROW].max()),
        widest=int(_panel(table).max()),
        source_row=terminals[terminals < network.first_sink] - network.first_terminal,
        sink_col=np.where(
            sinks == network.ground, -1, (sinks - network.first_sink) % topology.cols
        ),
    )


def _positions(network: Network, tree: _Tree, table: Indices) -> tuple[Indices, Indices]:
    """`Plan.element` and `Plan.child_map`, whose places are entered in the table."""
    E, count = table[:, F_E], len(network.degree)
    position = np.arange(len(tree.front)) - _starts(E + table[:, F_K])[tree.front]
    position += np.where(tree.gone, 0, (wide(E) - E)[tree.front])  # kept nodes begin on a tile
    key = tree.front * count + tree.node
    by_key = np.argsort(key)

    def where(front: Indices, node: Indices) -> Indices:
        return position[by_key[np.searchsorted(key[by_key], front * count + node)]]

    front = tree.leaf[network.cell]
    ends = np.sort([where(front, network.low), where(front, network.high)], axis=0)
    element = np.array([*ends, network.value])[:, np.argsort(front, kind="stable")].T
    table[:, F_ELEMENTS] = np.bincount(front, minlength=len(table))
    table[:, F_ELEMENT] = _starts(table[:, F_ELEMENTS])
    below = ~tree.gone & (tree.parent[tree.front] >= 0)
    front, node = tree.front[below], tree.node[below]
    order = np.argsort(tree.parent[front], kind="stable")  # children of a front side by side
    front, node = front[order], node[order]
    first = np.flatnonzero(np.diff(front, prepend=-1))
    table[front[first], F_MAP] = first
    return np.ascontiguousarray(element), where(tree.parent[front], node)


def _halves(table: Indices, child_map: Indices) -> Indices:
    """`Plan.halves`, whose places are entered in the table."""
    parents = np.flatnonzero(table[:, F_CHILD_A] >= 0)
    children = table[parents][:, [F_CHILD_A, F_CHILD_B]]
    sizes = (table[:, F_TALL] + table[:, F_PAD])[parents]
    table[parents, F_HALVES] = _starts(sizes)
    out = np.repeat(table[children, F_PAD], sizes, axis=0)
    for side, child in enumerate(children.T):
        K = table[child, F_K]
        node = np.arange(K.sum()) - np.repeat(_starts(K), K)
        position = child_map[np.repeat(table[child, F_MAP], K) + node]
        out[np.repeat(table[parents, F_HALVES], K) + position, side] = node
    return out


def _starts(sizes: Indices) -> Indices:
    """Where parts of these sizes begin, one behind the other."""
    return np.cumsum(sizes) - sizes


def wide(count: Any) -> Any:
    """A number of nodes, or several, padded to whole tiles."""
    return -(-count // TILE) * TILE


def stride(across: Any) -> Any:
    """Distance of the rows of a matrix that is `across` wide: long rows are an odd number of tiles.

    A column of a matrix whose rows are a power of two apart falls into a few sets of the caches.
    """
    return across + TILE * ((across >= 32) & (across % (2 * TILE) == 0))


def _panel(table: Indices) -> Indices:
    """Sizes of the fronts' panels: a row and a scale for every eliminated node."""
    return table[:, F_E] * (table[:, F_WIDTH] + 1)


def _stack_positions(table: Indices) -> tuple[int, int]:
    """Place every front above its parent (forward also above its elder sibling); sizes needed."""
    kept = table[:, F_PAD] * table[:, F_ROW]
    whole = (table[:, F_TALL] + table[:, F_K]) * table[:, F_WIDTH]
    sizes, sizes_whole = kept.tolist(), whole.tolist()
    children = table[:, [F_CHILD_A, F_CHILD_B]].tolist()
    stack, reverse = [0] * len(table), [0] * len(table)
    for k in range(len(table) - 1, -1, -1):
        end = stack[k] + sizes[k]
        for child in children[k]:
            if child >= 0:
                stack[child], reverse[child] = end, reverse[k] + sizes_whole[k]
                end += sizes[child]
    table[:, F_STACK], table[:, F_REVERSE] = stack, reverse
    return int((table[:, F_STACK] + kept).max()), int((table[:, F_REVERSE] + whole).max())
