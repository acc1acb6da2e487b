"""Verify a trained network: train, fold onto one 8x8 array, and let three engines answer.

    python examples/02_verify.py [epochs]

Writes net.h5 and points.npz; `xbarspice verify net.h5 --inputs points.npz` reports the same check.
"""

import sys

import numpy as np
import torch

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.training.data import half_moons
from xbarspice.verification import Search

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300

split = half_moons(DataConfig())
x, y = torch.tensor(split.x_train), torch.tensor(split.y_train).double()[:, None]
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(2, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 1)
).double()
optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
for _ in range(epochs):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

config = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, device="sinh_tio2")
circuit = xb.nn.convert(model, config, calibrate=x)
xb.save("net.h5", circuit)
test = {"x": split.x_test[:40], "y": split.y_test[:40]}
np.savez("points.npz", **test)

report = xb.verify(
    circuit,
    test["x"],
    test["y"],
    engines=("nodal", "surrogate"),
    worst_case=Search(starts=4, steps=10, rounds=1),
)
for gate in report.gates:
    print(f"{gate.name}: {gate.value:.1e} (limit {gate.limit:g})")
for outcome in report.decisions:
    print(f"through {outcome.through}: accuracy {outcome.accuracy:.3f}")
for search in report.searches:
    print(f"worst input by search ({search.target}): {search.value:.2g}")
assert report.passed
