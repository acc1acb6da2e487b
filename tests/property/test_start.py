"""Answers do not depend on where a solve starts: every engine, device and line end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarspice as xb
from tests.helpers import many
from xbarspice.testing.engine_cases import CASES


class Uncompiled(xb.devices.SinhTiO2):
    """A device whose equation no compiled solve knows."""

    def current(self, V, G):
        return super().current(V, G)

    def derivative(self, V, G):
        return super().derivative(V, G)


DEVICES = ["ohmic", "o921c_4k", "nili_pulse", Uncompiled()]
NEAR = 1e-11
"""Largest difference, as a share of the largest current, of two answers that are both exact."""
STIFF = 1e-10
"""The same where the rounding of node voltages decides: wires of 1e-3 ohm, shorts."""


def agree(first: xb.Solution, second: xb.Solution, share: float = NEAR) -> None:
    scale = max(float(np.abs(first.I_device).max(initial=0.0)), 1e-300)
    for name in ("I_out", "I_in", "I_device"):
        difference = np.abs(getattr(first, name) - getattr(second, name))
        assert difference.max(initial=0.0) <= share * scale, name
    assert second.status.ok
    assert not second.stats.residual > 1e-12


def crossbar_of(case, device) -> xb.Crossbar:
    return xb.Crossbar(case.G, device=device, **case.arguments)


@pytest.mark.parametrize("engine", ["surrogate", "nodal"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_every_start_gives_the_same_answer(name, device, engine):
    """Its own solution, that of other arrays and voltages, and voltages that mean nothing."""
    case = CASES[name]
    crossbar = crossbar_of(case, device)
    V = (case.V_in, case.V_out)
    plain = xb.solve(crossbar, *V, engine=engine, full=True, outside="ignore")
    changed = crossbar.replace(G=crossbar.G * 1.1)
    near = xb.solve(changed, *V, engine=engine, full=True, outside="ignore")
    rng = np.random.default_rng(3)
    random = tuple(rng.uniform(-1, 1, plain.V_wl.shape) for _ in range(2))
    share = STIFF if name in ("stiff and soft", "shorts") else NEAR
    for start in (plain, near, (2 * near.V_wl, 2 * near.V_bl), random):
        warm = xb.solve(crossbar, *V, engine=engine, full=True, outside="ignore", start=start)
        agree(plain, warm, share)


@settings(max_examples=many(60))
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(DEVICES),
    st.sampled_from(["surrogate", "nodal"]),
    st.sampled_from([0.0, 1e-6, 0.1, 1.0, 50.0]),
    st.floats(-30.0, 30.0),
    st.integers(0, 2**32 - 1),
)
def test_random_arrays_from_random_starts(rows, cols, device, engine, R, size, seed):
    """Also from voltages far beyond the sources, at which devices may overflow."""
    rng = np.random.default_rng(seed)
    G = rng.uniform(20e-6, 300e-6, (rows, cols))
    crossbar = xb.Crossbar(G, device=device, R_wl=R, R_bl=R, R_driver=R, R_sense=R)
    V = rng.uniform(-0.5, 0.5, (2, rows))
    plain = xb.solve(crossbar, V, engine=engine, full=True, outside="ignore")
    start = tuple(size * rng.uniform(-1, 1, plain.V_wl.shape) for _ in range(2))
    warm = xb.solve(crossbar, V, engine=engine, full=True, outside="ignore", start=start)
    agree(plain, warm, STIFF if 0 < R < 0.1 else NEAR)


def test_a_start_near_the_answer_saves_newton_steps():
    rng = np.random.default_rng(0)
    crossbar = xb.Crossbar(rng.uniform(50e-6, 300e-6, (16, 16)), device="o921c_4k", R_wl=2.0)
    V = rng.uniform(0.2, 0.5, 16)
    for engine in ("surrogate", "nodal"):
        first = xb.solve(crossbar, V, engine=engine, full=True)
        again = xb.solve(crossbar, V, engine=engine, full=True, start=first)
        assert again.stats.newton_steps < first.stats.newton_steps


@pytest.mark.parametrize("engine", ["ngspice", "ideal", "linear"])
def test_engines_that_do_not_start_anywhere_ignore_it(engine):
    crossbar = xb.Crossbar([[1e-4, 2e-4], [5e-5, 8e-5]], device="sinh_tio2")
    V = [0.2, 0.3]
    first = xb.solve(crossbar, V, engine=engine, full=True)
    again = xb.solve(crossbar, V, engine=engine, full=True, start=first)
    np.testing.assert_array_equal(again.I_out, first.I_out)


def test_starts_of_other_shapes_are_refused():
    crossbar = xb.Crossbar([[1e-4, 2e-4], [5e-5, 8e-5]])
    other = xb.solve(crossbar.replace(G=[[1e-4], [1e-5]]), [0.2, 0.3], full=True)
    voltages = np.zeros((2, 2))
    for start, text in (
        (other, r"`start.V_wl` must have the shape \(2, 2\)"),
        ((voltages, np.full((2, 2), np.nan)), "`start.V_bl` must be finite"),
        (voltages, "must be a solution or a pair"),
    ):
        with pytest.raises(xb.errors.InputError, match=text):
            xb.solve(crossbar, [0.2, 0.3], start=start)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        *((name, "surrogate") for name in ("read", "V/2", "mixed ends", "wires 0", "absent")),
        ("read", "nodal"),
        ("mixed ends", "nodal"),
        ("V/2", "ngspice"),
    ],
)
@pytest.mark.parametrize("device", DEVICES)
def test_a_series_gives_the_answers_of_single_solves(name, device, engine):
    """A ramp over both signs while conductances drift, and one array that loses a device."""
    case = CASES[name]
    crossbar = crossbar_of(case, device)
    series = xb.engines.get(engine).series(crossbar, case.V_in, case.V_out)
    rng = np.random.default_rng(1)
    G = np.clip(crossbar.G, 20e-6, 300e-6) * (crossbar.G > 0)
    V_out = 0.0 if case.V_out is None else case.V_out
    for scale in (0.5, 0.6, 0.7, 0.7, -0.4, 2.0, 0.0, 0.3):
        G = G * rng.uniform(0.97, 1.03, G.shape)
        answer = series.solve(G, scale)
        single = xb.solve(
            crossbar.replace(G=G),
            scale * case.V_in,
            scale * V_out + np.zeros(crossbar.cols),
            engine="nodal" if engine == "ngspice" else engine,
            full=True,
            outside="ignore",
        )
        agree(single, answer, 1e-9 if engine == "ngspice" else NEAR)
        if engine != "ngspice":
            assert answer.stats.notes == single.stats.notes
            assert answer.stats.error_bound == pytest.approx(
                single.stats.error_bound, abs=1e-9, nan_ok=True
            )


def test_a_series_refuses_what_a_crossbar_refuses():
    crossbar = xb.Crossbar(np.full((2, 2), 1e-4), device="sinh_tio2")
    series = xb.engines.get("surrogate").series(crossbar, [0.2, 0.3])
    for bad, text in (
        (np.array([[1e-4, -1e-4], [1e-4, 1e-4]]), "must be >= 0"),
        (np.array([[1e-4, np.nan], [1e-4, 1e-4]]), "must be finite"),
        (np.array([[1e-4, 1e16], [1e-4, 1e-4]]), "must be <="),
    ):
        with pytest.raises(xb.errors.InputError, match=text):
            series.solve(bad)
    ends = replace(xb.READ, wl_left=["driven", "floating"])
    floating = xb.engines.get("surrogate").series(crossbar.replace(ends=ends), [0.2, 0.0])
    floating.solve(crossbar.G)
    with pytest.raises(xb.errors.FloatingNodeError, match="word line 1"):
        floating.solve(np.array([[1e-4, 1e-4], [0.0, 0.0]]))
    with pytest.raises(xb.errors.InputError, match="one array with one vector"):
        xb.engines.get("nodal").series(crossbar, [[0.2, 0.3]])
