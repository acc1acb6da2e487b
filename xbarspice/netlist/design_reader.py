"""Reads a design back in any dialect and proves that it is the circuit of its arrays.

The reader knows what our writers write, and nothing else: a card, a word or a parameter that it
does not understand completely is refused with its line. Nodes, instances and inner cells may have
other names than ours, because circuits are compared and not names; pins and the top cell may not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from xbarspice.core.errors import InputError, NetlistError
from xbarspice.netlist import dialects
from xbarspice.netlist.cards import Card, Text, refuse
from xbarspice.netlist.cells import Cell, Element, expand
from xbarspice.netlist.design import Design
from xbarspice.netlist.design_differences import (
    connection_differences,
    header_differences,
    inexact_values,
    model_differences,
    pin_differences,
)
from xbarspice.netlist.dialects.base import Dialect, Instance
from xbarspice.netlist.graphs import Edge, same
from xbarspice.netlist.numbers import exact

__all__ = ["ReadDesign", "prove"]

_SHOWN = 5
"""Differences that an error names one by one."""
_NAME = r"[A-Za-z]\w*"
_GROUND = ("gnd", "ground")
"""Names of node 0 in some simulator; like ``0``, they would connect what has no pin."""


@dataclass(frozen=True, kw_only=True)
class ReadDesign:
    """What a design's text says.

    Attributes:
        cells: the subcircuits in the order of the text; the last one is the top.
        models: cards of the device models and directives.
        elements: every R, C and device at one level: (path of instances, element).
    """

    cells: tuple[Cell, ...]
    models: tuple[Card, ...]
    elements: tuple[tuple[str, Element], ...]


def prove(text: str, dialect: str, intended: Design, *, brackets: str = "<>") -> ReadDesign:
    """Prove that a text describes exactly the arrays of a design.

    The circuit at one level, whatever the hierarchy of the text, is held against that of the
    records: pins in their order, and every element with its class, its exact value and its
    connections. Device models and directives must be those that the writer gives, the header must
    say the same as that of the design.

    Args:
        text: the design in one of the dialects.
        dialect: its name.
        intended: what it must describe.
        brackets: of its bus names.

    Raises:
        NetlistError: a line is not understood; or the places that differ (changed device, swapped
            column, missing segment, superfluous element, other pins, other device model).
    """
    spelling = dialects.get(dialect, brackets)
    flat = intended.flat
    lines = spelling.split(text)
    reader = _Reader(spelling, intended)
    reader.read(lines)
    elements = _expand(reader, len(flat.elements))
    problems = [
        *_text_differences(text, lines, reader),
        *inexact_values(flat, intended),
        *_circuit_differences(reader, flat, elements),
    ]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NetlistError(
            f"the {dialect} design must describe its arrays, and {len(problems)} places differ: "
            f"{'; '.join(problems[:_SHOWN])}{more}. Write it again."
        )
    return ReadDesign(
        cells=tuple(reader.cells), models=tuple(reader.models), elements=tuple(elements)
    )


def _text_differences(text: str, lines: Text, reader: _Reader) -> list[str]:
    """What header and device models say otherwise than the text that the writer gives."""
    spelling, intended = reader.dialect, reader.intended
    expected_text = spelling.design(intended)
    if text == expected_text:
        return []
    expected_lines = spelling.split(expected_text)
    expected = _Reader(spelling, intended)
    expected.read(expected_lines)
    return [
        *header_differences(lines, expected_lines),
        *model_differences(reader.models, expected.models, spelling),
    ]


def _circuit_differences(
    reader: _Reader, flat: Cell, elements: Sequence[tuple[str, Element]]
) -> list[str]:
    """What differs between the circuit of a text and the one that it must be."""
    spelling, top = reader.dialect, reader.cells[-1]
    problems = []
    if top.name != reader.fold(flat.name):
        problems.append(f"the top cell is {top.name} instead of {flat.name}")
    pins = [spelling.node(pin) for pin in flat.pins]
    if list(top.pins) != [reader.fold(pin) for pin in pins]:
        problems.append(pin_differences(top.pins, pins))
    expected = [spelling.as_read(e) for e in flat.elements]
    anchors = dict(zip(map(reader.fold, pins), top.pins, strict=False))
    edges = [reader.edge(e) for e in expected], [reader.edge(e) for _, e in elements]
    if not same(*edges, anchors):
        several = len(reader.intended.crossbars) > 1
        differences = connection_differences(expected, elements, reader.edge, several=several)
        problems += list(differences) or ["the connections are others than those of the arrays"]
    return problems


@dataclass
class _Reader:
    """Turns cards into cells. Names are folded where the dialect ignores their case."""

    dialect: Dialect
    intended: Design
    cells: list[Cell] = field(default_factory=list)
    models: list[Card] = field(default_factory=list)
    places: dict[tuple[str, str], Card] = field(default_factory=dict)
    """(cell, element) -> its card."""
    nodes: dict[str, str] = field(default_factory=dict)
    """Names of nodes that were checked, as the dialect compares them."""
    values: dict[str, Decimal] = field(default_factory=dict)
    """Plain decimals that were read, exact."""

    def fold(self, name: str) -> str:
        """A name as the dialect compares it."""
        return self.dialect.fold(name)

    def read(self, text: Text) -> None:
        """Take every card, or refuse it."""
        name, pins, elements = "", (), {}
        in_model = False
        for k, card in enumerate(text.cards):
            head = self.fold(card.words[0])
            if head == self.dialect.subckt and not in_model:
                if name:
                    refuse(card, f"the subcircuit {name} must end before another one begins")
                name, pins = self._open(card)
                in_model = name == self.fold(self.intended.model)
                elements = {}
                self.models += [card] if in_model else []
            elif in_model:
                self.models.append(card)
                in_model = head != self.dialect.ends
                name = name if in_model else ""
            elif head == self.dialect.end and len(card.words) == 1 and not name:
                if k + 1 < len(text.cards):
                    refuse(text.cards[k + 1], f"nothing may follow {head}")
            elif not name:
                self.models.append(card)
            elif head == self.dialect.ends:
                self._close(card, Cell(name, pins, tuple(elements.values())))
                name = ""
            elif not self.dialect.read_directive(card, pins):
                e = self._element(card)
                if self.fold(e.name) in elements:
                    refuse(card, f"{e.name} occurs twice in {name}")
                elements[self.fold(e.name)] = e
                self.places[name, e.name] = card
        if name:
            raise NetlistError(f"the subcircuit {name} must end with ends; the text is cut off.")
        if not self.cells:
            raise NetlistError("a design must define a subcircuit; received none. Check the file.")

    def _open(self, card: Card) -> tuple[str, tuple[str, ...]]:
        """Name and pins of a subcircuit; those of the device model are compared as text."""
        name, words = self.dialect.read_subckt(card)
        if not words or not re.fullmatch(_NAME, name, re.ASCII):
            refuse(card, "a subcircuit must have a name and pins")
        folded = self.fold(name)
        if folded == self.fold(self.intended.model):
            return folded, ()
        if folded in {cell.name for cell in self.cells}:
            refuse(card, f"the subcircuit {name} is defined twice")
        pins = tuple(self._node(card, word) for word in words)
        if len(set(pins)) < len(pins):
            refuse(card, "a pin occurs twice")
        return folded, pins

    def _close(self, card: Card, cell: Cell) -> None:
        if len(card.words) > 2:
            refuse(card, "an end must name its subcircuit at most")
        if len(card.words) == 2 and self.fold(card.words[1]) != cell.name:
            refuse(card, f"this must be the end of {cell.name}")
        self.cells.append(cell)

    def _node(self, card: Card, name: str) -> str:
        if name not in self.nodes:
            pattern = rf"{_NAME}({self.dialect.bus})?|[1-9]\d*"
            if not re.fullmatch(pattern, name, re.ASCII) or name.lower() in _GROUND:
                refuse(card, f"{name} is no name of a node (global nodes are none, either)")
            self.nodes[name] = self.fold(name)
        return self.nodes[name]

    def _element(self, card: Card) -> Element:
        """One instance; its value and parameters are exact decimals."""
        instance = self.dialect.read_instance(card, self.intended.scope)
        if not re.fullmatch(_NAME, instance.name, re.ASCII):
            refuse(card, f"{instance.name} is no name of an element")
        nodes = tuple(self._node(card, node) for node in instance.nodes)
        params = self._params(card, instance.params)
        if instance.kind in ("R", "C"):
            if len(nodes) != 2 or len(params) != 1 or params[0][0] != instance.key:
                refuse(card, f"a {instance.master} must have two nodes and its value")
            return Element(instance.kind, instance.name, nodes, params[0][1], instance.model)
        if self.fold(instance.master) == self.fold(self.dialect.master(self.intended.model)):
            return self._device(card, instance, nodes, params)
        if params or instance.kind != "X":
            refuse(card, f"{instance.master} must be a cell, and a cell has no parameters")
        return Element("X", instance.name, nodes, model=self.fold(instance.master))

    def _device(
        self,
        card: Card,
        instance: Instance,
        nodes: tuple[str, ...],
        params: tuple[tuple[str, str], ...],
    ) -> Element:
        kind = self.dialect.module_kind if self.intended.form == "verilog_a" else "D"
        if len(nodes) != 2 or instance.kind != ("N" if kind == "N" else "X"):
            refuse(card, "a device must be an instance of its model with two nodes")
        return Element(kind, instance.name, nodes, "", self.fold(instance.master), params)

    def _params(self, card: Card, words: Sequence[str]) -> tuple[tuple[str, str], ...]:
        out: dict[str, str] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals or not re.fullmatch(_NAME, key, re.ASCII) or self.fold(key) in out:
                refuse(card, f"{word} is no parameter, or occurs twice")
            try:
                out[self.fold(key)] = str(exact(value, self.dialect.factors))
            except NetlistError as error:
                refuse(card, f"{word} has no readable value ({error})")
        return tuple(out.items())

    def edge(self, e: Element) -> Edge:
        """An element as what it does, with its nodes."""
        a, b = map(self.fold, e.nodes)
        if e.kind in "RC":
            return Edge((e.kind, self._exact(e.value), e.model), a, b, symmetric=True)
        params = frozenset((self.fold(key), self._exact(value)) for key, value in e.params)
        return Edge((e.kind, self.fold(e.model), params), a, b)

    def _exact(self, text: str) -> Decimal:
        """A plain decimal, read once."""
        if text not in self.values:
            self.values[text] = exact(text)
        return self.values[text]


def _expand(reader: _Reader, most: int) -> list[tuple[str, Element]]:
    """All elements at one level; an instance of a cell that is not there is no element."""
    cells = reader.cells
    names = {cell.name for cell in cells}
    used = {e.model: (cell, e) for cell in cells for e in cell.elements if e.kind == "X"}
    for model in used.keys() - names:
        cell, e = used[model]
        refuse(reader.places[cell.name, e.name], f"there is no subcircuit {model}")
    for name in names - used.keys() - {cells[-1].name}:
        raise NetlistError(f"the subcircuit {name} is not used. The last one must be the top.")
    try:
        return expand(cells, most=2 * most + len(cells))
    except InputError as error:
        raise NetlistError(str(error)) from error
