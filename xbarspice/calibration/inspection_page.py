"""The data of a calibration on its page, with what was seen in them before the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from xbarspice.calibration.data_plots import devices_shown, sweeps
from xbarspice.calibration.inspection import (
    Irregularity,
    blind_spots,
    inspect_sweeps,
)
from xbarspice.calibration.irregularities import looks
from xbarspice.calibration.measurements import Reads
from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Plot, Section, Table, Text

__all__ = ["Inspection", "inspection_items", "inspection_record", "look"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """Sweeps as measured and as fitted, with what was seen in the fitted ones.

    Attributes:
        measured: all points.
        fitted: those that are left by what the user asked for.
        irregularities: seen in the fitted ones.
        blind: what could not be looked for.
    """

    measured: Reads
    fitted: Reads
    irregularities: tuple[Irregularity, ...]
    blind: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """For JSON: what was looked for, what was seen, and what could not be."""
        return inspection_record(self.irregularities, tuple(looks()), self.blind)

    def section(self) -> Section:
        """The data with marked points, and a table of what was seen."""
        items = inspection_items(self.irregularities, tuple(looks()), self.blind)
        return Section(title="The data before the fit", items=[*_plots(self), *items])


def inspection_record(
    irregularities: Sequence[Irregularity], looked_for: Sequence[str], blind: Sequence[str]
) -> dict[str, Any]:
    """What was looked for, what was seen, and what could not be looked for, as plain values."""
    return {
        "looked_for": list(looked_for),
        "seen": [
            {"kind": i.kind, "points": int(i.points.sum()), "option": i.option, "text": i.text}
            for i in irregularities
        ],
        "not_looked_for": list(blind),
    }


def inspection_items(
    irregularities: Sequence[Irregularity], looked_for: Sequence[str], blind: Sequence[str]
) -> list[Item]:
    """The same as a table or a sentence, and remarks."""
    items: list[Item] = []
    if irregularities:
        rows = [
            (i.kind, str(int(i.points.sum())), i.text.rpartition(": ")[0], i.option)
            for i in irregularities
        ]
        head = ("seen", "points", "what", "option that handles it")
        caption = "Seen before the fit; nothing of it was changed"
        items.append(Table(caption=caption, head=head, rows=rows, left=(0, 2, 3)))
    else:
        items.append(Text(text=f"None of these was seen: {', '.join(looked_for)}."))
    items += [Text(text=f"{text[0].upper()}{text[1:]}.", note=True) for text in blind]
    return items


def look(measured: Reads, fitted: Reads) -> Inspection:
    """Inspect the sweeps that are fitted.

    Args:
        measured: all points of the file.
        fitted: what `prepare_sweeps` left of them.
    """
    return Inspection(
        measured=measured,
        fitted=fitted,
        irregularities=inspect_sweeps(fitted),
        blind=blind_spots(fitted),
    )


def _plots(inspection: Inspection) -> list[Item]:
    reads, seen = inspection.fitted, inspection.irregularities
    devices = len(devices_shown(reads, seen))
    count = len(np.unique(np.asarray(reads.array)))
    some = f" Drawn: {devices} of {count} devices." if count > devices else ""
    left_out = len(inspection.measured.V_in) - len(reads.V_in)
    out = f" Open circles: {counted(left_out, 'point')} left out." if left_out else ""
    kinds = ", ".join(i.kind for i in seen) or "nothing"
    return [
        Plot(
            draw=partial(sweeps, reads, measured=inspection.measured, irregularities=seen),
            alt=f"Current against voltage; marked: {kinds}",
            caption=f"The sweeps.{out}{some}",
        ),
        Plot(
            draw=partial(sweeps, reads, of="conductance", irregularities=seen),
            alt=f"Conductance I/V in the order of measurement; marked: {kinds}",
            caption=f"I/V of each fitted point in the order of measurement.{some}",
        ),
    ]
