"""The surrogate engine: exact answers from compiled ladder solves, on NumPy arrays."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, Drive
from xbarspice.engines.base import Engine, Raw
from xbarspice.errors import broken_rule
from xbarspice.solution import Stats, Status
from xbarspice.surrogate import kernels, linear, nonlinear

__all__ = ["SurrogateEngine"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Prepared:
    net: linear.Network
    factors: list[linear.Factors] | None


class SurrogateEngine(Engine):
    """Exact solution by conjugate gradients between ladders, with Newton for nonlinear devices.

    Args:
        threads: solves of one batch that run at the same time; None for all available cores.
        direct: use the direct method (sparse LU) from the start, for checks.
    """

    name = "surrogate"

    def __init__(self, *, threads: int | None = None, direct: bool = False) -> None:
        if threads is not None and threads < 1:
            raise broken_rule("`threads` must be >= 1", threads, "Use None for all cores.")
        self.threads = threads or len(os.sched_getaffinity(0))
        self.direct = direct

    def _prepare(self, crossbar: Crossbar) -> _Prepared:
        net = linear.network(crossbar)
        if not crossbar.device.linear:
            return _Prepared(net, None)
        factors = []
        for G in crossbar.G_flat:
            f = linear.Factors(crossbar.rows, crossbar.cols)
            f.fill(net, nonlinear.slopes(crossbar.device, G, None, np.zeros_like(G)))
            factors.append(f)
        return _Prepared(net, factors)

    def _solve(self, state: _Prepared, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        rows, cols, count = crossbar.rows, crossbar.cols, len(drive.array)
        I_out, I_in = np.empty((count, cols)), np.empty((count, rows))
        inner = [np.empty((count, rows, cols)) for _ in range(3)] if full else None
        solver = linear.correct_directly if self.direct else linear.correct

        def one(n: int) -> linear.Outcome:
            ws = linear.workspace(rows, cols)
            V_in, V_out = drive.V_in[n], drive.V_out[n]
            net = state.net
            kernels.open_circuit(V_in, V_out, net.wl.share, net.bl.share, ws.e)
            if state.factors is not None:
                f = state.factors[drive.array[n]]
                end = linear.solve_linear(net, f, ws, I_out[n], I_in[n], solver)
            else:
                G = crossbar.G_flat[drive.array[n]]
                end = nonlinear.solve_nonlinear(
                    net, crossbar.device, G, ws, I_out[n], I_in[n], solver
                )
            if inner is not None:
                V_wl, V_bl, I_device = inner
                cell, row = np.arange(cols), np.arange(rows)[:, None]
                share = net.wl.share
                V_wl[n] = V_in[:, None] * (share[0][:, None] + share[1][:, None] * cell) - ws.a_sum
                V_bl[n] = V_out * (net.bl.share[0] + net.bl.share[1] * row) + ws.b_sum
                I_device[n] = ws.current
            return end

        if count == 1 or self.threads == 1:
            ends = [one(n) for n in range(count)]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                ends = list(pool.map(one, range(count)))
        return Raw(
            I_out=I_out,
            I_in=I_in,
            status=Status.CONVERGED if all(e.ok for e in ends) else Status.NOT_CONVERGED,
            stats=_stats(ends),
            **(dict(zip(("V_wl", "V_bl", "I_device"), inner, strict=True)) if inner else {}),
        )


def _stats(ends: list[linear.Outcome]) -> Stats:
    residuals = [e.residual for e in ends]
    direct = sum(e.direct for e in ends)
    notes = (
        (f"{direct} of {len(ends)} solves were finished by sparse LU: too many iterations",)
        if direct
        else ()
    )
    return Stats(
        engine="surrogate",
        method="conjugate gradients between exact ladders",
        iterations=max(e.iterations for e in ends),
        newton_steps=max(e.newton_steps for e in ends),
        residual=float(np.max(residuals)),
        notes=notes,
    )
