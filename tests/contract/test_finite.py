"""No engine says CONVERGED about a number that is NaN or infinite, whatever a device returns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice import devices
from xbarspice.core.errors import ConvergenceError, XbarspiceError
from xbarspice.core.solution import Solution, Stats, Status
from xbarspice.engines.base import Engine, Raw
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.engine import SurrogateEngine

ENGINES = {
    "surrogate": SurrogateEngine(),
    "surrogate, direct": SurrogateEngine(direct=True),
    "nodal": "nodal",
    "linear": "linear",
    "float32": "float32",
    "ideal": "ideal",
}


@dataclass(frozen=True, kw_only=True)
class Broken(devices.Device):
    """A user's device whose current goes wrong above a voltage; `bad` is what it returns there."""

    source: ClassVar[str] = "a test"
    bad: ClassVar[float] = float("nan")
    name: ClassVar[str] = "broken"

    def current(self, V, G):
        return np.where(np.abs(V) > 0.05, self.bad, G * V)

    def derivative(self, V, G):
        return G + 0.0 * V

    def spice_parameters(self, G):
        return {"r": 1 / G}

    def spice_body(self):
        return "R1 p n {r}"

    def verilog_a(self):
        raise NotImplementedError


class Infinite(Broken):
    bad = float("inf")


class BrokenSlope(Broken):
    def current(self, V, G):
        return G * V * (1 + V * V)

    def derivative(self, V, G):
        return np.nan * (G + V)


class BrokenLinear(Broken):
    linear = True

    def derivative(self, V, G):
        return np.nan * (G + V)


