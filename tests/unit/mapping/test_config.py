"""The one configuration: what it refuses, and pairs that give back the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.core.errors import InputError


def model(inputs=5, outputs=4):
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(inputs, outputs)).double()


def test_the_papers_network_fills_one_8x8_array():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1)).double()
    config = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8)
    (array,) = xb.nn.arrays(xb.nn.convert(net, config))
    assert array.crossbar.G.shape == (8, 8)
    assert np.count_nonzero(array.crossbar.G) == 64


def test_pairs_give_back_the_weights_and_stay_in_range():
    net = model()
    (array,) = xb.nn.arrays(xb.nn.convert(net, xb.ArrayConfig(bias="digital")))
    G, W = array.crossbar.G, net[0].weight.detach().numpy().T
    assert G.min() == pytest.approx(1e-4)
    assert G.max() == pytest.approx(5e-4)
    scale = np.abs(W).max() / 4e-4
    np.testing.assert_allclose((G[:, 0::2] - G[:, 1::2]) * scale, W, atol=1e-14)
    assert (np.minimum(G[:, 0::2], G[:, 1::2]) == 1e-4).all()


def test_no_line_is_driven_beyond_the_read_voltage_by_a_large_bias():
    net = nn.Sequential(nn.Linear(1, 2)).double()
    net[0].weight.data = torch.tensor([[0.1], [-0.2]], dtype=torch.float64)
    net[0].bias.data = torch.tensor([3.0, -5.0], dtype=torch.float64)
    x = torch.tensor([[0.7]], dtype=torch.float64)
    circuit = xb.nn.convert(net, xb.ArrayConfig(R_wl=0, R_bl=0)).eval()
    with torch.no_grad(), xb.nn.through("nodal", keep=True) as run:
        torch.testing.assert_close(circuit(x), net(x), atol=1e-12, rtol=0)
    assert run.answers[0].V_in.abs().max() == pytest.approx(0.2)


def test_calibrated_inputs_use_the_full_read_voltage():
    net, x = model(2), 40 * torch.rand(6, 2, dtype=torch.float64)
    circuit = xb.nn.convert(net, xb.ArrayConfig(R_wl=0, R_bl=0), calibrate=x).eval()
    with torch.no_grad(), xb.nn.through("nodal", keep=True) as run:
        torch.testing.assert_close(circuit(x), net(x), atol=1e-10, rtol=0)
    assert run.answers[0].V_in[..., :2].abs().max() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"G_min": 5e-4, "G_max": 5e-4}, "0 <= G_min < G_max.*0.0005 and 0.0005"),
        ({"G_min": -1e-6}, "0 <= G_min"),
        ({"V_read": 0.0}, "`V_read` must be > 0"),
        ({"layout": "round"}, "`layout` must be"),
        ({"tile_cols": 1}, "at least 1 row and 2 columns"),
        ({"R_wl": -1}, "`R_wl` must be"),
        ({"device": "nothing"}, "`device` must be"),
        ({"x_scale": 0.0}, "`x_scale` must be > 0"),
    ],
)
def test_what_cannot_be_mapped_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        xb.ArrayConfig(**options)


def test_errors_as_dictionaries_are_refused_at_once():
    """They were taken and failed only when the arrays were programmed."""
    terms = [{"term": "tuning", "sigma": 0.01}]
    with pytest.raises(InputError, match="from_config"):
        xb.ArrayConfig(variation=terms)
