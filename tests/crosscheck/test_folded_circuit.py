"""Half moons on one folded 8 x 8 array: trained through the circuit, verified with ngspice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.training.data import half_moons
from xbarspice.verification.compare import compare_item
from xbarspice.verification.tiles import tile_item


@pytest.fixture(scope="module")
def moons():
    """A 2-8-1 model, first trained as it is and then on the array, with its test points."""
    split = half_moons(DataConfig())
    x, y = (torch.from_numpy(np.asarray(v, float)) for v in (split.x_train, split.y_train))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1)).double()
    train(model, x, y, steps=300, rate=0.1)
    config = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, R_wl=50.0, R_bl=50.0)
    return model, config, split, (x, y)


def train(model, x, y, steps, rate):
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_verify_passes_on_half_moons(moons, device):
    model, config, split, _ = moons
    x = torch.from_numpy(split.x_test[:40])
    circuit = xb.nn.convert(model, replace(config, device=device), calibrate=x)
    report = xb.verify(circuit, x)
    assert report.passed, [g for g in report.gates if not g.passed]
    assert report.sample.tiles == 2
    assert {c.matrix: c.probes for c in report.tiles["surrogate"]} == {"0": 1, "2": 1}
    assert all(0 <= c.worst < 1e-9 for c in report.tiles["surrogate"])
    assert all(c.smallest_change < 1e-5 for c in report.tiles["surrogate"])
    assert report.whole == "All 40 points went through ngspice as a whole."
    assert sum(m["arrays"] for m in report.coverage["matrices"]) == 1


def test_training_on_the_array_wins_back_what_its_wires_cost(moons):
    model, config, _, (x, y) = moons
    with torch.no_grad():
        ideal = float(nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y))
    losses = train(xb.nn.convert(model, config, calibrate=x), x, y, steps=60, rate=0.02)
    assert losses[0] - ideal > 0.01
    assert losses[-1] - ideal < 0.5 * (losses[0] - ideal)


def test_each_device_is_seen_by_the_dense_probes(moons):
    """A change of any one of the 64 devices shows in the read that it belongs to."""
    model, config, split, _ = moons
    circuit = xb.nn.convert(model, config, calibrate=torch.from_numpy(split.x_test[:40]))
    (array,) = xb.nn.arrays(circuit)
    for tile in array.tiles:
        volts = np.random.default_rng(0).uniform(-0.2, 0.2, (1, tile.size))
        item = tile_item(tile, volts[:0], volts, "nodal", ["surrogate"])
        reference = compare_item(item)
        assert reference["surrogate"]["worst"] < 1e-12
        assert reference["least_voltage"] > 0
        read = np.zeros((8, 8))
        tile.read.put(1.0, read)
        for row, col in np.argwhere(read):
            G = array.crossbar.G.copy()
            G[row, col] *= 1 + 1e-6
            changed = compare_item({**item, "crossbar": tile.crossbar.replace(G=G)})
            assert np.abs(changed["currents"] - reference["currents"]).max() > 1e-13
