"""Weights placed on pairs: the compiled pass and the operations of torch are one thing."""

import pytest
import torch

import xbarspice as xb
from xbarspice.nn import pairs


def signed_values(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5


def config(**changes):
    return xb.ArrayConfig(**({"tile_rows": 5, "tile_cols": 7} | changes))


def _place(monkeypatch, compiled, w, b, options):
    """Everything that `place` gives, and its gradients by weights and bias."""
    monkeypatch.setattr(pairs, "_is_plain", lambda *_: compiled)
    w, b = (None if t is None else t.clone().requires_grad_() for t in (w, b))
    out = pairs.place(w, b, config(**options))
    parts = [t for t in (out.G, out.sum_scale, out.V_bias) if t is not None]
    loss = sum((t * signed_values(*t.shape, seed=3).to(t)).sum() for t in parts)
    return parts, torch.autograd.grad(loss, [t for t in (w, b) if t is not None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("w_scale", ["matrix", "output"])
def test_compiled_placing_is_that_of_torch(dtype, bias, w_scale, monkeypatch):
    """Conductances are equal bit by bit, gradients to rounding; weights of 0 are among them."""
    w, b = (
        signed_values(2, 21, 37, seed=1).to(dtype),
        signed_values(2, 21, seed=2).to(dtype) if bias else None,
    )
    w[0, 3, 5] = w[1, 20, 36] = 0.0
    w[1, 7] = 0.0
    options = {"w_scale": w_scale, "dtype": dtype}
    values, gradients = _place(monkeypatch, True, w, b, options)
    expected, expected_gradients = _place(monkeypatch, False, w, b, options)
    for one, expected_part in zip(values, expected, strict=True):
        torch.testing.assert_close(one, expected_part, rtol=0, atol=0)
    tight = {"rtol": 1e-5 if dtype == torch.float32 else 1e-12, "atol": 0}
    for one, expected_part in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, expected_part, **tight)


@pytest.mark.parametrize("w_scale", ["matrix", "output"])
def test_gradients_of_placing_are_those_of_differences(w_scale):
    """By weights and bias, through conductances, scale and bias voltage."""

    def all_of(w, b):
        placed = pairs.place(w, b, config(w_scale=w_scale))
        return placed.G * 1e4, placed.sum_scale, placed.V_bias

    w, b = (
        signed_values(2, 3, 4, seed=1).requires_grad_(),
        signed_values(2, 3, seed=2).requires_grad_(),
    )
    assert torch.autograd.gradcheck(all_of, (w, b), eps=1e-7, atol=1e-6)
