"""What a fit held fixed: every wire and lead is freed once, to see what depends on its value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.fit import Fit, Held
from xbarspice.calibration.model import TIED
from xbarspice.core.array import Crossbar
from xbarspice.core.counts import counted
from xbarspice.core.device import Device
from xbarspice.core.errors import ConvergenceError, InputError
from xbarspice.core.wires import UNIT, WIRES, as_text
from xbarspice.report.units import quantity

__all__ = [
    "MOST",
    "Fixed",
    "conditions",
    "fixed_values",
    "free_each",
    "held_findings",
    "held_names",
]

MOST = 100
"""Largest number of fitted parameters for which held wires are freed."""
NEAR = 2.0
"""Standard errors within which a value has not moved; about the 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """One value that a fit did not change.

    Attributes:
        name: ``R_wl``, ``device``, ``device.b``, or ``G``.
        setting: its dotted name in a configuration; ``G`` for conductances.
        value: number, or words.
        unit: SI unit; empty for device fields, whose unit their model states.
    """

    name: str
    setting: str
    value: float | str
    unit: str = ""


def fixed_values(held: Crossbar | Device, free: Sequence[str]) -> list[Fixed]:
    """Everything that a fit held fixed.

    Args:
        held: the fitted array or device.
        free: what was fitted, names as of `fit_reads`; of a device its fields.
    """
    out: list[Fixed] = []
    device = held.device if isinstance(held, Crossbar) else held
    if isinstance(held, Crossbar):
        for name in held_names(free):
            value = getattr(held, name)
            number = value if isinstance(value, float) else as_text(value)
            out.append(Fixed(name=name, setting=f"array.{name}", value=number, unit=UNIT))
        if "G" not in free:
            low, high = held.G[held.G > 0].min(initial=np.inf), held.G.max()
            words = f"{counted(int(np.count_nonzero(held.G)), 'device')}, {low:.4g} to {high:.4g}"
            out.append(Fixed(name="G", setting="G", value=words, unit="S"))
    out.append(Fixed(name="device", setting="array.device", value=device.name))
    fitted = {name.removeprefix("device.") for name in free}
    for field in dataclasses.fields(device):  # type: ignore[arg-type]
        value = getattr(device, field.name)
        if field.name not in fitted and isinstance(value, int | float | str):
            name, setting = f"device.{field.name}", f"array.parameters.{field.name}"
            shown = value if isinstance(value, str) else float(value)
            out.append(Fixed(name=name, setting=setting, value=shown))
    return out


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
        if not isinstance(value, float):
            continue
        if len(fit.parameters) > MOST:
            out.append(_without_refit(name, value, f"more than {MOST} parameters were fitted"))
            continue
        try:
            free_fit = refit([name, *free])
        except (ConvergenceError, InputError) as error:  # too few values, or no solution near
            out.append(_without_refit(name, value, f"{name}: {str(error).partition(';')[0]}"))
            continue
        out.append(
            Held(
                name=name,
                value=value,
                freed=free_fit[name],
                moved=tuple(_shifts(fit, free_fit)),
            )
        )
    return tuple(out)


def _without_refit(name: str, value: float, reason: str) -> Held:
    return Held(name=name, value=value, freed=None, moved=(), reason=reason)


def _shifts(fit: Fit, alternative: Fit) -> Iterator[tuple[str, float, float, float]]:
    """Parameters that leave their interval."""
    for p, value, error in zip(fit.parameters, fit.values, fit.error, strict=True):
        now, *interval = alternative[p.name]
        if np.isfinite(error) and abs(now - value) > NEAR * error:
            yield p.name, now, interval[0], interval[1]


def _decides(held: Held) -> bool:
    """Whether fitted values depend on a held one, or the data contradict it."""
    if held.freed is None:
        return False
    _, low, high = held.freed
    return bool(held.moved) or (bool(np.isfinite(high)) and not low <= held.value <= high)


def conditions(held: Sequence[Held]) -> Mapping[str, tuple[str, ...]]:
    """By fitted parameter: the held values that its interval is given, as "R_sense = 0 ohm".

    Of device fields those alone that the data contradict: every field decides about others.
    """
    out: dict[str, tuple[str, ...]] = {}
    for h in held:
        contradicted = h.freed is not None and not h.freed[1] <= h.value <= h.freed[2]
        for name, *_ in h.moved if h.name in WIRES or contradicted else ():
            out[name] = (*out.get(name, ()), f"{h.name} = {quantity(h.value, h.unit)}")
    return out


def held_findings(fit: Fit, held: Sequence[Held]) -> Iterator[str]:
    """A finding for every held value on which a fitted one depends."""
    units = {p.name: p.unit for p in fit.parameters}
    for h in held:
        if h.freed is None or not _decides(h):
            continue
        shown = ", ".join(
            f"`{name}` = {_interval(value, low, high, units[name])}"
            for name, value, low, high in h.moved[:3]
        )
        yield (
            f"the intervals are given `{h.name}` = {quantity(h.value, UNIT)}, which was held: with "
            f"`{h.name}` free it is {_interval(*h.freed, UNIT)}, and "
            f"{shown or 'no other value moves'}. Measure it, or fit it as well (--free)"
        )


def _interval(value: float, low: float, high: float, unit: str) -> str:
    ends = (quantity(end, unit, 3) for end in (low, high))
    return f"{quantity(value, unit, 4)} [{', '.join(ends)}]"
