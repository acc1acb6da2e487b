"""Gradients of the adjoint against differences of the nodal engine, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.ladders import linear, solves

D, S, F = "driven", "sensed", "floating"
ENDS = {
    "read": xb.LineEnds(),
    "write": xb.LineEnds(bl_bottom=D),
    "both ends": xb.LineEnds(wl_left=D, wl_right=D, bl_top=S, bl_bottom=S),
    "through": xb.LineEnds(wl_left=D, wl_right=S, bl_top=D, bl_bottom=S),
    "mixed": xb.LineEnds(wl_left=[D, F, D], wl_right=[F, F, S], bl_top=[D, F, S, F], bl_bottom=S),
}
WIRES = {
    "all": {"R_wl": 20.0, "R_bl": 30.0, "R_driver": 40.0, "R_sense": 50.0},
    "no wires": {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 40.0, "R_sense": 50.0},
    "ideal ends": {"R_wl": 20.0, "R_bl": 30.0, "R_driver": 0.0, "R_sense": 0.0},
    "R_wl and R_driver 0": {"R_wl": 0.0, "R_bl": 30.0, "R_driver": 0.0, "R_sense": 50.0},
    "none": {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 0.0, "R_sense": 0.0},
}
NAMES = ("R_wl", "R_bl", "R_driver", "R_sense")
ONE_ITERATION = solves.AimsRecord(residual=1e-12, gradient_share=1e-13, rounding=1e-3, limit=1)
"""`linear.aims` that no iteration can meet."""


class Case:
    """Two 3x4 arrays, two vectors, random weights on every quantity of the answer."""

    def __init__(self, device, ends, wires):
        rng = np.random.default_rng(5)
        G = 10 ** rng.uniform(-4, -3, (2, 1, 3, 4))
        G[0, 0, 1, 2] = 0.0
        self.crossbar = xb.Crossbar(G, device=device, ends=ENDS[ends], **WIRES[wires])
        driven_wl = (self.crossbar.wl_ends == D).any(axis=1)
        driven_bl = (self.crossbar.bl_ends == D).any(axis=1)
        self.V_in = rng.uniform(-0.5, 0.5, (2, 3)) * driven_wl
        self.V_out = rng.uniform(-0.5, 0.5, (2, 4)) * driven_bl
        shapes = {"I_out": (4,), "I_in": (3,), "V_wl": (3, 4), "V_bl": (3, 4), "I_device": (3, 4)}
        self.weights = {k: rng.normal(size=(2, 2, *shape)) for k, shape in shapes.items()}
        for name in ("V_wl", "V_bl"):
            self.weights[name] *= 1e-3

    def loss(self, crossbar=None, V_in=None, V_out=None):
        actual = xb.solve(
            self.crossbar if crossbar is None else crossbar,
            self.V_in if V_in is None else V_in,
            self.V_out if V_out is None else V_out,
            engine="nodal",
            full=True,
        )
        return sum(float((w * getattr(actual, k)).sum()) for k, w in self.weights.items())

    def gradients(self):
        drive = self.crossbar.drive(self.V_in, self.V_out)
        _, saved = adjoint.forward(self.crossbar, drive)
        flat = {k: w.reshape(4, *w.shape[2:]) for k, w in self.weights.items()}
        return adjoint.backward(saved, **flat)


def _slope(f, x, h):
    if x == 0:  # towards positive values
        y = [f(k * h) for k in range(5)]
        return (-25 * y[0] + 48 * y[1] - 36 * y[2] + 16 * y[3] - 3 * y[4]) / (12 * h)
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


@pytest.mark.parametrize("device", ["ohmic", "cubic_al2o3_tio2", "sinh_tio2"])
@pytest.mark.parametrize(
    ("ends", "wires"),
    [(e, w) for e in ENDS for w in WIRES if not (e in ("through", "mixed") and w == "none")],
)
def test_gradients_equal_differences(device, ends, wires):
    """Every gradient equals a fourth-order difference, one-sided at a resistance of 0."""
    case = Case(device, ends, wires)
    actual, size = case.gradients(), abs(case.loss()) + 1e-4
    for name in NAMES:
        x = getattr(case.crossbar, name)
        expected = _slope(
            lambda R, name=name: case.loss(case.crossbar.replace(**{name: R})),
            x,
            0.02 * x if x else 0.05,
        )
        assert getattr(actual, name) == pytest.approx(expected, rel=1e-6, abs=1e-8 * size), name
    for name, ends_of in (("V_in", case.crossbar.wl_ends), ("V_out", case.crossbar.bl_ends)):
        volts = getattr(case, name)
        for line in np.flatnonzero((ends_of == D).any(axis=1)):

            def loss_at(v, name=name, volts=volts, line=line):
                changed = volts.copy()
                changed[1, line] = v
                return case.loss(**{name: changed})

            expected = _slope(loss_at, volts[1, line], 1e-3 * np.sign(volts[1, line]))
            gradient = getattr(actual, name).reshape(2, 2, -1)[:, 1, line].sum()
            assert gradient == pytest.approx(expected, rel=1e-7, abs=1e-9 * size), (name, line)


@pytest.mark.parametrize("wires", WIRES)
def test_conductance_gradients_equal_differences(wires):
    """DL/dG of ohmic devices, summed over the vectors of each array; one-sided at G = 0."""
    case = Case("ohmic", "read", wires)
    actual = case.gradients().G
    for array, i, j in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):

        def loss_at(g, where=(array, 0, i, j)):
            G = case.crossbar.G.copy()
            G[where] = g
            return case.loss(case.crossbar.replace(G=G))

        g = case.crossbar.G[array, 0, i, j]
        expected = _slope(loss_at, g, 0.02 * g if g else 1e-8)
        assert actual[array, i, j] == pytest.approx(expected, rel=1e-7)


def test_parameter_gradients_come_from_the_adjoint_voltages():
    """DL/db of a sinh device is the sum of (adjoint device voltage) x dI/db."""
    case = Case("sinh_tio2", "read", "all")
    drive = case.crossbar.drive(case.V_in, case.V_out)
    _, saved = adjoint.forward(case.crossbar, drive)
    flat = {k: w.reshape(4, *w.shape[2:]) for k, w in case.weights.items()}
    actual = adjoint.backward(saved, **flat)
    assert actual.G is None
    device, G = case.crossbar.device, case.crossbar.G_flat[saved.index]
    h = 1e-3

    def at(b):
        return xb.devices.SinhTiO2(b=b, V_read=device.V_read)

    by_b = _slope(lambda b: at(b).current(saved.V_device, G), device.b, h)
    expected = _slope(lambda b: case.loss(case.crossbar.replace(device=at(b))), device.b, h)
    assert (actual.adjoint * by_b).sum() == pytest.approx(expected, rel=1e-8)


def test_the_direct_fallback_gives_the_same_gradients(monkeypatch):
    """When iterations do not suffice, sparse LU solves the adjoint equations."""
    case = Case("ohmic", "mixed", "all")
    expected = case.gradients()
    monkeypatch.setattr(linear, "aims", lambda *_: ONE_ITERATION)
    actual = case.gradients()
    for name in NAMES:
        assert getattr(actual, name) == pytest.approx(getattr(expected, name), rel=1e-10)
    np.testing.assert_allclose(
        actual.G, expected.G, rtol=1e-9, atol=1e-12 * np.abs(expected.G).max()
    )
    np.testing.assert_allclose(actual.V_in, expected.V_in, rtol=1e-10, atol=1e-16)


def test_gradients_that_are_not_finite_are_refused():
    """NaN from the loss is an error, not a NaN gradient."""
    case = Case("ohmic", "read", "all")
    _, saved = adjoint.forward(case.crossbar, case.crossbar.drive(case.V_in))
    with pytest.raises(xb.errors.ConvergenceError, match="finite"):
        adjoint.backward(saved, I_out=np.full((4, 4), np.nan))
