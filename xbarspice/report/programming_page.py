"""Page of a programming run: figures, maps of errors, drifts and pulses, array by array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xbarspice.report import programming as maps
from xbarspice.report.content import Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.units import rounded_range, si

if TYPE_CHECKING:
    from xbarspice.studies.program import Programmed

__all__ = ["ranges", "write"]


def write(record: dict[str, Any], runs: Sequence[Programmed], path: Path) -> Path:
    """Draw the page of a programming run.

    Args:
        record: what `report.json` holds: title, tolerance, total figures, and one entry an array.
        runs: the run of each array, in order.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    share, tolerance = 100 * record["within_tolerance"], 100 * record["tolerance"]
    verdict = Verdict(
        state="none", word="SIMULATED",
        text=f"{share:.1f} % of {record['devices']} devices end within {tolerance:g} % of their "
        f"target; {100 * record['left_within_tolerance']:.1f} % were when they were left.",
    )  # fmt: skip
    sections = [
        _section(k, entry, run, record)
        for k, (entry, run) in enumerate(zip(record["arrays"], runs, strict=True))
    ]
    card = record.get("calibration")
    subtitle = f"Calibrated: {card}" if card else ""
    return page(record["title"], sections, path, verdict=verdict, subtitle=subtitle)


def _section(
    number: int, entry: dict[str, Any], run: Programmed, record: dict[str, Any]
) -> Section:
    rows, cols = entry["shape"]
    name = f"array {number} ({rows} x {cols}, {entry['device']}, {run.scheme})"
    plots = [
        Plot(
            figure=maps.error_map(run), alt=f"Map of the errors of {name}",
            caption="Error of each final conductance; grey: no device wanted.",
        ),
        Plot(
            figure=maps.disturb_map(run), alt=f"Map of the drifts of {name}",
            caption="Drift of each device since it was finished, by the writes that came later.",
        ),
        Plot(
            figure=maps.pulse_map(run), alt=f"Map of the pulses of {name}",
            caption="Write pulses that each device took.",
        ),
    ]  # fmt: skip
    if run.order.size:
        worst = int(_others(run).argmax())
        row, col = divmod(int(run.order[worst]), cols)
        plots.append(
            Plot(
                figure=maps.victims_map(run, row, col), alt=f"Map of who was moved in {name}",
                caption=f"Who was moved while device ({row}, {col}) was written, the write that "
                "moved most.",
            )
        )  # fmt: skip
    items = [_figures(entry, record), _drift(entry), Text(text=_REMARK, note=True), *plots]
    return Section(title=name[0].upper() + name[1:], items=items)


def _others(run: Programmed) -> npt.NDArray[np.float64]:
    """How far each write moved all other devices together, S, (devices,)."""
    moved = abs(run.moved.astype(np.float64)).reshape(run.order.size, -1)
    moved[np.arange(run.order.size), run.order] = 0.0
    return moved.sum(axis=1)


def ranges(entry: dict[str, Any]) -> str:
    """Where the targets of an array lie, beside the range in which finished devices hold still."""

    def span(pair: Sequence[float]) -> str:
        return f"{1e6 * pair[0]:.4g} to {1e6 * pair[1]:.4g} µS"

    targets, held = entry["targets_S"], entry["held_S"]
    if held is None:
        return f"{span(targets)}; no range holds still under half-select pulses"
    held = rounded_range(held)  # what is printed is what is compared
    lies = held[0] * (1 - 1e-9) <= targets[0] and targets[1] <= held[1] * (1 + 1e-9)
    verdict = "inside" if lies else "NOT inside"
    return f"{span(targets)}, {verdict} {span(held)}, where finished devices hold still"


_REMARK = (
    "The model drifts by its own dynamics under half-select voltages. The measured drifts come "
    "from other dies (Drolet et al. 2023, arXiv:2305.18495), for equal numbers of later writes."
)


def _figures(entry: dict[str, Any], record: dict[str, Any]) -> Table:
    percent = f"{100 * record['tolerance']:g} %"
    rows = [
        ("targets", ranges(entry)),
        (f"within {percent} at the end (yield)", f"{100 * entry['yield']:.1f} %"),
        (f"within {percent} when left", f"{100 * entry['left_within_tolerance']:.1f} %"),
        ("given up", f"{entry['gave_up']:.0f}"),
        ("largest error", f"{100 * entry['worst_error']:.3g} %"),
        ("rms error", f"{100 * entry['rms_error']:.3g} %"),
        ("mean pulses a device", f"{entry['mean_pulses']:.1f}"),
        ("time on the tester", si(entry["seconds"], "s", 3)),
        ("energy", si(entry["energy_J"], "J", 3)),
    ]
    return Table(caption="Figures", head=("quantity", "value"), rows=rows)


def _drift(entry: dict[str, Any]) -> Table:
    rows = [
        (name, *(si(values[key], "S", 3) for key in ("mean_S", "std_S", "median_size_S")))
        for name, values in entry["drift"].items()
    ]
    head = ("drift of finished devices", "mean", "standard deviation", "median size")
    return Table(caption="Drift by later writes", head=head, rows=rows)
