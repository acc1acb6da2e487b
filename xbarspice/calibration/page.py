"""Pages of calibrations: fitted values with intervals, parity, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xbarspice.calibration.comparisons_page import comparison_sections
from xbarspice.calibration.figures import figures_of
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.held_page import held_items
from xbarspice.core.counts import counted
from xbarspice.report.content import Code, Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, config_section
from xbarspice.report.units import error, quantity, short

__all__ = ["subtitle", "write_fit"]

MOST = 80
"""Rows of the table of parameters that are shown at once."""
NAMED = 2
"""Values in the headline."""
MOST_CONDITIONS = 3
"""Held values that are named beside a parameter; the table of held values has all."""


def write_fit(
    record: dict[str, Any],
    card: str | None,
    path: Path,
    fit: Fit | None = None,
    unit: str = "A",
    more: Sequence[Item] = (),
    data: Section | None = None,
) -> Path:
    """The page of a fit.

    Args:
        record: what `report.json` holds: title, data, parameters, findings, held_out, config.
        card: the card's text; None where none was written.
        path: the HTML file.
        fit: what the plots show; None for none.
        unit: of its values.
        more: tables and plots of what was measured, after those of the fit.
        data: the measured data with what was seen in them before the fit.
    """
    plots = [] if fit is None else figures_of(fit, unit)
    drawn = [item for item in more if isinstance(item, Plot)]
    tables = [item for item in more if not isinstance(item, Plot)]
    warnings = [Text(text=f"Warning: {text}.", note=True) for text in record["findings"]]
    items: list[Item] = [*drawn, *plots, *warnings]
    items += [_values(record["parameters"], record.get("model_holds", True)), *tables]
    items += [*_checks(record), *_held_out(record)]
    items.append(Text(text=record.get("intervals") or _HOW, note=True))
    sections = [
        Section(title="Fitted values", items=items),
        *([data] if data is not None else []),
        *comparison_sections(record),
        *_read_section(record),
        *([Section(title="Calibration card", items=[_card(card)])] if card else []),
    ]
    return page(
        record["title"],
        [*sections, *card_section(record), *config_section(record)],
        path,
        verdict=_verdict(record, card),
        subtitle=subtitle(record),
    )


def _verdict(record: dict[str, Any], card: str | None) -> Verdict:
    """Whether the model holds, the values, and the first of the warnings."""
    findings, holds = record["findings"], record.get("model_holds", True)
    scatter = record.get("scatter_over_noise")
    misfit = "" if scatter is None else f" Residuals are {short(scatter)} of the stated scatter."
    if not holds:
        why = record.get("fails", "The residuals are no noise")
        text = f"{why}: intervals are withheld, and " + (
            "the card was accepted all the same." if card else "no card was written."
        )
    else:
        text = _headline(record["parameters"])
    if findings:
        more = len(findings) - 1
        others = f" {counted(more, 'more warning')} below." if more else ""
        detail = f"Warning: {findings[0]}.{others}"
    elif record.get("checks"):
        detail = (
            "The data determine every fitted value; no test of the residuals speaks against the "
            "model."
        )
    else:
        detail = "The data determine every fitted value; no test of the model was possible."
    return Verdict(
        state="fail" if findings else "pass",
        word="DOES NOT FIT" if not holds else "WARNINGS" if findings else "DETERMINED",
        text=text + misfit,
        detail=detail,
    )


def _headline(parameters: Sequence[dict[str, Any]]) -> str:
    """The first values with their intervals, and how many there are beside."""
    texts = []
    for p in parameters[:NAMED]:
        value, low, high = (quantity(p.get(k), p["unit"]) for k in ("value", "low", "high"))
        interval = f" [{low}, {high}]" if (low, high) != ("-", "-") else ""
        texts.append(f"{p['name']} = {value}{interval}")
    more = len(parameters) - len(texts)
    others = f", and {counted(more, 'more value')}" if more else ""
    return f"{'; '.join(texts)}{others}." if texts else "No value is fitted."


def _held_out(record: dict[str, Any]) -> list[Item]:
    """How well values are predicted that took no part in the fit."""
    if not (held := record.get("held_out")):
        return []
    return [
        Text(
            text=f"Held out: {held['split']} ({counted(held['points'], 'value')}), predicted with "
            f"an rms error of {error(held['error'])} of their rms; the fitted part: "
            f"{error(held['noise'])}."
        )
    ]


def _checks(record: dict[str, Any]) -> list[Item]:
    """What was held fixed, and the tests of the residuals."""
    items = held_items(record)
    if checks := record.get("checks"):
        rows = [(c["name"], f"{c['p']:.2g}", "yes" if c["holds"] else "no") for c in checks]
        items.append(
            Table(
                caption="Tests of the model; together they refuse 1 % of models that hold",
                head=("test", "p", "holds"),
                rows=rows,
            )
        )
    return items


def _card(text: str) -> Code:
    return Code(text=text, collapse="card.toml")


def _read_section(record: dict[str, Any]) -> list[Section]:
    """How the data were understood, and what of them was left out."""
    sentences = [f"{text[0].upper()}{text[1:]}." for text in record.get("data_read") or ()]
    item = Code(text="\n".join(sentences), collapse="Sentence by sentence")
    return [Section(title="How the data were read", items=[item])] if sentences else []


def subtitle(record: dict[str, Any]) -> str:
    """The data, and the card: that of a fit is the one it leaves, of a die the one it was given."""
    text = f"Data: {', '.join(record['data'])} (SHA-256 {record['data_sha256'][:12]})"
    card = record.get("calibration")
    return f"{text}, card: {card}" if card else text


_HOW = (
    "Intervals: value +- t sqrt(cov), cov = s^2 (J^T J)^-1 with the Jacobian J of the weighted "
    "residuals at the solution and Student's t for 95 %: they hold if the model does. A dash: the "
    "data do not bound it."
)


def _values(rows: Sequence[dict[str, Any]], holds: bool) -> Table:
    withheld = "Values; intervals are withheld"
    has_conditions = any(r.get("given") for r in rows)
    columns = (
        "value",
        "low",
        "high",
        *(["start"] if any(r.get("start") is not None for r in rows) else []),
    )
    return Table(
        caption="Values, and 95 % intervals if the model holds" if holds else withheld,
        head=("parameter", *columns, *(["given"] if has_conditions else [])),
        rows=[
            (
                r["name"],
                *(quantity(r.get(k), r["unit"]) for k in columns),
                *([_conditions(r.get("given", ()))] if has_conditions else []),
            )
            for r in rows
        ],
        left=(0, 1 + len(columns)),
        collapse=len(rows) > MOST,
    )


def _conditions(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_CONDITIONS
    return ", ".join(texts[:MOST_CONDITIONS]) + (f" and {more} more" if more > 0 else "")
