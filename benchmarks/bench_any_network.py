"""Any network on arrays: forwards, a step, golden answers, a verification, a deployment.

    python -m benchmarks.bench_any_network [--quick] [--out benchmarks/out]

Writes any_network.json (the figures) and any_network.md (the table). Ratios are those of one run;
the golden row solves 32 arrays (8 with --quick) and is scaled to the 512 of a million weights.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import xbarspice as xb
from benchmarks.bench_training import processor, table
from xbarspice.verification.compare import compare_item
from xbarspice.verification.tiles import dense_probes, tile_item

Record = dict[str, object]
MILLION = 1e6


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def transformer(layers: int, **options: object) -> tuple[nn.Module, nn.Module, torch.Tensor, float]:
    """Ideal model, the same on 64x64 tiles in float32, a batch of 64, millions of weights."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(384, 12, 1536, dropout=0.0, batch_first=True)
    ideal = nn.TransformerEncoder(layer, layers).eval()
    config = xb.ArrayConfig(tile_rows=64, tile_cols=64, dtype="float32", **options)  # type: ignore[arg-type]
    circuit = xb.nn.convert(ideal, config).eval()
    weights = sum(p.numel() for p in ideal.parameters() if p.ndim > 1) / MILLION
    return ideal, circuit, torch.randn(64, 1, 384), weights


def load_kernels() -> None:
    """Compile or load what the measured jobs need, outside their times."""
    config = xb.ArrayConfig(tile_rows=64, tile_cols=64, dtype="float32", recompute=True)
    xb.nn.convert(nn.Linear(70, 40), config)(torch.rand(2, 70)).sum().backward()


def forwards(layers: int) -> list[Record]:
    """The first forward, which reduces every array, and the second, which is kept."""
    ideal, circuit, x, weights = transformer(layers)
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad():
        before = time.process_time()
        first = seconds(lambda: circuit(x))
        processor_time = time.process_time() - before
        pairs = [(seconds(lambda: circuit(x)), seconds(lambda: ideal(x))) for _ in range(9)]
    second, plain = (min(times) for times in zip(*pairs, strict=True))
    cores = torch.get_num_threads()
    per_million = first * cores / weights
    return [
        row(f"first forward of {weights:.1f} M weights, core s a million", per_million, 0.2),
        row("its processor time, s a million", processor_time / weights, None),
        row("second forward over the ideal one", second / plain, 3.0),
    ]


def backward(layers: int) -> list[Record]:
    """A step with recomputation in a process of its own, whose peak memory is read."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_any_network", "--step", str(layers)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = json.loads(process.stdout)
    what = f"forward and backward of {figures['weights']:.1f} M weights, recomputed"
    return [
        row(f"{what}: s", figures["seconds"], None),
        row(f"{what}: peak GB, torch's own {figures['before']:.2g} in it", figures["peak"], 2.0),
    ]


def step(layers: int) -> None:
    load_kernels()
    _ideal, circuit, x, weights = transformer(layers, recompute=True)
    before = peak_GB()
    took = seconds(lambda: circuit(x).square().mean().backward())
    figures = {"seconds": took, "before": before, "peak": peak_GB(), "weights": weights}
    print(json.dumps(figures))


def peak_GB() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def golden(arrays: int) -> list[Record]:
    """One dense probe in ngspice on full 64x64 arrays, scaled to a million weights on two cores."""
    torch.manual_seed(0)
    layer = nn.Linear(64 * arrays, 32, bias=False)
    circuit = xb.nn.convert(layer, xb.ArrayConfig(tile_rows=64, tile_cols=64))
    tiles = xb.nn.tiles(circuit)
    none = np.empty((0, 64))
    items = [
        tile_item(tile, none, dense_probes(tile, 0.2, 1, 0), "ngspice", ["surrogate"])
        for tile in tiles
    ]
    compare_item(items[0])
    before = os.times()
    results: list[dict[str, object]] = []
    wall = seconds(lambda: results.extend(compare_item(item) for item in items))
    after = os.times()
    ngspice = sum(float(str(result["seconds"])) for result in results)
    children = after.children_user + after.children_system
    children -= before.children_user + before.children_system
    minutes = wall * 512 / len(items) / 2 / 60
    share = 100 * max(wall - ngspice, 0.0) / wall
    return [
        row(f"golden probe of 512 arrays, 2 cores, from {len(items)}: minutes", minutes, 2.5),
        row("ngspice's own CPU time in it, minutes", children * 512 / len(items) / 2 / 60, None),
        row("surrogate and comparison, % of it", share, 5.0),
    ]


def verification(points: int) -> list[Record]:
    """`xb.verify` of 64-32-10 on digits with sinh devices, corners and costs included."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
    x = torch.from_numpy(images[:points] / 16)
    config = xb.ArrayConfig(tile_rows=64, tile_cols=64, device="sinh_tio2")
    xb.verify(model, x[:1], config=config)
    took = seconds(lambda: xb.verify(model, x, classes[:points], config=config, whole=10**6))
    return [row(f"verify of 64-32-10, {points} points, sinh, all through ngspice: s", took, 30.0)]


def deployment(size: int) -> list[Record]:
    """A deployment of one matrix, written and read; best of three."""
    torch.manual_seed(0)
    config = xb.ArrayConfig(tile_rows=64, tile_cols=64)
    model = nn.Sequential(nn.Linear(size, size))
    circuit = xb.nn.convert(model, config, calibrate=torch.rand(8, size)).eval()
    millions = size * size / MILLION
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.h5"
        written = min(seconds(lambda: xb.save(path, circuit)) for _ in range(3))
        read = min(seconds(lambda: xb.load(path)) for _ in range(3))
    return [
        row(f"deployment of {millions:.2g} M weights written, s", written, 5.0),
        row(f"deployment of {millions:.2g} M weights read, s", read, 2.0),
    ]


def row(what: str, value: float, target: float | None) -> Record:
    return {"what": what, "measured": value, "target": target}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a layer, 8 arrays and 4 points")
    parser.add_argument("--step", type=int, help="print one step of so many layers as JSON")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"))
    options = parser.parse_args()
    if options.step:
        step(options.step)
        return
    load = os.getloadavg()[0]
    load_kernels()
    layers = 1 if options.quick else 6
    rows = [
        *forwards(layers),
        *backward(layers),
        *golden(8 if options.quick else 32),
        *verification(4 if options.quick else 40),
        *deployment(256 if options.quick else 1024),
    ]
    result = {"processor": processor(), "load_before": load, "rows": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "any_network.json").write_text(json.dumps(result, indent=2) + "\n")
    machine = f"{processor()}, {os.cpu_count()} cores, load {load:.1f} to {os.getloadavg()[0]:.1f}."
    text = f"# Any network on arrays\n\n{machine}\n\n{table(rows)}"
    (options.out / "any_network.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
