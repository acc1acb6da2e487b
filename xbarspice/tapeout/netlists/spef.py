"""SPEF (IEEE 1481-1998): the wires of an array net by net, without the devices between them.

Every net is a ``*D_NET``; a capacitance between two lines stands in both nets, as the standard has
it. Units are fF and ohm. The date is left out, so that equal arrays make equal files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

from xbarspice.core.errors import NetlistError
from xbarspice.netlist.cards import number_lines, refuse
from xbarspice.netlist.dialects import get
from xbarspice.netlist.numbers import exact
from xbarspice.tapeout.netlists.parasitics import Branch, Net, Parasitics

__all__ = ["prove_spef", "write_spef"]

_FEMTO = 15


def write_spef(parasitics: Parasitics, brackets: str = "<>") -> str:
    """The text, the same for equal parasitics."""
    node, cell = get("ngspice", brackets).node, parasitics.schematic.cell
    model = cell.elements[0].model if cell.elements else ""
    ports = [f"{node(pin)} B" for pin in cell.pins]
    lines = [*_header(parasitics, brackets), "", "*PORTS", *ports]
    for net in parasitics.nets:
        lines += ["", *_net(net, model, node)]
    return "\n".join([*lines, ""])


def _header(parasitics: Parasitics, brackets: str) -> list[str]:
    """The first lines: names, marks and units."""
    from xbarspice import __version__

    return [
        '*SPEF "IEEE 1481-1998"',
        f'*DESIGN "{parasitics.schematic.cell.name}"',
        '*DATE ""',
        '*VENDOR "xbarspice"',
        '*PROGRAM "xbarspice"',
        f'*VERSION "{__version__}"',
        '*DESIGN_FLOW "PIN_CAP NONE" "NAME_SCOPE LOCAL"',
        "*DIVIDER /",
        "*DELIMITER :",
        f"*BUS_DELIMITER {' '.join(brackets)}",
        "*T_UNIT 1 PS",
        "*C_UNIT 1 FF",
        "*R_UNIT 1 OHM",
        "*L_UNIT 1 HENRY",
    ]


def _net(net: Net, model: str, spell: Callable[[str], str]) -> Iterator[str]:
    yield f"*D_NET {spell(net.name)} {net.capacitance * 10**_FEMTO:.6g}"
    yield "*CONN"
    yield f"*P {spell(net.name)} B"
    yield from (f"*I {name}:{pin} B *D {model}" for name, pin in net.devices)
    yield from (f"*N {spell(inner)}" for inner in net.inner)
    yield "*CAP"
    turned = [Branch(b.b, b.a, b.value) for b in net.couplings]
    for k, branch in enumerate((*net.capacitors, *turned), start=1):
        ends = [spell(n) for n in (branch.a, branch.b) if n]
        yield f"{k} {' '.join(ends)} {Decimal(branch.value).scaleb(_FEMTO).normalize():f}"
    yield "*RES"
    for k, branch in enumerate(net.resistors, start=1):
        yield f"{k} {spell(branch.a)} {spell(branch.b)} {branch.value}"
    yield "*END"


def prove_spef(text: str, intended: Parasitics, brackets: str = "<>") -> None:
    """Prove that a text holds exactly these parasitics; the order within a net is free.

    Raises:
        NetlistError: a line is not understood, or what differs.
    """
    stated, meant = _read(text), _meant(intended, brackets)
    less, more = meant - stated, stated - meant
    if less or more:
        shown = [*(f"{x} is missing" for x in less), *(f"{x} is superfluous" for x in more)]
        raise NetlistError(
            f"the SPEF text must describe {intended.schematic.cell.name}, and {len(shown)} places "
            f"differ: {'; '.join(shown[:5])}. Write it again."
        )


def _meant(parasitics: Parasitics, brackets: str) -> Counter[object]:
    """What a text must say, from the parasitics and the schematic themselves."""
    spell, cell = get("ngspice", brackets).node, parasitics.schematic.cell
    out: Counter[object] = Counter(
        [("", "header", *line.split()) for line in _header(parasitics, brackets)]
        + [("", "*PORTS", spell(pin), "B") for pin in cell.pins]
    )
    for net in parasitics.nets:
        name = spell(net.name)
        out["net", name, f"{net.capacitance * 10**_FEMTO:.6g}"] += 1
        out[name, "*CONN", "*P", name, "B"] += 1
        for device, pin in net.devices:
            out[name, "*CONN", "*I", f"{device}:{pin}", "B", "*D", cell.elements[0].model] += 1
        for inner in net.inner:
            out[name, "*CONN", "*N", spell(inner)] += 1
        for section, branches, power in (
            ("*CAP", (*net.capacitors, *net.couplings), _FEMTO),
            ("*RES", net.resistors, 0),
        ):
            for b in branches:
                ends = tuple(sorted(spell(n) for n in (b.a, b.b) if n))
                out[name, section, ends, exact(b.value).scaleb(power).normalize()] += 1
    return out


def _read(text: str) -> Counter[object]:
    """Everything that a text says: the header, and every entry with its net and section."""
    out: Counter[object] = Counter()
    net, section = "", "header"
    for line in number_lines(text):
        words = line.text.split()
        if not words:
            continue
        if words[0] == "*D_NET" and len(words) == 3 and section in ("*PORTS", ""):
            net, section = words[1], "net"
            out["net", *words[1:]] += 1
        elif words[0] in ("*CONN", "*CAP", "*RES") and net:
            section = words[0]
        elif words == ["*END"] and section == "*RES":
            net, section = "", ""
        elif words == ["*PORTS"] and section == "header":
            section = "*PORTS"
        elif section in ("*CAP", "*RES") and len(words) in (3, 4) and words[0].isdigit():
            ends = tuple(sorted(words[1:-1]))
            out[net, section, ends, exact(words[-1]).normalize()] += 1
        elif section in ("header", "*PORTS", "*CONN"):
            out[(net, section, *words)] += 1
        else:
            refuse(line, "this is no line that we write")
    if section:
        raise NetlistError("a SPEF text must end in *END; it is cut off.")
    return out
