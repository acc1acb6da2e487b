"""Layers on arrays: ideal limits, the mapping's own conductances, training, conversion."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.variability import Variation

IDEAL = {"R_wl": 0.0, "R_bl": 0.0}


def seed_parameters(module):
    """The module with reproducible parameters in float64."""
    generator = torch.Generator().manual_seed(0)
    for p in module.parameters():
        p.data = torch.rand(p.shape, generator=generator, dtype=torch.float64) - 0.5
    return module.double()


def data(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def config(**changes):
    return xb.ArrayConfig(**({"tile_rows": 5, "tile_cols": 7} | changes))


@pytest.mark.parametrize("bias", ["array", "digital"])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_ideal_wires_give_the_plain_layer(bias, device):
    """Without wire resistance a tiled linear layer computes exactly what torch computes."""
    plain = seed_parameters(nn.Linear(12, 9))
    x = data(2, 4, 12) * 2 - 1
    kind = "ohmic" if device == "ohmic" else xb.devices.SinhTiO2(b=1e-6)
    layer = xb.nn.CrossbarLinear.from_torch(plain, config(bias=bias, device=kind, **IDEAL))
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bias", ["array", "digital"])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"])
def test_layer_equals_a_circuit_that_is_built_by_hand(bias, device):
    """The conductances of the equation, tile by tile, and the sums of the nodal engine."""
    plain = seed_parameters(nn.Linear(12, 9))
    W, b = plain.weight.detach().numpy().T, plain.bias.detach().numpy()
    layer = xb.nn.CrossbarLinear.from_torch(
        plain, config(tile_cols=6, bias=bias, R_wl=8.0, R_bl=9.0, device=device)
    )
    low, span, V_read = 100e-6, 400e-6, 0.2
    scale = max(abs(W).max(), abs(b).max()) if bias == "array" else abs(W).max()
    V_bias = V_read * abs(b).max() / scale
    lines = np.vstack([W / scale, b / abs(b).max()]) if bias == "array" else W / scale
    pairs = np.stack([lines.clip(0), (-lines).clip(0)], axis=-1).reshape(len(lines), -1)
    G = low + span * pairs
    x = data(3, 12).numpy()
    volts = np.hstack([V_read * x, np.full((3, 1), V_bias)]) if bias == "array" else V_read * x
    current = np.zeros((3, 18))
    covered = np.zeros(G.shape, int)
    for tile in layer.tiles():
        part = np.s_[slice(*tile.lines), slice(*tile.columns)]
        covered[part] += 1
        np.testing.assert_allclose(tile.crossbar.G, G[part], rtol=1e-14)
        by_hand = xb.Crossbar(G[part], R_wl=8.0, R_bl=9.0, device=device)
        current[:, part[1]] += xb.solve(by_hand, volts[:, part[0]], engine="nodal").I_out
    assert (covered == 1).all()
    sums = (current[:, 0::2] - current[:, 1::2]) * scale / (span * V_read)
    sums += 0 if bias == "array" else b
    np.testing.assert_allclose(layer(torch.tensor(x)).detach(), sums, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("batched", [True, False])
def test_convolution(batched):
    """A convolution on ideal arrays is torch's: stride, padding, dilation, no batch axis."""
    plain = seed_parameters(nn.Conv2d(2, 3, (3, 2), stride=2, padding=(1, 0), dilation=(1, 2)))
    x = data(4, 2, 9, 8) if batched else data(2, 9, 8)
    layer = xb.nn.CrossbarConv2d.from_torch(plain, config(**IDEAL))
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-9, atol=1e-9)
    assert sum(t.crossbar.G.size for t in layer.tiles()) == 2 * 3 * (2 * 3 * 2 + 1)


@pytest.mark.parametrize("adc", [None, 8])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_gradients_are_those_of_the_circuit(device, adc):
    """Gradients by weights and inputs agree with differences (ADC: with those of no ADC)."""
    plain = seed_parameters(nn.Linear(7, 4))
    layer = xb.nn.CrossbarLinear.from_torch(plain, config(device=device, R_wl=20.0))
    x = data(3, 7).requires_grad_()
    w = data(3, 4)

    def loss():
        return (layer(x) * w).sum()

    expected = torch.autograd.grad(loss(), [layer.weight, layer.bias, x])
    if adc is not None:
        matrix = layer.matrices["weight"]
        matrix.config = dataclasses.replace(matrix.config, adc_bits=adc)
        gradients = torch.autograd.grad(loss(), [layer.weight, layer.bias, x])
        for actual, expected_part in zip(gradients, expected, strict=True):
            torch.testing.assert_close(actual, expected_part, rtol=1e-9, atol=1e-12)
        return
    top = divmod(int(layer.weight.abs().argmax()), 7)  # sets the scale of all others
    places = ((layer.weight, expected[0], (1, 2)), (layer.weight, expected[0], top))
    for tensor, grad, place in (*places, (x, expected[2], (0, 3))):
        values = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                tensor[place] += step
                values.append(float(loss()))
                tensor[place] -= step
        assert float(grad[place]) == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-6)


def test_quantise_rounds_clips_and_lets_gradients_through():
    """2 bits have the levels -1, 0, 1; the gradient is 1 inside the range and 0 where clipped."""
    x = torch.tensor([-3.0, -0.6, 0.2, 0.9, 1.5], requires_grad=True)
    y = xb.nn.quantise(x, 2, 1.0)
    assert y.tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert xb.nn.quantise(x, None, 1.0) is x


