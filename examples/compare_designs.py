"""Compare encodings and placements of one trained network, and take the best through ngspice.

    python examples/compare_designs.py [steps]

A 2-8-1 network is trained for the errors of a folded array with inputs over [0, 1]. Then the same
function is put on arrays in other ways, none of them retrained, and judged on new points.
"""

import sys

import torch
from torch import nn

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.training import Settings, compare_designs, fit
from xbarspice.training.data import fresh_half_moons, half_moons

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
transfers = min(steps, 300)
array = xb.ArrayConfig(layout="folded", variation=xb.variability.drolet_2023())
data = half_moons(DataConfig())
train = torch.as_tensor(data.x_train), data.y_train
validation = torch.as_tensor(data.x_validation), data.y_validation

torch.manual_seed(0)
first, second = nn.Linear(2, 8).double(), nn.Linear(8, 1).double()
with torch.no_grad():
    first.weight.mul_(8)
    first.bias.copy_(-first.weight.sum(dim=1) / 2)
circuit = xb.nn.convert(nn.Sequential(first, nn.Sigmoid(), second), array, calibrate=train[0])
settings = Settings(
    steps=steps,
    draws=16,
    batch=None,
    loss="binary",
    learning_rate=0.03,
    stuck="stratified",
    hold=0.95,
    look_every=100,
    select="count",
)
print(f"without errors: {fit(circuit, train, validation, settings).best.noise_free:.3f}")

points, classes = fresh_half_moons(DataConfig(), 1000)
comparison = compare_designs(
    xb.nn.to_torch(circuit),
    array,
    points,
    classes,
    choices={
        "input_range": [(-1, 1)],
        "centring": ["middle"],
        "placement": ["high", "middle"],
        "bias": ["digital"],
        "conductance_range": [(150e-6, 500e-6)],
        "write_order": ["columns", "rows_reversed"],
        "w_scale": ["output"],
    },
    transfers=transfers,
    metric="consistent",
)
print(comparison.markdown())

x = comparison.encode.apply(torch.as_tensor(points[:20]))
xb.nn.program(comparison.circuit, 0)
with torch.no_grad():
    surrogate = comparison.circuit(x)
    with xb.nn.through("ngspice"):
        golden = comparison.circuit(x)
error = float((surrogate - golden).abs().max() / golden.abs().max())
print(f"the recommended design in transfer 0, 20 points: {error:.1e} from ngspice")
