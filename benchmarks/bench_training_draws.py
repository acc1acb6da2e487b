"""Training steps on drawn transfers, against plain steps, as ratios measured in one run.

    python -m benchmarks.bench_training_draws [--quick] [--out benchmarks/out]

Writes training_draws.json (the figures) and training_draws.md (the tables). A step of 784-100-10 in
float32 on 32x32 arrays with 16 draws of the errors of arXiv:2305.18495 and 64 points stands beside
16 steps of ``nn.Linear`` layers and 16 of ideal differences of two matrices, all with their
backward pass and optimiser. Times are the best of interleaved repetitions, on one thread and on all
cores; processor time of the calling thread stands beside them where there is one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

import xbarspice as xb
from benchmarks.bench_training import IdealPair, Record, processor, table
from xbarspice.config import DataConfig
from xbarspice.training import ErrorDraws
from xbarspice.training.data import half_moons
from xbarspice.training.objectives import LOSSES, loss_of_points, mean_loss

DRAWS, POINTS = 16, 64
REPEATED = 20
"""Steps of a small network that are timed together."""
MOONS = half_moons(DataConfig())


def best(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Best wall time and best processor time of this thread, s, of each job; they take turns."""
    out = dict.fromkeys(jobs, (float("inf"), float("inf")))
    for _ in range(repeats + 1):  # the first round loads caches and kernels
        for name, job in jobs.items():
            wall, own = time.perf_counter(), time.thread_time()
            job()
            now = time.perf_counter() - wall, time.thread_time() - own
            out[name] = min(out[name][0], now[0]), min(out[name][1], now[1])
    return out


def plain_steps(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, count: int
) -> Callable[[], None]:
    """So many ordinary steps of a model."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)  # same numbers every time

    def run() -> None:
        for _ in range(count):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()

    return run


def drawn_step(
    plain: nn.Module, x: torch.Tensor, y: torch.Tensor, circuit: str
) -> Callable[[], None]:
    """One step on draws of the errors of all arrays."""
    errors = xb.variability.drolet_2023()
    config = xb.ArrayConfig(tile_rows=32, tile_cols=32, dtype="float32", variation=errors)
    model = xb.nn.convert(plain, config).train()
    draws = ErrorDraws(model, draws=DRAWS, stuck="stratified", circuit=circuit)  # type: ignore[arg-type]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    targets, number = y.repeat(DRAWS), [0]

    def run() -> None:
        number[0] += 1
        draws.begin(f"step {number[0]}", first=DRAWS * number[0])
        optimiser.zero_grad()
        nn.functional.cross_entropy(draws.outputs(x).flatten(0, 1), targets).backward()
        optimiser.step()

    return run


def steps(repeats: int, threads: int) -> list[Record]:
    """A step with draws over as many plain ones."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    ideal = nn.Sequential(IdealPair(plain[0]), nn.ReLU(), IdealPair(plain[2]))
    x, y = torch.rand(POINTS, 784), torch.randint(0, 10, (POINTS,))
    jobs = {
        "nn.Linear": plain_steps(plain, x, y, DRAWS),
        "differences": plain_steps(ideal, x, y, DRAWS),
        **{
            circuit: drawn_step(plain, x, y, circuit)
            for circuit in ("shared_gradient", "exact", "ideal")
        },
    }
    t = best(jobs, repeats)
    rows: list[Record] = []
    for circuit in ("shared_gradient", "exact", "ideal"):
        wall, own = (
            {name: (t[circuit][k] / t[name][k]) for name in ("nn.Linear", "differences")}
            for k in (0, 1)
        )
        rows.append(
            {
                "circuit": circuit,
                "threads": threads,
                "ms_a_step": t[circuit][0] * 1e3,
                f"ms_of_{DRAWS}_nn_Linear_steps": t["nn.Linear"][0] * 1e3,
                f"times_{DRAWS}_nn_Linear_steps": wall["nn.Linear"],
                "target": 40 if circuit == "shared_gradient" else None,
                f"times_{DRAWS}_differential_steps": wall["differences"],
                "times_nn_Linear_in_processor_time": own["nn.Linear"] if threads == 1 else None,
            }
        )
    return rows


def of_one(circuit: str, device: str, draws: int) -> Callable[[], None]:
    """Steps of a 2-8-1 network on one folded array, `REPEATED` at a time."""
    x = torch.as_tensor(MOONS.x_train).float()
    y = torch.as_tensor(MOONS.y_train)
    config = xb.ArrayConfig(
        layout="folded",
        tile_rows=8,
        tile_cols=8,
        device=device,
        dtype="float32",
        variation=xb.variability.drolet_2023(),
    )
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1))
    model = xb.nn.convert(plain, config, calibrate=x).train()
    sampled = ErrorDraws(model, draws=draws, stuck="every_device", circuit=circuit)  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.0)

    def run() -> None:
        for number in range(REPEATED):
            sampled.begin(f"step {number}")
            optimiser.zero_grad()
            answers = sampled.outputs(x)
            losses = loss_of_points(LOSSES["binary"], answers, y).mean(dim=1)
            mean_loss(losses, sampled.weights).backward()
            optimiser.step()

    return run


def small_networks(repeats: int) -> list[Record]:
    """2-8-1 on one folded array, all training points, one draw a device beside 16."""
    torch.set_num_threads(1)
    rows: list[Record] = []
    for circuit, device in (
        ("ideal", "ohmic"),
        ("shared_gradient", "ohmic"),
        ("shared_gradient", "sinh_tio2"),
    ):
        (_, own), *_ = best({"steps": of_one(circuit, device, 16)}, repeats).values()
        rows.append({"circuit": circuit, "device": device, "ms_a_step": own / REPEATED * 1e3})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two repetitions instead of nine")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"))
    options = parser.parse_args()
    repeats = 2 if options.quick else 9
    load = os.getloadavg()[0]
    cores = os.cpu_count() or 1
    result = {
        "processor": processor(),
        "cores": cores,
        "load_before": load,
        "steps": [row for n in sorted({1, cores}) for row in steps(repeats, n)],
        "small_networks": small_networks(max(repeats // 3, 1)),
        "load_after": os.getloadavg()[0],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "training_draws.json").write_text(json.dumps(result, indent=2) + "\n")
    text = (
        f"# Training on drawn transfers\n\n{processor()}, {cores} cores, load {load:.1f} to "
        f"{result['load_after']:.1f}.\n\n## {DRAWS} draws a step\n\n{table(result['steps'])}\n\n"  # type: ignore[arg-type]
        "## 2-8-1 on one folded array (processor time, one thread)"
        f"\n\n{table(result['small_networks'])}\n"  # type: ignore[arg-type]
    )
    (options.out / "training_draws.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
