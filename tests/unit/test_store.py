"""HDF5 files: round trips, and damage that is noticed."""

from __future__ import annotations

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
    with pytest.raises(StoreError, match="readable HDF5"):
        store.read_tree(path, "test")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.h5"
    store.write_tree(path, {"a": 1}, "test")
    with pytest.raises(TypeError):
        store.write_tree(path, {"a": object()}, "test")
    assert store.read_tree(path, "test") == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
