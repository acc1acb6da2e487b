"""A tester's log against the plan: expected and measured current, step by step."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from xbarspice.core.errors import broken_rule
from xbarspice.core.files import read_text
from xbarspice.core.values import broken_entries

__all__ = ["LogRow", "PlannedStep", "StoredPlan", "compare", "load_log", "load_plan"]


class PlannedStep(BaseModel):
    """What a comparison needs of a step; currents in A."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    step: int = Field(ge=0)
    row: int = Field(ge=0)
    col: int = Field(ge=0)
    I_step_A: float = Field(gt=0)
    I_final_A: float = Field(gt=0)


class StoredPlan(BaseModel):
    """What a comparison needs of ``plan.json``."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    tolerance: float = Field(gt=0)
    V_read_V: float = Field(gt=0)
    scheme: str
    order: str
    steps: list[PlannedStep] = Field(min_length=1)


class LogRow(BaseModel):
    """One read: of a device that was just written ("step"), or after all were ("final")."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: int = Field(ge=0)
    measured_A: float
    phase: Literal["step", "final"] = "step"
    row: int | None = None
    col: int | None = None
    pulses: int | None = None
    last_pulse_V: float | None = None


def load_plan(path: Path) -> StoredPlan:
    """A plan that was written as JSON.

    Raises:
        InputError: there is no such file, it is not JSON, or it is no plan.
    """
    tree = _json(path, "a programming plan")
    try:
        plan = StoredPlan.model_validate(tree)
    except ValidationError as error:
        raise broken_rule(
            f"{path} must be a programming plan (plan.json)",
            broken_entries(error, path.name),
            "Write it again with xbarspice tapeout or xbarspice.programming.plan.",
        ) from None
    if [s.step for s in plan.steps] != list(range(len(plan.steps))):
        raise broken_rule(f"{path} must number its steps from 0", "another order", "Write it anew.")
    return plan


def load_log(path: Path) -> list[LogRow]:
    """The reads of a log: CSV with a head, or a JSON list of objects; see `LogRow` for the names.

    Raises:
        InputError: there is no such file, or a row of it is not understood.
    """
    if path.suffix.lower() == ".json":
        rows: Any = _json(path, "a tester's log")
    else:
        lines = read_text(path, "a tester's log").splitlines()
        rows = [{k: v for k, v in row.items() if v != ""} for row in csv.DictReader(lines)]
    try:
        log = TypeAdapter(list[LogRow]).validate_python(rows)
    except (ValidationError, TypeError) as error:
        words = broken_entries(error, path.name) if isinstance(error, ValidationError) else error
        raise broken_rule(
            f"{path} must be a tester's log: step and measured_A in every row, and at most phase, "
            "row, col, pulses and last_pulse_V beside",
            words,
            "Write one row a step, as arc_two.py does.",
        ) from None
    if not log:
        raise broken_rule("a log must hold a read", str(path), "Write one row a step.")
    return log


def _json(path: Path, subject: str) -> Any:
    try:
        return json.loads(read_text(path, subject))
    except (ValueError, RecursionError) as error:
        raise broken_rule(f"{path} must be {subject} as JSON", error, "Check the path.") from None


def compare(plan: StoredPlan, log: list[LogRow]) -> dict[str, Any]:
    """Hold every read against the current that the plan expects of it.

    Args:
        plan: what was planned.
        log: what was read.

    Returns:
        ``passed`` (every step was read, and every read is within the tolerance), ``first`` (the
        first read outside, in the order of the plan, or None), ``missing`` (steps without a read),
        figures of each phase, and all ``reads``: expected and measured current, A, and deviation.

    Raises:
        InputError: a row names another device than its step, a step that does not exist, or a read
            that stands there twice.
    """
    rows = sorted(log, key=lambda row: (row.phase == "final", row.step))
    read: set[tuple[str, int]] = set()
    reads = []
    for row in rows:
        _refuse(plan, row, read)
        read.add((row.phase, row.step))
        reads.append(_read(plan, row))
    missing = [s.step for s in plan.steps if ("step", s.step) not in read]
    outside = [r for r in reads if not r["within"]]
    return {
        "passed": not missing and not outside,
        "tolerance": plan.tolerance,
        "V_read_V": plan.V_read_V,
        "scheme": plan.scheme,
        "order": plan.order,
        "steps": len(plan.steps),
        "missing": missing,
        "outside": len(outside),
        "first": outside[0] if outside else None,
        "phases": {
            phase: _figures([r for r in reads if r["phase"] == phase])
            for phase in ("step", "final")
            if any(r["phase"] == phase for r in reads)
        },
        "reads": reads,
    }


def _refuse(plan: StoredPlan, row: LogRow, read: set[tuple[str, int]]) -> None:
    if row.step >= len(plan.steps):
        raise broken_rule(
            f"a log of this plan has the steps 0 to {len(plan.steps) - 1}",
            f"step {row.step}",
            "Take the plan that the tester ran.",
        )
    if (row.phase, row.step) in read:
        raise broken_rule(
            "a log must hold one read a step and phase",
            f"step {row.step} ({row.phase}) twice",
            "Keep the last read of each step.",
        )
    step = plan.steps[row.step]
    for name, stated in (("row", row.row), ("col", row.col)):
        if stated is not None and stated != getattr(step, name):
            raise broken_rule(
                f"step {row.step} of the plan is the device ({step.row}, {step.col})",
                f"{name} {stated} in the log",
                "Take the plan that the tester ran.",
            )


def _read(plan: StoredPlan, row: LogRow) -> dict[str, Any]:
    step = plan.steps[row.step]
    expected = step.I_step_A if row.phase == "step" else step.I_final_A
    deviation = row.measured_A / expected - 1.0
    return {
        "phase": row.phase,
        "step": row.step,
        "row": step.row,
        "col": step.col,
        "expected_A": expected,
        "measured_A": row.measured_A,
        "deviation": deviation,
        "within": abs(deviation) <= plan.tolerance,
    }


def _figures(reads: list[dict[str, Any]]) -> dict[str, float]:
    deviations = [r["deviation"] for r in reads]
    return {
        "reads": len(reads),
        "within": sum(r["within"] for r in reads),
        "largest_deviation": max(map(abs, deviations)),
        "rms_deviation": math.sqrt(math.fsum(d * d for d in deviations) / len(deviations)),
    }
