"""Crossbars in plain torch operations, on any device of torch: exact, differentiable, matrix-free.

The unknowns are the device voltages w. A line's wires turn its device currents I into drops by a
constant symmetric operator Z, so ``w = V_open - Z I`` with ``I = I(w)``; a resistance of exactly 0
is nothing special here. Z is two cumulative sums along each line, so an array needs memory in
proportion to its cells. A line with two floating ends adds its first node's voltage x as an unknown
and ``sum(I) = 0`` as an equation.

Newton's method finds w. With the slopes D and ``s = sqrt(D)`` its step is the solution of ``(I + s
Z s) y - B x = b, B' y = c``: symmetric and positive definite on the voltages that leave floating
lines without current, so projected conjugate gradients solve it for all arrays at once (Gould,
Hribar, Nocedal 2001, doi:10.1137/S1064827598345667). One last step with fixed slopes is recorded
for gradients, and its reverse is one more such solution (implicit function theorem).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xbarspice.core.array import Crossbar
from xbarspice.core.device import Device
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.nn.tensor_lines import LineSystem

__all__ = ["Precision", "check_precision", "effective_matrix_on_tensors", "solve_on_tensors"]

Precision = Literal["float64", "mixed"]
"""In what the inner iterations are done."""
RESIDUAL = 1e-12
"""Change of a device voltage, relative to the largest one, at which Newton's method stops."""
MAX_STEPS = 60
MAX_ITERATIONS = 5000
"""Of the conjugate gradients in one step."""
FORCING = 1e-3
"""To which share of its right side a step of Newton's method is solved while it is far away."""
LAST = 1e-13
"""The same for linear devices and for the recorded step."""
COARSE = 1e-5
"""The same for a system in float32, which is solved again for what it leaves."""
LOOK = 4
"""Iterations between two looks at the residual, each of which waits for the device of torch."""
CHUNK = 1 << 24
"""Cells times right sides of effective matrices that are solved at once."""


def check_precision(precision: str) -> None:
    """Refuse a word that is no `Precision`.

    Raises:
        InputError: it is none.
    """
    if precision not in get_args(Precision):
        raise broken_rule(
            f"`precision` must be one of {get_args(Precision)}", repr(precision), "Use one of them."
        )


def _check_finite(*answers: Tensor) -> None:
    if not all(bool(torch.isfinite(answer).all()) for answer in answers):
        raise ConvergenceError(
            "the surrogate must give finite numbers on the tensor's device: a current or voltage "
            "is NaN or infinite. Check the voltages and the device's current."
        )


