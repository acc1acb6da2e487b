"""Reads a design back in any dialect and proves that it is the circuit of its arrays.

The reader knows what our writers write, and nothing else: a card, a word or a parameter that it
does not understand completely is refused with its line. Nodes, instances and inner cells may have
other names than ours, because circuits are compared and not names; pins and the top cell may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xbarspice.core.errors import InputError, NetlistError
from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.netlist.cards import Card, Text, refuse, split
from xbarspice.netlist.design import Cell, Design, Element, design, expand
from xbarspice.netlist.dialects.base import Dialect
from xbarspice.netlist.dialects.registry import design_dialect
from xbarspice.netlist.graphs import Edge, same
from xbarspice.netlist.numbers import conductance, exact
from xbarspice.netlist.records import place

__all__ = ["ReadDesign", "prove"]

_SHOWN = 5
_TILE = re.compile(r"([A-Za-z])t(\d+)_(.*)")
_NAME = r"[A-Za-z]\w*"
_BRACKETED = re.compile(r"(\S+) ?\(([^()]*)\) (\S+)((?: \S+)*)", re.ASCII)
_HEADER = re.compile(r"(config|form|device|tile \d+|pins): .*", re.ASCII)
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


def prove(text: str, dialect: str, intended: Design) -> ReadDesign:
    """Prove that a text describes exactly the arrays of a design.

    The circuit at one level, whatever the hierarchy of the text, is held against that of the
    records: pins in their order, and every element with its class, its exact value and its
    connections. Device models and directives must be those that the writer gives, the header must
    say the same as that of the design.

    Args:
        text: the design in one of the dialects.
        dialect: its name.
        intended: what it must describe.

    Raises:
        NetlistError: a line is not understood; or the places that differ (changed device, swapped
            column, missing segment, superfluous element, other pins, other device model).
    """
    spelling = design_dialect(dialect)
    flat = design(
        intended.crossbars,
        hierarchical=False,
        form=intended.form,
        wires=intended.wires,
        name=intended.name,
    ).top
    lines = split(text, spelling)
    reader = _Reader(spelling, intended)
    reader.read(lines)
    expected = split(spelling.design(intended), spelling)
    problems = [*_other_header(lines, expected), *_other_models(reader, intended)]
    problems += _inexact(flat, intended)
    elements = _expanded(reader, len(flat.elements))
    pins = reader.cells[-1].pins
    wanted_pins = [spelling.node(pin) for pin in flat.pins]
    if reader.cells[-1].name != reader.fold(flat.name):
        problems.append(f"the top cell is {reader.cells[-1].name} instead of {flat.name}")
    if list(pins) != [reader.fold(pin) for pin in wanted_pins]:
        problems.append(f"pins {_first_other(pins, wanted_pins)}")
    wanted = [_spelt(e, spelling) for e in flat.elements]
    if not same(
        [reader.edge(e) for e in wanted],
        [reader.edge(e) for _, e in elements],
        dict(zip(map(reader.fold, wanted_pins), pins, strict=False)),
    ):
        named = list(_differences(reader, wanted, elements))
        problems += named or ["the connections are others than those of the arrays"]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NetlistError(
            f"the {dialect} design must describe its arrays, and {len(problems)} places differ: "
            f"{'; '.join(problems[:_SHOWN])}{more}. Write it again."
        )
    return ReadDesign(
        cells=tuple(reader.cells), models=tuple(reader.models), elements=tuple(elements)
    )


@dataclass
class _Reader:
    """Turns cards into cells. Names are folded where the dialect ignores their case."""

    dialect: Dialect
    intended: Design
    cells: list[Cell] = field(default_factory=list)
    models: list[Card] = field(default_factory=list)
    places: dict[tuple[str, str], Card] = field(default_factory=dict)
    """(cell, element) -> its card."""

    def fold(self, name: str) -> str:
        """A name as the dialect compares it."""
        return name if self.dialect.case_sensitive else name.lower()

    def read(self, text: Text) -> None:
        """Take every card, or refuse it."""
        spice = self.dialect.comment == "*"
        name, pins, elements = "", (), {}
        in_model = False
        for k, card in enumerate(text.cards):
            words = card.words
            head = words[0].lower() if spice else words[0]
            if head == (".subckt" if spice else "subckt") and not in_model:
                if name:
                    refuse(card, f"the subcircuit {name} must end before another one begins")
                name, pins = self._opened(card)
                in_model = name == self.fold(self.intended.model)
                elements = {}
                self.models += [card] if in_model else []
            elif in_model:
                self.models.append(card)
                in_model = head not in (".ends", "ends")
                name = name if in_model else ""
            elif head == ".end" and spice and len(words) == 1 and not name:
                if k + 1 < len(text.cards):
                    refuse(text.cards[k + 1], "nothing may follow .end")
            elif not name:
                self.models.append(card)
            elif head == (".ends" if spice else "ends"):
                self._close(card, Cell(name, pins, tuple(elements.values())))
                name = ""
            elif card.text.startswith("*.") and spice:
                self._check_pin_info(card, pins)
            else:
                e = self._element(card)
                if self.fold(e.name) in elements:
                    refuse(card, f"{e.name} occurs twice in {name}")
                elements[self.fold(e.name)] = e
                self.places[name, e.name] = card
        if name:
            raise NetlistError(f"the subcircuit {name} must end with ends; the text is cut off.")
        if not self.cells:
            raise NetlistError("a design must define a subcircuit; received none. Check the file.")

    def _opened(self, card: Card) -> tuple[str, tuple[str, ...]]:
        """Name and pins of a subcircuit; those of the device model are compared as text."""
        words = card.words
        if self.dialect.comment != "*":
            bracketed = re.fullmatch(rf"subckt ({_NAME}) ?\(([^()]*)\)", card.text, re.ASCII)
            if bracketed is None:
                refuse(card, "a subcircuit must have a name and pins in parentheses")
            words = ["subckt", bracketed[1], *bracketed[2].split()]
        if len(words) < 3 or not re.fullmatch(_NAME, words[1], re.ASCII):
            refuse(card, "a subcircuit must have a name and pins")
        name = self.fold(words[1])
        if name == self.fold(self.intended.model):
            return name, ()
        if name in {cell.name for cell in self.cells}:
            refuse(card, f"the subcircuit {words[1]} is defined twice")
        pins = tuple(self._node(card, word) for word in words[2:])
        if len(set(pins)) < len(pins):
            refuse(card, "a pin occurs twice")
        return name, pins

    def _close(self, card: Card, cell: Cell) -> None:
        if len(card.words) > 2 or card.words[1:] not in ([], [card.words[-1]]):
            refuse(card, "an end must name its subcircuit at most")
        if len(card.words) == 2 and self.fold(card.words[1]) != cell.name:
            refuse(card, f"this must be the end of {cell.name}")
        names = {n for e in cell.elements for n in e.nodes} | set(cell.pins)
        if self.dialect.name == "cdl" and len({n.lower() for n in names}) < len(names):
            refuse(card, f"nodes of {cell.name} differ by small and capital letters only")
        self.cells.append(cell)

    def _check_pin_info(self, card: Card, pins: Sequence[str]) -> None:
        """``*.PININFO`` of CDL names pins of its cell, each with both directions."""
        words = card.words
        known = {f"{pin}:b" for pin in pins}
        if words[0].lower() != "*.pininfo" or not {w.lower() for w in words[1:]} <= known:
            refuse(card, "this directive is not one that we write")

    def _node(self, card: Card, name: str) -> str:
        pattern = rf"{_NAME}({self.dialect.bus})?|[1-9]\d*"
        if not re.fullmatch(pattern, name, re.ASCII) or name.lower() in _GROUND:
            refuse(card, f"{name} is no name of a node (global nodes are none, either)")
        return self.fold(name)

    def _element(self, card: Card) -> Element:
        """One instance; its value and parameters are exact decimals."""
        if self.dialect.comment == "*":
            name, nodes, master, words = self._spice_words(card)
        else:
            bracketed = _BRACKETED.fullmatch(card.text)
            if bracketed is None:
                refuse(card, "an instance must read: name (nodes) master parameters")
            name, master = bracketed[1], bracketed[3]
            nodes, words = bracketed[2].split(), bracketed[4].split()
        if not re.fullmatch(_NAME, name, re.ASCII):
            refuse(card, f"{name} is no name of an element")
        at = tuple(self._node(card, node) for node in nodes)
        params = self._params(card, words)
        two = self._two_terminals(master)
        if two is not None:
            kind, key, model = two
            if len(at) != 2 or len(params) != 1 or params[0][0] != key:
                refuse(card, f"a {master} must have two nodes and its value")
            return Element(kind, name, at, params[0][1], model)
        if self.fold(master) != self.fold(self._master()):
            if params or self._letter(name) != "X":
                refuse(card, f"{master} must be a cell, and a cell has no parameters")
            return Element("X", name, at, model=self.fold(master))
        if len(at) != 2 or self._letter(name) != ("N" if self._modules() else "X"):
            refuse(card, "a device must be an instance of its model with two nodes")
        return Element("N" if self._modules() else "D", name, at, "", self.fold(master), params)

    def _spice_words(self, card: Card) -> tuple[str, list[str], str, list[str]]:
        """Name, nodes, master and parameters of a card of the SPICE family."""
        words = card.words
        letter = words[0][0].upper()
        if letter in "RC":
            if self.dialect.name == "cdl" and letter == "R":
                if len(words) != 5:
                    refuse(card, "a resistor must have two nodes, a value and a class")
                return words[0], words[1:3], f"{letter}{words[4]}", [f"value={words[3]}"]
            if len(words) != 4:
                refuse(card, "a resistor or capacitor must have two nodes and a value only")
            return words[0], words[1:3], letter, [f"value={words[3]}"]
        if letter not in "XN":
            refuse(card, "an element of a design must be R, C, X or N")
        first = next((k for k, word in enumerate(words) if "=" in word), len(words))
        end = first
        word = getattr(self.dialect, "params_word", "").strip().lower()
        if word and first < len(words):
            end = first - 1
            if words[end].lower() != word:
                refuse(card, f"{word} must stand before parameters")
        if end < 3:
            refuse(card, "an instance must have nodes and a master")
        return words[0], words[1 : end - 1], words[end - 1], words[first:]

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

    def _two_terminals(self, master: str) -> tuple[str, str, str] | None:
        """Kind, name of the value and class of a resistor or capacitor; None for other masters."""
        if self.dialect.comment == "*":
            kind, model = master[:1], re.fullmatch(r"R\$\[(R(?:WL|BL|MEM))\]", master)
            if master in ("R", "C") or model:
                return kind, "value", model[1] if model else ""
            return None
        prefix = f"{self.intended.scope}_" if self.dialect.name == "vacask" else ""
        table = {f"{prefix}resistor": ("R", "r", ""), f"{prefix}capacitor": ("C", "c", "")}
        return table.get(master)

    def _modules(self) -> bool:
        """Whether devices are ``N`` elements."""
        return self.dialect.name == "ngspice" and self.intended.form == "verilog_a"

    def _letter(self, name: str) -> str:
        """First letter where it says what an element is, X elsewhere."""
        return name[0].upper() if self.dialect.comment == "*" else "X"

    def _master(self) -> str:
        """How instances name the device model."""
        return self.intended.model + ("_model" if self.dialect.name == "vacask" else "")

    def edge(self, e: Element) -> Edge:
        """An element as what it does, with its nodes."""
        a, b = map(self.fold, e.nodes)
        if e.kind in "RC":
            return Edge((e.kind, exact(e.value), e.model), a, b, symmetric=True)
        params = frozenset((self.fold(key), exact(value)) for key, value in e.params)
        return Edge((e.kind, self.fold(e.model), params), a, b)


def _spelt(e: Element, dialect: Dialect) -> Element:
    """An element of the records as a reader of the dialect gives it."""
    nodes = tuple(map(dialect.node, e.nodes))
    if e.value:
        model = e.model if dialect.name == "cdl" and e.kind != "C" else ""
        return Element("C" if e.kind == "C" else "R", e.name, nodes, e.value, model)
    kind = e.kind if e.kind == "D" or dialect.name == "ngspice" else "D"
    model = e.model + ("_model" if dialect.name == "vacask" else "")
    return Element(kind, e.name, nodes, "", model, e.params)


def _expanded(reader: _Reader, most: int) -> list[tuple[str, Element]]:
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


def _other_header(text: Text, expected: Text) -> Iterator[str]:
    """Header lines that say something else than those of the design."""
    said = {c.text for c in expected.comments}
    for comment in text.comments:
        if _HEADER.fullmatch(comment.text) and comment.text not in said:
            yield f"line {comment.at} of the header says {comment.text[:60]!r}"


def _other_models(reader: _Reader, intended: Design) -> Iterator[str]:
    """The first card of device models and directives that is not the writer's."""
    own = _Reader(reader.dialect, intended)
    own.read(split(reader.dialect.design(intended), reader.dialect))

    def plain(card: Card) -> str:
        return card.text if '"' in card.text else reader.fold(card.text)

    for a, b in zip(reader.models, own.models, strict=False):
        if plain(a) != plain(b):
            yield f"device model: line {a.at} is {a.text[:60]!r} instead of {b.text[:60]!r}"
            return
    for card in reader.models[len(own.models) :]:
        yield f"line {card.at}: {card.text[:60]!r} is no card that we write"
    if len(reader.models) < len(own.models):
        yield f"device model: {own.models[len(reader.models)].text[:60]!r} is missing"


