"""A drawing against its array: lines as nets, devices with both terminals and size, wires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.counts import counted
from xbarspice.tapeout.extraction.extracted import (
    Extracted,
    LineName,
    extract,
    pick_cell,
)
from xbarspice.tapeout.extraction.networks import SheetCache
from xbarspice.tapeout.extraction.wires import WireView, extract_wires
from xbarspice.tapeout.lvs.devices import device_faults, places_of
from xbarspice.tapeout.lvs.faults import Fault
from xbarspice.tapeout.lvs.lines import Lines, find_lines
from xbarspice.tapeout.lvs.wires import (
    cut_faults,
    narrow_places,
    order_faults,
    segment_faults,
    stated_faults,
)
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["LvsReport", "compare_layout", "scope", "unreadable", "usable_nets"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LvsReport:
    """The verdict on one drawing.

    Attributes:
        faults: what is wrong, and where.
        looked_at: which layers were connected and what was compared; every verdict shows it.
        devices: devices of the array that were found at their crossings.
        nets: nets of the drawing.
        outside: devices of which no electrode is a line of the array (monitors).
        wires: the resistive view; None where it was not asked for or nothing could be followed.
    """

    faults: tuple[Fault, ...]
    looked_at: str
    devices: int = 0
    nets: int = 0
    outside: int = 0
    wires: WireView | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing of `looked_at` is wrong."""
        return not self.faults

    @property
    def segments(self) -> int:
        """How many segments and leads were extracted."""
        lines = () if self.wires is None else (*self.wires.word_lines, *self.wires.bit_lines)
        return sum(len(line.segments) + 1 for line in lines if line is not None)

    def record(self) -> dict[str, Any]:
        """The verdict for JSON."""
        complete = self.wires is not None and self.wires.complete
        return {
            "clean": self.clean,
            "looked_at": self.looked_at,
            "devices": self.devices,
            "devices_outside": self.outside,
            "nets": self.nets,
            "segments": self.segments,
            "extracted_ohm": _ranges(self.wires) if complete and self.wires else None,
            "faults": [fault.record() for fault in self.faults],
        }


def _ranges(view: WireView) -> dict[str, list[float]]:
    """Smallest and largest of each resistance; nothing for those that an array does not have."""
    values = view.arrays().items()
    return {name: [float(R.min()), float(R.max())] if R.size else [] for name, R in values}


def compare_layout(
    layout: kdb.Layout,
    crossbar: Crossbar,
    technology: Technology,
    *,
    cell: str | None = None,
    wires: bool = True,
    stated: bool | None = None,
    cache: SheetCache | None = None,
) -> LvsReport:
    """Extract a drawing and compare it with its array.

    Resistances are compared with the technology's, and line by line with the array's where that
    states them line by line.

    Args:
        layout: the drawing.
        crossbar: one array.
        technology: layers of the drawing.
        cell: that holds the array; None for the only top cell.
        wires: extract resistances, too; without it only nets, labels and devices are compared.
        stated: compare them with the array's; None where the array states them line by line.
        cache: solved shapes, to use for several arrays.

    Raises:
        InputError: there is no such cell, or there are several top cells and no name.
    """
    extracted = extract(pick_cell(layout, cell), technology)
    stated = wires and (not crossbar.uniform if stated is None else stated)
    fault = unreadable(extracted)
    if fault is not None:
        return LvsReport(
            faults=(fault,),
            looked_at=f"{_connected(technology)}; nothing could be compared",
            nets=extracted.connectivity.count,
        )
    present = np.asarray(crossbar.G_flat[0] > 0)
    lines = find_lines(extracted, present)
    faults = [*lines.faults, *device_faults(extracted, lines, present)]
    faults += [*cut_faults(extracted, lines), *narrow_places(extracted, lines)]
    view = None
    followed = wires
    if wires:
        view = extract_wires(extracted, *usable_nets(lines), cache=cache)
        places = places_of(extracted, lines, present.shape)
        order = list(order_faults(extracted, view))
        followed = not order  # the segments of lines that are counted wrongly are others
        faults += order or list(segment_faults(extracted, view, places))
        faults += _not_followed(lines, view, faults)
        if stated and followed:
            faults += stated_faults(view, crossbar, places)
    inside = (lines.row >= 0) & (lines.col >= 0)
    return LvsReport(
        faults=tuple(faults),
        looked_at=scope(
            technology,
            wires=followed,
            stated=stated and followed,
            where="" if view is None else _followed(view, present.shape),
        ),
        devices=int(inside.sum()),
        nets=extracted.connectivity.count,
        outside=int(((lines.row < 0) & (lines.col < 0)).sum()),
        wires=view,
    )


