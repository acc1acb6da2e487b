"""The error bound of every engine against currents exact in every entry (`tests.exact`)."""

from __future__ import annotations

import functools
import pickle
import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarspice as xb
from tests import exact
from tests.helpers import many
from xbarspice.core.errors import AccuracyWarning, ConvergenceError, FloatingNodeError, InputError
from xbarspice.core.solution import Stats, Status
from xbarspice.engines import base, error_bound
from xbarspice.engines.base import Engine, Raw
from xbarspice.surrogate.engine import SurrogateEngine

pytestmark = pytest.mark.filterwarnings("ignore::xbarspice.core.errors.AccuracyWarning")

KINDS = ["driven", "sensed", "floating"]
FLOOR = 1e-15
"""Share of the largest output below which an error is one of rounding the answer itself (4 eps)."""


def engines():
    return {
        "surrogate": SurrogateEngine(threads=1),
        "direct": SurrogateEngine(threads=1, direct=True),
        "nodal": xb.engines.get("nodal"),
    }


@st.composite
def problems(draw, conductance=(-12.0, 1.0), resistance=(-9.0, 9.0), read=False):
    """An ohmic array of 1x1 to 6x6 with any line ends, and its drive."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, cols = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    exponents = st.floats(*conductance).map(lambda x: x + 0.0)  # NumPy refuses 0.0 to -0.0
    low, high = sorted(draw(st.tuples(exponents, exponents)))
    G = 10 ** rng.uniform(low, high, (rows, cols))
    G[rng.random(G.shape) < draw(st.sampled_from([0.0, 0.1, 0.5]))] = 0.0
    exponent = st.floats(*resistance)
    R = {
        name: draw(st.one_of(st.just(0.0), exponent.map(lambda x: 10**x)))
        for name in ("R_wl", "R_bl", "R_driver", "R_sense")
    }
    sides = {"wl_left": rows, "wl_right": rows, "bl_top": cols, "bl_bottom": cols}
    ends = xb.LineEnds()
    if not read and draw(st.booleans()):
        words = {side: [str(w) for w in rng.choice(KINDS, n)] for side, n in sides.items()}
        ends = xb.LineEnds(**words)
    try:
        crossbar = xb.Crossbar(G, ends=ends, **R)
        crossbar.refuse_floating()
    except (InputError, FloatingNodeError):  # a short between two sources, or a floating line
        crossbar = xb.Crossbar(G, **R)
    driven = [(kinds == "driven").any(axis=1) for kinds in (crossbar.wl_ends, crossbar.bl_ends)]
    V_in, V_out = (rng.uniform(-0.5, 0.5, d.size) * d for d in driven)
    return crossbar, V_in, V_out


@settings(max_examples=many(300))
@given(problems())
def test_no_error_exceeds_its_bound(problem):
    """Over 13 decades of conductance and 18 of resistance; an answer may be refused instead."""
    crossbar, V_in, V_out = problem
    for name, engine in engines().items():
        solution = xb.solve(crossbar, V_in, V_out, engine=engine, check=False)
        if not solution.status.ok:
            assert solution.stats.error_bound > error_bound.REFUSE_ABOVE, name
        assert exact.error(crossbar, V_in, V_out, solution) <= solution.stats.error_bound, name


@settings(max_examples=many(150))
@given(problems(conductance=(-6.0, -2.0), resistance=(-2.0, 4.0), read=True))
def test_ordinary_bounds_are_small_and_not_much_more_than_the_error(problem):
    """1e-6 to 1e-2 S, 0 or 0.01 to 10 000 ohm: 1e-9 or less, and 1000 times the error or less.

    An error below `FLOOR` counts as `FLOOR`.
    """
    crossbar, V_in, V_out = problem
    for name, engine in engines().items():
        solution = xb.solve(crossbar, V_in, V_out, engine=engine)
        error, bound = exact.error(crossbar, V_in, V_out, solution), solution.stats.error_bound
        assert error <= bound <= 1e-9, name
        assert bound <= 1000 * max(error, FLOOR), name


@settings(max_examples=many(12))
@given(problems())
def test_no_error_of_ngspice_exceeds_its_bound(problem):
    """The golden engine's answers carry the same measured bound."""
    crossbar, V_in, V_out = problem
    try:
        solution = xb.solve(crossbar, V_in, V_out, engine="ngspice")
    except xb.errors.EngineError:
        return  # it found no operating point, or its answer was refused
    assert exact.error(crossbar, V_in, V_out, solution) <= solution.stats.error_bound


def _table(wires, driver, sense):
    """An array of the table of stiff wires and weak devices: 8x4, 100 to 500 uS."""
    rng = np.random.default_rng(1)
    G, V = rng.uniform(1e-4, 5e-4, (8, 4)), rng.uniform(0.0, 0.2, 8)
    return xb.Crossbar(G, R_wl=wires, R_bl=wires, R_driver=driver, R_sense=sense), V


