"""Pages of calibrations: fitted values with intervals, parity, warnings; and the twin of a die."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.calibration.figures import figures_of
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.held_page import held_items
from xbarspice.core.types import Array
from xbarspice.report.content import Code, Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import config_section
from xbarspice.report.units import si

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["die_map", "write_die", "write_fit"]

MOST = 80
"""Rows of the table of parameters that are shown at once."""


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
    text = (
        f"{count} on what the data do not determine or the model misses; see below."
        if findings
        else "The data determine every fitted value; no test of the residuals speaks against the "
        "model."
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
        *_read_section(record),
        *([Section(title="Calibration card", items=[Code(text=card)])] if card else []),
    ]
    return page(
        record["title"],
        [*sections, *config_section(record)],
        path,
        verdict=verdict,
        subtitle=_subtitle(record),
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


def _read_section(record: dict[str, Any]) -> list[Section]:
    """How the data were understood, and what of them was left out."""
    sentences = record.get("data_read") or ()
    items: list[Item] = [
        Text(text=f"{text[0].upper()}{text[1:]}.", note=True) for text in sentences
    ]
    return [Section(title="How the data were read", items=items)] if items else []


def _subtitle(record: dict[str, Any]) -> str:
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
    given = any(r.get("given") for r in rows)
    return Table(
        caption="Values, and 95 % intervals if the model holds" if holds else withheld,
        head=("parameter", "value", "low", "high", "start", *(["given"] if given else [])),
        rows=[
            (
                r["name"],
                *(_number(r.get(k), r["unit"]) for k in ("value", "low", "high", "start")),
                *([", ".join(r.get("given", ()))] if given else []),
            )
            for r in rows
        ],
        left=(0, 5),
        collapse=len(rows) > MOST,
    )


def write_die(record: dict[str, Any], G: Array, stuck: Any, path: Path) -> Path:
    """The page of a measured die.

    Args:
        record: what `report.json` holds: title, stuck, spread, notices, settings, network.
        G: conductances, S, (rows, cols). stuck: -1, 0 or 1, (rows, cols).
        path: the HTML file.
    """
    low, high = int((stuck > 0).sum()), int((stuck < 0).sum())
    verdict = Verdict(
        state="none",
        word="MEASURED",
        text=f"{low} devices stuck at low ohm, {high} at high ohm, of {stuck.size}.",
    )
    caption = "Measured conductances; crosses: stuck at low ohm, circles: at high ohm."
    items: list[Item] = [
        Plot(figure=die_map(G, stuck), alt="Map of the measured conductances", caption=caption),
        Plot(
            figure=_histogram(G, record),
            alt="Histogram of the conductances",
            caption="Conductances, and the range between the thresholds.",
        ),
    ]
    rows = [
        (k.removesuffix("_S").replace("_", " "), si(v, "S") if k.endswith("_S") else f"{v:.4g}")
        for k, v in record["spread"].items()
    ]
    items.append(Table(caption="Devices that are not stuck", head=("", "value"), rows=rows))
    items += [Text(text=f"{text[0].upper()}{text[1:]}.", note=True) for text in record["notices"]]
    sections = [Section(title="The die", items=items), *_network(record)]
    if record["settings"]:
        table = Table(
            caption="As it stands in the file",
            head=("", "value"),
            left=(0, 1),
            rows=[(k, str(v)) for k, v in record["settings"].items()],
        )
        sections.append(Section(title="Measurement", items=[table]))
    return page(
        record["title"],
        [*sections, *config_section(record)],
        path,
        verdict=verdict,
        subtitle=_subtitle(record),
    )


def _network(record: dict[str, Any]) -> list[Section]:
    network = record.get("network_on_die")
    if not network:
        return []
    rows = [
        ("exact products", f"{100 * network['exact_products']:.1f} %", "-"),
        ("as the weights ask for", f"{100 * network['wanted']:.1f} %", "-"),
        ("with the measured conductances", f"{100 * network['as_measured']:.1f} %", "-"),
    ]
    for name, exact in network["exact"].items():
        mean = network["mean"].get(name)
        tuned = "-" if mean is None else f"{100 * mean:.1f} %"
        rows.append((name, f"{100 * exact:.1f} %", tuned))
    lines = (
        f"Best lines of {network['array']}, by {network['method']}: word line of each row "
        f"{list(network['rows'])}; bit line of each column {list(network['cols'])}. In the "
        "last three rows stuck devices keep what was measured and all others are on target. "
        "'Partners': the other device of a pair with a stuck one is tuned to keep the difference. "
        "Lines were chosen by other points than those of the table."
    )
    table = Table(
        caption="Accuracy on the test points, every point through the surrogate",
        head=("", "accuracy", "mean over drawn tuning errors"),
        rows=rows,
    )
    return [Section(title="The model on this die", items=[table, Text(text=lines)])]


def die_map(G: Array, stuck: Any) -> Figure:
    """Conductances, S, (rows, cols), with the stuck devices marked: -1, 0 or 1."""
    from xbarspice.report import new_figure

    figure = new_figure()
    axes = figure.add_subplot()
    image = axes.imshow(G * 1e6, cmap="viridis")
    for sign, mark in ((1, "x"), (-1, "o")):
        row, col = np.nonzero(stuck == sign)
        axes.plot(col, row, mark, color="red", mfc="none", ms=8, mew=1.8)
    axes.set_xlabel("bit line")
    axes.set_ylabel("word line")
    figure.colorbar(image, ax=axes, label="G, uS")
    return figure


def _histogram(G: Array, record: dict[str, Any]) -> Figure:
    from xbarspice.report import new_figure

    figure = new_figure()
    axes = figure.add_subplot()
    axes.hist(G.ravel() * 1e6, bins=min(30, max(5, G.size // 4)), color="C0")
    for limit in record["thresholds_S"]:
        axes.axvline(limit * 1e6, color="red", ls="--", lw=1)
    axes.set_xlabel("G, uS")
    axes.set_ylabel("devices")
    return figure
