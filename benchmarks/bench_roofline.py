"""How much of the memory bandwidth the ladder solves use, measured beside them on one core.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_roofline

The bandwidth is that of ``c = a + b`` in NumPy, 24 bytes an element, on arrays that fill as much
memory as the solve beside it, or far more than the caches. The bytes of a solve are counted from
the sources, every array of cells once a pass over it, and not measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import xbarspice as xb
from benchmarks.bench_solvers import problem
from xbarspice.surrogate.engine import SurrogateEngine

NUMBERS_AN_ITERATION = 15
"""Read or written for each cell in an iteration: `sweep` 5, `direction` 6, `schur` 4."""
NUMBERS_BESIDE = 57
"""The same outside of the iterations: factors 3, open-circuit voltages and drops 3, elimination and
recovery 10, corrections 6, device currents twice 12, line currents twice 2, residuals 10, error
bound and largest values 11."""
ARRAYS_OF_A_SOLVE = 14
"""Arrays of cells that a solve passes over."""
BURST, ROUNDS = 0.05, 9


class Work(NamedTuple):
    """Solves to time: cells of an array, vectors of a call, and iterations of one vector."""

    name: str
    call: Callable[[], object]
    cells: int
    vectors: int
    iterations: int


def seconds(calls: list[Callable[[], object]]) -> list[float]:
    """Median CPU seconds of the fastest call in each burst; the calls take turns."""
    for call in calls:
        call()
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, taken in zip(calls, samples, strict=True):
            fastest, until = float("inf"), time.perf_counter() + BURST
            while time.perf_counter() < until or fastest == float("inf"):
                begun = time.process_time()
                call()
                fastest = min(fastest, time.process_time() - begun)
            taken.append(fastest)
    return [statistics.median(taken) for taken in samples]


def adding(numbers: int) -> tuple[Callable[[], object], float]:
    """A call that adds arrays of some numbers in all, a few times, and the bytes of it."""
    a, b, c = np.ones((3, max(numbers // 3, 1)))
    times = max(1, 200_000 // a.size)

    def call() -> None:
        for _ in range(times):
            np.add(a, b, out=c)

    return call, 24.0 * a.size * times


def works() -> list[Work]:
    """One vector, many vectors by the ladders, and a large array."""
    engine = SurrogateEngine(threads=1)
    out = []
    for size in (64, 128, 1024):
        crossbar, V = problem(size)
        iterations = xb.solve(crossbar, V, engine=engine).stats.iterations
        out.append(
            Work(
                f"{size}x{size}, 1 vector",
                lambda c=crossbar, v=V: xb.solve(c, v, engine=engine),
                size**2,
                1,
                iterations,
            )
        )
        if size == 64:
            state = engine.prepare(crossbar)
            drive = crossbar.drive(np.random.default_rng(0).uniform(0, 1, (200, size)))
            out.append(
                Work(
                    "64x64, 200 vectors, each by the ladders",
                    lambda c=crossbar, d=drive, s=state: engine.run(s, c, d, False),
                    size**2,
                    200,
                    iterations,
                )
            )
    return out


def main() -> None:
    print(
        "| work | cells x vectors a second | iterations | bytes a cell and vector | GB/s "
        "| of c = a + b on as much memory, GB/s | share | of c = a + b on 200 MB, GB/s | share |\n"
        + "|---" * 9
        + "|"
    )
    far, far_bytes = adding(25_000_000)
    for work in works():
        near, near_bytes = adding(ARRAYS_OF_A_SOLVE * work.cells)
        taken, by_near, by_far = seconds([work.call, near, far])
        moved = 8 * (NUMBERS_AN_ITERATION * work.iterations + NUMBERS_BESIDE)
        rate = work.cells * work.vectors / taken
        used, beside, memory = (
            rate * moved / 1e9,
            near_bytes / by_near / 1e9,
            far_bytes / by_far / 1e9,
        )
        print(
            f"| {work.name} | {rate:.3g} | {work.iterations} | {moved} | {used:.0f} | {beside:.0f} "
            f"| {100 * used / beside:.0f} % | {memory:.0f} | {100 * used / memory:.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
