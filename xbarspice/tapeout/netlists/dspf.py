"""DSPF: the wires of an array net by net in SPICE cards, with the devices between the nets.

The text is a subcircuit that SPICE programs read (statements of DSPF are comments there): after the
nets stand the devices, as instances of the foundry's cell. Written is what DSPF 1.5 shares with the
older forms: header, ``*|GROUND_NET``, ``*|NET``, ``*|P``, ``*|I``, ``*|S``. It has no date, so that
equal arrays make equal files. The node of the substrate is 0, as StarRC writes it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from xbarspice.core.errors import NetlistError
from xbarspice.netlist.cards import Card, number_lines, refuse
from xbarspice.netlist.dialects import get
from xbarspice.netlist.dialects.base import cut_at_blanks
from xbarspice.netlist.numbers import SPICE_FACTORS, exact
from xbarspice.tapeout.netlists.parasitics import Net, Parasitics

__all__ = ["prove_dspf", "write_dspf"]

_WIDTH = 100


def write_dspf(parasitics: Parasitics, brackets: str = "<>") -> str:
    """The text, the same for equal parasitics."""
    node, cell = get("ngspice", brackets).node, parasitics.schematic.cell
    *header, ground = _header(parasitics)
    subckt = " ".join([".SUBCKT", cell.name, *map(node, cell.pins)])
    lines = [*header, *_wrap(subckt), ground]
    count = Counter[str]()
    for net in parasitics.nets:
        lines += _net(net, node, count)
    lines += ["*", "* devices"]
    for e, (name, nodes) in zip(cell.elements, parasitics.instances(), strict=True):
        words = [name, *nodes, e.model, *(f"{k}={v}" for k, v in e.params)]
        lines += _wrap(" ".join(words))
    return "\n".join([*lines, ".ENDS", ""])


def _header(parasitics: Parasitics) -> list[str]:
    """Statements on the whole; the last one stands inside the subcircuit."""
    from xbarspice import __version__

    return [
        "*|DSPF 1.5",
        f'*|DESIGN "{parasitics.schematic.cell.name}"',
        '*|VENDOR "xbarspice"',
        '*|PROGRAM "xbarspice"',
        f'*|VERSION "{__version__}"',
        "*|DIVIDER /",
        "*|DELIMITER :",
        "*|GROUND_NET 0",
    ]


def _net(net: Net, spell: Callable[[str], str], count: Counter[str]) -> list[str]:
    """All statements and cards of one net."""
    lines = [
        "*",
        f"*|NET {spell(net.name)} {net.capacitance:.6g}",
        f"*|P ({spell(net.name)} B 0)",
        *(f"*|I ({name}:{pin} {name} {pin} B 0)" for name, pin in net.devices),
        *(f"*|S ({spell(inner)})" for inner in net.inner),
    ]
    for letter, branches in (("R", net.resistors), ("C", net.capacitors)):
        for branch in branches:
            count[letter] += 1
            a, b = spell(branch.a), spell(branch.b) or "0"
            lines.append(f"{letter}{count[letter]} {a} {b} {branch.value}")
    return lines


def _wrap(text: str) -> list[str]:
    first, *more = cut_at_blanks(text, _WIDTH - 2)
    return [first, *(f"+ {part}" for part in more)]


def prove_dspf(text: str, intended: Parasitics, brackets: str = "<>") -> None:
    """Prove that a text holds exactly these parasitics.

    Every net with its pin, the pins of devices and its own nodes, every resistance and capacitance
    with its exact value between its two nodes, and every device; the order within a net is free.

    Raises:
        NetlistError: a line is not understood, or what differs.
    """
    stated, meant = _read(text), _meant(intended, get("ngspice", brackets).node)
    for what in meant:
        less, more = meant[what] - stated[what], stated[what] - meant[what]
        if less or more:
            shown = [*(f"{x} is missing" for x in less), *(f"{x} is superfluous" for x in more)]
            raise NetlistError(
                f"the DSPF text must describe {intended.schematic.cell.name}, and {len(shown)} "
                f"{what} differ: {'; '.join(shown[:5])}. Write it again."
            )


def _meant(parasitics: Parasitics, spell: Callable[[str], str]) -> dict[str, Counter[object]]:
    """What a text must say, from the parasitics and the schematic themselves."""
    cell = parasitics.schematic.cell

    def low(name: str) -> str:
        return spell(name).lower()

    nets, branches = Counter[object](), Counter[object]()
    for net in parasitics.nets:
        name = low(net.name)
        nets[name, "*|net", f"{net.capacitance:.6g}"] += 1
        nets[name, "*|p", f"({name}", "b", "0)"] += 1
        for device, pin in net.devices:
            nets[(name, *f"*|i ({device}:{pin} {device} {pin} b 0)".lower().split())] += 1
        for inner in net.inner:
            nets[name, "*|s", f"({low(inner)})"] += 1
        for letter, parts in (("r", net.resistors), ("c", net.capacitors)):
            for b in parts:
                ends = sorted((low(b.a), low(b.b) or "0"))
                branches[name, letter, *ends, exact(b.value)] += 1
    devices = Counter[object]()
    for e, (name, nodes) in zip(cell.elements, parasitics.instances(), strict=True):
        values = tuple((k.lower(), exact(v, SPICE_FACTORS)) for k, v in e.params)
        words = (name, *nodes, e.model)
        devices[(*map(str.lower, words), values)] += 1
    return {
        "headers": Counter(_header(parasitics)),
        "cells": Counter([tuple(map(low, (cell.name, *cell.pins)))]),
        "nets": nets,
        "branches": branches,
        "devices": devices,
    }


def _read(text: str) -> dict[str, Counter[object]]:
    """Everything that a text says, by kind; names are compared without their case."""
    out: dict[str, Counter[object]] = {
        kind: Counter() for kind in ("headers", "cells", "nets", "branches", "devices")
    }
    net, ended = "", False
    for card in _cards(text):
        words = card.text.lower().split()
        if ended:
            refuse(card, "nothing may follow .ends")
        if words[0] == "*|net" and len(words) == 3:
            net = words[1]
            out["nets"][net, "*|net", words[2]] += 1
        elif words[0] in ("*|p", "*|i", "*|s") and net:
            out["nets"][(net, *words)] += 1
        elif words[0].startswith("*|"):
            out["headers"][card.text.strip()] += 1
        elif words[0] == ".subckt":
            out["cells"][tuple(words[1:])] += 1
        elif words[0] == ".ends":
            ended = True
        else:
            _element(card, net, out)
    if not ended:
        raise NetlistError("a DSPF text must end in .ends; it is cut off.")
    return out


def _element(card: Card, net: str, out: dict[str, Counter[object]]) -> None:
    """A resistance or capacitance of a net, or a device."""
    name, *words = card.text.lower().split()
    if name[0] in "rc" and len(words) == 3 and net:
        a, b = sorted(words[:2])
        out["branches"][net, name[0], a, b, exact(words[2], SPICE_FACTORS)] += 1
    elif name[0] == "x" and len(words) >= 3:
        pairs = [word.partition("=") for word in words[3:]]
        values = tuple((key, exact(value, SPICE_FACTORS)) for key, _, value in pairs)
        out["devices"][(name, *words[:3], values)] += 1
    else:
        refuse(card, "this is no card that we write")


def _cards(text: str) -> list[Card]:
    """Lines with their continuations; plain comments are left out."""
    cards: list[Card] = []
    for line in number_lines(text):
        if line.text.startswith("+"):
            if not cards or cards[-1].text.startswith("*"):
                refuse(line, "a continuation must follow the line that it continues")
            cards[-1] = Card(cards[-1].at, f"{cards[-1].text} {line.text[1:].strip()}")
        elif re.fullmatch(r"\*( .*)?|", line.text):
            continue
        else:
            cards.append(Card(line.at, line.text))
    return cards
