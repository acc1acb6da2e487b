"""Where a deck is another one than that which we write for the same array."""

from __future__ import annotations

from collections.abc import Iterator

from xbarspice.core.errors import NetlistError
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.deck import Deck, DeckElement
from xbarspice.netlist.graphs import same
from xbarspice.netlist.numbers import number
from xbarspice.netlist.records import place

__all__ = ["refuse_differences"]

_SHOWN = 5
"""Differences that an error names one by one."""

_LOOSER = 10.0
"""How many times the tolerances of a deck may exceed those of its array: what an edited value or
drive leaves behind does not move a current by more than the rounding of ten such steps."""


def refuse_differences(expected: Deck, deck: Deck) -> None:
    """Hold the circuit, model, options and analysis of a text against those that we write.

    Raises:
        NetlistError: the first places where they differ.
    """
    problems: list[str] = []
    if not same(expected.edges, deck.edges, _all_anchors(expected, deck)):
        differences = list(_differences(expected, deck))
        problems += differences or ["the connections are others than those of the crossbar"]
    problems += _card_differences("device model", expected.models, deck.models)
    problems += _card_differences("analysis", expected.control, deck.control)
    problems += _option_differences(expected, deck)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NetlistError(
            f"the netlist must describe the crossbar, and {_count_words(len(problems))}: "
            f"{'; '.join(problems[:_SHOWN])}{more}. "
            "Write it again, or read it to see what it holds."
        )
    deck.refuse_saves()


def _all_anchors(expected: Deck, deck: Deck) -> dict[str, str]:
    """Nodes of sources, which keep their names."""
    anchors = {"0": "0"}
    for e in expected.sources:
        if e.name in deck.elements:
            anchors |= dict(zip(e.nodes, deck.elements[e.name].nodes, strict=True))
    return anchors


def _differences(expected: Deck, deck: Deck) -> Iterator[str]:
    """What differs, place by place, as far as elements have the names that we write."""
    for name, e in expected.elements.items():
        counterpart = deck.elements.get(name)
        if counterpart is None:
            yield f"{place(name)}: {name} is missing"
        elif counterpart.edge != e.edge:
            yield f"{place(name)}: line {counterpart.card.at} {_difference(e, counterpart)}"
    for name, e in deck.elements.items():
        if name not in expected.elements:
            yield f"line {e.card.at}: {name} ({place(name)}) has no place in the crossbar"


def _difference(expected: DeckElement, e: DeckElement) -> str:
    if e.nodes != expected.nodes:
        nodes = "-".join(e.nodes), "-".join(expected.nodes)
        return f"connects {e.name} to {nodes[0]} instead of {nodes[1]}"
    values = [" ".join(item.card.words[3:]) for item in (e, expected)]
    short = [s if len(s) <= 60 else s[:57] + "..." for s in values]
    return f"gives {e.name} the value {short[0]} instead of {short[1]}"


def _card_differences(subject: str, expected: list[Card], cards: list[Card]) -> Iterator[str]:
    """The first card of a section that is not the writer's."""
    for a, b in zip(cards, expected, strict=False):
        if a.text != b.text:
            yield f"{subject}: line {a.at} is {a.text[:60]!r} instead of {b.text[:60]!r}"
            return
    if len(cards) > len(expected):
        surplus = cards[len(expected)]
        yield f"{subject}: line {surplus.at} is too much: {surplus.text[:60]!r}"
    elif len(cards) < len(expected):
        yield f"{subject}: {expected[len(cards)].text[:60]!r} is missing"


def _option_differences(expected: Deck, deck: Deck) -> Iterator[str]:
    """Options that are none of ours, or tolerances that are much looser than the array's."""
    if len(deck.options) != 1:
        lines = ", ".join(str(card.at) for card in deck.options) or "none"
        yield f"there must be one .options card (in lines: {lines})"
        return
    card = deck.options[0]
    limits, options = _options(expected.options[0]), _options(card)
    if limits.keys() != options.keys():
        odd = sorted(limits.keys() ^ options.keys())
        yield f"line {card.at}: the options must be those that we write, not {odd} otherwise"
        return
    for key, limit in limits.items():
        value = options[key]
        if limit is None or value is None:
            if limit != value:
                yield f"line {card.at}: the option {key} has another form"
        elif not 0 < value <= limit * (_LOOSER if key in ("abstol", "vntol") else 1.0):
            yield f"line {card.at}: {key}={value:g} is looser than {limit:g}"


def _options(card: Card) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for word in card.words[1:]:
        key, equals, value = word.lower().partition("=")
        if key in out:
            refuse(card, f"the option {key} occurs twice")
        out[key] = number(value) if equals else None
    return out


def _count_words(count: int) -> str:
    return "1 place differs" if count == 1 else f"{count} places differ"
