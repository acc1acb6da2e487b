"""Reads the cards of an ngspice deck of one array: those that we write, and no others."""

from __future__ import annotations

import re

from xbarspice.core.errors import NetlistError
from xbarspice.core.wires import EACH, WIRES
from xbarspice.netlist.cards import Card, Text, refuse
from xbarspice.netlist.deck import Deck, DeckElement
from xbarspice.netlist.numbers import SPICE_FACTORS, exact, number
from xbarspice.netlist.records import SIDES

__all__ = ["parse"]

_COUNT = re.compile(r"[1-9]\d{0,6}", re.ASCII)
_HEADER = {
    "version": re.compile(r"\S+"),
    "config": re.compile(r"[0-9a-f]{64}", re.ASCII),
    "rows": _COUNT,
    "cols": _COUNT,
    "vectors": _COUNT,
    "device": re.compile(r"[A-Za-z]\w*( \w+=\S+)*", re.ASCII),
    **{name: re.compile(r"\S+") for name in WIRES},
    **{side: re.compile(r"[a-z]+( [a-z]+)*", re.ASCII) for side in SIDES},
}
_NODE = re.compile(r"[a-z]\w*|[1-9]\d*|0", re.ASCII)
_NAME = re.compile(r"[rxvb]\w+", re.ASCII)
_KEY = re.compile(r"[a-z]\w*", re.ASCII)
_PLATEAUS = re.compile(r"v=pwl\(v\(idx\),([^()]*)\)")
_INDEX = {
    "vidx": ("idx", "0", "0"),
    "ridx": ("idx", "0", "1"),
    "bidx": ("at", "0", "v=nint(v(idx))"),
}
"""Nodes and value of what `xbarspice.netlist.dialects.ngspice.SWEEP` adds to a sweep."""


def parse(lines: Text) -> Deck:
    """Sort the cards of a deck.

    Raises:
        NetlistError: a line is not understood completely, or the header is not ours.
    """
    if not lines.comments or lines.comments[0].at != 1:
        raise NetlistError(
            "line 1: the first line of a netlist must be a comment, because ngspice takes it as "
            "the title and xbarspice writes its header there. Write the netlist again."
        )
    deck = Deck()
    _read_header(deck, lines)
    section = ""
    for k, card in enumerate(lines.cards):
        head = card.words[0].lower()
        if section == "control":
            if card.remark:
                refuse(card, "a command must be alone on its line")
            section = "" if head == ".endc" else section
            deck.control.append(card)
        elif section == "model":
            deck.models.append(card)
            section = "" if head == ".ends" else section
        elif head == ".control" and len(card.words) == 1:
            section = "control"
            deck.control.append(card)
        elif head == ".subckt":
            section = "model"
            deck.models.append(card)
        elif head in (".options", ".option"):
            deck.options.append(card)
        elif head == ".save":
            deck.saves.append(card)
        elif head == ".end" and len(card.words) == 1:
            if k + 1 < len(lines.cards):
                refuse(lines.cards[k + 1], "nothing may follow .end")
        elif head[0] == ".":
            refuse(card, "this card is not one that we write")
        else:
            _add_element(deck, card)
    if section:
        raise NetlistError(f"the {section} section must end; the text is cut off.")
    return deck


def _read_header(deck: Deck, lines: Text) -> None:
    for comment in lines.comments:
        key, colon, value = comment.text.partition(": ")
        if key not in _HEADER or not colon:
            continue
        if key in deck.header:
            refuse(comment, f"the header line {key!r} occurs twice")
        if not _HEADER[key].fullmatch(value):
            refuse(comment, f"the header line {key!r} has no readable value")
        deck.header[key] = Card(comment.at, value)
    missing = _HEADER.keys() - deck.header.keys()
    if missing:
        raise NetlistError(
            f"the netlist must have xbarspice's header; the lines {sorted(missing)} are missing. "
            "Only ngspice decks that xbarspice wrote can be read back; `xbarspice import` reads "
            "netlists of resistor crossbars by other hands."
        )
    for key in WIRES:
        try:
            if deck.header_text(key) != EACH[key]:
                number(deck.header_text(key))
        except NetlistError as error:
            refuse(deck.header[key], f"the header line {key!r} must be a resistance ({error})")


def _add_element(deck: Deck, card: Card) -> None:
    words = card.words
    name = words[0].lower()
    if not _NAME.fullmatch(name) or len(words) < 4:
        refuse(card, "this is not an element that we write (R, X, V, B)")
    if name in deck.elements:
        first = deck.elements[name].card.at
        refuse(card, f"{words[0]} occurs twice; first in line {first}")
    for node in words[1:3]:
        if not _NODE.fullmatch(node.lower()) or node.lower() == "gnd":
            refuse(card, f"{node} is no name of a node that we write")
    nodes = (words[1].lower(), words[2].lower())
    try:
        deck.elements[name] = _element(card, name, nodes, words[3:])
    except NetlistError as error:
        if str(error).startswith("line "):
            raise
        refuse(card, f"{words[0]} has no readable value ({error})")


def _element(card: Card, name: str, nodes: tuple[str, str], words: list[str]) -> DeckElement:
    if name in _INDEX:
        if (*nodes, "".join(words).lower()) != _INDEX[name]:
            refuse(card, f"{name} must be that of the sweep")
        return DeckElement(name, nodes, card=card)
    if name[0] in "rv":
        if len(words) != 1:
            refuse(card, "an element must have two nodes and one value, and nothing else")
        return DeckElement(name, nodes, (exact(words[0], SPICE_FACTORS),), card=card)
    if name[0] == "b":
        text = " ".join(words).lower().replace(" ,", ",")
        plateaus = _PLATEAUS.fullmatch(text)
        if plateaus is None:
            refuse(card, "this is not a piecewise-constant drive")
        values = tuple(exact(word, SPICE_FACTORS) for word in plateaus[1].split(","))
        return DeckElement(name, nodes, values, card=card)
    params = [word.lower().partition("=") for word in words[1:]]
    keys = [key for key, *_ in params]
    if not all(e and _KEY.fullmatch(key) for key, e, _ in params) or len({*keys}) < len(keys):
        refuse(card, "a device must have a model and parameters, each once")
    if not _KEY.fullmatch(words[0].lower()):
        refuse(card, f"{words[0]} is no device model")
    values = tuple((key, exact(value, SPICE_FACTORS)) for key, _, value in params)
    return DeckElement(name, nodes, (), words[0].lower(), values, card)
