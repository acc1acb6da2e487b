"""HDF5 files: round trips, and damage that is noticed."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import UNEVEN, asymmetric_crossbar
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import InputError, StoreError


def test_the_asymmetric_example_comes_back_equal(tmp_path):
    ends = xb.LineEnds(wl_right=["driven", "floating"], bl_top=["sensed", "floating", "driven"])
    crossbar, _ = asymmetric_crossbar(device=xb.devices.SinhTiO2(b=1.5), ends=ends)
    crossbar_file.save(tmp_path / "c.h5", crossbar)
    again = crossbar_file.load(tmp_path / "c.h5")
    assert np.array_equal(again.G, crossbar.G)
    assert again.device == crossbar.device
    for name in ("R_wl", "R_bl", "R_driver", "R_sense"):
        assert getattr(again, name) == getattr(crossbar, name)
    assert (again.wl_ends == crossbar.wl_ends).all()
    assert (again.bl_ends == crossbar.bl_ends).all()


def test_each_segment_and_end_comes_back(tmp_path):
    crossbar, _ = asymmetric_crossbar(**UNEVEN)
    batch = crossbar.replace(G=np.stack([crossbar.G] * 3), R_bl=np.arange(9.0).reshape(3, 1, 3))
    narrow = xb.Crossbar([[1e-4], [2e-4]], R_wl=np.ones((2, 0)), R_sense=[3.0])
    for k, one in enumerate((crossbar, batch, narrow)):
        crossbar_file.save(tmp_path / f"{k}.h5", one)
        again = crossbar_file.load(tmp_path / f"{k}.h5")
        for name, R in one.wires.items():
            assert np.array_equal(again.wires[name], R)
            assert np.shape(again.wires[name]) == np.shape(R) or np.size(R) == 1


def test_a_file_of_the_first_version_is_read_and_one_of_a_later_version_refused(tmp_path):
    crossbar, _ = asymmetric_crossbar()
    tree = crossbar_file.to_tree(crossbar)
    version = tree.pop("version")
    hdf5.write_tree(tmp_path / "old.h5", tree, "crossbar")
    assert crossbar_file.load(tmp_path / "old.h5").wires == crossbar.wires
    hdf5.write_tree(tmp_path / "new.h5", tree | {"version": version + 1}, "crossbar")
    with pytest.raises(StoreError, match="a later xbarspice"):
        crossbar_file.load(tmp_path / "new.h5")


def test_plain_values_come_back(tmp_path):
    tree = {"n": 3, "f": 0.1, "s": "text", "none": None, "flag": True, "g": {"a": np.arange(3)}}
    hdf5.write_tree(tmp_path / "t.h5", tree, "test")
    again = hdf5.read_tree(tmp_path / "t.h5", "test")
    assert again["g"]["a"].tolist() == [0, 1, 2]
    assert {k: v for k, v in again.items() if k != "g"} == {
        k: v for k, v in tree.items() if k != "g"
    }


def test_damage_and_other_kinds_are_noticed(tmp_path):
    path = tmp_path / "t.h5"
    with pytest.raises(InputError, match="must exist"):
        hdf5.read_tree(path, "test")
    hdf5.write_tree(path, {"a": np.arange(1000.0)}, "test")
    with pytest.raises(StoreError, match="kind 'other'"):
        hdf5.read_tree(path, "other")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="does not give its hash"):
        hdf5.read_tree(path, "test")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.h5"
    hdf5.write_tree(path, {"a": 1}, "test")
    with pytest.raises(TypeError):
        hdf5.write_tree(path, {"a": object()}, "test")
    assert hdf5.read_tree(path, "test") == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def saved(tmp_path):
    crossbar, _ = asymmetric_crossbar(device=xb.devices.SinhTiO2(b=1.5))
    path = tmp_path / "c.h5"
    crossbar_file.save(path, crossbar)
    return path


def _delete_ends(file):
    del file["ends"]


def _raise_resistance(file):
    file.attrs["R_wl"] = np.inf


def _misplace(file):
    file["ends/word_lines"][0, 0] = -1


def _change_conductance(file):
    file["G"][0, 0] = np.nextafter(file["G"][0, 0], 1.0)


def _rename(file):
    file.move("G", "G9")


def _link_to_nothing(file):
    file["G9"] = h5py.SoftLink("/nothing")


def _close_a_circle(file):
    file["ends/again"] = file["ends"]


CHANGES = (
    _delete_ends,
    _raise_resistance,
    _misplace,
    _change_conductance,
    _rename,
    _link_to_nothing,
    _close_a_circle,
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused(saved, change):
    with h5py.File(saved, "r+") as file:
        change(file)
    with pytest.raises(StoreError, match=r"`c\.h5` must (hold what|be a readable)"):
        crossbar_file.load(saved)
    with pytest.raises(StoreError, match=r"`c\.h5`"):
        hdf5.read_plain(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_link_to_nothing, "`G9` must be a group or a dataset; it is a link to nothing"),
        (_close_a_circle, "groups must lie at most 8 deep"),
    ],
)
def test_links_and_circles_of_a_file_of_another_origin_are_refused(tmp_path, change, words):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_group("ends")
        change(file)
    with pytest.raises(StoreError, match=words):
        hdf5.read_plain(tmp_path / "t.h5")


def _tree(path):
    return hdf5.read_tree(path, "crossbar")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("G"), "G: "),
        (lambda t: t["ends"].pop("bit_lines"), "ends.bit_lines: "),
        (lambda t: t.update(G=-t["G"]), "`G` must be >= 0"),
        (lambda t: t.update(G=t["G"] * np.nan), "G.*finite"),
        (lambda t: t.update(R_wl=1e308), "`R_wl` must be a finite number"),
        (lambda t: t.update(R_sense=-1.0), "R_sense.*>= 0"),
        (lambda t: t.update(R_bl="two"), "R_bl"),
        (lambda t: t.update(R_bl=np.ones((2, 2))), "`R_bl` must be one number, or an array"),
        (lambda t: t.update(R_bl=np.array([[1.0, -1.0, 1.0]])), "R_bl.*>= 0"),
        (lambda t: t.update(device="magic"), "device.*magic"),
        (lambda t: t.update(device=3), "device: must be text"),
        (lambda t: t["device_parameters"].update(colour=1.0), "colour"),
        (lambda t: t["device_parameters"].update(b=np.inf), "device_parameters.b.*finite"),
        (lambda t: t["ends"].update(word_lines=np.full((2, 2), 9)), "codes 0, 1"),
        (lambda t: t["ends"].update(word_lines=np.full((2, 2), -1)), "word_lines.*>= 0"),
        (lambda t: t["ends"].update(word_lines=np.ones((2, 3), int)), "two a line"),
        (lambda t: t["ends"].update(word_lines=np.ones((5, 2), int)), "wl"),
        (lambda t: t.update(more=1), "more"),
    ],
)
def test_a_file_with_entries_out_of_range_is_refused_though_its_hash_is_right(saved, change, words):
    tree = _tree(saved)
    change(tree)
    hdf5.write_tree(saved, tree, "crossbar")
    with pytest.raises(StoreError, match=words):
        crossbar_file.load(saved)


def test_every_flipped_byte_is_noticed(saved):
    """Every byte of the head, and 1500 places of the rest."""
    whole = saved.read_bytes()
    rng = np.random.default_rng(0)
    rest = hdf5.HEAD + rng.choice(len(whole) - hdf5.HEAD, 1500, replace=False)
    for at in (*range(hdf5.HEAD), *rest):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        with pytest.raises(StoreError):
            _tree(saved)


def _as_of_the_first_format(path):
    """Without the hash, as files of xbarspice 0.1.0 were."""
    with h5py.File(path, "r+") as file:
        file.attrs["xbarspice_format"] = 1
    path.write_bytes(path.read_bytes()[hdf5.HEAD :])


def test_a_file_of_the_first_format_says_how_to_renew_it(saved):
    _as_of_the_first_format(saved)
    with pytest.raises(StoreError, match=r"written by xbarspice 0\.1\.0.*`xbarspice verify`"):
        crossbar_file.load(saved)


def test_a_file_that_another_process_writes_is_said_to_be_open_there(saved):
    """Not damaged: nothing is to be made again."""
    program = (
        f"import h5py, sys; f = h5py.File({str(saved)!r}, 'r+'); print('open'); "
        "sys.stdout.flush(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="open in another process") as caught:
            crossbar_file.load(saved)
        other.stdin.close()
        other.wait()
    assert "again when that process has closed it" in str(caught.value)
    assert "Make it" not in str(caught.value)
    crossbar_file.load(saved)


def test_arrays_of_matlab_come_as_matlab_shows_them(tmp_path):
    """A v7.3 file as MATLAB writes it: columns first, classes as attributes, text as codes."""
    G = np.arange(6.0).reshape(2, 3)
    with h5py.File(tmp_path / "m.h5", "w", userblock_size=512) as file:
        for name, value, word in (
            ("G", G.T, "double"),
            ("R_wl", np.full((1, 1), 2.0), "double"),
            ("device", np.array([[ord(c)] for c in "ohmic"], np.uint16), "char"),
        ):
            file.create_dataset(name, data=value).attrs["MATLAB_class"] = np.bytes_(word)
        empty = file.create_dataset("V_in", data=np.array([0, 2], np.uint64))
        empty.attrs["MATLAB_class"], empty.attrs["MATLAB_empty"] = np.bytes_("double"), 1
    tree = hdf5.read_plain(tmp_path / "m.h5")
    np.testing.assert_array_equal(tree["G"], G)
    assert tree["device"] == "ohmic"
    assert tree["R_wl"].shape == (1, 1)
    assert tree["V_in"].shape == (0, 2)


def test_a_file_without_its_hash_is_refused(saved):
    saved.write_bytes(saved.read_bytes()[512:])
    with pytest.raises(StoreError, match="must carry its content hash"):
        crossbar_file.load(saved)
    with pytest.raises(StoreError, match="must carry its content hash"):
        hdf5.read_plain(saved)
