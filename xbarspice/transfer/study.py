"""The transfer study: a model on arrays, programmed many times with the errors of its devices.

Transfer k of a seed is always the same draw, whatever the engine and the number of transfers: a
study of fewer transfers is the beginning of a longer one, and a stopped study goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.campaign import CircuitModel
from xbarspice.core.errors import broken_rule
from xbarspice.core.values import labels_of
from xbarspice.nn import (
    arrays,
    copy_circuit,
    exact_products,
    through,
)
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import arguments_of, circuit_hash, decisions_of, outputs_of
from xbarspice.surrogate.trust import warn_outside
from xbarspice.transfer import study_file
from xbarspice.transfer.circuits import LEVELS, at_level, check_errors, only_on, with_seed
from xbarspice.transfer.programming import (
    Calibration,
    Programming,
    each_transfer,
    packed,
    refuse_nan,
)
from xbarspice.transfer.results import Golden, TransferStudy
from xbarspice.transfer.study_file import Seen
from xbarspice.transfer.workers import Workers

__all__ = ["transfer"]

SAVE_EVERY = 5.0
"""Seconds between writes of an unfinished study, at least."""

Outputs = tuple[Tensor, ...]
Progress = Callable[[int, int], None]


def transfer(
    circuit: nn.Module,
    x: Any,
    y: npt.ArrayLike | None = None,
    *,
    transfers: int = 200,
    seed: int | None = None,
    engine: str = "surrogate",
    golden: int = 0,
    layers: int = 0,
    path: Path | None = None,
    earlier: Path | None = None,
    workers: Workers | None = None,
    procedure: Programming | None = None,
    calibration: Calibration | None = None,
    progress: Progress = lambda count, total: None,
) -> TransferStudy:
    """Transfer a model many times and run all points each time.

    Args:
        circuit: from `nn.convert`, with `ArrayConfig.variation`; it is left as it is.
        x: inputs, a tensor or array, or a tuple of the model's arguments.
        y: classes, (points,); None judges what the errors change.
        transfers: how many.
        seed: of all errors; None keeps the seeds of the circuit.
        engine: who solves the arrays: any engine, or one of `LEVELS`, "ideal" (no wires, linear
            devices) and "matrix" (linear devices).
        golden: so many of the transfers, from the first, also go through ngspice and are compared.
        layers: for every matrix so many transfers with errors on its arrays alone.
        path: HDF5 file of the study; an unfinished or shorter one in it is continued.
        earlier: file of a study whose transfers count too, if it is this very study.
        workers: other processes that compute the transfers; what `golden` and `layers` ask for is
            computed here.
        procedure: how a tester programs every transfer, a `training.Procedure`; None writes every
            device once.
        calibration: inputs and classes that the tester may use, never those of the study.
        progress: called with (transfers done, transfers in all).

    Raises:
        InputError: no matrix has a variation, arrays hold programmed or measured devices, or an
            argument breaks a rule; the procedure needs calibration points; `path` holds another
            study; an output is NaN.
        EngineError, StoreError: as the engine and the store.

    Warns:
        TrustWarning: "ideal" or "matrix" where the trust map does not vouch for it.
    """
    _check(circuit, transfers, golden, layers, engine)
    arguments = arguments_of(circuit, x)
    points = len(arguments[0]) if isinstance(arguments[0], Tensor) and arguments[0].ndim else 1
    labels = None if y is None else labels_of("y", y, points)
    whole = with_seed(circuit, seed)
    run = _Run(whole, arguments, labels, engine, progress, procedure, calibration)
    results = run.through_all(transfers, path, earlier, workers)
    exact = run.exact()
    return TransferStudy(
        engine=engine,
        points=points,
        labels=labels if results.predictions is not None else None,
        predictions=results.predictions,
        clean=run.decide(run.clean),
        exact=exact,
        rms=results.rms,
        golden=run.golden(range(min(golden, transfers))) if golden else None,
        layers=tuple(run.layers(layers)) if layers else (),
        procedure="" if procedure is None else procedure.words,
    )


def _check(circuit: nn.Module, transfers: int, golden: int, layers: int, engine: str) -> None:
    for name, value, low in (
        ("transfers", transfers, 1),
        ("golden", golden, 0),
        ("layers", layers, 0),
    ):
        if value < low:
            raise broken_rule(f"`{name}` must be >= {low}", value, "200 transfers are usual.")
    check_errors(circuit, engine)


class _Run:
    """A circuit, its inputs and its engine."""

    def __init__(
        self,
        circuit: nn.Module,
        arguments: tuple[Any, ...],
        labels: Any,
        engine: str,
        progress: Progress,
        procedure: Programming | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.circuit, self.arguments, self.labels = circuit, arguments, labels
        self.engine, self.progress = engine, progress
        self.procedure, self.calibration = procedure, calibration
        self.solver = "surrogate" if engine in LEVELS else engine
        self.solved = at_level(circuit, engine) if engine in LEVELS else circuit
        if engine in LEVELS:
            level = "linear" if engine == "matrix" else engine
            for array in arrays(circuit):
                warn_outside(level, [array.crossbar], array.V_read)
        self.clean = self.outputs(self.solved)
        self.largest = [float(t.abs().max()) or 1.0 if t.numel() else 1.0 for t in self.clean]

    def outputs(self, circuit: nn.Module) -> Outputs:
        """Outputs as the arrays stand now."""
        with through(self.solver):
            return refuse_nan(outputs_of(circuit, self.arguments))

    def exact(self) -> np.ndarray | None:
        """Decisions with exact products."""
        with exact_products():
            return self.decide(outputs_of(self.circuit, self.arguments))

    def decide(self, outputs: Outputs) -> np.ndarray | None:
        """Decisions, (points,), or None."""
        return decisions_of(outputs, self.labels)

    def change(self, outputs: Outputs) -> float:
        """Difference from the clean outputs, rms over the largest of them."""
        squares = [
            ((a.double() - b.double()) / size).square().flatten()
            for a, b, size in zip(outputs, self.clean, self.largest, strict=True)
        ]
        return float(torch.cat(squares).mean().sqrt())

    def each(
        self, circuit: nn.Module, numbers: range, solver: str | None = None
    ) -> Iterable[Outputs]:
        """Outputs of one transfer after the other."""
        sources = self.procedure, self.calibration
        with through(solver or self.solver):
            yield from each_transfer(circuit, self.arguments, numbers, *sources)

    def through_all(
        self, transfers: int, path: Path | None, earlier: Path | None, workers: Workers | None
    ) -> Seen:
        """All transfers; those that the file holds are not done again."""
        key = self.fingerprint()
        results = study_file.read(path, key)
        if not results.count and study_file.belongs(earlier, key):
            results = study_file.read(earlier, key)
        if workers is not None:
            return self.through_workers(results, transfers, path, workers).part(transfers)
        rms: list[float] = []
        decided: list[np.ndarray] = []
        last = time.perf_counter()
        start = results.count
        try:
            for outputs in self.each(self.solved, range(start, transfers)):
                if (classes := self.decide(outputs)) is not None:
                    decided.append(classes)
                rms.append(self.change(outputs))
                self.progress(start + len(rms), transfers)
                if path is not None and time.perf_counter() > last + SAVE_EVERY:
                    study_file.write(path, key, results.join(rms, decided), self.engine)
                    last = time.perf_counter()
        finally:  # Ctrl-C too leaves what was done
            results = results.join(rms, decided[: len(rms)])
            if path is not None and (rms or not path.exists()):
                study_file.write(path, key, results, self.engine)
        return results.part(transfers)

    def through_workers(
        self, results: Seen, transfers: int, path: Path | None, workers: Workers
    ) -> Seen:
        """The transfers that are not done yet, by other processes."""
        items = workers.parts(results.count, transfers)
        function = functools.partial(
            study_item,
            **workers.pack(self.circuit, self.arguments),
            labels=self.labels,
            engine=self.engine,
            procedure=self.procedure,
            calibration=packed(self.calibration),
        )
        answers = workers.run(
            function,
            items,
            lambda done, _: self.progress(items[done - 1]["end"] if done else 0, transfers),
        )
        rms = [value for part in answers.values for value in part["rms"].tolist()]
        decided = [row for part in answers.values for row in part.get("predictions", ())]
        results = results.join(rms, decided)
        if path is not None and (rms or not path.exists()):
            study_file.write(path, self.fingerprint(), results, self.engine)
        answers.complete()
        return results

    def golden(self, numbers: range) -> Golden:
        """Repeat transfers by ngspice and compare."""
        error, differing, compared = 0.0, None, 0
        outputs = list(self.each(self.solved, numbers))
        for ours, theirs in zip(outputs, self.each(self.circuit, numbers, "ngspice"), strict=True):
            worst = (
                float((a.double() - b.double()).abs().max() / size)
                for a, b, size in zip(ours, theirs, self.largest, strict=True)
            )
            error = float(np.max([error, *worst]))  # NaN stays
            a, b = self.decide(ours), self.decide(theirs)
            if a is not None and b is not None:
                differing = (differing or 0) + int((a != b).sum())
                compared += len(a)
        return Golden(
            transfers=tuple(numbers), error=error, differing=differing, decisions=compared
        )

    def layers(self, count: int) -> Iterable[dict[str, Any]]:
        """What the errors of every matrix alone do."""
        for matrix in matrices_of(self.solved):
            if matrix.config.variation is None:
                continue
            rms, right = [], []
            for outputs in self.each(only_on(self.solved, matrix.name), range(count)):
                rms.append(self.change(outputs))
                decided = self.decide(outputs)
                if decided is not None and self.labels is not None:
                    right.append(float(np.mean(decided == self.labels)))
            yield {
                "matrix": matrix.name,
                "transfers": count,
                "rms": float(np.mean(rms)),
                "accuracy": float(np.mean(right)) if right else None,
                "lowest": min(right) if right else None,
            }

    def fingerprint(self) -> str:
        """Equal for equal studies, whatever the number of transfers."""
        digest = hashlib.sha256(f"{self.engine} {circuit_hash(self.circuit)}".encode())
        sources: tuple[Any, ...] = ()
        if self.procedure is not None:
            digest.update(repr(self.procedure).encode())
            x, y = self.calibration or ((), None)
            sources = (*(x if isinstance(x, tuple) else (x,)), y)
        for value in (*self.arguments, *sources):
            whole = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
            digest.update(repr(value).encode())
            if isinstance(whole, np.ndarray):
                digest.update(np.ascontiguousarray(whole).tobytes())
        digest.update(b"" if self.labels is None else np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


def study_item(
    parameters: Mapping[str, Any],
    *,
    model: CircuitModel,
    x: Any,
    labels: Any,
    engine: str,
    procedure: Programming | None = None,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Some transfers of a study, as an item of a campaign.

    Args:
        parameters: first transfer, and end, the one behind the last.
        model, x: of `Workers.pack`.
        labels, engine, procedure, calibration: of the study.

    Returns:
        rms (transfers,), and of a model that classifies predictions (transfers, points).
    """
    circuit = copy_circuit(model.circuit()).eval()
    arguments = arguments_of(circuit, tuple(x))
    sources = (procedure, calibration)
    run = _Run(circuit, arguments, labels, engine, lambda done, total: None, *sources)
    rms, decided = [], []
    for outputs in run.each(run.solved, range(parameters["first"], parameters["end"])):
        rms.append(run.change(outputs))
        if (classes := run.decide(outputs)) is not None:
            decided.append(classes)
    out: dict[str, Any] = {"rms": np.array(rms)}
    return out | ({"predictions": np.stack(decided)} if decided else {})
