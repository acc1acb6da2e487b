"""What every dialect shares: how its texts are laid out, and how they are read back.

A dialect writes records as text and reads its own text back into the same records. Two families say
most of it: `xbarspice.netlist.dialects.spice` and `xbarspice.netlist.dialects.spectre_like`.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from xbarspice.core.errors import broken_rule
from xbarspice.devices import Device
from xbarspice.netlist.bench import Bench, deck_bench
from xbarspice.netlist.cards import Card, Line, Text, number_lines, refuse
from xbarspice.netlist.cells import DECK, Cell, Element, deck_elements
from xbarspice.netlist.deck import Deck, DeckElement
from xbarspice.netlist.design import Design
from xbarspice.netlist.dialects.headers import bench_header, deck_header, design_header
from xbarspice.netlist.records import Netlist

__all__ = ["BRACKETS", "Dialect", "Instance", "cut_at_blanks"]

BRACKETS = ("<>", "[]")
"""How the lines of a bus may be written."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What the card of an instance says, word for word.

    Attributes:
        kind: "R" or "C"; "X" or "N" for a device or a cell.
        name: of the instance.
        nodes: its connections.
        master: what it is an instance of.
        params: words ``key=value``.
        key: which parameter is the value of an R or C.
        model: class of an R, where the dialect names it.
    """

    kind: str
    name: str
    nodes: Sequence[str]
    master: str
    params: Sequence[str]
    key: str = ""
    model: str = ""


class Dialect(abc.ABC):
    """One dialect: turns designs, test benches and whole decks into text, and text into cards.

    Sub-classes say how cells, elements, device bodies and analyses are spelt. All text is a
    function of its arguments alone: no date, no path.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    comment: ClassVar[str]
    """What opens a line that is a comment."""
    forms: ClassVar[tuple[str, ...]] = ("subcircuit", "resistor")
    """How the dialect writes devices; the first one is that of decks."""
    module_kind: ClassVar[str] = "D"
    """Kind of a Verilog-A device: "N" where it has an element letter of its own."""
    names_classes: ClassVar[bool] = False
    """Whether resistors carry the name of their class."""
    subckt: ClassVar[str]
    ends: ClassVar[str]
    """Words that open and close a subcircuit."""

    width: ClassVar[int] = 100
    """Longest line; the strictest of the programs here reads 128 columns."""
    opening: ClassVar[tuple[str, ...]] = ()
    """Lines after the title, which is the first line of every file."""
    closing: ClassVar[tuple[str, ...]] = ()
    """The last lines of a deck or test bench."""
    runs: ClassVar[bool] = True
    """Whether the dialect has analyses (CDL only describes)."""

    remark: ClassVar[re.Pattern[str]] = re.compile(r"(?!)")
    """What opens a comment at the end of a line; nothing where programs do not agree on it."""
    factors: ClassVar[Mapping[str, int]] = {}
    """Factors of numbers in texts that are read, as powers of ten."""
    case_sensitive: ClassVar[bool] = False
    """Whether ``A`` and ``a`` are two names."""
    end: ClassVar[str] = ""
    """Word that may end a text; "" for none."""
    reads_decks: ClassVar[bool] = False
    """Whether decks, too, can be read back; see `read_deck`."""
    escapes: ClassVar[str] = ""
    """What stands before a bracket of a bus name."""
    bare: ClassVar[bool] = False
    """Whether names hold no brackets: ``WL_0`` stands for ``WL<0>``."""

    def __init__(self, brackets: str = "<>") -> None:
        if brackets not in BRACKETS:
            raise broken_rule(
                f"bus names have brackets of {' or '.join(BRACKETS)}", repr(brackets), "Use these."
            )
        self.brackets = brackets

    # -- writing: the texts, and what each dialect says of them

    def write(self, netlist: Netlist) -> str:
        """A complete deck of one array and its drive: every line end, one level, no pins."""
        crossbar = netlist.crossbar
        lines = self._start(deck_header(netlist, self.name))
        form = "resistor" if crossbar.device.linear else self.forms[0]
        lines += self._wrap_all(self.device_model(crossbar.device, form))
        lines += self._wrap_all(self.element(e) for e in deck_elements(netlist, form))
        lines += self._wrap_all(self.sources(deck_bench(netlist)))
        return "\n".join([*lines, *self.closing]) + "\n"

    def design(self, design: Design) -> str:
        """The cells of a design, each before its use, without any source.

        Raises:
            InputError: the dialect does not write devices in the form of the design.
        """
        if design.form not in self.forms:
            raise broken_rule(
                f"{self.name} writes devices as {' or '.join(self.forms)}",
                repr(design.form),
                "Choose one of these forms, or another dialect.",
            )
        lines = self._start(design_header(design, self.name))
        lines += self._wrap_all(self.device_model(design.device, design.form, design.scope))
        for cell in design.cells:
            lines += ["", *self._wrap_all(self.open_cell(cell))]
            lines += self._wrap_all(self.element(e, design.scope) for e in cell.elements)
            lines += [self.close_cell(cell)]
        return "\n".join(lines) + "\n"

    def bench(self, bench: Bench) -> str:
        """A test bench that can be run with the design beside it.

        Raises:
            InputError: the dialect has no analyses.
        """
        if not self.runs:
            raise broken_rule(
                f"a test bench needs a simulator; {self.name} has none",
                self.name,
                "Take the bench of another dialect.",
            )
        lines = [*self._start(bench_header(bench, self.name)), self.include(bench.include)]
        dut = Element("X", bench.instance, bench.nodes, model=bench.cell)
        lines += self._wrap_all([self.element(dut), *self.sources(bench)])
        return "\n".join([*lines, *self.closing]) + "\n"

    def design_form(self, form: str) -> str:
        """The form in which the dialect writes a design that others write in this one."""
        return form

    def node(self, name: str) -> str:
        """A node or pin name (``WL<0>``) by the rules of the dialect, with its brackets."""
        if self.bare:
            return name.replace("<", "_").replace(">", "")
        opening, closing = (f"{self.escapes}{mark}" for mark in self.brackets)
        return name.replace("<", opening).replace(">", closing)

    @property
    def bus(self) -> str:
        """Pattern of what follows the letters of a bus name; "" where names hold no brackets."""
        if self.bare:
            return ""
        opening, closing = (re.escape(f"{self.escapes}{mark}") for mark in self.brackets)
        return rf"{opening}\d+{closing}"

    def master(self, model: str) -> str:
        """How an instance names its device model."""
        return model

    @abc.abstractmethod
    def element(self, element: Element, scope: str = DECK) -> str:
        """One instance as one (long) line; `scope` precedes names that the text defines."""

    @abc.abstractmethod
    def open_cell(self, cell: Cell) -> Iterable[str]:
        """The lines that open a subcircuit (not wrapped yet)."""

    @abc.abstractmethod
    def close_cell(self, cell: Cell) -> str:
        """The line that closes it."""

    @abc.abstractmethod
    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        """What must precede instances of a device model; `scope` precedes its name."""

    @abc.abstractmethod
    def include(self, file: str) -> str:
        """The line that reads another file."""

    @abc.abstractmethod
    def sources(self, bench: Bench) -> list[str]:
        """Sources and analysis."""

    @abc.abstractmethod
    def wrap(self, text: str) -> list[str]:
        """A line that is longer than `width`, with the dialect's continuation lines."""

    def _start(self, lines: Sequence[str]) -> list[str]:
        title, *more = (f"{self.comment} {line}" for line in lines)
        return [title, *self.opening, *more]

    def _wrap_all(self, texts: Iterable[str]) -> list[str]:
        wrapped = ([text] if len(text) <= self.width else self.wrap(text) for text in texts)
        return [line for lines in wrapped for line in lines]

    # -- reading: cards, and what each dialect says with them

    @abc.abstractmethod
    def split(self, text: str) -> Text:
        """Take a text apart.

        Raises:
            NetlistError: a line is not understood completely.
        """

    @abc.abstractmethod
    def read_subckt(self, card: Card) -> tuple[str, list[str]]:
        """Name and pins of the subcircuit that a card opens; "" where it has no name.

        Raises:
            NetlistError: the card is not understood.
        """

    @abc.abstractmethod
    def read_instance(self, card: Card, scope: str) -> Instance:
        """What the card of an instance says; `scope` precedes names that the text defines.

        Raises:
            NetlistError: the card is not understood.
        """

    def read_directive(self, card: Card, pins: Sequence[str]) -> bool:
        """Whether a card inside a cell with these pins is a directive that only repeats them.

        Raises:
            NetlistError: it is a directive and says anything else.
        """
        return False

    def read_deck(self, text: str) -> Deck:
        """What a deck says.

        Raises:
            InputError: the dialect's decks cannot be read back.
            NetlistError: a line is not understood completely, or the header is not ours.
        """
        raise broken_rule(
            "a deck is read back in a dialect whose decks can be read",
            self.name,
            "Write it in another dialect, or prove a design instead.",
        )

    def read_volts(self, source: DeckElement) -> list[float]:
        """Volts of every vector of a source of a deck.

        Raises:
            NetlistError: the source is none of a sweep over vectors.
        """
        return [float(value) for value in source.values]

    def fold(self, name: str) -> str:
        """A name as the dialect compares it."""
        return name if self.case_sensitive else name.lower()

    def as_read(self, element: Element) -> Element:
        """An element of the records as the reader gives it."""
        nodes = tuple(map(self.node, element.nodes))
        if element.value:
            kind = "C" if element.kind == "C" else "R"
            model = element.model if self.names_classes and kind == "R" else ""
            return Element(kind, element.name, nodes, element.value, model)
        kind = self.module_kind if element.kind == "N" else "D"
        return Element(kind, element.name, nodes, "", self.master(element.model), element.params)

    def comment_of(self, line: Card) -> str | None:
        """What a line that is a comment says; None for any other line.

        Raises:
            NetlistError: a simulator may take the comment as a command.
        """
        text = line.text.lstrip()
        return text.removeprefix(self.comment) if text.startswith(self.comment) else None

    def _lines(self, text: str) -> Iterator[Line]:
        """Every line of a text, its comment apart."""
        for card in number_lines(text):
            comment = self.comment_of(card)
            if comment is not None:
                body = ""
            elif start := self.remark.search(card.text):
                body, comment = card.text[: start.start()].rstrip(), card.text[start.end() :]
                if not body:
                    refuse(card, f"a comment line must begin with {self.comment}")
            else:
                body = card.text.rstrip()
                if body != card.text and body.endswith("\\"):
                    refuse(card, "a backslash must end its line")
            if comment is not None and comment.rstrip().endswith("\\"):
                refuse(card, "a comment must not end in a backslash")
            yield Line(card, body, comment)


def cut_at_blanks(text: str, width: int) -> list[str]:
    """Cut a text at blanks into pieces of at most `width` columns (a longer word stays whole)."""
    out = [""]
    for word in text.split(" "):
        if out[-1] and len(out[-1]) + 1 + len(word) > width:
            out.append(word)
        else:
            out[-1] = f"{out[-1]} {word}" if out[-1] else word
    return out
