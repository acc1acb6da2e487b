"""Lines that are known as rows and columns: their order, and every resistance in its place.

Along a word line stand its devices in the order of the columns, along a bit line in that of the
rows. A node without a device takes a free place, where the array has no device either; where there
is none, its two wires are one segment.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import NetlistError
from xbarspice.core.line_ends import End, Ends, LineEnds, by_role
from xbarspice.core.types import Array
from xbarspice.exchange.circuit import Terminal
from xbarspice.exchange.lines import Line, Lines

__all__ = ["PlacedArray", "place"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedArray:
    """A crossbar, the voltages at its ends, and the names of its lines.

    Attributes:
        crossbar: the array.
        V_in, V_out: voltages of driven lines, V, (1, rows) and (1, cols); None where unknown.
        word_lines, bit_lines: what stands at their ends, or their first node.
        notes: what was merged, left out or free.
    """

    crossbar: Crossbar
    V_in: Array | None
    V_out: Array | None
    word_lines: tuple[str, ...]
    bit_lines: tuple[str, ...]
    notes: list[str]


def place(lines: Lines) -> PlacedArray:
    """Rows and columns of lines.

    Raises:
        NetlistError: lines cross in an order that no array has, or the voltages at both ends of a
            line differ.
    """
    notes: list[str] = []
    if lines.kinds_are_free:
        notes.append(
            "Which lines are word lines is free (no kind alone is driven): those at the first "
            "source of the text."
        )
    if lines.parts > 1:
        notes.append(
            f"No resistor joins {lines.parts} parts of the text: they are one array, without "
            "devices between them."
        )
    bare = [_name(line) for line in (*lines.word, *lines.bit) if not line.devices]
    if bare:
        notes.append(
            f"Lines without devices: {', '.join(bare)}; word lines are those at other than 0 V."
        )
    _orient(lines.word, first=True)
    _orient(lines.bit, first=False)
    bits = _ordered(lines.word, lines.bit, "bit", notes)
    words = _ordered(lines.bit, lines.word, "word", notes)
    columns = {id(line): k for k, line in enumerate(bits)}
    rows = {id(line): k for k, line in enumerate(words)}
    G = np.zeros((len(words), len(bits)))
    for r, line in enumerate(words):
        for _, branch, other in line.devices:
            G[r, columns[id(other)]] = branch.resistor.value.siemens
    along_wl, at_wl = _resistances(words, columns, len(bits), notes)
    along_bl, at_bl = _resistances(bits, rows, len(words), notes)
    ends = [[_role(line, k, word=True) for line in words] for k in (0, 1)]
    ends += [[_role(line, k, word=False) for line in bits] for k in (0, 1)]
    sides = LineEnds(wl_left=ends[0], wl_right=ends[1], bl_top=ends[2], bl_bottom=ends[3])
    kinds = sides.word_lines(len(words)), sides.bit_lines(len(bits))
    R_driver, R_sense = (_at_role(kinds, end, at_wl, at_bl) for end in (End.DRIVEN, End.SENSED))
    crossbar = Crossbar(
        G,
        R_wl=_one_or_many(along_wl),
        R_bl=_one_or_many(along_bl.T),
        R_driver=R_driver,
        R_sense=R_sense,
        ends=sides,
    )
    volts = [t.volts for line in (*words, *bits) for t in line.terminals]
    known = all(v is not None for v in volts)
    V_in, V_out = ([_volts(line) for line in side] for side in (words, bits))
    return PlacedArray(
        crossbar=crossbar,
        V_in=np.array([V_in]) if known else None,
        V_out=np.array([V_out]) if known and any(V_out) else None,
        word_lines=tuple(map(_name, words)),
        bit_lines=tuple(map(_name, bits)),
        notes=notes,
    )


def _name(line: Line) -> str:
    return line.terminals[0].name if line.terminals else line.nodes[0]


def _volts(line: Line) -> float:
    """The voltage that drives a line, V; 0 for a line that is sensed or floats."""
    driven = {terminal.volts for terminal in line.terminals if terminal.volts}
    if len(driven) > 1:
        first, second = line.terminals
        raise NetlistError(
            f"a line must be driven with one voltage; received {first.volts:g} V by {first.name} "
            f"and {second.volts:g} V by {second.name}. Import it with one of them."
        )
    return driven.pop() or 0.0 if driven else 0.0


def _role(line: Line, k: int, *, word: bool) -> End:
    """What an end is connected to: bit lines at 0 V are sensed, and word lines driven.

    A word line that is driven at its other end with another voltage is sensed here.
    """
    end = line.ends[k]
    if end is None:
        return End.FLOATING
    if end[0].volts or (word and not _volts(line)):
        return End.DRIVEN
    return End.SENSED


def _orient(lines: list[Line], *, first: bool) -> None:
    """Let every line begin (`first`) or end at a terminal, and all of them run alike."""
    near, far = (0, 1) if first else (1, 0)
    for line in lines:
        both = all(line.ends)
        if (both and _rank(line, 0) > _rank(line, 1)) or (line.ends[far] and not line.ends[near]):
            line.turn()
    if not lines:
        return
    guide = max(lines, key=lambda line: len({k for k, _, _ in line.devices}))
    position = {id(other): k for k, _, other in guide.devices}
    for line in lines:
        shared = sorted((k, position[id(o)]) for k, _, o in line.devices if id(o) in position)
        steps = [
            (b[1] > a[1]) - (b[1] < a[1]) for a, b in itertools.pairwise(shared) if b[0] > a[0]
        ]
        if line is not guide and sum(steps) < 0:
            line.turn()
    sides = [bool(line.ends[near]) - bool(line.ends[far]) for line in lines]
    if sum(sides) < 0:
        for line in lines:
            line.turn()


def _rank(line: Line, k: int) -> int:
    end: tuple[Terminal, object] | None = line.ends[k]
    return end[0].rank if end else 0


def _ordered(across: list[Line], lines: list[Line], kind: str, notes: list[str]) -> list[Line]:
    """Lines in the order in which all lines across meet them; the text decides what is free.

    Raises:
        NetlistError: no order suits all lines.
    """
    after: dict[int, set[int]] = {id(line): set() for line in lines}
    for line in across:
        groups: dict[int, list[int]] = {}
        for k, _, other in line.devices:
            groups.setdefault(k, []).append(id(other))
        for earlier, later in itertools.pairwise([groups[k] for k in sorted(groups)]):
            for one in earlier:
                after[one].update(later)
    before = dict.fromkeys(after, 0)
    for later in after.values():
        for one in later:
            before[one] += 1
    table = {id(line): line for line in lines}
    ready = [(line.rank, id(line)) for line in lines if not before[id(line)]]
    heapq.heapify(ready)
    out, free = [], False
    while ready:
        free |= len(ready) > 1
        _, one = heapq.heappop(ready)
        out.append(table[one])
        for later in after[one]:
            before[later] -= 1
            if not before[later]:
                heapq.heappush(ready, (table[later].rank, later))
    if len(out) < len(lines):
        stuck = min((table[one] for one, n in before.items() if n), key=lambda line: line.rank)
        _, branch, _ = min(stuck.devices, key=lambda d: d[1].rank)
        raise NetlistError(
            f"line {branch.resistor.card.at}: all lines must meet the {kind} lines in one order; "
            f"received {branch.resistor.card.text[:80]!r}, whose {kind} line some meet before and "
            "some after the same others. The resistors make no array in a plane."
        )
    if free:
        notes.append(f"The order of {kind} lines is free (no wire tells it): that of the text.")
    return out


def _resistances(
    lines: list[Line], position: dict[int, int], places: int, notes: list[str]
) -> tuple[Array, Array]:
    """Of segments and at ends of lines, ohm, (lines, places - 1) and (lines, 2)."""
    along, at_ends = np.zeros((len(lines), places - 1)), np.zeros((len(lines), 2))
    for n, line in enumerate(lines):
        at_ends[n] = [_end_ohm(line, k) for k in (0, 1)]
        groups: dict[int, list[int]] = {}
        for k, _, other in line.devices:
            groups.setdefault(k, []).append(position[id(other)])
        nodes = sorted(groups)
        ohm = [wire.ohm for wire in line.wires]
        if not nodes:
            _place_bare(line, ohm, along[n], at_ends[n])
            continue
        for a, b in itertools.pairwise(nodes):
            _spread(ohm[a:b], along[n, max(groups[a]) : min(groups[b])], line, notes)
        first, last = nodes[0], nodes[-1]
        at_ends[n, 0] += _toward_end(ohm[:first][::-1], along[n, : min(groups[first])][::-1])
        at_ends[n, 1] += _toward_end(ohm[last:], along[n, max(groups[last]) :])
        for k, wires in ((0, line.wires[:first]), (1, line.wires[last:])):
            if wires and line.ends[k] is None and at_ends[n, k]:
                notes.append(f"{wires[-k].resistor.name} leads nowhere and is left out.")
                at_ends[n, k] = 0.0
    return along, at_ends


def _end_ohm(line: Line, k: int) -> float:
    end = line.ends[k]
    return end[1].ohm if end is not None and end[1] is not None else 0.0


def _spread(ohm: list[float], segments: Array, line: Line, notes: list[str]) -> None:
    """Wires between two nodes with devices on the segments between their places."""
    count = len(segments)
    if len(ohm) > count:
        notes.append(f"{len(ohm)} resistors in series along {_name(line)} are {count} segments.")
    segments[: len(ohm)] = ohm[:count]
    segments[-1] += sum(ohm[count:])


def _toward_end(ohm: list[float], segments: Array) -> float:
    """Wires from the last node with a device outward; what finds no segment is at the end, ohm."""
    count = len(segments)
    segments[: len(ohm)] = ohm[:count]
    return sum(ohm[count:])


def _place_bare(line: Line, ohm: list[float], segments: Array, at_ends: Array) -> None:
    """Wires of a line without any device."""
    segments[: len(ohm)] = ohm[: len(segments)]
    at_ends[1] += sum(ohm[len(segments) :]) if line.ends[1] is not None else 0.0


def _at_role(kinds: tuple[Ends, Ends], end: End, wl: Array, bl: Array) -> float | Array:
    """Resistances of all ends of a role, ohm: one number where they are equal."""
    R = np.concatenate([wl[kinds[0] == end], bl[kinds[1] == end]])
    same = _one_or_many(R)
    return by_role(kinds, end, wl, bl) if isinstance(same, np.ndarray) else same


def _one_or_many(R: Array) -> float | Array:
    """One number where all are equal."""
    if not R.size:
        return 0.0
    return float(R.flat[0]) if (R.flat[0] == R).all() else R
