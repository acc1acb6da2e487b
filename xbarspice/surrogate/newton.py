"""Newton on the drops of an array, with the current mismatch carried so that Kirchhoff holds.

Each step solves L x + D (a + b) = F for the corrections a, b of the drops with the device slopes
D, and then carries

    F(t) = (1 - t) F + t (what the inner solve left) + I(w + t dw) - I(w) - t D dw,

so that no Kirchhoff sum is ever formed from differences of node voltages. The inner solve stops
early in proportion to |F| (inexact Newton; Dembo, Eisenstat and Steihaug 1982,
doi:10.1137/0719025); the step t is halved until |F| falls. Devices whose equation is known to
`solves` run compiled; any other device is evaluated on NumPy arrays by the same algorithm here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from xbarspice.core.types import Array
from xbarspice.devices import CubicAl2O3TiO2, Device, SinhTiO2
from xbarspice.surrogate.ladders import kernels, solves, sweeps
from xbarspice.surrogate.ladders.direct import Direct
from xbarspice.surrogate.ladders.linear import (
    DIRECT,
    PCG_SHARE,
    RESIDUAL,
    Problem,
    State,
    aims,
    open_state,
    store,
    true_residual,
    uncertain_share,
    workspace,
)
from xbarspice.surrogate.ladders.lines import Network

__all__ = ["ClosedForm", "closed_form", "current", "slopes", "solve_generic", "solve_range"]


SMALLEST_DRIVE = 1e-9
"""Share of the drive below which raising it step by step is given up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClosedForm:
    """Device equations of all arrays for the compiled Newton; see `solves.newton`."""

    kind: int
    P: Array
    Q: Array
    stiffest: float

    @cached_property
    def record(self) -> solves.DevicesRecord:
        """The devices for kernels."""
        return solves.DevicesRecord(kind=self.kind, P=self.P, Q=self.Q, stiffest=self.stiffest)


def closed_form(device: Device, G: Array) -> ClosedForm | None:
    """Coefficients for the compiled Newton, or None for a device that it does not know.

    A sub-class that overrides the equation is not known.
    """
    own = type(device).current, type(device).derivative
    stiffest = float(G.max())
    if own == (SinhTiO2.current, SinhTiO2.derivative):
        sinh = cast(SinhTiO2, device)
        P = G * (sinh.V_read / math.sinh(sinh.b * sinh.V_read))
        Q = np.full((len(G), 1, 1), sinh.b)
        return ClosedForm(kind=solves.SINH, P=P, Q=Q, stiffest=stiffest)
    if own == (CubicAl2O3TiO2.current, CubicAl2O3TiO2.derivative):
        P, Q = (np.ascontiguousarray(c) for c in cast(CubicAl2O3TiO2, device).coefficients(G))
        present = G > 0
        return ClosedForm(
            kind=solves.CUBIC,
            P=np.where(present, P, 0),
            Q=np.where(present, Q, 0),
            stiffest=stiffest,
        )
    return None


def _shaped(values: object, w: Array, G: Array) -> Array:
    """Values as float64 of the shape of w; 0 where the device is absent."""
    out = np.asarray(values, dtype=np.float64)
    return np.array(np.broadcast_to(np.where(G > 0, out, 0.0), w.shape), order="C")


def current(device: Device, w: Array, G: Array) -> Array:
    """Device currents in A at the device voltages w (V), shape of w; 0 for absent devices."""
    return _shaped(device.current(w, G), w, G)


def slopes(device: Device, w: Array, G: Array) -> Array:
    """Device slopes in S at the device voltages w (V), shape of w; 0 for absent devices."""
    return _shaped(device.derivative(w, G), w, G)


