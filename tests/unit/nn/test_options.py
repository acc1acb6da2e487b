"""Options of the mapping, ranges, transfers and coverage of a converted model."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import xbarspice as xb
from tests.unit.nn.test_convert import IDEAL, assert_equal, config, data, seed_parameters


@pytest.mark.parametrize("way", ["optimiser", "load", "data", "numpy", "set_", "to"])
def test_kept_matrices_follow_every_change_of_the_weights(way):
    """The second forward without gradients is cached; any way of changing weights renews it."""
    circuit = xb.nn.convert(nn.Linear(5, 4).double(), config(**IDEAL)).eval()
    x = data(3, 5)
    with torch.no_grad():
        circuit(x)
        stored = circuit.matrices["weight"]._cached_map
        circuit(x)
        assert circuit.matrices["weight"]._cached_map is stored
    weight = circuit.weight
    if way == "optimiser":
        optimiser = torch.optim.SGD(circuit.parameters(), lr=0.5)
        circuit(x).sum().backward()
        optimiser.step()
    elif way == "load":
        circuit.load_state_dict({k: v + 1 for k, v in circuit.state_dict().items()})
    elif way == "data":
        weight.data[0, 0] += 1
    elif way == "numpy":
        weight.detach().numpy()[0, 0] += 1
    elif way == "set_":
        with torch.no_grad():
            weight.set_(torch.ones_like(weight))
    else:
        circuit.float().double()
    with torch.no_grad():
        assert_equal(circuit(x), functional.linear(x, weight, circuit.bias))


OPTIONS = {
    "one scale an output": {"w_scale": "output"},
    "high": {"placement": "high"},
    "middle": {"placement": "middle"},
    "averaged cells": {"cells": 3},
    "centred inputs": {"x_centre": 0.4},
    "sliced cells": {"cells": 3, "levels": 64, "cell_code": "slices"},
    "many levels": {"levels": 10**7},
    "a grid": {"levels": tuple(np.linspace(100e-6, 500e-6, 4001))},
    "clipped": {"clip": 95.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("bias", ["array", "digital"])
def test_options_of_the_mapping_keep_the_product(options, bias):
    """Lossless options give torch's product; rounding ones come as near as their steps."""
    model = seed_parameters(nn.Linear(12, 5))
    circuit = xb.nn.convert(model, config(bias=bias, **options, **IDEAL))
    x = data(6, 12)
    error = float((circuit(x) - model(x)).detach().abs().max())
    lossless = not {"levels", "clip"} & set(options)
    assert error < (1e-12 if lossless else 0.5)
    assert lossless or error > 1e-12
    with xb.nn.exact_products():
        assert_equal(circuit(x), model(x))
    for tile in circuit.tiles():
        assert tile.crossbar.G.min() >= 100e-6 * (1 - 1e-12)
        assert tile.crossbar.G.max() <= 500e-6 * (1 + 1e-12)
        assert tile.crossbar.rows <= 6
        assert tile.crossbar.cols <= 8