class _Slopes:
    """The symmetric system of one step of Newton's method for slopes D (..., rows, cols) in S.

    With a second system in float32, `coarse`, that one is solved, and again for what it leaves in
    float64 (iterative refinement).
    """

    def __init__(self, system: LineSystem, D: Tensor, coarse: LineSystem | None = None) -> None:
        if bool((D < 0).any()):
            raise ConvergenceError(
                "the tensor solver needs devices whose current rises with the voltage; a slope is "
                "negative. Solve this device on the CPU."
            )
        self.system, self.root = system, D.sqrt()
        self.inverse = 1 / (1 + D * system.resistance())
        self.factor = self._constraints(D * self.inverse) if system.floating else None
        self.coarse = None if coarse is None else _Slopes(coarse, D.float())

    def _constraints(self, q: Tensor) -> Tensor:
        """Cholesky factor of B' M^-1 B, (..., floating, floating)."""
        wl, bl = self.system.wl.floating, self.system.bl.floating
        rows, cols = q.index_select(-2, wl), q.index_select(-1, bl)
        cross = -rows.index_select(-1, bl)
        top = torch.cat([torch.diag_embed(rows.sum(-1)), cross], dim=-1)
        low = torch.cat([cross.mT, torch.diag_embed(cols.sum(-2))], dim=-1)
        return torch.linalg.cholesky(torch.cat([top, low], dim=-2))

    def apply(self, y: Tensor) -> Tensor:
        """(I + s Z s) y."""
        return y + self.root * self.system.drops(self.root * y)

    def lift(self, x: Tensor, like: Tensor) -> Tensor:
        """B x."""
        return self.root * self.system.raise_lines(x, like)

    def sums(self, y: Tensor) -> Tensor:
        """B' y."""
        return self.system.line_currents(self.root * y)

    def multipliers(self, sums: Tensor) -> Tensor:
        """The x of (B' M^-1 B) x = sums."""
        if self.factor is None:
            return sums
        factor = self.factor.expand(*sums.shape[:-1], *self.factor.shape[-2:])
        return torch.cholesky_solve(sums[..., None], factor)[..., 0]

    def project(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """The residual without what floating lines balance, and that preconditioned.

        Taking ``B x`` out of the residual itself, not only out of the preconditioned one, keeps
        products of both exact (Gould, Hribar, Nocedal 2001, section 6).
        """
        if self.factor is not None:
            r = r - self.lift(self.multipliers(self.sums(self.inverse * r)), r)
        return r, self.inverse * r

    def solve(self, right: Tensor, sums: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Y and x of ``(I + s Z s) y - B x = right, B' y = sums``.

        Args:
            right: (..., rows, cols). sums: (..., floating).
            share: at which share of the first residual the iteration ends.

        Raises:
            ConvergenceError: the iteration did not end.
        """
        if self.coarse is None:
            return self._iterate(right, sums, share)
        y, x = torch.zeros_like(right), torch.zeros_like(sums)
        r, c = right, sums
        for _ in range(MAX_STEPS):
            of_r, of_c = _largest(r, 2), _largest(c, 1)
            small = of_r <= share * torch.maximum(_largest(right, 2), _largest(y, 2))
            small &= of_c <= share * torch.maximum(
                _largest(sums, 1), _largest(self.sums(y.abs()), 1)
            )
            if bool(small.all()):
                return y, x
            unit = torch.maximum(of_r, of_c)
            unit = torch.where(unit > 0, unit, 1.0)  # float32 then holds residuals of any size
            dy, dx = self.coarse.solve((r / unit).float(), (c / unit[..., 0]).float(), COARSE)
            y, x = y + unit * dy, x + unit[..., 0] * dx
            r = right - self.apply(y) + self.lift(x, right)
            c = sums - self.sums(y)
        raise ConvergenceError(
            "refinement must settle on the tensor's device: float32 does not hold this problem. "
            'Use precision="float64".'
        )

    def _iterate(self, right: Tensor, sums: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """`solve` by projected conjugate gradients in the dtype of this system."""
        y = torch.zeros_like(right)
        if self.factor is not None:
            y = self.inverse * self.lift(self.multipliers(sums), right)
        r, z = self.project(right - self.apply(y) if self.factor is not None else right)
        p, rz = z.clone(), _product(r, z)
        aim = share**2 * _product(right, self.inverse * right).clamp(min=0) + 0 * rz
        aim = torch.maximum(aim, share**2 * rz.abs())
        for k in range(MAX_ITERATIONS):
            if k % LOOK == 0 and bool((rz <= aim).all()):
                break
            Ap = self.apply(p)
            curvature = _product(p, Ap)
            step = torch.where((rz > aim) & (curvature > 0), rz / curvature, 0.0)
            y = y + step * p
            r, z = self.project(r - step * Ap)
            fresh = _product(r, z).clamp(min=0)
            p = z + torch.where(rz > 0, fresh / rz, 0.0) * p
            rz = torch.where(step > 0, fresh, rz)
        else:
            raise ConvergenceError(
                f"conjugate gradients must settle within {MAX_ITERATIONS} iterations on the "
                "tensor's device: they did not. Check the conductances, or solve on the CPU."
            )
        if self.factor is None:
            return y, sums
        return y, -self.multipliers(self.sums(self.inverse * (right - self.apply(y))))

    def step(self, r: Tensor, sums: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Voltages and floating lines (dw, dx) of ``dw + Z D dw - S dx = r, S' D dw = sums``."""
        y, x = self.solve(self.root * r, sums, share)
        return r - self.system.drops(self.root * y) + self.system.raise_lines(x, r), x

    def reverse(self, dw: Tensor, dx: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """The transposed of `step`: gradients by `r` and `sums` for those by its results."""
        right = self.root * self.system.drops(dw)
        t, x = self.solve(right, dx + self.system.line_currents(dw), share)
        return dw - self.root * t, x


def _largest(values: Tensor, axes: int) -> Tensor:
    """Largest magnitude over the last axes, (..., 1, 1); 0 where they are empty."""
    flat = values.abs().flatten(-axes)
    if not flat.shape[-1]:
        return flat.new_zeros(*flat.shape[:-1], 1, 1)
    return flat.amax(-1)[..., None, None]


def _product(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((-2, -1), keepdim=True)


class _Step(torch.autograd.Function):
    """Inputs: slopes, r, sums; outputs: voltages and floating lines of `_Slopes.step`."""

    @staticmethod
    def forward(ctx: Any, slopes: _Slopes, r: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        ctx.slopes = slopes
        return slopes.step(r, sums, LAST)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, *ctx.slopes.reverse(*grads, LAST))


def solve_on_tensors(
    crossbar: Crossbar,
    device: Device,
    G: Tensor,
    V_in: Tensor,
    V_out: Tensor,
    R: Sequence[Tensor] | Tensor,
    *,
    precision: Precision = "float64",
) -> tuple[dict[str, Tensor], float]:
    """Solve N arrays, each with its own vector.

    Args:
        crossbar: line ends and shape (its numbers are not used).
        device: the device model, whose parameters may be tensors.
        G: S, (N, rows, cols).
        V_in, V_out: V, (N, rows) and (N, cols).
        R: R_wl, R_bl, R_driver, R_sense in ohm, on the device of `G`: one number each, or an array
            as `Crossbar` takes it, whose first axis may be that of the N arrays.
        precision: "mixed" iterates in float32 and refines in float64; results are as exact.

    Returns:
        I_out, I_in, I_device (A), V_wl, V_bl (V), differentiable once; and the residual: the
        largest current that a device or a floating line lacks, over the array's largest current.

    Raises:
        ConvergenceError: Newton's method or its conjugate gradients did not settle, or a slope of
            the device is negative.
    """
    system = LineSystem(crossbar, R)
    opened = system.open_voltages(V_in, V_out)
    with torch.no_grad():
        steps = _Steps(crossbar, R, precision)
        w, x, slopes = _newton(steps, device, G.detach(), opened.detach())
    w, x = _record_step(system, device, G, opened, w, x, slopes)
    current = device.current(w, G)
    words = len(system.wl.floating)
    level = system.raise_lines(x, w)
    bits = system.raise_lines(torch.cat([0 * x[..., :words], x[..., words:]], dim=-1), w)
    out = {
        "I_out": current.sum(dim=-2),
        "I_in": current.sum(dim=-1),
        "V_wl": V_in[..., :, None] * system.wl.share - system.wl.drops(current) + level - bits,
        "V_bl": V_out[..., None, :] * system.bl.share.mT + system.bl.drops(current.mT).mT - bits,
        "I_device": current,
    }
    _check_finite(*out.values())
    return out, _residual(system, device, G, opened, w.detach(), x.detach())


@torch.no_grad()
def _residual(
    system: LineSystem, device: Device, G: Tensor, opened: Tensor, w: Tensor, x: Tensor
) -> float:
    current = device.current(w, G)
    voltage, sums = system.remainder(w, x, current, opened)
    lacking = _largest(device.derivative(w, G) * voltage, 2)
    lacking = torch.maximum(lacking, _largest(sums, 1))
    largest = _largest(current, 2)
    share = lacking / torch.where(largest > 0, largest, 1.0)
    return float(share.max()) if len(share) else 0.0


def _record_step(
    system: LineSystem,
    device: Device,
    G: Tensor,
    opened: Tensor,
    w: Tensor,
    x: Tensor,
    slopes: _Slopes,
) -> tuple[Tensor, Tensor]:
    """One more step from a solution, with the gradients of the solution."""
    remainder = system.remainder(w, x, device.current(w, G), opened)
    dw, dx = _Step.apply(slopes, *remainder)  # type: ignore[misc]
    return w - dw, x - dx


class _Steps:
    """Steps of Newton's method on fixed resistances, at a precision of the iterations."""

    def __init__(
        self, crossbar: Crossbar, R: Sequence[Tensor] | Tensor, precision: Precision
    ) -> None:
        fixed = [each.detach() for each in R]
        self.system = LineSystem(crossbar, fixed)
        self.coarse = None
        if precision == "mixed":
            self.coarse = LineSystem(crossbar, [each.float() for each in fixed])

    def at(self, D: Tensor) -> _Slopes:
        """The step for slopes D (..., rows, cols) in S."""
        return _Slopes(self.system, D, self.coarse)


def _newton(
    steps: _Steps, device: Device, G: Tensor, opened: Tensor
) -> tuple[Tensor, Tensor, _Slopes]:
    """Voltages w, floating lines x and the slopes there."""
    system = steps.system
    w = opened.clone()
    x = w.new_zeros(*w.shape[:-2], system.floating)
    largest = _largest(opened, 2).clamp(min=torch.finfo(w.dtype).tiny)
    tolerance = max(RESIDUAL, 10 * torch.finfo(w.dtype).eps)
    share = LAST if device.linear else FORCING
    for _ in range(MAX_STEPS):
        slopes = steps.at(device.derivative(w, G).expand_as(w))
        remainder = system.remainder(w, x, device.current(w, G), opened)
        dw, dx = slopes.step(*remainder, share)
        size = _largest(dw, 2)
        # a step is cut to the drive, which keeps exponentials finite
        cut = largest / torch.maximum(size, largest)
        w, x = w - cut * dw, x - cut[..., 0] * dx
        if bool((size <= tolerance * largest).all()):
            return w, x, steps.at(device.derivative(w, G).expand_as(w))
        share = max(LAST, min(share, float((size / largest).max() ** 2) * FORCING))
    raise ConvergenceError(
        f"Newton's method must settle within {MAX_STEPS} steps on the tensor's device: it did not. "
        "Check the conductances and voltages, or solve on the CPU."
    )


def effective_matrix_on_tensors(
    crossbar: Crossbar,
    G: Tensor,
    R: Sequence[Tensor] | Tensor,
    *,
    precision: Precision = "float64",
) -> Tensor:
    """G_eff in S of N linear arrays G (N, rows, cols), differentiable in `G` and `R`.

    Args and errors as those of `solve_on_tensors`.
    """
    size = max(1, CHUNK // (crossbar.rows * crossbar.rows * crossbar.cols))
    needs_gradient = torch.is_grad_enabled() and any(each.requires_grad for each in (G, *R))
    parts = []
    for first in range(0, len(G), size):
        chunk = slice(first, first + size)
        some = [_of_arrays(each, chunk, axes) for each, axes in zip(R, (2, 2, 1, 1), strict=True)]
        if needs_gradient:  # solved again in reverse, so that one chunk at a time is in memory
            part = checkpoint(
                _effective_matrix, crossbar, G[chunk], some, precision, use_reentrant=False
            )
        else:
            part = _effective_matrix(crossbar, G[chunk], some, precision)
        parts.append(part)
    out = torch.cat(parts) if parts else G
    _check_finite(out)
    return out


def _of_arrays(R: Tensor, chunk: slice, axes: int) -> Tensor:
    """Resistances (N, places) of some arrays with an axis for their right sides; else as given."""
    return R[chunk, None] if R.ndim > axes else R


def _effective_matrix(
    crossbar: Crossbar, G: Tensor, R: Sequence[Tensor], precision: Precision
) -> Tensor:
    system, D = LineSystem(crossbar, R), G[:, None]
    eye = torch.eye(crossbar.rows, dtype=G.dtype, device=G.device)
    opened = system.open_voltages(eye, eye.new_zeros(crossbar.rows, crossbar.cols))
    opened = opened.expand(len(G), *opened.shape[-3:])
    with torch.no_grad():
        slopes = _Steps(crossbar, R, precision).at(D.detach())
        w, x = slopes.step(opened, opened.new_zeros(*opened.shape[:-2], system.floating), LAST)
    dw, _ = _Step.apply(slopes, *system.remainder(w, x, D * w, opened))  # type: ignore[misc]
    return (D * (w - dw)).sum(dim=-2)
