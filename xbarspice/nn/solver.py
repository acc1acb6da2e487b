"""Solve crossbars on torch tensors, differentiable in every tensor argument."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from xbarspice import devices, engines
from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ, LineEnds
from xbarspice.core.solution import Stats, Status
from xbarspice.core.wires import WIRES
from xbarspice.devices import Device
from xbarspice.engines.base import stats_with_bound
from xbarspice.engines.overdrive import overdrive
from xbarspice.nn.boundary import as_numpy, between_graphs, refuse_transforms
from xbarspice.nn.effective_matrices import (
    Resistances,
    as_resistances,
    check_tensor,
    crossbar_of,
    for_arrays,
    only_once,
)
from xbarspice.nn.tensor_solver import Precision, check_precision, solve_on_tensors
from xbarspice.surrogate import adjoint

__all__ = ["TensorSolution", "solve"]

INNER = ("V_wl", "V_bl", "I_device")


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorSolution:
    """`xbarspice.Solution` with tensors, all of them differentiable once.

    Attributes:
        I_out: current from the array into the bit-line ends, A, (..., cols).
        I_in: current from the word-line ends into the array, A, (..., rows).
        status, stats: how the solve ended and how the answer was found.
        inner: V_wl, V_bl and I_device, or a function that computes them on first use.
    """

    I_out: Tensor
    I_in: Tensor
    status: Status
    stats: Stats
    inner: dict[str, Tensor] | Callable[[], dict[str, Tensor]] = field(repr=False)

    def _inner(self, name: str) -> Tensor:
        if callable(self.inner):
            object.__setattr__(self, "inner", self.inner())
        return self.inner[name]  # type: ignore[index]

    @property
    def V_wl(self) -> Tensor:
        """Word-line node voltages, V, (..., rows, cols)."""
        return self._inner("V_wl")

    @property
    def V_bl(self) -> Tensor:
        """Bit-line node voltages, V, (..., rows, cols)."""
        return self._inner("V_bl")

    @property
    def I_device(self) -> Tensor:
        """Device currents from word line to bit line, A, (..., rows, cols)."""
        return self._inner("I_device")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Problem:
    """One call: the checked crossbar, its drive, and which device parameters are tensors."""

    crossbar: Crossbar
    drive: Drive
    parameters: tuple[str, ...]
    stats: list[Stats]

    def model(self, values: tuple[Tensor, ...]) -> Device:
        """The device with tensors in place of those parameters."""
        out = copy.copy(self.crossbar.device)
        for name, value in zip(self.parameters, values, strict=True):
            object.__setattr__(out, name, value)
        return out


class _Solve(torch.autograd.Function):
    """Inputs: problem, G (arrays, rows, cols), V_in (N, rows), V_out (N, cols), R x 4, parameters.

    Outputs: I_out, I_in, V_wl, V_bl, I_device, flattened over the batch.
    """

    @staticmethod
    def forward(ctx: Any, problem: _Problem, *tensors: Tensor) -> tuple[Tensor, ...]:
        raw, saved = adjoint.forward(problem.crossbar, problem.drive)
        beyond = overdrive(problem.crossbar, problem.drive)
        stats = stats_with_bound(raw, problem.crossbar, problem.drive)
        notes = stats.notes if beyond is None else (*stats.notes, beyond.text)
        problem.stats.append(replace(stats, notes=notes))
        ctx.problem, ctx.state = problem, saved
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        answers = (raw.I_out, raw.I_in, raw.V_wl, raw.V_bl, raw.I_device)
        return tuple(torch.tensor(a) for a in answers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        if all(g is None for g in grads):
            return (None,) * len(ctx.needs_input_grad)
        adjoints = [None if g is None else as_numpy(g) for g in grads]
        by = adjoint.backward(
            ctx.state,
            I_out=adjoints[0],
            I_in=adjoints[1],
            V_wl=adjoints[2],
            V_bl=adjoints[3],
            I_device=adjoints[4],
        )
        saved = ctx.saved_tensors  # checkpointing gives them once
        dG, by_parameter = _device_gradients(ctx, saved, by)
        out = (
            dG,
            torch.from_numpy(by.V_in),
            torch.from_numpy(by.V_out),
            *(
                torch.tensor(getattr(by, name), dtype=torch.float64) if needed else None
                for name, needed in zip(WIRES, ctx.needs_input_grad[4:8], strict=True)
            ),
            *by_parameter,
        )
        sources = (*saved, *grads)
        needs = zip(out, ctx.needs_input_grad[1:], strict=True)
        return (None, *(only_once(g, *sources) if w else None for g, w in needs))


def _device_gradients(
    ctx: Any, saved: tuple[Tensor, ...], by: adjoint.Gradients
) -> tuple[Tensor | None, tuple[Tensor | None, ...]]:
    """dL/dG and dL/dp: the adjoint device voltages times dI/dG and dI/dp of the model."""
    problem: _Problem = ctx.problem
    needs = (ctx.needs_input_grad[1], *ctx.needs_input_grad[8:])
    if by.G is not None and not any(needs[1:]):
        return torch.tensor(by.G), (None,) * len(needs[1:])
    if not any(needs):
        return None, (None,) * len(needs[1:])
    with torch.enable_grad():
        G, *values = (
            t.detach().requires_grad_(w) for t, w in zip((saved[0], *saved[7:]), needs, strict=True)
        )
        each = G[torch.tensor(problem.drive.array)]
        current = problem.model(tuple(values)).current(torch.from_numpy(ctx.state.V_device), each)
        loss = (torch.from_numpy(by.adjoint) * current).sum()
        leaves = [t for t, w in zip((G, *values), needs, strict=True) if w]
        by_leaf = (
            torch.autograd.grad(loss, leaves, allow_unused=True)
            if loss.requires_grad
            else (None,) * len(leaves)
        )
    gradients = iter(by_leaf)
    dG, *by_parameter = (next(gradients) if w else None for w in needs)
    for name, grad, w in zip(problem.parameters, by_parameter, needs[1:], strict=True):
        if w and grad is None:
            raise broken_rule(
                f"the current of {problem.crossbar.device.name!r} must depend on `{name}` through "
                "torch operations",
                "no gradient",
                "Write the model with xbarspice.core.functions, or pass a number.",
            )
    return dG, tuple(by_parameter)


class _FirstOrder(torch.autograd.Function):
    """The identity, whose gradient cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *sources: Tensor) -> Tensor:
        ctx.save_for_backward(*sources)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        saved = ctx.saved_tensors
        grad = only_once(grads[0], *saved, *grads)
        return (grad, *(None for _ in saved))


