"""Where a design's text says something else than its arrays, in words for an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.netlist.cards import Card, Text
from xbarspice.netlist.cells import Cell, Element
from xbarspice.netlist.design import Design
from xbarspice.netlist.dialects.base import Dialect
from xbarspice.netlist.graphs import Edge
from xbarspice.netlist.numbers import conductance
from xbarspice.netlist.records import place

__all__ = [
    "connection_differences",
    "header_differences",
    "inexact_values",
    "model_differences",
    "pin_differences",
]

_TILE = re.compile(r"([A-Za-z])t(\d+)_(.*)")
_HEADER = re.compile(r"(config|form|device|tile \d+|pins): .*", re.ASCII)


def header_differences(text: Text, expected: Text) -> Iterator[str]:
    """Header lines that say something else than those of the design."""
    lines = {c.text for c in expected.comments}
    for comment in text.comments:
        if _HEADER.fullmatch(comment.text) and comment.text not in lines:
            yield f"line {comment.at} of the header says {comment.text[:60]!r}"


def model_differences(
    models: Sequence[Card], expected: Sequence[Card], dialect: Dialect
) -> Iterator[str]:
    """The first card of device models and directives that is not the writer's."""

    def plain(card: Card) -> str:
        return card.text if '"' in card.text else dialect.fold(card.text)

    for a, b in zip(models, expected, strict=False):
        if plain(a) != plain(b):
            yield f"device model: line {a.at} is {a.text[:60]!r} instead of {b.text[:60]!r}"
            return
    for card in models[len(expected) :]:
        yield f"line {card.at}: {card.text[:60]!r} is no card that we write"
    if len(models) < len(expected):
        yield f"device model: {expected[len(models)].text[:60]!r} is missing"


def inexact_values(flat: Cell, intended: Design) -> Iterator[str]:
    """Records of devices that do not give back the conductance bit by bit."""
    for e in flat.elements:
        tile, name = _tile_of("", e.name)
        match = re.fullmatch(r"[RX]d_(\d+)_(\d+)", name)
        text = conductance(e.value) if e.value else dict(e.params).get(CONDUCTANCE)
        if match and text is not None:
            G = float(intended.crossbars[tile].G[int(match[1]), int(match[2])])
            if float(text) != G:
                yield f"tile {tile}, {place(name)}: G {float(text)!r} S is not {G!r} S"


def pin_differences(pins: Sequence[str], expected: Sequence[str]) -> str:
    """The first pin that is another one than expected, or how many there are."""
    for k, (a, b) in enumerate(zip(pins, expected, strict=False)):
        if a.lower() != b.lower():
            return f"pins differ: pin {k} is {a} instead of {b}"
    return f"pins are {len(pins)} instead of {len(expected)}"


def connection_differences(
    expected: Sequence[Element],
    elements: Sequence[tuple[str, Element]],
    edge: Callable[[Element], Edge],
    *,
    several: bool,
) -> Iterator[str]:
    """What differs, place by place, as far as elements and nodes have the names that we write.

    Args:
        expected: the elements that there must be.
        elements: those of the text, (path of instances, element).
        edge: what an element does, with its nodes.
        several: whether the design has more than one tile.
    """
    table: dict[tuple[int, str], tuple[Element, tuple[str, ...]]] = {}
    owner: dict[str, str] = {}
    for path, e in elements:
        tile, name = _tile_of(path, e.name)
        table[tile, name.lower()] = e, tuple(_canonical(tile, n, owner) for n in e.nodes)
    places = set()
    for e in expected:
        tile, name = _tile_of("", e.name)
        places.add((tile, name.lower()))
        edge_nodes = edge(e).a, edge(e).b
        plain = [n.removeprefix(f"t{tile}_") if several else n for n in edge_nodes]
        nodes = [_canonical(tile, n, {}) for n in plain]
        where = f"tile {tile}, {place(name)}"
        counterpart, ends = table.get((tile, name.lower()), (None, ()))
        if counterpart is None:
            yield f"{where}: {name} is missing"
        elif _sort_nodes(e, ends) != _sort_nodes(e, nodes):
            yield f"{where}: {name} connects {'-'.join(ends)} instead of {'-'.join(nodes)}"
        elif edge(counterpart).label != edge(e).label:
            with_model = counterpart.model != e.model
            pair = [_value(item, model=with_model) for item in (counterpart, e)]
            yield f"{where}: {name} has the value {pair[0]} instead of {pair[1]}"
    for tile, name in table.keys() - places:
        yield f"tile {tile}, {place(name)}: {table[tile, name][0].name} has no place in the design"


def _sort_nodes(element: Element, nodes: Sequence[str]) -> list[str]:
    """Nodes in an order that is the same where the terminals may be exchanged."""
    return sorted(nodes) if element.kind in "RC" else list(nodes)


def _value(e: Element, *, model: bool) -> str:
    words = [e.model] if model else []
    return " ".join([*words, e.value or " ".join(f"{k}={v}" for k, v in e.params)])


def _tile_of(path: str, name: str) -> tuple[int, str]:
    """Tile number and plain element name: from ``Xt1_tile.`` paths or ``Rt1_w_0_0`` names."""
    if tile := _TILE.match(path):
        return int(tile[2]), name
    if tile := _TILE.fullmatch(name):
        return int(tile[2]), tile[1] + tile[3]
    return 0, name


def _canonical(tile: int, node: str, owner: dict[str, str]) -> str:
    """The node's name without its path; the same name on two paths is a broken connection."""
    leaf = node.rpartition(".")[2]
    if inner := _TILE.fullmatch("x" + leaf):
        leaf = inner[3]
    first = owner.setdefault(f"{tile}.{leaf}", node)
    return leaf if first == node else f"{leaf} (of {node})"
