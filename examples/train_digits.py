"""Train a digits classifier 64-32-10 through tiled arrays with 2 ohm a segment, then verify it.

    python examples/train_digits.py [epochs]

First a plain network is trained; on the arrays it loses accuracy to the wires. Training goes on
through the circuit, with an ordinary optimiser, and the result is verified in ngspice.
"""

import sys
from dataclasses import replace

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xbarspice as xb

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
arrays = xb.ArrayConfig(tile_rows=32, tile_cols=32, R_wl=2.0, R_bl=2.0, bias="digital")


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

model = xb.nn.convert(plain, arrays, calibrate=x_train)
hidden = model[2].matrices["weight"]
hidden.config = replace(hidden.config, x_scale=1.5 * hidden.config.x_scale)  # room to grow
print(f"plain network: {accuracy(plain):.3f}; on the arrays: {accuracy(model):.3f}")
fit(model, epochs, 0.003)
print(f"trained through the arrays: {accuracy(model):.3f}")

report = xb.verify(model, x_test[:5], y_test[:5].numpy())
for gate in report.gates:
    print(f"{gate.value:9.2g} <= {gate.limit:.0e}  {gate.name}")
print("verified" if report.passed else "FAIL", "see", report.save("verified"))
xb.save("digits.h5", model)  # the deployment that every command takes
assert report.passed
