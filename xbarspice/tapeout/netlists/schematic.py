"""The schematic netlist that a foundry's LVS compares a layout with: lines as nets, no wires.

There a line of metal is one net, and a memristor a cell of the foundry with two pins and the area
of its oxide; what it is programmed to is no part of a mask. So no conductance is in this netlist,
and every array of one shape with devices at the same crossings has the same one.

The texts are CDL and SPICE: instances of a cell that the foundry's own library defines. They are
read back by a reader that knows no other text, and proven device by device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import NetlistError, broken_rule
from xbarspice.netlist import dialects
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.cells import Cell, Element
from xbarspice.netlist.design import refuse_name
from xbarspice.netlist.dialects.base import Dialect
from xbarspice.netlist.numbers import exact
from xbarspice.tapeout.technology import Technology

__all__ = ["FORMS", "Schematic", "prove_schematic", "schematic", "write_schematic"]

FORMS: Mapping[str, str] = {"cdl": "cdl", "spice": "ngspice"}
"""Form of the text -> the dialect that spells it; also the ending of the file."""


@dataclass(frozen=True, kw_only=True)
class Schematic:
    """What LVS compares.

    Attributes:
        cell: its pins are the lines, its elements the devices.
        rows, cols: shape of the array.
        pins: names of the device's pins, in the order of its nodes.
    """

    cell: Cell
    rows: int
    cols: int
    pins: tuple[str, str]


def schematic(
    crossbar: Crossbar, technology: Technology, name: str, *, extracted: bool = False
) -> Schematic:
    """The schematic of one array.

    Args:
        crossbar: a single array; only its shape and which devices are present matter.
        technology: whose `device` names the foundry's cell, its pins and its area parameter.
        name: of the cell, in the layout as in the netlist.
        extracted: whether devices stand as the foundry's extraction writes them: pins in the order
            of ``device.extracted_pins``, the area in its unit.

    Raises:
        InputError: the technology does not name a cell, or the name is none.
    """
    refuse_name(name)
    device = technology.device
    if device.subckt is None or device.pins is None:
        raise broken_rule(
            "a schematic netlist needs the foundry's name of the device and of its pins",
            f"device.subckt {device.subckt}, device.pins {device.pins} in {technology.name}",
            "Add both to the technology.",
        )
    params = ()
    if device.area_parameter is not None:
        suffix = "" if extracted and device.extracted_area == "um2" else "p"
        params = ((device.area_parameter, f"{_area(device.size)}{suffix}"),)
    pins = (device.extracted_pins or device.pins) if extracted else device.pins
    first_is_bottom = pins[0] == (device.bottom_pin or device.pins[0])
    word_is_bottom = technology.array.word_line.metal == device.bottom
    present = crossbar.G_flat[0] > 0
    elements = []
    for row, col in np.argwhere(present).tolist():
        nodes = (f"WL<{row}>", f"BL<{col}>")
        if first_is_bottom != word_is_bottom:
            nodes = nodes[::-1]
        elements.append(Element("D", f"Xd_{row}_{col}", nodes, "", device.subckt, params))
    rows, cols = present.shape
    lines = [f"WL<{row}>" for row in range(rows)] + [f"BL<{col}>" for col in range(cols)]
    cell = Cell(name, tuple(lines), tuple(elements))
    return Schematic(cell=cell, rows=rows, cols=cols, pins=pins)


def _area(size: tuple[float, float]) -> str:
    """Area in um^2 as exact decimal text; with the factor p it is m^2."""
    product = Decimal(repr(size[0])) * Decimal(repr(size[1]))
    return f"{product.normalize():f}"


def write_schematic(netlist: Schematic, form: str, brackets: str = "<>") -> str:
    """The text in one of `FORMS`, the same for equal schematics.

    Args:
        netlist: what to write.
        form: "cdl" or "spice".
        brackets: of the lines' names, ``"<>"`` or ``"[]"``.
    """
    dialect = _dialect(form, brackets)
    model = netlist.cell.elements[0].model if netlist.cell.elements else "no device"
    lines = [
        f"* xbarspice schematic of {netlist.cell.name} for LVS: lines are nets, without wires",
        *(dialect.opening if form == "cdl" else ()),
        f"* {netlist.rows} word lines x {netlist.cols} bit lines, "
        f"{len(netlist.cell.elements)} devices",
        f"* {model}: a cell of the foundry, pins {' '.join(netlist.pins)}",
        *_wrapped(dialect, dialect.open_cell(netlist.cell)),
        *_wrapped(dialect, map(dialect.element, netlist.cell.elements)),
        dialect.close_cell(netlist.cell),
    ]
    return "\n".join(lines) + "\n"


def _dialect(form: str, brackets: str) -> Dialect:
    if form not in FORMS:
        raise broken_rule(f"a schematic is {' or '.join(FORMS)}", repr(form), "Choose one.")
    return dialects.get(FORMS[form], brackets)


def _wrapped(dialect: Dialect, texts: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for text in texts:
        lines += [text] if len(text) <= dialect.width else dialect.wrap(text)
    return lines


def prove_schematic(text: str, form: str, intended: Schematic, brackets: str = "<>") -> None:
    """Prove that a text describes exactly the schematic.

    Names of instances may be other ones; the cell, its pins in their order, and every device with
    its model, its exact parameters and its two nets in their order may not.

    Raises:
        NetlistError: a line is not understood, or the places that differ.
    """
    dialect, expected = _dialect(form, brackets), intended.cell
    stated, devices = _read(text, dialect)
    meant = [dialect.fold(word) for word in (expected.name, *map(dialect.node, expected.pins))]
    if stated != meant:
        pair = next(((a, b) for a, b in zip(stated, meant, strict=False) if a != b), "fewer")
        raise NetlistError(f"cell and pins must be those of {expected.name}; received {pair}.")
    intended_devices = Counter(
        _device(map(dialect.node, e.nodes), e.model, e.params, dialect) for e in expected.elements
    )
    differences = [("superfluous", d) for d in devices - intended_devices]
    differences += [("missing", d) for d in intended_devices - devices]
    if differences:
        shown = "; ".join(f"{kind}: {'-'.join(d.nodes)} {d.model}" for kind, d in differences[:5])
        raise NetlistError(
            f"the schematic of {expected.name} must have its devices, and {len(differences)} "
            f"places differ: {shown}. Write it again."
        )


class _Device(NamedTuple):
    """A device as its circuit has it: nets, model, parameters with their exact values."""

    nodes: tuple[str, ...]
    model: str
    params: tuple[tuple[str, Decimal], ...]


def _device(
    nodes: Iterable[str], model: str, params: Iterable[tuple[str, str]], dialect: Dialect
) -> _Device:
    fold = dialect.fold
    values = tuple((fold(key), exact(value, dialect.factors)) for key, value in params)
    return _Device(tuple(map(fold, nodes)), fold(model), values)


def _read(text: str, dialect: Dialect) -> tuple[list[str], Counter[_Device]]:
    """Cell and pins of a text, and its devices; anything else is refused."""
    fold, devices = dialect.fold, Counter[_Device]()
    words: list[str] = []
    names: set[str] = set()
    ended = False
    for card in dialect.split(text).cards:
        head = fold(card.words[0])
        if head == dialect.subckt and not words:
            name, pins = dialect.read_subckt(card)
            words = [fold(name), *map(fold, pins)]
        elif head == dialect.ends and words and not ended:
            ended = True
        elif card.text.startswith("*."):
            if words:
                dialect.read_directive(card, words[1:])
            elif card.text not in dialect.opening:
                refuse(card, "this directive is not one that we write")
        elif not words or ended:
            refuse(card, "a schematic is one cell")
        else:
            device = _read_device(card, dialect)
            if fold(card.words[0]) in names:
                refuse(card, f"{card.words[0]} occurs twice")
            names.add(fold(card.words[0]))
            devices[device] += 1
    if not ended:
        raise NetlistError("a schematic must hold one whole cell; the text is cut off.")
    return words, devices


def _read_device(card: Card, dialect: Dialect) -> _Device:
    instance = dialect.read_instance(card, "")
    if instance.kind != "X":
        refuse(card, "a schematic holds devices only")
    pairs = [(k, v) for k, _, v in (word.partition("=") for word in instance.params)]
    return _device(instance.nodes, instance.master, pairs, dialect)
