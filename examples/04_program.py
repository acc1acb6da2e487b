"""Program a die: write an 8x8 target into a passive array, pulse by pulse, under two bias schemes.

    python examples/04_program.py

Every pulse half-selects the other devices of its lines; what that does to devices that were
finished before is the drift printed here.
"""

import numpy as np

import xbarspice as xb
from xbarspice.programming.results import Pulses
from xbarspice.programming.write_verify import program

rng = np.random.default_rng(1)
target = rng.uniform(60e-6, 160e-6, size=(8, 8))  # S
blank = xb.Crossbar(np.full((8, 8), 60e-6), R_wl=1.0, R_bl=1.0, device="nili_pulse")
pulses = Pulses(tolerance=0.02, limit_set=1.15, limit_reset=1.5)

errors = {}
for scheme in ("V/2", "V/3"):
    # compensate: reads are judged with their wires and sneak paths; two passes repair the drift
    run = program(blank, target, pulses=pulses, scheme=scheme, passes=2, compensate=True)
    summary = run.summary()
    errors[scheme] = summary["rms_error"]
    print(
        f"{scheme}: {summary['yield']:.0%} of the devices within 2 %, "
        f"{summary['mean_pulses']:.1f} pulses a device, rms error {summary['rms_error']:.2%}, "
        f"drift of finished devices {summary['std_drift_S'] * 1e6:.2f} uS rms"
    )
assert all(error < np.std(target / target.mean()) for error in errors.values()), errors

written = blank.replace(G=run.G)
V = rng.uniform(0.0, 0.2, size=(20, 8))
target_currents = xb.solve(blank.replace(G=target), V).I_out
off = np.abs(xb.solve(written, V).I_out - target_currents).max() / target_currents.max()
print(f"currents of the written array are off by {off:.2%} of the largest")
