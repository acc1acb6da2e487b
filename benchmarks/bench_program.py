"""Programming a passive array: 8x8 and 64x64, pulses, yield and seconds. Prints Markdown.

Run ``python -m benchmarks.bench_program [--quick]`` (quick: without the 64x64 array).
"""

from __future__ import annotations

import sys
import time

import numpy as np

import xbarspice as xb
from xbarspice.studies import program as pg

NILI = {"start": 0.9, "limit_set": 1.05, "limit_reset": 1.5, "width": 1e-6}
CASES = [
    ("8x8 o921c_4k, 1 %", "o921c_4k", 8, (60e-6, 300e-6), 50e-6, 1.0, {}),
    ("8x8 nili_pulse, 1 %", "nili_pulse", 8, (30e-6, 200e-6), 20e-6, 1.0, NILI),
    ("64x64 nili_pulse, threshold 0.8 V, 4 %", xb.devices.NiliPulseMap(V_threshold=0.8), 64,
     (30e-6, 100e-6), 20e-6, 0.35, {**NILI, "tolerance": 0.04}),
]  # fmt: skip


def main() -> None:
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
