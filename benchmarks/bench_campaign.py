"""What a campaign costs on top of its solves: per item, to start, to read. Prints Markdown.

Run ``python -m benchmarks.bench_campaign [--dask]``; needs ngspice.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xbarspice as xb
from xbarspice import campaign

TARGET = 0.10


def solves(count, engine="ngspice"):
    rng = np.random.default_rng(7)
    return [
        {
            "crossbar": xb.Crossbar(rng.uniform(100e-6, 500e-6, (8, 8)), R_wl=1.0, R_bl=1.0),
            "V_in": rng.uniform(0, 0.2, 8),
            "engine": engine,
        }
        for _ in range(count)
    ]


def seconds_of(items, function, path, **how):
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    summary = campaign.run(items, function, path, **how)
    assert summary.finished == len(items)
    return time.perf_counter() - start


def bare(items):
    """Seconds a solve in a loop that stores nothing."""
    campaign.solve_item(items[0])
    start = time.perf_counter()
    for item in items:
        campaign.solve_item(item)
    return (time.perf_counter() - start) / len(items)


def solve_and_stamp(parameters):
    """A solve, with the worker and the time at which it began and ended."""
    begin = time.monotonic()
    out = campaign.solve_item(parameters)
    return out | {"worker": os.getpid(), "begin": begin, "end": time.monotonic()}


def nothing(parameters):
    begin = time.monotonic()
    values = {"I_out": np.zeros(8), "I_in": np.zeros(8), "method": "none", "notes": ""}
    return values | {"worker": os.getpid(), "begin": begin, "end": time.monotonic()}


def measure(name, items, function, path, **how):
    """Overhead: what a worker does between the begin of its first and the end of its last item,
    other than the items; start and end of the whole campaign are the last column."""
    wall = seconds_of(items, function, path, **how)
    results = campaign.load(path)
    worker, begin, end = (results.column(n) for n in ("worker", "begin", "end"))
    inside = float((end - begin).sum())
    lanes = [worker == w for w in np.unique(worker)]
    spans = [float(end[lane].max() - begin[lane].min()) for lane in lanes]
    over = sum(spans) - inside
    start_and_end = wall - max(spans)
    share = f"{100 * over / inside:.1f} %" if inside > 1e-3 * len(items) else "-"
    print(
        f"| {name} | {len(items)} | {1e3 * inside / len(items):.2f} | "
        f"{1e3 * over / len(items):.3f} | {share} | {start_and_end:.2f} |"
    )
    return over / inside


HEAD = (
    "| campaign | items | solve, ms | overhead, ms an item | share | start and end, s |\n"
    "|---|---|---|---|---|---|"
)


def local(path):
    some, cores = solves(200), len(os.sched_getaffinity(0))
    empty = [{"n": n, "V_in": np.zeros(8)} for n in range(5000)]
    print(f"bare 8x8 ngspice solve in a loop: {1e3 * bare(some[:100]):.2f} ms; {cores} cores\n")
    print(HEAD)
    share = measure("ngspice, 1 worker", some, solve_and_stamp, path, workers=1)
    measure(f"ngspice, {cores} workers", some, solve_and_stamp, path, workers=cores)
    measure("nothing, 1 worker", empty, nothing, path, workers=1)
    measure("nothing, this process", empty, nothing, path, workers=0)
    begin = time.perf_counter()
    results = campaign.load(path)
    results.column("I_out")
    read = time.perf_counter() - begin
    size = path.stat().st_size / len(empty)
    begin = time.perf_counter()
    campaign.run(empty, nothing, path, resume=True)
    resume = time.perf_counter() - begin
    print(
        f"\n5000 results: read in {read:.2f} s, {size:.0f} bytes each; resume with nothing to do "
        f"{resume:.2f} s"
    )
    return share


def dask(path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        print(f"\n{HEAD}")
        name = "ngspice, Dask, 2 workers"
        measure(name, solves(200), solve_and_stamp, path, scheduler=cluster.scheduler_address)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.h5"
        share = local(path)
        if "--dask" in sys.argv:
            dask(path)
    verdict = "met" if share <= TARGET else "MISSED"
    print(f"\noverhead on a bare 8x8 solve: {100 * share:.1f} %, target <= 10 %: {verdict}")


if __name__ == "__main__":
    main()
