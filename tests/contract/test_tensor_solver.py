"""The solver in torch operations, run on the CPU, holds the rules that every engine holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.emulated_cuda import EmulatedCuda, emulated_cuda
from xbarspice import LineEnds
from xbarspice.core.line_ends import places
from xbarspice.core.wires import WIRES
from xbarspice.nn.effective_matrices import for_arrays
from xbarspice.nn.tensor_solver import effective_matrix_on_tensors, solve_on_tensors
from xbarspice.testing.engine_cases import CASES

BROKEN = [name for name in CASES if "nearly broken" in name]
"""Cases with 1e12 ohm in a line."""
WHOLE = {name: case for name, case in CASES.items() if name not in BROKEN}
DEVICES = ["ohmic", "sinh_tio2", "cubic_al2o3_tio2", "o921c"]
ENDS = {
    "read": LineEnds(),
    "both ends": LineEnds(wl_right="driven", bl_top="sensed"),
    "one line driven, one sensed": LineEnds(
        wl_left=["driven", *["floating"] * 7], bl_bottom=["sensed", *["floating"] * 5]
    ),
    "driven and sensed on one line": LineEnds(wl_right="sensed", bl_bottom="driven"),
}


class TensorEngine(xb.engines.Engine):
    """`solve_on_tensors` behind the contract of engines."""

    name = "tensor_solver"
    precision = "float64"

    def _prepare(self, crossbar):
        return for_arrays(crossbar, wires_of(crossbar))

    def _solve(self, state, crossbar, drive, full):
        if not crossbar.wires_shared:
            state = [R[drive.array] if R.ndim else R for R in state]
        volts = (torch.tensor(v) for v in (drive.V_in, drive.V_out))
        G = torch.tensor(crossbar.G_flat[drive.array])
        answers, residual = solve_on_tensors(
            crossbar, crossbar.device, G, *volts, state, precision=self.precision
        )
        stats = xb.engines.Stats(engine=self.name, method="tensors", residual=residual)
        numbers = {name: value.numpy() for name, value in answers.items()}
        return xb.engines.Raw(status=xb.Status.CONVERGED, stats=stats, **numbers)


class MixedEngine(TensorEngine):
    """The same with iterations in float32."""

    name = "tensor_solver_mixed"
    precision = "mixed"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", [TensorEngine, MixedEngine])
def test_holds_every_rule_of_the_kit(engine, device):
    xb.testing.check_engine(engine(), devices=[device], cases=WHOLE)


@pytest.mark.parametrize("device", DEVICES[:2])
@pytest.mark.parametrize("engine", [TensorEngine, MixedEngine])
@pytest.mark.parametrize("name", BROKEN)
def test_a_nearly_broken_line_is_solved_or_refused(name, engine, device):
    """Rounding of 1e-16 of a current through 1e12 ohm is a voltage that iterations may not pass."""
    case = CASES[name]
    array = xb.Crossbar(case.G, device=device, **case.arguments)
    expected = xb.solve(array, case.V_in, case.V_out, engine="nodal")
    try:
        actual = xb.solve(array, case.V_in, case.V_out, engine=engine())
    except xb.errors.ConvergenceError:
        return
    atol = 1e-9 * np.abs(expected.I_in).max()
    np.testing.assert_allclose(actual.I_out, expected.I_out, rtol=0, atol=atol)


def crossbar(ends, device, arrays=2, rows=8, cols=6, **wires):
    G = np.random.default_rng(5).uniform(1e-4, 5e-4, (arrays, rows, cols))
    return xb.Crossbar(G, device=device, ends=ENDS[ends], **wires)


def wires_of(array):
    return [torch.tensor(R, dtype=torch.float64) for R in array.wires.values()]


NUMBERS = {"R_wl": 20.0, "R_bl": 5.0, "R_driver": 30.0, "R_sense": 10.0}


def each_place(array, kind):
    """The array with resistances of its own in every place, some of them 0, or also in a batch."""
    rng, lead = np.random.default_rng(2), array.batch if kind == "batch" else ()
    shapes = places((array.wl_ends, array.bl_ends))
    R = {name: rng.lognormal(2.0, 0.5, (*lead, *shapes[name])) for name in WIRES}
    for name in ("R_wl", "R_bl"):
        R[name][rng.random(R[name].shape) < 0.2] = 0.0
    return array.replace(**R)


@pytest.mark.parametrize("wires", ["numbers", "places", "batch"])
@pytest.mark.parametrize("precision", ["float64", "mixed"])
@pytest.mark.parametrize("ends", ENDS)
def test_the_effective_matrix_and_its_gradient_are_the_compiled_ones(ends, precision, wires):
    array = crossbar(ends, "ohmic", **NUMBERS)
    if wires != "numbers":
        array = each_place(array, wires)
    driven = torch.tensor((array.wl_ends == "driven").any(axis=1))
    results = []
    for compiled in (True, False):
        G, *R = (x.requires_grad_() for x in (torch.tensor(array.G), *wires_of(array)))
        if compiled:
            wires = dict(zip(WIRES, R, strict=True))
            matrix = xb.nn.effective_matrix(G, **wires, ends=array.ends)
        else:
            each = for_arrays(array, R)
            matrix = effective_matrix_on_tensors(array, G, each, precision=precision)
        matrix = matrix[:, driven]
        results.append((matrix, *torch.autograd.grad((matrix**2).sum(), (G, *R))))
    for value, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(
            value, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max())
        )


@pytest.mark.parametrize(
    ("arrays", "size", "device", "R"),
    [(10_000, 8, "sinh_tio2", 1.0), (20, 64, "sinh_tio2", 5.0), (2, 128, "cubic_al2o3_tio2", 2.0)],
)
def test_many_and_large_arrays_need_memory_for_their_cells_only(arrays, size, device, R):
    rng = np.random.default_rng(0)
    array = xb.Crossbar(
        rng.uniform(1e-4, 5e-4, (arrays, size, size)), R_wl=R, R_bl=R, device=device
    )
    V = rng.uniform(0, 0.2, (arrays, size))
    expected = xb.solve(array, V, engine="surrogate")
    nothing = torch.zeros(arrays, size, dtype=torch.float64)
    answers, residual = solve_on_tensors(
        array, array.device, torch.tensor(array.G), torch.tensor(V), nothing, wires_of(array)
    )
    scale = np.abs(expected.I_out).max(axis=-1, keepdims=True)
    assert (np.abs(answers["I_out"].numpy() - expected.I_out) <= 1e-11 * scale).all()
    assert residual <= 1e-11


@pytest.mark.parametrize("kind", ["numbers", "places", "batch"])
@pytest.mark.parametrize("device", DEVICES[:3])
@pytest.mark.parametrize("ends", ENDS)
def test_the_front_door_takes_tensors_of_another_device(ends, device, kind):
    """Answers and gradients on the emulated device; nothing is moved to the CPU unseen."""
    array = crossbar(ends, device, **NUMBERS)
    if kind != "numbers":
        array = each_place(array, kind)
    R = dict(zip(WIRES, (R.requires_grad_() for R in wires_of(array)), strict=True))
    driven = torch.tensor((array.wl_ends == "driven").any(axis=1))
    V = torch.linspace(-0.2, 0.3, 8, dtype=torch.float64) * driven
    G = torch.tensor(array.G).requires_grad_()
    expected = xb.nn.solve(G, V, **R, device=device, ends=array.ends)
    expected.I_out.sum().backward()
    with emulated_cuda():
        g = EmulatedCuda(torch.tensor(array.G), requires_grad=True)
        wires = {k: EmulatedCuda(r.detach().clone(), requires_grad=True) for k, r in R.items()}
        answer = xb.nn.solve(g, EmulatedCuda(V), **wires, device=device, ends=array.ends)
        assert isinstance(answer.I_out, EmulatedCuda)
        answer.I_out.sum().backward()
        fixed = {k: r.detach() for k, r in wires.items()}
        matrix = xb.nn.effective_matrix(g.detach(), **fixed, ends=array.ends)
    torch.testing.assert_close(answer.I_out.data_on_cpu, expected.I_out, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(g.grad.data_on_cpu, G.grad, rtol=1e-8, atol=1e-12)
    for name, r in R.items():
        grad, scale = wires[name].grad.data_on_cpu, float(r.grad.abs().max())
        torch.testing.assert_close(grad, r.grad, rtol=1e-7, atol=1e-9 * scale + 1e-18)
    fixed = {k: r.detach() for k, r in R.items()}
    compiled = xb.nn.effective_matrix(G.detach(), **fixed, ends=array.ends)
    torch.testing.assert_close(matrix.data_on_cpu, compiled, rtol=1e-9, atol=1e-15)


def test_a_slope_that_is_negative_is_refused():
    class Falling(xb.devices.Ohmic):
        linear = False

        def derivative(self, V, G):
            return -G + 0 * V

    array = crossbar("read", "ohmic")
    with pytest.raises(xb.errors.ConvergenceError, match="a slope is negative"):
        solve_on_tensors(
            array,
            Falling(),
            torch.tensor(array.G),
            torch.ones(2, 8, dtype=torch.float64),
            torch.zeros(2, 6, dtype=torch.float64),
            wires_of(array),
        )


def test_an_unknown_precision_is_refused():
    with pytest.raises(xb.errors.InputError, match="precision"):
        xb.nn.solve(torch.ones(1, 1), torch.ones(1), precision="half")
