"""Page of the reproduced experiment, drawn from its record.

A run that is smaller than the full one says so in its title, its verdict and beside the title. What
earlier runs measured stands in `history.toml` and is quoted, as history, in the
report of a full run only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from papers.drolet2023 import digits_report as digits
from papers.drolet2023 import fresh_report, multiclass_report
from xbarspice.core.files import read_toml
from xbarspice.report.content import Plot, Section, Table, Text, Verdict
from xbarspice.report.page import html, markdown, write_files

__all__ = ["quick_run", "sections", "write"]

SETTINGS = {
    "a": "(a) released protocol and error model",
    "b": "(b) honest split",
    "c": "(c) honest split through the circuit",
}
HISTORY = Path(__file__).with_name("history.toml")
TITLE = "Half moons on one 8x8 passive TiO2 array: the experiment of arXiv:2305.18495"


PARTS = {"fresh_draws": "fresh draws", "multiclass": "ten classes", "digits": "digits"}
"""Parts of a record with a plan of their own, and their names."""


def write(record: dict[str, Any], folder: Path, *extra: Path) -> None:
    """Write report.html and report.md into a folder, and the Markdown to further paths."""
    parts, verdict = sections(record), _verdict(record)
    of_moons = "rows" in record or "fresh_draws" in record
    title = TITLE if of_moons else "Digits on tiled passive TiO2 arrays"
    title = f"Quick run: {title}" if quick_run(record) else title
    subtitle = _subtitle(record)
    text = markdown(title, parts, verdict=verdict, subtitle=subtitle)
    files = {
        folder / "report.html": html(title, parts, verdict=verdict, subtitle=subtitle),
        folder / "report.md": text,
    }
    write_files(files | dict.fromkeys(extra, text))


def quick_run(record: dict[str, Any]) -> str:
    """How much smaller than the full experiment a run is, in a sentence; "" for a full one."""
    parts = {"half moons": record} if "rows" in record else {}
    for key, name in PARTS.items():
        if key in record:
            parts[name] = record[key]
    changes = []
    for name, part in parts.items():
        name = name if len(parts) > 1 else ""
        if less := part.get("less_than_full"):
            words = (f"{key.replace('_', ' ')} {a} of {b}" for key, (a, b) in less.items())
            changes.append(f"{name} {', '.join(words)}".strip())
    return f"quick run, not the experiment ({'; '.join(changes)})" if changes else ""


def _subtitle(record: dict[str, Any]) -> str:
    """Says if the run is a quick one, and what the calibration card, if any, applies to."""
    whole = "rows" in record
    parts = (record, record.get("digits", {}), record.get("fresh_draws", {}))
    card = next(part for part in parts if "hardware" in part)["hardware"]["calibration"]
    applies = ": (c) and the digits; (a) and (b) as published" if whole else ""
    quick = quick_run(record)
    sentences = [quick[:1].upper() + quick[1:], f"Calibrated: {card}{applies}" if card else ""]
    return ". ".join(text for text in sentences if text)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _find(record: dict[str, Any], setting: str, recipe: str, remedy: str = "") -> dict[str, Any]:
    key = (setting, recipe, remedy)
    return next(r for r in record["rows"] if (r["setting"], r["recipe"], r["remedy"]) == key)


def _verdict(record: dict[str, Any]) -> Verdict | None:
    quick = quick_run(record)
    if "rows" not in record:
        text = "This is a quick run: no figure of it stands for the experiment."
        if quick:
            return Verdict(state="none", word="QUICK RUN", text=text)
        if "fresh_draws" not in record:
            return None
        text = fresh_report.sentence(record["fresh_draws"])
        return Verdict(state="none", word="SIMULATED", text=text)
    rows = (
        _find(record, "b", "ours"),
        _find(record, "b", "ours, trained with the remedies", "all remedies"),
    )
    ours, mended = (row["median"] for row in rows)
    other_readings = [_other_reading(row) for row in rows]
    text = (
        f"Hardware-aware training alone, honest split: {_percent(ours['metric'])} "
        f"%{other_readings[0]} of "
        f"the test points are right in at least 95 % of the transfers (median over seeds), at a "
        f"noise-free accuracy of {ours['noise_free']:.3f}; the paper states 79.5 % (test points "
        f"mostly trained on). With all remedies, in the loop of training too: "
        f"{_percent(mended['metric'])} %{other_readings[1]}, noise-free {mended['noise_free']:.3f}."
    )
    if quick:
        text = f"This is a quick run: no figure of it stands for the experiment. {text}"
    return Verdict(state="none", word="QUICK RUN" if quick else "SIMULATED", text=text)


def _other_reading(row: dict[str, Any]) -> str:
    """The metric with the other reading of the drift table, in brackets."""
    reading = row.get("other_reading")
    return (
        f" ({_percent(reading['metric'])} % with the drift table {reading['tail']})"
        if reading
        else ""
    )


def sections(record: dict[str, Any]) -> list[Section]:
    """The page's sections: the half moons, the digits, or both."""
    first, second = [], []
    if "fresh_draws" in record:
        first = [fresh_report.section(record["fresh_draws"])]
        first.append(multiclass_report.section(record["multiclass"]))
    if "digits" in record:
        second = [digits.section(record["digits"])]
    if "rows" not in record:
        return first + second
    out = [_table_section(record), _histograms(record)]
    if "tried" in record and not quick_run(record):
        out.append(_trials(record))
    out += [_budget(record), _boundaries(record)]
    if "ngspice" in record:
        out.insert(1, _ngspice(record["ngspice"]))
    return first + out + second


