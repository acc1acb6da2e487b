"""Solves and matrices on tensors: the engines' answers, exact gradients, clear refusals."""

import warnings

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice.core.line_ends import LineEnds
from xbarspice.nn.tensor_solver import effective_matrix_on_tensors, solve_on_tensors

CASES = {
    "read": {},
    "ends with resistance": {"R_driver": 20.0, "R_sense": 7.0},
    "no wires": {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 5.0, "R_sense": 3.0},
    "no resistance at all": {"R_wl": 0.0, "R_bl": 0.0},
    "ideal word lines": {"R_wl": 0.0, "R_driver": 4.0, "R_sense": 9.0},
    "both ends": {"R_driver": 2.0, "ends": LineEnds(wl_right="driven", bl_top="sensed")},
    "driven to sensed": {
        "R_driver": 2.0,
        "R_sense": 50.0,
        "ends": LineEnds(wl_right="sensed", bl_top="driven", bl_bottom="sensed"),
    },
    "some float": {
        "R_sense": 1.5,
        "ends": LineEnds(
            wl_left=["driven", "floating", "sensed"],
            bl_bottom=["sensed", "floating", "driven", "sensed"],
        ),
    },
}
DEVICES = ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"]
WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")


def problem(case, seed=0, batch=()):
    """Conductances (..., 3, 4), voltages on the driven lines, and the keyword arguments."""
    kwargs = {"R_wl": 30.0, "R_bl": 20.0, **CASES[case]}
    rng = np.random.default_rng(seed)
    G = rng.uniform(1e-4, 5e-4, (*batch, 3, 4))
    crossbar = xb.Crossbar(G, **kwargs)
    V_in = rng.uniform(-0.5, 0.5, (2, 3)) * (crossbar.wl_ends == "driven").any(axis=1)
    V_out = rng.uniform(-0.5, 0.5, (2, 4)) * (crossbar.bl_ends == "driven").any(axis=1)
    return torch.tensor(G), torch.tensor(V_in), torch.tensor(V_out), kwargs


def all_of(solution):
    return [getattr(solution, k) for k in ("I_out", "I_in", "V_wl", "V_bl", "I_device")]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_equals_the_nodal_engine(case, device):
    """All five quantities agree with sparse LU, with and without recorded gradients."""
    G, V_in, V_out, kwargs = problem(case)
    crossbar = xb.Crossbar(G.numpy(), device=device, **kwargs)
    expected = xb.solve(crossbar, V_in.numpy(), V_out.numpy(), engine="nodal")
    for tensor in (G, G.clone().requires_grad_()):
        solution = xb.nn.solve(tensor, V_in, V_out, device=device, **kwargs)
        assert solution.status.ok
        for actual, expected_part in zip(all_of(solution), all_of(expected), strict=True):
            scale = np.abs(expected_part).max()
            np.testing.assert_allclose(actual.detach(), expected_part, rtol=0, atol=1e-10 * scale)