@between_graphs
def solve(
    G: Tensor,
    V_in: Tensor,
    V_out: Tensor | None = None,
    *,
    R_wl: Resistances = 1.0,
    R_bl: Resistances = 1.0,
    R_driver: Resistances = 0.0,
    R_sense: Resistances = 0.0,
    device: str | Device = "ohmic",
    parameters: Mapping[str, Tensor] | None = None,
    ends: LineEnds = READ,
    precision: Precision = "float64",
) -> TensorSolution:
    """Solve crossbars exactly; every result is differentiable once in every tensor argument.

    On the CPU this is the compiled surrogate engine in float64 with its adjoint; on a CUDA tensor
    it is Newton's method with conjugate gradients in torch operations there, also in float64, with
    memory in proportion to the cells; it refuses some arrays with a line of more than 1e9 ohm.
    Results have the wider dtype of `G` and `V_in`, so float32 tensors get exact answers rounded to
    float32 (6e-8).

    Args:
        G: conductances at the read voltage, S, (..., rows, cols).
        V_in: word-line voltages, V, (..., rows); leading axes broadcast with those of `G`.
        V_out: bit-line voltages, V, (..., cols); None for 0 V.
        R_wl, R_bl, R_driver, R_sense: ohm, numbers or tensors, scalar or of the shapes that
            `xb.Crossbar` takes; the gradient at 0 ohm is the derivative towards positive values.
        device: registered name or `Device`.
        parameters: fields of the device to replace by scalar tensors, for their gradients.
        ends: what every line end is connected to.
        precision: on CUDA, "mixed" iterates in float32 and refines to float64 accuracy.

    Raises:
        InputError: an argument breaks a rule of `Crossbar`, or a parameter is no device field.
        FloatingNodeError: a line has no path to any source.
        ConvergenceError: the stated residual was not met.
        XbarspiceError: a gradient of this function is differentiated again, or it is called inside
            a transform of torch that needs a graph of it (`torch_boundary`).
    """
    refuse_transforms(
        "solve", G, V_in, V_out, R_wl, R_bl, R_driver, R_sense, *(parameters or {}).values()
    )
    check_tensor("G", G)
    check_tensor("V_in", V_in)
    check_precision(precision)
    if V_out is not None:
        check_tensor("V_out", V_out)
    resistances = as_resistances(G, R_wl, R_bl, R_driver, R_sense)
    names, values = _parameters(devices.get(device), parameters or {}, G)
    numbers = {n: float(v.detach()) for n, v in zip(names, values, strict=True)}
    model = replace(devices.get(device), **numbers)  # type: ignore[type-var]
    crossbar, R = crossbar_of(G, resistances, model, ends)
    problem, voltages = _problem(crossbar, V_in, V_out, names)
    dtype = torch.promote_types(G.dtype, V_in.dtype)
    flat = G.double().reshape(-1, crossbar.rows, crossbar.cols)
    tensors = (flat, *voltages, *R, *values)
    if G.is_cuda:
        return _on_tensors(problem, tensors, dtype, precision)
    return _on_arrays(problem, tensors, dtype)


