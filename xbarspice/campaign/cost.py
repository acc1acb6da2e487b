"""What a campaign will take: a short probe on this machine, fitted, and the sum over its solves.

The probe is a small campaign of random arrays of the devices and engines that are asked for, at
sizes and numbers of vectors between the smallest and the largest of them, in as many workers as the
campaign is to have. Of each solve it notes CPU time and memory; both are fitted by the terms of
`Work` with coefficients that are not negative (`scipy.optimize.nnls`, relative errors). Wall-clock
time follows from the CPUs that the workers got meanwhile: it holds while the machine has as much
else to do as it had then.
"""

from __future__ import annotations

import importlib
import math
import os
import resource
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from xbarspice.campaign.memory import PeakMemory
from xbarspice.campaign.results import load
from xbarspice.campaign.runner import run
from xbarspice.campaign.work import Work
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.types import Array

__all__ = ["CostModel", "Estimate", "measure_item", "probe_costs"]

FACTOR = 1.5
"""An estimate says this much either way, if its probe was met so well: a rule, no confidence."""
MOST_CELLS = 4096
MOST_NUMBERS = 2**15
"""Cells, and cells times vectors times arrays, of the largest array that a probe solves: beyond it
the fit is extrapolated."""
ENOUGH = 0.05
"""Seconds of CPU time after which a solve of the probe is not repeated."""
MOST_REPEATS = 4
EMPTY = 200
"""Empty items, by which the campaign's own work is measured."""

Kind = tuple[str, str]
"""Engine and device."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a campaign is expected to take.

    Attributes:
        seconds: wall-clock time; between `low` and `high`.
        low, high: `seconds` over and times `FACTOR`, or the `CostModel.spread` if that is larger.
        cpu_seconds: of all processes.
        memory: of all workers and what they start, bytes, if all are at their largest together.
    """

    seconds: float
    low: float
    high: float
    cpu_seconds: float
    memory: float


@dataclass(frozen=True, kw_only=True, eq=False)
class CostModel:
    """Costs as they were on this machine when it was probed.

    Attributes:
        workers: processes of the probe and of what is estimated.
        time, memory: coefficients of `Work.time_terms` (CPU seconds) and `Work.memory_terms`
            (bytes), by engine and device.
        spread: largest error of the fitted times, as a factor, over the solves of the probe.
        cpus: CPUs that all workers together got.
        item_seconds: what a worker spends on an item besides the item.
        start_seconds: until the workers are ready.
        seconds: that the probe took.
    """

    workers: int
    time: Mapping[Kind, Array]
    memory: Mapping[Kind, Array]
    spread: float
    cpus: float
    item_seconds: float
    start_seconds: float
    seconds: float

    def cpu_seconds(self, work: Work) -> float:
        """CPU time of one call.

        Raises:
            InputError: that engine or device was not probed.
        """
        return float(self._coefficients(self.time, work) @ work.time_terms())

    def memory_of(self, work: Work) -> float:
        """Memory of a worker that does it, with what it starts, bytes.

        Raises:
            InputError: that engine or device was not probed.
        """
        return float(self._coefficients(self.memory, work) @ work.memory_terms())

    def estimate(
        self, works: Mapping[Work, int], items: int, *, other_cpu_seconds: float = 0.0
    ) -> Estimate:
        """Time and memory of a campaign.

        Args:
            works: how often each call of an engine happens in all items together.
            items: of the campaign.
            other_cpu_seconds: what all items together take besides.

        Raises:
            InputError: an engine or device was not probed.
        """
        cpu = other_cpu_seconds + sum(n * self.cpu_seconds(work) for work, n in works.items())
        busy = cpu / self.cpus + items * self.item_seconds / self.workers
        seconds = self.start_seconds + busy
        factor = max(FACTOR, self.spread)
        return Estimate(
            seconds=seconds,
            low=seconds / factor,
            high=seconds * factor,
            cpu_seconds=cpu,
            memory=self.workers * max((self.memory_of(work) for work in works), default=0.0),
        )

    def _coefficients(self, of: Mapping[Kind, Array], work: Work) -> Array:
        kind = (work.engine, work.device)
        if kind not in of:
            raise broken_rule(
                "costs are known of engines and devices that were probed",
                f"{work.engine} with {work.device}",
                f"Probe it too; known are {sorted(of)}.",
            )
        return of[kind]