TABLE = [(1.0, 1e-9, 1e-9), (1.0, 1e-6, 1.0), (1e-9, 1.0, 1.0), (1e-9, 1e9, 1e9)]


@pytest.mark.parametrize("engine", ["surrogate", "direct", "nodal"])
@pytest.mark.parametrize("case", TABLE)
def test_stiff_wires_and_weak_devices_are_solved_right(engine, case):
    """Nodal was 160 % off and the direct method 3500 times in the last of them."""
    crossbar, V = _table(*case)
    solution = xb.solve(crossbar, V, engine=engines()[engine])
    error = exact.error(crossbar, V, np.zeros(4), solution)
    assert error <= solution.stats.error_bound
    assert error <= (1e-12 if engine == "nodal" else 1e-8)


def test_ngspice_says_how_wrong_it_is_with_stiff_wires():
    """It was 7e-5 off at ends of 1e-9 ohm without a word, and 70 % in the last of them."""
    warned, refused = [], []
    for case in TABLE:
        crossbar, V = _table(*case)
        try:
            solution = xb.solve(crossbar, V, engine="ngspice")
        except xb.errors.EngineError:
            refused.append(case)
            continue
        error = exact.error(crossbar, V, np.zeros(4), solution)
        assert error <= solution.stats.error_bound <= error_bound.REFUSE_ABOVE
        if error > error_bound.WARN_ABOVE:
            warned.append(case)
            assert any("may be wrong by" in note for note in solution.stats.notes)
    assert warned
    assert refused == [TABLE[-1]]


