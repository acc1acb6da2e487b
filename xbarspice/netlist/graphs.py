"""Circuits as graphs: are two of them the same, whatever their inner nodes are called?

Nodes with fixed meaning (pins, nodes of sources) are anchors. From there every node is matched that
has to be: the only neighbour through elements of one kind and value. Where that ends, colour
refinement (Weisfeiler and Leman 1968) tells more nodes apart. The result is then checked element by
element, so that a wrong match cannot pass; circuits with nodes that cannot be told apart are said
to differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Edge", "Matching", "same"]


class Edge(NamedTuple):
    """A two-terminal element: what it is (kind, value, parameters), and its nodes.

    Attributes:
        label: equal for elements that do the same.
        a, b: nodes.
        symmetric: whether the terminals may be exchanged.
    """

    label: Hashable
    a: str
    b: str
    symmetric: bool = False


_Neighbours = dict[str, dict[Hashable, set[str]]]
"""node -> (label, terminal) -> the nodes at the other terminal."""


class Matching:
    """Nodes of one circuit and their partners in another one."""

    def __init__(
        self, expected: Sequence[Edge], actual: Sequence[Edge], anchors: Mapping[str, str]
    ) -> None:
        self.partner: dict[str, str] = {}
        self.inverse: dict[str, str] = {}
        self._graphs = (_neighbours(expected), _neighbours(actual))
        self._open = tuple(
            {node: {key: set(ends) for key, ends in sides.items()} for node, sides in graph.items()}
            for graph in self._graphs
        )
        self._match(anchors.items())

    def _match(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Note pairs, and every pair that follows from them."""
        queue = list(pairs)
        while queue:
            u, v = queue.pop()
            if u in self.partner or v in self.inverse:
                continue
            self.partner[u], self.inverse[v] = v, u
            places = [(u, key) for key in self._open[0].get(u, ())]
            for graph, sets, node in zip(self._graphs, self._open, (u, v), strict=True):
                for key, ends in graph.get(node, {}).items():
                    for end in ends:
                        sets[end][_mirror(key)].discard(node)
                        if graph is self._graphs[0] and end in self.partner:
                            places.append((end, _mirror(key)))
            for node, key in places:
                ends = self._open[0][node][key]
                partners = self._open[1].get(self.partner[node], {}).get(key, ())
                if len(ends) == len(partners) == 1:
                    queue.append((next(iter(ends)), next(iter(partners))))

    def refine(self) -> None:
        """Match also the nodes that colour refinement tells apart."""
        colours = tuple(dict.fromkeys(graph, 0) for graph in self._graphs)
        while True:
            before = len(self.partner)
            fixed = {node: -1 - k for k, node in enumerate(self.partner)}
            mirror = {self.partner[n]: colour for n, colour in fixed.items()}
            classes = len(set(colours[0].values()))
            colours = _refine(self._graphs, (colours[0] | fixed, colours[1] | mirror))
            alone = [
                {colour: node for node, colour in side.items() if counts[colour] == 1}
                for side in colours
                for counts in [Counter(side.values())]
            ]
            self._match((node, alone[1][c]) for c, node in alone[0].items() if c in alone[1])
            if len(self.partner) == before and len(set(colours[0].values())) <= classes:
                return


def same(expected: Sequence[Edge], actual: Sequence[Edge], anchors: Mapping[str, str]) -> bool:
    """Whether two circuits are equal but for the names of nodes that are no anchors.

    Args:
        expected, actual: their elements.
        anchors: node of `expected` -> the node of `actual` that it must be.
    """
    if len(expected) != len(actual) or Counter(e.label for e in expected) != Counter(
        e.label for e in actual
    ):
        return False
    matching = Matching(expected, actual, anchors)
    nodes = {n for e in expected for n in (e.a, e.b)}
    if not nodes <= matching.partner.keys():
        matching.refine()
    partner = matching.partner
    if not nodes <= partner.keys() or any(partner.get(a, b) != b for a, b in anchors.items()):
        return False
    moved = (Edge(e.label, partner[e.a], partner[e.b], e.symmetric) for e in expected)
    return Counter(map(_canonical, moved)) == Counter(map(_canonical, actual))


def _canonical(edge: Edge) -> Edge:
    """The same for a symmetric element and its mirror image."""
    if edge.symmetric and edge.b < edge.a:
        return Edge(edge.label, edge.b, edge.a, edge.symmetric)
    return edge


def _neighbours(edges: Sequence[Edge]) -> _Neighbours:
    graph: _Neighbours = defaultdict(lambda: defaultdict(set))
    for edge in edges:
        for terminal, (node, end) in enumerate(((edge.a, edge.b), (edge.b, edge.a))):
            graph[node][(edge.label, -1 if edge.symmetric else terminal)].add(end)
    return {node: dict(sides) for node, sides in graph.items()}


def _mirror(key: Hashable) -> Hashable:
    """How the other end of an element sees it."""
    label, terminal = key  # type: ignore[misc]
    return (label, terminal if terminal < 0 else 1 - terminal)


def _refine(
    graphs: tuple[_Neighbours, _Neighbours], colours: tuple[dict[str, int], dict[str, int]]
) -> tuple[dict[str, int], dict[str, int]]:
    """One round: a node's new colour is its old one with those of its neighbours."""
    names: dict[Hashable, int] = {}
    out = []
    for graph, old in zip(graphs, colours, strict=True):
        new = {}
        for node, sides in graph.items():
            around = frozenset(
                (key, tuple(sorted(old[end] for end in ends))) for key, ends in sides.items()
            )
            new[node] = names.setdefault((old[node], around), len(names))
        out.append(new)
    return out[0], out[1]
