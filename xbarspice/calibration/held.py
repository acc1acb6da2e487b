"""What a fit held fixed: every wire and lead is freed once, to see what depends on its value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from xbarspice.calibration.fit import Fit, Held
from xbarspice.calibration.model import TIED
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import ConvergenceError, InputError
from xbarspice.core.wires import UNIT, WIRES

__all__ = ["MOST", "free_each", "held_findings", "held_names"]

MOST = 100
"""Largest number of fitted parameters for which held wires are freed."""
NEAR = 2.0
"""Standard errors within which a value has not moved; about the 95 % interval."""


def held_names(free: Sequence[str]) -> list[str]:
    """Wires and leads that are not fitted."""
    fitted = {wire for name in free for wire in TIED.get(name, (name,))}
    return [name for name in WIRES if name not in fitted]


def free_each(
    fit: Fit, crossbar: Crossbar, free: Sequence[str], refit: Callable[[list[str]], Fit]
) -> tuple[Held, ...]:
    """Free every held wire and lead in turn.

    Args:
        fit: of the names in `free`.
        crossbar: the fitted array; held values are its own. Arrays of resistances are not freed.
        free: what was fitted.
        refit: fits a list of names, starting from the solution.
    """
    out = []
    for name in held_names(free):
        value = getattr(crossbar, name)
        if not isinstance(value, float) or len(fit.parameters) > MOST:
            continue
        try:
            other = refit([name, *free])
        except (ConvergenceError, InputError):  # too few values, or no solution near
            out.append(Held(name=name, value=value, freed=None, moved=()))
            continue
        out.append(Held(name=name, value=value, freed=other[name], moved=tuple(_moved(fit, other))))
    return tuple(out)


def _moved(fit: Fit, other: Fit) -> Iterator[tuple[str, float, float, float]]:
    """Parameters that leave their interval."""
    for p, value, error in zip(fit.parameters, fit.values, fit.error, strict=True):
        now, *interval = other[p.name]
        if np.isfinite(error) and abs(now - value) > NEAR * error:
            yield p.name, now, interval[0], interval[1]


def held_findings(fit: Fit, held: Sequence[Held]) -> Iterator[str]:
    """A finding for every held value on which a fitted one depends."""
    units = {p.name: p.unit for p in fit.parameters}
    for h in held:
        if h.freed is None or not np.isfinite(h.freed[2]):
            continue  # the data do not tell its value
        if not h.moved and h.freed[1] <= h.value <= h.freed[2]:
            continue
        shown = ", ".join(
            f"`{name}` = {value:.4g} {units[name]} [{low:.3g}, {high:.3g}]"
            for name, value, low, high in h.moved[:3]
        )
        yield (
            f"the intervals are given `{h.name}` = {h.value:g} {UNIT}, which was held: with "
            f"`{h.name}` free it is {h.freed[0]:.4g} {UNIT} [{h.freed[1]:.3g}, {h.freed[2]:.3g}], "
            f"and {shown or 'no other value moves'}. Measure it, or fit it as well (--free)"
        )