def _followed(view: WireView, shape: tuple[int, ...]) -> str:
    """Which lines have all their segments; empty where all have."""
    counts = ((view.word_lines, shape[1] - 1), (view.bit_lines, shape[0] - 1))
    whole = [
        line is not None and len(line.segments) == count and bool(np.isfinite(line.segments).all())
        for lines, count in counts
        for line in lines
    ]
    return "" if all(whole) else f" on {sum(whole)} of {counted(len(whole), 'line')}"


def scope(
    technology: Technology, *, wires: bool = True, stated: bool = False, where: str = ""
) -> str:
    """What a comparison looks at, as every verdict says it.

    Args:
        technology: layers that are connected.
        wires: whether segments are compared with the technology.
        stated: whether resistances are compared with the file.
        where: on which lines, if not on all.
    """
    words = [
        f"{_connected(technology)}; compared: every line as one net with its label",
        "every device with both electrodes and its drawn size",
        "cuts",
    ]
    if wires:
        words.append(f"segments with width and pitch of the technology{where}")
    if stated:
        words.append(f"the resistance of every segment and lead with the file{where}")
    return f"{', '.join(words)}. Of the layout rules only widths of metal on lines are looked at"


def _connected(technology: Technology) -> str:
    """Over which layers nets are followed."""
    layers: list[str] = []
    for metal in technology.metal:
        layers.append(metal.name)
        layers += [via.name for via in technology.via if via.lower == metal.name]
    return f"connected over {', '.join(layers)}"


def unreadable(extracted: Extracted) -> Fault | None:
    """The one fault of a drawing of which nothing can be understood."""
    con, t = extracted.connectivity, extracted.technology
    empty = [m.name for m, s in zip(t.metal, con.metals, strict=True) if not s.polygons]
    words = None
    for name in (t.device.bottom, t.device.top):
        if name in empty:
            words = f"the drawing has no shape of {name}, an electrode in {t.name}"
    if words is None and not len(extracted.devices) and not len(extracted.devices.stray):
        words = f"the drawing has no shape on the device layer of {t.name}"
    if words is None and not extracted.line_nets():
        words = f"no metal of the drawing carries a label of a line, WL<0> or BL<0>, in {t.name}"
    return None if words is None else Fault(kind="drawing", place=words)


def usable_nets(lines: Lines) -> tuple[Any, Any]:
    """Nets of the lines that share theirs with no other."""
    rows, cols = lines.rows.copy(), lines.cols.copy()
    for name in lines.joined:
        (rows if name.kind == "WL" else cols)[name.number] = -1
    return rows, cols


def _not_followed(lines: Lines, view: WireView, faults: list[Fault]) -> list[Fault]:
    """Lines whose resistances are unknown, where no other fault says why."""
    if faults:
        return []
    out = []
    for kind, views in (("WL", view.word_lines), ("BL", view.bit_lines)):
        for k, line in enumerate(views):
            lead = None if line is None else line.leads[0 if kind == "WL" else 1]
            if lead is None or not np.isfinite(lead):
                side = "column 0" if kind == "WL" else "the last row"
                words = f"{LineName(kind, k)} cannot be followed from its pad to {side}"
                axis = {"row" if kind == "WL" else "col": k}
                out.append(Fault(kind="wire", place=words, **axis))
    return out
