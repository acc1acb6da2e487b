"""MATLAB files: any names, units and versions; what does not fit is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

import xbarspice as xb
from tests.helpers import UNEVEN, asymmetric_crossbar
from xbarspice.core.errors import InputError
from xbarspice.exchange import matlab


def save_new(path, arrays):
    """As MATLAB writes v7.3: column by column, the class beside."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            data = file.create_dataset(name, data=np.atleast_2d(values).T)
            data.attrs["MATLAB_class"] = np.bytes_("double")


SAVES = {"5": savemat, "7.3": save_new}


@pytest.mark.parametrize("version", SAVES)
def test_any_names_and_units(tmp_path, version):
    array, V_in = asymmetric_crossbar(**UNEVEN)
    arrays = {
        "gmap": array.G * 1e6,
        "Rw": array.R_wl,
        "Rb": array.R_bl,
        "drv": array.R_driver / 1e3,
        "sense": array.R_sense,
        "V_in": V_in,
        "temperature": 300.0,
    }
    SAVES[version](tmp_path / "a.mat", arrays)
    names = {"G": "gmap:uS", "R_wl": "Rw", "R_bl": "Rb", "R_driver": "drv:kohm", "R_sense": "sense"}
    imported = matlab.read(tmp_path / "a.mat", names)
    (one,) = imported.arrays
    np.testing.assert_allclose(one.crossbar.G, array.G, rtol=1e-15)
    for name in ("R_wl", "R_bl", "R_driver", "R_sense"):
        np.testing.assert_allclose(getattr(one.crossbar, name), getattr(array, name), rtol=1e-15)
    np.testing.assert_array_equal(one.V_in, [V_in])
    assert imported.notes == ("`temperature` is not read.",)


def test_resistances_of_devices_and_a_turned_matrix(tmp_path):
    array, _ = asymmetric_crossbar(R_wl=[[5.0, 1.0], [2.0, 3.0]], R_driver=0.0, R_sense=0.0)
    with np.errstate(divide="ignore"):
        R = (1 / array.G).T
    savemat(tmp_path / "a.mat", {"R": R / 1e3, "R_wl": array.R_wl.T, "R_bl": 2.0})
    imported = matlab.read(tmp_path / "a.mat", {"R_device": "R:kohm"}, transpose=True)
    crossbar = imported.arrays[0].crossbar
    np.testing.assert_allclose(crossbar.G, array.G, rtol=1e-15)
    np.testing.assert_array_equal(crossbar.R_wl, array.R_wl)
    assert imported.notes == (
        "R_driver is not in the file: 0 ohm.",
        "R_sense is not in the file: 0 ohm.",
    )


@pytest.mark.parametrize("ends", [xb.READ, xb.LineEnds(wl_right="driven", bl_top="sensed")])
def test_an_array_survives_the_way_out_and_back(tmp_path, ends):
    plain = {"R_wl": [[5.0, 0.0], [7.5, 1e12]], "R_bl": [[2.0, 0.0, 3.25]]}
    array, V_in = asymmetric_crossbar(**plain, ends=ends)
    matlab.write(tmp_path / "a.mat", array, V_in)
    (back,) = matlab.read(tmp_path / "a.mat").arrays
    assert np.array_equal(back.crossbar.G, array.G)
    for name, R in array.wires.items():
        assert np.array_equal(getattr(back.crossbar, name), R)
    assert np.array_equal(back.crossbar.wl_ends, array.wl_ends)
    assert np.array_equal(back.crossbar.bl_ends, array.bl_ends)
    answers = [xb.solve(c, V_in, engine="nodal").I_out for c in (array, back.crossbar)]
    assert np.array_equal(*answers)
    assert ("word_line_ends" in loadmat(tmp_path / "a.mat")) == (ends is not xb.READ)


@pytest.mark.parametrize(
    ("arrays", "names", "reason"),
    [
        ({"A": [[1.0]]}, {}, "conductances \\(G\\) or resistances"),
        ({"G": [[1.0]], "R_device": [[1.0]]}, {}, "received both"),
        ({"A": [[1.0]]}, {"G": "B"}, "must hold `B`, named as G; received A"),
        ({"G": [[1.0]]}, {"Q": "G"}, "a name must be of one of"),
        ({"A": [[1.0]]}, {"G": "A:ohm"}, "G must have a unit of S"),
        ({"R_device": [[1.0, -2.0]]}, {}, "must be > 0 ohm"),
        ({"G": [[1.0, 2.0]], "V_in": [[1.0, 2.0]]}, {}, "`V_in` must have the shape"),
        ({"G": [[1.0, 2.0]], "R_wl": [[1.0, 2.0, 3.0]]}, {}, "`R_wl`"),
        ({"G": [[1.0]], "word_line_ends": [[1, 0]]}, {}, "both kinds"),
        ({"G": [[1.0]], "V_in": [[1.0], [2.0]], "I_out": [[1.0]]}, {}, "as many vectors"),
        ({"G": [[1 + 2j]]}, {}, "conductances \\(G\\) or resistances"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, arrays, names, reason):
    savemat(tmp_path / "a.mat", arrays)
    with pytest.raises(InputError, match=reason):
        matlab.read(tmp_path / "a.mat", names)


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="must exist"):
        matlab.read(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"G": [[1.0]]})
    (tmp_path / "b.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:150])
    with pytest.raises(InputError, match="whole MATLAB file"):
        matlab.read(tmp_path / "b.mat")


def test_devices_that_are_not_ohmic_are_refused(tmp_path):
    array, _ = asymmetric_crossbar(device="sinh_tio2")
    with pytest.raises(InputError, match="sinh_tio2"):
        matlab.write(tmp_path / "a.mat", array)
    assert not list(tmp_path.iterdir())