CASES = {
    "sinh overflows": (np.full((2, 2), 3e-4), [400.0, 1.0], "sinh_tio2"),
    "sinh overflows to NaN": (np.full((3, 3), 3e-4), [500.0, 250.0, -500.0], "sinh_tio2"),
    "cubic overflows": (np.full((3, 3), 3e-4), [1e120, 0.0, -1e120], "cubic_al2o3_tio2"),
    "device returns NaN": (np.full((3, 2), 3e-4), [0.2, 0.1, -0.2], Broken()),
    "device returns inf": (np.full((3, 2), 3e-4), [0.2, 0.1, -0.2], Infinite()),
    "one cell": (np.full((1, 1), 3e-4), [0.2], Broken()),
    "slope is NaN": (np.full((3, 2), 3e-4), [0.2, 0.1, -0.2], BrokenSlope()),
    "linear slope is NaN": (np.full((3, 2), 3e-4), [0.2, 0.1, -0.2], BrokenLinear()),
    "ohmic overflows": (np.full((3, 2), 1e15), [1e300, 1.0, 1.0], "ohmic"),
}
WIRES = {"usual": {}, "no wires": {"R_wl": 0.0, "R_bl": 0.0}, "ends": {"R_driver": 1.0}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("wires", WIRES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("full", [False, True])
def test_no_engine_calls_a_number_converged_that_is_not_finite(engine, wires, case, full):
    G, V, device = CASES[case]
    crossbar = xb.Crossbar(G, **WIRES[wires], device=device)
    try:
        solution = xb.solve(crossbar, V, engine=ENGINES[engine], full=full)
    except XbarspiceError:
        pass
    else:
        for name in ("I_out", "I_in", "V_wl", "V_bl", "I_device"):
            assert np.isfinite(getattr(solution, name)).all()
    try:
        unchecked = xb.solve(crossbar, V, engine=ENGINES[engine], full=full, check=False)
    except XbarspiceError:
        return
    finite = np.isfinite(unchecked.I_out).all() and np.isfinite(unchecked.I_in).all()
    assert finite or unchecked.status is Status.NOT_CONVERGED


@pytest.mark.parametrize("engine", ["surrogate", "nodal"])
def test_the_error_says_what_is_not_finite_and_at_what_voltage(engine):
    crossbar = xb.Crossbar(np.full((3, 2), 3e-4), device=Broken())
    with pytest.raises(ConvergenceError, match=r"nan|NaN") as error:
        xb.solve(crossbar, [0.2, 0.1, -0.2], engine=engine)
    assert "0.2 V" in str(error.value)
    assert "'broken'" in str(error.value)


class Lying(Engine):
    """A user's engine: finite currents, an inner quantity that is not, and a good status."""

    name = "lying"

    def __init__(self, where):
        self.where = where

    def _prepare(self, crossbar):
        return None

    def _solve(self, state, crossbar, drive, full):
        n, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
        parts = {"I_out": np.zeros((n, cols)), "I_in": np.zeros((n, rows))}
        if full:
            parts |= {k: np.zeros((n, rows, cols)) for k in ("V_wl", "V_bl", "I_device")}
        if self.where in parts:
            parts[self.where].flat[-1] = np.nan
        return Raw(status=Status.CONVERGED, stats=Stats(engine="lying", method="none"), **parts)


@pytest.mark.parametrize("where", ["I_out", "I_in", "V_wl", "V_bl", "I_device"])
def test_the_base_class_looks_at_every_number_of_a_users_engine(where):
    crossbar, V = xb.Crossbar(np.full((2, 3), 1e-4)), np.zeros((4, 2))
    with pytest.raises(ConvergenceError, match=rf"{where}\["):
        xb.solve(crossbar, V, engine=Lying(where), full=True)
    if where.startswith("I_") and where != "I_device":
        solution = xb.solve(crossbar, V, engine=Lying(where), check=False)
        assert solution.status is Status.NOT_CONVERGED
        assert any(where in note for note in solution.stats.notes)
    else:
        solution = xb.solve(crossbar, V, engine=Lying(where))
        with pytest.raises(ConvergenceError, match=where):
            _ = solution.V_wl  # found when it is first asked for


@pytest.mark.filterwarnings("ignore")
def test_the_gradients_forward_is_checked_too():
    crossbar = xb.Crossbar(np.full((3, 3), 3e-4), device="sinh_tio2")
    drive = crossbar.drive([500.0, 250.0, -500.0])
    with pytest.raises(ConvergenceError, match="finite"):
        adjoint.forward(crossbar, drive)
    G = torch.full((3, 3), 3e-4, dtype=torch.float64, requires_grad=True)
    V = torch.tensor([500.0, 250.0, -500.0], dtype=torch.float64)
    for tensor in (G, G.detach()):
        with pytest.raises(ConvergenceError, match="finite"):
            xb.nn.solve(tensor, V, device="sinh_tio2")


def test_an_effective_matrix_is_finite_or_refused():
    for dtype in (np.float64, np.float32):
        crossbar = xb.Crossbar(np.full((3, 3), 1e15), R_wl=0, R_bl=1e-30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                matrix = xb.effective_matrix(crossbar, dtype=dtype)
            except ConvergenceError:
                continue
        assert np.isfinite(matrix).all()


@pytest.mark.parametrize("name", ["V_wl", "V_bl", "I_device", "I_in", "I_out"])
def test_kirchhoffs_law_is_not_met_by_nan(name):
    crossbar, V = xb.Crossbar(np.full((2, 3), 1e-4), R_driver=1.0, R_sense=1.0), [0.1, 0.2]
    good = xb.solve(crossbar, V, full=True)
    parts = {k: getattr(good, k).copy() for k in ("I_out", "I_in")}
    fields = {k: getattr(good, k).copy() for k in ("V_wl", "V_bl", "I_device")}
    (parts if name in parts else fields)[name].flat[0] = np.nan
    wrong = Solution(
        **parts,
        status=Status.CONVERGED,
        stats=good.stats,
        fields=xb.engines.Fields(**fields),
    )
    assert not xb.kirchhoff_residual(crossbar, wrong, V) <= 1.0
