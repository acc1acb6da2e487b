"""Train a digits classifier 64-32-10 through tiled arrays with 2 ohm a segment, then verify it.

    python examples/train_digits.py [epochs]

First a plain network is trained; on the arrays it loses accuracy to the wires. Training goes on
through the circuit, with an ordinary optimiser, and the result is cross-checked in ngspice.
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xbarspice as xb
from xbarspice.mapping import calibrate_inputs, map_network
from xbarspice.network import from_state_dict, save
from xbarspice.studies.crosscheck import crosscheck

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
arrays = {"tile_rows": 32, "tile_cols": 32, "R_wl": 2.0, "R_bl": 2.0}


def fit(model: torch.nn.Module, steps: int, rate: float) -> None:
    """Full-batch Adam on the training digits."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(x_train), y_train)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def accuracy(model: torch.nn.Module) -> float:
    """Share of the test digits that are classified correctly."""
    with torch.no_grad():
        return (model(x_test).argmax(dim=1) == y_test).double().mean().item()


torch.manual_seed(0)
points, digits = load_digits(return_X_y=True)
parts = train_test_split(points / 16.0, digits, test_size=0.25, random_state=0)
x_train, x_test, y_train, y_test = (torch.tensor(part) for part in parts)
plain = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
plain = plain.double()
fit(plain, 3 * epochs, 0.01)

calibrated = calibrate_inputs(from_state_dict(plain.state_dict(), "relu"), x_train.numpy())
scales = (1.0, 1.5 * calibrated[1])  # room for activations that grow
model = xb.nn.convert(
    plain,
    {
        "0": xb.nn.CrossbarConfig(x_scale=scales[0], **arrays),
        "2": xb.nn.CrossbarConfig(x_scale=scales[1], bias="digital", **arrays),
    },
)
print(f"plain network: {accuracy(plain):.3f}; on the arrays: {accuracy(model):.3f}")
fit(model, epochs, 0.003)
print(f"trained through the arrays: {accuracy(model):.3f}")

network = from_state_dict(model.state_dict(), "relu")
save(Path("digits.npz"), network)
print(f"xbarspice verify digits.npz --set mapping.x_scale={list(scales)}")
mapped = map_network(network, x_scale=scales, **arrays)
check = crosscheck(mapped, x_test[:5].numpy(), y_test[:5].numpy(), engines=("surrogate",))
for gate in check.gates:
    print(gate)
assert all(gate.passed for gate in check.gates)
