"""Gradients from ngspice itself against the adjoint of the surrogate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice.core.errors import EngineMissingError, FloatingNodeError, InputError
from xbarspice.engines.ngspice import golden_difference, golden_gradient
from xbarspice.surrogate import adjoint

DEVICES = ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"]
WIRES = {
    "all": {"R_wl": 20.0, "R_bl": 30.0, "R_driver": 40.0, "R_sense": 50.0},
    "ideal ends": {"R_wl": 20.0, "R_bl": 30.0, "R_driver": 0.0, "R_sense": 0.0},
    "ideal wires": {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 40.0, "R_sense": 50.0},
    "ideal word lines": {"R_wl": 0.0, "R_bl": 30.0, "R_driver": 0.0, "R_sense": 50.0},
    "nothing": {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 0.0, "R_sense": 0.0},
}
D, S, F = "driven", "sensed", "floating"
ENDS = {
    "write": xb.LineEnds(bl_bottom=D),
    "both ends": xb.LineEnds(wl_right=D, bl_top=S),
    "through": xb.LineEnds(wl_right=S, bl_top=D),
    "mixed": xb.LineEnds(wl_left=[D, F, D], wl_right=[F, F, S], bl_top=[D, F, S, F]),
}
AGREE = 1e-10
"""Of the largest entry; 2e-13 is what was measured."""


def case(device="sinh_tio2", wires="all", ends=xb.READ):
    rng = np.random.default_rng(11)
    G = 10 ** rng.uniform(-5, -3.6, (3, 4))
    G[1, 2] = 0.0
    crossbar = xb.Crossbar(G, device=device, ends=ends, **WIRES[wires])
    driven = [(e == D).any(axis=1) for e in (crossbar.wl_ends, crossbar.bl_ends)]
    V_in, V_out = (rng.uniform(-0.4, 0.4, len(d)) * d for d in driven)
    return crossbar, V_in, V_out


def surrogate_gradient(crossbar, V_in, V_out, column):
    """dI_out[column]/dG by the adjoint of the surrogate and automatic differentiation."""
    _, saved = adjoint.forward(crossbar, crossbar.drive(V_in, V_out))
    weight = np.zeros((1, crossbar.cols))
    weight[0, column] = 1.0
    by = adjoint.backward(saved, I_out=weight)
    G = torch.tensor(crossbar.G, requires_grad=True)
    current = crossbar.device.current(torch.from_numpy(saved.V_device[0].copy()), G)
    (slope,) = torch.autograd.grad(current.sum(), G)
    return by.adjoint[0] * slope.numpy()


def check(crossbar, V_in, V_out, column):
    actual = golden_gradient(crossbar, V_in, V_out, column=column)
    expected = surrogate_gradient(crossbar, V_in, V_out, column)
    defined = (crossbar.G > 0) | crossbar.device.linear
    assert actual.shape == crossbar.G.shape
    assert np.abs(expected).max() > 1e-3
    assert np.abs(actual - expected)[defined].max() <= AGREE * np.abs(expected).max()
    assert np.isnan(actual[~defined]).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("wires", WIRES)
def test_read_mode_agrees_with_the_surrogate(device, wires):
    crossbar, V_in, V_out = case(device, wires)
    check(crossbar, V_in, V_out, 0)
    check(crossbar, V_in, V_out, 3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ends", ENDS)
def test_any_line_ends_agree_with_the_surrogate(device, ends):
    """Also a bit line that is driven at one end and sensed at the other: I_out is their sum."""
    check(*case(device, ends=ENDS[ends]), 2)


def test_other_columns_are_reached_through_the_wires():
    """With ideal wires only the column's own devices count, with real ones all do."""
    crossbar, V_in, _ = case("ohmic", "nothing")
    ideal = golden_gradient(crossbar, V_in, column=1)
    np.testing.assert_allclose(ideal[:, 1], V_in, rtol=1e-12)
    assert not np.delete(ideal, 1, axis=1).any()
    real = golden_gradient(case("ohmic", "all")[0], V_in, column=1)
    assert np.abs(np.delete(real, 1, axis=1)).min() > 1e-6


def test_every_registered_static_device_has_a_gradient():
    """Models whose current is not proportional to G, and those with nodes of their own."""
    for device in xb.devices.names():
        crossbar = xb.Crossbar(
            [[1e-4, 2e-4], [0.5e-4, 1.5e-4]], R_wl=20, R_bl=30, R_driver=5, device=device
        )
        V_in = np.array([0.15, -0.1])
        actual = golden_gradient(crossbar, V_in, column=-1)
        cells = [(0, 0), (0, 1), (1, 0), (1, 1)]
        expected = golden_difference(crossbar, V_in, cells=cells)[:, 1].reshape(2, 2)
        assert np.abs(actual - expected).max() <= AGREE * np.abs(expected).max(), device


@pytest.mark.parametrize("device", DEVICES)
def test_differences_of_ngspice_agree_with_its_small_signal_gradient(device):
    crossbar, V_in, V_out = case(device)
    cells = [(0, 0), (2, 3), (1, 1)]
    actual = golden_difference(crossbar, V_in, V_out, cells=cells)
    assert actual.shape == (3, 4)
    for column in range(4):
        expected = golden_gradient(crossbar, V_in, V_out, column=column)
        expected = np.array([expected[cell] for cell in cells])
        assert np.abs(actual[:, column] - expected).max() <= AGREE * np.abs(expected).max()
    assert golden_difference(crossbar, V_in, cells=[]).shape == (0, 4)


def test_the_asymmetric_example_by_hand():
    """Row, column and sign: more conductance at (0, 1) raises I_out[1] by about V_in[0]."""
    crossbar, V_in = asymmetric_crossbar()
    actual = golden_gradient(crossbar, V_in, column=1)
    assert actual[0, 1] == pytest.approx(0.2, rel=0.1)
    assert actual[1, 1] == pytest.approx(-0.1, rel=0.1)
    assert actual[0, 0] < 0 < actual[1, 0]  # they load the driver of their row


def test_misuse_is_refused_before_ngspice_runs():
    crossbar, V_in, _ = case()
    missing = {"executable": "no-such-ngspice"}
    with pytest.raises(InputError, match="one array and one vector"):
        golden_gradient(crossbar, [V_in, V_in], column=0, **missing)
    with pytest.raises(InputError, match="4 bit lines"):
        golden_gradient(crossbar, V_in, column=4, **missing)
    with pytest.raises(InputError, match="devices that are present"):
        golden_difference(crossbar, V_in, cells=[(1, 2)], **missing)
    with pytest.raises(InputError, match="devices that are present"):
        golden_difference(crossbar, V_in, cells=[(-1, 0)], **missing)
    with pytest.raises(InputError, match="`step`"):
        golden_difference(crossbar, V_in, cells=[(0, 0)], step=0.5, **missing)
    with pytest.raises(InputError, match="`timeout`"):
        golden_gradient(crossbar, V_in, column=0, timeout=0)
    floating = crossbar.replace(ends=xb.LineEnds(bl_bottom=[S, F, S, S]))
    with pytest.raises(InputError, match="column 1 with two floating ends"):
        golden_gradient(floating, V_in, column=1, **missing)
    with pytest.raises(FloatingNodeError):
        golden_gradient(crossbar.replace(G=np.zeros((3, 4)), ends=floating.ends), V_in, column=0)
    with pytest.raises(EngineMissingError):
        golden_gradient(crossbar, V_in, column=0, **missing)
