"""Gradients of small arrays, whatever is 0 and however short the lines are, against differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice.surrogate import adjoint

D, S, F = "driven", "sensed", "floating"
NAMES = ("R_wl", "R_bl", "R_driver", "R_sense")
ZEROS = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product((0.0, 20.0), (0.0, 30.0), (0.0, 40.0), (0.0, 50.0))
]
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 4), (4, 1), (2, 3)]
ENDS = {
    "read": xb.LineEnds(),
    "write": xb.LineEnds(bl_bottom=D),
    "reverse": xb.LineEnds(wl_left=S, bl_bottom=D),
    "both ends": xb.LineEnds(wl_left=D, wl_right=D, bl_top=S, bl_bottom=S),
    "through": xb.LineEnds(wl_left=D, wl_right=S, bl_top=D, bl_bottom=S),
    "from the other side": xb.LineEnds(wl_left=F, wl_right=D, bl_top=S, bl_bottom=F),
}


def _slope(f, x, h):
    """Fourth-order difference; one-sided towards positive values at 0."""
    if x == 0:
        y = [f(k * h) for k in range(5)]
        return (-25 * y[0] + 48 * y[1] - 36 * y[2] + 16 * y[3] - 3 * y[4]) / (12 * h)
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def _problem(shape, ends, wires, device):
    rng = np.random.default_rng([*shape, *(int(R) for R in wires.values())])
    crossbar = xb.Crossbar(
        10 ** rng.uniform(-4, -3, shape), **wires, device=device, ends=ENDS[ends]
    )
    V_in = rng.uniform(0.1, 0.5, shape[0]) * (crossbar.wl_ends == D).any(axis=1)
    V_out = rng.uniform(-0.5, -0.1, shape[1]) * (crossbar.bl_ends == D).any(axis=1)
    weights = rng.normal(size=shape[1]), rng.normal(size=shape[0])
    return crossbar, V_in, V_out, weights


def _joins_ends(shape, wires):
    """Whether a line would join a driver and a sense node without any resistance."""
    ends = wires["R_driver"] + wires["R_sense"]
    lines = wires["R_wl"] * (shape[1] - 1), wires["R_bl"] * (shape[0] - 1)
    return min(lines) + ends == 0


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_combination_of_zeros_and_single_lines(shape, ends, device):
    """One row and one column, all 16 combinations of resistances that are 0, all line ends."""
    tried = 0
    for wires in ZEROS:
        if ends == "through" and _joins_ends(shape, wires):
            continue
        crossbar, V_in, V_out, (on_out, on_in) = _problem(shape, ends, wires, device)

        def loss(crossbar, V_in=V_in, V_out=V_out, on_out=on_out, on_in=on_in):
            solution = xb.solve(crossbar, V_in, V_out, engine="nodal")
            return float(solution.I_out @ on_out + solution.I_in @ on_in)

        _, saved = adjoint.forward(crossbar, crossbar.drive(V_in, V_out))
        actual = adjoint.backward(saved, I_out=on_out, I_in=on_in)
        size = abs(loss(crossbar)) + 1e-4
        for name in NAMES:
            x = wires[name]
            try:
                expected = _slope(
                    lambda R, name=name, c=crossbar, f=loss: f(c.replace(**{name: R})), x, 0.1
                )
            except xb.errors.InputError:
                continue
            assert getattr(actual, name) == pytest.approx(expected, rel=1e-6, abs=1e-9 * size), (
                wires
            )
        if actual.G is not None:
            at = (0, 0)

            def loss_at(g, c=crossbar, f=loss, at=at):
                G = c.G.copy()
                G[at] = g
                return f(c.replace(G=G))

            expected = _slope(loss_at, crossbar.G[at], 0.02 * crossbar.G[at])
            assert actual.G[0][at] == pytest.approx(expected, rel=1e-6, abs=1e-9), wires
        tried += 1
    assert tried >= 9


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_torch_gradients_of_single_lines(shape):
    """`gradcheck` of the solve and of the effective matrix where nothing has a resistance."""
    rng = np.random.default_rng(3)
    G = torch.tensor(10 ** rng.uniform(-4, -3, shape), requires_grad=True)
    V = torch.tensor(rng.uniform(0.1, 0.4, shape[0]), requires_grad=True)
    for wires in ZEROS:
        for device in ("ohmic", "sinh_tio2"):

            def currents(g, v, wires=wires, device=device):
                solution = xb.nn.solve(g * 1e-4, v, **wires, device=device)
                return solution.I_out * 1e4, solution.I_in * 1e4

            assert torch.autograd.gradcheck(currents, (G.detach().mul(1e4).requires_grad_(), V))

        def matrix(g, wires=wires):
            return xb.nn.effective_matrix(g * 1e-4, **wires) * 1e4

        assert torch.autograd.gradcheck(matrix, (G.detach().mul(1e4).requires_grad_(),))
        R = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in wires.values()]
        out = xb.nn.effective_matrix(G, **dict(zip(NAMES, R, strict=True)))
        out.sum().backward()
        assert all(r.grad is not None and bool(torch.isfinite(r.grad)) for r in R)
