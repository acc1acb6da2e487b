"""The engine contract: prepare a crossbar once, solve many vectors, give one kind of answer."""

from __future__ import annotations

import abc
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
    None when they were not asked for.
    """

    I_out: Array
    I_in: Array
    status: Status
    stats: Stats
    V_wl: Array | None = None
    V_bl: Array | None = None
    I_device: Array | None = None


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
            ConvergenceError: the stated residual was not met (only with `check`).
        """
        drive = crossbar.drive(V_in, V_out)
        start = time.perf_counter()
        raw = self._solve(state, crossbar, drive, full)
        seconds = time.perf_counter() - start
        if check and not raw.status.ok:
            raise ConvergenceError(
                f"the {self.name} engine must reach its residual: {raw.status.value} "
                f"(residual {raw.stats.residual:.3g}, {raw.stats.method}). "
                "Check the conductances and voltages, or use engine='nodal'."
            )

        def fields() -> Fields:
            done = raw if raw.V_wl is not None else self._solve(state, crossbar, drive, True)
            return _fields(done, drive.batch)

        return Solution(
            I_out=raw.I_out.reshape(*drive.batch, crossbar.cols),
            I_in=raw.I_in.reshape(*drive.batch, crossbar.rows),
            status=raw.status,
            stats=replace(raw.stats, seconds=seconds),
            fields=fields() if raw.V_wl is not None else fields,
        )

    @abc.abstractmethod
    def _prepare(self, crossbar: Crossbar) -> Any: ...

    @abc.abstractmethod
    def _solve(self, state: Any, crossbar: Crossbar, drive: Drive, full: bool) -> Raw: ...


def _fields(raw: Raw, batch: tuple[int, ...]) -> Fields:
    if raw.V_wl is None or raw.V_bl is None or raw.I_device is None:
        raise EngineError("an engine must return all fields when asked for them; it is a defect.")
    shape = (*batch, *raw.V_wl.shape[1:])
    return Fields(
        V_wl=raw.V_wl.reshape(shape),
        V_bl=raw.V_bl.reshape(shape),
        I_device=raw.I_device.reshape(shape),
    )