def _table_section(record: dict[str, Any]) -> Section:
    items: list[Any] = [
        Text(
            text="Metric: share of the 200 test points that are classified right in at least 95 % "
            "of the transfers; under (a) and (b) 0.5 % of the devices are stuck at low and 0.2 "
            "% at high resistance. Medians over the seeds, with the least and the largest seed."
        ),
        Text(
            text="A nearly linear boundary scores high on the metric by being always right or "
            "always wrong; such rows show it by a noise-free accuracy below 0.9.",
            note=True,
        ),
        Table(
            caption="What the paper states",
            head=("network", "metric %"),
            rows=[(k, _percent(v)) for k, v in record["paper"].items()],
        ),
    ]
    for setting, title in SETTINGS.items():
        rows = [_line(r) for r in record["rows"] if r["setting"] == setting]
        items.append(
            Table(
                caption=title,
                head=(
                    "network",
                    "remedy",
                    "metric %",
                    "other reading %",
                    "least .. most",
                    "noise-free",
                    "mean",
                    "5 %",
                    "worst",
                    "transfers",
                ),
                rows=rows,
                left=(0, 1),
            )
        )
    items.append(
        Text(
            text=f"Under (a), {record['overlap']} of the test points are training points too. "
            f"Setting (c) has {digits.wires_text(record['hardware'])} and the device "
            f"{record['hardware']['device']}, its error model is "
            f"{digits.errors_text(record['hardware'])}, and it is solved exactly by the surrogate "
            "engine. Networks and settings were chosen on "
            "training and validation points with validation transfers, never on test points; the "
            "test points were looked at once for each final network."
        )
    )
    items.append(Text(text=digits.readings_text(record["rows"])))
    if not quick_run(record):
        items.append(_history("seen_before"))
    if "seen" in record:
        items += _elsewhere(record)
    return Section(title="Accuracy over the transfers", items=items)


def _elsewhere(record: dict[str, Any]) -> list[Any]:
    """The figures of (b) on the points that were trained on, and on fresh points."""
    names = {"seen": "training and validation points", "fresh": "fresh points of the same law"}
    rows = [
        (
            recipe,
            f"{figures['points']} {what}",
            _percent(figures["metric"]),
            f"{figures['noise_free']:.3f}",
        )
        for key, what in names.items()
        for recipe, figures in record[key].items()
    ]
    fresh = record["fresh"]["ours"]
    error = 100 * (fresh["metric"] * (1 - fresh["metric"]) / fresh["points"]) ** 0.5
    return [
        Table(
            caption=f"The same networks of (b) on other points, {fresh['transfers']} transfers",
            head=("network", "points", "metric %", "noise-free"),
            rows=rows,
            left=(0, 1),
        ),
        Text(
            text="The networks were trained and chosen on the training and validation points, so "
            "these figures flatter. The fresh points were drawn anew for this table; no network "
            "and no setting was tuned on them. A share of 200 test points has a standard error of "
            "about 3 points of a percent, which the least and the most over the seeds do not "
            "show, for all seeds have the same test points; on "
            f"{fresh['points']} points it is {error:.1f}."
        ),
    ]


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    m = row["median"]
    return (
        row["recipe"],
        row["remedy"] or "none",
        _percent(m["metric"]),
        digits.other_metric(row),
        f"{_percent(row['metric_least'])} .. {_percent(row['metric_most'])}",
        f"{m['noise_free']:.3f}",
        f"{m['mean']:.3f}",
        f"{m['low_5_percent']:.3f}",
        f"{m['worst']:.3f}",
        str(row["transfers"]),
    )


def _histograms(record: dict[str, Any]) -> Section:
    from xbarspice.report import plots

    items = []
    shown = [r for r in record["rows"] if not r["remedy"] or r["remedy"] == "all remedies"]
    for setting, title in SETTINGS.items():
        figure = plots.new_figure()
        axes = figure.subplots()
        rows_of_setting = [r for r in shown if r["setting"] == setting]
        for k, row in enumerate(rows_of_setting):
            values = np.sort(np.concatenate(row["by_point"]))
            label = row["recipe"] + (" + remedies" if row["remedy"] else "")
            axes.plot(
                100 * values,
                100 * (1 - np.arange(values.size) / values.size),
                color=plots.COLOURS[k % len(plots.COLOURS)],
                linewidth=1.6,
                label=label,
            )
        axes.axvline(95, color=plots.ABSENT, linestyle="--", linewidth=1)
        axes.set_xlabel("right in at least this share of the transfers / %")
        axes.set_ylabel("test points / %")
        axes.legend(fontsize=7, loc="lower left")
        items.append(
            Plot(
                figure=figure,
                caption=f"{title}; the dashed line is the metric's 95 %.",
                alt="Share of the test points over the share of transfers that get them right",
            )
        )
    return Section(title="How often points are right", items=items)


