"""A million weights, all unit vectors and many points, each solved by ngspice: `make test-long`."""

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.crosscheck.test_any_network import KINDS, circuits, digits, train_network
from xbarspice.verification import Gates
from xbarspice.verification.compare import compare_item
from xbarspice.verification.tiles import dense_probes, tile_item

__all__ = ["circuits", "digits", "train_network"]

pytestmark = pytest.mark.long
PARTS, ARRAYS = 16, 32
"""512 arrays of 64x64: a million weights."""


@pytest.mark.parametrize("part", range(PARTS))
def test_every_array_of_a_million_weights(part):
    """One dense probe on each of 512 arrays: the surrogate within 1e-9 of ngspice."""
    torch.manual_seed(part)
    circuit = xb.nn.convert(
        nn.Linear(64 * ARRAYS, 32, bias=False).double(), xb.ArrayConfig(tile_rows=64, tile_cols=64)
    )
    tiles = list(xb.nn.tiles(circuit))
    assert {tile.crossbar.G.shape for tile in tiles} == {(64, 64)}
    assert len(tiles) == ARRAYS
    for number, tile in enumerate(tiles):
        probes = dense_probes(tile, 0.2, 1, number)
        item = tile_item(tile, np.empty((0, 64)), probes, "ngspice", ["surrogate"])
        result = compare_item(item)
        assert np.abs(result["currents"]).max() == result["I_max"] > 0
        assert result["surrogate"]["worst"] < 1e-9


@pytest.mark.parametrize("name", KINDS)
def test_every_unit_vector_and_many_drives(name, circuits, digits):
    """All word lines of all arrays one by one, 20 drives and 5 dense probes an array, 20 points."""
    _, _, x, y = digits
    report = xb.verify(
        circuits(name),
        x[:20],
        y[:20].numpy(),
        gates=Gates(current=1e-9, decisions=0),
        drives=20,
        probes=5,
        all_units=True,
        whole=0,
        workers=0,
    )
    assert report.passed, [g for g in report.gates if not g.passed]
    checks = report.tiles["surrogate"]
    assert report.sample.checked == report.sample.tiles == len(checks)
    assert max(check.worst for check in checks) < 1e-9
