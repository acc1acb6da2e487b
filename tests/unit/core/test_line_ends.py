"""Resistances segment by segment and end by end: shapes, order of the sides, voltage loops."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core.errors import InputError

G = np.full((2, 3), 1e-4)
WL, BL = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0, 7.0]])
FOUR = xb.LineEnds(
    wl_left=["driven", "sensed"],
    wl_right="floating",
    bl_top=["sensed", "floating", "driven"],
    bl_bottom="sensed",
)
inf = np.inf


def test_arrays_are_returned_as_given_and_read_only():
    given = WL.copy()
    crossbar = xb.Crossbar(G, R_wl=given, R_sense=[1, 2, 3])
    given[:] = 0.0
    assert np.array_equal(crossbar.R_wl, WL)
    assert crossbar.wires["R_sense"] is crossbar.R_sense
    assert crossbar.R_bl == 1.0
    assert not crossbar.uniform
    assert xb.Crossbar(G).uniform
    for values in (crossbar.R_wl, crossbar.R_sense, *crossbar.end_resistances):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 1.0
    assert repr(crossbar) == (
        "Crossbar(G=(2, 3), R_wl=1 to 4, R_bl=1, R_driver=0, R_sense=1 to 3, device='ohmic')"
    )


def test_segments_of_numbers_and_of_arrays():
    wl, bl = xb.Crossbar(G, R_wl=WL, R_bl=8.0).segment_resistances
    assert np.array_equal(wl, WL)
    assert np.array_equal(bl, [[8.0] * 3])


def test_ends_of_read_mode():
    wl, bl = xb.Crossbar(G, R_driver=[1.0, 2.0], R_sense=3.0).end_resistances
    assert np.array_equal(wl, [[1.0, inf], [2.0, inf]])
    assert np.array_equal(bl, [[inf, 3.0]] * 3)


def test_ends_of_all_sides_come_in_order():
    """Driven ends: wl_left, bl_top. Sensed: wl_left, bl_top, bl_bottom. Others are not used."""
    crossbar = xb.Crossbar(
        G, R_driver=np.arange(1.0, 6.0), R_sense=np.arange(11.0, 19.0), ends=FOUR
    )
    wl, bl = crossbar.end_resistances
    assert np.array_equal(wl, [[1.0, inf], [12.0, inf]])
    assert np.array_equal(bl, [[13.0, 16.0], [inf, 17.0], [5.0, 18.0]])


def test_array_k_of_a_batch_has_its_own_wires():
    batch = np.full((4, 2, 2, 3), 1e-4) * np.arange(1, 9).reshape(4, 2, 1, 1)
    R_wl = np.arange(16.0).reshape(4, 1, 2, 2)
    R_driver = np.array([[1.0, 2.0], [3.0, 4.0]])
    crossbar = xb.Crossbar(batch, R_wl=R_wl, R_driver=R_driver, R_bl=BL)
    assert not crossbar.wires_shared
    for k in range(8):
        one = crossbar.array(k)
        assert one.batch == ()
        assert np.array_equal(one.G, crossbar.G_flat[k])
        assert np.array_equal(one.R_wl, R_wl[k // 2, 0])
        assert np.array_equal(one.R_driver, R_driver[k % 2])
        assert np.array_equal(one.end_resistances[0][:, 0], R_driver[k % 2])
        assert np.array_equal(one.R_bl, BL)
    assert np.array_equal(crossbar.array(-1).R_wl, R_wl[3, 0])
    with pytest.raises(IndexError):
        crossbar.array(8)


def test_arrays_that_share_their_wires():
    assert xb.Crossbar(np.stack([G, G]), R_wl=WL, R_driver=[[1.0, 2.0]]).wires_shared
    assert xb.Crossbar(np.stack([G, G])).wires_shared
    assert not xb.Crossbar(np.stack([G, G]), R_sense=np.ones((2, 3))).wires_shared


def test_replace_keeps_wires_that_fit():
    crossbar = xb.Crossbar(np.stack([G, G]), R_wl=np.stack([WL, 2 * WL]))
    again = crossbar.replace(G=2 * crossbar.G)
    assert np.array_equal(again.R_wl, crossbar.R_wl)
    assert np.array_equal(again.replace(R_bl=BL).segment_resistances[1], BL)
    with pytest.raises(InputError, match=r"`R_wl` must be one number, or an array.* 2, 2\)"):
        crossbar.replace(G=G)  # one array has no two sets of wires
    with pytest.raises(InputError, match=r"`R_driver`.*\(\.\.\., 5\)"):
        xb.Crossbar(G, R_driver=[1.0, 2.0]).replace(ends=xb.LineEnds(bl_bottom="driven"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"R_wl": np.ones((2, 3))}, r"`R_wl`.*\(\.\.\., 2, 2\).*the shape \(2, 3\)"),
        ({"R_bl": np.ones((2, 2))}, r"`R_bl`.*\(\.\.\., 1, 3\)"),
        ({"R_driver": [1.0, 2.0, 3.0]}, r"`R_driver`.*\(\.\.\., 2\)"),
        ({"R_sense": [[1.0, 2.0, 3.0]]}, r"batch \(\) of `G`.*\(1, 3\)"),
        ({"R_wl": np.where(WL == 2.0, -1.0, WL)}, "`R_wl` must be >= 0"),
        ({"R_wl": np.where(WL == 2.0, np.nan, WL)}, "`R_wl` must be finite"),
        ({"R_bl": 1e300 * BL}, "`R_bl` must be <= 1e"),
        ({"R_bl": 1e-40 * BL}, "`R_bl` must be 0 or >= 1e-30"),
        ({"R_bl": [["a", "b", "c"]]}, "`R_bl` must be real numbers"),
    ],
)
def test_arrays_that_break_a_rule_are_refused_by_name(changes, words):
    with pytest.raises(InputError, match=words):
        xb.Crossbar(G, **changes)


def test_values_at_ends_of_another_role_are_checked():
    with pytest.raises(InputError, match="`R_driver` must be >= 0"):
        xb.Crossbar(G, R_driver=[1.0, -1.0, 0.0, 0.0, 0.0], ends=FOUR)


def test_a_single_line_joined_by_nothing_is_a_voltage_loop():
    """Line 1 has no resistance from its driver to its sense node; line 0 has some in each place."""
    ends = xb.LineEnds(wl_right="sensed")
    zero = np.array([[0.0, 4.0], [0.0, 0.0]])
    with pytest.raises(InputError, match=r"without any resistance.*word line 1"):
        xb.Crossbar(G, R_wl=zero, R_sense=0.0, ends=ends)
    for name, R in (("R_driver", [0.0, 1.0]), ("R_sense", [0.0, 1.0, 0.0, 0.0, 0.0])):
        assert xb.Crossbar(G, R_wl=zero, ends=ends, **{name: R}).rows == 2
    batch = np.stack([np.ones((2, 2)), zero])
    with pytest.raises(InputError, match=r"without any resistance.*word line 1"):
        xb.Crossbar(np.stack([G, G]), R_wl=batch, ends=ends)


def test_one_line_or_one_cell_has_no_segments():
    one = xb.Crossbar([[1e-4]], R_wl=np.ones((1, 0)), R_bl=np.ones((0, 1)), R_driver=[2.0])
    np.testing.assert_allclose(
        xb.solve(one, [1.0], engine="nodal").I_out, 1 / (1e4 + 2.0), rtol=1e-15
    )