@pytest.mark.parametrize(
    "options", [{}, {"w_scale": "output"}, {"placement": "high"}, {"cells": 2}, {"x_centre": 0.3}]
)
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_gradients_by_every_parameter(options, device):
    """gradcheck by inputs, weights and biases, with those that set the scales."""
    layer = xb.nn.convert(
        seed_parameters(nn.Linear(7, 3)), config(device=device, R_wl=10.0, R_bl=10.0, **options)
    )
    x = data(2, 7).requires_grad_()

    def outputs(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    inputs = (x, layer.weight, layer.bias)
    assert torch.autograd.gradcheck(outputs, inputs, eps=1e-6, atol=1e-6, rtol=1e-4)


def test_ranges_come_from_data_and_inputs_beyond_them_are_counted():
    """x_scale is the largest calibration input of each layer, or the asked quantile."""
    model = seed_parameters(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    x = data(50, 4)
    circuit = xb.nn.convert(model, config(adc_bits=8), calibrate=x)
    first, last = circuit[0].matrices["weight"], circuit[2].matrices["weight"]
    assert first.config.x_scale == float(x.abs().max())
    assert last.config.x_scale == float(model[:2](x).abs().max().detach())
    assert first.config.adc_range is not None
    circuit(x)
    assert first.ranges.vectors == 50
    assert first.ranges.beyond == 0
    circuit(3 * x)
    assert first.ranges.beyond == int((3 * x.abs() > first.config.x_scale).sum())
    assert first.ranges.largest == 3 * first.config.x_scale
    half = xb.nn.convert(model, config(), calibrate=x, quantile=0.5)
    assert half[0].matrices["weight"].config.x_scale < 0.5 * first.config.x_scale
    with pytest.raises(xb.errors.InputError, match="quantile"):
        xb.nn.convert(model, config(), calibrate=x, quantile=0.1)


def test_an_answer_does_not_depend_on_its_neighbours():
    """Converters have a fixed range, so a vector's answer is the same in any batch."""
    model = seed_parameters(nn.Linear(9, 4))
    circuit = xb.nn.convert(model, config(adc_bits=6, dac_bits=6))
    x = data(5, 9)
    alone = torch.cat([circuit(x[k : k + 1]) for k in range(5)])
    torch.testing.assert_close(circuit(torch.cat([100 * x, x]))[5:], alone, rtol=0, atol=1e-12)


def test_transfers_are_drawn_in_training_and_held_in_evaluation():
    variation = xb.variability.drolet_2023()
    model = seed_parameters(nn.Linear(9, 4))
    circuit, twin = (
        xb.nn.convert(model, config(variation=variation, **IDEAL), seed=5) for _ in range(2)
    )
    x = data(3, 9)
    circuit.train()
    twin.train()
    first, second = circuit(x), circuit(x)
    assert not torch.equal(first, second)
    assert_equal(twin(x), first)
    circuit.eval()
    assert_equal(circuit(x), model(x))
    xb.nn.program(circuit, 3)
    held = circuit(x)
    assert_equal(circuit(x), held)
    assert float((held - model(x)).detach().abs().max()) > 1e-4
    xb.nn.program(circuit, 4)
    assert not torch.equal(circuit(x), held)
    xb.nn.program(circuit, 3)
    assert_equal(circuit(x), held)


class Tail(nn.Module):
    """A raw parameter outside any layer, a table, an excluded layer, a layer nobody calls."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.left, self.idle = nn.Linear(4, 3), nn.Linear(2, 2)
        self.mix = nn.Parameter(torch.rand(3, 3))

    def forward(self, index):
        h = self.layer(self.table(index))
        return (h @ h.mT) @ (self.left(h) @ self.mix)


def test_coverage_names_what_is_not_on_arrays_and_why():
    circuit = xb.nn.convert(Tail(), exclude=["left"], calibrate=torch.tensor([[1, 2, 3]]))
    circuit(torch.tensor([[1, 2, 3]]))
    cover = xb.nn.coverage(circuit)
    assert {m.name: m.products for m in cover.matrices} == {"layer": 3 * 16, "idle": 0}
    reasons = {w.name: w.reason for w in cover.ideal}
    assert set(reasons) == {"table.weight", "left.weight", "mix"}
    assert "outside any layer" in reasons["mix"]
    products = {d.operands: d.products for d in cover.digital}
    assert products["two activations"] == 3 * 3 * 4 + 3 * 3 * 3
    assert products["weight left.weight"] == 3 * 3 * 4
    assert products["weight mix"] == 3 * 3 * 3
    assert cover.silent == ("idle",)
    assert cover.product_share == pytest.approx(48 / (48 + 36 + 27 + 36 + 27))


def test_golden_engines_refuse_gradients():
    circuit = xb.nn.convert(nn.Linear(4, 3), config())
    with xb.nn.through("nodal"):
        y = circuit(torch.rand(2, 4))
    with pytest.raises(xb.errors.XbarspiceError, match="only the surrogate gives gradients"):
        y.sum().backward()
    with pytest.raises(xb.errors.InputError), xb.nn.through("nothing"):
        pass


def test_blocks_of_engines_nest_and_belong_to_their_thread():
    import threading

    from xbarspice.nn.through import running

    names = []

    def note_engine():
        names.append(running().engine)

    with xb.nn.through("nodal"):
        with xb.nn.through("surrogate"):
            assert running().engine is None
        assert running().engine.name == "nodal"
        thread = threading.Thread(target=note_engine)
        thread.start()
        thread.join()
    assert names == [None]
    assert running().engine is None


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_recomputing_gives_the_same_gradients(device):
    x = data(3, 9)
    by = []
    for recompute in (False, True):
        layer = xb.nn.convert(
            seed_parameters(nn.Linear(9, 4)), config(recompute=recompute, device=device)
        )
        layer(x).square().sum().backward()
        by.append(layer.weight.grad)
    torch.testing.assert_close(by[0], by[1], rtol=1e-9, atol=1e-12)
