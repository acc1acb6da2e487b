"""Cards from fits: values, intervals, hash of the data, held-out error; and the record of a fit."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xbarspice.calibration.comparisons import Comparisons
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.held import conditions
from xbarspice.calibration.model import TIED
from xbarspice.calibration.ranking import Ranking
from xbarspice.calibration.spread import Spread
from xbarspice.config.card import (
    CalibrationCard,
    CardValue,
    OtherInterval,
    Quality,
    RankedModel,
    data_hash,
)
from xbarspice.config.sections import ValidRange
from xbarspice.core.errors import broken_rule

__all__ = ["card_of", "card_of_spread", "record_of", "record_of_spread"]


def card_of(
    fit: Fit,
    device: str,
    data: Sequence[Path],
    *,
    title: str,
    date: str | None = None,
    before: CalibrationCard | None = None,
    data_read: Sequence[str] = (),
    valid: ValidRange | None = None,
    comparisons: Comparisons | None = None,
) -> CalibrationCard:
    """The card of a fit.

    Args:
        fit: from `fit_reads` or `fit_pulses`.
        device: registered name of the device that was assumed.
        data: the measured files.
        title: names the card in reports.
        date: as the caller wants it; None leaves it out, and equal data give equal cards.
        before: an earlier card whose other values are taken over, with their own intervals.
        data_read: how the files were understood.
        valid: what the data covered.
        comparisons: other models, losses and intervals that stand beside it.
    """
    digest = data_hash(*data)
    values: dict[str, CardValue] = {}
    bounds = zip(fit.parameters, fit.values, fit.low, fit.high, strict=True)
    conditions_by_name = conditions(fit.held)
    for p, value, low, high in bounds:
        if "[" in p.name or p.unit == "1/K":  # of single devices or dies, and coefficients
            continue
        entry = CardValue(
            value=float(value),
            low=float(low),
            high=float(high),
            unit=p.unit,
            data_sha256=digest,
            given=conditions_by_name.get(p.name),
        )
        values |= dict.fromkeys(TIED.get(p.name, (p.name,)), entry)
    card = CalibrationCard(
        title=title,
        date=date,
        data=tuple(path.name for path in data),
        data_sha256=digest,
        device=device,
        values=values,
        held_out=fit.held_out,
        quality=Quality(
            holds=fit.holds,
            points=int(fit.fitted.sum()),
            rms_error=fit.rms,
            scatter_over_noise=fit.scale,
            tests={check.name: check.p for check in fit.checks},
        ),
        ranking=() if comparisons is None else _rivals(comparisons.ranking),
        beside=() if comparisons is None else tuple(_beside(fit, comparisons)),
        notices=fit.findings,
        data_read=tuple(data_read),
        valid=valid,
    )
    return _merge(before, card)


def _rivals(ranking: Ranking | str | None) -> tuple[RankedModel, ...]:
    """Device models that could be fitted, best first."""
    if not isinstance(ranking, Ranking):
        return ()
    return tuple(
        RankedModel(
            device=c.name,
            fitted=c.fitted,
            parameters=c.parameters,
            error=c.error,
            validated=c.validated,
            holds=c.holds,
        )
        for c in ranking.candidates
        if not c.reason
    )


def _beside(fit: Fit, comparisons: Comparisons) -> Iterator[OtherInterval]:
    """Intervals of other losses and of the bootstrap, without those of conductances."""
    rows = [
        (each.loss, each.values[j], each.low[j], each.high[j], p.name)
        for each in comparisons.losses
        for j, p in enumerate(fit.parameters)
    ]
    if drawn := comparisons.bootstrap:
        ends = zip(drawn.low, drawn.high, drawn.names, strict=True)
        rows += [("bootstrap", None, low, high, name) for low, high, name in ends]
    for by, value, low, high, name in rows:
        if not name.startswith("G["):
            yield OtherInterval(name=name, by=by, value=value, low=low, high=high)


def card_of_spread(
    spread: Spread,
    device: str,
    data: Sequence[Path],
    *,
    title: str,
    date: str | None = None,
    before: CalibrationCard | None = None,
    data_read: Sequence[str] = (),
    valid: ValidRange | None = None,
) -> CalibrationCard:
    """The card of a variability model; arguments as in `card_of`."""
    digest = data_hash(*data)
    values = {k: v.model_copy(update={"data_sha256": digest}) for k, v in spread.values.items()}
    card = CalibrationCard(
        title=title,
        date=date,
        data=tuple(path.name for path in data),
        data_sha256=digest,
        device=device,
        values=values,
        variability=spread.terms,
        notices=spread.notices,
        data_read=tuple(data_read),
        valid=valid,
    )
    return _merge(before, card)


def _merge(before: CalibrationCard | None, card: CalibrationCard) -> CalibrationCard:
    if before is None:
        return card
    if before.device != card.device:
        raise broken_rule(
            "an earlier card must be of the same device",
            f"{before.device} and {card.device}",
            "Leave it out, or choose its device.",
        )
    return CalibrationCard(
        **{
            **card.model_dump(),
            "data_sha256": hashlib.sha256(
                (before.data_sha256 + card.data_sha256).encode()
            ).hexdigest(),
            "values": {**before.model_dump()["values"], **card.model_dump()["values"]},
            "variability": _terms(before.variability, card.variability),
            "data": (*before.data, *card.data),
            "notices": (*before.notices, *card.notices),
            "data_read": (*before.data_read, *card.data_read),
            "valid": _narrower(before.valid, card.valid),
        }
    )


def _narrower(old: ValidRange | None, new: ValidRange | None) -> dict[str, float] | None:
    """What the data of both cards covered; the new one's where they have nothing in common."""
    if old is None or new is None:
        return (new or old) and (new or old).model_dump()  # type: ignore[union-attr]
    out: dict[str, float] = {}
    for name in ("V", "G", "T"):
        a, b = old.of(name) or new.of(name), new.of(name) or old.of(name)
        if a is None or b is None:
            continue
        low, high = max(a[0], b[0]), min(a[1], b[1])
        low, high = (low, high) if low <= high else b
        out |= {f"{name}_low": low, f"{name}_high": high}
    return out


