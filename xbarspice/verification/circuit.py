"""`xb.verify`: is the model on arrays the model that was trained, and do its arrays compute it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from xbarspice.mapping import ArrayConfig
from xbarspice.nn import coverage
from xbarspice.nn.arguments import points_of
from xbarspice.nn.origin import arguments_of
from xbarspice.verification import forward
from xbarspice.verification.circuit_findings import circuit_mistakes
from xbarspice.verification.circuit_records import Verification
from xbarspice.verification.circuit_steps import (
    Answers,
    Forward,
    Plan,
    node_voltages,
    put_on_arrays,
    run_forward,
    search_inputs,
    solve_sample,
)
from xbarspice.verification.clock import Clock, Progress
from xbarspice.verification.corners import outputs_at_corners
from xbarspice.verification.engine_names import check_engines
from xbarspice.verification.inputs import box_of, check_labels, one_tensor
from xbarspice.verification.results import DecisionRecord, Gates
from xbarspice.verification.summary import by_matrix, energy, find_unjudged, judge
from xbarspice.verification.trust import trust_of
from xbarspice.verification.worst import Search

__all__ = ["Gates", "Verification", "verify"]


def verify(
    model: nn.Module,
    x: Any,
    y: npt.ArrayLike | None = None,
    *,
    expected: Any = None,
    expected_source: str = "",
    config: ArrayConfig | Mapping[str, ArrayConfig | None] | None = None,
    engines: Sequence[str] = ("surrogate",),
    reference: str = "ngspice",
    gates: Gates | None = None,
    confidence: float | None = None,
    bad_tiles: float = 0.001,
    drives: int = 8,
    probes: int = 1,
    all_units: bool = False,
    whole: int = 2000,
    worst_case: bool | Search = False,
    nodes: bool = False,
    trust_error: float = 5e-2,
    corners: bool | Mapping[str, Mapping[str, float]] = False,
    t_read: float = 100e-9,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    title: str = "",
    progress: Progress = lambda stage, count, total: None,
) -> Verification:
    """Verify a model on arrays: import, ranges, every array against a reference, whole forwards.

    Args:
        model: from `nn.convert`, or any model, which is then converted with `config` and calibrated
            on `x`.
        x: inputs of the model: a tensor or array, a tuple of its arguments, a dictionary of those
            by name, or both as ``(tuple, dict)``.
        y: classes of the points, if known.
        expected: outputs for `x` that were made elsewhere (a list or one array); the import gate is
            then judged against them.
        expected_source: who made them, for the report.
        config: for a model that is not converted yet.
        engines: whom to judge.
        reference: whom to judge against.
        gates: what must hold.
        confidence, bad_tiles: solve only so many arrays by the reference that a share `bad_tiles`
            of bad ones is met with this confidence; None: all arrays.
        drives: vectors of the model's own drive that are solved on each array.
        probes: dense probes on each array.
        all_units: also one unit vector a line.
        whole: arrays times points up to which the whole forward is run through the reference, and
            arrays times candidates up to which inputs are searched on which engines differ.
        worst_case: also search the inputs that are furthest from exact products and on which
            engines differ most, for models of one floating-point tensor.
        nodes: also compare every device and keep all node voltages (`Verification.nodes`). The
            devices are compared too where `gates.device` is set.
        trust_error: error up to which the trust map calls a level of the surrogate trusted.
        corners: also outputs at the corners (True: `corners.CORNERS`), gates judged on the worst.
        t_read: length of one pass, s.
        seed: of probes and samples.
        folder: where the answers of the arrays are kept (``tiles.h5``); a stopped verification goes
            on there. None: a temporary folder.
        workers: processes on this machine, 0 for none; None for one a core, or for none where few
            arrays are solved and in a script without ``if __name__ == "__main__":``, which
            processes would run again.
        scheduler: as for `campaign.run`.
        title: of the report.
        progress: called with (stage, count, total).

    Raises:
        InputError: an argument breaks a rule. EngineError: an engine failed.
    """
    inputs = arguments_of(model, x)
    names, labels = check_engines(reference, engines), check_labels(y, inputs)
    search = (Search() if worst_case is True else worst_case) or None
    box = box_of(one_tensor(inputs), search.low, search.high) if search else None
    limits, clock = gates or Gates(), Clock()
    plan = Plan(
        reference=reference,
        engines=names,
        confidence=confidence,
        bad_tiles=bad_tiles,
        probes=probes,
        all_units=all_units,
        devices=nodes or limits.device is not None,
        nodes=nodes,
        limit=limits.current,
        whole=whole,
        search=search,
        seed=seed,
    )
    progress("import", 0, 1)
    circuit = put_on_arrays(model, config, inputs)
    imported = forward.import_gate(circuit, inputs, expected, expected_source)
    exact = forward.exact_outputs(circuit, inputs)
    clock.stop("import")
    progress("forward", 0, 1)
    run = run_forward(circuit, inputs, exact, labels, drives, seed)
    clock.stop("forward")
    answers = solve_sample(
        run, plan, folder=folder, workers=workers, scheduler=scheduler, progress=progress
    )
    clock.stop("arrays")
    mistakes = circuit_mistakes(answers.arrays, answers.checks, limits.current)
    progress("whole forward", 0, 1)
    text, golden = forward.whole_forward(circuit, inputs, len(run.tiles), reference, whole)
    clock.stop("whole forward")
    searches, unsearched = search_inputs(circuit, box, plan, len(run.tiles), progress)
    clock.stop("search")
    progress("costs", 0, 1)
    report = Verification(
        title=title or f"{type(model).__name__} on passive arrays",
        imported=imported,
        coverage=coverage(circuit).record(),
        decisions=_decisions([("surrogate", run.outputs), (reference, golden)], exact, labels),
        whole=text,
        searches=searches,
        searched=unsearched,
        costs=tuple(forward.costs(circuit, inputs, exact, run.outputs)),
        corners=outputs_at_corners(circuit, inputs, exact, labels, corners),
        findings=(*run.findings, *mistakes),
        seconds=clock.seconds,
        **_of_arrays(run, plan, answers, points_of(inputs), trust_error, t_read),
    )
    clock.stop("costs and corners")
    differing = None if golden is None else forward.differing_decisions(run.outputs, golden, labels)
    return replace(
        report,
        gates=tuple(judge(report, limits, differing)),
        unjudged=tuple(find_unjudged(report, limits, differing)),
    )


def _decisions(
    outputs: Sequence[tuple[str, forward.Outputs | None]],
    exact: forward.Outputs,
    labels: np.ndarray | None,
) -> tuple[DecisionRecord, ...]:
    """Outputs of everybody who solved all arrays, beside exact products."""
    return tuple(
        forward.decisions(name, values, exact, labels)
        for name, values in outputs
        if values is not None
    )


def _of_arrays(
    run: Forward, plan: Plan, answers: Answers, points: int, trust_error: float, t_read: float
) -> dict[str, Any]:
    """Entries of the record that follow from the arrays."""
    checks, tiles, drives = answers.checks, run.tiles, run.drives
    return {
        "reference": plan.reference,
        "engines": plan.engines,
        "points": points,
        "sample": answers.sample,
        "tiles": checks,
        "matrices": {
            name: by_matrix(run.ranges, tiles, drives, of_engine, run.x_scale)
            for name, of_engine in checks.items()
        },
        "trust": trust_of([(tile.crossbar, tile.config.V_read) for tile in tiles], trust_error),
        "energy": energy(checks[plan.engines[0]], tiles, drives, points, t_read),
        "methods": answers.methods,
        "nodes": node_voltages(answers, plan.engines) if plan.nodes else {},
    }
