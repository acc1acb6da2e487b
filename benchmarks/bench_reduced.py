"""Reduced effective matrices against the exact ones: times of one run, errors beside them.

    python -m benchmarks.bench_reduced [--quick]

Uniform conductances of 100 to 500 uS, ohmic devices; the jobs take turns and the best counts.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import xbarspice as xb
from xbarspice.surrogate.dissection.reduced import ReducedMatrix


def main() -> None:
    repeats = 5 if "--quick" in sys.argv else 25
    print("| arrays | R, ohm | exact, us | steps | reduced, us | exact / reduced | error | ideal |")
    print("|---|---|---|---|---|---|---|---|")
    for size, count, R in (
        (8, 4000, 1.0),
        (8, 4000, 5.0),
        (32, 400, 1.0),
        (64, 100, 0.35),
        (64, 100, 1.0),
    ):
        G = np.random.default_rng(0).uniform(100e-6, 500e-6, (count, size, size))
        crossbar = xb.Crossbar(G, R_wl=R, R_bl=R)
        for steps in (1, 2):
            model = ReducedMatrix.of(crossbar, 100e-6, 500e-6, tolerance=1e9)
            model = ReducedMatrix(**{**model.__dict__, "steps": steps})
            error = model.measured(crossbar)
            best = [np.inf, np.inf]
            for _ in range(repeats):
                jobs = (lambda c=crossbar: xb.effective_matrix(c), lambda m=model, g=G: m.matrix(g))
                for k, job in enumerate(jobs):
                    start = time.perf_counter()
                    job()
                    best[k] = min(best[k], time.perf_counter() - start)
            exact, reduced = (1e6 * t / count for t in best)
            V = np.ones((1, size))
            full = V @ xb.effective_matrix(crossbar)
            ideal = np.abs(V @ G - full).max() / np.abs(full).max()
            print(
                f"| {count} x {size}x{size} | {R:g} | {exact:.3g} | {steps} | {reduced:.3g} | "
                f"{exact / reduced:.1f} | {error:.1e} | {ideal:.1e} |"
            )


if __name__ == "__main__":
    main()