def test_converters_coarsen_the_answer():
    """Coarse converters move the outputs by about a step, fine ones hardly."""
    plain = seed_parameters(nn.Linear(10, 6))
    x = data(20, 10)
    errors = []
    for bits in (3, 14):
        layer = xb.nn.CrossbarLinear.from_torch(plain, config(dac_bits=bits, **IDEAL))
        errors.append(float((layer(x) - plain(x)).detach().abs().max()))
        layer = xb.nn.CrossbarLinear.from_torch(plain, config(adc_bits=bits, **IDEAL))
        errors.append(float((layer(x) - plain(x)).detach().abs().max()))
    assert min(errors[:2]) > 1e-2
    assert max(errors[2:]) < 1e-3


class _Stuck(Variation):
    """All devices at 1e-4 S; keeps the shapes that it was given."""

    name, source = "stuck everywhere", "a test"
    shapes: ClassVar[list] = []

    def _apply(self, G, draws):
        self.shapes.append(tuple(G.shape))
        return torch.full_like(G, 1e-4)


def test_errors_are_drawn_for_every_array():
    """Training draws errors tile by tile; evaluation holds what was asked for."""
    plain = seed_parameters(nn.Linear(10, 6, bias=False))
    layer = xb.nn.CrossbarLinear.from_torch(plain, config(variation=_Stuck(), **IDEAL))
    assert float(layer(data(3, 10)).detach().abs().max()) < 1e-12
    assert _Stuck.shapes == [(1, 2, 2, 5, 6)]
    torch.testing.assert_close(layer.eval()(data(3, 10)), plain(data(3, 10)), rtol=1e-9, atol=1e-9)
    layer.matrices["weight"].transfer = 0
    assert float(layer(data(3, 10)).detach().abs().max()) < 1e-12


def network():
    return seed_parameters(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5), nn.Linear(5, 2))
    )


def test_convert_copies_and_keeps_the_state_dict():
    """The copy shares names and values, not memory; it goes back to plain layers."""
    model = network()
    on_arrays = xb.nn.convert(model, config(**IDEAL))
    assert [type(m).__name__ for m in on_arrays][::4] == ["CrossbarConv2d", "CrossbarLinear"]
    assert list(on_arrays.state_dict()) == list(model.state_dict())
    x = data(3, 1, 4, 4)
    torch.testing.assert_close(on_arrays(x), model(x), rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        on_arrays[3].weight.mul_(2)
    assert not torch.equal(on_arrays[3].weight, model[3].weight)
    back = xb.nn.to_torch(on_arrays)
    assert [type(m) for m in back] == [type(m) for m in model]
    model.load_state_dict(on_arrays.state_dict())
    torch.testing.assert_close(back(x), model(x))


def test_convert_by_name():
    """Layers that are not named stay ideal; unknown names are refused with the known ones."""
    on_arrays = xb.nn.convert(network(), {"3": config(), "4": None})
    names = [type(m).__name__ for m in on_arrays]
    assert names == ["Conv2d", "ReLU", "Flatten", "CrossbarLinear", "Linear"]
    with pytest.raises(xb.errors.InputError, match="must name layers that can stand on arrays"):
        xb.nn.convert(network(), {"1": config()})
    assert isinstance(xb.nn.convert(nn.Linear(2, 2)), xb.nn.CrossbarLinear)


def test_an_ordinary_optimiser_trains_through_the_arrays():
    """Training through the circuit removes most of the error that its wires cause."""
    model = nn.Sequential(
        seed_parameters(nn.Linear(12, 8)), nn.Tanh(), seed_parameters(nn.Linear(8, 3))
    )
    x = data(40, 12)
    target = model(x).detach()
    on_arrays = xb.nn.convert(model, config(tile_rows=16, tile_cols=16, R_wl=10.0, R_bl=10.0))
    optimiser = torch.optim.Adam(on_arrays.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = (on_arrays(x) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.02 * losses[0]


def test_float32_circuit_and_float32_model():
    """A float32 model on float32 circuits stays within 1e-5 of the float64 circuit."""
    plain = nn.Linear(20, 10)
    x = torch.rand(5, 20, generator=torch.Generator().manual_seed(2))
    rough = xb.nn.CrossbarLinear.from_torch(plain, config(dtype=torch.float32))(x)
    exact = xb.nn.CrossbarLinear.from_torch(plain, config())(x)
    assert rough.dtype == exact.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"tile_cols": 1}, "2 columns"),
        ({"G_min": 1e-3}, "conductance range"),
        ({"V_read": 0.0}, "V_read"),
        ({"dac_bits": 1}, "dac_bits"),
        ({"bias": "hidden"}, "bias"),
        ({"device": "nothing"}, "device"),
    ],
)
def test_configurations_are_checked(change, match):
    """A broken rule is named at construction."""
    with pytest.raises(xb.errors.InputError, match=match):
        config(**change)


def test_a_weight_that_is_no_number_is_refused():
    layer = xb.nn.CrossbarLinear(4, 3, config=config())
    layer.weight.data[1, 2] = torch.nan
    with pytest.raises(xb.errors.InputError, match="finite"):
        layer(data(2, 4).float())