def loss_of(solution, weights):
    return sum((a * w).sum() for a, w in zip(all_of(solution), weights, strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_gradcheck(case, device):
    """Gradients of everything by everything, scaled to numbers of order 1."""
    G, V_in, V_out, kwargs = problem(case)
    crossbar = xb.Crossbar(G.numpy(), **kwargs)
    on = [torch.tensor((e == "driven").any(axis=1)) for e in (crossbar.wl_ends, crossbar.bl_ends)]
    variable = [name for name in WIRES if getattr(crossbar, name) > 0]
    named = {"sinh_tio2": {"b": 2.7}, "cubic_al2o3_tio2": {"T": 25.0}}.get(device, {})

    def function(g, v_in, v_out, *scalars):
        wires = dict(zip(variable, scalars[: len(variable)], strict=True))
        values = dict(zip(named, scalars[len(variable) :], strict=True))
        solution = xb.nn.solve(
            g * 1e-4,
            v_in * on[0],
            v_out * on[1],
            device=device,
            parameters=values,
            **{**kwargs, **wires},
        )
        return (
            solution.I_out * 1e4,
            solution.I_in * 1e4,
            solution.V_wl,
            solution.V_bl,
            solution.I_device * 1e4,
        )

    inputs = [G * 1e4, V_in, V_out]
    inputs += [torch.tensor(float(getattr(crossbar, n)), dtype=torch.float64) for n in variable]
    inputs += [torch.tensor(v, dtype=torch.float64) for v in named.values()]
    inputs = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-5, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_those_of_the_dense_torch_path(case, device):
    """Two independent derivations agree, also by resistances of exactly 0."""
    G, V_in, V_out, kwargs = problem(case)
    crossbar = xb.Crossbar(G.numpy(), device=device, **kwargs)
    G = G[None].expand(2, 3, 4)
    rng = torch.Generator().manual_seed(3)
    grads = []
    for dense in (False, True):
        leaves = [x.clone().requires_grad_() for x in (G, V_in, V_out)]
        R = [torch.tensor(getattr(crossbar, n)).double().requires_grad_() for n in WIRES]
        if dense:
            d, _ = solve_on_tensors(crossbar, crossbar.device, *leaves, torch.stack(R))
            solution = [d[k] for k in ("I_out", "I_in", "V_wl", "V_bl", "I_device")]
        else:
            named = {**kwargs, **dict(zip(WIRES, R, strict=True))}
            solution = all_of(xb.nn.solve(*leaves, device=device, **named))
        rng.manual_seed(3)
        loss = sum(
            (a * torch.rand(a.shape, generator=rng, dtype=a.dtype)).sum() / a.detach().abs().max()
            for a in solution
            if a.detach().abs().max() > 1e-15
        )
        grads.append(torch.autograd.grad(loss, [*leaves, *R]))
    wl = torch.tensor((crossbar.wl_ends == "driven").any(axis=1))
    bl = torch.tensor((crossbar.bl_ends == "driven").any(axis=1))
    for k, (actual, expected_part) in enumerate(zip(*grads, strict=True)):
        a, b = (
            (actual, expected_part)
            if k not in (1, 2)
            else (actual * (wl, bl)[k - 1], expected_part)
        )
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9 * float(b.abs().max()) + 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_effective_matrix_gradients(case):
    """gradcheck of the matrix, and its resistance gradients (0 ohm too) against dense torch."""
    G, _v, _u, kwargs = problem(case, batch=(2,))
    crossbar = xb.Crossbar(G.numpy(), **kwargs)
    ends = {"ends": kwargs["ends"]} if "ends" in kwargs else {}
    variable = [name for name in WIRES if getattr(crossbar, name) > 0]

    def function(g, *resistances):
        wires = dict(zip(variable, resistances, strict=True))
        return xb.nn.effective_matrix(g * 1e-4, **{**kwargs, **wires}) * 1e4

    inputs = [G * 1e4]
    inputs += [torch.tensor(float(getattr(crossbar, n)), dtype=torch.float64) for n in variable]
    inputs = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-5, atol=1e-8, rtol=1e-6)
    weights = torch.rand(G.shape, generator=torch.Generator().manual_seed(1), dtype=G.dtype)
    grads = []
    for dense in (False, True):
        g = G.clone().requires_grad_()
        R = [torch.tensor(getattr(crossbar, n)).double().requires_grad_() for n in WIRES]
        if dense:
            solution = effective_matrix_on_tensors(crossbar, g, torch.stack(R))
        else:
            solution = xb.nn.effective_matrix(g, **dict(zip(WIRES, R, strict=True)), **ends)
        grads.append(torch.autograd.grad((solution * weights).sum(), [g, *R]))
    for actual, expected_part in zip(*grads, strict=True):
        torch.testing.assert_close(actual, expected_part, rtol=1e-8, atol=1e-14)


def test_batches_broadcast_and_gradients_sum():
    """Arrays (2, 1) against vectors (5,) give (2, 5); the gradient of an array sums its vectors."""
    G = torch.rand(2, 1, 4, 3, dtype=torch.float64) * 1e-4 + 1e-4
    V = torch.rand(5, 4, dtype=torch.float64)
    G.requires_grad_()
    solution = xb.nn.solve(G, V, device="sinh_tio2")
    assert solution.I_out.shape == (2, 5, 3)
    assert solution.V_wl.shape == (2, 5, 4, 3)
    (grad,) = torch.autograd.grad(solution.I_out.sum(), G)
    parts = [
        torch.autograd.grad(xb.nn.solve(G, v, device="sinh_tio2").I_out.sum(), G)[0] for v in V
    ]
    torch.testing.assert_close(grad, sum(parts))


def test_float32_tensors():
    """Results keep float32; the solve itself is exact, and the matrix stays within 2e-6."""
    G = (torch.rand(3, 12, 10, dtype=torch.float64) + 0.5) * 1e-4
    V = torch.rand(3, 12, dtype=torch.float64)
    rough = xb.nn.solve(G.float(), V.float())
    exact = xb.nn.solve(G.float().double(), V.float().double())
    assert rough.I_out.dtype == rough.V_wl.dtype == torch.float32
    torch.testing.assert_close(rough.I_out.double(), exact.I_out, rtol=1.2e-7, atol=0)
    small = G.float().requires_grad_()
    matrix = xb.nn.effective_matrix(small)
    exact_matrix = xb.nn.effective_matrix(small.detach().double())
    torch.testing.assert_close(matrix.double(), exact_matrix, rtol=2e-6, atol=0)
    R = torch.tensor(1.0, requires_grad=True)
    grads = []
    for g in (small, small.detach().double()):
        out = xb.nn.effective_matrix(g, R_wl=R).double().sum()
        grads.append(torch.autograd.grad(out, R)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("what", ["solve", "matrix"])
def test_double_backward_is_refused(what):
    """Differentiating a gradient raises an error that says so, instead of a wrong number."""
    G = torch.full((2, 2), 1e-4, dtype=torch.float64, requires_grad=True)
    V = torch.ones(2, dtype=torch.float64)
    out = xb.nn.solve(G, V).I_out if what == "solve" else xb.nn.effective_matrix(G)
    (first,) = torch.autograd.grad(out.sum(), G, create_graph=True)
    with pytest.raises(xb.errors.XbarspiceError, match="cannot be differentiated again"):
        torch.autograd.grad(first.sum(), G)


def test_misuse_is_refused():
    """Wrong dtypes, vector resistances, unknown parameters and floating lines are named."""
    G, V = torch.full((2, 2), 1e-4), torch.ones(2)
    with pytest.raises(xb.errors.InputError, match="float64 or float32 tensor"):
        xb.nn.solve(np.ones((2, 2)), V)
    with pytest.raises(xb.errors.InputError, match="float64 or float32 tensor"):
        xb.nn.effective_matrix(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(xb.errors.InputError, match="one number"):
        xb.nn.solve(G, V, R_wl=torch.ones(3))
    with pytest.raises(xb.errors.InputError, match="fields of 'sinh_tio2'"):
        xb.nn.solve(G, V, device="sinh_tio2", parameters={"c": torch.tensor(1.0)})
    with pytest.raises(xb.errors.FloatingNodeError):
        xb.nn.effective_matrix(torch.tensor([[1e-4, 0.0]]), ends=LineEnds(bl_bottom="floating"))


def test_a_model_that_hides_a_parameter_from_torch_is_refused():
    """A parameter that reaches the current through a float has no gradient; that is an error."""
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Hidden(type(xb.devices.get("ohmic"))):
        linear = False
        k: float = 1.0

        def current(self, V, G):
            return G * V * float(self.k)

        def derivative(self, V, G):
            return G * float(self.k) + 0 * V

    Hidden.name = "hidden"
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    G, V = torch.full((2, 2), 1e-4, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = xb.nn.solve(G, V, device=Hidden(), parameters={"k": k})
        with pytest.raises(xb.errors.InputError, match="must depend on `k`"):
            solution.I_out.sum().backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device in this machine")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_cuda_equals_cpu(case, device):
    """Answers and gradients on a CUDA device are those of the CPU."""
    G, V_in, V_out, kwargs = problem(case, batch=(2,))
    results = []
    for where in ("cpu", "cuda"):
        g = G.to(where).requires_grad_()
        solution = xb.nn.solve(g, V_in.to(where), V_out.to(where), device=device, **kwargs)
        (grad,) = torch.autograd.grad(solution.I_out.sum(), g)
        matrix = xb.nn.effective_matrix(g.detach(), **kwargs)
        assert solution.I_out.device.type == where
        results.append([x.detach().cpu() for x in (*all_of(solution), grad, matrix)])
    for actual, expected_part in zip(*results, strict=True):
        torch.testing.assert_close(
            actual, expected_part, rtol=1e-9, atol=1e-12 * float(actual.abs().max())
        )


def test_resistances_that_no_float32_holds_stay_as_they_are():
    G = torch.tensor(np.random.default_rng(0).uniform(1e-4, 5e-4, (6, 5)))
    V = torch.linspace(-0.2, 0.3, 6, dtype=torch.float64)
    wires = {"R_wl": 33.1, "R_bl": 7.7, "R_driver": 10.1, "R_sense": 0.3}
    exact = xb.solve(xb.Crossbar(G.numpy(), **wires), V.numpy(), engine="nodal").I_out
    for answer in (xb.nn.solve(G, V, **wires).I_out, V @ xb.nn.effective_matrix(G, **wires)):
        np.testing.assert_allclose(answer.numpy(), exact, rtol=0, atol=1e-12 * np.abs(exact).max())
