"""The reads of an array on a calibration's page, with what was seen in them before the fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from xbarspice.calibration.array_inspection import (
    LOOKED_FOR,
    inspect_reads,
    reads_blind_spots,
    start_currents,
)
from xbarspice.calibration.data_plots import array_reads
from xbarspice.calibration.inspection import Irregularity
from xbarspice.calibration.inspection_page import inspection_items, inspection_record
from xbarspice.calibration.model import Model
from xbarspice.core.types import Array
from xbarspice.report.content import Plot, Section

__all__ = ["ArrayInspection", "look"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayInspection:
    """Currents as they are fitted, with what was seen in them.

    Attributes:
        start, measured: currents of the array at its start, and the data, A, (points,).
        irregularities: seen in them.
        blind: what could not be looked for.
    """

    start: Array
    measured: Array
    irregularities: tuple[Irregularity, ...]
    blind: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """For JSON: what was looked for, what was seen, and what could not be."""
        return inspection_record(self.irregularities, LOOKED_FOR, self.blind)

    def section(self) -> Section:
        """The currents with marked ones, and a table of what was seen."""
        items = inspection_items(self.irregularities, LOOKED_FOR, self.blind)
        return Section(title="The data before the fit", items=[_plot(self), *items])


def look(model: Model) -> ArrayInspection:
    """Inspect the reads of a model, one set."""
    return ArrayInspection(
        start=start_currents(model),
        measured=model.data,
        irregularities=inspect_reads(model),
        blind=reads_blind_spots(model),
    )


def _plot(inspection: ArrayInspection) -> Plot:
    kinds = ", ".join(i.kind for i in inspection.irregularities) or "nothing"
    return Plot(
        draw=partial(array_reads, inspection.start, inspection.measured, inspection.irregularities),
        alt=f"Measured currents against those of the array at the start; seen: {kinds}",
        caption="Every measured current against that of the array as the fit starts.",
    )
