"""Engines on NumPy arrays agree with the nodal engine: devices x boundary cases."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice.surrogate.engine import SurrogateEngine

D, S, F = "driven", "sensed", "floating"
DEVICES = ["ohmic", "cubic_al2o3_tio2", "sinh_tio2"]
ENGINES = {
    "surrogate": SurrogateEngine(),
    "surrogate, one thread": SurrogateEngine(threads=1),
    "surrogate, direct": SurrogateEngine(direct=True),
}


def _conductances(rows=5, cols=4, absent=0.0, shorts=0.0, batch=()):
    rng = np.random.default_rng([rows, cols, len(batch)])
    G = 10 ** rng.uniform(-6, -3, (*batch, rows, cols))
    G[rng.random(G.shape) < absent] = 0.0
    G[rng.random(G.shape) < shorts] = 0.1
    return G


def _case(G, V_in, V_out=None, **wires):
    wires = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 10.0, "R_sense": 5.0} | wires
    return G, wires, V_in, V_out


V5 = np.array([0.3, -0.2, 0.25, 0.1, -0.4])
HALF = np.array([0.5, 0.5, 1.0, 0.5, 0.5])
BL4 = np.array([0.5, 0.0, 0.5, 0.5])
THIRD_WL, THIRD_BL = np.array([1, 1, 3, 1, 1]) / 3, np.array([2, 0, 2, 2]) / 3
WRITE = xb.LineEnds(bl_bottom=D)
BOTH = xb.LineEnds(wl_left=D, wl_right=D, bl_top=S, bl_bottom=S)
THROUGH = xb.LineEnds(wl_left=D, wl_right=S, bl_top=D, bl_bottom=S)
MIXED = xb.LineEnds(
    wl_left=[D, F, S, D, F], wl_right=[F, D, F, S, F], bl_top=[F, S, D, F], bl_bottom=[S, F, D, F]
)
MIXED_V = np.array([0.3, -0.2, 0.0, 0.1, 0.0])
MIXED_OUT = np.array([0.0, 0.0, 0.2, 0.0])
ONE_CELL = xb.LineEnds(wl_left=[D] + [F] * 4, wl_right=F, bl_top=F, bl_bottom=[S] + [F] * 3)

CASES = {
    "read": _case(_conductances(), V5),
    "all resistances 0": _case(_conductances(), V5, R_wl=0, R_bl=0, R_driver=0, R_sense=0),
    "wires 0": _case(_conductances(), V5, R_wl=0, R_bl=0),
    "ends 0": _case(_conductances(), V5, R_driver=0, R_sense=0),
    "R_wl 0": _case(_conductances(), V5, R_wl=0),
    "R_bl and R_driver 0": _case(_conductances(), V5, R_bl=0, R_driver=0),
    "stiff and soft": _case(_conductances(), V5, R_wl=1e-3, R_bl=1e4),
    "absent": _case(_conductances(absent=0.5), V5),
    "all absent": _case(np.zeros((5, 4)), V5),
    "shorts": _case(_conductances(shorts=0.2), V5, R_wl=100.0),
    "zero volts": _case(_conductances(), np.zeros(5)),
    "one cell": _case(_conductances(1, 1), np.array([0.3])),
    "one cell, ideal": _case(_conductances(1, 1), np.array([0.3]), R_driver=0, R_sense=0),
    "one row": _case(_conductances(1, 6), np.array([0.3])),
    "one column": _case(_conductances(6, 1), np.array([0.3, -0.2, 0.25, 0.1, -0.4, 0.2])),
    "V/2": _case(_conductances(), HALF, BL4, ends=WRITE),
    "V/3": _case(_conductances(), THIRD_WL, THIRD_BL, ends=WRITE),
    "V/2, ideal ends": _case(_conductances(), HALF, BL4, ends=WRITE, R_driver=0),
    "both ends": _case(_conductances(), V5, ends=BOTH),
    "both ends, ideal": _case(_conductances(), V5, ends=BOTH, R_driver=0, R_sense=0),
    "both ends, no wires": _case(_conductances(), V5, ends=BOTH, R_wl=0, R_bl=0),
    "through lines": _case(_conductances(), V5, BL4, ends=THROUGH),
    "through lines, ideal": _case(_conductances(), V5, BL4, ends=THROUGH, R_driver=0, R_sense=0),
    "mixed ends": _case(_conductances(), MIXED_V, MIXED_OUT, ends=MIXED),
    "mixed ends, no wires": _case(_conductances(), MIXED_V, MIXED_OUT, ends=MIXED, R_wl=0, R_bl=0),
    "one cell, others float": _case(_conductances(), np.array([0.5, 0, 0, 0, 0]), ends=ONE_CELL),
    "batch of vectors": _case(_conductances(), np.linspace(-0.4, 0.4, 15).reshape(3, 5)),
    "batch of arrays": _case(_conductances(batch=(3,)), V5),
    "arrays x vectors": _case(
        _conductances(batch=(2, 1)), np.linspace(-0.4, 0.4, 15).reshape(3, 5)
    ),
    "arrays and V_out": _case(
        _conductances(batch=(2,)), HALF, np.stack([BL4, BL4 / 2]), ends=WRITE
    ),
    "empty batch": _case(_conductances(), np.zeros((0, 5))),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_nodal_engine(case, device, engine):
    """All currents and voltages agree within 1e-9 of the largest; Kirchhoff's law holds."""
    G, wires, V_in, V_out = CASES[case]
    crossbar = xb.Crossbar(G, device=device, **wires)
    if case == "empty batch":
        got = xb.solve(crossbar, V_in, V_out, engine=ENGINES[engine], full=True)
        assert got.I_out.shape == (0, 4)
        assert got.status.ok
        return
    want = xb.solve(crossbar, V_in, V_out, engine="nodal", full=True)
    got = xb.solve(crossbar, V_in, V_out, engine=ENGINES[engine], full=True)
    assert got.status.ok
    assert got.stats.residual <= 1e-12
    scale = max(np.abs(want.I_out).max(), np.abs(want.I_in).max(), np.abs(want.I_device).max())
    for name in ("I_out", "I_in", "I_device"):
        assert getattr(got, name).shape == getattr(want, name).shape
        np.testing.assert_allclose(
            getattr(got, name), getattr(want, name), rtol=0, atol=1e-9 * scale
        )
    for name in ("V_wl", "V_bl"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=0, atol=1e-9)
    if scale > 0:
        out = 0.0 if V_out is None else V_out
        assert xb.kirchhoff_residual(crossbar, got, V_in, out) < 1e-9