def _on_arrays(
    problem: _Problem, tensors: tuple[Tensor, ...], dtype: torch.dtype
) -> TensorSolution:
    """The compiled surrogate, with its adjoint where a gradient may be asked for."""
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
        return _without_gradient(problem, dtype)
    answers = _Solve.apply(problem, *tensors)
    return _solution(problem, dict(zip(("I_out", "I_in", *INNER), answers, strict=True)), dtype)


def _problem(
    crossbar: Crossbar, V_in: Tensor, V_out: Tensor | None, parameters: tuple[str, ...]
) -> tuple[_Problem, tuple[Tensor, Tensor]]:
    """The problem, and its voltages as float64 tensors, V, (N, rows) and (N, cols)."""
    volts_out = torch.zeros(crossbar.cols).to(V_in) if V_out is None else V_out
    drive = crossbar.drive(as_numpy(V_in.detach().cpu()), as_numpy(volts_out.detach().cpu()))
    problem = _Problem(crossbar=crossbar, drive=drive, parameters=parameters, stats=[])
    voltages = (
        V_in.double().expand(*drive.batch, -1).reshape(-1, crossbar.rows),
        volts_out.double().expand(*drive.batch, -1).reshape(-1, crossbar.cols),
    )
    return problem, voltages


def _parameters(
    device: Device, parameters: Mapping[str, Tensor], like: Tensor
) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    names = [f.name for f in fields(device)]  # type: ignore[arg-type]
    for name, value in parameters.items():
        if name not in names or not isinstance(value, Tensor) or value.numel() != 1:
            raise broken_rule(
                f"`parameters` must give fields of {device.name!r} ({names}) as scalar tensors",
                f"{name!r}: {value!r}",
                "Set plain numbers in the device itself.",
            )
    values = (value.to(like.device, torch.float64).reshape(()) for value in parameters.values())
    return tuple(parameters), tuple(values)


def _solution(problem: _Problem, answers: dict[str, Tensor], dtype: torch.dtype) -> TensorSolution:
    batch = problem.drive.batch
    shaped = {k: v.reshape(*batch, *v.shape[1:]).to(dtype) for k, v in answers.items()}
    return TensorSolution(
        I_out=shaped["I_out"],
        I_in=shaped["I_in"],
        status=Status.CONVERGED,  # anything else has raised
        stats=problem.stats[0],
        inner={name: shaped[name] for name in INNER},
    )


def _without_gradient(problem: _Problem, dtype: torch.dtype) -> TensorSolution:
    d, crossbar = problem.drive, problem.crossbar
    solution = engines.solve(
        crossbar,
        d.V_in.reshape(*d.batch, -1),
        d.V_out.reshape(*d.batch, -1),
        engine="surrogate",
        outside="ignore",
    )

    def inner() -> dict[str, Tensor]:
        return {name: torch.tensor(getattr(solution, name), dtype=dtype) for name in INNER}

    return TensorSolution(
        I_out=torch.tensor(solution.I_out, dtype=dtype),
        I_in=torch.tensor(solution.I_in, dtype=dtype),
        status=solution.status,
        stats=solution.stats,
        inner=inner,
    )


def _on_tensors(
    problem: _Problem, tensors: tuple[Tensor, ...], dtype: torch.dtype, precision: Precision
) -> TensorSolution:
    """The tensor solver, on the device of the tensors."""
    G, V_in, V_out, *others = tensors
    model, crossbar = problem.model(tuple(others[4:])), problem.crossbar
    index = torch.tensor(problem.drive.array, device=G.device)
    R = for_arrays(crossbar, others[:4])
    if not crossbar.wires_shared:
        R = [each[index] if each.ndim else each for each in R]
    answers, residual = solve_on_tensors(
        crossbar, model, G[index], V_in, V_out, R, precision=precision
    )
    problem.stats.append(Stats(engine="surrogate", method="Newton on tensors", residual=residual))
    sources = [t for t in tensors if t.requires_grad]
    if sources:
        answers = {k: _FirstOrder.apply(v, *sources) for k, v in answers.items()}
    return _solution(problem, answers, dtype)
