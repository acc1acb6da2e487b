"""The dialects that descend from Berkeley SPICE: what they share, before each one's own rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np

from xbarspice.devices import Device
from xbarspice.devices.forms import default_parameters
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.cards import Card, Text, refuse
from xbarspice.netlist.cells import DECK, Cell, Element, mem_model
from xbarspice.netlist.dialects.base import Dialect, Instance, cut_at_blanks
from xbarspice.netlist.dialects.expressions import statements, translate
from xbarspice.netlist.numbers import SPICE_FACTORS

__all__ = ["SpiceDialect"]

_PLAIN_COMMENT = re.compile(r"\*(?!ng_script)([ \t*=A-Za-z0-9-].*)?", re.IGNORECASE)


class SpiceDialect(Dialect):
    """SPICE cards: ``R1 a b 1.0``, ``X1 a b cell xb_g=1.0``, ``.subckt``, ``.ends``."""

    comment: ClassVar[str] = "*"
    subckt: ClassVar[str] = ".subckt"
    ends: ClassVar[str] = ".ends"
    end: ClassVar[str] = ".end"
    closing: ClassVar[tuple[str, ...]] = (".end",)
    factors: ClassVar[Mapping[str, int]] = SPICE_FACTORS
    params_word: ClassVar[str] = ""
    """What stands before the parameters of a subcircuit or instance."""
    functions: ClassVar[Mapping[str, str]] = {"ln": "ln", "sgn": "sgn"}
    """ngspice's name of a function -> the dialect's; see `expressions.translate`."""
    ternary: ClassVar[bool] = True
    """Whether expressions know ``a ? b : c``."""

    def element(self, element: Element, scope: str = DECK) -> str:
        nodes = " ".join(map(self.node, element.nodes))
        if element.kind == "X":
            return f"{element.name} {nodes} {element.model}"
        if element.params:
            params = " ".join(f"{k}={v}" for k, v in element.params)
            return f"{element.name} {nodes} {element.model}{self.params_word} {params}"
        return f"{element.name} {nodes} {element.value}"

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [" ".join([".subckt", cell.name, *map(self.node, cell.pins)])]

    def close_cell(self, cell: Cell) -> str:
        return f".ends {cell.name}"

    def include(self, file: str) -> str:
        return f'.include "{file}"'

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        if form == "resistor":
            return []
        name = mem_model(device, form, scope)
        defaults = default_parameters(device)
        lines = [f".subckt {name} p n{self.params_word} {defaults}"]
        for s in statements(device):
            text = translate(device, s.text, self.name, self.functions, ternary=self.ternary)
            lines.append(self.statement(s.kind, s.name, s.nodes, text))
        return [*lines, f".ends {name}"]

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        """One line of a device body; `text` is an expression without braces."""
        a, b = nodes
        if kind == "param":
            return f".param {name}={text}"
        if kind == "r":
            return f"{name} {a} {b} {{{text}}}"
        return f"{name} {a} {b} {kind.upper()}={{{text}}}"

    def senses(self, bench: Bench) -> list[str]:
        """Sense nodes: sources of 0 V whose current is the reading."""
        return [f"{s.name} {self.node(s.node)} 0 0" for s in bench.senses]

    def constants(self, bench: Bench) -> list[str]:
        """Drivers with the volts of the first (only) vector."""
        return [f"{s.name} {self.node(s.node)} 0 {decimal(s.volts[0])}" for s in bench.drives]

    def rows(self, bench: Bench) -> list[str]:
        """The volts of every vector, one text a vector."""
        volts = np.array([s.volts for s in bench.drives]).reshape(len(bench.drives), -1)
        return [" ".join(decimals(row)) for row in volts.T]

    def wrap(self, text: str) -> list[str]:
        first, *more = cut_at_blanks(text, self.width - 2)
        return [first, *(f"+ {part}" for part in more)]

    def split(self, text: str) -> Text:
        cards: list[Card] = []
        comments: list[Card] = []
        joins = False  # whether the next line may continue the last card
        for line in self._lines(text):
            words, commented = line.words, line.comment is not None
            if line.body[:1] in (" ", "\t"):
                refuse(line.card, "a line must not begin with a blank (Xyce skips it)")
            if words.startswith("+"):
                if not joins:
                    refuse(line.card, "a continuation must follow the line that it continues")
                joined = f"{cards[-1].text} {' '.join(words[1:].split())}"
                cards[-1] = Card(cards[-1].at, joined, commented)
            elif words:
                cards.append(Card(line.card.at, words, commented))
            if line.comment_card is not None:
                comments.append(line.comment_card)
            joins = bool(words) and not commented
        return Text(tuple(cards), tuple(comments))

    def comment_of(self, line: Card) -> str | None:
        comment = super().comment_of(line)
        if comment is not None and not _PLAIN_COMMENT.fullmatch(line.text):
            refuse(line, "this comment may be a command to a simulator")
        return comment

    def read_subckt(self, card: Card) -> tuple[str, list[str]]:
        _, *words = card.words
        return (words[0], words[1:]) if words else ("", [])

    def read_instance(self, card: Card, scope: str) -> Instance:
        name, *words = card.words
        kind = name[0].upper()
        if kind in "RC":
            if len(words) != 3:
                refuse(card, "a resistor or capacitor must have two nodes and a value only")
            return Instance(kind, name, words[:2], kind, [f"value={words[2]}"], "value")
        if kind not in "XN":
            refuse(card, "an element of a design must be R, C, X or N")
        first = next((k for k, word in enumerate(words) if "=" in word), len(words))
        end = self._check_params_word(card, words, first)
        if end < 2:
            refuse(card, "an instance must have nodes and a master")
        return Instance(kind, name, words[: end - 1], words[end - 1], words[first:])

    def _check_params_word(self, card: Card, words: list[str], first: int) -> int:
        """Where nodes and master end, before the parameters that begin with `first`."""
        word = self.params_word.strip().lower()
        if not word or first == len(words):
            return first
        if words[first - 1].lower() != word:
            refuse(card, f"{word} must stand before parameters")
        return first - 1
