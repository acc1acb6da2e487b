"""Netlists of any SPICE (or Spectre) as resistors and voltage sources at one level.

What may matter is understood or refused with its line; what cannot (analyses, outputs, options,
capacitors at direct current) is named in the notes. Names are taken in small letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from xbarspice.core.errors import NetlistError
from xbarspice.exchange.spectre_text import as_spice, is_spectre
from xbarspice.exchange.spice_values import Scope, Value, value_of
from xbarspice.netlist.cards import Card, refuse

__all__ = ["GROUND", "FlatCircuit", "Resistor", "Source", "flatten"]

GROUND = "0"
_GROUNDS = ("0", "gnd")
_WORD = re.compile(r"(?:[^\s{}'=]+=)?(?:\{[^{}]*\}|'[^']*'|[^\s{}']+)")
_REMARK = re.compile(r"\s*(;|(?<!\S)\$|(?<=\s)//).*")
_BLOCKS = {".control": ".endc", ".data": ".enddata"}
_ASIDE = (
    ".op .dc .tran .ac .print .plot .probe .save .option .options .temp .width .measure .meas .tf",
    ".noise .title .nodeset .ic .backanno .four .sens",
)
_NO_ELEMENTS = frozenset(" ".join(_ASIDE).split())
"""Words of analyses, outputs and options: nothing of what they say changes the array."""
_DEEPEST = 40
_MOST = 4_000_000
"""Elements that a text may unfold to."""


@dataclass(frozen=True, slots=True, eq=False)
class Resistor:
    """A resistor between two nodes."""

    name: str
    a: str
    b: str
    value: Value
    card: Card


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A voltage source from node `b` to node `a`, V."""

    name: str
    a: str
    b: str
    volts: float
    card: Card


@dataclass(frozen=True, kw_only=True)
class FlatCircuit:
    """All elements at one level.

    Attributes:
        resistors, sources: in the order of the text.
        pins: of the only subcircuit, where the text has no instance and no source.
        notes: what is left out.
        title_like_element: sentence on a first line that looks like an element; "" for another.
    """

    resistors: list[Resistor]
    sources: list[Source]
    pins: tuple[str, ...]
    notes: list[str]
    title_like_element: str


@dataclass
class _Cell:
    pins: tuple[str, ...]
    scope: Scope
    cards: list[Card] = field(default_factory=list)


class _Text:
    """Cells and parameters of a text, and what it says beside them."""

    def __init__(self, text: str, *, titled: bool = True) -> None:
        self.top = _Cell((), Scope())
        self.cells: dict[str, _Cell] = {}
        self.common: set[str] = set()
        self.aside: Counter[str] = Counter()
        self.title_like_element = ""
        self._sort(list(self._cards(text, titled=titled)))

    def _cards(self, text: str, *, titled: bool) -> Iterator[Card]:
        """Cards in small letters without comments; the first line may be the title."""
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        title = lines[0].strip() if titled else ""
        if re.match(r"[rvx]\S*\s+\S+\s+\S+\s+\S+", title, re.IGNORECASE):
            self.title_like_element = (
                f"Line 1 is the title, as in every SPICE, and no element: {title[:80]!r}."
            )
        at, words = 0, ""
        first = 1 if titled else 0
        for k, line in enumerate(lines[first:], start=first + 1):
            body = line.strip().translate(str.maketrans({"\u00b5": "u", "\u03bc": "u"}))
            body = re.sub("[\u03a9\u2126]", "ohm", body)
            if not body or body.startswith(("*", "//")):
                continue
            body = _REMARK.sub("", body).lower()
            if body.startswith("+"):
                if not at:
                    refuse(Card(k, line), "a continuation must follow a line")
                words = f"{words} {body[1:].strip()}"
            elif body:
                if at:
                    yield Card(at, words)
                at, words = k, body
        if at:
            yield Card(at, words)

    def _sort(self, cards: list[Card]) -> None:
        """Put every card into its subcircuit, and read the directives."""
        cell, name, until = self.top, "", ""
        for card in cards:
            head = card.text.split()[0]
            if until:
                until = "" if head == until else until
            elif head in _BLOCKS:
                until = _BLOCKS[head]
                self.aside[head] += 1
            elif head == ".end":
                break
            elif head == ".subckt":
                if name:
                    refuse(card, f"the subcircuit {name} must end before another one begins")
                name, cell = self._open(card)
            elif head == ".ends":
                cell, name = self.top, ""
            elif head in (".param", ".params", ".global_param", ".parameter"):
                cell.scope.values.update(_assignments(card, words_of(card)[1:]))
            elif head == ".global":
                self.common.update(card.text.split()[1:])
            elif head in _NO_ELEMENTS:
                self.aside[head] += 1
            elif head.startswith("."):
                refuse(card, f"{head} must be understood, and is not: it may change the circuit")
            else:
                cell.cards.append(card)
        if name:
            raise NetlistError(f"the subcircuit {name} must end with .ends; the text is cut off.")

    def _open(self, card: Card) -> tuple[str, _Cell]:
        words = [w for w in words_of(card)[1:] if w not in ("params:", "param:")]
        pins = [w for w in words[1:] if "=" not in w]
        if not words or len(set(pins)) < len(pins):
            refuse(card, "a subcircuit must have a name, and pins that differ")
        if words[0] in self.cells:
            refuse(card, f"the subcircuit {words[0]} is defined twice")
        values = _assignments(card, [w for w in words[1:] if "=" in w])
        cell = _Cell(tuple(pins), Scope(values, self.top.scope))
        self.cells[words[0]] = cell
        return words[0], cell


