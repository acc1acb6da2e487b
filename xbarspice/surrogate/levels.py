"""The approximate levels of the surrogate as engines: ideal product, linear array, float32."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.line_ends import End
from xbarspice.core.solution import Stats, Status
from xbarspice.engines.base import Engine, Raw
from xbarspice.surrogate.dissection.matrix import reduce
from xbarspice.surrogate.engine import SurrogateEngine
from xbarspice.surrogate.trust import TrustMap, warn_outside

__all__ = ["IdealEngine", "LinearEngine", "SinglePrecisionEngine"]


@dataclass(eq=False)
class _State:
    """What a level keeps of an array, and whether its trust was checked."""

    crossbar: Crossbar
    inner: Any = None
    G_eff: np.ndarray | None = None
    checked: bool = False


class _Level(Engine):
    """An approximate level; it warns once where the trust map does not vouch for it.

    `stats.error_bound` of an answer is how far the level is off there, wires, device curves and
    all. Nothing is refused for it: saying where a level is good enough is the trust map's part.

    Args:
        error: largest error, over the largest output current, that is accepted without a warning.
        trust: a trust map of one's own.
        warn: whether it warns at all.
    """

    exact: ClassVar[bool] = False

    def __init__(
        self, *, error: float | None = None, trust: TrustMap | None = None, warn: bool = True
    ) -> None:
        self.error, self.trust, self.warn = error, trust, warn
        self._exact = SurrogateEngine()

    def _prepare(self, crossbar: Crossbar) -> _State:
        raise NotImplementedError

    def _solve(self, state: _State, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        if self.warn and not state.checked:
            state.checked = True  # once a prepared array: the voltages of a study hardly change
            V = max(float(np.max(np.abs(v), initial=0.0)) for v in (drive.V_in, drive.V_out))
            warn_outside(self.name, [crossbar], V, error=self.error, trust=self.trust)
        return self._approximate(state, crossbar, drive, full)

    def _approximate(self, state: _State, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        raise NotImplementedError


class IdealEngine(_Level):
    """``I_out = (V_in - V_out) G``: no wires, and floating lines carry nothing."""

    name = "ideal"

    def _prepare(self, crossbar: Crossbar) -> _State:
        return _State(crossbar)

    def _approximate(self, state: _State, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        return _ideal(crossbar, drive)


class LinearEngine(_Level):
    """Exact wires, ohmic devices of the same G."""

    name = "linear"

    def _prepare(self, crossbar: Crossbar) -> _State:
        linear = crossbar.replace(device="ohmic")
        return _State(linear, self._exact._prepare(linear))

    def _approximate(self, state: _State, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        raw = self._exact._solve(state.inner, state.crossbar, drive, full)
        # its error bound is that of another array
        return replace(raw, error=None, stats=replace(raw.stats, error_at_most=math.nan))


class SinglePrecisionEngine(_Level):
    """Single precision.

    The effective matrix of a linear array in float32, else exact answers to rounded numbers.
    """

    name = "float32"

    def _prepare(self, crossbar: Crossbar) -> _State:
        rounded = crossbar.replace(G=crossbar.G.astype(np.float32))
        state = _State(rounded, self._exact._prepare(rounded))
        if crossbar.device.linear:
            state.G_eff = reduce(crossbar, dtype=np.float32).G_eff
        return state

    def _approximate(self, state: _State, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        single = Drive(
            batch=drive.batch,
            array=drive.array,
            V_in=_single(drive.V_in),
            V_out=_single(drive.V_out),
        )
        raw = self._exact._solve(state.inner, state.crossbar, single, full)
        I_out = _single(raw.I_out)
        if state.G_eff is not None and not drive.V_out.any():
            v = drive.V_in.astype(np.float32)
            products = [v[n] @ state.G_eff[k] for n, k in enumerate(drive.array)]
            I_out = np.stack(products).astype(np.float64)
        fields = {k: getattr(raw, k) for k in ("V_wl", "V_bl", "I_device")}
        return Raw(
            I_out=I_out,
            I_in=_single(raw.I_in),
            status=raw.status,
            stats=Stats(engine=self.name, method="single precision"),
            **{k: None if v is None else _single(v) for k, v in fields.items()},
        )


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)


def _ideal(crossbar: Crossbar, drive: Drive) -> Raw:
    held = [(ends != End.FLOATING).any(axis=1) for ends in (crossbar.wl_ends, crossbar.bl_ends)]
    shape = (len(drive.array), crossbar.rows, crossbar.cols)
    V_wl = np.broadcast_to(drive.V_in[:, :, None], shape)
    V_bl = np.broadcast_to(drive.V_out[:, None, :], shape)
    present = held[0][:, None] & held[1][None, :]
    I_device = crossbar.G_flat[drive.array] * (V_wl - V_bl) * present
    return Raw(
        I_out=I_device.sum(axis=1),
        I_in=I_device.sum(axis=2),
        status=Status.CONVERGED,
        stats=Stats(engine="ideal", method="the product V G, no circuit"),
        V_wl=V_wl.copy(),
        V_bl=V_bl.copy(),
        I_device=I_device,
    )
