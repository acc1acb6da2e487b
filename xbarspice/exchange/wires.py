"""Which resistors of a circuit are wires and which are devices.

Wires are the resistors below a gap between resistances. Gaps are tried from the widest to
narrower ones; the first that gives a crossbar is taken. What has an order of its own against that
is refused, not guessed: a line between two voltages, lines that lead to no source, two resistors in
series of which either may be the device.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Set

from xbarspice.core.errors import NetlistError
from xbarspice.exchange.circuit import Branch, Circuit
from xbarspice.exchange.lines import Lines, WrongChoiceError, crossing

__all__ = ["lines_of"]

_MOST = 4
"""Gaps between resistances that are tried."""
_REPAIRS = 16
"""Nearly broken wires that a choice may have."""
_WIDE = 10.0
"""Ratio of two resistances of which the smaller is a wire beyond doubt, and the larger a device; or
the smaller a device, and the larger a nearly broken wire."""
_REMEDY = "If wires and devices part at another resistance, state it (--wires-below)."


def lines_of(circuits: list[Circuit], wires_below: float | None = None) -> Lines:
    """The lines of a circuit.

    Args:
        circuits: ways to see its terminals, in the order in which they are tried.
        wires_below: resistors below this many ohm are wires and all others devices; None to find
            what gives a crossbar.

    Raises:
        NetlistError: no choice of wires gives a crossbar (says why the widest gap does not), or
            more than one does.
    """
    reasons: list[tuple[float, WrongChoiceError]] = []
    doubtful: list[Lines] = []
    for number, (circuit, limit) in enumerate(_choices(circuits, wires_below)):
        try:
            chosen, lines = _repaired(circuit, limit)
        except WrongChoiceError as wrong:
            reasons.append((limit, wrong))
            continue
        plain = number < len(circuits) and _parts_widely(circuit, chosen)
        if (doubt := _doubt(lines, may_have_gaps=plain or limit == 0)) is not None:
            reasons.append((limit, doubt))
            doubtful.append(lines)
            continue
        if wires_below is None:
            _refuse_exchangeable(circuit, chosen)
        return lines
    if wires_below is not None and doubtful:
        return doubtful[0]
    limit, wrong = reasons[0]
    card = wrong.branch.resistor.card
    raise NetlistError(
        f"line {card.at}: the resistors must make a crossbar, and with those below {limit:.4g} ohm "
        f"as its wires {wrong.reason}; received {card.text[:80]!r}. {_REMEDY}"
    )


def _choices(circuits: list[Circuit], wires_below: float | None) -> Iterator[tuple[Circuit, float]]:
    """Circuits, and resistances between which wires and devices may part, ohm."""
    limits = [_limits(circuit) if wires_below is None else [wires_below] for circuit in circuits]
    for several in itertools.zip_longest(*limits):
        yield from ((c, k) for c, k in zip(circuits, several, strict=True) if k is not None)


def _limits(circuit: Circuit) -> list[float]:
    """The middles of the widest gaps between resistances, ohm, and 0, where all are devices.

    The 0 comes first where no gap is wide.
    """
    values = sorted({b.ohm for b in circuit.branches if not b.is_end})
    gaps = sorted(itertools.pairwise(values), key=lambda gap: gap[1] / gap[0], reverse=True)
    middles = [math.sqrt(low * high) for low, high in gaps[:_MOST]]
    wide = bool(gaps) and gaps[0][1] / gaps[0][0] >= _WIDE
    return [*middles, 0.0] if wide else [0.0, *middles]


def _repaired(circuit: Circuit, limit: float) -> tuple[Set[int], Lines]:
    """The wires and lines if all resistors below the limit are wires.

    A few others that lie far above all devices may be wires, too: those that join two lines of one
    kind.

    Raises:
        WrongChoiceError: there is no crossbar.
    """
    chosen = {id(b) for b in circuit.branches if b.is_end or b.ohm < limit}
    first: WrongChoiceError | None = None
    for _ in range(_REPAIRS + 1):
        try:
            lines = crossing(circuit, chosen)
        except WrongChoiceError as wrong:
            first = first or wrong
            if not wrong.between_alike:
                break
            chosen.add(id(wrong.branch))
            continue
        broken = [
            b for b in circuit.branches if id(b) in chosen and not b.is_end and b.ohm >= limit
        ]
        most = max(b.ohm for b in circuit.branches if id(b) not in chosen)
        if any(b.ohm < _WIDE * most for b in broken):
            break
        return chosen, lines
    if first is None:
        raise AssertionError("lines without repairs are returned")
    raise first from None


def _parts_widely(circuit: Circuit, chosen: Set[int]) -> bool:
    """Whether every device is far above every wire that is not at a line's end."""
    wires = [b.ohm for b in circuit.branches if id(b) in chosen and not b.is_end]
    least = min(b.ohm for b in circuit.branches if id(b) not in chosen)
    return least >= _WIDE * max(wires, default=0.0)


