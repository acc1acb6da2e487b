"""Exact gradients of crossbar solves by the adjoint method, on NumPy arrays.

Use::

    raw, saved = forward(crossbar, crossbar.drive(V_in, V_out))
    gradients = backward(saved, I_out=dL_dI_out, I_in=dL_dI_in)   # each optional

With the drops a (word lines) and b (bit lines), the device voltage w = e - a - b and the device
slopes D, the equations L_wl a = I(w), L_bl b = I(w) have the symmetric adjoint

    (L_wl + D) la + D lb = -D h - dL/dV_wl,    D la + (L_bl + D) lb = -D h + dL/dV_bl,

h = dL/dI_device + dL/dI_in (of its row) + dL/dI_out (of its column). The adjoint device voltage
mu = h + la + lb gives every device-side gradient as sum(mu dI/dp), for G and for the model's
parameters alike; a wire or an end contributes (its current) x (its adjoint current), which is also
the one-sided derivative at a resistance of exactly 0 (Director and Rohrer 1969,
doi:10.1109/TCT.1969.1082965).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import ConvergenceError
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Indices
from xbarspice.core.wires import Resistance, sum_like
from xbarspice.engines.base import Raw
from xbarspice.surrogate import adjoint_kernels, newton
from xbarspice.surrogate.divider_gradients import add_open_circuit, any_divided
from xbarspice.surrogate.engine import Prepared, SurrogateEngine, spread
from xbarspice.surrogate.ladders import kernels, linear, solves
from xbarspice.surrogate.ladders.direct import Direct

__all__ = ["Adjoint", "Gradients", "Saved", "backward", "forward"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Saved:
    """The converged state of a forward solve.

    Attributes:
        crossbar: the crossbar that was solved.
        index: array (in `Crossbar.G_flat`) of each of the N solves, (N,).
        V_device: device voltages, V, (N, rows, cols).
    """

    crossbar: Crossbar
    index: Indices
    V_device: Array
    problem: linear.Problem
    state: Prepared
    threads: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Gradients:
    """Gradients of a scalar loss L (units of L per unit of the quantity).

    Attributes:
        V_in, V_out: dL/dV of each solve, (N, rows) and (N, cols); 0 for lines without a driver.
        by_solve: dL/dR of each solve for R_wl, R_bl, R_driver, R_sense: (N,), summed over lines, of
            one number; (N, rows, cols - 1), (N, rows - 1, cols) or (N, ends) of arrays of them. At
            a resistance of 0 this is the derivative towards positive values, of all segments
            together or of each alone.
        R_wl, R_bl, R_driver, R_sense: their sums over all solves, of the shape that the crossbar
            has.
        adjoint: adjoint device voltages mu, (N, rows, cols): dL/dp = sum(mu * dI/dp) for any
            parameter p of the device currents I(V_device, G).
        G: dL/dG of every array, (arrays, rows, cols), for ohmic devices (also where G = 0); None
            for others, whose dI/dG comes from `adjoint`.
        saved: what `forward` kept.
    """

    V_in: Array
    V_out: Array
    by_solve: Mapping[str, Array]
    adjoint: Array
    G: Array | None
    saved: Saved

    @property
    def R_wl(self) -> Resistance:
        """dL/dR_wl over all solves, per ohm, in the shape of the crossbar's `R_wl`."""
        return _summed(self.saved, self.saved.crossbar.R_wl, self.by_solve["R_wl"])

    @property
    def R_bl(self) -> Resistance:
        """dL/dR_bl over all solves, per ohm, in the shape of the crossbar's `R_bl`."""
        return _summed(self.saved, self.saved.crossbar.R_bl, self.by_solve["R_bl"])

    @property
    def R_driver(self) -> Resistance:
        """dL/dR_driver over all solves, per ohm, in the shape of the crossbar's `R_driver`."""
        return _summed(self.saved, self.saved.crossbar.R_driver, self.by_solve["R_driver"])

    @property
    def R_sense(self) -> Resistance:
        """dL/dR_sense over all solves, per ohm, in the shape of the crossbar's `R_sense`."""
        return _summed(self.saved, self.saved.crossbar.R_sense, self.by_solve["R_sense"])


def forward(
    crossbar: Crossbar, drive: Drive, *, threads: int | None = None, check: bool = True
) -> tuple[Raw, Saved]:
    """Solve all vectors of a drive and keep what the gradients need.

    Args:
        crossbar: the array, or batch of arrays.
        drive: from `Crossbar.drive(V_in, V_out)`.
        threads: as in `SurrogateEngine`.
        check: raise if the answer may not be used; otherwise see `Raw.status`.

    Returns:
        The answers with node voltages and device currents, flattened over the batch, and the state.

    Raises:
        FloatingNodeError: a line has no path to any source.
        ConvergenceError: the stated residual was not met, or a number is not finite (only with
            `check`).
    """
    engine = SurrogateEngine(threads=threads)
    state: Prepared = engine.prepare(crossbar)
    raw, p = engine.run(state, crossbar, drive, full=True)
    raw = engine.check_answer(raw, crossbar, drive, check)
    saved = Saved(
        crossbar=crossbar,
        index=drive.array,
        V_device=p.inner[3],
        problem=p,
        state=state,
        threads=engine.threads,
    )
    return raw, saved


