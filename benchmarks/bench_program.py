"""Programming a passive array: seconds, and what becomes of a trained network. Prints Markdown.

Run ``python -m benchmarks.bench_program [--quick] [--figure docs/disturb.png]`` (quick: without the
64x64 array; figure: drift maps of the network by V/2 and V/3 are drawn into that file).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import xbarspice as xb
from xbarspice import mapping, network
from xbarspice.studies import program as pg
from xbarspice.studies.drift import beside_measured

NILI = {"start": 0.9, "limit_set": 1.05, "limit_reset": 1.5, "width": 1e-6}
CASES = [
    ("8x8 o921c_4k, 1 %", "o921c_4k", 8, (60e-6, 300e-6), 50e-6, 1.0, {}),
    ("8x8 nili_pulse, 1 %", "nili_pulse", 8, (30e-6, 200e-6), 20e-6, 1.0, NILI),
    ("64x64 nili_pulse, threshold 0.8 V, 4 %", xb.devices.NiliPulseMap(V_threshold=0.8), 64,
     (30e-6, 100e-6), 20e-6, 0.35, {**NILI, "tolerance": 0.04}),
]  # fmt: skip


NETWORK = Path(__file__).parents[1] / "netlists/golden/half_moons/network.npz"
RANGES = {
    "o921c_4k": (60e-6, 300e-6, None, {}),
    "nili_pulse": (30e-6, 200e-6, 20e-6, NILI),
}


def main() -> None:
    speed()
    print()
    half_moons()


def half_moons() -> None:
    """A trained 8x8 half-moons network at 1 ohm a segment, beside the measured drifts."""
    print("Half-moons network on one 8x8 array, 1 ohm a segment, tolerance 1 %, row by row:\n")
    print(
        "| device | scheme | passes | reads | within 1 % at the end | within 1 % when left "
        "| mean pulses | drift model: mean, std, median size / uS | measured: the same |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    shown = {}
    for device in RANGES:
        crossbar, target, pulses = problem(device)
        for scheme in ("V/2", "V/3"):
            for passes, compensate in ((1, False), (1, True), (5, True)):
                run = pg.program(
                    crossbar, target, pulses=pulses, scheme=scheme, passes=passes,
                    compensate=compensate,
                )  # fmt: skip
                line(device, run, passes, compensate)
                if device == "o921c_4k" and passes == 1 and compensate:
                    shown[scheme] = run
    if "--figure" in sys.argv:
        from xbarspice.report.programming import schemes_figure

        schemes_figure(shown).savefig(sys.argv[sys.argv.index("--figure") + 1], dpi=130)


def problem(device: str) -> tuple[xb.Crossbar, np.ndarray, pg.Pulses]:
    low, high, start, pulses = RANGES[device]
    mapped = mapping.map_network(
        network.load(NETWORK), layout="folded", tile_rows=8, tile_cols=8, G_min=low, G_max=high,
        R_wl=1.0, R_bl=1.0, device=device,
    )  # fmt: skip
    array = mapped.arrays[0]
    before = array.device.G_range()[0] if start is None else start
    return array.replace(G=np.full(array.G.shape, before)), array.G, pg.Pulses(**pulses)


def line(device: str, run: pg.Programmed, passes: int, compensate: bool) -> None:
    drifts = [
        ", ".join(f"{1e6 * v:.1f}" for v in values.values())
        for values in beside_measured(run).values()
    ]
    # true conductances, not reads: a read takes the wires for a part of the device
    left = abs(run.finished / run.target - 1)[run.wanted] <= run.tolerance
    print(
        f"| {device} | {run.scheme} | {passes} | {'compensated' if compensate else 'plain'} "
        f"| {100 * run.yield_:.0f} % | {100 * left.mean():.0f} % "
        f"| {run.pulses[run.wanted].mean():.1f} | {' | '.join(drifts)} |",
        flush=True,
    )


def speed() -> None:
    print("| array | scheme | seconds | CPU s | pulses a device | yield | worst error |")
    print("|---|---|---|---|---|---|---|")
    for name, device, size, (low, high), start, R, pulses in CASES:
        if size > 8 and "--quick" in sys.argv:
            continue
        rng = np.random.default_rng(0)
        target = rng.uniform(low, high, (size, size))
        crossbar = xb.Crossbar(np.full((size, size), start), device=device, R_wl=R, R_bl=R)
        for scheme in ("V/2", "V/3") if size == 8 else ("V/3",):
            options = {"pulses": pg.Pulses(**pulses), "scheme": scheme, "compensate": True}
            if size == 8:
                pg.program(crossbar, target, **options)  # compiled code is loaded once
            began = time.process_time()
            run = pg.program(crossbar, target, **options)
            print(
                f"| {name} | {scheme} | {run.wall:.2f} | {time.process_time() - began:.2f} "
                f"| {run.pulses.mean():.1f} | {100 * run.yield_:.0f} % "
                f"| {100 * abs(run.error).max():.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
