"""How old a calibration card is, what its data covered, and where a use goes beyond that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.config.sections import CalibrationNote, ValidRange
from xbarspice.core.errors import broken_rule

__all__ = ["Use", "age_of", "check_date", "describe_card", "range_of", "use_of"]

MARGIN = 0.01
"""Share of its width by which a range may be left without a word."""
UNITS = {"V": "V", "G": "S", "T": "deg C"}
WORDS = {"V": "voltage", "G": "conductance", "T": "temperature"}


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a calibrated model is used for; (low, high) each, None where it is not known.

    Attributes:
        V: line voltages, V.
        G: conductances of the devices, S.
        T: temperatures, deg C.
    """

    V: tuple[float, float] | None = None
    G: tuple[float, float] | None = None
    T: tuple[float, float] | None = None


def range_of(*, V: Any = None, G: Any = None, T: Sequence[float] | None = None) -> ValidRange:
    """The range that measured values cover.

    Args:
        V, G, T: voltages (V), conductances (S), temperatures (deg C), arrays of any shape; those
            that are not finite, and conductances of 0, do not count.
    """
    out: dict[str, float] = {}
    for name, values in (("V", V), ("G", G), ("T", T)):
        numbers = np.asarray([] if values is None else values, dtype=float).ravel()
        numbers = numbers[np.isfinite(numbers) & ((name != "G") | (numbers > 0))]
        if len(numbers):
            out |= {f"{name}_low": float(numbers.min()), f"{name}_high": float(numbers.max())}
    return ValidRange(**out)


def use_of(config: Mapping[str, Any]) -> Use:
    """What nested values of a configuration say of the use: full-scale inputs and conductances."""
    sections = [config.get("mapping") or {}, *(config.get("layers") or {}).values()]
    volts = [s["V_read"] for s in sections if s.get("V_read") is not None]
    low = [s["G_min"] for s in sections if s.get("G_min") is not None]
    high = [s["G_max"] for s in sections if s.get("G_max") is not None]
    return Use(
        V=(0.0, max(volts)) if volts else None,
        G=(min(low), max(high)) if low and high else None,
    )


def check_date(date: str | None) -> str | None:
    """A date for a card.

    Raises:
        InputError: it is not of the form YYYY-MM-DD, perhaps with a time.
    """
    if date is not None and _day(date) is None:
        raise broken_rule("--date must read YYYY-MM-DD", repr(date), "For example 2026-11-24.")
    return date


def _day(date: str | None) -> dt.date | None:
    try:
        return None if date is None else dt.datetime.fromisoformat(date).date()
    except ValueError:
        return None


def age_of(date: str | None, today: dt.date) -> int | None:
    """Days from a card's date; None where it has none that can be read."""
    day = _day(date)
    return None if day is None else (today - day).days


def describe_card(note: CalibrationNote, use: Use, today: dt.date) -> dict[str, Any]:
    """What every record says of the card that its values come from.

    Args:
        note: of the configuration.
        use: of the calibrated model.
        today: the day of the record.
    """
    return {
        "title": note.title,
        "date": note.date,
        "age_days": age_of(note.date, today),
        "valid": None if note.valid is None else note.valid.model_dump(mode="json"),
        "use": {"V": use.V, "G": use.G, "T": use.T},
        "overridden": list(note.overridden),
        "beyond": list(_beyond(note.valid, use)),
    }


def _beyond(valid: ValidRange | None, use: Use) -> Iterator[str]:
    """A sentence for each quantity whose use leaves the range of the data."""
    if valid is None:
        return
    for name, unit in UNITS.items():
        covered, used = valid.of(name), getattr(use, name)
        if covered is None or used is None:
            continue
        low, high = covered
        if name == "V" and used[0] >= 0:  # the sign of inputs is that of the data they replace
            low, high = 0.0, max(abs(low), abs(high))
        edge = MARGIN * max(high - low, abs(high))
        if used[0] < low - edge or used[1] > high + edge:
            scale, unit = (1e6, "uS") if unit == "S" else (1.0, unit)
            spans = (f"{scale * a:.4g} to {scale * b:.4g} {unit}" for a, b in (used, (low, high)))
            yield (
                f"the {WORDS[name]} goes from {', beyond the '.join(spans)} of the card's data: "
                "its values are extrapolated"
            )
