"""Any trained network: put a small CNN onto passive arrays, and prove what they compute.

    python examples/06_any_network.py [epochs]

Three lines convert, verify and say the outcome. The rest trains the network on scikit-learn's
digits, and reads one digit with every array solved by ngspice. Leaves verified/ with report.html.
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import xbarspice as xb

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20

images, classes = load_digits(return_X_y=True)
images = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
x, x_test, y, y_test = train_test_split(images, torch.tensor(classes), random_state=0)

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(16, 10),
)
optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(epochs):
    for batch in torch.randperm(len(x)).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimiser.step()
model.eval()

config = xb.ArrayConfig(tile_rows=64, tile_cols=64, R_wl=2.0, R_bl=2.0)
circuit = xb.nn.convert(model, config, calibrate=x[:200], fold_batchnorm=True)
report = xb.verify(circuit, x_test[:40], y_test[:40].numpy())  # every array against ngspice
print("verified" if report.passed else "FAIL", "see", report.save("verified"))

for gate in report.gates:
    print(f"{gate.value:9.2g} <= {gate.limit:.0e}  {gate.name}")
first = report.decisions[0]
right, ideal = 100 * first.accuracy, 100 * first.exact_accuracy
print(f"{right:.1f} % right through the wires, {ideal:.1f} % without them")
print(f"{100 * report.coverage['product_share']:.0f} % of all products are on arrays")

with torch.no_grad(), xb.nn.through("ngspice"):
    scores = circuit(x_test[:1])
print(f"read by ngspice: a {int(scores.argmax())}; it is a {int(y_test[0])}")
assert report.passed
