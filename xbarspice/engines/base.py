"""The engine contract: prepare a crossbar once, solve many vectors, give one kind of answer."""

from __future__ import annotations

import abc
import math
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import (
    AccuracyWarning,
    ConvergenceError,
    EngineError,
    RangeWarning,
    broken_rule,
    level_outside,
)
from xbarspice.core.solution import Fields, Solution, Stats, Status
from xbarspice.core.types import Array, Indices
from xbarspice.engines.overdrive import Overdrive, overdrive

__all__ = ["REFUSED", "SAID", "Engine", "ErrorBound", "Raw", "with_bound"]


SAID = 1e-9
"""Error bound, a share of the largest output current, above which a warning says it."""
REFUSED = 1e-3
"""Error bound above which an answer is refused."""
ZERO = 1e-12
"""Share of the largest device's current at the drive voltage below which outputs count as 0: no
share of them is promised or judged."""
SLOW = 50_000
"""Nodes of an array above which a reference takes seconds: it is measured when it is asked for, or
to refuse. Rounding of 100 000 voltages alone leaves an upper bound of some 1e-9, so that up to"""
UNMEASURED = 1e-6
"""this upper bound a note says it, and no warning."""
LARGE = 300_000
"""Nodes of an array above which no reference is sought."""


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


@dataclass(eq=False)
class ErrorBound:
    """The error bound of an answer, measured when it is called; what is known is not repeated.

    Attributes:
        crossbar, drive: what was solved.
        I_out, I_in: the currents to judge, A, (N, cols) and (N, rows).
        at_most: an upper bound that was known before; NaN if none was.
        measured: error in A and least largest output current in A of each solve, NaN until they
            are measured, (2, N).
    """

    crossbar: Crossbar
    drive: Drive
    I_out: Array
    I_in: Array
    at_most: float
    measured: Array | None = None

    def __call__(self) -> float:
        """The bound; see `Stats.error_bound`."""
        from xbarspice.engines.nodal.bound import share

        if not self.crossbar.device.is_increasing():
            return math.nan
        if self.nodes > LARGE:
            return math.inf if math.isnan(self.at_most) else self.at_most
        amperes, output = self.measure(np.arange(len(self.I_out))).max(axis=1, initial=0.0)
        return float(share(amperes, output))

    @property
    def nodes(self) -> int:
        """Nodes of one array."""
        return 2 * self.crossbar.rows * self.crossbar.cols

    def measure(self, members: Indices) -> Array:
        """Error and least largest output of some solves, A, (2, members)."""
        from xbarspice.engines.nodal.bound import distances  # SciPy takes a while to load

        if self.measured is None:
            self.measured = np.full((2, len(self.I_out)), np.nan)
        new = members[np.isnan(self.measured[0, members])]
        if new.size:
            found = distances(self.crossbar, self.drive, self.I_out, self.I_in, new)
            self.measured[:, new] = found
        return self.measured[:, members]


