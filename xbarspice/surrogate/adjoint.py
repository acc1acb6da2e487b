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
from xbarspice.core.line_ends import End, EndSpec
from xbarspice.core.types import Array, Indices
from xbarspice.engines.base import Raw
from xbarspice.surrogate import adjoint_kernels, newton
from xbarspice.surrogate.engine import Prepared, SurrogateEngine, spread
from xbarspice.surrogate.ladders import kernels, linear, solves
from xbarspice.surrogate.ladders.direct import Direct

__all__ = ["Gradients", "Saved", "backward", "forward"]


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
        by_solve: dL/dR of each solve (N,) for R_wl, R_bl, R_driver, R_sense, summed over lines.
            At a resistance of 0 this is the derivative towards positive values.
        R_wl, R_bl, R_driver, R_sense: their sums over all solves.
        adjoint: adjoint device voltages mu, (N, rows, cols): dL/dp = sum(mu * dI/dp) for any
            parameter p of the device currents I(V_device, G).
        G: dL/dG of every array, (arrays, rows, cols), for ohmic devices (also where G = 0); None
            for others, whose dI/dG comes from `adjoint`.
    """

    V_in: Array
    V_out: Array
    by_solve: Mapping[str, Array]
    adjoint: Array
    G: Array | None

    @property
    def R_wl(self) -> float:
        return float(self.by_solve["R_wl"].sum())

    @property
    def R_bl(self) -> float:
        return float(self.by_solve["R_bl"].sum())

    @property
    def R_driver(self) -> float:
        return float(self.by_solve["R_driver"].sum())

    @property
    def R_sense(self) -> float:
        return float(self.by_solve["R_sense"].sum())


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
class _Adjoint:
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
) -> _Adjoint:
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
    return _Adjoint(
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
        at_wl=np.zeros((count, 2, rows)),
        at_bl=np.zeros((count, 2, cols)),
        report=np.zeros((count, 3)),
    )


def _solve(saved: Saved, job: _Adjoint, start: int, stop: int) -> None:
    net = saved.problem.net
    rows, cols = job.D.shape[1:]
    ws, aims = linear.workspace(rows, cols), linear.aims(rows, cols)
    owner = saved.state if saved.state.D is not None else job
    folded = ws.folded if ws.owner is owner else -1
    ws.folded = adjoint_kernels.adjoint(
        net.record, aims, ws.record, job.record, None, start, stop, folded
    )
    ws.owner = owner
    for n in range(start, stop):
        if job.report[n, 2] == solves.UNFINISHED:
            drops, job.report[n, 2] = _directly(saved, job, n)
            adjoint_kernels.adjoint(
                net.record, aims, ws.record, job.record, drops, n, n + 1, ws.folded
            )


def _directly(saved: Saved, job: _Adjoint, n: int) -> tuple[Array, float]:
    """Adjoint drops la, lb of solve n by the direct method, (2, rows, cols), and their residual."""
    net, D = saved.problem.net, job.D[job.index[n]]
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


def _collect(saved: Saved, job: _Adjoint) -> Gradients:
    crossbar = saved.crossbar
    mu, count = job.mu, len(job.mu)
    by_end = {end: np.zeros(count) for end in End}
    at = (*job.at_wl.swapaxes(0, 1), *job.at_bl.swapaxes(0, 1))
    for k, (given, values) in enumerate(zip(_specs(crossbar), at, strict=True)):
        if isinstance(given, str):
            by_end[End(given)] += values.sum(axis=1)
            continue
        kinds = (crossbar.wl_ends if k < 2 else crossbar.bl_ends)[:, k % 2]
        for kind, value in zip(kinds, values.T, strict=True):
            by_end[kind] += value
    out = {
        "R_wl": job.R[:, 0],
        "R_bl": job.R[:, 1],
        "R_driver": by_end[End.DRIVEN],
        "R_sense": by_end[End.SENSED],
    }
    for name, value in _through_lines(saved, job).items():
        out[name] = out[name] + value
    return Gradients(
        V_in=job.V_in,
        V_out=job.V_out,
        by_solve=out,
        adjoint=mu,
        G=_by_array(saved, mu * saved.V_device) if crossbar.device.linear else None,
    )


def _specs(crossbar: Crossbar) -> tuple[EndSpec, EndSpec, EndSpec, EndSpec]:
    """The four sides as they were given: left, right, top, bottom."""
    e = crossbar.ends
    return e.wl_left, e.wl_right, e.bl_top, e.bl_bottom


def _by_array(saved: Saved, values: Array) -> Array:
    """Sum of the solves of every array, (arrays, rows, cols)."""
    arrays = len(saved.crossbar.G_flat)
    if arrays == len(values) and (arrays == 1 or (np.diff(saved.index) == 1).all()):
        return values
    out = np.zeros((arrays, *values.shape[1:]))
    np.add.at(out, saved.index, values)
    return out


def _through_lines(saved: Saved, job: _Adjoint) -> dict[str, Array]:
    """Share of the open-circuit voltages of lines between a driver and a sense node, (N,) each."""
    crossbar, p = saved.crossbar, saved.problem
    out: dict[str, Array] = {}
    given = _specs(crossbar)
    if all(isinstance(x, str) for x in given) and not (
        _divides(given[0], given[1]) or _divides(given[2], given[3])
    ):
        return out
    sides = (
        ("R_wl", crossbar.wl_ends, p.V_in, crossbar.cols, 1.0, job.by_wl, (0, 1, 2)),
        ("R_bl", crossbar.bl_ends, p.V_out, crossbar.rows, -1.0, job.by_bl, (0, 2, 1)),
    )
    for name, ends, volts, cells, sign, on_nodes, axes in sides:
        for line, pair in enumerate(ends):
            if not _divides(*pair):
                continue
            psi = sign * job.D[job.index] * job.mu
            psi = (psi if on_nodes is None else psi + on_nodes).transpose(axes)[:, line]
            R = getattr(crossbar, name)
            total = crossbar.R_driver + (cells - 1) * R + crossbar.R_sense
            steps = np.arange(cells)[::-1] if pair[0] == End.DRIVEN else np.arange(cells)
            to_ground = steps * R + crossbar.R_sense  # resistance from the cell to the sense node
            by_share = psi * volts[:, line, None]
            slopes = (steps - to_ground / total * (cells - 1)) / total
            for of, value in (
                (name, by_share @ slopes),
                ("R_driver", by_share @ (-to_ground / total) / total),
                ("R_sense", by_share @ (1.0 - to_ground / total) / total),
            ):
                out[of] = out.get(of, 0.0) + value
    return out


def _divides(first: object, last: object) -> bool:
    """Whether a line between these ends is a voltage divider."""
    return {first, last} == {End.DRIVEN, End.SENSED}
