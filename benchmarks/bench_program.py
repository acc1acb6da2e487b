"""Programming a passive array: seconds, and what becomes of a trained network. Prints Markdown.

Run ``python -m benchmarks.bench_program [--quick] [--figure docs/disturb.png]`` (quick: without the
64x64 array; figure: drift maps of the network by V/2 and V/3 are drawn into that file).
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import numpy as np
import torch

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.importers import perceptron
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.programming import write_verify as pg
from xbarspice.programming.drift import beside_measured
from xbarspice.programming.ranges import writable_range
from xbarspice.training.data import Split
from xbarspice.training.data import half_moons as half_moons_data

NILI = {"start": 0.9, "limit_set": 1.05, "limit_reset": 1.5, "width": 1e-6}
CASES = [
    ("8x8 o921c_4k, 1 %", "o921c_4k", 8, (60e-6, 300e-6), 50e-6, 1.0, {}),
    ("8x8 nili_pulse, 1 %", "nili_pulse", 8, (30e-6, 200e-6), 20e-6, 1.0, NILI),
    (
        "64x64 nili_pulse, threshold 0.8 V, 1 %",
        xb.devices.NiliPulseMap(V_threshold=0.8),
        64,
        (30e-6, 100e-6),
        20e-6,
        0.35,
        NILI,
    ),
]


NETWORK = Path(__file__).parents[1] / "netlists/golden/half_moons/network.npz"
PULSES = {"o921c_4k": {}, "nili_pulse": NILI}
START = {"nili_pulse": 20e-6}
"""Conductance before, S; else the lowest of the device."""
WAYS = [
    ("one pass", {}),
    ("one pass, compensated reads", {"compensate": True}),
    ("two passes, compensated reads", {"compensate": True, "passes": 2}),
    ("two passes, largest first", {"compensate": True, "passes": 2, "order": "size"}),
    ("two passes, far cells first", {"compensate": True, "passes": 2, "order": "far"}),
]


def main() -> None:
    speed()
    print()
    half_moons()


def half_moons() -> None:
    """A trained 8x8 half-moons network at 1 ohm a segment, beside the measured drifts."""
    trained, points = perceptron.load(NETWORK), half_moons_data(DataConfig())
    software = np.mean(trained.predict(trained.forward(points.x_test)[-1]) == points.y_test)
    print("Half-moons network on one 8x8 array, 1 ohm a segment, tolerance 1 %.")
    print(f"Test points that the software network classifies: {100 * software:.1f} %.")
    print("Written: programmed and read with wires; exact: the same array with its targets.\n")
    print(
        "| device | range / uS | scheme | way | within 1 % at the end | when left | mean pulses "
        "| drift, model: mean, std, median size / uS | measured: the same | accuracy: written "
        "| exact |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    shown = {}
    for device, scheme in itertools.product(PULSES, ("V/2", "V/3")):
        for low, high in ranges(device, scheme):
            circuit, array, blank = problem(trained, device, low, high)
            exact = accuracy(circuit, points)
            for name, options in WAYS:
                run = pg.program(
                    blank,
                    array.crossbar.G,
                    pulses=pg.Pulses(**PULSES[device]),
                    scheme=scheme,
                    **options,
                )
                xb.nn.put_conductances(circuit, {array.name: run.G})
                share = accuracy(circuit, points)
                line(device, f"{1e6 * low:.0f}-{1e6 * high:.0f}", run, name, share, exact)
                if device == "o921c_4k" and low == DEMO[0] and name == WAYS[1][0]:
                    shown[scheme] = run
    if "--figure" in sys.argv:
        draw(shown, sys.argv[sys.argv.index("--figure") + 1])


def draw(runs, path):
    """Drift by later writes under each scheme, in common colours."""
    from matplotlib.figure import Figure

    top = max(float(np.nanmax(np.abs(run.disturb))) for run in runs.values())
    figure = Figure(figsize=(4.8 * len(runs), 3.6), layout="constrained")
    for k, (scheme, run) in enumerate(runs.items(), start=1):
        ax = figure.add_subplot(1, len(runs), k)
        xb.plot.programming(run, of="drift", limits=(-top, top), ax=ax)
        ax.set_title(f"{scheme}: yield {100 * run.yield_:.0f} %", fontsize=10)
    figure.savefig(path, dpi=90)


DEMO = (60e-6, 300e-6)
"""The demo's ratio of five between the ends, moved into what both devices reach, S."""


