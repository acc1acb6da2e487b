"""What a deck says: its header, elements, models, options and commands, card by card."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.graphs import Edge

__all__ = ["Deck", "DeckElement"]
_SAVED = re.compile(r"([vi])\((\w+)\)", re.ASCII | re.IGNORECASE)
_OF_SWEEPS = {"vidx", "bidx"}
"""Sources that choose the vector of a sweep; their currents are of no array."""


@dataclass(frozen=True, slots=True)
class DeckElement:
    """One element.

    Attributes:
        name: in small letters.
        nodes: its two nodes, in small letters.
        values: ohm of R, volts of V, the numbers of the `pwl` of B; empty otherwise.
        model: subcircuit of X.
        params: parameters of X.
        card: where it stands.
    """

    name: str
    nodes: tuple[str, str]
    values: tuple[Decimal, ...] = ()
    model: str = ""
    params: tuple[tuple[str, Decimal], ...] = ()
    card: Card = field(default=Card(0, ""), compare=False)

    @property
    def edge(self) -> Edge:
        """What it does, with its nodes; a source also by its name, which says its line."""
        a, b = self.nodes
        kind = self.name[0]
        if kind == "r":
            return Edge(("r", *self.values), a, b, symmetric=True)
        if kind == "x":
            return Edge(("x", self.model, frozenset(self.params)), a, b)
        return Edge((self.name, self.values), a, b)


@dataclass
class Deck:
    """What a deck says.

    Attributes:
        header: header field -> its card, whose text is the value alone.
        elements: name in small letters -> element, in the order of the text.
        models: cards of device subcircuits.
        options: the one `.options` card.
        control: lines of the control section.
        saves: `.save` cards.
    """

    header: dict[str, Card] = field(default_factory=dict)
    elements: dict[str, DeckElement] = field(default_factory=dict)
    models: list[Card] = field(default_factory=list)
    options: list[Card] = field(default_factory=list)
    control: list[Card] = field(default_factory=list)
    saves: list[Card] = field(default_factory=list)

    def refuse_saves(self) -> None:
        """Refuse `.save` cards of other things than are there, or without a source's current.

        What is not saved is not printed either; without any such card the simulator saves all.
        """
        nodes = {n for e in self.elements.values() for n in e.nodes}
        sources = {e.name for e in self.sources}
        currents = set()
        for card in self.saves:
            for word in card.words[1:]:
                saved = _SAVED.fullmatch(word)
                known = nodes if saved and saved[1].lower() == "v" else sources
                if not saved or saved[2].lower() not in known:
                    refuse(card, f"there is no {word} to be saved")
                if known is sources:
                    currents.add(saved[2].lower())
        lacking = sorted(sources - currents - _OF_SWEEPS)
        if self.saves and lacking:
            refuse(self.saves[-1], f"the current of {lacking[0]} must be saved, too")

    def header_text(self, key: str) -> str:
        """What the header says of a field."""
        return self.header[key].text

    @property
    def edges(self) -> list[Edge]:
        """All elements as a graph."""
        return [e.edge for e in self.elements.values()]

    @property
    def sources(self) -> list[DeckElement]:
        """V and B elements."""
        return [e for e in self.elements.values() if e.name[0] in "vb"]
