"""First array: what wires and devices do to a product, in three engines.

    python examples/01_first_array.py

Writes first_array.cir, which ngspice runs as it is.
"""

from pathlib import Path

import numpy as np

import xbarspice as xb

rng = np.random.default_rng(0)
G = rng.uniform(100e-6, 500e-6, size=(8, 4))  # S, chord conductances at the read voltage
V_in = rng.uniform(0.0, 0.2, size=(50, 8))  # V, 50 input vectors

array = xb.Crossbar(G, R_wl=1.0, R_bl=1.0, device="sinh_tio2")
golden = xb.solve(array, V_in, engine="ngspice")
largest = np.abs(golden.I_out).max()

ideal = V_in @ G
print(f"largest output current           {largest:.3e} A")
print(f"ideal product, off by            {np.abs(ideal - golden.I_out).max() / largest:.1%}")
for engine in ("nodal", "surrogate"):
    solution = xb.solve(array, V_in, engine=engine)
    error = np.abs(solution.I_out - golden.I_out).max() / largest
    print(f"{engine:9s} against ngspice, off by {error:.1e}")
    assert error < 1e-9, error

drop = V_in[0][:, None] - (golden.V_wl - golden.V_bl)[0]  # what the wires take from each device, V
row, col = np.unravel_index(np.argmax(drop), drop.shape)
print(f"largest drop along the wires     {drop.max() * 1e3:.2f} mV, at device ({row}, {col})")

linear = xb.Crossbar(G, R_wl=1.0, R_bl=1.0)  # linear devices: one matrix says everything
matrix = xb.effective_matrix(linear)
assert np.allclose(V_in @ matrix, xb.solve(linear, V_in).I_out, rtol=1e-9)
print(
    f"wires weaken the devices by      {(1 - matrix / G).min():.2%} .. {(1 - matrix / G).max():.2%}"
)

Path("first_array.cir").write_text(xb.netlist.write(array, V_in[0]), encoding="utf-8")
