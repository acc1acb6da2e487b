"""Steps of `xb.verify`: onto arrays, a forward, answers for a sample of arrays, searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import RangeRecord, Tile, convert, copy_circuit, crossbar_layers
from xbarspice.nn import tiles as tiles_in
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import decisions_of
from xbarspice.verification.circuit_findings import circuit_findings
from xbarspice.verification.clock import Progress
from xbarspice.verification.finding import Finding, with_hints
from xbarspice.verification.inputs import Box
from xbarspice.verification.results import SampleRecord, SearchRecord, TileCheck
from xbarspice.verification.solves import Vectors, solve_arrays
from xbarspice.verification.tiles import Drives, draw_sample, record_drives, tile_check, tile_item
from xbarspice.verification.worst import (
    Search,
    candidates,
    worst_between_engines,
    worst_of_ideal,
)

__all__ = [
    "Answers",
    "Forward",
    "Plan",
    "node_voltages",
    "put_on_arrays",
    "run_forward",
    "search_inputs",
    "solve_sample",
]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared with whom; see the arguments of `xb.verify`.

    Attributes:
        engines: names of the judged engines.
        devices: whether every device is compared.
        limit: of a current's error.
        search: how worst inputs are looked for; None: they are not.
    """

    reference: str
    engines: tuple[str, ...]
    confidence: float | None
    bad_tiles: float
    probes: int
    all_units: bool
    devices: bool
    nodes: bool
    limit: float
    whole: int
    search: Search | None
    seed: int


def put_on_arrays(
    model: nn.Module,
    config: ArrayConfig | Mapping[str, ArrayConfig | None] | None,
    inputs: tuple[Any, ...],
) -> nn.Module:
    """A copy of the model on arrays, in evaluation.

    Raises:
        InputError: a configuration for a model that is on arrays already.
    """
    if not crossbar_layers(model):
        model = convert(model, config, calibrate=inputs)
    elif config is not None:
        raise broken_rule(
            "`config` is for a model that is not on arrays yet",
            "a converted model",
            "Leave it out.",
        )
    return copy_circuit(model).eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class Forward:
    """A forward of a model through the surrogate.

    Attributes:
        tiles: all array reads.
        drives: some of the voltages that it gave them.
        outputs: of the model.
        ranges, x_scale: of every matrix, by name: what it saw, and the range of its inputs.
        findings: what is suspicious about the model.
    """

    tiles: Sequence[Tile]
    drives: Drives
    outputs: tuple[Tensor, ...]
    ranges: dict[str, RangeRecord]
    x_scale: dict[str, float]
    findings: list[Finding]


def run_forward(
    circuit: nn.Module,
    inputs: tuple[Any, ...],
    exact: tuple[Tensor, ...],
    labels: np.ndarray | None,
    limit: int,
    seed: int,
) -> Forward:
    """Run all inputs through the surrogate, keep `limit` drives a matrix, look for mistakes.

    Args:
        circuit, inputs: the model on arrays and its arguments.
        exact: its outputs with exact products.
        labels: classes, (points,), or None.
        limit: drives kept of every matrix.
        seed: of the drives that are kept.
    """
    for matrix in matrices_of(circuit):
        matrix.ranges.reset()
    drives, outputs = record_drives(circuit, inputs, limit, seed)
    matrices, tiles = list(matrices_of(circuit)), tiles_in(circuit)
    return Forward(
        tiles=tiles,
        drives=drives,
        outputs=outputs,
        ranges={matrix.name: replace(matrix.ranges) for matrix in matrices},
        x_scale={matrix.name: matrix.config.x_scale for matrix in matrices},
        findings=circuit_findings(circuit, tiles, drives, labels, decisions_of(exact, labels)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What the reference and the engines say of a sample of arrays.

    Attributes:
        sample: which arrays were solved.
        arrays: each with its work item, by name.
        results: of every array, in order.
        checks: one an array, by engine.
    """

    sample: SampleRecord
    arrays: dict[str, tuple[Tile, Mapping[str, Any]]]
    results: Sequence[Mapping[str, Any]]
    checks: dict[str, tuple[TileCheck, ...]]

    @property
    def methods(self) -> tuple[str, ...]:
        """How the reference answered."""
        return tuple(dict.fromkeys(str(result["method"]) for result in self.results))


def solve_sample(
    run: Forward,
    plan: Plan,
    *,
    folder: str | Path | None,
    workers: int | None,
    scheduler: str | None,
    progress: Progress,
) -> Answers:
    """Solve a sample of the arrays by everybody, with the model's drives and dense probes.

    Raises:
        EngineError: an engine failed; it says what was suspicious before.
    """
    numbers, sample = draw_sample(run.tiles, plan.confidence, plan.bad_tiles, plan.seed)
    tiles = [run.tiles[k] for k in numbers]
    vectors = Vectors(run.drives, probes=plan.probes, all_units=plan.all_units, seed=plan.seed)
    items = [
        tile_item(
            tile,
            *vectors.of(tile),
            plan.reference,
            plan.engines,
            devices=plan.devices,
            nodes=plan.nodes,
        )
        for tile in tiles
    ]
    try:
        results = solve_arrays(items, folder, workers, scheduler, progress)
    except EngineError as error:
        raise with_hints(error, run.findings) from error
    return Answers(
        sample=sample,
        arrays={tile.name: (tile, item) for tile, item in zip(tiles, items, strict=True)},
        results=results,
        checks={
            name: tuple(
                tile_check(tile, result, name, vectors.counts(tile), plan.limit)
                for tile, result in zip(tiles, results, strict=True)
            )
            for name in plan.engines
        },
    )


def search_inputs(
    circuit: nn.Module, box: Box | None, plan: Plan, arrays: int, progress: Progress
) -> tuple[tuple[SearchRecord, ...], str]:
    """The worst inputs by search, and what was left out.

    Args:
        circuit: the model on arrays.
        box: smallest and largest input; None where no search was asked for.
        plan: with the search.
        arrays: how many the model has, of which `plan.whole` times candidates are affordable.
        progress: called with (stage, steps done, steps in all).
    """
    search = plan.search
    if box is None or search is None:
        return (), ""
    ideal = worst_of_ideal(
        circuit,
        box,
        child_rng(plan.seed, "worst of ideal"),
        search,
        lambda count, total: progress("search: exact products", count, total),
    )
    count, budget = candidates(search) + 1, plan.whole // max(arrays, 1)
    if count > budget:
        return (ideal,), (
            f"Inputs on which engines differ were not searched: {count} candidates exceed the "
            f"{budget} that the budget of whole forwards allows for these arrays (`whole`)."
        )
    between = worst_between_engines(
        circuit,
        box,
        child_rng(plan.seed, "worst between engines"),
        search,
        engines=plan.engines,
        reference=plan.reference,
        also=[box[0].new_tensor(ideal.x)],
        progress=lambda count, total: progress("search: engines", count, total),
    )
    return (ideal, between), ""


def node_voltages(answers: Answers, engines: Sequence[str]) -> dict[str, Any]:
    """Line and node voltages of every array by its number, with its name, for HDF5."""
    out: dict[str, Any] = {}
    items = [item for _, item in answers.arrays.values()]
    for number, (item, result) in enumerate(zip(items, answers.results, strict=True)):
        entry = {"name": item["label"], "V_in": item["V_in"], "V_out": item["V_out"]}
        entry |= {"reference": {name: result[name] for name in ("V_wl", "V_bl")}}
        for engine in engines:
            entry[engine] = {name: result[f"{engine}/{name}"] for name in ("V_wl", "V_bl")}
        out[f"array{number}"] = entry
    return out