def solve_range(
    p: Problem,
    device: Device,
    form: ClosedForm | None,
    G: Array,
    start: int,
    stop: int,
    drops: Array | None = None,
) -> None:
    """Solve start..stop of a problem on nonlinear arrays, G in S, (arrays, rows, cols).

    `drops` holds the drops a and b from which the Newton of every solve starts, V, (N, 2, rows,
    cols); None: no current flows yet. They change the number of steps, not the residual at which
    they end; a solve that ends above it is repeated from nothing.
    What the inner iterations leave unfinished, or Newton above the stated residual, is repeated
    directly, reported as `DIRECT`.
    """
    if drops is None:
        _iterate(p, device, form, G, start, stop, None)
    else:
        for n in range(start, stop):
            _iterate(p, device, form, G, n, n + 1, drops[n])
            if not _converged(p, n):
                _iterate(p, device, form, G, n, n + 1, None)
    for n in range(start, stop):
        if not _converged(p, n):
            solve_generic(p, device, G[p.index[n]], n, direct=True)


def _converged(p: Problem, n: int) -> bool:
    """Whether solve n was finished at the stated residual."""
    return p.report[n, 2] != solves.UNFINISHED and bool(p.report[n, 2] <= RESIDUAL)


def _iterate(
    p: Problem,
    device: Device,
    form: ClosedForm | None,
    G: Array,
    start: int,
    stop: int,
    drops: Array | None,
) -> None:
    """Newton with inner iterations from the same drops, compiled if the equation is known."""
    if form is None:
        for n in range(start, stop):
            solve_generic(p, device, G[p.index[n]], n, drops=drops)
        return
    rows, cols = G.shape[1:]
    ws = workspace(rows, cols)
    ws.owner = None
    for net, first, last in p.stretches(start, stop):
        solves.newton(
            net.record, aims(rows, cols), ws.record, p.record, form.record, drops, first, last
        )


def _norm(net: Network, F_wl: Array, F_bl: Array) -> float:
    """Root of the sum of squares of all Kirchhoff sums; what ideal ends absorb is dropped."""
    on_wl = sweeps.settle_rows(F_wl, net.wl.record)
    return math.sqrt(on_wl + sweeps.settle(F_bl, net.bl.record))


def _correct(
    net: Network, D: Array, s: State, aim: float, direct: bool
) -> tuple[Array, Array, Array, int]:
    """Corrections a, b (V), what remains of F_bl (A) and the iterations, or -1 if too many."""
    if direct:
        return *Direct(net, D).correct(s.F_wl, s.F_bl), np.zeros_like(D), 0
    rows, cols = D.shape
    ws = workspace(rows, cols)
    ws.owner = None
    solves.fold(net.record, ws.record, D)
    limit = aims(rows, cols).limit
    used, square = solves.correct(net.record, ws.record, D, s.F_wl, s.F_bl, aim**2, limit)
    a, b, left = ws.work[[solves.DROP, solves.RISE, solves.LEFT], :rows]  # a copy
    return a, b, left, used if square <= aim**2 else -1


def solve_generic(
    p: Problem,
    device: Device,
    G: Array,
    n: int,
    *,
    direct: bool = False,
    drops: Array | None = None,
) -> None:
    """Solve n of a problem on one array of any device; `direct` solves every step directly.

    `drops` as in `solve_range`, (2, rows, cols).

    What Newton does not reach directly from the open circuit (equations that overflow there) is
    reached by raising the drive in steps.
    """
    s = open_state(p, n, (G.shape[0], G.shape[1]))
    if drops is not None:
        s.a[:], s.b[:] = drops
        s.w[:] = s.e - s.a - s.b
    with np.errstate(over="ignore", invalid="ignore"):
        iterations, steps, residual = _newton(p, device, G, n, s, direct)
        if direct and not residual <= RESIDUAL:
            s, more, residual = _raised(p, device, G, n)
            steps += more
    if residual == solves.UNFINISHED:
        p.report[n] = iterations, steps, residual, math.inf
        return
    kernels.currents(s.current, p.I_in[n], p.I_out[n])
    store(p, n, s)
    bound = uncertain_share(p, n, s, slopes(device, s.w, G), steps, solves.DEVICE_ROUNDING)
    p.report[n] = DIRECT if direct else iterations, steps, residual, bound


