"""HDF5 files: round trips, and damage that is noticed."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice import mapping, store
from xbarspice.errors import InputError, StoreError


def test_the_asymmetric_example_comes_back_equal(tmp_path):
    ends = xb.LineEnds(wl_right=["driven", "floating"], bl_top=["sensed", "floating", "driven"])
    crossbar, _ = asymmetric_crossbar(device=xb.devices.SinhTiO2(b=1.5), ends=ends)
    store.write_tree(tmp_path / "c.h5", store.crossbar_to_tree(crossbar), "crossbar")
    again = store.crossbar_from_tree(store.read_tree(tmp_path / "c.h5", "crossbar"))
    assert np.array_equal(again.G, crossbar.G)
    assert again.device == crossbar.device
    for name in ("R_wl", "R_bl", "R_driver", "R_sense"):
        assert getattr(again, name) == getattr(crossbar, name)
    assert (again.wl_ends == crossbar.wl_ends).all()
    assert (again.bl_ends == crossbar.bl_ends).all()


@pytest.mark.parametrize("layout", ["folded", "tiled"])
def test_a_mapped_network_comes_back_and_answers_the_same(tmp_path, network, layout):
    from xbarspice.studies.inference import infer

    mapped = mapping.map_network(network, layout=layout, device="sinh_tio2")
    store.save_mapped(tmp_path / "m.h5", mapped)
    again = store.load_mapped(tmp_path / "m.h5")
    x = np.array([[0.3, 0.8], [0.9, 0.1]])
    a, b = infer(mapped, x, "nodal"), infer(again, x, "nodal")
    assert all(np.array_equal(p, q) for p, q in zip(a.sums, b.sums, strict=True))


def test_plain_values_come_back(tmp_path):
    tree = {"n": 3, "f": 0.1, "s": "text", "none": None, "flag": True, "g": {"a": np.arange(3)}}
    store.write_tree(tmp_path / "t.h5", tree, "test")
    again = store.read_tree(tmp_path / "t.h5", "test")
    assert again["g"]["a"].tolist() == [0, 1, 2]
    assert {k: v for k, v in again.items() if k != "g"} == {
        k: v for k, v in tree.items() if k != "g"
    }


def test_damage_and_other_kinds_are_noticed(tmp_path):
    path = tmp_path / "t.h5"
    with pytest.raises(InputError, match="must exist"):
        store.read_tree(path, "test")
    store.write_tree(path, {"a": np.arange(1000.0)}, "test")
    with pytest.raises(StoreError, match="kind 'other'"):
        store.read_tree(path, "other")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="does not give its hash"):
        store.read_tree(path, "test")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.h5"
    store.write_tree(path, {"a": 1}, "test")
    with pytest.raises(TypeError):
        store.write_tree(path, {"a": object()}, "test")
    assert store.read_tree(path, "test") == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def mapped_file(tmp_path, network):
    path = tmp_path / "m.h5"
    store.save_mapped(path, mapping.map_network(network, layout="folded", device="sinh_tio2"))
    return path


def _delete_layer(file):
    del file["layers/1"]


def _raise_gain(file):
    file["layers/0"].attrs["gain"] = np.inf


def _misplace(file):
    file["blocks/0/lines_in"][0, 0] = -1


def _change_weight(file):
    file["network/W0"][0, 0] += 1e-15


def _rename(file):
    file.move("network/b0", "network/b9")


def _link_to_nothing(file):
    file["network/W0x"] = h5py.SoftLink("/nothing")


def _close_a_circle(file):
    file["layers/0/again"] = file["layers"]


CHANGES = (
    _delete_layer,
    _raise_gain,
    _misplace,
    _change_weight,
    _rename,
    _link_to_nothing,
    _close_a_circle,
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused(mapped_file, change):
    with h5py.File(mapped_file, "r+") as file:
        change(file)
    with pytest.raises(StoreError, match=r"`m\.h5` must (hold what|be a readable)"):
        store.load_mapped(mapped_file)
    with pytest.raises(StoreError, match=r"`m\.h5`"):
        store.read_plain(mapped_file)


def _tree(path):
    return store.read_tree(path, "mapped network")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["layers"].pop("1"), "network must hold"),
        (lambda t: t["layers"].pop("0"), "layers must be numbered from 0 without a gap"),
        (lambda t: t["layers"]["0"].update(gain=np.inf), "layers.0.gain.*finite number > 0"),
        (lambda t: t["layers"]["0"].update(gain=0.0), "layers.0.gain.*finite number > 0"),
        (lambda t: t["layers"]["1"].update(digital_bias=np.zeros(2)), "one digital bias"),
        (lambda t: t["blocks"]["0"].update(lines_in=t["blocks"]["0"]["lines_in"] - 1), ">= 0"),
        (lambda t: t["blocks"]["0"].update(lines_in=t["blocks"]["0"]["lines_in"] + 7), "8 lines"),
        (lambda t: t["blocks"]["0"].update(array=1), "names layer 0, array 1"),
        (lambda t: t["blocks"]["0"].update(reverse="yes"), "blocks.0.reverse"),
        (lambda t: t["blocks"].pop("1"), "every weight exactly once"),
        (lambda t: t["blocks"].update({"2": t["blocks"]["1"]}), "every weight exactly once"),
        (lambda t: t["arrays"]["0"].update(G=-t["arrays"]["0"]["G"]), "`G` must be >= 0"),
        (lambda t: t["arrays"]["0"].update(R_wl=1e308), "`R_wl` must be a finite number"),
        (lambda t: t["arrays"]["0"].update(device="magic"), "device.*magic"),
        (lambda t: t["arrays"]["0"]["ends"].update(word_lines=np.full((8, 2), 9)), "codes 0, 1"),
        (lambda t: t.update(activation=3), "activation: must be text"),
        (lambda t: t.update(G_min=1.0), "G_min must be smaller than G_max"),
        (lambda t: t.update(more=1), "more"),
        (lambda t: t["network"].update(W0=t["network"]["W0"] * np.nan), "W0.*finite"),
    ],
)
def test_a_file_with_entries_out_of_range_is_refused_though_its_hash_is_right(
    mapped_file, change, words
):
    tree = _tree(mapped_file)
    change(tree)
    store.write_tree(mapped_file, tree, "mapped network")
    with pytest.raises(StoreError, match=words):
        store.load_mapped(mapped_file)


def test_every_flipped_byte_is_noticed_or_changes_nothing(mapped_file):
    """1500 places of the file; a byte between its parts may be anything."""
    whole = mapped_file.read_bytes()
    rng = np.random.default_rng(0)
    tree = repr(_tree(mapped_file))
    refused = 0
    for at in rng.choice(len(whole), 1500, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        mapped_file.write_bytes(damaged)
        try:
            assert repr(_tree(mapped_file)) == tree
        except StoreError:
            refused += 1
    assert refused > 700


def test_a_file_of_the_first_format_says_how_to_renew_it(mapped_file):
    with h5py.File(mapped_file, "r+") as file:
        file.attrs["xbarspice_format"] = 1
    mapped_file.write_bytes(mapped_file.read_bytes()[512:])  # without the hash, as they were
    with pytest.raises(StoreError, match=r"written by xbarspice 0\.1\.0.*`xbarspice map NETWORK"):
        store.load_mapped(mapped_file)


def test_a_file_that_another_process_writes_is_said_to_be_open_there(mapped_file):
    """Not damaged: nothing is to be made again."""
    program = (
        f"import h5py, sys; f = h5py.File({str(mapped_file)!r}, 'r+'); print('open'); "
        "sys.stdout.flush(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="open in another process") as caught:
            store.load_mapped(mapped_file)
        other.stdin.close()
        other.wait()
    assert "again when that process has closed it" in str(caught.value)
    assert "Make it" not in str(caught.value)
    store.load_mapped(mapped_file)


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
    tree = store.read_plain(tmp_path / "m.h5")
    np.testing.assert_array_equal(tree["G"], G)
    assert tree["device"] == "ohmic"
    assert tree["R_wl"].shape == (1, 1)
    assert tree["V_in"].shape == (0, 2)


def test_a_file_without_its_hash_is_refused(mapped_file):
    mapped_file.write_bytes(mapped_file.read_bytes()[512:])
    with pytest.raises(StoreError, match="must carry its content hash"):
        store.load_mapped(mapped_file)
    with pytest.raises(StoreError, match="must carry its content hash"):
        store.read_plain(mapped_file)