def _inexact(flat: Cell, intended: Design) -> Iterator[str]:
    """Records of devices that do not give back the conductance bit by bit."""
    for e in flat.elements:
        tile, name = _tile_of("", e.name)
        at = re.fullmatch(r"[RX]d_(\d+)_(\d+)", name)
        G = conductance(e.value) if e.value else dict(e.params).get(CONDUCTANCE)
        if at and G is not None:
            wanted = intended.crossbars[tile].G[int(at[1]), int(at[2])]
            if float(G) != wanted:
                yield f"tile {tile}, {place(name)}: G {float(G)!r} S is not {float(wanted)!r} S"


def _differences(
    reader: _Reader, wanted: Sequence[Element], elements: Sequence[tuple[str, Element]]
) -> Iterator[str]:
    """What differs, place by place, as far as elements and nodes have the names that we write."""
    table: dict[tuple[int, str], tuple[Element, tuple[str, ...]]] = {}
    owner: dict[str, str] = {}
    for path, e in elements:
        tile, name = _tile_of(path, e.name)
        table[tile, name.lower()] = e, tuple(_canonical(tile, n, owner) for n in e.nodes)
    several = len(reader.intended.crossbars) > 1
    places = set()
    for e in wanted:
        tile, name = _tile_of("", e.name)
        places.add((tile, name.lower()))
        nodes = [n.removeprefix(f"t{tile}_") if several else n for n in map(reader.fold, e.nodes)]
        nodes = [_canonical(tile, n, {}) for n in nodes]
        where = f"tile {tile}, {place(name)}"
        other, ends = table.get((tile, name.lower()), (None, ()))
        if other is None:
            yield f"{where}: {name} is missing"
        elif (sorted(ends) if e.kind in "RC" else list(ends)) != (
            sorted(nodes) if e.kind in "RC" else nodes
        ):
            yield f"{where}: {name} connects {'-'.join(ends)} instead of {'-'.join(nodes)}"
        elif reader.edge(other).label != reader.edge(e).label:
            pair = [_shown(item, model=other.model != e.model) for item in (other, e)]
            yield f"{where}: {name} has the value {pair[0]} instead of {pair[1]}"
    for tile, name in table.keys() - places:
        yield f"tile {tile}, {place(name)}: {table[tile, name][0].name} has no place in the design"


def _shown(e: Element, *, model: bool) -> str:
    words = [e.model] if model else []
    return " ".join([*words, e.value or " ".join(f"{k}={v}" for k, v in e.params)])


def _first_other(pins: Sequence[str], wanted: Sequence[str]) -> str:
    for k, (a, b) in enumerate(zip(pins, wanted, strict=False)):
        if a.lower() != b.lower():
            return f"differ: pin {k} is {a} instead of {b}"
    return f"are {len(pins)} instead of {len(wanted)}"


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
