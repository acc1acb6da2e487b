"""Train the half-moons network 2-8-1 through nonlinear 8x8 arrays, then verify it in ngspice.

    python examples/train_half_moons.py [epochs]

Every forward pass solves the sinh devices and their wires exactly (Newton), and the gradients are
those of the circuit. The result is mapped with the same rules and cross-checked.
"""

import sys
from pathlib import Path

import torch

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.mapping import map_network
from xbarspice.network import from_state_dict, save
from xbarspice.studies.crosscheck import crosscheck
from xbarspice.studies.data import half_moons

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
wires = {"R_wl": 2.0, "R_bl": 2.0, "device": "sinh_tio2"}

torch.manual_seed(0)
split = half_moons(DataConfig())
x, y = torch.tensor(split.x_train), torch.tensor(split.y_train).double()[:, None]
plain = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 1))
layer = xb.nn.CrossbarConfig(tile_rows=8, tile_cols=8, **wires)
output = xb.nn.CrossbarConfig(tile_rows=8, tile_cols=8, bias="digital", **wires)
model = xb.nn.convert(plain.double(), {"0": layer, "2": output})

optimiser = torch.optim.Adam(model.parameters(), lr=0.2)
for epoch in range(epochs):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if epoch % 25 == 0 or epoch == epochs - 1:
        print(f"epoch {epoch}: loss {loss.item():.4f}")

network = from_state_dict(model.state_dict(), "sigmoid")
save(Path("half_moons.npz"), network)  # xbarspice verify half_moons.npz --set array.R_wl=2
mapped = map_network(network, tile_rows=8, tile_cols=8, **wires)
check = crosscheck(mapped, split.x_test[:20], split.y_test[:20], engines=("surrogate",))
with torch.no_grad():
    right = (model(torch.tensor(split.x_test))[:, 0] > 0) == torch.tensor(split.y_test).bool()
print(f"test accuracy through the circuit: {right.double().mean():.3f}")
for gate in check.gates:
    print(gate)
assert all(gate.passed for gate in check.gates)
