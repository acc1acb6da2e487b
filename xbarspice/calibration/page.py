"""Pages of calibrations: fitted values with intervals, parity, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xbarspice.calibration.comparisons_page import comparison_sections
from xbarspice.calibration.figures import figures_of
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.held_page import held_items
from xbarspice.report.content import Code, Item, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, config_section
from xbarspice.report.units import si

__all__ = ["subtitle", "write_fit"]

MOST = 80
"""Rows of the table of parameters, and lines of a card, that are shown at once."""
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
    findings = record["findings"]
    count = f"{len(findings)} remark{'s' * (len(findings) > 1)}"
    scatter = record.get("scatter_over_noise")
    misfit = "" if scatter is None else f" Residuals are {scatter:.3g} of the stated scatter."
    holds = record.get("model_holds", True)
    tested = "no test of the residuals speaks against the model"
    if not record.get("checks"):
        tested = "no test of the model was possible"
    text = (
        f"{count} on what the data do not determine or the model misses; see below."
        if findings
        else f"The data determine every fitted value; {tested}."
    )
    if not holds:
        why = record.get("fails", "The residuals are no noise")
        text = f"{why}: intervals are withheld, and " + (
            "the card was accepted all the same." if card else "no card was written."
        )
    verdict = Verdict(
        state="fail" if findings else "pass",
        word="DOES NOT FIT" if not holds else "WARNINGS" if findings else "DETERMINED",
        text=text + misfit,
    )
    items: list[Item] = [Text(text=f"Warning: {text}.", note=True) for text in findings]
    items.append(_values(record["parameters"], holds))
    items += _checks(record)
    if held := record.get("held_out"):
        items.append(
            Text(
                text=f"Held out: {held['split']} ({held['points']} values), predicted with an rms "
                f"error of {100 * held['error']:.3g} % of their rms; the fitted part: "
                f"{100 * held['noise']:.3g} %."
            )
        )
    if fit is not None:
        items += figures_of(fit, unit)
    items += more
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
        verdict=verdict,
        subtitle=subtitle(record),
    )


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
    return Code(text=text, collapse="card.toml" if text.count("\n") > MOST else "")


def _read_section(record: dict[str, Any]) -> list[Section]:
    """How the data were understood, and what of them was left out."""
    sentences = record.get("data_read") or ()
    items: list[Item] = [
        Text(text=f"{text[0].upper()}{text[1:]}.", note=True) for text in sentences
    ]
    return [Section(title="How the data were read", items=items)] if items else []


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


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return si(value, unit, 5) if unit in ("ohm", "S") else f"{value:.5g} {unit}".rstrip()


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
                *(_number(r.get(k), r["unit"]) for k in columns),
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
