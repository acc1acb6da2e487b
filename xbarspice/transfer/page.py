"""Page of a transfer study: figures, histogram, points, what each layer's errors do, ngspice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.core.types import Array
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, card_text, config_section, coverage_section
from xbarspice.report.units import error, percent, percent_interval
from xbarspice.transfer import plots
from xbarspice.transfer.intervals import INTERVALS

__all__ = ["figures", "interval_text", "metric_text", "write"]

Record = dict[str, Any]

DRIFT = {
    "metric": "right in 95 % of the transfers, drift table {}",
    "mean": "right, mean, drift table {}",
    "output": "change of the outputs, mean, drift table {}",
}
"""What the other reading of the drift table gives; see `variability.bse.bse_table`."""


def write(record: Record, by_point: Array | None, path: Path) -> Path:
    """Draw the page of a transfer study.

    Args:
        record: what `report.json` holds.
        by_point: share of the transfers in which each point is right, (points,), or None.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    verdict = Verdict(
        state="none", word="SIMULATED", text=_sentence(record), detail=_definition(record)
    )
    sections = [_result(record, by_point), *_budget(record), *_remedies(record)]
    sections += [*_layers(record), *_golden(record)]
    sections.append(coverage_section(record))
    sections += [*card_section(record), *config_section(record)]
    return page(record["title"], sections, path, verdict=verdict, subtitle=card_text(record))


def _sentence(record: Record) -> str:
    """The metric and what transfer errors cost."""
    count = counted(record["transfers"], "transfer")
    if "metric" not in record:
        change = record["output_change"]
        return f"The outputs change by {error(change['mean'])} rms on average over {count}."
    text = (
        f"Metric {percent(record['metric'])}; {percent(record['mean'])} of the points are right on "
        f"average over {count}"
    )
    if record["noise_free"] is not None:
        text += f", {percent(record['noise_free'])} without transfer errors"
    return f"{text}."


def _definition(record: Record) -> str:
    """What the metric is, on which points and by which engine."""
    points = f"{counted(record['points'], 'point')} by {record['engine']}"
    if "metric" not in record:
        return f"Change of the outputs: rms over the largest output, {points}."
    return (
        "Metric: share of the points that are right in at least 95 % of the transfers; right: "
        f"{record['judged']}. {points[0].upper()}{points[1:]}."
    )


def _between(record: Record, name: str) -> str:
    return percent_interval(record[name], record[f"{name}_low"], record[f"{name}_high"])


def figures(record: Record) -> Iterator[tuple[str, str]]:
    """The figures of a study as rows of text."""
    yield "engine", record["engine"]
    yield "transfers x points", f"{record['transfers']} x {record['points']}"
    yield "judged", record["judged"]
    if "metric" in record:
        yield "right, mean [95 % interval]", _between(record, "mean")
        yield "right in 95 % of the transfers [95 % interval]", _between(record, "metric")
        yield "without transfer errors", percent(record["noise_free"])
        yield "with exact products", percent(record["exact"])
        yield "lowest 5 % of the transfers, at most", percent(record["low_5_percent"])
    for name in ("worst", "best"):
        one = record[f"{name}_transfer"]
        right = f"{percent(one['right'])} right, " if "right" in one else ""
        yield f"{name} transfer", f"{one['transfer']}: {right}change {error(one['output_change'])}"
    change = record["output_change"]
    words = f"mean {error(change['mean'])}, largest {error(change['largest'])}"
    if (interval := change.get("interval")) is not None:
        words += f"; mean [{error(interval['low'])}, {error(interval['high'])}]"
    yield "change of the outputs (rms over the largest)", words
    for name, value in record.items():
        if name.endswith("_drift_table"):
            shown = error(value) if name.startswith("output_change") else percent(value)
            yield DRIFT[name.split("_")[0]].format(name.split("_")[-3]), shown
    yield from _budget_rows(record)
    yield from _remedy_rows(record)
    yield from _golden_rows(record)


def interval_text(part: Record, *, of: Record) -> str:
    """A value of a metric with its interval: a share in percent, or an rms change.

    Args:
        part: `value`, `low` and `high`.
        of: record of the study, whose `classifies` says which.
    """
    value, low, high = (part[k] for k in ("value", "low", "high"))
    if of["classifies"]:
        return percent_interval(value, low, high, digits=2)
    return f"{error(value)} [{error(low)}, {error(high)}]"


def metric_text(record: Record) -> str:
    """What the metric of a study is, by its `classifies` and `metric`."""
    if not record["classifies"]:
        return "minus the rms change of the outputs over the largest, mean over the transfers"
    if record["metric"] == "mean":
        return "share of points that are right, mean over the transfers"
    return "share of points that are right in at least 95 % of the transfers"


def _judged(entry: Record) -> str:
    """What the metric is and what it is judged on."""
    return f"Metric: {metric_text(entry)}; judged are {entry['judged']}."


