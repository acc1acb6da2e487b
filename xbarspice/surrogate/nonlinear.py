"""Newton on the drops of one array, with the current mismatch carried so that Kirchhoff holds."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xbarspice.devices import Device
from xbarspice.surrogate import kernels
from xbarspice.surrogate.linear import (
    PCG_SHARE,
    RESIDUAL,
    Network,
    Outcome,
    Solver,
    Workspace,
    true_residual,
)

__all__ = ["solve_nonlinear"]

Array = npt.NDArray[np.float64]

MAX_STEPS = 100
SMALLEST_STEP = 1e-9


def _norm(net: Network, F: Array, FT: Array) -> float:
    """Root of the sum of squares of all Kirchhoff sums; what ideal ends absorb is dropped."""
    on_bl = kernels.settle(F, net.bl.R, net.bl.ends)
    return math.sqrt(on_bl + kernels.settle(FT, net.wl.R, net.wl.ends))


def _evaluate(device: Device, G: Array, absent: Array | None, w: Array) -> Array:
    out = np.asarray(device.current(w, G), dtype=np.float64)
    return out if absent is None else np.where(absent, 0.0, out)


def slopes(device: Device, G: Array, absent: Array | None, w: Array) -> Array:
    """Device slopes, S, C-contiguous; 0 where the device is absent."""
    out = np.asarray(device.derivative(w, G), dtype=np.float64)
    out = out if absent is None else np.where(absent, 0.0, out)
    return np.ascontiguousarray(np.broadcast_to(out, w.shape))


def solve_nonlinear(
    net: Network,
    device: Device,
    G: Array,
    ws: Workspace,
    I_out: Array,
    I_in: Array,
    solver: Solver,
) -> Outcome:
    """Solve an array of nonlinear devices whose open-circuit device voltages are in ws.e.

    Newton's method on the drops. Each step solves L x + D (a + b) = F with the slopes D and
    carries the mismatch between the new device currents and their linearisation,

        F(t) = (1 - t) F + t (what the inner solve left) + I(w + t dw) - I(w) - t D dw,

    so that no Kirchhoff sum is ever formed from differences of node voltages. The step t is halved
    until |F| falls. Leaves the same as `linear.solve_linear`.
    """
    stiffest = float(G.max())
    absent = G == 0 if not G.all() else None
    ws.a_sum[:] = 0.0
    ws.b_sum[:] = 0.0
    ws.w[:] = ws.e
    ws.current[:] = _evaluate(device, G, absent, ws.w)
    F, FT = ws.current.copy(), ws.current.T.copy(order="C")
    norm = _norm(net, F, FT)
    largest = kernels.currents(ws.current, I_in, I_out)
    iterations = steps = 0
    direct, residual = False, 0.0 if norm == 0.0 else math.inf
    while steps < MAX_STEPS and norm > 0.0:
        if norm <= PCG_SHARE * largest:
            residual = true_residual(net, ws, largest, stiffest)
            if residual <= RESIDUAL:
                break
            F[:], FT[:] = ws.r, ws.fT
            norm = _norm(net, F, FT)
        D = slopes(device, G, absent, ws.w)
        ws.factors.fill(net, D)
        ws.r[:], ws.fT[:] = F, FT
        aim = max(0.1 * PCG_SHARE * largest, norm * min(0.1, norm / max(largest, norm)))
        used, was_direct = solver(net, ws.factors, ws, aim)
        iterations, direct, steps = iterations + used, direct or was_direct, steps + 1
        da, t = ws.aT.T.copy(order="C"), 1.0
        db, left = ws.b.copy(), ws.r.copy()
        dw = -(da + db)
        while True:
            w = ws.w + t * dw
            new = _evaluate(device, G, absent, w)
            mismatch = new - ws.current - t * (D * dw)
            F_t = (1 - t) * F + t * left + mismatch
            FT_t = (1 - t) * FT + mismatch.T
            norm_t = _norm(net, F_t, FT_t)
            if norm_t < norm or t < SMALLEST_STEP:
                break
            t /= 2
        if not norm_t < norm:
            break  # the rounding floor, or no finite current
        F, FT, norm = F_t, FT_t, norm_t
        ws.w[:], ws.current[:] = w, new
        ws.a_sum += t * da
        ws.b_sum += t * db
        largest = kernels.currents(ws.current, I_in, I_out)
    if not residual <= RESIDUAL:
        residual = true_residual(net, ws, largest, stiffest)
    return Outcome(iterations=iterations, residual=residual, newton_steps=steps, direct=direct)
