"""Wires of an array net by net, as DSPF and SPEF have them: every segment, every capacitance.

A net is a line. Its nodes are the pin, the pins of the devices on it (``Xd_0_1:BE``), and a node of
its own (``WL<0>:2``, counted from 1) at a crossing without a device. Capacitances to the substrate
and between two lines stand beside the resistances; those between two lines are told once, at the
word line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.cells import Wires, array_elements
from xbarspice.netlist.records import build
from xbarspice.tapeout.netlists.schematic import Schematic, schematic
from xbarspice.tapeout.technology import Technology

__all__ = ["Branch", "Net", "Parasitics", "parasitics"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A resistance or capacitance as exact decimal text between two nodes; "" is the substrate."""

    a: str
    b: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Net:
    """One line.

    Attributes:
        name: of the line, which is its pin, too.
        devices: (instance, pin of the device) in the order of the crossings.
        inner: nodes at crossings without a device.
        resistors, capacitors: its branches.
        couplings: those capacitances to it that other nets tell.
    """

    name: str
    devices: tuple[tuple[str, str], ...]
    inner: tuple[str, ...]
    resistors: tuple[Branch, ...]
    capacitors: tuple[Branch, ...]
    couplings: tuple[Branch, ...]

    @property
    def capacitance(self) -> float:
        """Sum of all its capacitances, F, to the substrate and to other lines."""
        return math.fsum(float(b.value) for b in (*self.capacitors, *self.couplings))


@dataclass(frozen=True, kw_only=True)
class Parasitics:
    """All nets of an array with its schematic, whose devices stand between them."""

    schematic: Schematic
    nets: tuple[Net, ...]

    def instances(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Devices with the nodes of their pins, in the order of the pins."""
        for e in self.schematic.cell.elements:
            first, second = self.schematic.pins
            yield e.name, (f"{e.name}:{first}", f"{e.name}:{second}")


def parasitics(crossbar: Crossbar, technology: Technology, wires: Wires, name: str) -> Parasitics:
    """The nets of one array.

    Args:
        crossbar: a single array with its pins on the left and at the bottom, and with resistance in
            every segment and lead: a node of a net is a place between two resistances.
        technology: names the device, see `schematic`.
        wires: capacitances.
        name: of the cell.

    Raises:
        InputError: a resistance is 0, or the technology does not name the device.
    """
    sizes = [crossbar.R_driver, crossbar.R_sense]
    sizes += [crossbar.R_wl] if crossbar.cols > 1 else []
    sizes += [crossbar.R_bl] if crossbar.rows > 1 else []
    if not all(np.all(np.asarray(R) > 0) for R in sizes):
        raise broken_rule(
            "parasitic netlists need a resistance > 0 ohm in every segment and lead",
            "0 ohm",
            "Use wires as they were drawn.",
        )
    netlist = schematic(crossbar, technology, name)
    record = build(crossbar, np.zeros(crossbar.rows))
    resistors: dict[str, list[Branch]] = {line: [] for line in netlist.cell.pins}
    capacitors: dict[str, list[Branch]] = {line: [] for line in netlist.cell.pins}
    couplings: dict[str, list[Branch]] = {line: [] for line in netlist.cell.pins}
    names = _nodes(netlist)
    for e in array_elements(record, wires, "resistor", name):
        if e.kind not in "RC":
            continue
        a, b = (names.get(n, n) for n in e.nodes)
        table = resistors if e.kind == "R" else capacitors
        branch = Branch(a, "" if b == "VSS" else b, decimal(float(e.value)))
        table[_line(e.nodes[0])].append(branch)
        if e.name.startswith("Cx"):
            couplings[_line(e.nodes[1])].append(branch)
    nets = tuple(_nets(netlist, names, resistors, capacitors, couplings))
    return Parasitics(schematic=netlist, nets=nets)


def _line(node: str) -> str:
    """The line of a node of the records, or a pin, which is a line itself."""
    kind, *place = node.split("_")
    return {"w": f"WL<{place[0]}>", "b": f"BL<{place[-1]}>"}[kind] if place else node


def _nodes(netlist: Schematic) -> dict[str, str]:
    """Node of the records -> node of a net."""
    names: dict[str, str] = {}
    for row in range(netlist.rows):
        for col in range(netlist.cols):
            names[f"w_{row}_{col}"] = f"WL<{row}>:{col + 1}"
            names[f"b_{row}_{col}"] = f"BL<{col}>:{row + 1}"
    for e in netlist.cell.elements:
        place = e.name.removeprefix("Xd_")
        for pin, line in zip(netlist.pins, e.nodes, strict=True):
            names[f"{'w' if line.startswith('WL') else 'b'}_{place}"] = f"{e.name}:{pin}"
    return names


def _nets(
    netlist: Schematic,
    names: dict[str, str],
    resistors: dict[str, list[Branch]],
    capacitors: dict[str, list[Branch]],
    couplings: dict[str, list[Branch]],
) -> Iterator[Net]:
    on_line: dict[str, list[str]] = {line: [] for line in netlist.cell.pins}
    for node, place in names.items():
        on_line[_line(node)].append(place)
    for line in netlist.cell.pins:
        devices = [n.partition(":")[::2] for n in on_line[line] if n.startswith("Xd_")]
        yield Net(
            name=line,
            devices=tuple((a, b) for a, b in devices),
            inner=tuple(n for n in on_line[line] if not n.startswith("Xd_")),
            resistors=tuple(resistors[line]),
            capacitors=tuple(capacitors[line]),
            couplings=tuple(couplings[line]),
        )