def _budget_rows(record: Record) -> Iterator[tuple[str, str]]:
    if (budget := record.get("budget")) is None:
        return
    yield "lost by all sources [95 % interval]", interval_text(budget["lost"], of=budget)
    for cost in budget["costs"][:3]:
        yield f"lost by {cost['source']} among all", interval_text(cost["among_all"], of=budget)


def _remedy_rows(record: Record) -> Iterator[tuple[str, str]]:
    for each in record.get("remedies", ()):
        yield (
            f"won by the remedy {each['remedy']} [95 % interval]",
            interval_text(each["gain"], of=each),
        )


def _budget(record: Record) -> list[Section]:
    if (budget := record.get("budget")) is None:
        return []
    rows = [
        (
            cost["source"],
            interval_text(cost["alone"], of=budget),
            interval_text(cost["among_all"], of=budget),
        )
        for cost in budget["costs"]
    ]
    rows.append(
        ("all", interval_text(budget["lost"], of=budget), interval_text(budget["lost"], of=budget))
    )
    table = Table(
        caption="What each source of error costs [95 % interval]",
        head=("source", "metric lost by it alone", "won back without it"),
        rows=rows,
    )
    text = (
        f"{_judged(budget)} {counted(budget['transfers'], 'transfer')} and "
        f"{counted(budget['points'], 'point')} for every row, with the same random numbers; "
        f"intervals are of the paired differences, {INTERVALS}. Parts do not add up exactly."
    )
    bars = Plot(
        draw=partial(plots.loss_budget, budget),
        alt="Bars of what each source of error costs",
        caption="Alone: the circuit with exact products and this source. Won back: the circuit "
        "with all sources, without this one.",
        width=5.2,
        height=plots.loss_budget_height(budget),
    )
    return [Section(title="Loss budget", items=[bars, table, Text(text=text)])]


def _remedies(record: Record) -> list[Section]:
    if not (remedies := record.get("remedies")):
        return []
    rows = [
        (each["remedy"], *(interval_text(each[k], of=each) for k in ("before", "after", "gain")))
        for each in remedies
    ]
    table = Table(
        caption="What remedies win [95 % interval]",
        head=("remedy", "metric as programmed", "with the remedy", "won"),
        rows=rows,
    )
    first = remedies[0]
    text = (
        f"{_judged(first)} {counted(first['transfers'], 'transfer')}; each remedy is fitted "
        f"on {first['calibration']} of the inputs and judged on the other {first['points']}."
    )
    return [Section(title="Remedies after programming", items=[table, Text(text=text)])]


def _golden_rows(record: Record) -> Iterator[tuple[str, str]]:
    golden = record["golden"]
    if golden is None:
        return
    count = counted(len(golden["transfers"]), "transfer")
    text = f"{count}, outputs differ by up to {error(golden['error'])} of the largest"
    if golden["error"] == 0:
        text = f"{count}, outputs are equal in the model's precision"
    if golden["differing"] is not None:
        text += f", {golden['differing']} of {counted(golden['decisions'], 'decision')} differ"
    yield f"{record['engine']} against ngspice", text


def _result(record: Record, by_point: Any) -> Section:
    of = record["histogram"]["of"]
    items: list[Item] = [
        Plot(
            draw=partial(plots.transfers, record),
            alt=f"Histogram of the {of}",
            caption=f"Transfers by {of}; the band is the 95 % interval of the mean.",
        )
    ]
    if by_point is not None:
        items.append(
            Plot(
                draw=partial(plots.transfer_points, by_point),
                alt="Points by the share of transfers in which they are right",
                caption="Points, sorted by the share of the transfers in which they are right.",
            )
        )
    rows = list(figures(record))
    items.append(Table(caption="Figures", head=("", "value"), rows=rows, left=(0, 1)))
    text = (
        f"Intervals: {INTERVALS}. "
        f"Errors of the devices: {record['variation']}; seed {record['seed']}. The change of the "
        "outputs is measured from those of the same circuit without transfer errors."
    )
    return Section(title="Transfers", items=[*items, Text(text=text, note=True)])


def _layers(record: Record) -> list[Section]:
    if not record["layers"]:
        return []
    rows = [
        (
            str(k["matrix"]),
            str(k["transfers"]),
            error(k["rms"]),
            percent(k["accuracy"]),
            percent(k["lowest"]),
        )
        for k in record["layers"]
    ]
    table = Table(
        caption="Errors on the arrays of one matrix alone",
        head=("matrix", "transfers", "change of the outputs", "right, mean", "right, lowest"),
        rows=rows,
    )
    text = "All other arrays hold what their weights ask for. Parts do not add up exactly."
    return [Section(title="What each layer's errors do", items=[table, Text(text=text)])]


def _golden(record: Record) -> list[Section]:
    rows = list(_golden_rows(record))
    if not rows:
        return []
    text = "The same transfers, every array solved by ngspice with its wires and devices."
    table = Table(caption="Against ngspice", head=("", "found"), rows=rows, left=(0, 1))
    return [Section(title="Golden", items=[table, Text(text=text)])]
