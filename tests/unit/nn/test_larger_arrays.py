"""Matrices on arrays with more lines than they need: the unused devices belong to the circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice import deployment
from xbarspice.engines.ngspice.chain import solve_network
from xbarspice.mapping.reads import LargerArray, LineOrder
from xbarspice.nn.chain import chain_of
from xbarspice.nn.origin import circuit_hash
from xbarspice.nn.pairs import stack_states

WIRES = {"R_wl": 3.0, "R_bl": 5.0, "R_driver": 40.0, "R_sense": 15.0}
SIZES = {"tiled": (8, 6), "folded": (64, 64)}


def make_circuit(layout, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.rand(4, 5, dtype=torch.float64)
    rows, cols = SIZES[layout]
    options = {"bias": "array", **WIRES, **options}
    config = xb.ArrayConfig(layout=layout, tile_rows=rows, tile_cols=cols, **options)
    return xb.nn.convert(model, config, calibrate=x).eval(), x


def larger_order(array, unused, more=3, seed=0, G=None):
    """Lines of an array with `more` spare lines on each side, and devices there."""
    rng = np.random.default_rng(seed)
    rows, cols = array.crossbar.G.shape
    width = 2 if array.bit_lines_in_pairs else 1
    shape = (rows + more, cols + 2 * more)
    if G is None:
        G = rng.uniform(5e-5, 8e-4, shape)
    words = rng.permutation(shape[0])[:rows]
    units = rng.permutation(shape[1] // width)[: cols // width]
    bits = (width * units[:, None] + np.arange(width)).reshape(-1)
    held = LargerArray(G=tuple(map(tuple, G.tolist())), unused=unused)
    return LineOrder(rows=tuple(words.tolist()), cols=tuple(bits.tolist()), array=held)


def place_first(circuit, unused, **options):
    array = xb.nn.arrays(circuit)[0]
    order = larger_order(array, unused, **options)
    xb.nn.place_lines(circuit, {array.name: order})
    return array.name, order


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("unused", ["driven", "floating"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_ngspice_and_nodal_solve_the_whole_larger_array(layout, unused, device):
    circuit, x = make_circuit(layout, device=device)
    with torch.no_grad():
        plain = circuit(x)
        before = xb.nn.arrays(circuit)[0].crossbar.G
        name, order = place_first(circuit, unused)
        moved = circuit(x)
        assert (moved - plain).abs().max() > 1e-5 * plain.abs().max()
        with xb.nn.through("nodal"):
            torch.testing.assert_close(circuit(x), moved, rtol=1e-8, atol=1e-10)
        with xb.nn.through("ngspice"):
            torch.testing.assert_close(circuit(x), moved, rtol=1e-7, atol=1e-9)
    array = xb.nn.arrays(circuit)[0]
    held = np.array(order.array.G)
    assert array.name == name
    assert array.crossbar.G.shape == held.shape
    used = np.zeros(held.shape, bool)
    used[np.ix_(order.rows, order.cols)] = True
    assert np.array_equal(array.crossbar.G[~used], held[~used])
    assert np.array_equal(array.crossbar.G[np.ix_(order.rows, order.cols)], before)
    assert xb.verify(circuit, x, reference="ngspice").passed


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_unused_devices_change_the_answers(layout):
    """Floating lines carry current past the devices in use; without devices there they do not."""
    answers = {}
    for unused in ("driven", "floating"):
        for scale in (0.0, 1.0):
            circuit, x = make_circuit(layout)
            array = xb.nn.arrays(circuit)[0]
            shape = (array.crossbar.G.shape[0] + 3, array.crossbar.G.shape[1] + 6)
            if scale == 0.0 and unused == "floating":
                continue  # a line without any path is refused
            place_first(circuit, unused, G=scale * np.full(shape, 6e-4))
            with torch.no_grad():
                answers[unused, scale] = circuit(x)
    values = list(answers.values())
    for k, a in enumerate(values):
        for b in values[:k]:
            assert (a - b).abs().max() > 1e-5 * a.abs().max()


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_without_wires_driven_unused_lines_change_nothing(layout):
    none = dict.fromkeys(WIRES, 0.0)
    circuit, x = make_circuit(layout, **none)
    with torch.no_grad():
        plain = circuit(x)
        place_first(circuit, "driven")
        torch.testing.assert_close(circuit(x), plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("unused", ["driven", "floating"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_a_deck_of_the_whole_model_holds_the_larger_array(layout, unused):
    circuit, x = make_circuit(layout, device="sinh_tio2")
    place_first(circuit, unused)
    answer = solve_network(chain_of(circuit, x), x)
    with torch.no_grad(), xb.nn.through("nodal"):
        expected = circuit(x).numpy()
    np.testing.assert_allclose(answer.outputs, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_gradients_reach_the_weights_through_a_larger_array(layout, device):
    circuit, x = make_circuit(layout, device=device)
    place_first(circuit, "floating")
    layer = circuit[0]
    circuit(x).sum().backward()
    slope = layer.weight.grad[1, 2].item()
    values = []
    with torch.no_grad():
        for step in (1e-5, -1e-5):
            layer.weight[1, 2] += step
            values.append(circuit(x).sum().item())
            layer.weight[1, 2] -= step
    assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_a_deployment_keeps_the_larger_array_and_measured_devices(layout, tmp_path):
    circuit, x = make_circuit(layout)
    name, order = place_first(circuit, "floating")
    array = xb.nn.arrays(circuit)[0]
    measured = array.crossbar.G * np.random.default_rng(1).uniform(0.9, 1.1, array.crossbar.G.shape)
    xb.nn.put_conductances(circuit, {name: measured})
    assert np.array_equal(xb.nn.arrays(circuit)[0].crossbar.G, measured)
    before = circuit_hash(circuit)
    deployment.save(tmp_path / "net.h5", circuit, inputs=(x,))
    loaded = deployment.load(tmp_path / "net.h5")
    assert np.array_equal(xb.nn.arrays(loaded)[0].crossbar.G, measured)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), circuit(x), rtol=1e-12, atol=0)
    other = LineOrder(rows=order.rows, cols=order.cols, array=LargerArray(G=order.array.G))
    xb.nn.place_lines(circuit, {name: other})
    assert circuit_hash(circuit) != before
    xb.nn.place_lines(circuit, None)
    assert xb.nn.arrays(circuit)[0].crossbar.G.shape == (len(order.rows), len(order.cols))


def test_the_lines_of_a_larger_array_are_taken_once_each():
    circuit, _ = make_circuit("tiled")
    array = xb.nn.arrays(circuit)[0]
    good = larger_order(array, "driven")
    for change, words in (
        ({"rows": (0,) * len(good.rows)}, "each once"),
        ({"rows": (99, *good.rows[1:])}, "each once"),
        ({"cols": good.cols[::-1]}, "stay together"),
        ({"cols": good.cols[:-2]}, "numbers of lines"),
    ):
        wrong = LineOrder(**(vars(good) | change))
        with pytest.raises(xb.errors.InputError, match=words):
            xb.nn.place_lines(circuit, {array.name: wrong})
        assert xb.nn.arrays(circuit)[0].crossbar.G.shape == array.crossbar.G.shape
    with pytest.raises(xb.errors.InputError, match="driven or floating"):
        LargerArray(G=((1e-4,),), unused="grounded")
    xb.nn.put_wires(circuit, {array.name: {"R_driver": np.full(array.crossbar.rows, 9.0)}})
    with pytest.raises(xb.errors.InputError, match="Place its lines first"):
        xb.nn.place_lines(circuit, {array.name: good})


@pytest.mark.parametrize("unused", ["driven", "floating"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_wires_of_the_larger_array_are_those_of_its_lines(layout, unused):
    circuit, x = make_circuit(layout, device="sinh_tio2")
    name, order = place_first(circuit, unused)
    rng = np.random.default_rng(2)
    rows, cols = order.array.shape
    wires = {"R_driver": rng.uniform(10, 90, rows), "R_sense": rng.uniform(10, 90, cols)}
    wires |= {"R_wl": rng.uniform(1, 9, (rows, cols - 1))}
    with torch.no_grad():
        plain = circuit(x)
        xb.nn.put_wires(circuit, {name: wires})
        answer = circuit(x)
        assert (answer - plain).abs().max() > 1e-5 * plain.abs().max()
        with xb.nn.through("nodal"):
            torch.testing.assert_close(circuit(x), answer, rtol=1e-8, atol=1e-10)
    crossbar = xb.nn.arrays(circuit)[0].crossbar
    assert np.array_equal(crossbar.R_driver, wires["R_driver"])


@pytest.mark.parametrize("unused", ["driven", "floating"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_columns_and_changed_devices_are_those_of_the_larger_array(layout, unused):
    """What training by drawn errors uses: differences of `columns` are `pairs`."""
    circuit, _ = make_circuit(layout)
    place_first(circuit, unused)
    layer = circuit[0]
    (matrix,) = layer.matrices.values()
    _, weight, bias = next(iter(layer.weight_matrices()))
    with torch.no_grad():
        state = matrix.program(weight, bias, training=False)
        columns = matrix.layout.columns(state, matrix.config)
        (pairs,) = matrix.layout.pairs(stack_states([state]), matrix.config)
        torch.testing.assert_close(columns[..., 0::2] - columns[..., 1::2], pairs)
        stacks = matrix.layout.physical(matrix, state)
        again = matrix.layout.logical(matrix, state, [torch.stack([s, 2 * s]) for s in stacks])
        torch.testing.assert_close(again.G[0], state.G)
        torch.testing.assert_close(again.G[1], 2 * state.G)
