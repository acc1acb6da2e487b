"""Cells and their elements: one array at one level, or as cells for rows, array and tile.

A row holds the devices of one word line and its wire segments (pins `W`, `B<0..cols-1>`), an array
joins the rows with the bit-line segments (pins `W<0..>`, `B<0..>`), and a tile adds the line ends
between array and pads (pins `WL<0..>`, `BL<0..>`, word lines first, ascending). All element names
are those of `xbarspice.netlist.records`; nodes joined by 0 ohm are one node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.devices import Device
from xbarspice.devices.forms import instance_parameters
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.numbers import resistances
from xbarspice.netlist.records import Netlist

__all__ = [
    "DECK",
    "FORMS",
    "Cell",
    "Element",
    "Wires",
    "array_elements",
    "deck_elements",
    "expand",
    "mem_model",
    "ports",
    "tile_cells",
]

DECK = "xb"
"""What precedes model names in decks, which hold one array and no cells."""
FORMS = ("subcircuit", "verilog_a", "resistor")
"""How a device is written: equations in a subcircuit, a Verilog-A instance, or the resistor 1/G."""


@dataclass(frozen=True, slots=True)
class Element:
    """One instance.

    Attributes:
        kind: "R" (a resistance), "C" (a capacitance), "D" (a device: resistor or subcircuit),
            "N" (a Verilog-A device) or "X" (a cell).
        name: unique in its cell.
        nodes: connections in the order of the pins.
        value: ohm or farad as exact decimal text; empty for devices and cells.
        model: wire or device class of R and D, cell name of X.
        params: parameters of a device as exact decimal text.
    """

    kind: str
    name: str
    nodes: tuple[str, ...]
    value: str = ""
    model: str = ""
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A subcircuit: its name, its pins in order, and its elements in order."""

    name: str
    pins: tuple[str, ...]
    elements: tuple[Element, ...]


@dataclass(frozen=True, kw_only=True)
class Wires:
    """Capacitances, F; 0 for none.

    Attributes:
        C_wl, C_bl: to the substrate, of one segment of word line and bit line.
        C_cross: between both lines at every crossing.
        C_device: what a device that is present adds to `C_cross`.
    """

    C_wl: float = 0.0
    C_bl: float = 0.0
    C_cross: float = 0.0
    C_device: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < np.inf:
                raise broken_rule(f"`{name}` must be >= 0 F", value, "Use 0 or more.")

    def crossings(self, G: Array) -> Array:
        """Capacitance between both lines at every crossing of `G`, F, (rows, cols)."""
        return np.where(G > 0, self.C_cross + self.C_device, self.C_cross)


def mem_model(device: Device, form: str, scope: str = DECK) -> str:
    """Class of the devices in netlists and layout: `RMEM` or the name of the subcircuit.

    Args:
        device: the model.
        form: one of `FORMS`.
        scope: what precedes the model's name: `DECK`, or `Design.scope`.
    """
    return "RMEM" if form == "resistor" else f"{scope}_{device.name}"


def ports(crossbar: Crossbar, wires: Wires) -> tuple[str, ...]:
    """Pins of one array: word lines, bit lines, and `VSS` where there are capacitances."""
    lines = [f"WL<{r}>" for r in range(crossbar.rows)] + [f"BL<{c}>" for c in range(crossbar.cols)]
    return (*lines, "VSS") if wires.C_wl or wires.C_bl else tuple(lines)


def deck_elements(record: Netlist, form: str, scope: str = DECK) -> Iterator[Element]:
    """Every resistance and device of one array at one level, with the nodes of the records."""
    for part in (record.ends, record.wires):
        for name, a, b, ohm in zip(part.names, part.a, part.b, part.ohm, strict=True):
            yield Element("R", name, (a, b), decimal(ohm), _wire_model(name))
    yield from _device_elements(record, form, scope)


def array_elements(record: Netlist, wires: Wires, form: str, scope: str) -> Iterator[Element]:
    """Every element of one array at one level; pads carry the names of the ports."""
    port_of = _pads(record)
    for e in (*deck_elements(record, form, scope), *_capacitances(record, wires)):
        yield _replace_nodes(e, port_of)


def _wire_model(name: str) -> str:
    """Class of a resistance in CDL and layout: the metal that it is made of."""
    return "RWL" if name[1] == "w" else "RBL"


def _pads(record: Netlist) -> dict[str, str]:
    """Node of every source in the records -> port of the design."""
    pads = {f"in_{r}": f"WL<{r}>" for r in range(record.crossbar.rows)}
    return pads | {f"bs_{c}": f"BL<{c}>" for c in range(record.crossbar.cols)}


def _replace_nodes(element: Element, names: Mapping[str, str]) -> Element:
    """The element with other names for some nodes."""
    nodes = tuple(names.get(n, n) for n in element.nodes)
    return element if nodes == element.nodes else dataclasses.replace(element, nodes=nodes)


def _device_elements(record: Netlist, form: str, scope: str) -> Iterator[Element]:
    d = record.devices
    model = mem_model(record.crossbar.device, form, scope)
    nodes = zip(d.names, d.a, d.b, strict=True)
    if form == "resistor":
        for (name, a, b), R in zip(nodes, resistances(d.G), strict=True):
            yield Element("D", f"R{name}", (a, b), R, model)
        return
    kind = "N" if form == "verilog_a" else "D"
    texts = instance_parameters(record.crossbar.device, d.G, form=form)
    values = zip(*texts.values(), strict=True)
    for (name, a, b), row in zip(nodes, values, strict=True):
        params = tuple(zip(texts, row, strict=True))
        yield Element(kind, f"X{name}", (a, b), "", model, params)