def _doubt(lines: Lines, *, may_have_gaps: bool) -> WrongChoiceError | None:
    """Why lines that make a crossbar are hardly meant, or None.

    Devices between two sources look like lines between two voltages, resistors of any network like
    devices between lines that lead to no source, and some wires of a line like devices of an array
    in which others are missing.

    Args:
        lines: the lines.
        may_have_gaps: whether resistances alone tell wires from devices, so that some may be
            missing.
    """
    devices = [branch for line in lines.word for _, branch, _ in line.devices]
    for line in (*lines.word, *lines.bit):
        if len({terminal.volts for terminal in line.terminals}) > 1:
            first, second = line.terminals
            branch = next((e[1] for e in line.ends if e and e[1]), devices[0])
            reason = f"{first.name} and {second.name} are at two ends of one line"
            return WrongChoiceError(branch, reason)
    for kind, word in ((lines.word, "word"), (lines.bit, "bit")):
        if not any(line.terminals for line in kind if line.devices):
            return WrongChoiceError(devices[0], f"no {word} line has an end")
        loose = [line for line in kind if line.devices and not line.terminals]
        if loose and lines.share < 1:
            reason = f"the {word} line at node {loose[0].nodes[0]} leads to no source or ground"
            return WrongChoiceError(loose[0].devices[0][1], reason)
    if may_have_gaps:
        return None
    if lines.share < 1:
        reason = f"only {lines.share:.0%} of the places have a device"
        return WrongChoiceError(devices[0], reason)
    for line in (*lines.word, *lines.bit):
        if len(line.terminals) > 1:
            first, second = line.terminals
            reason = f"{first.name} and {second.name} are at two ends of one line"
            return WrongChoiceError(line.devices[0][1] if line.devices else devices[0], reason)
        at_source = any(end is not None and end[1] is None for end in line.ends)
        if at_source and not line.wires and len(line.devices) == 1:
            reason = f"the only resistor at {line.terminals[0].name} is a device"
            return WrongChoiceError(line.devices[0][1], reason)
    return None


def _refuse_exchangeable(circuit: Circuit, chosen: Set[int]) -> None:
    """Refuse a wire and a device in series that may be each other.

    They are clear where the device is far above the wire and both are with their kind; further
    above where its place at a source is that of a driver.

    Raises:
        NetlistError: names both.
    """
    around: dict[str, list[Branch]] = defaultdict(list)
    for branch in circuit.branches:
        for node in (branch.a, branch.b):
            around[node].append(branch)
    middle = _middle(circuit, chosen)
    for node, branches in around.items():
        inner = [b for b in branches if not b.is_end]
        if len(branches) != 2 or len(inner) != 2 or node in circuit.terminals:
            continue
        wire, device = sorted(inner, key=lambda b: id(b) not in chosen)
        if (id(wire) in chosen) == (id(device) in chosen):
            continue
        far = device.b if device.a == node else device.a
        ratio = _WIDE**2 if far in circuit.terminals and len(around[far]) == 1 else _WIDE
        clear = device.ohm >= ratio * wire.ohm and wire.ohm <= middle <= device.ohm
        if clear or sum(id(b) in chosen for b in around[far]) > 1:
            continue
        if _is_crossbar(circuit, (chosen - {id(wire)}) | {id(device)}):
            names = f"{wire.resistor.name} ({wire.ohm:.4g} ohm)"
            card = device.resistor.card
            raise NetlistError(
                f"line {card.at}: it must be clear which resistors are devices, and "
                f"{device.resistor.name} ({device.ohm:.4g} ohm) in series with {names} may be "
                f"the wire; received {card.text[:80]!r}. {_REMEDY}"
            )


def _middle(circuit: Circuit, chosen: Set[int]) -> float:
    """Between wires and devices, ohm: the geometric mean of the medians."""
    kinds: tuple[list[float], list[float]] = ([], [])
    for branch in circuit.branches:
        if not branch.is_end:
            kinds[id(branch) in chosen].append(branch.ohm)
    return math.sqrt(math.prod(statistics.median(ohm) for ohm in kinds if ohm))


def _is_crossbar(circuit: Circuit, chosen: Set[int]) -> bool:
    try:
        return _doubt(crossing(circuit, chosen), may_have_gaps=True) is None
    except WrongChoiceError:
        return False
