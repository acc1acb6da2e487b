"""The engine contract: prepare a crossbar once, solve many vectors, give one kind of answer."""

from __future__ import annotations

import abc
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, Drive
from xbarspice.errors import ConvergenceError, EngineError
from xbarspice.solution import Fields, Solution, Stats, Status

__all__ = ["Engine", "Raw"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Raw:
    """What a back end returns for N solves, before the batch axes are put back.

    I_out (N, cols), I_in (N, rows) in A; V_wl, V_bl (V) and I_device (A), each (N, rows, cols) or
    None when they were not asked for. `error` is an upper bound of what each solve's line currents
    may be wrong by, as a share of its largest output current, (N,); None if the back end has none.
    """

    I_out: Array
    I_in: Array
    status: Status
    stats: Stats
    V_wl: Array | None = None
    V_bl: Array | None = None
    I_device: Array | None = None
    error: Array | None = None


class Engine(abc.ABC):
    """Base of all engines: checks arguments once, restores batch axes, turns status into errors.

    A back end implements `_prepare` and `_solve` on flattened batches.
    """

    name: str

    def prepare(self, crossbar: Crossbar) -> Any:
        """Do the work that does not depend on the voltages; the state is for `solve` alone.

        Raises:
            FloatingNodeError: a node has no path to any source.
        """
        crossbar.refuse_floating()
        return self._prepare(crossbar)

    def solve(
        self,
        state: Any,
        crossbar: Crossbar,
        V_in: npt.ArrayLike,
        V_out: npt.ArrayLike | None = None,
        *,
        full: bool = False,
        check: bool = True,
    ) -> Solution:
        """Solve for the currents of every input vector.

        Args:
            state: what `prepare(crossbar)` returned.
            crossbar: the same crossbar.
            V_in: word-line voltages, V, (..., rows); leading axes broadcast with those of G.
            V_out: bit-line voltages, V, (..., cols); None for 0 V.
            full: compute node voltages and device currents now; otherwise on first use.
            check: raise on a numerical failure; otherwise leave it in `Solution.status`.

        Raises:
            InputError: the arguments do not fit the crossbar.
            ConvergenceError: the stated residual was not met, or a number of the answer is NaN or
                infinite (only with `check`).
        """
        drive = crossbar.drive(V_in, V_out)
        start = time.perf_counter()
        raw = self._solve(state, crossbar, drive, full)
        seconds = time.perf_counter() - start
        raw = self.checked(raw, crossbar, drive, check)

        def fields() -> Fields:
            if raw.V_wl is not None:
                return _fields(raw, drive.batch)
            done = self._solve(state, crossbar, drive, True)
            return _fields(self.checked(done, crossbar, drive, check), drive.batch)

        return Solution(
            I_out=raw.I_out.reshape(*drive.batch, crossbar.cols),
            I_in=raw.I_in.reshape(*drive.batch, crossbar.rows),
            status=raw.status,
            stats=replace(raw.stats, seconds=seconds),
            fields=fields() if raw.V_wl is not None else fields,
        )

    def checked(self, raw: Raw, crossbar: Crossbar, drive: Drive, check: bool) -> Raw:
        """An answer that may be used, or one whose status says that it may not.

        `solve` asks for it; whoever runs a back end without `solve` asks for it too.

        Raises:
            ConvergenceError: a number is not finite, or the residual was not met (with `check`).
        """
        wrong = _not_finite(raw)
        if wrong is not None:
            V = max(float(np.abs(v).max(initial=0.0)) for v in (drive.V_in, drive.V_out))
            text = (
                f"the {self.name} engine must give finite numbers: {wrong}, driven with up to "
                f"{V:.4g} V (the source of {crossbar.device.name!r} vouches for "
                f"{crossbar.device.V_max:g} V). Check the voltages and the device's current."
            )
            if check:
                raise ConvergenceError(text)
            stats = replace(raw.stats, notes=(*raw.stats.notes, text))
            return replace(raw, status=Status.NOT_CONVERGED, stats=stats)
        if check and not raw.status.ok:
            raise ConvergenceError(
                f"the {self.name} engine must reach its residual: {raw.status.value} "
                f"(residual {raw.stats.residual:.3g}, {raw.stats.method}). "
                "Check the conductances and voltages, or use engine='nodal'."
            )
        return raw

    @abc.abstractmethod
    def _prepare(self, crossbar: Crossbar) -> Any: ...

    @abc.abstractmethod
    def _solve(self, state: Any, crossbar: Crossbar, drive: Drive, full: bool) -> Raw: ...


def _not_finite(raw: Raw) -> str | None:
    """What of an answer is NaN or infinite, in words; None if all of it is finite."""
    for name in ("I_out", "I_in", "V_wl", "V_bl", "I_device"):
        values = getattr(raw, name)
        # a finite sum has finite terms, and is the quicker question
        if values is None or math.isfinite(values.sum()) or np.isfinite(values).all():
            continue
        bad = ~np.isfinite(values)
        vector, *place = (int(k) for k in np.argwhere(bad)[0])
        where = ", ".join(str(k) for k in place)
        return (
            f"{name}[{where}] of vector {vector} is {values[bad][0]} "
            f"({int(bad.sum())} of {values.size} numbers of {name} are NaN or infinite)"
        )
    return None


def _fields(raw: Raw, batch: tuple[int, ...]) -> Fields:
    if raw.V_wl is None or raw.V_bl is None or raw.I_device is None:
        raise EngineError("an engine must return all fields when asked for them; it is a defect.")
    shape = (*batch, *raw.V_wl.shape[1:])
    return Fields(
        V_wl=raw.V_wl.reshape(shape),
        V_bl=raw.V_bl.reshape(shape),
        I_device=raw.I_device.reshape(shape),
    )