@dataclass(kw_only=True, eq=False)
class Adjoint:
    """Sources and results of the adjoint solves; see `adjoint_kernels.AdjointRecord`."""

    index: Indices
    D: Array
    by_out: Array
    by_in: Array
    by_device: Array | None
    by_wl: Array | None
    by_bl: Array | None
    inner: Array
    mu: Array
    V_in: Array
    V_out: Array
    R: Array
    R_wl: Array | None
    R_bl: Array | None
    at_wl: Array
    at_bl: Array
    report: Array

    @cached_property
    def record(self) -> adjoint_kernels.AdjointRecord:
        """The solves for kernels."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return adjoint_kernels.AdjointRecord(kept=self.inner.shape[1], **parts)


def backward(
    saved: Saved,
    *,
    I_out: npt.ArrayLike | None = None,
    I_in: npt.ArrayLike | None = None,
    V_wl: npt.ArrayLike | None = None,
    V_bl: npt.ArrayLike | None = None,
    I_device: npt.ArrayLike | None = None,
) -> Gradients:
    """Gradients with respect to everything that a solve depends on, by one more solve.

    Args:
        saved: from `forward`.
        I_out, I_in: dL/dI_out (N, cols) and dL/dI_in (N, rows); None for 0.
        V_wl, V_bl, I_device: dL/d of the inner quantities, (N, rows, cols); None for 0.

    Raises:
        ConvergenceError: the adjoint equations did not reach the stated residual.
    """
    job = _job(saved, I_out, I_in, I_device, V_wl, V_bl)
    rows, cols = job.D.shape[1:]

    def work(start: int, stop: int) -> None:
        _solve(saved, job, start, stop)

    spread(work, len(job.index), saved.threads, rows * cols)
    worst = float(job.report[:, 2].max(initial=0.0))
    if not worst <= linear.RESIDUAL:
        raise ConvergenceError(
            f"the adjoint must reach a residual of {linear.RESIDUAL:g}: it reached {worst:.3g}. "
            "Check that the gradients passed in are finite."
        )
    return _collect(saved, job)


def _job(
    saved: Saved,
    I_out: npt.ArrayLike | None,
    I_in: npt.ArrayLike | None,
    I_device: npt.ArrayLike | None,
    V_wl: npt.ArrayLike | None,
    V_bl: npt.ArrayLike | None,
) -> Adjoint:
    p, crossbar, count = saved.problem, saved.crossbar, len(saved.index)
    rows, cols = crossbar.rows, crossbar.cols

    def array(value: npt.ArrayLike | None, *shape: int) -> Array:
        out = np.zeros(shape)
        if value is not None:
            out[...] = value
        return out

    def inner(value: npt.ArrayLike | None) -> Array | None:
        return None if value is None else array(value, count, rows, cols)

    D, index = saved.state.D, saved.index
    if D is None:
        D = newton.slopes(crossbar.device, saved.V_device, crossbar.G_flat[saved.index])
        index = np.arange(count)
    return Adjoint(
        index=np.ascontiguousarray(index),
        D=D,
        by_out=array(I_out, count, cols),
        by_in=array(I_in, count, rows),
        by_device=inner(I_device),
        by_wl=inner(V_wl),
        by_bl=inner(V_bl),
        inner=p.inner,
        mu=np.empty((count, rows, cols)),
        V_in=np.empty_like(p.V_in),
        V_out=np.empty_like(p.V_out),
        R=np.zeros((count, 2)),
        R_wl=np.zeros((count, rows, cols - 1)) if isinstance(crossbar.R_wl, np.ndarray) else None,
        R_bl=np.zeros((count, rows - 1, cols)) if isinstance(crossbar.R_bl, np.ndarray) else None,
        at_wl=np.zeros((count, 2, rows)),
        at_bl=np.zeros((count, 2, cols)),
        report=np.zeros((count, 3)),
    )


def _solve(saved: Saved, job: Adjoint, start: int, stop: int) -> None:
    rows, cols = job.D.shape[1:]
    ws, aims = linear.workspace(rows, cols), linear.aims(rows, cols)
    owner = saved.state if saved.state.D is not None else job
    folded = ws.folded if ws.owner is owner else -1
    for net, first, last in saved.problem.stretches(start, stop):
        folded = adjoint_kernels.adjoint(
            net.record, aims, ws.record, job.record, None, first, last, folded
        )
        for n in range(first, last):
            if job.report[n, 2] == solves.UNFINISHED:
                drops, job.report[n, 2] = _directly(saved, job, n)
                adjoint_kernels.adjoint(
                    net.record, aims, ws.record, job.record, drops, n, n + 1, folded
                )
    ws.folded, ws.owner = folded, owner


def _directly(saved: Saved, job: Adjoint, n: int) -> tuple[Array, float]:
    """Adjoint drops la, lb of solve n by the direct method, (2, rows, cols), and their residual."""
    net, D = saved.problem.net(n), job.D[job.index[n]]
    h = job.by_in[n][:, None] + job.by_out[n]
    if job.by_device is not None:
        h = h + job.by_device[n]
    f_wl = -D * h - (0.0 if job.by_wl is None else job.by_wl[n])
    f_bl = -D * h + (0.0 if job.by_bl is None else job.by_bl[n])
    solver, x = Direct(net, D), np.zeros((2, *D.shape))
    scale = max(float(np.abs(f_wl).max()), float(np.abs(f_bl).max()), np.finfo(float).tiny)
    residual = math.inf
    for _ in range(solves.MAX_CORRECTIONS):
        total = D * (x[0] + x[1])
        r_wl, r_bl = np.empty_like(D), np.empty_like(D)
        worst = max(
            kernels.network_residual_rows(f_wl - total, x[0], net.wl.record, r_wl),
            kernels.network_residual(f_bl - total, x[1], net.bl.record, r_bl),
        )
        wire = max(
            kernels.stiff_current(x[0], net.wl.record),
            kernels.stiff_current(x[1], net.bl.record),
        )
        residual = worst / max(scale, linear.ROUNDING / linear.RESIDUAL * wire)
        if residual <= linear.RESIDUAL:
            break
        x += solver.correct(r_wl, r_bl)
    return x, residual


def _collect(saved: Saved, job: Adjoint) -> Gradients:
    crossbar = saved.crossbar
    if any_divided(crossbar):
        add_open_circuit(saved, job)
    by_solve = {
        "R_wl": job.R[:, 0] if job.R_wl is None else job.R_wl,
        "R_bl": job.R[:, 1] if job.R_bl is None else job.R_bl,
        "R_driver": _by_ends(saved, job, End.DRIVEN, crossbar.R_driver),
        "R_sense": _by_ends(saved, job, End.SENSED, crossbar.R_sense),
    }
    return Gradients(
        V_in=job.V_in,
        V_out=job.V_out,
        by_solve=by_solve,
        adjoint=job.mu,
        G=_by_array(saved, job.mu * saved.V_device) if crossbar.device.linear else None,
        saved=saved,
    )


def _summed(saved: Saved, R: Resistance, values: Array) -> Resistance:
    """Sum of the solves of a gradient (N, ...), of the shape of its resistance."""
    if not isinstance(R, np.ndarray):
        return float(values.sum())
    return sum_like(R, _by_array(saved, values), saved.crossbar.batch)


def _by_ends(saved: Saved, job: Adjoint, end: End, R: Resistance) -> Array:
    """dL/dR of each solve by the resistance of such line ends, (N,) or (N, ends)."""
    crossbar = saved.crossbar
    sides = []
    for side, spec in enumerate(crossbar.ends.sides):
        kind, k = divmod(side, 2)
        values = (job.at_wl, job.at_bl)[kind][:, k]
        if isinstance(spec, str):
            if spec == end:
                sides.append((kind, values))
        elif end in spec:
            here = (crossbar.wl_ends, crossbar.bl_ends)[kind][:, k] == end
            sides.append((kind, np.where(here, values, 0.0)))
    if not isinstance(R, np.ndarray):
        out = np.zeros(len(job.mu))
        for _, values in sides:
            out += values.sum(axis=1)
        return out
    for net, start, stop in saved.problem.stretches(0, len(job.mu)):
        for kind, values in sides:
            held = (net.wl, net.bl)[kind].doubly_held
            if held.any():  # beside another ideal end, one that is raised alone carries nothing
                values[start:stop, held] = 0.0
    return np.concatenate([values for _, values in sides] or [job.at_wl[:, 0, :0]], axis=1)


def _by_array(saved: Saved, values: Array) -> Array:
    """Sum of the solves of every array, (arrays, rows, cols)."""
    arrays = len(saved.crossbar.G_flat)
    if arrays == len(values) and (arrays == 1 or (np.diff(saved.index) == 1).all()):
        return values
    out = np.zeros((arrays, *values.shape[1:]))
    np.add.at(out, saved.index, values)
    return out
