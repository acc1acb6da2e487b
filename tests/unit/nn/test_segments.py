"""Tensors of resistances segment by segment and end by end: answers and gradients of `xb.nn`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice.core.line_ends import places
from xbarspice.core.wires import WIRES
from xbarspice.surrogate.dissection.matrix import effective_matrix, reduce
from xbarspice.testing.engine_cases import UNEVEN

D, S, F = "driven", "sensed", "floating"
ENDS = {
    "read": xb.LineEnds(),
    "through": xb.LineEnds(wl_right=S, bl_top=D),
    "both ends": xb.LineEnds(wl_right=D, bl_top=S),
    "one bit line floats": xb.LineEnds(bl_bottom=[S, F, S]),
}
DEVICES = ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"]


def problem(ends, zero=0.0, batch=(), lead=()):
    """A crossbar of (*batch, 2, 3) with wires of (*lead, ...), and its voltages."""
    rng = np.random.default_rng(1)
    G = rng.uniform(1e-4, 5e-4, (*batch, 2, 3))
    shapes = places((ENDS[ends].word_lines(2), ENDS[ends].bit_lines(3)))
    R = {name: rng.lognormal(3.0, 0.3, (*lead, *shapes[name])) for name in WIRES}
    for name in ("R_wl", "R_bl", "R_sense"):
        R[name][rng.random(R[name].shape) < zero] = 0.0
    crossbar = xb.Crossbar(G, ends=ENDS[ends], **R)
    V_in = rng.uniform(-0.4, 0.4, 2) * (crossbar.wl_ends == D).any(axis=1)
    V_out = rng.uniform(-0.4, 0.4, 3) * (crossbar.bl_ends == D).any(axis=1)
    return crossbar, torch.tensor(V_in), torch.tensor(V_out)


def tensors(crossbar):
    """Conductances and resistances that ask for gradients."""
    R = {name: torch.tensor(each).requires_grad_() for name, each in crossbar.wires.items()}
    return torch.tensor(crossbar.G).requires_grad_(), R


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize(("batch", "lead"), [((), ()), ((2,), ()), ((2,), (2,)), ((2, 2), (2, 1))])
def test_solve_has_the_gradient_of_every_resistance(ends, device, batch, lead):
    crossbar, V_in, V_out = problem(ends, batch=batch, lead=lead)
    G, R = tensors(crossbar)

    def answers(*each):
        wires = dict(zip(WIRES, each, strict=True))
        s = xb.nn.solve(G.detach(), V_in, V_out, **wires, device=device, ends=crossbar.ends)
        return s.I_out * 1e4, s.I_in * 1e4, s.V_wl, s.V_bl

    assert torch.autograd.gradcheck(answers, [*R.values()], eps=1e-4, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize(("batch", "lead"), [((), ()), ((9,), ()), ((2,), (2,)), ((2, 2), (2, 1))])
def test_effective_matrix_has_the_gradient_of_every_resistance(ends, batch, lead):
    crossbar, _, _ = problem(ends, batch=batch, lead=lead)
    G, R = tensors(crossbar)

    def matrix(g, *each):
        wires = dict(zip(WIRES, each, strict=True))
        return xb.nn.effective_matrix(g * 1e-4, **wires, ends=crossbar.ends) * 1e4

    inputs = [(G * 1e4).detach().requires_grad_(), *R.values()]
    assert torch.autograd.gradcheck(matrix, inputs, eps=1e-4, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", UNEVEN)
def test_the_effective_matrix_is_the_nodal_engine_s(name):
    """Also with zeros in single places, and in other places of every array of a batch."""
    case = UNEVEN[name]
    crossbar = xb.Crossbar(case.G, **case.arguments)
    wires = {
        k: R.reshape(*R.shape[:-axes], 1, *R.shape[-axes:]) if isinstance(R, np.ndarray) else R
        for (k, R), axes in zip(crossbar.wires.items(), (2, 2, 1, 1), strict=True)
    }
    each = crossbar.replace(G=crossbar.G[..., None, :, :], **wires)
    driven = (crossbar.wl_ends == D).any(axis=1)
    expected = xb.solve(each, np.eye(crossbar.rows)[driven], engine="nodal").I_out
    actual = effective_matrix(crossbar)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual[..., driven, :], expected, rtol=0, atol=1e-13 * scale)
    assert not actual[..., ~driven, :].any()
    single = reduce(crossbar, dtype=np.float32).G_eff.reshape(crossbar.G.shape)
    np.testing.assert_allclose(single, actual, rtol=5e-6, atol=1e-7 * scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("ends", ENDS)
def test_gradients_at_single_zeros_are_those_of_the_solves(ends, lead, dtype):
    """The effective matrix merges what has no resistance; its gradients are in float64 always."""
    crossbar, _, _ = problem(ends, zero=0.4, batch=(3,), lead=lead)
    driven = torch.tensor((crossbar.wl_ends == D).any(axis=1))
    weights = torch.randn(3, 2, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    weights = weights * driven[:, None]
    G, R = tensors(crossbar)
    matrix = xb.nn.effective_matrix(G.to(dtype), **R, ends=crossbar.ends)
    by_matrix = torch.autograd.grad((matrix * weights).sum(), [*R.values()])
    wires = {
        name: r.reshape(*r.shape[:-axes], 1, *r.shape[-axes:])
        for (name, r), axes in zip(R.items(), (2, 2, 1, 1), strict=True)
    }
    V = torch.eye(2, dtype=torch.float64)[driven]
    I_out = xb.nn.solve(G[:, None], V, **wires, ends=crossbar.ends).I_out
    by_solves = torch.autograd.grad((I_out * weights[:, driven]).sum(), [*R.values()])
    for name, actual, expected in zip(WIRES, by_matrix, by_solves, strict=True):
        assert actual.shape == R[name].shape
        atol = (1e-12 if dtype == torch.float64 else 1e-6) * float(expected.abs().max())
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=atol)


def test_one_tensor_of_one_number_is_a_number():
    G, V = torch.full((2, 2), 1e-4, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    R = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    xb.nn.solve(G, V, R_wl=R).I_out.sum().backward()
    number = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    xb.nn.solve(G, V, R_wl=number).I_out.sum().backward()
    assert R.grad.shape == (1,)
    assert float(R.grad) == float(number.grad)


def test_another_shape_is_refused():
    G, V = torch.full((2, 3), 1e-4), torch.ones(2)
    for call in (lambda **R: xb.nn.solve(G, V, **R), lambda **R: xb.nn.effective_matrix(G, **R)):
        with pytest.raises(xb.errors.InputError, match=r"`R_wl` must be one number, or an array"):
            call(R_wl=torch.ones(2, 3))
        with pytest.raises(xb.errors.InputError, match=r"`R_bl` must"):
            call(R_bl=torch.full((1, 3), -1.0))
