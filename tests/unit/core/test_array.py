"""The problem: rules on its arguments, line ends, drives, floating lines."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core.errors import FloatingNodeError, InputError

G = np.full((2, 3), 1e-4)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1e-4], r"\(\.\.\., rows, cols\).*\(1,\)"),
        (np.zeros((2, 0)), "no empty axis"),
        ([[np.nan, 1e-4]], "finite.*1 NaN"),
        ([[np.inf, 1e-4]], "finite"),
        ([[-1e-6, 1e-4]], "`G` must be >= 0.*-1e-06"),
        ([["a", "b"]], "`G` must be real numbers"),
    ],
)
def test_bad_conductances_are_refused_with_rule_value_and_remedy(values, words):
    with pytest.raises(InputError, match=words):
        xb.Crossbar(values)


@pytest.mark.parametrize("name", ["R_wl", "R_bl", "R_driver", "R_sense"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e308, 1e-310])
def test_bad_resistances_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be (a finite number >= 0|0 or >= 1e-30)"):
        xb.Crossbar(G, **{name: value})


def test_unknown_device_names_the_known_ones():
    with pytest.raises(InputError, match=r"cubic_al2o3_tio2.*'magic'"):
        xb.Crossbar(G, device="magic")


@pytest.mark.parametrize("shape", [(3,), (10, 3), (2, 1), ()])
def test_inputs_must_end_in_the_row_axis(shape):
    with pytest.raises(InputError, match=r"`V_in` must end in the row axis.*\(\.\.\., 2\)"):
        xb.solve(xb.Crossbar(G), np.zeros(shape), engine="nodal")


def test_batches_that_do_not_broadcast_are_refused():
    with pytest.raises(InputError, match="broadcast"):
        xb.solve(xb.Crossbar(np.stack([G, G])), np.zeros((3, 2)), engine="nodal")


def test_a_voltage_on_an_undriven_line_is_refused():
    with pytest.raises(InputError, match="`V_out` must be 0 on a line that has no driven end"):
        xb.solve(xb.Crossbar(G), np.zeros(2), [0.0, 1.0, 0.0], engine="nodal")


def test_driver_and_sense_without_resistance_between_them_are_refused():
    ends = xb.LineEnds(wl_right="sensed")
    with pytest.raises(InputError, match=r"without any resistance.*word line 0"):
        xb.Crossbar(G, R_wl=0, ends=ends)
    assert xb.Crossbar(G, R_wl=1, ends=ends).rows == 2


def test_line_ends_are_words_one_a_line():
    with pytest.raises(InputError, match="`wl_left` must consist of"):
        xb.Crossbar(G, ends=xb.LineEnds(wl_left="grounded"))
    with pytest.raises(InputError, match=r"one a line \(3\)"):
        xb.Crossbar(G, ends=xb.LineEnds(bl_top=["driven", "driven"]))


@pytest.mark.parametrize("engine", ["nodal", "surrogate", "ngspice"])
def test_a_floating_line_is_an_error_that_names_it(engine):
    ends = xb.LineEnds(bl_bottom=["sensed", "floating", "sensed"])
    lonely = G.copy()
    lonely[:, 1] = 0
    with pytest.raises(FloatingNodeError, match="bit line 1 of array 0 floats"):
        xb.solve(xb.Crossbar(lonely, ends=ends), [0.1, 0.1], engine=engine)


def test_the_problem_is_frozen(asymmetric):
    crossbar, _ = asymmetric
    with pytest.raises(AttributeError):
        crossbar.R_wl = 3.0
    with pytest.raises(ValueError, match="read-only"):
        crossbar.G[0, 0] = 1.0


def test_kirchhoff_residual_sees_a_wrong_current(asymmetric):
    crossbar, V_in = asymmetric
    sol = xb.solve(crossbar, V_in, engine="nodal", full=True)
    assert xb.kirchhoff_residual(crossbar, sol, V_in) < 1e-12
    wrong = xb.Solution(
        I_out=sol.I_out * (1 + 1e-6), I_in=sol.I_in, status=sol.status, stats=sol.stats,
        fields=sol.fields,
    )  # fmt: skip
    assert xb.kirchhoff_residual(crossbar, wrong, V_in) > 1e-7
