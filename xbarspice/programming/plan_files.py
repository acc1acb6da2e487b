"""Files of programming plans: CSV for people, JSON and a script for the tester."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.programming import arc_two
from xbarspice.programming.channels import Channels
from xbarspice.programming.plans import Plan, plan
from xbarspice.programming.results import Pulses

if TYPE_CHECKING:
    from xbarspice.programming.circuits import Written

__all__ = ["SCRIPT", "write_plan", "write_plans"]

SCRIPT = "arc_two.py"
"""Name of the tester's script beside a plan."""


def write_plan(planned: Plan, folder: Path, more: Mapping[str, Any]) -> list[Path]:
    """Write plan.csv, plan.json and, where there are pulses, the tester's script.

    Args:
        planned: the plan.
        folder: where the files go.
        more: what the JSON file says besides.

    Raises:
        InputError: what a tester reads from the file is not the target, bit by bit.
    """
    csv_path, json_path = folder / "plan.csv", folder / "plan.json"
    csv_path.write_text(planned.to_csv(), encoding="utf-8")
    text = json.dumps({**more, **planned.record()}, indent=1)
    json_path.write_text(f"{text}\n", encoding="utf-8")
    _refuse_unequal(csv_path, planned)
    if planned.set_sign is None:
        return [csv_path, json_path]
    script = folder / SCRIPT
    script.write_text(inspect.getsource(arc_two), encoding="utf-8")
    return [csv_path, json_path, script]


def _refuse_unequal(path: Path, planned: Plan) -> None:
    G = np.zeros(planned.target.shape)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            G[int(row["row"]), int(row["col"])] = float(row["G_target_S"])
    if not np.array_equal(G, planned.target):
        raise broken_rule("the plan must hold G exactly", path.name, "This is a defect; report it.")


def write_plans(
    written: Sequence[Written],
    folder: Path,
    *,
    pulses: Pulses,
    channels: Channels | None,
    scheme: str,
    order: str | Sequence[int],
) -> list[dict[str, Any]]:
    """Write the plan of every array that was programmed by simulation, a folder an array.

    Args:
        written: the arrays with their runs.
        folder: where the folders go.
        pulses, scheme, order: of the runs.
        channels: of the tester; None for `Channels.numbered`.

    Returns:
        One entry an array: its name, its folder, by how much the read at a step differs from that
        at the end, and by how much the last read of a device differed from the plan in the run (of
        devices that were not given up; the largest share of each, None without such a device).
    """
    out = []
    for k, one in enumerate(written):
        planned = plan(
            one.blank.crossbar,
            one.blank.target,
            pulses=pulses,
            scheme=scheme,
            order=order,
            channels=channels,
        )
        place = folder / str(k)
        place.mkdir(parents=True)
        write_plan(planned, place, {"array": one.blank.name})
        read = pulses.V_read * one.run.verified.ravel()[planned.order]
        reached = ~one.run.gave_up.ravel()[planned.order]
        off = abs(read / planned.I_step - 1.0)[reached]
        out.append(
            {
                "array": one.blank.name,
                "folder": f"{folder.name}/{k}",
                "largest_step_to_final": planned.record()["largest_step_to_final"],
                "largest_read_to_plan": float(off.max()) if off.size else None,
            }
        )
    return out