def _capacitances(record: Netlist, wires: Wires) -> Iterator[Element]:
    rows, cols = record.crossbar.rows, record.crossbar.cols
    for kind, nodes, C in (("w", record.wl, wires.C_wl), ("b", record.bl, wires.C_bl)):
        if C > 0:
            for r in range(rows):
                for c in range(cols):
                    yield Element("C", f"C{kind}_{r}_{c}", (nodes[r, c], "VSS"), decimal(C))
    between = wires.crossings(record.crossbar.G)
    for r, c in np.argwhere(between > 0).tolist():
        nodes = (record.wl[r, c], record.bl[r, c])
        yield Element("C", f"Cx_{r}_{c}", nodes, decimal(between[r, c]))


def tile_cells(record: Netlist, wires: Wires, form: str, scope: str, prefix: str) -> list[Cell]:
    """Row, array and tile cells of one array, in the order of their definition.

    Args:
        record: the array.
        wires: capacitances of its segments.
        form: one of `FORMS`.
        scope: what precedes the names of cells and device model, `Design.scope`.
        prefix: what tells the cells of this tile from those of the others.
    """
    port_of = _pads(record)
    rows: list[list[Element]] = [[] for _ in range(record.crossbar.rows)]
    between_rows: list[Element] = []
    at_pads: list[Element] = []
    for e in array_elements(record, wires, form, scope):
        kind, _, place = e.name.partition("_")
        if kind in ("Rwl", "Rbb"):
            at_pads.append(e)
        elif kind in ("Rb", "Cb"):
            between_rows.append(e)
        else:
            rows[int(place.removeprefix("d_").split("_")[0])].append(e)
    ground = ("VSS",) if wires.C_wl or wires.C_bl else ()
    cell = f"{scope}_{prefix}"

    def to_ports(nodes: npt.NDArray[np.object_]) -> list[str]:
        return [port_of.get(str(n), str(n)) for n in nodes]

    first, last = to_ports(record.wl[:, 0]), to_ports(record.bl[-1])
    out, instances = [], []
    for r, elements in enumerate(rows):
        bits = to_ports(record.bl[r])
        pins = {first[r]: "W"} | {n: f"B<{c}>" for c, n in enumerate(bits)}
        inside = tuple(_replace_nodes(e, pins) for e in elements)
        out.append(Cell(f"{cell}row_{r}", (*pins.values(), *ground), inside))
        outside = (first[r], *bits, *ground)
        instances.append(Element("X", f"Xrow_{r}", outside, model=f"{cell}row_{r}"))
    edge = {n: f"W<{r}>" for r, n in enumerate(first)} | {n: f"B<{c}>" for c, n in enumerate(last)}
    if len(edge) != len(first) + len(last):
        raise AssertionError("lines share a node")  # records never merge two lines
    inside = tuple(_replace_nodes(e, edge) for e in (*instances, *between_rows))
    out.append(Cell(f"{cell}array", (*edge.values(), *ground), inside))
    whole = Element("X", "Xarray", (*edge, *ground), model=f"{cell}array")
    out.append(Cell(f"{cell}tile", ports(record.crossbar, wires), (*at_pads, whole)))
    return out


def expand(cells: Sequence[Cell], *, most: int | None = None) -> list[tuple[str, Element]]:
    """Every R, C and D of a design at one level: (path of instances, element with global nodes).

    Nodes inside a cell get the path of the instance as a prefix (``Xtile.Xarray.w_0_1``). The last
    cell is the top.

    Args:
        cells: the cells.
        most: how many elements there may be at most; None for any number.

    Raises:
        InputError: an instance connects too few or too many pins, a cell holds itself, or there
            are more elements.
    """
    table = {cell.name: cell for cell in cells}
    out: list[tuple[str, Element]] = []
    instances = 0
    top = cells[-1]
    stack = [(top, "", {p: p for p in top.pins}, iter(top.elements))]
    while stack:
        _, path, outer, elements = stack[-1]
        e = next(elements, None)
        if e is None:
            stack.pop()
            continue
        if most is not None and max(len(out), instances) > most:
            raise broken_rule(f"there must be {most} elements at most", "more", "Write it again.")
        nodes = tuple(outer.get(n) or path + n for n in e.nodes)
        cell = table.get(e.model) if e.kind == "X" else None
        if cell is None:
            out.append((path, dataclasses.replace(e, nodes=nodes)))
            continue
        instances += 1
        if len(cell.pins) != len(nodes):
            raise broken_rule(
                f"{path}{e.name} must connect the {len(cell.pins)} pins of {cell.name}",
                f"{len(nodes)} nodes",
                "Write the netlist again.",
            )
        if len(stack) > len(cells):
            raise broken_rule("a cell must not hold itself", cell.name, "Write the netlist again.")
        pins = dict(zip(cell.pins, nodes, strict=True))
        stack.append((cell, f"{path}{e.name}.", pins, iter(cell.elements)))
    return out
