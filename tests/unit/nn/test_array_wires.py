"""Arrays of a model with wires of their own, as a drawing gives them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.unit.nn.test_line_order import WIRES, make_circuit, orders
from xbarspice import deployment
from xbarspice.core import hdf5
from xbarspice.engines.ngspice.chain import solve_network
from xbarspice.engines.nodal.engine import NodalEngine
from xbarspice.nn.chain import chain_of
from xbarspice.nn.origin import circuit_hash
from xbarspice.verification.corners import put_at_corner
from xbarspice.verification.forward import without

LAYOUTS = ["tiled", "folded"]


def drawn_wires(circuit, seed=0, spread=0.9, zero=0.1):
    """Different resistances for every place of most arrays, some of them 0."""
    rng = np.random.default_rng(seed)
    out = {}
    for k, array in enumerate(xb.nn.arrays(circuit)):
        rows, cols = array.crossbar.G.shape
        shapes = {"R_wl": (rows, cols - 1), "R_bl": (rows - 1, cols)}
        shapes |= {"R_driver": (rows,), "R_sense": (cols,)}
        if k % 3 == 1:
            del shapes["R_bl"]
        wires = {}
        for name, shape in shapes.items():
            R = 10 * WIRES[name] * (1 + spread * rng.uniform(-1, 1, shape))
            wires[name] = np.where(rng.random(shape) < zero, 0.0, R)
        out[array.name] = wires
    return out


class Recorder(NodalEngine):
    """The nodal engine, which keeps the arrays that it is given."""

    name = "recorder"

    def __init__(self):
        self.solved = []

    def _prepare(self, crossbar):
        self.solved += [crossbar.array(k) for k in range(len(crossbar.G_flat))]
        return super()._prepare(crossbar)


def same_array(one, other):
    return np.array_equal(one.G, other.G) and one.ends == other.ends


def solved(circuit, x, engine="nodal"):
    with torch.no_grad(), xb.nn.through(engine):
        return circuit(x)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_are_solved_with_their_own_wires(layout, device):
    """What an engine is given of each array are the devices, line ends and wires of its tile."""
    circuit, x = make_circuit(layout, device=device, **WIRES)
    plain, wires = solved(circuit, x), drawn_wires(circuit)
    xb.nn.put_wires(circuit, wires)
    for array in xb.nn.arrays(circuit):
        for name, R in WIRES.items():
            assert np.array_equal(array.crossbar.wires[name], wires[array.name].get(name, R))
    recorder = Recorder()
    own = solved(circuit, x, recorder)
    tiles = xb.nn.tiles(circuit)
    assert len(recorder.solved) == len(tiles)
    for tile in tiles:
        (given,) = (c for c in recorder.solved if same_array(c, tile.crossbar))
        for name, R in tile.crossbar.wires.items():
            solved_with = given.wires[name]
            assert np.array_equal(np.broadcast_to(R, np.shape(solved_with)), solved_with)
    assert (own - plain).abs().max() > 1e-3 * plain.abs().max()
    torch.testing.assert_close(solved(circuit, x, "ngspice"), own, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_ways_to_solve_a_model_agree(layout, device):
    """Surrogate, nodal engine, and the whole network as one ngspice deck; lines placed, too."""
    circuit, x = make_circuit(layout, device=device, **WIRES)
    xb.nn.put_wires(circuit, drawn_wires(circuit))
    xb.nn.place_lines(circuit, orders(circuit))
    exact = solved(circuit, x)
    with torch.no_grad():
        torch.testing.assert_close(circuit(x), exact, rtol=1e-9, atol=1e-12)
    deck = solve_network(chain_of(circuit, x), x).outputs
    np.testing.assert_allclose(deck, exact.numpy(), rtol=0, atol=1e-9 * np.abs(deck).max())


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_sees_the_wires_of_each_array(layout, device):
    """The gradient is the slope of the loss as the model computes it with these wires."""
    circuit, x = make_circuit(layout, device=device, **WIRES)
    xb.nn.put_wires(circuit, drawn_wires(circuit))
    weight = next(circuit.parameters())
    circuit(x).square().sum().backward()
    losses = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            weight.view(-1)[4] += step
            losses.append(float(circuit(x).square().sum()))
    slope = (losses[0] - losses[1]) / 2e-5
    assert weight.grad.view(-1)[4].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_read_has_the_leads_exchanged(layout):
    circuit, _ = make_circuit(layout, **WIRES)
    wires = drawn_wires(circuit)
    xb.nn.put_wires(circuit, wires)
    for array in xb.nn.arrays(circuit):
        for tile in array.tiles:
            own = wires[array.name]
            names = ("R_sense", "R_driver") if tile.read.reverse else ("R_driver", "R_sense")
            assert np.array_equal(tile.crossbar.R_driver, own[names[0]])
            assert np.array_equal(tile.crossbar.R_sense, own[names[1]])
    assert any(t.read.reverse for t in xb.nn.tiles(circuit)) == (layout == "folded")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_numbers_of_the_configuration_place_by_place_change_nothing(layout):
    circuit, x = make_circuit(layout, device="sinh_tio2", **WIRES)
    plain = solved(circuit, x)
    xb.nn.put_wires(
        circuit,
        {
            array.name: {
                "R_wl": np.full((array.crossbar.rows, array.crossbar.cols - 1), WIRES["R_wl"]),
                "R_bl": WIRES["R_bl"],
                "R_driver": np.full(array.crossbar.rows, WIRES["R_driver"]),
            }
            for array in xb.nn.arrays(circuit)
        },
    )
    torch.testing.assert_close(solved(circuit, x), plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wires_stay_where_they_are_when_lines_are_placed(layout):
    circuit, x = make_circuit(layout, **WIRES)
    wires = drawn_wires(circuit)
    xb.nn.put_wires(circuit, wires)
    before = solved(circuit, x)
    xb.nn.place_lines(circuit, orders(circuit))
    for array in xb.nn.arrays(circuit):
        assert np.array_equal(array.crossbar.R_wl, wires[array.name]["R_wl"])
    moved = solved(circuit, x)
    assert (moved - before).abs().max() > 1e-6 * before.abs().max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wires_stay_until_they_are_taken_back(layout):
    circuit, x = make_circuit(layout, **WIRES)
    plain, name = circuit_hash(circuit), xb.nn.arrays(circuit)[0].name
    first, second = drawn_wires(circuit, 1), drawn_wires(circuit, 2)
    xb.nn.put_wires(circuit, first)
    own, answer = circuit_hash(circuit), solved(circuit, x)
    assert own != plain
    assert torch.equal(solved(xb.nn.copy_circuit(circuit), x), answer)
    xb.nn.put_wires(circuit, {name: second[name]})
    assert not torch.equal(solved(circuit, x), answer)
    xb.nn.put_wires(circuit, {name: first[name]})
    assert circuit_hash(circuit) == own
    assert torch.equal(solved(circuit, x), answer)
    xb.nn.put_wires(circuit, None)
    assert circuit_hash(circuit) == plain


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_deployment_keeps_its_wires(layout, tmp_path):
    circuit, x = make_circuit(layout, **WIRES)
    xb.nn.place_lines(circuit, orders(circuit))
    wires = drawn_wires(circuit)
    xb.nn.put_wires(circuit, wires)
    path = tmp_path / "net.h5"
    xb.save(path, circuit)
    read = deployment.reading.read(path)
    assert any("wires of their own" in note for note in read.notes)
    for ours, theirs in zip(xb.nn.arrays(circuit), xb.nn.arrays(read.circuit), strict=True):
        for name, R in ours.crossbar.wires.items():
            assert np.array_equal(theirs.crossbar.wires[name], R)
    assert torch.equal(solved(read.circuit, x), solved(circuit, x))


def test_a_deployment_with_wires_that_do_not_fit_is_refused(tmp_path):
    circuit, _ = make_circuit("tiled")
    name = xb.nn.arrays(circuit)[0].name
    xb.nn.put_wires(circuit, {name: {"R_driver": np.ones(xb.nn.arrays(circuit)[0].crossbar.rows)}})
    path = tmp_path / "net.h5"
    xb.save(path, circuit)
    tree = hdf5.read_tree(path, deployment.reading.KIND)
    (stored,) = (m for m in tree["matrices"].values() if "wires" in m)
    for wires, words in (
        ({"tile": np.array([9, 0, 0]), "R_wl": 1.0}, "that of an array"),
        ({"tile": np.array([0, 0, 0]), "R_driver": np.ones(3)}, "`R_driver` must be one number"),
        ({"tile": np.array([0, 0]), "R_wl": 1.0}, "three numbers of a tile"),
        ({"tile": np.array([0, 0, 0])}, "and a resistance"),
        ({"tile": np.array([0, 0, 0]), "R_wl": -1.0}, "R_wl.*>= 0"),
        ({"tile": np.array([0, 0, 0]), "R_up": 1.0}, "R_up"),
    ):
        stored["wires"] = {"0": wires}
        hdf5.write_tree(path, tree, deployment.reading.KIND)
        with pytest.raises((xb.errors.InputError, xb.errors.StoreError), match=words):
            xb.load(path)


def test_wires_that_do_not_fit_are_refused_and_nothing_is_put():
    circuit, _ = make_circuit("tiled")
    plain, (first, *_) = circuit_hash(circuit), xb.nn.arrays(circuit)
    rows, cols = first.crossbar.G.shape
    good = {"R_wl": np.ones((rows, cols - 1))}
    for wires, words in (
        ({first.name: good, "nothing": good}, "belong to arrays"),
        ({first.name: good | {"R_up": 1.0}}, "R_up"),
        ({first.name: good | {"R_bl": np.ones((rows, cols))}}, r"\[0,0,0\]: `R_bl` must be"),
        ({first.name: good | {"R_sense": -1.0}}, "`R_sense` must be"),
    ):
        with pytest.raises(xb.errors.InputError, match=words):
            xb.nn.put_wires(circuit, wires)
        assert circuit_hash(circuit) == plain


def test_a_resistance_that_is_stated_is_that_of_all_arrays():
    circuit, _ = make_circuit("tiled", **WIRES)
    xb.nn.put_wires(circuit, drawn_wires(circuit))
    for layer in xb.nn.crossbar_layers(circuit).values():
        layer.matrices["weight"].change(R_wl=7.0, x_scale=2.0)
    for array in xb.nn.arrays(circuit):
        assert array.crossbar.R_wl == 7.0
        assert isinstance(array.crossbar.R_driver, np.ndarray)


def test_corners_and_causes_take_the_wires_of_each_array():
    circuit, _ = make_circuit("tiled", R_wl=0.0, R_bl=0.0)
    assert without(circuit, "wires and line ends") is None
    wires = drawn_wires(circuit)
    xb.nn.put_wires(circuit, wires)
    ideal = without(circuit, "wires and line ends")
    assert ideal is not None
    assert all(set(a.crossbar.wires.values()) == {0.0} for a in xb.nn.arrays(ideal))
    for layer in xb.nn.crossbar_layers(circuit).values():
        put_at_corner(layer.matrices["weight"], {"wires": 1.5})
    for array in xb.nn.arrays(circuit):
        assert np.array_equal(array.crossbar.R_wl, 1.5 * wires[array.name]["R_wl"])
