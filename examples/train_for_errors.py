"""Train a three-class MLP and a CNN of your own for the errors of their arrays.

    python examples/train_for_errors.py [steps]

Each network is trained twice from the same weights: plainly, and on drawn transfers with stuck
devices in strata. Then both are put onto fresh draws of the arrays that neither has seen.
"""

import copy
import sys

import torch
from sklearn.datasets import load_digits, make_blobs
from torch import nn

import xbarspice as xb
from xbarspice.training import Settings, fit

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
errors = xb.variability.drolet_2023(rate_lrs=0.01, rate_hrs=0.01)
arrays = xb.ArrayConfig(tile_rows=32, tile_cols=32, variation=errors, dtype="float32")


def accuracy_over_transfers(circuit: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Mean share of points that are classified correctly, over 50 fresh transfers."""
    shares = []
    for _ in xb.nn.program_each(circuit.eval(), range(50)):
        with torch.no_grad():
            shares.append((circuit(x).argmax(dim=1) == y).double().mean().item())
    return sum(shares) / len(shares)


def compare(name: str, network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Train for the errors and without, and print what is left on imperfect arrays."""
    n = len(x) // 2
    train, validation = (x[:n], y[:n]), (x[n : 3 * n // 2], y[n : 3 * n // 2])
    test = x[3 * n // 2 :], y[3 * n // 2 :]
    ways = {
        "plain": Settings(steps=steps, draws=0, learning_rate=0.01),
        "for errors": Settings(
            steps=steps, draws=8, stuck="stratified", learning_rate=0.01, hold=0.9
        ),
    }
    for way, settings in ways.items():
        circuit = xb.nn.convert(copy.deepcopy(network), arrays, calibrate=train[0])
        best = fit(circuit, train, validation, settings).best
        share = accuracy_over_transfers(circuit, *test)
        print(
            f"{name}, {way}: {share:.3f} of the test points over transfers; "
            f"{best.noise_free:.3f} of the validation points without errors"
        )


torch.manual_seed(0)
points, classes = make_blobs(1200, centers=3, n_features=2, cluster_std=1.4, random_state=4)
x = torch.tensor(points, dtype=torch.float32)
x = (x - x.amin(dim=0)) / (x.amax(dim=0) - x.amin(dim=0))
mlp = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
compare("three-class MLP", mlp, x, torch.tensor(classes))

images, digits = load_digits(return_X_y=True)
pixels = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
cnn = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))
compare("CNN", cnn, pixels, torch.tensor(digits))