@pytest.mark.parametrize("device", DEVICES)
def test_rows_columns_and_signs(device):
    """The asymmetric 2x3 example: no transposition and no sign survives unnoticed."""
    crossbar, V = asymmetric_crossbar(device=device)
    want, got = (xb.solve(crossbar, V, engine=name) for name in ("nodal", "surrogate"))
    np.testing.assert_allclose(got.I_out, want.I_out, rtol=1e-11)
    np.testing.assert_allclose(got.I_in, want.I_in, rtol=1e-11)


@pytest.mark.parametrize("device", DEVICES)
def test_inner_quantities_are_computed_on_first_use(device):
    """Without `full` the same voltages and device currents appear when they are asked for."""
    crossbar, V = asymmetric_crossbar(device=device)
    lazy, full = (xb.solve(crossbar, V, full=full) for full in (False, True))
    for name in ("V_wl", "V_bl", "I_device"):
        np.testing.assert_array_equal(getattr(lazy, name), getattr(full, name))


@pytest.mark.parametrize("engine", ["nodal", "surrogate"])
def test_a_floating_line_is_refused(engine):
    """A line without any path to a source has no voltage: an error, not a number."""
    crossbar = xb.Crossbar([[1e-4, 0.0], [1e-4, 0.0]], ends=xb.LineEnds(bl_bottom=[S, F]))
    with pytest.raises(xb.errors.FloatingNodeError, match="bit line 1"):
        xb.solve(crossbar, [0.1, 0.2], engine=engine)