def _budget(record: dict[str, Any]) -> Section:
    from xbarspice.report import plots

    rows = record["budget"]
    table = Table(
        caption="Cost in mean accuracy (points of a percent, 95 % interval), common draws",
        head=("effect", "alone or left out", "cost", "low", "high", "metric %", "mean"),
        rows=[
            (
                r["effect"],
                "alone" if r["alone"] else "left out",
                f"{100 * r['cost']:.2f}",
                f"{100 * r['low']:.2f}",
                f"{100 * r['high']:.2f}",
                _percent(r["metric"]),
                f"{r['mean']:.4f}",
            )
            for r in rows
        ],
        left=(0, 1),
    )
    figure = plots.new_figure()
    axes = figure.subplots()
    names = [r["effect"] for r in rows if r["alone"] and r["effect"] not in ("none", "all")]
    for k, alone in enumerate((True, False)):
        rows_of_effects = [
            next(r for r in rows if r["effect"] == n and r["alone"] == alone) for n in names
        ]
        cost = 100 * np.array([r["cost"] for r in rows_of_effects])
        low = cost - 100 * np.array([r["low"] for r in rows_of_effects])
        high = 100 * np.array([r["high"] for r in rows_of_effects]) - cost
        place = np.arange(len(names)) + 0.2 - 0.4 * k
        axes.barh(
            place,
            cost,
            height=0.36,
            xerr=np.clip([low, high], 0, None),
            color=plots.COLOURS[k],
            label="alone" if alone else "left out of all",
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("cost in mean accuracy / percentage points")
    axes.legend(fontsize=8)
    plot = Plot(
        figure=figure,
        alt="Bars of the cost of every effect",
        caption="Loss budget of the network trained through the circuit.",
    )
    return Section(title="Loss budget", items=[plot, table])


def _boundaries(record: dict[str, Any]) -> Section:
    from papers.drolet2023.boundary import boundary
    from xbarspice.report import plots

    boundaries, points = record["boundaries"], record["points"]
    items = []
    for name, logits in boundaries["logits"].items():
        figure = plots.new_figure()
        boundary(
            figure.subplots(),
            {"x0": boundaries["x0"], "x1": boundaries["x1"], "software": logits},
            points,
            None,
        )
        items.append(
            Plot(
                figure=figure,
                caption=f"{name}, without transfer errors",
                alt=f"Decision boundary of the network: {name}",
            )
        )
    return Section(title="Decision boundaries", items=items)


def _ngspice(comparison: dict[str, Any]) -> Section:
    accuracy = comparison["accuracy"]
    table = Table(
        caption=f"{comparison['transfers']} transfers of (c), all test points, "
        f"seed {comparison['seed']}",
        head=("", "surrogate", "ngspice"),
        rows=[
            ("metric %", *(_percent(comparison["metric"][k]) for k in ("surrogate", "ngspice"))),
            ("mean accuracy", *(f"{np.mean(accuracy[k]):.5f}" for k in ("surrogate", "ngspice"))),
            ("worst accuracy", *(f"{np.min(accuracy[k]):.3f}" for k in ("surrogate", "ngspice"))),
        ],
    )
    text = (
        f"{comparison['differ']} of {comparison['predictions']} single predictions differ; the "
        f"largest "
        f"difference of a logit is {comparison['worst_logit_error']:.2g} of the largest logit; "
        f"{int(np.sum(np.asarray(accuracy['surrogate']) != np.asarray(accuracy['ngspice'])))} of "
        f"{comparison['transfers']} transfers differ in accuracy."
    )
    return Section(title="Confirmed in ngspice", items=[Text(text=text), table])


def _trials(record: dict[str, Any]) -> Section:
    rows: Sequence[dict[str, Any]] = record["tried"]
    table = Table(
        caption="Training and validation points, validation transfers; medians over the networks",
        head=("what", "metric %", "best %", "noise-free"),
        rows=[
            (r["what"], _percent(r["metric"]), _percent(r["best"]), f"{r['noise_free']:.3f}")
            for r in rows
        ],
    )
    return Section(title="What was tried", items=[table, *_other_draws()])


def _past(key: str) -> dict[str, Any]:
    return read_toml(HISTORY)[key]


def _history(key: str) -> Text:
    """What an earlier run measured, in its own words, marked as such."""
    past = _past(key)
    text = f"Not measured by this run, but on {past['date']} by {past['source']}: {past['text']}"
    return Text(text=" ".join(text.split()), note=True)


def _other_draws() -> list[Any]:
    """How the recipe was chosen, off the data of this experiment."""
    past = _past("other_draws")
    caption = f"From {past['date']}, not measured by this run: {past['source']}"
    head = ("what", "metric %", "noise-free")
    return [Table(caption=caption, head=head, rows=past["rows"]), _history("other_draws")]
