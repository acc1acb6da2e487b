"""Weights to conductances and back, on every layout."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice import mapping
from xbarspice.errors import InputError
from xbarspice.network import Network
from xbarspice.studies.inference import infer

X = np.random.default_rng(1).uniform(size=(6, 2))
LAYOUTS = [
    {"layout": "folded"},
    {"layout": "tiled"},
    {"layout": "tiled", "tile_rows": 2, "tile_cols": 2},
    {"layout": "tiled", "tile_rows": 2, "tile_cols": 5, "bias": "array"},
    {"layout": "tiled", "bias": "digital"},
]


@pytest.mark.parametrize("options", LAYOUTS, ids=str)
def test_ideal_arrays_compute_what_the_network_computes(network, options):
    mapped = mapping.map_network(network, R_wl=0, R_bl=0, **options)
    answer = infer(mapped, X, "nodal")
    for found, expected in zip(answer.sums, network.forward(X), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_papers_network_fills_one_8x8_array():
    rng = np.random.default_rng(0)
    net = Network(W=(rng.normal(size=(2, 8)), rng.normal(size=(8, 1))),
                  b=(rng.normal(size=8), rng.normal(size=1)))  # fmt: skip
    mapped = mapping.map_network(net, layout="folded", tile_rows=8, tile_cols=8)
    assert [a.G.shape for a in mapped.arrays] == [(8, 8)]
    assert np.count_nonzero(mapped.arrays[0].G) == 64
    assert mapped.layers[1].digital_bias == net.b[1]


def test_pairs_give_back_the_weights_and_stay_in_range():
    W = np.random.default_rng(2).normal(size=(5, 4))
    scale = np.abs(W).max()
    pos, neg = mapping.pair_conductances(W, scale, 1e-4, 5e-4)
    assert min(pos.min(), neg.min()) == pytest.approx(1e-4)
    assert max(pos.max(), neg.max()) == pytest.approx(5e-4)
    np.testing.assert_allclose(mapping.pair_weights(pos, neg, scale, 1e-4, 5e-4), W, atol=1e-14)
    assert mapping.pair_conductances(np.zeros(1), 1.0, 1e-4, 5e-4)[0] == 1e-4


def test_no_line_is_driven_beyond_the_read_voltage_by_a_large_bias():
    net = Network(W=(np.array([[0.1, -0.2]]),), b=(np.array([3.0, -5.0]),))
    mapped = mapping.map_network(net, bias="array", R_wl=0, R_bl=0)
    assert mapped.layers[0].V_bias == pytest.approx(0.2)
    answer = infer(mapped, np.array([[0.7]]), "nodal")
    np.testing.assert_allclose(answer.sums[0], net.forward([[0.7]])[0], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"G_min": 5e-4, "G_max": 5e-4}, "0 <= G_min < G_max.*0.0005 and 0.0005"),
        ({"G_min": -1e-6}, "0 <= G_min"),
        ({"V_read": 0.0}, "`V_read` must be > 0"),
        ({"layout": "round"}, "`layout` must be"),
        ({"layout": "folded", "tile_rows": 7}, "room for 8 x 3 devices"),
        ({"layout": "folded", "bias": "array"}, "folded"),
        ({"tile_cols": 1}, "at least 1 row and 2 columns"),
        ({"R_wl": -1}, "`R_wl` must be"),
        ({"device": "nothing"}, "`device` must be"),
        ({"x_scale": (1.0,)}, "`x_scale` must hold 2"),
    ],
)
def test_what_cannot_be_mapped_is_refused(network, options, words):
    with pytest.raises(InputError, match=words):
        mapping.map_network(network, **options)


def test_calibrated_inputs_use_the_full_read_voltage(network):
    x = 40 * X
    scales = mapping.calibrate_inputs(network, x)
    mapped = mapping.map_network(network, x_scale=scales, R_wl=0, R_bl=0)
    block = mapped.blocks_of(0)[0]
    V_in, _ = mapped.voltages(block, x)
    assert np.abs(V_in).max() == pytest.approx(0.2)
    np.testing.assert_allclose(infer(mapped, x, "nodal").sums[1], network.forward(x)[1], atol=1e-10)


def test_with_conductances_changes_the_arrays_alone(network):
    mapped = mapping.map_network(network)
    other = mapped.with_conductances(tuple(2 * a.G for a in mapped.arrays))
    assert np.array_equal(other.arrays[0].G, 2 * mapped.arrays[0].G)
    assert other.layers is mapped.layers
    assert xb.Crossbar(mapped.arrays[0].G).rows == mapped.arrays[0].rows
