"""The part of a calibration's page that holds a fit against other models, losses and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Section, Table, Text
from xbarspice.report.units import error, percent, quantity

__all__ = ["comparison_rows", "comparison_sections"]


def comparison_sections(record: Mapping[str, Any]) -> list[Section]:
    """Sections of the page, from the record; none where nothing was compared."""
    items = [
        *_ranking(record.get("ranking")),
        *_losses(record),
        *_bootstrap(record),
    ]
    return [Section(title="Held against other models, losses and intervals", items=items)] * bool(
        items
    )


def comparison_rows(record: Mapping[str, Any]) -> dict[str, str]:
    """The ranking in lines for the screen, and every interval that was drawn anew."""
    ranking, rows = record.get("ranking"), {}
    if isinstance(ranking, str):
        rows["ranking"] = ranking
    elif ranking:
        for k, c in enumerate(ranking["candidates"], 1):
            mark = " (chosen)" if k - 1 == ranking["best"] else ""
            rows[f"model {k}"] = f"{_name(c)}{mark}: {_outcome(c)}"
    if drawn := record.get("bootstrap"):
        for name, unit, low, high in zip(
            drawn["names"], drawn["units"], drawn["low"], drawn["high"], strict=True
        ):
            interval = f"[{quantity(low, unit, 4)}, {quantity(high, unit, 4)}]"
            rows[f"{name} by bootstrap"] = f"{interval} ({counted(drawn['samples'], 'sample')})"
    return rows


def _name(candidate: Mapping[str, Any]) -> str:
    fields = ", ".join(candidate["fitted"])
    return candidate["name"] + (f" ({fields} fitted)" if fields else "")


def _outcome(candidate: Mapping[str, Any]) -> str:
    if candidate["reason"]:
        return f"left out: {candidate['reason']}"
    kind = "error of left-out voltages" if candidate["validated"] else "error of the fit"
    holds = "holds" if candidate["holds"] else "does not hold"
    count = candidate["parameters"]
    values = counted(count, "value")
    return f"{kind} {candidate['error']:.3g} of the stated scatter, {values}, {holds}"


def _ranking(ranking: Mapping[str, Any] | str | None) -> list[Item]:
    if ranking is None:
        return []
    if isinstance(ranking, str):
        return [Text(text=f"{ranking[0].upper()}{ranking[1:]}.", note=True)]
    candidates = ranking["candidates"]
    rows = [
        (
            _name(c) + (" *" if k == ranking["best"] else ""),
            str(c["parameters"]),
            f"{c['error']:.3g}" + ("" if c["validated"] else " (fit)"),
            percent(c["highest"]),
            "-" if c["behind"] is None else f"{c['behind']:.3g}",
            "yes" if c["holds"] else "no",
            c["note"] or "-",
        )
        for k, c in enumerate(candidates)
        if not c["reason"]
    ]
    table = Table(
        caption="Device models by the error of voltages that were left out",
        head=(
            "model",
            "values",
            "error / scatter",
            "highest voltages",
            "behind, std errors",
            "holds",
            "remark",
        ),
        left=(0, 6),
        rows=rows,
    )
    first = candidates[ranking["best"]]
    alike = {f"{c['name']}: {', '.join(c['alike'])}": None for c in candidates if c["alike"]}
    text = (
        f"Reads are cut into {counted(ranking['blocks'], 'block')} of voltage, and each is "
        "predicted from the others; 'highest voltages' is the rms error of the highest block. * "
        f"`{first['name']}`: "
        "the fewest values within one standard error of the smallest mean squared error. '(fit)': "
        "worse already in the fit of all data, and not predicted. Errors are without points beyond "
        "3.5 robust standard deviations of the best model."
    )
    if alike:
        text += f" Of the same curve ({'; '.join(alike)})."
    out = [f"{_name(c)}: {c['reason']}" for c in candidates if c["reason"]]
    return [
        table,
        Text(text=text, note=True),
        *(Text(text=f"Left out: {t}", note=True) for t in out),
    ]


def _losses(record: Mapping[str, Any]) -> list[Item]:
    losses: Sequence[Mapping[str, Any]] = record.get("losses") or ()
    if len(losses) < 2:
        return []
    parameters = record["parameters"]
    rows = [
        (
            p["name"],
            *(
                _value(each["values"][j], each["low"][j], each["high"][j], p["unit"])
                for each in losses
            ),
        )
        for j, p in enumerate(parameters)
    ]
    return [
        Table(
            caption="Every loss: values and 95 % intervals",
            head=("parameter", *(each["loss"] for each in losses)),
            rows=rows,
            collapse=len(rows) > 20,
        )
    ]


def _bootstrap(record: Mapping[str, Any]) -> list[Item]:
    drawn = record.get("bootstrap")
    if not drawn:
        return []
    columns = (drawn[n] for n in ("low", "high", "linear_low", "linear_high", "curvature"))
    rows = [
        (
            name,
            f"[{quantity(low, unit, 4)}, {quantity(high, unit, 4)}]",
            f"[{quantity(linear_low, unit, 4)}, {quantity(linear_high, unit, 4)}]",
            "at a bound" if curvature is None else error(curvature, 2),
        )
        for name, unit, low, high, linear_low, linear_high, curvature in zip(
            drawn["names"], drawn["units"], *columns, strict=True
        )
    ]
    kind = "signs of the residuals" if drawn["kind"] == "wild" else "whole reads"
    return [
        Table(
            caption=f"Intervals from {counted(drawn['samples'], 'sample')} of the data ({kind} "
            "drawn), and "
            "those of the Jacobian",
            head=("parameter", "bootstrap", "linear", "curvature over the interval"),
            rows=rows,
        )
    ]


def _value(value: float, low: float | None, high: float | None, unit: str) -> str:
    if low is None and high is None:
        return f"{quantity(value, unit, 4)} [withheld]"
    return f"{quantity(value, unit, 4)} [{quantity(low, unit, 4)}, {quantity(high, unit, 4)}]"
