"""The engine contract: prepare a crossbar once, solve many vectors, give one kind of answer."""

from __future__ import annotations

import abc
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import (
    AccuracyWarning,
    ConvergenceError,
    EngineError,
    broken_rule,
    level_outside,
)
from xbarspice.core.solution import Fields, Solution, Stats, Status
from xbarspice.core.types import Array
from xbarspice.core.values import array_of
from xbarspice.engines.error_bound import REFUSE_ABOVE, UNMEASURED, WARN_ABOVE, ErrorBound
from xbarspice.engines.overdrive import overdrive
from xbarspice.engines.series import Series

__all__ = ["Engine", "Raw", "stats_with_bound"]


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


State = TypeVar("State")
"""What `_prepare` of one engine makes of a crossbar and its `_solve` needs."""


class Engine(abc.ABC, Generic[State]):
    """Base of all engines: checks arguments once, restores batch axes, turns status into errors.

    To add an engine, derive from this class, implement `_prepare` and `_solve` on flattened batches
    and add the class to `xb.engines.registry`. `xb.testing.check_engine` then holds it to the
    contract. Voltages are in V, currents in A, conductances in S, all of them float64; signs are
    those of `xbarspice.core.array`.

    Attributes:
        name: the word that `xb.solve` knows it by.
        exact: whether it solves the crossbar as it is. Answers of an exact engine are refused, or
            the user is warned, by their error bound. Of other engines the bound says how far the
            approximation is off.
    """

    name: str
    exact: ClassVar[bool] = True

    def prepare(self, crossbar: Crossbar) -> State:
        """Do the work that does not depend on the voltages, once a crossbar.

        Args:
            crossbar: one array, or a batch of arrays of one shape.

        Returns:
            The state of this engine for this crossbar, for `solve` alone. It may serve any number
            of calls.

        Raises:
            FloatingNodeError: a node has no path to any source.
            EngineMissingError: a program or library that the engine needs is not installed.
        """
        crossbar.refuse_floating()
        return self._prepare(crossbar)

    def solve(
        self,
        state: State,
        crossbar: Crossbar,
        V_in: npt.ArrayLike,
        V_out: npt.ArrayLike | None = None,
        *,
        full: bool = False,
        check: bool = True,
        outside: Literal["warn", "error", "ignore"] = "ignore",
        start: Solution | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> Solution:
        """Solve for the currents of every input vector.

        Args:
            state: what `prepare(crossbar)` returned.
            crossbar: the same crossbar.
            V_in: word-line voltages, V, (..., rows); leading axes broadcast with those of G.
            V_out: bit-line voltages, V, (..., cols); None for 0 V.
            full: compute node voltages and device currents now; otherwise on first use.
            check: raise on a numerical failure; otherwise leave it in `Solution.status`.
            outside: what to do about sources beyond the device's `V_max`: warn once a call, raise,
                or only say so in `Solution.stats.notes`, which is always done.
            start: an earlier answer (solved with `full`; else its voltages are solved for now), or
                node voltages (V_wl, V_bl) in V, (..., rows, cols) each, of the shape of this
                answer. Near the solution they save Newton steps; far from it they may cost some.
                The answer is held to the same residual. The surrogate and the nodal engine use
                them for nonlinear devices; ngspice, PySpice and linear arrays ignore them.

        Raises:
            InputError: the arguments do not fit the crossbar, or `outside` is "error" and a source
                is beyond `V_max`.
            ConvergenceError: the stated residual was not met, a number of the answer is NaN or
                infinite, or its error bound is above `REFUSE_ABOVE` (only with `check`).

        Warns:
            AccuracyWarning: the error bound is above `WARN_ABOVE`; once a run for each engine.
            RangeWarning: a source is beyond `V_max` and `outside` is "warn".
        """
        drive = crossbar.drive(V_in, V_out)
        if start is not None:
            drive = replace(drive, start=_start_voltages(start, crossbar, drive))
        beyond = overdrive(crossbar, drive)
        if beyond is not None:
            beyond.report(outside)
        try:
            began = time.perf_counter()
            raw = self._solve_checked(state, crossbar, drive, full, check)
            seconds = time.perf_counter() - began
        except EngineError as error:
            if beyond is not None:
                raise type(error)(f"{error} Note that {beyond.text}.") from error
            raise

        def fields() -> Fields:
            return _fields(self._solve_checked(state, crossbar, drive, True, check), drive.batch)

        stats = stats_with_bound(raw, crossbar, drive, seconds)
        if beyond is not None:
            stats = replace(stats, notes=(*stats.notes, beyond.text))
        inner = None if raw.V_wl is None else _fields(raw, drive.batch)
        return _solution(raw, stats, drive, inner or fields)

    def _solve_checked(
        self, state: State, crossbar: Crossbar, drive: Drive, full: bool, check: bool
    ) -> Raw:
        """What `_solve` answers, after `check_answer`."""
        raw = self._solve(state, crossbar, drive, full)
        return self.check_answer(raw, crossbar, drive, check)

    def series(
        self, crossbar: Crossbar, V_in: npt.ArrayLike, V_out: npt.ArrayLike | None = None
    ) -> Series:
        """One array with one pattern of voltages, to be solved again and again.

        Args:
            crossbar: one array; its conductances are those of no solve.
            V_in, V_out: voltages at a scale of 1, V, (rows,) and (cols,).

        Returns:
            What has ``solve(G, scale)``: conductances, S, and a factor of all voltages may differ
            from solve to solve, wires and line ends stay. Each solve starts from those before.

        Raises:
            InputError: the arguments do not fit the crossbar, or are a batch.
        """
        return Series(self, crossbar, V_in, V_out)

    def check_answer(self, raw: Raw, crossbar: Crossbar, drive: Drive, check: bool) -> Raw:
        """Refuse an answer that may not be used, or say so in its status.

        `solve` calls it; code that runs a back end without `solve` must call it too.

        Args:
            raw: the answers of N solves.
            crossbar, drive: what was solved.
            check: raise; otherwise set `Status.NOT_CONVERGED` and add a note.

        Returns:
            The answer, with what its error bound made necessary in status and notes.

        Raises:
            ConvergenceError: a number is not finite, the residual was not met, or the error bound
                is above `REFUSE_ABOVE` (with `check`).
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
        if raw.stats.error_at_most <= WARN_ABOVE or not self.exact or not len(raw.I_out):
            return raw
        return self._judge_error(raw, crossbar, drive, check)

    def _judge_error(self, raw: Raw, crossbar: Crossbar, drive: Drive, check: bool) -> Raw:
        """Say, or refuse, what is not known to be right to `WARN_ABOVE` beforehand."""
        if not crossbar.device.is_increasing():
            text = f"no error bound: {crossbar.device.name!r} is not known to be increasing"
            return replace(raw, stats=replace(raw.stats, notes=(*raw.stats.notes, text)))
        bound = _bound(raw, crossbar, drive)
        stated = np.full(len(raw.I_out), np.inf) if raw.error is None else raw.error
        worst = bound.worst(stated)
        bound.at_most, notes = worst, raw.stats.notes
        stats = replace(raw.stats, bound=bound, error_at_most=worst)
        if worst <= WARN_ABOVE:
            return replace(raw, stats=stats)
        text = f"a current may be wrong by {worst:.2g} of the largest output current"
        if worst <= REFUSE_ABOVE:
            if bound.measured is not None or worst > UNMEASURED:
                _warn(f"{self.name} engine: {text}")
            else:
                text += " (an upper bound; stats.error_bound measures it)"
            return replace(raw, stats=replace(stats, notes=(*notes, text)))
        if check:
            raise ConvergenceError(
                f"the {self.name} engine must be right to {REFUSE_ABOVE:g} of the largest output "
                f"current; {text} ({raw.stats.method}). Check the array for resistances or "
                "conductances that are far from the others, or compare with another engine."
            )
        stats = replace(stats, notes=(*notes, text))
        return replace(raw, status=Status.NOT_CONVERGED, stats=stats)

    @abc.abstractmethod
    def _prepare(self, crossbar: Crossbar) -> State:
        """Do what does not depend on voltages, once a crossbar.

        Args:
            crossbar: already checked, and without a floating line. `G_flat` holds the conductances
                of its arrays, S, (arrays, rows, cols); `array(k)` is one of them with its own
                wires; `segment_resistances` and `end_resistances` are in ohm; `wl_ends` (rows, 2)
                and `bl_ends` (cols, 2) say how the line ends are connected; `device` is the model
                of every cell.

        Returns:
            Anything that `_solve` needs. `_solve` may get it many times, also from several threads,
            and must not change it.

        Raises:
            EngineMissingError: a program or library that the engine needs is not installed.
            EngineError: the crossbar cannot be prepared.
        """

    @abc.abstractmethod
    def _solve(self, state: State, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        """Solve N problems; the base class has checked the arguments and checks the answer.

        Args:
            state: what `_prepare` returned.
            crossbar: the same crossbar.
            drive: flattened voltages, V. Problem n is the array
                ``crossbar.G_flat[drive.array[n]]`` with the sources ``drive.V_in[n]`` (rows,) and
                ``drive.V_out[n]`` (cols,). N may be 0. An engine that iterates may begin at the
                node voltages ``drive.start``; it must give the same answer from any of them.
            full: whether `Raw.V_wl`, `V_bl` and `I_device` are needed, (N, rows, cols) each; they
                may be returned in any case.

        Returns:
            Currents, A, `I_out` (N, cols) and `I_in` (N, rows), and voltages, V, of the N problems,
            with `Status.NOT_CONVERGED` where the engine does not vouch for them, and statistics.
            `Raw.error` is an upper bound of the error where the engine knows one.

        Raises:
            EngineError: there is no answer at all, as when another program failed.
        """


def stats_with_bound(
    raw: Raw, crossbar: Crossbar, drive: Drive, seconds: float | None = None
) -> Stats:
    """The statistics of an answer with its error bound, to be measured on first use.

    Args:
        raw: the answer. crossbar, drive: what was solved.
        seconds: wall-clock time of the solve; None for what `raw` says.
    """
    took = raw.stats.seconds if seconds is None else seconds
    return replace(raw.stats, bound=_bound(raw, crossbar, drive), seconds=took)


def _bound(raw: Raw, crossbar: Crossbar, drive: Drive) -> ErrorBound:
    bound = raw.stats.bound
    if isinstance(bound, ErrorBound):
        return bound
    return ErrorBound(crossbar, drive, raw.I_out, raw.I_in, raw.stats.error_at_most)


def _start_voltages(
    start: Solution | tuple[npt.ArrayLike, npt.ArrayLike],
    crossbar: Crossbar,
    drive: Drive,
) -> tuple[Array, Array]:
    """Checked node voltages to start from, V, (N, rows, cols) each.

    The node voltages of a passive array lie between those of its sources, sense nodes (0 V)
    included; what does not is brought there, so that no start is worse than an open circuit.
    """
    remedy = "Pass a solution of the same shapes, or its voltages (V_wl, V_bl)."
    pair = (start.V_wl, start.V_bl) if isinstance(start, Solution) else start
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise broken_rule("`start` must be a solution or a pair of arrays", type(start), remedy)
    shape = (*drive.batch, crossbar.rows, crossbar.cols)
    V_wl, V_bl = (
        array_of(f"start.{name}", V, shape=shape, remedy=remedy)
        for name, V in zip(("V_wl", "V_bl"), pair, strict=True)
    )
    sources = np.concatenate([drive.V_in, drive.V_out], axis=1)
    low = sources.min(axis=1, initial=0.0)[:, None, None]
    high = sources.max(axis=1, initial=0.0)[:, None, None]
    flat = (len(sources), *shape[-2:])
    return V_wl.reshape(flat).clip(low, high), V_bl.reshape(flat).clip(low, high)


_warned_of: set[str] = set()


def _warn(text: str) -> None:
    """Warn of an answer, once a run for each engine."""
    engine = text.partition(":")[0]
    if engine not in _warned_of:
        _warned_of.add(engine)
        more = "Check the array for resistances or conductances that are far from the others."
        warnings.warn(f"{text}. {more} (Said once.)", AccuracyWarning, stacklevel=level_outside())


def _not_finite(raw: Raw) -> str | None:
    """What of an answer is NaN or infinite, in words; None if all of it is finite."""
    for name in ("I_out", "I_in", "V_wl", "V_bl", "I_device"):
        values = getattr(raw, name)
        # a finite sum has finite terms, and is faster to compute
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


def _solution(
    raw: Raw, stats: Stats, drive: Drive, fields: Fields | Callable[[], Fields]
) -> Solution:
    """The answer with its batch axes back in place."""
    return Solution(
        I_out=raw.I_out.reshape(*drive.batch, raw.I_out.shape[1]),
        I_in=raw.I_in.reshape(*drive.batch, raw.I_in.shape[1]),
        status=raw.status,
        stats=stats,
        fields=fields,
    )


def _fields(raw: Raw, batch: tuple[int, ...]) -> Fields:
    if raw.V_wl is None or raw.V_bl is None or raw.I_device is None:
        raise EngineError("an engine must return all fields when asked for them; it is a defect.")
    shape = (*batch, *raw.V_wl.shape[1:])
    return Fields(
        V_wl=raw.V_wl.reshape(shape),
        V_bl=raw.V_bl.reshape(shape),
        I_device=raw.I_device.reshape(shape),
    )
