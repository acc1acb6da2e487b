"""Train the half-moons network 2-8-1 through one nonlinear 8x8 array, then verify it in ngspice.

    python examples/train_half_moons.py [epochs]

Both layers stand on one folded array, which is read in two read passes. Every forward pass solves
its sinh devices and wires exactly (Newton), and the gradients are those of the circuit.
"""

import sys
from pathlib import Path

import torch
from torch import nn

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.importers.perceptron import from_state_dict, save
from xbarspice.training.data import half_moons

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300

torch.manual_seed(0)
split = half_moons(DataConfig())
x, y = torch.tensor(split.x_train), torch.tensor(split.y_train).double()[:, None]
plain = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1)).double()
array = xb.ArrayConfig(
    layout="folded", tile_rows=8, tile_cols=8, R_wl=2.0, R_bl=2.0, device="sinh_tio2", x_scale=1.1
)
circuit = xb.nn.convert(plain, array)

optimiser = torch.optim.Adam(circuit.parameters(), lr=0.2)
for epoch in range(epochs):
    loss = nn.functional.binary_cross_entropy_with_logits(circuit(x), y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if epoch % 25 == 0 or epoch == epochs - 1:
        print(f"epoch {epoch}: loss {loss.item():.4f}")

save(Path("half_moons.npz"), from_state_dict(circuit.state_dict(), "sigmoid"))
report = xb.verify(circuit, split.x_test[:20], split.y_test[:20])
with torch.no_grad():
    right = (circuit(torch.tensor(split.x_test))[:, 0] > 0) == torch.tensor(split.y_test).bool()
print(f"test accuracy through the circuit: {right.double().mean():.3f}")
for gate in report.gates:
    print(f"{gate.value:9.2g} <= {gate.limit:.0e}  {gate.name}")
print("verified" if report.passed else "FAIL", "see", report.save("verified"))
assert report.passed
