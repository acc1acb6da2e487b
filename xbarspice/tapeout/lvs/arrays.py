"""An array that is read out of a drawing alone, and the cells that hold the arrays of a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.tapeout.extraction.extracted import Extracted, extract, pick_cell
from xbarspice.tapeout.extraction.wires import LineWires, WireView, extract_wires
from xbarspice.tapeout.lvs.compare import unreadable, usable_nets
from xbarspice.tapeout.lvs.faults import Fault
from xbarspice.tapeout.lvs.lines import Lines, find_lines
from xbarspice.tapeout.technology import Corner, Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["DrawnArray", "cells_of_arrays", "extract_array"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnArray:
    """What a drawing says by itself of the array in it.

    Attributes:
        extracted: nets and devices; None where nothing can be understood.
        present: where its lines cross in a device, (rows, cols).
        lines: its lines by their labels.
        wires: their resistances.
        faults: of labels and lines.
        corner: of the resistances.
        nominal: resistance of a segment of each kind by the technology, ohm: R_wl, R_bl.
    """

    extracted: Extracted | None
    present: Flags
    lines: Lines | None
    wires: WireView | None
    faults: tuple[Fault, ...]
    corner: Corner
    nominal: Mapping[str, float]

    @property
    def complete(self) -> bool:
        """Whether every line has its label, its pad and all its segments."""
        return not self.faults and self.wires is not None and self.wires.complete

    def crossbar(self, G: float) -> Crossbar:
        """The array with its drawn wires and one conductance, S, in every device that is drawn.

        Raises:
            InputError: the drawing is not complete.
        """
        if not self.complete or self.wires is None:
            told = "; ".join(str(fault) for fault in self.faults[:3]) or "a line without a pad"
            raise broken_rule(
                "an array is made of a drawing whose lines all have labels, pads and segments",
                told,
                "Correct the drawing, or read its record.",
            )
        array = Crossbar(np.where(self.present, G, 0.0))
        return array.replace(**self.wires.arrays())

    def record(self) -> dict[str, Any]:
        """Everything for JSON: SI units, places in um."""
        out: dict[str, Any] = {
            "complete": self.complete,
            "corner": self.corner,
            "nominal_ohm": dict(self.nominal),
            "faults": [fault.record() for fault in self.faults],
        }
        if self.extracted is None or self.lines is None or self.wires is None:
            return out
        words = zip(("WL", "BL"), (self.wires.word_lines, self.wires.bit_lines), strict=True)
        return out | {
            "technology": self.extracted.technology.name,
            "rows": self.present.shape[0],
            "cols": self.present.shape[1],
            "nets": self.extracted.connectivity.count,
            "devices": list(_devices(self.extracted, self.lines)),
            "lines": [
                _line(f"{kind}<{k}>", w) for kind, lines in words for k, w in enumerate(lines)
            ],
        }


def _devices(extracted: Extracted, lines: Lines) -> Iterator[dict[str, Any]]:
    d = extracted.devices
    x, y = extracted.um(d.boxes)
    for k in range(len(d)):
        place = {"row": int(lines.row[k]), "col": int(lines.col[k])}
        yield {
            **{name: at if at >= 0 else None for name, at in place.items()},
            "x_um": float(x[k]),
            "y_um": float(y[k]),
            "area_um2": float(d.area[k]),
        }


def _line(name: str, wires: LineWires | None) -> dict[str, Any]:
    if wires is None:
        return {"name": name, "leads_ohm": None, "segments_ohm": None, "parts": []}
    return {
        "name": name,
        "leads_ohm": [_number(R) for R in wires.leads],
        "segments_ohm": wires.segments.tolist(),
        "parts": [
            {
                "kind": part.kind,
                "layer": part.layer,
                "ohm": _number(part.resistance),
                "squares": _number(part.squares),
                "width_um": _number(part.width),
                "x_um": part.x,
                "y_um": part.y,
            }
            for part in wires.parts
        ],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def extract_array(
    layout: kdb.Layout,
    technology: Technology,
    *,
    cell: str | None = None,
    corner: Corner = "typ",
    temperature: float | None = None,
) -> DrawnArray:
    """Read an array out of a drawing, by its labels.

    Args:
        layout: the drawing.
        technology: its layers.
        cell: that holds the array; None for the only top cell.
        corner, temperature: of the resistances; degrees Celsius.

    Raises:
        InputError: there is no such cell, or there are several top cells and no name.
    """
    extracted = extract(pick_cell(layout, cell), technology)
    fault = unreadable(extracted)
    said: dict[str, Any] = {
        "corner": corner,
        "nominal": technology.segments(corner, temperature),
    }
    if fault is not None:
        nothing = np.zeros((0, 0), dtype=bool)
        return DrawnArray(
            extracted=None, present=nothing, lines=None, wires=None, faults=(fault,), **said
        )
    present = _devices_at_lines(extracted)
    lines = find_lines(extracted, present)
    wires = extract_wires(extracted, *usable_nets(lines), corner, temperature)
    return DrawnArray(
        extracted=extracted,
        present=present,
        lines=lines,
        wires=wires,
        faults=lines.faults,
        **said,
    )


def _devices_at_lines(extracted: Extracted) -> Flags:
    """Which pairs of labelled nets meet in a device; the highest labels state the size."""
    nets = extracted.line_nets()
    shape = tuple(
        1 + max((name.number for name in nets if name.kind == kind), default=-1)
        for kind in ("WL", "BL")
    )
    number = {kind: np.full(extracted.connectivity.count, -1) for kind in ("WL", "BL")}
    for name, members in nets.items():
        number[name.kind][members] = name.number
    r, c = (number[kind][extracted.nets_of(kind, "devices")] for kind in ("WL", "BL"))
    present = np.zeros(shape, dtype=bool)
    present[r[(r >= 0) & (c >= 0)], c[(r >= 0) & (c >= 0)]] = True
    return present


def cells_of_arrays(
    layout: kdb.Layout, arrays: list[PhysicalArray], chosen: str | None, cell: str | None
) -> list[tuple[PhysicalArray, str | None]]:
    """Which cell of a drawing holds which array of a model.

    Args:
        layout: the drawing.
        arrays: of the model.
        chosen: name of one array; None for all.
        cell: that holds it; None for the only top cell, or, for several arrays, for the cells whose
            names end with ``_a`` and the number of the array, as a tapeout names them.

    Raises:
        InputError: there is no such array, or no cell for one of several.
    """
    names = [array.name for array in arrays]
    if chosen is not None and chosen not in names:
        raise broken_rule(
            "an array is chosen by its name in the model",
            chosen,
            f"It has {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}.",
        )
    if chosen is not None or len(arrays) == 1:
        return [(arrays[0 if chosen is None else names.index(chosen)], cell)]
    if cell is not None:
        raise broken_rule("`--cell` holds one array", cell, "Name the array, too: --array.")
    cells = {c.name for c in layout.each_cell()}
    width = len(str(len(arrays) - 1))
    ends = [f"_a{k:0{width}d}" for k in range(len(arrays))]
    designs = {name.removesuffix(ends[0]) for name in cells if name.endswith(ends[0])}
    whole = sorted(d for d in designs if all(d + end in cells for end in ends))
    if len(whole) != 1:
        shown = ", ".join(sorted(c for c in cells if re.search(r"_a\d+$", c))[:8]) or "none"
        raise broken_rule(
            f"a drawing of {len(arrays)} arrays has a cell for each, with names that end in "
            f"{ends[0]} to {ends[-1]}",
            f"cells {shown}",
            "Name one array with --array, and its cell with --cell.",
        )
    return [(array, whole[0] + end) for array, end in zip(arrays, ends, strict=True)]
