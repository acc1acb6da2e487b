"""The design without its test bench: arrays as cells with named pins, flat or hierarchical.

``device -> row -> array -> tile -> network``. A row holds the devices of one word line and its
wire segments (pins `W`, `B<0..cols-1>`), an array joins the rows with the bit-line segments (pins
`W<0..>`, `B<0..>`), a tile adds the line ends between array and pads (pins `WL<0..>`, `BL<0..>`,
word lines first, ascending), and the network holds all tiles (pins `T<k>_WL<r>`, `T<k>_BL<c>` if
there are several). Word lines leave on the left, bit lines at the bottom: between pin and first
node stand `R_driver` (word lines) and `R_sense` (bit lines), as the drawn array has them. With
capacitances, every segment's capacitance stands between its cell's node and the pin `VSS`.

All element names are those of `xbarspice.netlist.records`; nodes joined by 0 ohm are one node.
Every cell and device model begins with the name of its design and ``__``, so that two designs can
stand in one test bench: subcircuits share one space of names in all simulators.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import READ, Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.devices import Device, Ohmic
from xbarspice.devices.forms import instance_parameters
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.numbers import resistances
from xbarspice.netlist.records import Netlist, build, config_hash

__all__ = [
    "DECK",
    "FORMS",
    "Cell",
    "Design",
    "Element",
    "Wires",
    "deck_elements",
    "design",
    "expand",
    "g_hash",
    "matrix_hash",
    "mem_model",
    "name_of",
    "refuse_name",
]

DECK = "xb"
"""What precedes model names in decks, which hold one array and no cells."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", re.ASCII)
_LONGEST_NAME = 32

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
    """Capacitance to the substrate of one segment of word line and bit line, F; 0 for none."""

    C_wl: float = 0.0
    C_bl: float = 0.0

    def __post_init__(self) -> None:
        for name in ("C_wl", "C_bl"):
            if not 0 <= getattr(self, name) < np.inf:
                raise broken_rule(f"`{name}` must be >= 0 F", getattr(self, name), "Use 0 or more.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """All cells of a design, each defined before it is used; the last one is the top.

    Attributes:
        cells: the subcircuits.
        crossbars: the arrays, in read mode, one a tile.
        form: how devices are written, one of `FORMS`.
        hierarchical: whether rows, arrays and tiles are cells of their own.
        config: sha256 of arrays, wires, form and hierarchy.
    """

    cells: tuple[Cell, ...]
    crossbars: tuple[Crossbar, ...]
    form: str
    hierarchical: bool
    wires: Wires
    config: str

    @property
    def top(self) -> Cell:
        """The cell that stands for the whole design."""
        return self.cells[-1]

    @property
    def name(self) -> str:
        """Name of the design and of its top cell."""
        return self.top.name

    @property
    def scope(self) -> str:
        """What precedes ``_`` and the rest in the names of inner cells and of the device model."""
        return _scope(self.name)

    @property
    def model(self) -> str:
        """Name of the device model; "RMEM" for resistors."""
        return mem_model(self.device, self.form, self.scope)

    @property
    def device(self) -> Device:
        """The device model that all arrays share."""
        return self.crossbars[0].device


def g_hash(crossbar: Crossbar) -> str:
    """`matrix_hash` of an array's `G`."""
    return matrix_hash(crossbar.G)


def matrix_hash(G: Array) -> str:
    """Sha256 (hexadecimal) of a matrix alone: shape and little-endian float64 values."""
    digest = hashlib.sha256(json.dumps(G.shape).encode())
    digest.update(np.ascontiguousarray(G, dtype="<f8").tobytes())
    return digest.hexdigest()


def mem_model(device: Device, form: str, scope: str = DECK) -> str:
    """Class of the devices in netlists and layout: `RMEM` or the name of the subcircuit.

    Args:
        device: the model.
        form: one of `FORMS`.
        scope: what precedes the model's name: `DECK`, or `Design.scope`.
    """
    return "RMEM" if form == "resistor" else f"{scope}_{device.name}"


def name_of(crossbars: Sequence[Crossbar]) -> str:
    """A name that follows from the content of arrays: the same in every form and dialect."""
    hashes = json.dumps([config_hash(c) for c in crossbars])
    return f"net_{hashlib.sha256(hashes.encode()).hexdigest()[:8]}"


def refuse_name(name: str) -> None:
    """Refuse what is no name of a design in every dialect and layout format.

    Raises:
        InputError: letters, digits and single ``_`` between them are needed, a letter first, at
            most 32.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise broken_rule(
            "the name of a design must be a letter, then letters and digits with single _ between "
            f"them, {_LONGEST_NAME} at most",
            repr(name),
            "Choose another name.",
        )


def design(
    crossbars: Sequence[Crossbar],
    *,
    hierarchical: bool = True,
    form: str = "subcircuit",
    wires: Wires | None = None,
    name: str | None = None,
) -> Design:
    """Turn arrays into cells.

    Args:
        crossbars: single arrays in read mode that share one device model; one tile each.
        hierarchical: rows, arrays and tiles as cells; otherwise one cell holds every element.
        form: one of `FORMS`; ohmic devices are resistors in every form.
        wires: capacitances of the segments.
        name: name of the top cell, with which those of all other cells begin; None for `name_of`.

    Raises:
        InputError: an array is no single one, has other line ends or another device model, or the
            name breaks the rule of `refuse_name`.
    """
    wires = wires or Wires()
    if form not in FORMS:
        raise broken_rule(f"`form` must be one of {list(FORMS)}", repr(form), "Use one of them.")
    if not crossbars:
        raise broken_rule("a design needs an array", "none", "Pass at least one crossbar.")
    for crossbar in crossbars:
        _refuse_other_ends(crossbar)
        if crossbar.device != crossbars[0].device:
            raise broken_rule(
                "all tiles of a design must share one device model",
                f"{crossbars[0].device.name} and {crossbar.device.name}",
                "Write one design for each model.",
            )
    name = name_of(crossbars) if name is None else name
    refuse_name(name)
    scope = _scope(name)
    form = "resistor" if isinstance(crossbars[0].device, Ohmic) else form
    records = [build(c, np.zeros(c.rows)) for c in crossbars]
    several = len(records) > 1
    cells: list[Cell] = []
    pieces: list[Element] = []
    pins: list[str] = []
    for k, record in enumerate(records):
        prefix = f"t{k}_" if several else ""
        ports = _ports(record.crossbar, wires)
        outer = tuple(p if p == "VSS" or not several else f"T{k}_{p}" for p in ports)
        pins += [p for p in outer if p not in pins]
        if hierarchical:
            cells += _tile_cells(record, wires, form, scope, prefix)
            model = f"{scope}_{prefix}tile"
            pieces.append(Element("X", f"X{prefix}tile", outer, model=model))
        else:
            rename = dict(zip(ports, outer, strict=True))
            elements = _elements(record, wires, form, scope)
            pieces += [_renamed(e, prefix, rename) for e in elements]
    if mem_model(crossbars[0].device, form, scope) in {cell.name for cell in cells}:
        raise broken_rule(
            "a device model must not be named like a cell",
            crossbars[0].device.name,
            "Register it under another name.",
        )
    top = Cell(
        name, (*(p for p in pins if p != "VSS"), *(p for p in pins if p == "VSS")), tuple(pieces)
    )
    return Design(
        cells=(*cells, top),
        crossbars=tuple(r.crossbar for r in records),
        form=form,
        hierarchical=hierarchical,
        wires=wires,
        config=_config(records, wires, form, hierarchical, name),
    )


def _refuse_other_ends(crossbar: Crossbar) -> None:
    wanted = (READ.word_lines(crossbar.rows), READ.bit_lines(crossbar.cols))
    same = all(
        np.array_equal(a, b)
        for a, b in zip(wanted, (crossbar.wl_ends, crossbar.bl_ends), strict=True)
    )
    if not same:
        raise broken_rule(
            "a design has its word-line pins on the left and its bit-line pins at the bottom",
            crossbar.ends,
            "Pass crossbar.replace(ends=xb.READ); other drives belong to the test bench.",
        )


def _config(
    records: Sequence[Netlist], wires: Wires, form: str, hierarchical: bool, name: str
) -> str:
    said = {
        "arrays": [config_hash(r.crossbar) for r in records],
        "wires": [repr(v) for v in dataclasses.astuple(wires)],
        "form": form,
        "hierarchical": hierarchical,
        "name": name,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _ports(crossbar: Crossbar, wires: Wires) -> tuple[str, ...]:
    lines = [f"WL<{r}>" for r in range(crossbar.rows)] + [f"BL<{c}>" for c in range(crossbar.cols)]
    return (*lines, "VSS") if wires.C_wl or wires.C_bl else tuple(lines)


def _renamed(element: Element, prefix: str, pins: dict[str, str]) -> Element:
    if not prefix:
        return element
    nodes = tuple(pins.get(n, prefix + n) for n in element.nodes)
    name = element.name[0] + prefix + element.name[1:]
    return dataclasses.replace(element, name=name, nodes=nodes)


def _scope(name: str) -> str:
    """What precedes the ``_`` and the rest of an inner name; `refuse_name` keeps ``__`` free."""
    return f"{name}_"


def deck_elements(record: Netlist, form: str, scope: str = DECK) -> Iterator[Element]:
    """Every resistance and device of one array at one level, with the nodes of the records."""
    for part in (record.ends, record.wires):
        for name, a, b, ohm in zip(part.names, part.a, part.b, part.ohm, strict=True):
            yield Element("R", name, (a, b), decimal(ohm), _wire_model(name))
    yield from _device_elements(record, form, scope)


def _elements(record: Netlist, wires: Wires, form: str, scope: str) -> Iterator[Element]:
    """Every element of one array at one level; pads carry the names of the ports."""
    node = _pad_names(record)
    for e in (*deck_elements(record, form, scope), *_capacitances(record, wires)):
        yield dataclasses.replace(e, nodes=tuple(node(n) for n in e.nodes))


def _wire_model(name: str) -> str:
    """Class of a resistance in CDL and layout: the metal that it is made of."""
    return "RWL" if name[1] == "w" else "RBL"


def _pad_names(record: Netlist) -> Callable[[str], str]:
    """Function from the records' node names to the design's: sources become ports."""
    ports = {f"in_{r}": f"WL<{r}>" for r in range(record.crossbar.rows)}
    ports |= {f"bs_{c}": f"BL<{c}>" for c in range(record.crossbar.cols)}

    def renamed(name: str) -> str:
        return ports.get(name, name)

    return renamed


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


def _tile_cells(record: Netlist, wires: Wires, form: str, scope: str, prefix: str) -> list[Cell]:
    """Row, array and tile cells of one array, in the order of their definition."""
    rows, cols = record.crossbar.rows, record.crossbar.cols
    node = _pad_names(record)
    parts: dict[object, list[Element]] = {"array": [], "tile": []} | {r: [] for r in range(rows)}  # type: ignore[dict-item]
    for e in _elements(record, wires, form, scope):
        kind, _, rest = e.name.partition("_")
        if kind in ("Rwl", "Rbb"):
            parts["tile"].append(e)
        elif kind in ("Rb", "Cb"):
            parts["array"].append(e)
        else:
            parts[int(rest.removeprefix("d_").split("_")[0])].append(e)
    ground = ("VSS",) if wires.C_wl or wires.C_bl else ()
    cell = f"{scope}_{prefix}"
    first = [node(n) for n in record.wl[:, 0]]
    last = [node(n) for n in record.bl[-1]]
    out, instances = [], []
    for r in range(rows):
        bits = [node(n) for n in record.bl[r]]
        pins = {first[r]: "W"} | {n: f"B<{c}>" for c, n in enumerate(bits)}
        out.append(Cell(f"{cell}row_{r}", (*pins.values(), *ground), _named(parts[r], pins)))
        at = (first[r], *bits, *ground)
        instances.append(Element("X", f"Xrow_{r}", at, model=f"{cell}row_{r}"))
    edge = {n: f"W<{r}>" for r, n in enumerate(first)} | {n: f"B<{c}>" for c, n in enumerate(last)}
    inside = _named([*instances, *parts["array"]], edge)
    out.append(Cell(f"{cell}array", (*edge.values(), *ground), inside))
    whole = Element("X", "Xarray", (*edge, *ground), model=f"{cell}array")
    ports = _ports(record.crossbar, wires)
    out.append(Cell(f"{cell}tile", ports, (*parts["tile"], whole)))
    if len(edge) != rows + cols:
        raise AssertionError("lines share a node")  # records never merge two lines
    return out


def _named(elements: Sequence[Element], pins: dict[str, str]) -> tuple[Element, ...]:
    """Elements with nodes renamed to the pins of their cell."""
    return tuple(
        dataclasses.replace(e, nodes=tuple(pins.get(n, n) for n in e.nodes)) for e in elements
    )


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
