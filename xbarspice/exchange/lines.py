"""Word and bit lines of a circuit whose wires are known.

Wires make a crossbar if they make paths that end at terminals or nowhere, if every other resistor
joins two paths, and if the paths fall into two kinds so that each of them joins one of either kind,
at most one for every two paths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

from xbarspice.exchange.circuit import Branch, Circuit, Terminal

__all__ = ["Line", "Lines", "WrongChoiceError", "crossing"]


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


class WrongChoiceError(Exception):
    """A choice of wires gives no crossbar; it has the branch and the reason."""

    def __init__(self, branch: Branch, reason: str, *, between_alike: bool = False) -> None:
        super().__init__(reason)
        self.branch, self.reason = branch, reason
        self.between_alike = between_alike


def crossing(circuit: Circuit, chosen: Set[int]) -> Lines:
    """The lines of a circuit if these branches are its wires and all others devices.

    Args:
        circuit: the circuit.
        chosen: `id` of the branches that are wires.

    Raises:
        WrongChoiceError: they make no crossbar.
    """
    wires = [b for b in circuit.branches if id(b) in chosen]
    devices = [b for b in circuit.branches if id(b) not in chosen]
    if not devices:
        raise WrongChoiceError(wires[0], "there is no device")
    return _crossing(_paths(wires, devices, circuit.terminals), devices)


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
            raise WrongChoiceError(branch, reason)
        met[pair] = branch
        one.devices.append((k, branch, two))
        two.devices.append((m, branch, one))
    return kinds.lines()


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
            raise WrongChoiceError(
                branch, f"{branch.resistor.name} joins two sources ({terminal.name} is one)"
            )
    links = {n: [b for b in branches if id(b) not in used] for n, branches in inner.items()}
    for node, branches in inner.items():
        if len(branches) > 2 or (len(branches) == 2 and node in terminals):
            names = ", ".join(b.resistor.name for b in branches)
            branch = max(branches, key=lambda b: b.rank)
            what = "a source" if node in terminals else "one place of a line"
            raise WrongChoiceError(branch, f"{names} meet at {what} (node {node})")
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
            raise WrongChoiceError(branch, f"{branch.resistor.name} closes a loop of wires")
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
            raise WrongChoiceError(
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
            raise WrongChoiceError(
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
            WrongChoiceError: they are one line, or of one kind already.
        """
        (root_a, kind_a), (root_b, kind_b) = self._root(a), self._root(b)
        if root_a is root_b:
            if a is b:
                raise WrongChoiceError(branch, f"{branch.resistor.name} joins two places of a line")
            if kind_a == kind_b:
                word = "word" if kind_a == self._word_kind(root_a)[0] else "bit"
                reason = f"{branch.resistor.name} joins two {word} lines"
                raise WrongChoiceError(branch, reason, between_alike=True)
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
