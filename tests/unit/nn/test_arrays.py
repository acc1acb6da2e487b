"""Physical arrays of a converted model, and conductances that are put on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb


def make_circuit():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 12), nn.Tanh(), nn.Linear(12, 3)).double()
    x = torch.rand(9, 20, dtype=torch.float64)
    config = xb.ArrayConfig(tile_rows=8, tile_cols=8, R_wl=2.0, R_bl=2.0)
    return xb.nn.convert(model, config, calibrate=x).eval(), x


def test_every_physical_array_is_named_once():
    circuit, _ = make_circuit()
    arrays = xb.nn.arrays(circuit)
    assert [a.name for a in arrays][:2] == ["0[0,0,0]", "0[0,0,1]"]
    assert len({a.name for a in arrays}) == len(arrays) == len(xb.nn.tiles(circuit)) == 9 + 2
    assert all(a.V_read == 0.2 for a in arrays)


def test_put_conductances_stand_until_they_are_taken_away():
    circuit, x = make_circuit()
    with torch.no_grad():
        before = circuit(x)
        name = xb.nn.arrays(circuit)[1].name
        G = xb.nn.arrays(circuit)[1].crossbar.G * 1.1
        xb.nn.put_conductances(circuit, {name: G})
        changed = circuit(x)
        assert not torch.equal(before, changed)
        assert np.array_equal(xb.nn.arrays(circuit)[1].crossbar.G, G)
        copied = xb.nn.copy_circuit(circuit)
        assert torch.equal(copied(x), changed)
        with xb.nn.through("nodal"):
            assert torch.allclose(circuit(x), changed, rtol=1e-9)
        xb.nn.put_conductances(circuit, None)
        assert torch.equal(circuit(x), before)


def test_what_stands_nowhere_is_refused():
    circuit, _ = make_circuit()
    with pytest.raises(xb.errors.InputError, match="belong to arrays"):
        xb.nn.put_conductances(circuit, {"0[9,9,9]": np.ones((7, 8))})
    with pytest.raises(xb.errors.InputError, match="must be 7 x 8"):
        xb.nn.put_conductances(circuit, {"0[0,0,1]": np.ones((2, 2))})