ORDER = ("cti", "bse", "saf", "retention", "read_noise")
"""Terms as they follow each other in a die's life; others come first."""


def _terms(
    old: tuple[dict[str, Any], ...], new: tuple[dict[str, Any], ...]
) -> tuple[dict[str, Any], ...]:
    """Terms of both cards, the new one's where both have one of a name."""
    names = {term["name"] for term in new}
    merged = [*(term for term in old if term["name"] not in names), *new]
    place = {name: k for k, name in enumerate(ORDER)}
    return tuple(sorted(merged, key=lambda term: place.get(term["name"], -1)))


def record_of(fit: Fit) -> dict[str, Any]:
    """A fit as plain values, for JSON and reports."""
    bounds = zip(fit.parameters, fit.values, fit.low, fit.high, fit.error, strict=True)
    conditions_by_name = conditions(fit.held)
    rows = [
        {
            "name": p.name,
            "unit": p.unit,
            "start": p.start,
            "value": float(v),
            "low": _finite(low) if fit.holds else None,
            "high": _finite(high) if fit.holds else None,
            "error": _finite(error) if fit.holds else None,
            "given": list(conditions_by_name.get(p.name, ())),
        }
        for p, v, low, high, error in bounds
    ]
    return {
        "parameters": rows,
        "points": len(fit.measured),
        "fitted": int(fit.fitted.sum()),
        "rms_error": fit.rms,
        "scatter_over_noise": fit.scale,
        "held_out": None if fit.held_out is None else fit.held_out.model_dump(),
        "findings": list(fit.findings),
        "model_holds": fit.holds,
        "checks": [dataclasses.asdict(check) for check in fit.checks],
        "held": [dataclasses.asdict(h) for h in fit.held],
        "singular_values": fit.singular,
        "evaluations": fit.evaluations,
    }


def record_of_spread(spread: Spread) -> dict[str, Any]:
    """Terms of the variability as plain values, for JSON and reports."""
    rows = [
        {
            "name": name.removeprefix("variability."),
            "unit": v.unit,
            "value": v.value,
            "low": _finite(v.low) if spread.holds else None,
            "high": _finite(v.high) if spread.holds else None,
            "start": None,
        }
        for name, v in spread.values.items()
    ]
    return {
        "parameters": rows,
        "findings": list(spread.notices),
        "model_holds": spread.holds,
        "checks": [dataclasses.asdict(check) for check in spread.checks],
        "fails": "A test speaks against what the values assume",
        "held_out": None,
        "intervals": "Intervals for 95 %, of each term by its own statistic: likelihood, order "
        "statistics, binomial, chi^2 or Student's t; see xbarspice.calibration.spread and "
        "noise.",
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
