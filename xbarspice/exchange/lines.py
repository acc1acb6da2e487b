"""Word and bit lines of a circuit: which resistors are wires, and what the rest joins.

A choice of wires is right if they make paths that end at terminals or nowhere, if every other
resistor joins two paths, and if the paths fall into two kinds so that each of them joins one of
either kind, at most one for every two paths. Choices are tried in the order of the gaps between
resistances. The array of the widest gap is taken, one with at least half of its devices before one
with fewer; or else the first array of another gap that lacks no device. Whichever is right
describes the same circuit.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from xbarspice.core.errors import NetlistError
from xbarspice.exchange.circuit import Branch, Circuit, Terminal

__all__ = ["Line", "Lines", "lines_of"]

_MOST = 4
"""Gaps between resistances that are tried."""
_REPAIRS = 16
"""Nearly broken wires, above all devices, that a choice may have."""
_WIDE = 10.0
"""Ratio of two resistances between which wires and devices usually part."""
_SPARSE = 0.5
"""Share of devices below which another reading is looked for."""


@dataclass(slots=True, eq=False)
class Line:
    """A path of wires.

    Attributes:
        nodes: along the path.
        wires: between them.
        ends: terminal at each of its two ends and the branch that leads to it (None: no
            resistance); None for an end that leads nowhere.
        rank: of its first branch in the text.
        devices: (node's place in the path, branch, the line at the other end).
    """

    nodes: list[str]
    wires: list[Branch]
    ends: list[tuple[Terminal, Branch | None] | None]
    rank: int = 0
    devices: list[tuple[int, Branch, Line]] = field(default_factory=list)

    def turn(self) -> None:
        """Count its nodes from the other end."""
        last = len(self.nodes) - 1
        self.nodes.reverse()
        self.wires.reverse()
        self.ends.reverse()
        self.devices = [(last - place, branch, line) for place, branch, line in self.devices]

    @property
    def terminals(self) -> list[Terminal]:
        """Of its ends."""
        return [end[0] for end in self.ends if end is not None]


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Word lines and bit lines.

    Attributes:
        word, bit: the lines.
        kinds_are_free: whether nothing tells which of them are which.
        parts: number of circuits that no resistor joins.
    """

    word: list[Line]
    bit: list[Line]
    kinds_are_free: bool
    parts: int

    @property
    def share(self) -> float:
        """Devices as a share of the crossings of word and bit lines."""
        devices = sum(len(line.devices) for line in self.word)
        return devices / max(len(self.word) * len(self.bit), 1)


class _WrongChoiceError(Exception):
    """A choice of wires gives no crossbar; it has the branch and the reason."""

    def __init__(self, branch: Branch, reason: str, *, between_alike: bool = False) -> None:
        super().__init__(reason)
        self.branch, self.reason = branch, reason
        self.between_alike = between_alike


def lines_of(circuits: list[Circuit], wires_below: float | None = None) -> Lines:
    """The lines of a circuit.

    Args:
        circuits: ways to see its terminals, in the order in which they are tried.
        wires_below: resistors below this many ohm are wires and all others devices; None to find
            what gives a crossbar.

    Raises:
        NetlistError: no choice of wires gives a crossbar; says why the widest gap does not.
    """
    reasons: list[tuple[float, _WrongChoiceError]] = []
    odd: list[Lines] = []
    sparse: list[Lines] = []
    for choice, (circuit, limit) in enumerate(_choices(circuits, wires_below)):
        widest = choice < len(circuits)
        try:
            reading, reason = _lines(
                circuit, limit, repairs=_REPAIRS if choice < 2 * len(circuits) else 0
            )
        except _WrongChoiceError as wrong:
            reasons.append((limit, wrong))
            continue
        if reason is not None:
            reasons.append((limit, reason))
            odd += [reading] if widest or reading.share == 1 else []
        elif reading.share == 1 or (widest and reading.share >= _SPARSE):
            return reading
        elif widest:  # of others too many read: any two-coloured circuit is ideal wires with gaps
            sparse.append(reading)
    if sparse or odd:
        return (sparse or odd)[0]
    limit, wrong = reasons[0]
    raise _refusal(limit, wrong)


def _refusal(limit: float, wrong: _WrongChoiceError) -> NetlistError:
    card = wrong.branch.resistor.card
    return NetlistError(
        f"line {card.at}: the resistors must make a crossbar, and with those below {limit:.4g} ohm "
        f"as its wires {wrong.why}; received {card.text[:80]!r}. If wires and devices part at "
        "another resistance, state it (--wires-below)."
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


def _lines(
    circuit: Circuit, limit: float, *, repairs: int
) -> tuple[Lines, _WrongChoiceError | None]:
    """The lines if all resistors below the limit are wires, and why they are hardly meant.

    As many of the others as `repairs` says may be wires, too, if they join two lines of one kind.
    """
    chosen = {id(b) for b in circuit.branches if b.is_end or b.ohm < limit}
    first: _WrongChoiceError | None = None
    while True:
        wires = [b for b in circuit.branches if id(b) in chosen]
        devices = [b for b in circuit.branches if id(b) not in chosen]
        if not devices:
            raise first or _WrongChoiceError(wires[0], "there is no device")
        try:
            lines = _paths(wires, devices, circuit.terminals)
            kinds = _crossing(lines, devices)
        except _WrongChoiceError as wrong:
            first = first or wrong
            repairs -= 1
            if not wrong.between_alike or repairs < 0:
                raise first from None
            chosen.add(id(wrong.branch))  # it may be a wire, nearly broken, between two parts
            continue
        return kinds, _oddness(lines, kinds, devices)


def _crossing(lines: list[Line], devices: list[Branch]) -> Lines:
    """Paths as two kinds of lines, of which each device joins one of either."""
    at = {node: (line, k) for line in lines for k, node in enumerate(line.nodes)}
    kinds = _Kinds(lines)
    for branch in sorted(devices, key=lambda b: b.ohm):
        kinds.part(at[branch.a][0], at[branch.b][0], branch)
    met: dict[tuple[int, int], Branch] = {}
    for branch in devices:
        (one, k), (two, m) = at[branch.a], at[branch.b]
        pair = (min(id(one), id(two)), max(id(one), id(two)))
        if pair in met:
            reason = f"{branch.resistor.name} joins the same two lines as {met[pair].resistor.name}"
            raise _WrongChoiceError(branch, reason)
        met[pair] = branch
        one.devices.append((k, branch, two))
        two.devices.append((m, branch, one))
    return kinds.lines()


def _oddness(lines: list[Line], kinds: Lines, devices: list[Branch]) -> _WrongChoiceError | None:
    """Why a reading that is a crossbar is hardly meant, so that others are looked for; or None.

    Devices between two sources look like lines between two voltages, and drivers of a high
    resistance like devices between a line of their own and word lines without ends.
    """
    for line in lines:
        if len({terminal.volts for terminal in line.terminals}) > 1:
            first, second = line.terminals
            branch = next((e[1] for e in line.ends if e and e[1]), devices[0])
            reason = f"{first.name} and {second.name} are at two ends of one line"
            return _WrongChoiceError(branch, reason)
    for kind, word in ((kinds.word, "word"), (kinds.bit, "bit")):
        if not any(line.terminals for line in kind if line.devices):
            return _WrongChoiceError(devices[0], f"no {word} line has an end")
    return None


def _paths(
    wires: list[Branch], devices: list[Branch], terminals: dict[str, Terminal]
) -> list[Line]:
    """Paths of wires, and single nodes that only devices meet."""
    around: dict[str, list[Branch]] = defaultdict(list)
    for wire in wires:
        around[wire.a].append(wire)
        around[wire.b].append(wire)
    at_devices = {node for branch in devices for node in (branch.a, branch.b)}
    inner: dict[str, list[Branch]] = {}
    leads: dict[str, list[tuple[Branch, Terminal]]] = defaultdict(list)
    for node, branches in around.items():
        if node in terminals and node not in at_devices:
            for branch in branches:
                other = branch.b if branch.a == node else branch.a
                leads[other].append((branch, terminals[node]))
        else:
            inner[node] = branches
    for node in at_devices - inner.keys():
        inner[node] = []
    used = {id(branch) for pairs in leads.values() for branch, _ in pairs}
    for node, pairs in leads.items():
        if node not in inner:
            branch, terminal = pairs[0]
            raise _WrongChoiceError(
                branch, f"{branch.resistor.name} joins two sources ({terminal.name} is one)"
            )
    links = {n: [b for b in branches if id(b) not in used] for n, branches in inner.items()}
    for node, branches in inner.items():
        if len(branches) > 2 or (len(branches) == 2 and node in terminals):
            names = ", ".join(b.resistor.name for b in branches)
            branch = max(branches, key=lambda b: b.rank)
            what = "a source" if node in terminals else "one place of a line"
            raise _WrongChoiceError(branch, f"{names} meet at {what} (node {node})")
    alone = [node for node in terminals if node not in around and node not in at_devices]
    lines = [Line([node], [], [(terminals[node], None), None]) for node in alone]
    return lines + _walk(links, leads, terminals)


def _walk(
    links: dict[str, list[Branch]],
    leads: dict[str, list[tuple[Branch, Terminal]]],
    terminals: dict[str, Terminal],
) -> list[Line]:
    """Lines along links of which every node has two at most."""
    lines, seen = [], set()
    for start in sorted(links, key=lambda node: len(links[node])):
        if start in seen:
            continue
        if len(links[start]) > 1:
            branch = links[start][0]
            raise _WrongChoiceError(branch, f"{branch.resistor.name} closes a loop of wires")
        nodes, wires = [start], []
        seen.add(start)
        while more := [b for b in links[nodes[-1]] if not wires or b is not wires[-1]]:
            wires.append(more[0])
            nodes.append(more[0].b if more[0].a == nodes[-1] else more[0].a)
            seen.add(nodes[-1])
        lines.append(Line(nodes, wires, _ends(nodes, leads, terminals)))
    return lines


def _ends(
    nodes: list[str],
    leads: dict[str, list[tuple[Branch, Terminal]]],
    terminals: dict[str, Terminal],
) -> list[tuple[Terminal, Branch | None] | None]:
    """Terminals at both ends of a path; of a single node that has one, at its first end."""
    for node in nodes[1:-1]:
        if leads[node]:
            branch, terminal = leads[node][0]
            raise _WrongChoiceError(
                branch, f"{branch.resistor.name} leads from {terminal.name} to the middle of a line"
            )
        if node in terminals:
            raise AssertionError("a node with two wires holds no source")
    ends: list[tuple[Terminal, Branch | None] | None] = []
    for node in dict.fromkeys((nodes[0], nodes[-1])):
        here: list[tuple[Terminal, Branch | None]] = []
        here += [(terminal, branch) for branch, terminal in leads[node]]
        if node in terminals:
            here.append((terminals[node], None))
        most = 2 if len(nodes) == 1 else 1
        if len(here) > most:
            branch = leads[node][-1][0]
            raise _WrongChoiceError(
                branch, f"{branch.resistor.name} is one of {len(here)} ways to sources at {node}"
            )
        ends += here
        if len(nodes) > 1 and not here:
            ends.append(None)
    return [*ends, None, None][:2]


class _Kinds:
    """Two kinds of lines: every device joins one of either."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._above: dict[int, tuple[Line, int]] = {id(line): (line, 0) for line in lines}

    def _root(self, line: Line) -> tuple[Line, int]:
        kind = 0
        while self._above[id(line)][0] is not line:
            line, step = self._above[id(line)]
            kind ^= step
        return line, kind

    def part(self, a: Line, b: Line, branch: Branch) -> None:
        """Two lines are of different kinds.

        Raises:
            _WrongChoiceError: they are one line, or of one kind already.
        """
        (root_a, kind_a), (root_b, kind_b) = self._root(a), self._root(b)
        if root_a is root_b:
            if a is b:
                raise _WrongChoiceError(
                    branch, f"{branch.resistor.name} joins two places of a line"
                )
            if kind_a == kind_b:
                word = "word" if kind_a == self._word_kind(root_a)[0] else "bit"
                reason = f"{branch.resistor.name} joins two {word} lines"
                raise _WrongChoiceError(branch, reason, between_alike=True)
            return
        self._above[id(root_b)] = (root_a, kind_a ^ kind_b ^ 1)

    def _word_kind(self, root: Line) -> tuple[int, bool]:
        """Which kind of a component's lines is that of word lines, and whether that is free.

        Those at sources other than 0 V; where both kinds have some, or none, those at the first
        terminal.
        """
        ends: list[tuple[Terminal, int]] = []
        for line in self._lines:
            top, kind = self._root(line)
            if top is root:
                ends += [(terminal, kind) for terminal in line.terminals]
        driven = {kind for terminal, kind in ends if terminal.volts}
        if len(driven) == 1:
            return driven.pop(), False
        some = [e for e in ends if e[0].volts] or ends
        return (min(some, key=lambda e: e[0].rank)[1] if some else 0), True

    def lines(self) -> Lines:
        """All lines by their kind; one without devices is a word line if a source drives it."""
        roots: dict[int, tuple[int, bool]] = {}
        out: tuple[list[Line], list[Line]] = ([], [])
        free = False
        for line in self._lines:
            root, kind = self._root(line)
            if line.devices:
                if id(root) not in roots:
                    roots[id(root)] = self._word_kind(root)
                word, undecided = roots[id(root)]
                free |= undecided
                is_word = kind == word
            else:
                is_word = any(terminal.volts for terminal in line.terminals)
            branches = [b for _, b, _ in line.devices] + line.wires
            branches += [end[1] for end in line.ends if end is not None and end[1] is not None]
            line.rank = min((b.rank for b in branches), default=0)
            out[0 if is_word else 1].append(line)
        return Lines(word=out[0], bit=out[1], kinds_are_free=free, parts=len(roots))