class Engine(abc.ABC):
    """Base of all engines: checks arguments once, restores batch axes, turns status into errors.

    A back end implements `_prepare` and `_solve` on flattened batches.

    Attributes:
        name: the word that `xb.solve` knows it by.
        exact: whether it solves the crossbar as it is; then answers are refused and warned of by
            their error bounds. Of other engines the bound is how far the approximation is off.
    """

    name: str
    exact: ClassVar[bool] = True

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
        outside: Literal["warn", "error", "ignore"] = "ignore",
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

        Raises:
            InputError: the arguments do not fit the crossbar, or `outside` is "error" and a source
                is beyond `V_max`.
            ConvergenceError: the stated residual was not met, a number of the answer is NaN or
                infinite, or its error bound is above `REFUSED` (only with `check`).

        Warns:
            AccuracyWarning: the error bound is above `SAID`; once a run for each engine.
            RangeWarning: a source is beyond `V_max` and `outside` is "warn".
        """
        drive = crossbar.drive(V_in, V_out)
        beyond = overdrive(crossbar, drive)
        if beyond is not None:
            _report(beyond, outside)
        start = time.perf_counter()
        try:
            raw = self._solve(state, crossbar, drive, full)
            seconds = time.perf_counter() - start
            raw = self.checked(raw, crossbar, drive, check)
        except EngineError as error:
            if beyond is not None:
                raise type(error)(f"{error} Note that {beyond.text}.") from error
            raise

        def fields() -> Fields:
            if raw.V_wl is not None:
                return _fields(raw, drive.batch)
            done = self._solve(state, crossbar, drive, True)
            return _fields(self.checked(done, crossbar, drive, check), drive.batch)

        return Solution(
            I_out=raw.I_out.reshape(*drive.batch, crossbar.cols),
            I_in=raw.I_in.reshape(*drive.batch, crossbar.rows),
            status=raw.status,
            stats=replace(
                raw.stats,
                seconds=seconds,
                bound=_bound(raw, crossbar, drive),
                notes=raw.stats.notes if beyond is None else (*raw.stats.notes, beyond.text),
            ),
            fields=fields() if raw.V_wl is not None else fields,
        )

    def checked(self, raw: Raw, crossbar: Crossbar, drive: Drive, check: bool) -> Raw:
        """An answer that may be used, or one whose status says that it may not.

        `solve` asks for it; whoever runs a back end without `solve` asks for it too.

        Raises:
            ConvergenceError: a number is not finite, the residual was not met, or the error bound
                is above `REFUSED` (with `check`).
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
        if raw.stats.error_at_most <= SAID or not self.exact or not len(raw.I_out):
            return raw
        return self._judged(raw, crossbar, drive, check)

    def _judged(self, raw: Raw, crossbar: Crossbar, drive: Drive, check: bool) -> Raw:
        """Say, or refuse, what is not known to be right to `SAID` beforehand."""
        if not crossbar.device.is_increasing():
            text = f"no error bound: {crossbar.device.name!r} is not known to be increasing"
            return replace(raw, stats=replace(raw.stats, notes=(*raw.stats.notes, text)))
        bound = _bound(raw, crossbar, drive)
        worst = _worst(bound, self._expected_error(raw, crossbar, drive))
        bound.at_most, notes = worst, raw.stats.notes
        stats = replace(raw.stats, bound=bound, error_at_most=worst)
        if worst <= SAID:
            return replace(raw, stats=stats)
        text = f"a current may be wrong by {worst:.2g} of the largest output current"
        if worst <= REFUSED:
            if bound.measured is not None or worst > UNMEASURED:
                _warn(f"{self.name} engine: {text}")
            else:
                text += " (an upper bound; stats.error_bound measures it)"
            return replace(raw, stats=replace(stats, notes=(*notes, text)))
        if check:
            raise ConvergenceError(
                f"the {self.name} engine must be right to {REFUSED:g} of the largest output "
                f"current; {text} ({raw.stats.method}). Check the array for resistances or "
                "conductances that are far from the others, or compare with another engine."
            )
        stats = replace(stats, notes=(*notes, text))
        return replace(raw, status=Status.NOT_CONVERGED, stats=stats)

    def _expected_error(self, raw: Raw, crossbar: Crossbar, drive: Drive) -> Array:
        """What each solve may be wrong by, as a share of its largest output current, (N,).

        Where a back end gives infinity, or more than `SAID`, it is measured.
        """
        return np.full(len(raw.I_out), np.inf) if raw.error is None else raw.error.copy()

    @abc.abstractmethod
    def _prepare(self, crossbar: Crossbar) -> Any:
        """Do what does not depend on voltages, once a crossbar.

        Args:
            crossbar: checked, without a floating line; `G_flat` has its arrays, (arrays, rows,
                cols).

        Returns:
            Anything; `_solve` is given it back and must not change it.
        """

    @abc.abstractmethod
    def _solve(self, state: Any, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        """Solve N problems; the base class has checked the arguments and checks the answer.

        Args:
            state: what `_prepare` returned.
            crossbar: the same crossbar.
            drive: flattened voltages: problem n has the array ``crossbar.G_flat[drive.array[n]]``
                and the sources ``drive.V_in[n]`` and ``drive.V_out[n]``, V. N may be 0.
            full: whether `V_wl`, `V_bl` and `I_device` are needed; they may be returned anyway.

        Returns:
            Currents and voltages of the N problems, with a status (`Status.NOT_CONVERGED` where
            the engine does not vouch for them) and statistics.

        Raises:
            EngineError: there is no answer at all, as when another program failed.
        """


def with_bound(raw: Raw, crossbar: Crossbar, drive: Drive) -> Stats:
    """The statistics of an answer with its error bound, for whoever runs a back end itself."""
    return replace(raw.stats, bound=_bound(raw, crossbar, drive))


def _bound(raw: Raw, crossbar: Crossbar, drive: Drive) -> ErrorBound:
    known = raw.stats.bound
    if isinstance(known, ErrorBound):
        return known
    return ErrorBound(crossbar, drive, raw.I_out, raw.I_in, raw.stats.error_at_most)


def _worst(bound: ErrorBound, error: Array) -> float:
    """Largest error of an answer as a share of its outputs, measured where `error` is too large."""
    from xbarspice.engines.nodal.bound import outputs, share

    if bound.nodes > LARGE or (bound.nodes > SLOW and error.max() <= REFUSED):
        return float(error.max())
    weak = ~(error <= SAID)
    output = outputs(bound.crossbar, bound.I_out, bound.I_in)
    drive, G = bound.drive, bound.crossbar.G_flat
    volts = max(float(np.abs(v).max()) for v in (drive.V_in, drive.V_out))
    zero = ZERO * volts * float(G.max())
    amperes, least = bound.measure(np.flatnonzero(weak)).max(axis=1, initial=0.0)
    if output.max() <= zero and amperes <= zero:
        return 0.0
    largest = max(least, (output[~weak] * (1 - 2 * SAID)).max(initial=0.0))
    return max(float(share(amperes, largest)), float(error[~weak].max(initial=0.0)))


_said: set[str] = set()


def _warn(text: str) -> None:
    """Warn of an answer, once a run for each engine."""
    engine = text.partition(":")[0]
    if engine not in _said:
        _said.add(engine)
        more = "Check the array for resistances or conductances that are far from the others."
        warnings.warn(f"{text}. {more} (Said once.)", AccuracyWarning, stacklevel=level_outside())


def _report(beyond: Overdrive, outside: str) -> None:
    """Warn of, or refuse, sources beyond the device's `V_max`, as the caller chose."""
    if outside not in ("warn", "error", "ignore"):
        raise broken_rule(
            '`outside` must be "warn", "error" or "ignore"', repr(outside), "Use one of them."
        )
    if outside == "error":
        raise broken_rule(
            f"all sources must be within {beyond.limit:g} V, the `V_max` of {beyond.device!r}",
            beyond.text,
            "Use smaller voltages or another model, or outside='warn'.",
        )
    if outside == "warn":
        text = f"{beyond.text}: the equations are extrapolated."
        warnings.warn(text, RangeWarning, stacklevel=level_outside())


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
