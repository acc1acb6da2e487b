"""torch's compilers and transforms meet a crossbar: it works, or one sentence says why not."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import xbarspice as xb
from xbarspice.core.errors import InputError, XbarspiceError

G = torch.linspace(1e-4, 5e-4, 6, dtype=torch.float64).reshape(3, 2)
V = torch.tensor([0.1, 0.2, -0.1], dtype=torch.float64)


def solve_array(conductances, volts):
    return xb.nn.solve(conductances, volts, device="sinh_tio2").I_out


def product(conductances, volts):
    return volts @ xb.nn.effective_matrix(conductances, R_driver=3.0)


USES = {"solve": solve_array, "effective_matrix": product}


class Wrapped(torch.nn.Module):
    def __init__(self, use):
        super().__init__()
        self.use, self.G = use, torch.nn.Parameter(G.clone())

    def forward(self, volts):
        return self.use(self.G, volts)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("use", USES)
def test_compiled_models_give_the_same_answers_and_gradients(use, backend):
    torch._dynamo.reset()
    plain = Wrapped(USES[use])
    fast = torch.compile(lambda v: 3.0 * plain(2.0 * v).square(), backend=backend)
    for scale in (1.0, -0.5):  # not the answer of the first call once more
        v = (scale * V).requires_grad_()
        out = fast(v)
        expected = 3.0 * USES[use](plain.G, 2.0 * v).square()
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=0.0)
        actual = torch.autograd.grad(out.sum(), (v, plain.G))
        for a, b in zip(actual, torch.autograd.grad(expected.sum(), (v, plain.G)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("use", USES)
def test_one_whole_graph_is_refused_with_the_reason(use):
    torch._dynamo.reset()
    fast = torch.compile(lambda v: USES[use](G, v), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=r"no graph of tensor operations"):
        fast(V)


TRANSFORMS = {
    "vmap": lambda f: vmap(f)(V.expand(4, 3)),
    "grad": lambda f: grad(lambda v: f(v).sum())(V),
    "jacrev": lambda f: jacrev(f)(V),
    "jacfwd": lambda f: jacfwd(f)(V),
    "jvp": lambda f: jvp(f, (V,), (V,)),
    "hessian": lambda f: hessian(lambda v: f(v).sum())(V),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("use", USES)
def test_transforms_of_torch_func_are_refused(use, transform):
    def by_both(v):
        return USES[use](G * v.sum(), v)

    with pytest.raises(XbarspiceError, match=rf"^{use} cannot run inside .*torch\.func"):
        TRANSFORMS[transform](by_both)


@pytest.mark.parametrize("use", USES)
def test_functional_call_works(use):
    model = Wrapped(USES[use])
    part = (2.0 * G).requires_grad_()
    out = functional_call(model, {"G": part}, (V,))
    torch.testing.assert_close(out, USES[use](part, V), rtol=1e-12, atol=0.0)
    (by,) = torch.autograd.grad(out.sum(), part)
    assert bool((by != 0).all())


@pytest.mark.parametrize("use", USES)
def test_forward_mode_gradients_are_refused_instead_of_lost(use):
    with forward_ad.dual_level():
        assert bool(torch.isfinite(USES[use](G, V)).all())  # no gradient is asked for
        for pair in ((forward_ad.make_dual(G, G), V), (G, forward_ad.make_dual(V, V))):
            if use == "effective_matrix" and pair[0] is G:
                continue  # the product with the matrix is torch's own
            with pytest.raises(XbarspiceError, match="forward-mode"):
                USES[use](*pair)


@pytest.mark.parametrize("use", USES)
def test_traces_and_exports_are_refused_instead_of_recorded(use):
    with pytest.raises(XbarspiceError, match=r"torch\.jit\.trace"):
        torch.jit.trace(USES[use], (G, V))
    with pytest.raises(XbarspiceError, match=r"torch\.export"):
        torch.export.export(Wrapped(USES[use]), (V,), strict=False)
    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"no graph of tensor operations"):
        torch.export.export(Wrapped(USES[use]), (V,), strict=True)


def test_jacobians_of_autograd():
    jacobian = torch.autograd.functional.jacobian
    assert jacobian(lambda v: solve_array(G, v), V).shape == (2, 3)
    with pytest.raises(XbarspiceError, match="vectorize=False"):
        jacobian(lambda v: solve_array(G, v), V, vectorize=True)
    with pytest.raises(XbarspiceError, match="differentiated again"):
        torch.autograd.functional.hessian(lambda v: solve_array(G, v).sum(), V)


def test_tensors_without_values_are_refused():
    with pytest.raises(InputError, match="meta"):
        solve_array(G.to("meta"), V)
    with torch._subclasses.FakeTensorMode() as mode, pytest.raises(XbarspiceError, match="plain"):
        solve_array(mode.from_tensor(G), mode.from_tensor(V))


def test_loading_the_torch_front_does_not_load_torchs_compiler():
    """Its import takes seconds."""
    code = "import sys, xbarspice as xb; xb.nn.solve; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_converted_layer_refuses_what_would_be_silently_wrong():
    layer = xb.nn.convert(torch.nn.Linear(3, 2).double())
    with pytest.raises(XbarspiceError, match=r"torch\.jit\.trace"):
        torch.jit.trace(layer, (V,))
    with forward_ad.dual_level(), pytest.raises(XbarspiceError, match="forward-mode"):
        layer(forward_ad.make_dual(V, V))
    names = dict(layer.named_parameters())
    for transform in (grad, jacrev):
        with pytest.raises(XbarspiceError, match=r"torch\.func"):
            transform(lambda p: functional_call(layer, p, (V,)).sum())(names)