def measure_item(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Solve random arrays, and note what it took; an empty item without them.

    Args:
        parameters: imports (modules that the campaign's function needs), seed, and the attributes
            of a `Work`; without ``rows`` nothing is solved.

    Returns:
        worker (its process), begin and end (of the monotonic clock, s), and of a solve cpu_seconds
        and seconds of a call, and memory, bytes.
    """
    for module in parameters.get("imports", ()):
        importlib.import_module(module)
    begin = time.monotonic()
    costs = _measure_solve(parameters) if "rows" in parameters else {}
    return {"worker": os.getpid(), "begin": begin, "end": time.monotonic()} | costs


def _measure_solve(parameters: Mapping[str, Any]) -> dict[str, Any]:
    names = set(Work.__dataclass_fields__)
    work = Work(**{name: value for name, value in parameters.items() if name in names})
    crossbar, V_in = work.example(int(parameters["seed"]))
    engine = work.solver()
    engine.solve(engine.prepare(crossbar), crossbar, V_in[:1])  # kernels are loaded
    repeats, wall, cpu = 0, time.perf_counter(), _cpu_seconds()
    with PeakMemory() as memory:
        while repeats < MOST_REPEATS and (_cpu_seconds() - cpu < ENOUGH or not repeats):
            engine.solve(engine.prepare(crossbar), crossbar, V_in)
            repeats += 1
    return {
        "cpu_seconds": (_cpu_seconds() - cpu) / repeats,
        "seconds": (time.perf_counter() - wall) / repeats,
        "memory": memory.bytes,
    }


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def probe_costs(
    works: Iterable[Work], *, workers: int | None = None, imports: Sequence[str] = ()
) -> CostModel:
    """Measure on this machine, now, what such work costs.

    Args:
        works: what is to be estimated: the probe covers the sizes, batches and numbers of vectors
            between the smallest and the largest of each engine and device (up to `MOST_CELLS`).
        workers: processes at the same time; None for one a core.
        imports: modules that the campaign's function needs; they belong to the start of a worker.

    Raises:
        InputError: no work, or fewer than one worker.
        EngineError: a solve of the probe failed.
    """
    wanted = list(works)
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    if not wanted or count < 1:
        raise broken_rule(
            "a probe needs work and at least 1 worker", f"{len(wanted)}, {count}", "Give both."
        )
    begin = time.perf_counter()
    grid = [work for kind in _kinds(wanted).values() for work in _grid(kind)]
    empty, solved, start = _run(grid, count, list(imports))
    kinds = {(work.engine, work.device) for work in wanted}
    rows = {kind: [k for k, w in enumerate(grid) if (w.engine, w.device) == kind] for kind in kinds}
    fitted = {
        kind: _fit([grid[k] for k in some], [solved[k] for k in some])
        for kind, some in rows.items()
    }
    cpu = sum(values["cpu_seconds"] for values in solved)
    wall = sum(values["seconds"] for values in solved)
    return CostModel(
        workers=count,
        time={kind: fit[0] for kind, fit in fitted.items()},
        memory={kind: fit[1] for kind, fit in fitted.items()},
        spread=max(fit[2] for fit in fitted.values()),
        cpus=count * cpu / wall,
        item_seconds=empty,
        start_seconds=start,
        seconds=time.perf_counter() - begin,
    )


def _kinds(works: Sequence[Work]) -> dict[tuple[Any, ...], list[Work]]:
    out: dict[tuple[Any, ...], list[Work]] = {}
    for work in works:
        out.setdefault((work.engine, work.device, work.engine_workers), []).append(work)
    return out


def _grid(works: Sequence[Work]) -> list[Work]:
    """Each of three sizes with few and many arrays and vectors, within what a probe may take."""
    sides = _steps([math.sqrt(work.cells) for work in works], math.isqrt(MOST_CELLS))
    batches = _steps([work.arrays for work in works], 64)
    vectors = _steps([work.vectors for work in works], 256)
    shapes = {
        (batches[0], vectors[0]),
        (batches[-1], vectors[0]),
        (batches[0], vectors[-1]),
        (batches[len(batches) // 2], vectors[len(vectors) // 2]),
    }
    grid = [
        replace(works[0], rows=n, cols=n, arrays=arrays, vectors=many)
        for n in sides
        for arrays, many in shapes
        if n * n * arrays * many <= MOST_NUMBERS or (arrays, many) == (batches[0], vectors[0])
    ]
    return sorted(grid, key=lambda work: work.cells * work.arrays * work.vectors)


def _steps(values: Sequence[float], most: int) -> list[int]:
    low, high = (min(max(1, round(v)), most) for v in (min(values), max(values)))
    return sorted({low, round(math.sqrt(low * high)), high})


def _run(
    grid: Sequence[Work], workers: int, imports: list[str]
) -> tuple[float, list[dict[str, Any]], float]:
    """Run the probe: seconds of a worker beside each item, what was measured, start and end."""
    idle = [{"empty": k, "imports": imports} for k in range(EMPTY)]
    solves = [
        {name: getattr(work, name) for name in Work.__dataclass_fields__} | {"seed": k}
        for k, work in enumerate(grid)
    ]
    with tempfile.TemporaryDirectory(prefix="xbarspice-") as folder:
        path = Path(folder) / "probe.h5"
        summary = run([*idle, *solves], measure_item, path, workers=workers)
        measured = load(path)
    if summary.failed:
        failure = next(iter(measured.failures.values()))
        raise EngineError(f"the solves of a probe must succeed; {failure.error}: {failure.text}")
    worker, begin, end = (measured.column(name) for name in ("worker", "begin", "end"))
    lanes = [worker == one for one in np.unique(worker)]
    spans = [float(end[lane].max() - begin[lane].min()) for lane in lanes]
    beside = max(sum(spans) - float((end - begin).sum()), 0.0) / summary.items
    start = summary.seconds - float(end.max() - begin.min())
    return beside, [dict(v) for v in measured.values() if "memory" in v], start


def _fit(
    works: Sequence[Work], measured: Sequence[Mapping[str, Any]]
) -> tuple[Array, Array, float]:
    """Coefficients of time and memory, and the largest factor by which a fitted time is off."""
    fits = []
    for name, terms in (("cpu_seconds", Work.time_terms), ("memory", Work.memory_terms)):
        target = np.array([float(values[name]) for values in measured])
        relative = np.array([terms(work) for work in works]) / target[:, None]
        scale = relative.max(axis=0)
        coefficients, _ = nnls(relative / scale, np.ones(len(works)))
        fits.append((coefficients / scale, relative @ (coefficients / scale)))
    (seconds, shares), (memory, _) = fits
    return seconds, memory, float(np.maximum(shares, 1 / shares).max())
