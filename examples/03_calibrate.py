"""Calibrate to data: device and wires from measured currents, with intervals, and the card.

    python examples/03_calibrate.py

The "measurement" is ngspice with 1 % noise, so that the truth is known. Writes reads.csv and
card.toml; `xbarspice calibrate reads reads.csv --array G.csv` does the same from the shell, and
every command takes `--calibration card.toml`.
"""

from pathlib import Path

import numpy as np

import xbarspice as xb
from xbarspice import calibration
from xbarspice.devices import SinhTiO2

truth = {"R_wire": 2.0, "R_driver": 20.0, "R_sense": 10.0, "device.b": 2.5}
rng = np.random.default_rng(0)
G = rng.uniform(100e-6, 500e-6, size=(8, 8))  # S, read beforehand device by device
V_in = rng.uniform(0.0, 0.8, size=(24, 8))  # V: beyond the read voltage, to see the curvature
die = xb.Crossbar(G, R_wl=2.0, R_bl=2.0, R_driver=20.0, R_sense=10.0, device=SinhTiO2(b=2.5))
I_out = xb.solve(die, V_in, engine="ngspice").I_out
I_out = I_out * (1 + 0.01 * rng.standard_normal(I_out.shape))

head = [f"V_in{k}" for k in range(8)] + [f"I_out{k} [uA]" for k in range(8)]
rows = np.hstack([V_in, I_out * 1e6])
np.savetxt("reads.csv", rows, delimiter=",", header=",".join(head), comments="", fmt="%.9g")
np.savetxt("G.csv", G * 1e6, delimiter=",", header="conductance in uS", comments="", fmt="%.9g")

reads = calibration.read_reads(Path("reads.csv"))
start = xb.Crossbar(G, R_wl=1.0, R_bl=1.0, device="sinh_tio2")  # what one would assume
fit, fitted = calibration.fit_reads(start, reads, list(truth))
print("parameter      truth    value   95 % interval")
for name, true in truth.items():
    value, low, high = fit[name]
    print(f"{name:12s} {true:7.3g} {value:8.4g}   [{low:.4g}, {high:.4g}]")
    assert abs(value - true) < 2 * (high - low), name
assert fit.held_out is not None
print(f"held out: {fit.held_out.split}: {100 * fit.held_out.error:.2f} % rms error")
assert fit.held_out.error < 0.02
assert not fit.findings

# One device alone cannot tell the resistance before it from that behind it: the fit says so.
V = np.linspace(-0.8, 0.8, 41)
sweep = calibration.sweeps(["a"] * len(V), V, 3e-4 * V * (1 + 0.01 * rng.standard_normal(len(V))))
lone = xb.Crossbar([[3e-4]], R_driver=10.0, R_sense=10.0)
alone, _ = calibration.fit_reads(lone, sweep, ["R_driver", "R_sense"])
print("warning:", *alone.findings, sep="\n  ")
assert any("cannot tell" in text for text in alone.findings)

card = calibration.card_of(fit, "sinh_tio2", [Path("reads.csv")], title="die of example 3")
Path("card.toml").write_text(card.to_toml(), encoding="utf-8")
print(card.to_toml())