def _newton(
    p: Problem, device: Device, G: Array, n: int, s: State, direct: bool
) -> tuple[int, int, float]:
    """Newton from a state, which it moves; iterations, steps and relative residual."""
    net = p.net(n)
    s.current[:] = current(device, s.w, G)
    if s.a.any() or s.b.any():
        kernels.network_residual_rows(s.current, s.a, net.wl.record, s.F_wl)
        kernels.network_residual(s.current, s.b, net.bl.record, s.F_bl)
    else:
        s.F_wl[:] = s.F_bl[:] = s.current
    norm = _norm(net, s.F_wl, s.F_bl)
    largest, stiffest = kernels.currents(s.current, p.I_in[n], p.I_out[n]), float(G.max())
    iterations = steps = 0
    residual = 0.0 if norm == 0.0 else math.inf  # a norm may be NaN
    while steps < solves.MAX_STEPS and norm > 0.0:
        if norm <= PCG_SHARE * largest:
            residual = true_residual(net, s, largest, stiffest)
            if residual <= RESIDUAL:
                break
            norm = _norm(net, s.F_wl, s.F_bl)
        D = slopes(device, s.w, G)
        if not (np.isfinite(D).all() and math.isfinite(norm)):
            break
        aim = max(0.1 * PCG_SHARE * largest, norm * min(0.1, norm / max(largest, norm)))
        a, b, left, used = _correct(net, D, s, aim, direct)
        if used < 0:
            return iterations, steps, solves.UNFINISHED
        iterations += used
        new_norm = _step(net, device, G, s, D, (a, b, left), norm)
        if not new_norm < norm:
            break  # the rounding floor, or no finite current
        norm, steps = new_norm, steps + 1
        largest = kernels.currents(s.current, p.I_in[n], p.I_out[n])
    if not residual <= RESIDUAL:
        residual = true_residual(net, s, largest, stiffest)
    return iterations, steps, residual


def _raised(p: Problem, device: Device, G: Array, n: int) -> tuple[State, int, float]:
    """The state at the whole drive, reached from a small share of it; Newton steps, residual."""
    whole = open_state(p, n, (G.shape[0], G.shape[1])).e
    share, steps, residual = 1.0, 0, math.inf
    s = open_state(p, n, whole.shape)
    while not residual <= RESIDUAL and share > SMALLEST_DRIVE:
        share /= 8
        s = open_state(p, n, whole.shape)
        s.e[:] = share * whole
        s.w[:] = s.e
        _, more, residual = _newton(p, device, G, n, s, True)
        steps += more
    while residual <= RESIDUAL and share < 1:
        last, share = share, min(2 * share, 1.0)
        D = slopes(device, s.w, G)
        if not np.isfinite(D).all():
            return s, steps, math.inf
        F = D * ((share - last) * whole)  # the sources moved, and the slopes stay
        a, b = Direct(p.net(n), D).correct(F, F)
        s.a += a
        s.b += b
        s.e[:] = share * whole
        s.w[:] = s.e - s.a - s.b
        _, more, residual = _newton(p, device, G, n, s, True)
        steps += more
    return s, steps, residual if share == 1 else math.inf


def _step(
    net: Network,
    device: Device,
    G: Array,
    s: State,
    D: Array,
    move: tuple[Array, Array, Array],
    norm: float,
) -> float:
    """Move the state along a Newton direction until |F| falls; returns the new |F|.

    The state stays as it was if no step lowers it.
    """
    a, b, left = move
    dw, t = -(a + b), 1.0
    while True:
        w = s.w + t * dw
        new = current(device, w, G)
        mismatch = new - s.current - t * (D * dw)
        F_wl = (1 - t) * s.F_wl + mismatch
        F_bl = (1 - t) * s.F_bl + t * left + mismatch
        new_norm = _norm(net, F_wl, F_bl)
        if new_norm < norm or t < solves.SMALLEST_STEP:
            break
        t /= 2
    if new_norm < norm:
        s.w, s.current, s.F_wl, s.F_bl = w, new, F_wl, F_bl
        s.a += t * a
        s.b += t * b
    return new_norm