def words_of(card: Card) -> list[str]:
    """Words of a card; braces and quotes keep an expression together, = its name and value.

    Raises:
        NetlistError: a brace or quote has no partner.
    """
    text = re.sub(r"\s*=\s*", "=", card.text)
    if loose := _WORD.sub("", text).strip():
        refuse(card, f"{loose.split()[0]} must be closed, or left out")
    return _WORD.findall(text)


def _assignments(card: Card, words: list[str]) -> dict[str, str]:
    out = {}
    for word in words:
        name, equals, expression = word.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]\w*", name) or not expression:
            refuse(card, f"{word} must be a parameter and its value")
        out[name] = expression
    return out


def flatten(text: str) -> FlatCircuit:
    """Take a netlist apart into resistors and sources; names inside instances get their path.

    Args:
        text: the netlist, of SPICE, Spectre or VACASK.

    Raises:
        NetlistError: names the line that is not understood.
    """
    content = _Text(as_spice(text), titled=False) if is_spectre(text) else _Text(text)
    unfolding = _Unfolding(content)
    start = content.top
    if not start.cards and content.cells:
        start = _only_top(content)
    unfolding.take(start, "", {}, start.scope)
    notes: list[str] = []
    if content.aside:
        notes.append(f"Left out, no elements: {', '.join(sorted(content.aside))}.")
    if unfolding.capacitors:
        notes.append(f"Left out, they carry no direct current: {unfolding.capacitors} capacitors.")
    return FlatCircuit(
        resistors=unfolding.resistors,
        sources=unfolding.sources,
        pins=() if unfolding.sources else start.pins,
        notes=notes,
        title_like_element=content.title_like_element,
    )


def _only_top(content: _Text) -> _Cell:
    """The only subcircuit that no other one uses."""
    used = {
        word for cell in content.cells.values() for card in cell.cards
        if card.text[0] == "x" for word in words_of(card)
    }  # fmt: skip
    tops = [name for name in content.cells if name not in used]
    if len(tops) != 1:
        raise NetlistError(
            "a text without instances must have one subcircuit that no other one uses; received "
            f"{', '.join(tops) or 'none'}. Import each by itself."
        )
    return content.cells[tops[0]]


class _Unfolding:
    """Elements of all instances at one level."""

    def __init__(self, content: _Text) -> None:
        self._content = content
        self.resistors: list[Resistor] = []
        self.sources: list[Source] = []
        self.capacitors = 0
        self._names: set[str] = set()

    def take(self, cell: _Cell, path: str, pins: dict[str, str], scope: Scope) -> None:
        """Add the elements of a subcircuit whose pins are these nodes.

        Raises:
            NetlistError: an element is none of a crossbar, or occurs twice.
        """
        if path.count(".") > _DEEPEST:
            raise NetlistError(f"the subcircuit of {path[:40]}... must not hold itself.")

        def node(name: str) -> str:
            if name in _GROUNDS:
                return GROUND
            if name in pins or name in self._content.common:
                return pins.get(name, name)
            return path + name

        for card in cell.cards:
            words = words_of(card)
            if path + words[0] in self._names:
                refuse(card, f"{words[0]} must occur once")
            self._names.add(path + words[0])
            if len(self._names) > _MOST:
                refuse(card, f"a text must unfold to {_MOST} elements at most")
            if len(words) < 3:
                refuse(card, "an element must have a name and two nodes")
            kind = words[0][0]
            if kind == "r":
                a, b = node(words[1]), node(words[2])
                value = _resistance(card, words[3:], scope)
                self.resistors.append(Resistor(path + words[0], a, b, value, card))
            elif kind == "v":
                volts = _volts(card, words[3:], scope)
                nodes = node(words[1]), node(words[2])
                self.sources.append(Source(path + words[0], *nodes, volts, card))
            elif kind == "c":
                self.capacitors += 1
            elif kind == "x":
                self._instance(card, words, path, node, scope)
            else:
                refuse(card, "a crossbar must consist of resistors and voltage sources")

    def _instance(
        self, card: Card, words: list[str], path: str, node: Callable[[str], str], scope: Scope
    ) -> None:
        plain = [w for w in words[1:] if "=" not in w and w not in ("params:", "param:")]
        if not plain:
            refuse(card, "an instance must have nodes and a subcircuit")
        cell = self._content.cells.get(plain[-1])
        if cell is None:
            refuse(card, f"there is no subcircuit {plain[-1]} in the text")
        if len(plain) - 1 != len(cell.pins):
            refuse(card, f"{plain[-1]} has {len(cell.pins)} pins, and {len(plain) - 1} nodes here")
        stated = _assignments(card, [w for w in words[1:] if "=" in w])
        values = {**cell.scope.values, **stated}
        inside = Scope(values, cell.scope.outer, frozenset(stated), scope)
        nodes = dict(zip(cell.pins, map(node, plain), strict=False))
        self.take(cell, f"{path}{words[0]}.", nodes, inside)


def _resistance(card: Card, words: list[str], scope: Scope) -> Value:
    if len(words) != 1 or ("=" in words[0] and not words[0].startswith(("r=", "resistance="))):
        refuse(card, "a resistor must have two nodes and a value, and nothing else")
    value = value_of(words[0].rpartition("=")[2], scope, card)
    if value.number < 0:
        refuse(card, "a resistance must be >= 0")
    return value


def _volts(card: Card, words: list[str], scope: Scope) -> float:
    """The constant voltage of a source; what it has for other analyses is no matter."""
    words = [w for w in re.sub(r"\bdc\s*\(([^()]*)\)", r"dc \1", " ".join(words)).split() if w]
    words = [w.removeprefix("dc=") for w in words]
    words = words[1:] if words[:1] == ["dc"] else words
    if words[1:2] == ["ac"]:
        words = words[:1]
    if len(words) != 1:
        refuse(card, "a voltage source must have one constant voltage")
    return value_of(words[0], scope, card).number
