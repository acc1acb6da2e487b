"""The dialects whose instances read ``name (nodes) master k=v``: what Spectre and VACASK share."""

from __future__ import annotations

import re
from typing import ClassVar

from xbarspice.netlist.cards import Card, Text, refuse
from xbarspice.netlist.cells import DECK, Element
from xbarspice.netlist.dialects.base import Dialect, Instance, cut_at_blanks

__all__ = ["SpectreLikeDialect"]

_NAME = r"[A-Za-z]\w*"
_SUBCKT = re.compile(rf"subckt ({_NAME}) ?\(([^()]*)\)", re.ASCII)
_INSTANCE = re.compile(r"(\S+) ?\(([^()]*)\) (\S+)((?: \S+)*)", re.ASCII)


class SpectreLikeDialect(Dialect):
    r"""``//`` comments, nodes in parentheses, ``\`` at the end of a broken line."""

    comment: ClassVar[str] = "//"
    subckt: ClassVar[str] = "subckt"
    ends: ClassVar[str] = "ends"
    remark: ClassVar[re.Pattern[str]] = re.compile(r"\s//")
    case_sensitive: ClassVar[bool] = True

    def two_terminals(self, scope: str) -> dict[str, tuple[str, str]]:
        """Master and name of the value of a resistor "R" and a capacitor "C"."""
        return {"R": ("resistor", "r"), "C": ("capacitor", "c")}

    def element(self, element: Element, scope: str = DECK) -> str:
        nodes = " ".join(map(self.node, element.nodes))
        if element.kind == "X":
            return f"{element.name} ({nodes}) {element.model}"
        if element.params:
            params = " ".join(f"{k}={v}" for k, v in element.params)
            return f"{element.name} ({nodes}) {self.master(element.model)} {params}"
        master, key = self.two_terminals(scope)["C" if element.kind == "C" else "R"]
        return f"{element.name} ({nodes}) {master} {key}={element.value}"

    def include(self, file: str) -> str:
        return f'include "{file}"'

    def wrap(self, text: str) -> list[str]:
        *parts, last = cut_at_blanks(text, self.width - 4)
        return [*(f"{part} \\" for part in parts), last]

    def split(self, text: str) -> Text:
        cards: list[Card] = []
        comments: list[Card] = []
        joins = False  # whether the next line must continue the last card
        for line in self._lines(text):
            broken = line.body.endswith("\\")
            if line.comment is not None and line.body and (joins or broken):
                refuse(line.card, "a broken line must hold no comment")
            if joins and not line.body:
                refuse(line.card, "a broken line must go on in the next one")
            words = line.words.removesuffix("\\").rstrip()
            if joins:
                cards[-1] = Card(cards[-1].at, f"{cards[-1].text} {words}".strip())
            elif words:
                cards.append(Card(line.card.at, words))
            elif broken:
                refuse(line.card, "a broken line must begin with words")
            joins = broken
            if line.comment_card is not None:
                comments.append(line.comment_card)
        if joins:
            refuse(cards[-1], "a broken line must go on in the next one")
        return Text(tuple(cards), tuple(comments))

    def read_subckt(self, card: Card) -> tuple[str, list[str]]:
        match = _SUBCKT.fullmatch(card.text)
        if match is None:
            refuse(card, "a subcircuit must have a name and pins in parentheses")
        return match[1], match[2].split()

    def read_instance(self, card: Card, scope: str) -> Instance:
        match = _INSTANCE.fullmatch(card.text)
        if match is None:
            refuse(card, "an instance must read: name (nodes) master parameters")
        name, nodes, master, params = match.groups()
        keys = {m: (kind, key) for kind, (m, key) in self.two_terminals(scope).items()}
        kind, key = keys.get(master, ("X", ""))
        return Instance(kind, name, nodes.split(), master, params.split(), key)
