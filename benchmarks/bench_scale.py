"""Very many verifications of 8x8 tiles on a Dask cluster of this machine that loses a worker.

Run ``python -m benchmarks.bench_scale [--count 100000]``; needs ngspice and dask. Every tile is
solved by ngspice and by the surrogate; every second item has ohmic devices, the others sinh. At
40 % one worker process is killed. Before it starts, the cost model says what it will take. Prints
Markdown and writes it beside the page and the campaign file.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Iterator, Sized
from pathlib import Path

import numpy as np

import xbarspice as xb
from benchmarks.__main__ import processor
from xbarspice import campaign
from xbarspice.campaign.cost import Estimate, probe_costs
from xbarspice.campaign.memory import PeakMemory
from xbarspice.campaign.work import Work

TOGETHER = 32
"""Tiles of an item, which share an ngspice process."""
LIMIT = 1e-6
"""Share of the largest current within which the surrogate must agree, as `xb.verify` asks."""
KILL_AT = 0.4


class Tiles(Sized):
    """Items of 32 random 8x8 tiles each, with wires of 1 ohm and one vector a tile."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return -(-self.count // TOGETHER)

    def __iter__(self) -> Iterator[dict[str, object]]:
        rng = np.random.default_rng(2026)
        for k in range(len(self)):
            arrays = min(TOGETHER, self.count - k * TOGETHER)
            G = rng.uniform(100e-6, 500e-6, (arrays, 8, 8))
            device = ("ohmic", "sinh_tio2")[k % 2]
            yield {
                "crossbar": xb.Crossbar(G, R_wl=1.0, R_bl=1.0, device=device),
                "V_in": rng.uniform(0, 0.2, (arrays, 8)),
                "limit": LIMIT,
                "reference_settings": {"workers": 1},
                "label": device,
            }


class Killing(Sized):
    """Items; one worker of the cluster is killed when enough of them are handed out (`at`).

    Not when enough are done: what is done may be told all at once, at the end.
    """

    def __init__(self, items: Tiles, cluster) -> None:
        self.items = items
        self.cluster = cluster
        self.at = int(KILL_AT * len(items))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[dict[str, object]]:
        for k, item in enumerate(self.items):
            if k == self.at:
                os.kill(next(iter(self.cluster.workers.values())).process.pid, signal.SIGKILL)
            yield item


def predict(count: int, workers: int) -> Estimate:
    """What the cost model expects, from a probe now."""
    items = len(Tiles(count))
    works = {
        Work(rows=8, cols=8, arrays=TOGETHER, device=device, engine=engine, engine_workers=1): half
        for device, half in (("ohmic", items - items // 2), ("sinh_tio2", items // 2))
        for engine in ("ngspice", "surrogate")
    }
    return probe_costs(works, workers=workers).estimate(works, items)


def verify_tiles(count: int, folder: Path, workers: int) -> dict[str, object]:
    """Run the campaign; what it did, checked against what was asked for."""
    from distributed import LocalCluster

    path = folder / "scale.h5"
    path.unlink(missing_ok=True)
    expected = predict(count, workers)
    print(f"expected: {expected}", flush=True)
    load, cpu = os.getloadavg()[0], os.times()
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(folder / "dask"),
    ) as cluster:
        items = Killing(Tiles(count), cluster)
        with PeakMemory(every=0.5) as memory:
            summary = campaign.run(
                items,
                campaign.verify_item,
                path,
                scheduler=cluster.scheduler_address,
                page=folder / "scale.html",
            )
    after = os.times()
    results = campaign.load(path)
    errors = np.concatenate([values["error"] for values in results.values()])
    assert summary.finished == len(items) == len(results)
    assert summary.failed == 0
    assert len(errors) == count
    solving = results.seconds().sum()
    return {
        "verifications": count,
        "items": len(items),
        "failed": summary.failed,
        "largest error": f"{errors.max():.1e}",
        "workers at the start": workers,
        "killed at item": items.at,
        "workers lost": summary.lost,
        "items begun again": summary.again,
        "seconds": round(summary.seconds, 1),
        "seconds, as predicted by a probe before": round(expected.seconds, 1),
        "verifications a second": round(count / summary.seconds, 1),
        "ms in an item's function, a tile": round(1e3 * solving / count, 3),
        "CPU seconds of this process and those below it": round(sum(after[:4]) - sum(cpu[:4])),
        "CPU seconds of the solves, as predicted": round(expected.cpu_seconds),
        "most memory of this process and those below it, MiB": round(memory.bytes / 2**20),
        "memory of the workers, as predicted, MiB": round(expected.memory / 2**20),
        "bytes of the file, a tile": round(path.stat().st_size / count),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "load before and after": f"{load:.1f}, {os.getloadavg()[0]:.1f}",
        "nice": os.nice(0),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="verifications")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    figures = verify_tiles(options.count, options.out, options.workers)
    text = "| what | figure |\n|---|---|\n"
    text += "".join(f"| {name} | {value} |\n" for name, value in figures.items())
    (options.out / "scale.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