@pytest.mark.parametrize("engine", ["surrogate", "direct", "nodal"])
@pytest.mark.parametrize("volts", [20.0, 50.0, 100.0, 400.0])
def test_steep_devices_far_beyond_their_range_are_solved(engine, volts):
    """A raw "Factor is exactly singular" ended these from 20 V (nodal) or 50 V (surrogate) on."""
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (3, 3))
    ends = {"R_driver": 1.0, "R_sense": 1.0}
    crossbar = xb.Crossbar(G, device="sinh_tio2", **ends)
    V = volts * np.array([1.0, 0.5, -1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xb.errors.TrustWarning)
        solution = xb.solve(crossbar, V, engine=engines()[engine])
        nodal = xb.solve(crossbar, V, engine="nodal")
    assert solution.stats.error_bound <= 1e-9
    scale = np.abs(nodal.I_out).max()
    np.testing.assert_allclose(solution.I_out, nodal.I_out, rtol=0, atol=1e-9 * scale)
    assert scale < volts  # through 2 ohm at least


class _Off(Engine):
    """The nodal answer with all currents off by a share."""

    name = "off"

    def __init__(self, share, at_most=float("nan")):
        self.share, self.at_most, self.nodal = share, at_most, xb.engines.get("nodal")

    def _prepare(self, crossbar):
        return self.nodal._prepare(crossbar)

    def _solve(self, state, crossbar, drive, full):
        raw = self.nodal._solve(state, crossbar, drive, full)
        return Raw(
            I_out=raw.I_out * (1 + self.share),
            I_in=raw.I_in,
            status=Status.CONVERGED,
            stats=Stats(engine=self.name, method="a lie", error_at_most=self.at_most),
        )


def test_an_error_is_measured_said_and_refused(monkeypatch):
    """An engine that states nothing is measured: 1e-6 is said once a run, 1e-2 is refused."""
    monkeypatch.setattr(base, "_warned_of", set())
    crossbar, V = _table(1.0, 1.0, 1.0)
    with pytest.warns(AccuracyWarning, match="off engine") as caught:
        solution, _ = [xb.solve(crossbar, V, engine=_Off(1e-6)) for _ in range(2)]
    assert len(caught) == 1
    assert "may be wrong by 1e-06" in solution.stats.notes[-1]
    np.testing.assert_allclose(solution.stats.error_bound, 1e-6, rtol=1e-3)
    with pytest.raises(ConvergenceError, match=r"may be wrong by 0\.01"):
        xb.solve(crossbar, V, engine=_Off(0.01))
    assert xb.solve(crossbar, V, engine=_Off(0.01), check=False).status is Status.NOT_CONVERGED


def test_the_bound_is_found_on_first_use_and_travels():
    """Reading is lazy; a copy and a pickled solution give the same number."""
    crossbar, V = _table(1.0, 1.0, 1.0)
    solution = xb.solve(crossbar, V)
    assert callable(solution.stats.bound)
    copy = pickle.loads(pickle.dumps(replace(solution.stats, seconds=1.0)))  # noqa: S301 - our own
    assert (
        0 <= solution.stats.error_bound == copy.error_bound <= solution.stats.error_at_most <= 1e-11
    )
    assert solution.stats.bound == solution.stats.error_bound  # kept


def test_levels_say_how_far_they_are_off():
    """The bound of an approximate level is its measured distance; nothing is refused for it."""
    crossbar, V = _table(50.0, 50.0, 50.0)
    accurate = xb.solve(crossbar, V).I_out
    for level in ("ideal", "linear", "float32"):
        solution = xb.solve(crossbar, V, engine=xb.engines.registry.get(level)(warn=False))
        off = np.abs(solution.I_out - accurate).max() / np.abs(accurate).max()
        assert off - 1e-12 <= solution.stats.error_bound
        if level == "ideal":
            assert solution.stats.error_bound > 0.05


@dataclass(frozen=True, kw_only=True)
class _Cubed(xb.devices.SinhTiO2):
    """A user's equation in place of a known one: nobody said that it is increasing."""

    name: ClassVar[str] = "cubed"

    def current(self, V, G):
        return G * V * (1 + V * V)

    def derivative(self, V, G):
        return G * (1 + 3 * V * V)


@dataclass(frozen=True, kw_only=True)
class _CubedAndSaid(_Cubed):
    increasing: ClassVar[bool] = True


@pytest.mark.parametrize("engine", ["surrogate", "nodal"])
def test_a_device_that_is_not_known_to_be_increasing_has_no_bound(engine):
    """NaN and a note, never 0; a device that says so has one."""
    crossbar, V = _table(1.0, 1.0, 1.0)
    solution = xb.solve(crossbar.replace(device=_Cubed()), V, engine=engine)
    assert np.isnan(solution.stats.error_bound)
    assert any("not known to be increasing" in note for note in solution.stats.notes)
    solution = xb.solve(crossbar.replace(device=_CubedAndSaid()), V, engine=engine)
    assert 0 < solution.stats.error_bound < 1e-11


@functools.cache
def _batch():
    rng = np.random.default_rng(0)
    G = rng.uniform(1e-5, 5e-4, (3, 1, 5, 6))
    return xb.Crossbar(G, R_wl=2.0, R_driver=5.0), rng.uniform(-0.2, 0.2, (4, 5))


@pytest.mark.parametrize("engine", ["surrogate", "nodal"])
def test_the_bound_of_a_batch_holds_for_each_vector(engine):
    """Over the largest output of all of them."""
    crossbar, V = _batch()
    solution = xb.solve(crossbar, V, engine=engine)
    off, largest = [], []
    for k in np.ndindex(*solution.I_out.shape[:2]):
        single = crossbar.replace(G=crossbar.G[k[0], 0])
        one = replace(solution, I_out=solution.I_out[k], I_in=solution.I_in[k])
        largest.append(np.abs(solution.I_out[k]).max())
        off.append(exact.error(single, V[k[1]], np.zeros(6), one) * largest[-1])
    assert 0 < max(off) / max(largest) <= solution.stats.error_bound * (1 + 1e-9)


def test_a_vector_of_zeros_or_almost_is_no_reason_to_refuse_a_batch():
    """What ngspice leaves of it, 1e-20 A, is judged against the largest current of the answer."""
    crossbar, V = _table(1.0, 1.0, 1.0)
    V = np.stack([V, 0 * V, 1e-13 * V])
    for engine in (*engines().values(), "ngspice"):
        for device in ("ohmic", "sinh_tio2"):
            solution = xb.solve(crossbar.replace(device=device), V, engine=engine)
            assert solution.stats.error_bound <= 1e-9
            assert not any("may be wrong" in note for note in solution.stats.notes)


def test_outputs_that_vanish_are_not_refused():
    """Lines that are all at one voltage carry nothing: no share of it can be stated or is asked."""
    ends = xb.LineEnds(bl_bottom="driven")
    crossbar = xb.Crossbar(np.full((4, 3), 3e-4), R_driver=7.0, R_sense=3.0, ends=ends)
    for engine in engines().values():
        solution = xb.solve(crossbar, np.full(4, 0.3), np.full(3, 0.3), engine=engine)
        assert np.abs(solution.I_out).max() <= 1e-18
        assert not any("may be wrong" in note for note in solution.stats.notes)


def test_large_arrays_are_not_measured_unasked(monkeypatch):
    """What is known beforehand stands in a note; reading the bound measures it."""
    monkeypatch.setattr(error_bound, "SLOW", 10)
    monkeypatch.setattr(base, "_warned_of", set())
    crossbar, V = _table(1e-4, 1e3, 1e3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = xb.solve(crossbar, V)
    assert error_bound.WARN_ABOVE < solution.stats.error_at_most <= error_bound.UNMEASURED
    assert "stats.error_bound measures it" in solution.stats.notes[-1]
    assert (
        exact.error(crossbar, V, np.zeros(4), solution)
        <= solution.stats.error_bound
        <= error_bound.WARN_ABOVE
    )
