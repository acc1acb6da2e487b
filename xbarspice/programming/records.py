"""What is said of a programming run, and its numbers as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.wires import as_record
from xbarspice.programming.circuits import Written, held_range
from xbarspice.programming.drift import beside_measured
from xbarspice.programming.results import Programmed, Pulses
from xbarspice.variability import DriftTable

__all__ = ["record_of", "save_numbers"]


def record_of(
    written: Sequence[Written],
    options: Mapping[str, Any],
    pulses: Pulses,
    drifts: DriftTable | None = None,
) -> dict[str, Any]:
    """Figures of all arrays together, and one entry an array (`arrays`).

    Args:
        written: the arrays.
        options: of the run, with its `scheme`; they are said too.
        pulses: what was applied.
        drifts: measured ones to set beside those of the model; None: the built-in table.
    """
    sizes = [int(w.run.wanted.sum()) for w in written]
    arrays = [_record_of_array(w, options["scheme"], pulses, drifts) for w in written]

    def mean(name: str) -> float:
        return sum(a[name] * n for a, n in zip(arrays, sizes, strict=True)) / sum(sizes)

    return {
        **options,
        "pulses": {f.name: getattr(pulses, f.name) for f in fields(pulses)},
        "devices": sum(sizes),
        "tolerance": pulses.tolerance,
        "within_tolerance": mean("yield"),
        "left_within_tolerance": mean("left_within_tolerance"),
        "mean_pulses": mean("mean_pulses"),
        "gave_up": sum(a["gave_up"] for a in arrays),
        "seconds": sum(a["seconds"] for a in arrays),
        "energy_J": sum(a["energy_J"] for a in arrays),
        "drift_table": "built-in" if drifts is None else "of the calibration card",
        "arrays": arrays,
    }


def _record_of_array(
    written: Written, scheme: str, pulses: Pulses, drifts: DriftTable | None
) -> dict[str, Any]:
    crossbar, run = written.blank.crossbar, written.run
    return {
        "name": written.blank.name,
        "shape": [crossbar.rows, crossbar.cols],
        "device": crossbar.device.name,
        **{name: as_record(R) for name, R in crossbar.wires.items()},
        "left_within_tolerance": _share_left(run),
        "targets_S": [float(run.target[run.wanted].min()), float(run.target.max())],
        "held_S": held_range(crossbar, pulses, scheme),
        **run.summary(),
        "drift": beside_measured(run, drifts),
    }


def _share_left(run: Programmed) -> float:
    """Devices whose true conductance was within the tolerance when they were left."""
    wanted = run.wanted
    error = abs(run.finished[wanted] / run.target[wanted] - 1.0)
    return float((error <= run.tolerance).mean())


def save_numbers(path: Path, written: Sequence[Written]) -> None:
    """Write program.h5: conductances, pulses and drifts of every device, with each crossbar.

    Raises:
        StoreError: the file cannot be written.
    """
    tree = {}
    for k, one in enumerate(written):
        run = one.run
        numbers = {f.name: getattr(run, f.name) for f in fields(run) if f.name != "moved"}
        maps = {"error": run.error, "disturb": run.disturb, "victims": one.victims}
        tree[str(k)] = {
            "name": one.blank.name,
            **numbers,
            **maps,
            "moving": one.moving,
            "crossbar": crossbar_file.to_tree(one.blank.crossbar),
        }
    hdf5.write_tree(path, {"arrays": tree}, "programming")
