"""The design without its test bench: arrays as cells with named pins, flat or hierarchical.

``device -> row -> array -> tile -> top``: `xbarspice.netlist.cells` makes row, array and tile, and
the top cell holds all tiles (pins `WL<r>`, `BL<c>`, or `T<k>_WL<r>`, `T<k>_BL<c>` if there are
several). Word lines leave on the left, bit lines at the bottom: between pin and first node stand
`R_driver` (word lines) and `R_sense` (bit lines), as the drawn array has them. With capacitances,
every segment's capacitance stands between its cell's node and the pin `VSS`, and that of every
crossing between its two lines.

Every cell and device model begins with the name of its design and ``__``, so that two designs can
stand in one test bench: subcircuits share one space of names in all simulators.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ
from xbarspice.devices import Device, Ohmic
from xbarspice.netlist.cells import (
    FORMS,
    Cell,
    Element,
    Wires,
    array_elements,
    mem_model,
    ports,
    tile_cells,
)
from xbarspice.netlist.records import Netlist, build, config_hash

__all__ = ["Design", "design", "name_of", "refuse_name"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", re.ASCII)
_LONGEST_NAME = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """All cells of a design, each defined before it is used; the last one is the top.

    Attributes:
        cells: the subcircuits.
        crossbars: the arrays, in read mode, one a tile.
        form: how devices are written, one of `FORMS`.
        hierarchical: whether rows, arrays and tiles are cells of their own.
        wires: capacitances of the segments.
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

    @cached_property
    def flat(self) -> Cell:
        """The design as one cell that holds every element."""
        if not self.hierarchical:
            return self.top
        return design(
            self.crossbars, hierarchical=False, form=self.form, wires=self.wires, name=self.name
        ).top

    @property
    def name(self) -> str:
        """Name of the design and of its top cell."""
        return self.top.name

    @property
    def scope(self) -> str:
        """What precedes ``_`` in the names of inner cells and of the device model."""
        return _scope(self.name)

    @property
    def model(self) -> str:
        """Name of the device model; "RMEM" for resistors."""
        return mem_model(self.device, self.form, self.scope)

    @property
    def device(self) -> Device:
        """The device model that all arrays share."""
        return self.crossbars[0].device


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
    _check_arrays(crossbars)
    name = name_of(crossbars) if name is None else name
    refuse_name(name)
    form = "resistor" if isinstance(crossbars[0].device, Ohmic) else form
    records = [build(c, np.zeros(c.rows)) for c in crossbars]
    cells = _cells(records, wires, form, name, hierarchical=hierarchical)
    if mem_model(crossbars[0].device, form, _scope(name)) in {cell.name for cell in cells[:-1]}:
        raise broken_rule(
            "a device model must not be named like a cell",
            crossbars[0].device.name,
            "Register it under another name.",
        )
    return Design(
        cells=cells,
        crossbars=tuple(r.crossbar for r in records),
        form=form,
        hierarchical=hierarchical,
        wires=wires,
        config=_config(records, wires, form, name, hierarchical=hierarchical),
    )


def _check_arrays(crossbars: Sequence[Crossbar]) -> None:
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


def _refuse_other_ends(crossbar: Crossbar) -> None:
    read_ends = (READ.word_lines(crossbar.rows), READ.bit_lines(crossbar.cols))
    same = all(
        np.array_equal(a, b)
        for a, b in zip(read_ends, (crossbar.wl_ends, crossbar.bl_ends), strict=True)
    )
    if not same:
        raise broken_rule(
            "a design has its word-line pins on the left and its bit-line pins at the bottom",
            crossbar.ends,
            "Pass crossbar.replace(ends=xb.READ); other drives belong to the test bench.",
        )


def _cells(
    records: Sequence[Netlist], wires: Wires, form: str, name: str, *, hierarchical: bool
) -> tuple[Cell, ...]:
    """All cells of a design; the last one, with its name, holds every tile."""
    scope, several = _scope(name), len(records) > 1
    cells: list[Cell] = []
    elements: list[Element] = []
    pins: list[str] = []
    for k, record in enumerate(records):
        prefix = f"t{k}_" if several else ""
        inner = ports(record.crossbar, wires)
        outer = tuple(p if p == "VSS" or not several else f"T{k}_{p}" for p in inner)
        pins += [p for p in outer if p not in pins]
        if hierarchical:
            cells += tile_cells(record, wires, form, scope, prefix)
            model = f"{scope}_{prefix}tile"
            elements.append(Element("X", f"X{prefix}tile", outer, model=model))
        else:
            outer_of = dict(zip(inner, outer, strict=True))
            flat = array_elements(record, wires, form, scope)
            elements += [_add_prefix(e, prefix, outer_of) for e in flat]
    ordered = (*(p for p in pins if p != "VSS"), *(p for p in pins if p == "VSS"))
    return (*cells, Cell(name, ordered, tuple(elements)))


def _add_prefix(element: Element, prefix: str, pins: dict[str, str]) -> Element:
    """An element of one tile among those of all, with the pins of the top cell."""
    if not prefix:
        return element
    nodes = tuple(pins.get(n, prefix + n) for n in element.nodes)
    name = element.name[0] + prefix + element.name[1:]
    return dataclasses.replace(element, name=name, nodes=nodes)


def _config(
    records: Sequence[Netlist], wires: Wires, form: str, name: str, *, hierarchical: bool
) -> str:
    between = {name: repr(C) for name in ("C_cross", "C_device") if (C := getattr(wires, name))}
    content = {
        "arrays": [config_hash(r.crossbar) for r in records],
        "wires": [repr(wires.C_wl), repr(wires.C_bl)],
        **between,
        "form": form,
        "hierarchical": hierarchical,
        "name": name,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _scope(name: str) -> str:
    """What precedes the ``_`` in an inner name; `refuse_name` keeps ``__`` free."""
    return f"{name}_"
