"""Section of the networks with ten classes, drawn from their record."""

from __future__ import annotations

from typing import Any

from papers.drolet2023.settings import SETTINGS
from xbarspice.report.content import Section, Table, Text

__all__ = ["section", "short"]

CLASSES = SETTINGS["multiclass"]


def section(record: dict[str, Any]) -> Section:
    """The section of a record of `multiclass.reproduce`."""
    plan, rows = record["plan"], record["rows"]
    text = (
        f"The 8x8 digits of scikit-learn on arrays of at most {CLASSES['tile']}x{CLASSES['tile']} "
        f"ohmic devices with {CLASSES['wire']:g} ohm a wire segment, each array with errors of its "
        f"own. Medians over {len(plan['splits'])} splits of the "
        f"data, {plan['points']} test points and {plan['transfers']} transfers each. Lost: "
        "accuracy of the same network in software less its mean over the transfers; beside it "
        "the accuracy of the regular network in software, with the same inputs, less this mean. "
        "Metric: share of the points that are right in at least 95 % of the transfers."
    )
    note = (
        "A network that was trained through wires may be worse in software than on its arrays, "
        f'which flatters "lost". The remedy, "{CLASSES["remedy"]}", moves the digital outputs of '
        f"every transfer; it is fitted on {CLASSES['calibration']} training points. All biases are "
        "digital and have no errors."
    )
    table = Table(
        caption="Digits, ten classes: accuracy over the transfers",
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
        ),
        rows=[_line(row, _regular(rows, row)) for row in rows],
        left=(0, 1, 2, 3),
    )
    title = "Ten classes: a perceptron and a convolutional network"
    return Section(title=title, items=[Text(text=text), table, Text(text=note, note=True)])


def short(record: dict[str, Any]) -> dict[str, str]:
    """The rows in one line each, for the screen."""
    return {
        f"digits: {row['model']}, {row['recipe']}, inputs {row['inputs']}, {row['remedy']}": (
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
        row["recipe"],
        row["remedy"],
        f"{middle['software']:.3f}",
        f"{middle['noise_free']:.3f}",
        f"{middle['mean']:.4f}",
        f"{100 * middle['lost']:.1f}",
        f"{100 * (regular - middle['mean']):.1f}",
        f"{middle['low_5_percent']:.3f}",
        f"{100 * middle['metric']:.1f}",
    )
