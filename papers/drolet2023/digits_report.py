"""Section of the networks with ten classes, drawn from their record."""

from __future__ import annotations

from typing import Any

from papers.drolet2023.judging import CALIBRATION
from papers.drolet2023.moons_report import WORDS, name_of, ngspice_text, percent, wires_text
from papers.drolet2023.settings import SETTINGS
from xbarspice.report.content import Section, Table, Text

__all__ = ["section", "short"]

DIGITS = SETTINGS["digits"]


def section(record: dict[str, Any]) -> Section:
    """The section of a record of `digits.reproduce`."""
    plan, rows = record["plan"], record["rows"]
    text = (
        f"The 8x8 digits of scikit-learn on arrays of at most {DIGITS['tile']}x{DIGITS['tile']} "
        f"ohmic devices with {wires_text(record['hardware'])}, each array with errors of its own. "
        f"Medians over the splits of the data ({len(plan['splits'])}), {plan['points']} test "
        f"points and {plan['transfers']} transfers each. Mean: accuracy over the transfers, "
        "through the wires. Lost: accuracy of the same network in software less this mean; beside "
        "it the accuracy of the regular network in software, with the same inputs, less this mean. "
        "Metric: share of the points that are right in at least 95 % of the transfers."
    )
    other = record["other_reading"]
    reading = f"The other reading has the drift table {other}. " if other else ""
    note = (
        f"{reading}A network that was trained through wires may be worse in software than on its "
        'arrays, which flatters "lost". The offset moves the digital outputs of every transfer; it '
        f"is fitted on {CALIBRATION} training points, and is the remedy in the loop of training. "
        "All biases are digital and have no errors."
    )
    table = Table(
        caption="Digits, ten classes",
        head=(
            "model",
            "inputs",
            "network",
            "remedy",
            "software",
            "arrays, no errors",
            "mean",
            "lost, points of a percent",
            "to regular",
            "5 %",
            "metric %",
            "ideal arrays: mean",
            "metric %",
            "other reading: mean",
        ),
        rows=[_line(row, _regular(rows, row)) for row in rows],
        left=(0, 1, 2, 3),
    )
    items: list[Any] = [Text(text=text), table, Text(text=note, note=True)]
    for golden in record["ngspice"]:
        items.append(ngspice_text(golden, f"{golden['model']}, inputs {golden['inputs']}"))
    title = "Ten classes: a perceptron and a convolutional network"
    return Section(title=title, items=items)


def short(record: dict[str, Any]) -> dict[str, str]:
    """The rows in one line each, for the screen."""
    return {
        f"digits: {row['model']}, {name_of(row)}, inputs {row['inputs']}, {WORDS[row['remedy']]}": (
            f"mean {row['median']['mean']:.4f}, lost {100 * row['median']['lost']:.1f} points"
        )
        for row in record["rows"]
    }


def _regular(rows: list[dict[str, Any]], row: dict[str, Any]) -> float:
    """Accuracy in software of the regular network of the same model and inputs."""
    same = (row["model"], row["inputs"], "regular")
    return next(
        float(r["median"]["software"])
        for r in rows
        if (r["model"], r["inputs"], r["recipe"]) == same
    )


def _line(row: dict[str, Any], regular: float) -> tuple[str, ...]:
    middle = row["median"]
    return (
        row["model"],
        row["inputs"],
        name_of(row),
        WORDS[row["remedy"]],
        f"{middle['software']:.3f}",
        f"{middle['noise_free']:.3f}",
        f"{middle['mean']:.4f}",
        f"{100 * middle['lost']:.1f}",
        f"{100 * (regular - middle['mean']):.1f}",
        f"{middle['low_5_percent']:.3f}",
        percent(middle["metric"]),
        f"{middle['ideal_mean']:.4f}",
        percent(middle["ideal_metric"]),
        f"{middle['other_mean']:.4f}" if "other_mean" in middle else "",
    )
