"""The programming plan of one array."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice.tapeout import (
    plan,
)


def test_the_plan_expects_what_the_nodal_engine_says():
    array, _ = asymmetric_crossbar(device="sinh_tio2")
    planned = plan(array)
    for r in range(2):
        V = np.zeros(2)
        V[r] = 0.2
        I_out = xb.solve(array, V, engine="nodal").I_out
        np.testing.assert_allclose(planned.I_read[r], I_out, rtol=1e-9)
    np.testing.assert_allclose(planned.I_ideal, 0.2 * array.G, rtol=1e-12)
    assert (
        planned.I_read[array.G > 0] < planned.I_ideal[array.G > 0]
    ).all()  # the wires cost current


def test_the_plan_writes_the_smallest_conductance_first():
    array, _ = asymmetric_crossbar()
    rows = plan(array).rows()
    assert [r["G_target_S"] for r in rows] == sorted(array.G[array.G > 0])
    assert [r["order"] for r in rows] == list(range(5))  # the absent device has no row
    by_row = plan(array, order="row").rows()
    assert [(r["row"], r["col"]) for r in by_row] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_the_plan_refuses_wrong_words():
    array, _ = asymmetric_crossbar()
    with pytest.raises(xb.errors.InputError, match="order"):
        plan(array, order="best")
    with pytest.raises(xb.errors.InputError, match="V_read"):
        plan(array, V_read=0.0)
