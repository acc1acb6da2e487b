"""Resistors and sources as a graph: ideal connections are one node, and every source is an end.

A source to ground is where a line may end. Ground is where many lines may end, so each resistor to
it has an end of its own; so has each resistor to a source that several of them begin at.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from xbarspice.core.errors import NetlistError
from xbarspice.exchange.spice_text import GROUND, FlatCircuit, Resistor, Source
from xbarspice.netlist.cards import refuse

__all__ = ["Branch", "Circuit", "Ends", "Terminal", "circuit_of"]

Ends = Literal["all", "ground", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Terminal:
    """A node at a given voltage.

    Attributes:
        name: of the source, or of what leads to ground.
        volts: its voltage, V; None of a pin without a source.
        rank: its place in the text.
    """

    name: str
    volts: float | None
    rank: int


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A resistor between two different nodes.

    Attributes:
        a, b: the nodes.
        resistor: in the text.
        rank: its place in the text.
        is_end: whether its place alone makes it a wire: it leads to a line's end, or nowhere.
    """

    a: str
    b: str
    resistor: Resistor
    rank: int
    is_end: bool = False

    @property
    def ohm(self) -> float:
        """Its resistance, ohm."""
        return self.resistor.value.number


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """All branches, and the nodes at given voltages."""

    branches: list[Branch]
    terminals: dict[str, Terminal]


class _Nodes:
    """Nodes that ideal connections make one."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, node: str) -> str:
        root = node
        while (above := self._parent.get(root, root)) != root:
            root = above
        while (above := self._parent.get(node, node)) != root and node != root:
            self._parent[node], node = root, above
        return root

    def join(self, a: str, b: str) -> None:
        self._parent[self.find(b)] = self.find(a)


def circuit_of(flat: FlatCircuit, ends: Ends = "all") -> Circuit:
    """The graph of a netlist.

    Args:
        flat: its elements.
        ends: which resistors are line ends by their place: those to ground and those that alone
            lead to a source ("all"), those to ground, or none, where a source or ground may be a
            whole line of ideal wire.

    Raises:
        NetlistError: a source stands between two lines, two sources hold one node, or a resistor
            joins a node to itself.
    """
    nodes = _Nodes()
    shorts = [s for s in flat.sources if not s.volts and GROUND not in (s.a, s.b)]
    for short in (*shorts, *(r for r in flat.resistors if not r.value.number)):
        if GROUND not in (short.a, short.b):
            nodes.join(short.a, short.b)
    terminals = _terminals(flat, nodes)
    branches = [
        Branch(nodes.find(r.a), nodes.find(r.b), r, rank)
        for rank, r in enumerate(flat.resistors)
        if r.value.number
    ]
    for branch in branches:
        if branch.a == branch.b:
            refuse(branch.resistor.card, f"{branch.resistor.name} joins a node to itself")
    if not branches:
        raise NetlistError("a crossbar must have resistors; received none. Check the file.")
    return _with_ends(branches, terminals, ends)


def _terminals(flat: FlatCircuit, nodes: _Nodes) -> dict[str, Terminal]:
    out: dict[str, Terminal] = {}
    held: list[tuple[str, Terminal, Source | Resistor]] = []
    for rank, source in enumerate(flat.sources):
        if GROUND in (source.a, source.b):
            node = source.b if source.a == GROUND else source.a
            volts = (-source.volts if source.a == GROUND else source.volts) + 0.0
            if node == GROUND:
                refuse(source.card, f"{source.name} must not join ground to itself")
            held.append((node, Terminal(source.name, volts, rank), source))
        elif source.volts:
            refuse(source.card, f"{source.name} must stand between a line and ground")
    for rank, r in enumerate(flat.resistors, start=len(flat.sources)):
        if not r.value.number and GROUND in (r.a, r.b):
            node = r.b if r.a == GROUND else r.a
            held.append((node, Terminal(r.name, 0.0, rank), r))
    for node, terminal, element in held:
        place = nodes.find(node)
        if place in out:
            refuse(element.card, f"{terminal.name} and {out[place].name} hold one node")
        out[place] = terminal
    for rank, pin in enumerate(flat.pins):
        out.setdefault(nodes.find(pin), Terminal(pin, None, rank))
    if not out and not any(GROUND in (r.a, r.b) for r in flat.resistors):
        raise NetlistError(
            "a crossbar must have sources, or resistors to ground, at line ends; received none. "
            "Add them, or let a subcircuit have the line ends as pins."
        )
    return out


def _with_ends(branches: list[Branch], terminals: dict[str, Terminal], ends: Ends) -> Circuit:
    """Branches of which each has a terminal of its own where it can only be a line's end."""
    degree = Counter(node for branch in branches for node in (branch.a, branch.b))
    out, places = [], dict(terminals)
    if ends == "none" and degree[GROUND]:
        places[GROUND] = Terminal("ground", 0.0, len(terminals))
    for branch in branches:
        a, b, is_end = branch.a, branch.b, False
        for node, other in ((branch.a, branch.b), (branch.b, branch.a)):
            if node == GROUND and ends != "none":
                a, b, is_end = f"{GROUND} {branch.rank}", other, True
                places[a] = Terminal(branch.resistor.name, 0.0, len(terminals) + branch.rank)
            elif degree[node] == 1 and node not in terminals:
                is_end = True  # it carries no current
            elif ends == "all" and node in terminals and degree[node] == 1:
                is_end = is_end or other not in terminals
        out.append(Branch(a, b, branch.resistor, branch.rank, is_end))
    return Circuit(branches=out, terminals=places)
