"""Effective matrices, their gradients and a training step, as ratios measured in one run.

    python -m benchmarks.bench_training [--quick] [--out benchmarks/out]

Writes training.json (the figures) and training.md (the table). Times are the best of several
interleaved repetitions on all cores; errors stand beside them. The training steps run twice, each
time with their ideal peer in a process of their own: with the threads of torch as they are (after
every product they keep their cores busy for some milliseconds) and with `OMP_WAIT_POLICY=passive`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import xbarspice as xb
from xbarspice.surrogate.dissection.matrix import effective_matrix, reduce

Record = dict[str, object]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def best(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Best time of each job in seconds; the jobs take turns."""
    out = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats + 1):  # the first round loads caches and kernels
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            out[name] = min(out[name], time.perf_counter() - start)
    return out


def conductances(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).uniform(1 / 15e3, 1 / 5e3, shape)


def matrices(repeats: int) -> list[Record]:
    """Batches of arrays: G_eff alone, G_eff with its reverse mode, and the error."""
    rows: list[Record] = []
    for size, arrays, target in ((8, 4000, 5.0), (16, 2000, None), (32, 800, None), (64, 500, 1e3)):
        crossbar = xb.Crossbar(conductances((arrays, size, size)))
        one = xb.Crossbar(crossbar.G[0])
        exact = xb.solve(one, np.eye(size), engine="nodal").I_out
        for dtype in (np.float64, np.float32):
            M = np.ones(crossbar.G.shape, dtype)
            reduced = reduce(crossbar, dtype=dtype, keep=True)
            t = best(
                {
                    "forward": lambda c=crossbar, d=dtype: effective_matrix(c, dtype=d),
                    "kept": lambda c=crossbar, d=dtype: reduce(c, dtype=d, keep=True),
                    "backward": lambda r=reduced, m=M: r.reverse(m),
                },
                repeats,
            )
            rows.append(
                {
                    "arrays": f"{arrays} x {size}x{size}",
                    "dtype": np.dtype(dtype).name,
                    "us_an_array": t["forward"] / arrays * 1e6,
                    "target_us": target,
                    "backward_over_forward": t["backward"] / t["forward"],
                    "backward_over_forward_that_keeps_factors": t["backward"] / t["kept"],
                    "error": float(np.abs(reduced.G_eff[0] / exact - 1).max()),
                }
            )
    return rows


def single_vectors(repeats: int) -> list[Record]:
    """One vector a solve: backward against forward through the adjoint."""
    from xbarspice.surrogate import adjoint

    rows: list[Record] = []
    for device in ("ohmic", "sinh_tio2"):
        for size in (64, 128):
            crossbar = xb.Crossbar(conductances((size, size)), device=device)
            drive = crossbar.drive(np.full(size, 0.2))
            _raw, saved = adjoint.forward(crossbar, drive)
            ones = np.ones((1, size))
            t = best(
                {
                    "forward": lambda c=crossbar, d=drive: adjoint.forward(c, d),
                    "backward": lambda s=saved, o=ones: adjoint.backward(s, I_out=o),
                },
                4 * repeats,
            )
            rows.append(
                {
                    "array": f"{size}x{size} {device}",
                    "ms_forward": t["forward"] * 1e3,
                    "backward_over_forward": t["backward"] / t["forward"],
                }
            )
    return rows


class IdealPair(torch.nn.Module):
    """A layer as an ideal difference of two non-negative matrices."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.pos = torch.nn.Parameter(layer.weight.detach().clamp(min=0))
        self.neg = torch.nn.Parameter((-layer.weight.detach()).clamp(min=0))
        self.bias = torch.nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.pos.mT - x @ self.neg.mT + self.bias


def training(repeats: int) -> list[Record]:
    """Steps of an MLP 784-100-10 at batch 128 against ideal pairs and against nn.Linear."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(
        torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
    )
    ideal = torch.nn.Sequential(IdealPair(plain[0]), torch.nn.ReLU(), IdealPair(plain[2]))
    x, y = torch.rand(128, 784), torch.randint(0, 10, (128,))

    def step(model: torch.nn.Module) -> Callable[[], None]:
        optimiser = torch.optim.SGD(model.parameters(), lr=0.0)  # same numbers every time

        def run() -> None:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()

        return run

    models = {"ideal": ideal, "plain": plain}
    for tile in (32, 128):
        for dtype in (torch.float32, torch.float64):
            config = xb.nn.CrossbarConfig(tile_rows=tile, tile_cols=tile, dtype=dtype)
            models[f"{tile} {dtype}"] = xb.nn.convert(plain, config)
    steps = {name: step(model) for name, model in models.items()}
    for short in ("ideal", "plain"):  # ten at a time
        steps[short] = lambda run=steps[short]: [run() for _ in range(10)]
    t = best(steps, repeats)
    t["ideal"] /= 10
    t["plain"] /= 10
    rows: list[Record] = []
    for tile, target in ((32, 20), (128, 40)):
        exact = models[f"{tile} torch.float64"](x).detach()
        for dtype in (torch.float32, torch.float64):
            name = f"{tile} {dtype}"
            error = (models[name](x).detach() - exact).abs().max() / exact.abs().max()
            rows.append(
                {
                    "threads of torch": os.environ.get("OMP_WAIT_POLICY", "as they are"),
                    "tiles": f"{tile}x{tile}",
                    "dtype": str(dtype).removeprefix("torch."),
                    "ms_a_step": t[name] * 1e3,
                    "ms_of_ideal_pairs": t["ideal"] * 1e3,
                    "times_ideal_pairs": t[name] / t["ideal"],
                    "target": target,
                    "ms_of_nn_Linear": t["plain"] * 1e3,
                    "times_nn_Linear": t[name] / t["plain"],
                    "error_against_float64": float(error),
                }
            )
    return rows


def steps_in_a_process(quick: bool, policy: str | None) -> list[Record]:
    """`training` where torch's threads wait in this way for work."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_training", "--steps", *["--quick"] * quick],
        env=environment | ({"OMP_WAIT_POLICY": policy} if policy else {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(process.stdout)


def table(rows: list[Record]) -> str:
    def shown(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)

    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([shown(r[k]) for k in head] for r in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two repetitions instead of seven")
    parser.add_argument("--steps", action="store_true", help="print the training steps as JSON")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"))
    options = parser.parse_args()
    repeats = 2 if options.quick else 7
    if options.steps:
        print(json.dumps(training(2 * repeats)))
        return
    result = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "effective_matrix": matrices(repeats),
        "one_vector": single_vectors(repeats),
        "training_step": [
            row for policy in (None, "passive") for row in steps_in_a_process(options.quick, policy)
        ],
        "load_after": os.getloadavg()[0],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "training.json").write_text(json.dumps(result, indent=2) + "\n")
    load = f"load {result['load_before']:.1f} to {result['load_after']:.1f}"
    text = [f"# Training through exact arrays\n\n{processor()}, {os.cpu_count()} cores, {load}."]
    for name in ("effective_matrix", "one_vector", "training_step"):
        text.append(f"## {name.replace('_', ' ')}\n\n{table(result[name])}")  # type: ignore[arg-type]
    (options.out / "training.md").write_text("\n\n".join(text) + "\n")
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
