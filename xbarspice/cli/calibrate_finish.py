"""The end of a calibration: card, record, report and screen of a fit or of terms of variability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.calibrate_job import Job
from xbarspice.cli.runs import run_folder

if TYPE_CHECKING:
    from xbarspice.calibration import Fit, Spread
    from xbarspice.calibration.array_inspection_page import ArrayInspection
    from xbarspice.calibration.characteristics import Characteristics
    from xbarspice.calibration.comparisons import Comparisons
    from xbarspice.calibration.held import Fixed
    from xbarspice.calibration.inspection_page import Inspection
    from xbarspice.config.card import CalibrationCard
    from xbarspice.core.array import Crossbar
    from xbarspice.report.content import Item, Section

MOST_HELD = 12
"""Held values that are shown on the screen."""

__all__ = ["finish_characteristics", "finish_curves", "finish_fit", "finish_spread"]


def finish_spread(job: Job, terms: Spread, more: Sequence[Item], *, accept: bool = False) -> None:
    """Card, record, report and screen of terms of the variability; as of characteristics."""
    from xbarspice.calibration.cards import record_of_spread

    _finish_terms(job, terms, record_of_spread(terms), more, accept)


def finish_characteristics(
    job: Job, characteristics: Characteristics, more: Sequence[Item], *, accept: bool = False
) -> None:
    """Record, report and screen of devices over time, and a card where there are terms for one.

    No card of what fails a test, and exit 1, unless it is accepted.
    """
    from xbarspice.calibration.characteristics import record_of_characteristics

    _finish_terms(
        job, characteristics.for_card(), record_of_characteristics(characteristics), more, accept
    )


def _finish_terms(
    job: Job, terms: Spread, record: dict[str, Any], more: Sequence[Item], accept: bool
) -> None:
    from xbarspice import calibration as study

    stands = terms.holds or accept
    card = None
    if terms.terms and stands:
        card = study.card_of_spread(
            terms if terms.holds else terms.withhold(),
            job.run.array.device,
            job.files,
            title=job.name,
            date=job.date,
            before=job.before(),
            data_read=job.data_read,
            valid=job.valid,
        )
    record["card_written"] = card is not None
    _write_folder(job, card, record, more=more)
    if not stands:
        raise typer.Exit(1)


def finish_curves(job: Job, fit: Fit, more: Sequence[Item], *, accept: bool = False) -> None:
    """Record, report and screen of a fit whose values no model takes: there is no card of it."""
    from xbarspice import calibration as study

    record = {**study.record_of(fit), "card_written": False}
    _write_folder(job, None, record, fit=fit, unit="S", more=more)
    if not (fit.holds or accept):
        raise typer.Exit(1)


def finish_fit(
    job: Job,
    fit: Fit,
    crossbar: Crossbar | None = None,
    *,
    device: str | None = None,
    unit: str = "A",
    accept: bool = False,
    more: Sequence[Item] = (),
    inspection: Inspection | ArrayInspection | None = None,
    fixed: Sequence[Fixed] = (),
    comparisons: Comparisons | None = None,
) -> None:
    """Card, record, report and screen of a fit; no card of a model that does not hold."""
    from xbarspice import calibration as study

    name = device or (crossbar.device.name if crossbar is not None else job.run.array.device)
    card = study.card_of(
        fit,
        name,
        job.files,
        title=job.name,
        date=job.date,
        before=job.before(),
        data_read=job.data_read,
        valid=job.valid,
        comparisons=comparisons,
    )
    fitted = crossbar if any(p.name.startswith("G[") for p in fit.parameters) else None
    record = study.record_of(fit)
    record["fixed"] = job.with_origins(fixed)
    if comparisons is not None and comparisons.by_ranking:
        (row,) = [row for row in record["fixed"] if row["name"] == "device"]
        row["origin"] = "the ranking of device models (--device auto)"
    if inspection is not None:
        record["inspection"] = inspection.record()
        record["findings"] = [*(i.text for i in inspection.irregularities), *record["findings"]]
    record |= comparisons.record() if comparisons is not None else {}
    stands = fit.holds or accept
    record["card_written"] = stands
    section = None if inspection is None else inspection.section()
    shown = card if stands else None
    _write_folder(job, shown, record, fit=fit, unit=unit, crossbar=fitted, more=more, data=section)
    if not stands:
        raise typer.Exit(1)


def _write_folder(
    job: Job,
    card: CalibrationCard | None,
    record: dict[str, Any],
    *,
    fit: Fit | None = None,
    unit: str = "A",
    crossbar: Crossbar | None = None,
    more: Sequence[Item] = (),
    data: Section | None = None,
) -> None:
    """Write the run folder of a calibration and show what was found."""
    from xbarspice.calibration import page as report
    from xbarspice.core import crossbar_file

    with run_folder(job.out) as folder:
        record = job.write(folder, card, record)
        if crossbar is not None:
            card_text = None if card is None else crossbar_file.CardText(text=card.to_toml())
            crossbar_file.save(folder / "crossbar.h5", crossbar, card_text)
        text = card and card.to_toml()
        report.write_fit(record, text, folder / "report.html", fit, unit, more=more, data=data)
    shown = record if job.json else _short(record, job.out)
    screens.show(shown, job.json, "Calibration", names_as_written=True)


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.calibration.comparisons_page import comparison_rows
    from xbarspice.report.units import error, quantity

    rows: dict[str, Any] = {}
    for r in record["parameters"][:20]:
        value, low, high = (quantity(r[k], r["unit"]) for k in ("value", "low", "high"))
        condition = f" given {', '.join(r['given'])}" if r.get("given") else ""
        rows[r["name"]] = f"{value} [{low}, {high}]{condition}"
    if len(record["parameters"]) > 20:
        rows["..."] = f"{len(record['parameters']) - 20} more in report.json"
    if held := record.get("held_out"):
        rows["held-out error"] = f"{error(held['error'])} (fitted {error(held['noise'])})"
    for f in record.get("fixed", ())[:MOST_HELD]:
        number = isinstance(f["value"], float)
        value = quantity(f["value"], f["unit"]) if number else f"{f['value']} {f['unit']}".rstrip()
        rows[f"held: {f['name']}"] = f"{value} ({f['origin']})"
    if (more := len(record.get("fixed", ())) - MOST_HELD) > 0:
        rows["held: ..."] = f"{more} more in report.json"
    if (scatter := record.get("scatter_over_noise")) is not None:
        rows["residuals over the stated scatter"] = scatter
        holds = record.get("model_holds", True)
        rows["intervals"] = "95 %, if the model holds" if holds else "withheld"
    rows |= comparison_rows(record)
    for k, text in enumerate(record["findings"], 1):
        rows[f"warning {k}"] = text
    rows["data read as"] = "; ".join(record["data_read"])
    card = str(out / "card.toml")
    if not record.get("card_written", True):
        holds = record.get("model_holds", False)
        card = "none: no model takes these values" if holds else "none: the model does not hold"
        card += "" if holds else " (--accept)"
    return {**rows, "card": card, "report": str(out / "report.html")}
