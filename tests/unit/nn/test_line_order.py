"""Lines of an array that carry other lines of its matrix than they do as they come."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice import deployment
from xbarspice.core import hdf5
from xbarspice.deployment.schema import hash_of
from xbarspice.engines.ngspice.chain import solve_network
from xbarspice.nn.chain import chain_of
from xbarspice.variability import BiasingSchemeEffect

SIZES = {"tiled": (8, 6), "folded": (64, 64)}


def make_circuit(layout, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(11, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    x = torch.rand(5, 11, dtype=torch.float64)
    rows, cols = SIZES[layout]
    config = xb.ArrayConfig(layout=layout, tile_rows=rows, tile_cols=cols, bias="array", **options)
    return xb.nn.convert(model, config, calibrate=x).eval(), x


def orders(circuit, seed=0, keep=()):
    """A random order of all lines that may take each other's place, on most of the arrays."""
    rng = np.random.default_rng(seed)
    out = {}
    for k, array in enumerate(xb.nn.arrays(circuit)):
        if k % 3 == 2 or array.name in keep:
            continue
        rows, cols = (np.arange(n) for n in array.crossbar.G.shape)
        words, bits = array.like_lines
        for group in words:
            rows[group] = rng.permutation(group)
        if array.tiles[0].config.layout == "tiled":
            pairs = rng.permutation(len(cols) // 2)
            cols = np.stack([2 * pairs, 2 * pairs + 1], axis=1).reshape(-1)
        else:
            for group in bits:
                cols[group] = rng.permutation(group)
        out[array.name] = (rows, cols)
    return out


WIRES = {"R_wl": 3.0, "R_bl": 5.0, "R_driver": 40.0, "R_sense": 15.0}


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_without_wire_segments_the_answers_do_not_depend_on_the_lines(layout, device):
    """Then only the leads are left, and every line of a group has the same."""
    wires = WIRES | {"R_wl": 0.0, "R_bl": 0.0}
    circuit, x = make_circuit(layout, device=device, **wires)
    with torch.no_grad():
        plain = circuit(x)
        before = {a.name: a.crossbar.G for a in xb.nn.arrays(circuit)}
        placed = orders(circuit)
        xb.nn.place_lines(circuit, placed)
        torch.testing.assert_close(circuit(x), plain, rtol=1e-9, atol=1e-12)
    for array in xb.nn.arrays(circuit):
        if array.name in placed:
            rows, cols = placed[array.name]
            assert np.array_equal(array.crossbar.G[np.ix_(rows, cols)], before[array.name])
            assert not np.array_equal(array.crossbar.G, before[array.name])
        else:
            assert np.array_equal(array.crossbar.G, before[array.name])


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_with_wires_all_engines_solve_the_lines_where_they_stand(layout, device):
    """Answers change, surrogate and nodal agree, and so does every tile by its own drive."""
    circuit, x = make_circuit(layout, device=device, **WIRES)
    with torch.no_grad():
        plain = circuit(x)
        xb.nn.place_lines(circuit, orders(circuit))
        moved = circuit(x)
        assert (moved - plain).abs().max() > 1e-4 * plain.abs().max()
        with xb.nn.through("nodal"):
            torch.testing.assert_close(circuit(x), moved, rtol=1e-8, atol=1e-10)
    report = xb.verify(circuit, x, reference="ngspice")
    assert report.passed


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_a_deck_of_the_whole_model_holds_the_lines_where_they_stand(layout):
    circuit, x = make_circuit(layout, device="sinh_tio2", **WIRES)
    xb.nn.place_lines(circuit, orders(circuit))
    answer = solve_network(chain_of(circuit, x), x)
    with torch.no_grad(), xb.nn.through("nodal"):
        expected = circuit(x).numpy()
    np.testing.assert_allclose(answer.outputs, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_devices_of_a_die_are_put_where_they_were_measured(layout):
    circuit, x = make_circuit(layout, **WIRES)
    xb.nn.place_lines(circuit, orders(circuit))
    rng = np.random.default_rng(3)
    G = {
        a.name: a.crossbar.G * rng.uniform(0.9, 1.1, a.crossbar.G.shape)
        for a in xb.nn.arrays(circuit)
    }
    xb.nn.put_conductances(circuit, G)
    for array in xb.nn.arrays(circuit):
        used = array.crossbar.G > 0
        assert np.array_equal(array.crossbar.G[used], G[array.name][used])
    with torch.no_grad(), xb.nn.through("nodal"):
        expected = circuit(x)
    with torch.no_grad():
        torch.testing.assert_close(circuit(x), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_errors_are_drawn_for_the_place_where_a_device_stands(layout):
    """The device in the last corner of an array is written last, so it never drifts."""
    circuit, _ = make_circuit(layout, variation=BiasingSchemeEffect(), **WIRES)
    xb.nn.place_lines(circuit, orders(circuit, seed=2))
    targets = [a.crossbar.G for a in xb.nn.arrays(circuit)]
    xb.nn.program(circuit, 0)
    for array, G in zip(xb.nn.arrays(circuit), targets, strict=True):
        changed = array.crossbar.G != G
        assert not changed[-1, -1]
        assert changed.mean() > 0.5


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_gradients_go_through_placed_lines(layout, device):
    circuit, x = make_circuit(layout, device=device, **WIRES)
    xb.nn.place_lines(circuit, orders(circuit))
    weight = circuit[0].weight
    circuit(x).square().sum().backward()
    with torch.no_grad():
        for index in ((2, 3), (6, 10)):
            losses = []
            for step in (1e-5, -1e-5):
                before = weight[index].item()
                weight[index] = before + step
                losses.append(circuit(x).square().sum().item())
                weight[index] = before
            slope = (losses[0] - losses[1]) / 2e-5
            assert weight.grad[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_lines_stand_until_they_are_taken_back(layout):
    circuit, x = make_circuit(layout, **WIRES)
    with torch.no_grad():
        plain = circuit(x)
        first, second = orders(circuit, 1), orders(circuit, 2)
        xb.nn.place_lines(circuit, first)
        moved = circuit(x)
        assert torch.equal(xb.nn.copy_circuit(circuit)(x), moved)
        xb.nn.place_lines(circuit, second)
        assert not torch.equal(circuit(x), moved)
        xb.nn.place_lines(circuit, first)
        torch.testing.assert_close(circuit(x), moved, rtol=1e-12, atol=0)
        xb.nn.place_lines(circuit, None)
        assert torch.equal(circuit(x), plain)


def test_lines_that_cannot_stand_so_are_refused():
    circuit, _ = make_circuit("tiled")
    array = xb.nn.arrays(circuit)[0]
    rows, cols = (np.arange(n) for n in array.crossbar.G.shape)
    split = cols.copy()
    split[[1, 2]] = [2, 1]
    for lines, words in (
        ({"nothing": (rows, cols)}, "belong to arrays"),
        ({array.name: (rows[:-1], cols)}, "numbers of lines"),
        ({array.name: (rows * 1.0, cols)}, "numbers of lines"),
        ({array.name: (rows * 0, cols)}, "must permute"),
        ({array.name: (rows, split)}, "must stay together"),
    ):
        with pytest.raises(xb.errors.InputError, match=words):
            xb.nn.place_lines(circuit, lines)
    folded, _ = make_circuit("folded")
    (array,) = xb.nn.arrays(folded)
    rows, cols = (np.arange(n) for n in array.crossbar.G.shape)
    with pytest.raises(xb.errors.InputError, match="do the same in every read"):
        xb.nn.place_lines(folded, {array.name: (rows[::-1], cols)})


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_a_deployment_keeps_its_lines(layout, tmp_path):
    circuit, x = make_circuit(layout, variation=BiasingSchemeEffect(), **WIRES)
    xb.nn.place_lines(circuit, orders(circuit))
    xb.nn.program(circuit, 1)
    path = tmp_path / "net.h5"
    xb.save(path, circuit)
    loaded = xb.load(path)
    pairs = zip(xb.nn.arrays(loaded), xb.nn.arrays(circuit), strict=True)
    assert all(np.array_equal(a.crossbar.G, b.crossbar.G) for a, b in pairs)
    with torch.no_grad():
        assert torch.equal(loaded(x), circuit(x))


def test_a_deployment_with_other_lines_is_refused(tmp_path):
    circuit, _ = make_circuit("tiled")
    name = xb.nn.arrays(circuit)[0].name
    cols = np.arange(xb.nn.arrays(circuit)[0].crossbar.cols)
    rows = np.arange(xb.nn.arrays(circuit)[0].crossbar.rows)[::-1]
    xb.nn.place_lines(circuit, {name: (rows, cols)})
    path = tmp_path / "net.h5"
    xb.save(path, circuit)
    tree = hdf5.read_tree(path, deployment.reading.KIND)
    (stored,) = (m for m in tree["matrices"].values() if "orders" in m)
    tile = json.loads(bytes(stored["orders"]))[0]
    for change, hashed, words in (
        ([0, 0, 0, *tile[3:]], False, "must have the hash"),
        ([9, 0, 0, *tile[3:]], True, "that of an array"),
        ([0, 0, 0, tile[3][:-1], tile[4]], True, "numbers of lines"),
        ([0, 0, 0, tile[3]], True, "must be consistent"),
    ):
        text = np.frombuffer(json.dumps([change]).encode(), np.uint8)
        stored["orders"] = text
        stored["orders_sha256"] = hash_of(text) if hashed else "0" * 64
        hdf5.write_tree(path, tree, deployment.reading.KIND)
        with pytest.raises((xb.errors.InputError, xb.errors.StoreError), match=words):
            xb.load(path)


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_conductances_put_in_turn_are_never_mistaken_for_each_other(layout):
    """Devices that were put and dropped may leave their place in memory to the next ones."""
    circuit, x = make_circuit(layout, **WIRES)
    rng = np.random.default_rng(5)
    for _ in range(30):
        G = {
            a.name: a.crossbar.G * rng.uniform(0.5, 1.5, a.crossbar.G.shape)
            for a in xb.nn.arrays(circuit)
        }
        xb.nn.put_conductances(circuit, G)
        with torch.no_grad():
            z = circuit(x)
            with xb.nn.through("nodal"):
                torch.testing.assert_close(circuit(x), z, rtol=1e-8, atol=1e-10)
        xb.nn.put_conductances(circuit, None)
