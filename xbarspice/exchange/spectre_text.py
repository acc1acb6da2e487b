"""Netlists of Spectre and its like in the words of SPICE, line by line.

``name (nodes) master r=1`` becomes a card in the same line, so that a refusal names it. Two names
that differ in capital letters alone are refused: SPICE has one for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from xbarspice.core.errors import NetlistError
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.numbers import SPECTRE_FACTORS, exact

__all__ = ["as_spice", "is_spectre"]

_LANGUAGE = re.compile(r"^\s*(simulator\s+lang\s*=\s*spectre|load\s+\")", re.MULTILINE)
_INSTANCE = re.compile(r"([\w\\<>\[\].:!]+)\s*\(([^()]*)\)\s*([\w]+)\s*(.*)")
_SUBCKT = re.compile(r"(?:inline\s+)?subckt\s+(\w+)\s*(?:\(([^()]*)\)|(.*))")
_SCALED = re.compile(r"(?<![\w.])(\d+\.?\d*|\.\d+)(?![eE][-+\d])([A-Za-z]+)(?![\w.])")
_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(.+?)(?=\s+\w+\s*=|$)")
_KINDS = {"resistor": "r", "vsource": "v", "capacitor": "c"}
_ASIDE = {"save": ".save", "options": ".options", "dc": ".dc", "op": ".op", "tran": ".tran"}
_NOTHING = ("load", "simulator")


def is_spectre(text: str) -> bool:
    """Whether a text says that it is in the language of Spectre or VACASK."""
    return bool(_LANGUAGE.search(text))


def as_spice(text: str) -> str:
    """The same circuit in the words of SPICE, every statement in its line.

    Args:
        text: in the language of Spectre or VACASK.

    Raises:
        NetlistError: a statement is not understood, or two names differ in capitals alone.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    out = [""] * len(lines)
    masters, names, control = dict(_KINDS), {}, False
    for card in _statements(lines):
        words = card.text.split()
        if words[0] == "simulator" and not _LANGUAGE.match(card.text):
            refuse(card, "a text must be in one language, Spectre's")
        if control:
            control = words[0] != "endc"
            out[card.at - 1] = "" if control else ".endc"
        elif words[0] == "model" and len(words) == 3 and words[2] in _KINDS:
            masters[words[1]] = _KINDS[words[2]]
        elif words[0] in ("global", "ground"):
            out[card.at - 1] = _global(card, words[1:])
        elif words[0] not in _NOTHING:
            control = words[0] == "control"
            out[card.at - 1] = _card(card, masters, names)
    return "\n".join(out)


def _global(card: Card, nodes: list[str]) -> str:
    """Nodes that all subcircuits share; the first one is ground."""
    if nodes[:1] != ["0"]:
        refuse(card, "ground must be the node 0")
    return " ".join([".global", *map(str.lower, nodes)])


def _statements(lines: list[str]) -> Iterator[Card]:
    """Statements without comments, with the lines that continue them."""
    at, words = 0, ""
    for k, line in enumerate(lines, start=1):
        body = re.sub(r"(^|\s)//.*", "", line).rstrip()
        if body.lstrip().startswith("*"):
            continue
        at = at or k
        words = f"{words} {body.removesuffix(chr(92))}".strip()
        if body.endswith("\\"):
            continue
        if words:
            yield Card(at, words)
        at, words = 0, ""
    if words:
        yield Card(at, words)


def _card(card: Card, masters: dict[str, str], names: dict[str, str]) -> str:
    head, *words = card.text.split()
    if head in ("ends", "control"):
        return f".{head}"
    if head == "parameters":
        return f".param {_values(card, ' '.join(words))}"
    if match := _SUBCKT.fullmatch(card.text):
        pins = (match[2] or match[3] or "").split()
        return " ".join([".subckt", _fold(card, match[1], names), *_nodes(card, pins, names)])
    if match := _INSTANCE.fullmatch(card.text):
        return _instance(card, match, masters, names)
    aside = next((_ASIDE[word] for word in (head, *words[:1]) if word in _ASIDE), "")
    if not aside:
        refuse(card, f"{head} must be understood, and is not: it may change the circuit")
    return aside


def _instance(
    card: Card, match: re.Match[str], masters: dict[str, str], names: dict[str, str]
) -> str:
    name, nodes, master, rest = match.groups()
    kind = masters.get(master, "x")
    plain = _fold(card, name, names)
    plain = plain if plain.startswith(kind) else f"{kind}:{plain}"
    values = _values(card, re.sub(r"\btype\s*=\s*dc\b", "", rest))
    ends = _nodes(card, nodes.split(), names)
    return " ".join([plain, *ends, *([_fold(card, master, names)] if kind == "x" else []), values])


def _nodes(card: Card, nodes: list[str], names: dict[str, str]) -> list[str]:
    return [_fold(card, node.replace("\\", ""), names) for node in nodes]


def _fold(card: Card, name: str, names: dict[str, str]) -> str:
    """A name in small letters, unless another one is the same then."""
    if names.setdefault(name.lower(), name) != name:
        refuse(card, f"{name} and {names[name.lower()]} must not differ in capital letters alone")
    return name.lower()


def _values(card: Card, text: str) -> str:
    """Assignments with the factors of Spectre written out; expressions in braces."""
    out = []
    for name, value in _ASSIGNMENT.findall(text.strip()):
        plain = _SCALED.sub(lambda m: _plain(card, m[0]), value.strip())
        simple = re.fullmatch(r"[-+.\w]+", plain)
        out.append(f"{name}={plain}" if simple else f"{name}={{{plain}}}")
    if _ASSIGNMENT.sub("", text.strip()).strip():
        refuse(card, f"{text.strip()} must consist of parameters and their values")
    return " ".join(out)


def _plain(card: Card, number: str) -> str:
    """A number with a factor as a plain decimal."""
    try:
        decimal = exact(number, SPECTRE_FACTORS)
    except NetlistError as error:
        refuse(card, str(error).rstrip("."))
    return str(decimal)