def ranges(device: str, scheme: str) -> list[tuple[float, float]]:
    """The demo's ratio of conductances, and the range in which finished devices hold still, S."""
    model = xb.devices.get(device)
    assert isinstance(model, xb.devices.DynamicDevice)
    quiet = writable_range(model, pg.Pulses(**PULSES[device]), scheme, (8, 8))
    return [DEMO if device == "o921c_4k" else (30e-6, 200e-6), *([quiet] if quiet else [])]


def problem(
    trained: perceptron.Perceptron, device: str, low: float, high: float
) -> tuple[torch.nn.Module, xb.nn.PhysicalArray, xb.Crossbar]:
    """The network on its array, the array as wanted, and as it is before."""
    config = xb.ArrayConfig(
        layout="folded",
        tile_rows=8,
        tile_cols=8,
        G_min=low,
        G_max=high,
        R_wl=1.0,
        R_bl=1.0,
        device=device,
    )
    circuit = xb.nn.convert(perceptron_module(trained), config).eval()
    (array,) = xb.nn.arrays(circuit)
    before = START.get(device, array.crossbar.device.G_range()[0])
    return circuit, array, array.crossbar.replace(G=np.full(array.crossbar.G.shape, before))


def accuracy(circuit: torch.nn.Module, points: Split) -> float:
    with torch.no_grad():
        logits = circuit(torch.from_numpy(points.x_test)).numpy()
    return 100 * float(np.mean((logits[:, 0] > 0) == points.y_test))


def line(device: str, span: str, run: pg.Programmed, way: str, share: float, exact: float) -> None:
    drifts = [
        ", ".join(f"{1e6 * v:.1f}" for v in values.values())
        for values in beside_measured(run).values()
    ]
    # true conductances, not reads: a read takes the wires for a part of the device
    within = abs(run.finished / run.target - 1)[run.wanted] <= run.tolerance
    print(
        f"| {device} | {span} | {run.scheme} | {way} | {100 * run.yield_:.0f} % "
        f"| {100 * within.mean():.0f} % | {run.pulses[run.wanted].mean():.1f} "
        f"| {' | '.join(drifts)} | {share:.1f} % | {exact:.1f} % |",
        flush=True,
    )


def speed() -> None:
    print("| array | scheme | passes | seconds | CPU s | pulses a device | yield | worst error |")
    print("|---|---|---|---|---|---|---|---|")
    for name, device, size, (low, high), start, R, pulses in CASES:
        if size > 8 and "--quick" in sys.argv:
            continue
        rng = np.random.default_rng(0)
        target = rng.uniform(low, high, (size, size))
        crossbar = xb.Crossbar(np.full((size, size), start), device=device, R_wl=R, R_bl=R)
        for scheme, passes in itertools.product(("V/2", "V/3"), (1, 3)):
            if size > 8 and scheme == "V/2":
                continue
            options = {"pulses": pg.Pulses(**pulses), "scheme": scheme, "compensate": True}
            if size == 8:
                pg.program(crossbar, target, **options)  # compiled code is loaded once
            began = time.process_time()
            run = pg.program(crossbar, target, passes=passes, **options)
            print(
                f"| {name} | {scheme} | {passes} | {run.wall:.2f} "
                f"| {time.process_time() - began:.2f} "
                f"| {run.pulses.mean():.1f} | {100 * run.yield_:.0f} % "
                f"| {100 * abs(run.error).max():.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
