"""Section of the digits study, drawn from its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xbarspice.report.content import Section, Table, Text

__all__ = ["errors_text", "other_metric", "readings_text", "section", "wires_text"]


def wires_text(hardware: dict[str, Any]) -> str:
    """Wires of the arrays in words: the segments, and the leads where there are any."""
    ohm = hardware["wires_ohm"]
    if ohm["R_wl"] == ohm["R_bl"] and not ohm["R_driver"] and not ohm["R_sense"]:
        return f"{ohm['R_wl']:g} ohm a wire segment"
    return ", ".join(f"{name} {value:.4g}" for name, value in ohm.items()) + " ohm"


def errors_text(hardware: dict[str, Any]) -> str:
    """Whose error model it is."""
    if hardware["errors"] == "calibration card":
        return "that of the calibration card (read noise drawn once a transfer)"
    return f"that of {hardware['errors']}"


def section(record: dict[str, Any]) -> Section:
    """The section of a record of `digits.reproduce`."""
    plan = record["plan"]
    items: list[Any] = [
        Text(
            text="The 8x8 digits of scikit-learn through 64-32-10 (ReLU) on five arrays of at most "
            f"32x32 with {wires_text(record['hardware'])}; the error model is "
            f"{errors_text(record['hardware'])}, drawn for every array by itself. "
            f"Medians over {len(plan['seeds'])} seeds; lost: accuracy of the network in "
            "software less the mean over the transfers."
        ),
        Table(
            caption="Digits: accuracy over the transfers, test points",
            head=(
                "network",
                "remedy",
                "device",
                "software",
                "arrays, no errors",
                "mean",
                "lost, points of a percent",
                "5 %",
                "worst",
                "metric %",
                "other reading %",
                "transfers",
            ),
            rows=[_line(row) for row in record["rows"]],
            left=(0, 1, 2),
        ),
        Text(
            text="All biases are digital. Ohmic arrays are solved exactly by their effective "
            "matrices. The tester of the bias correction looks at 300 training points. Networks "
            "take their last state and remedies were fixed on validation points. "
            + readings_text(record["rows"])
        ),
    ]
    if "ngspice" in record:
        items.insert(2, Text(text=_confirmation(record["ngspice"])))
    return Section(title="Second case: digits on tiled arrays", items=items)


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    m = row["median"]
    return (
        row["network"],
        row["remedy"],
        row["device"],
        f"{m['software']:.3f}",
        f"{m['noise_free']:.3f}",
        f"{m['mean']:.4f}",
        f"{100 * (m['software'] - m['mean']):.1f}",
        f"{m['low_5_percent']:.3f}",
        f"{m['worst']:.3f}",
        f"{100 * m['metric']:.1f}",
        other_metric(row),
        str(row["transfers"]),
    )


def other_metric(row: dict[str, Any]) -> str:
    """The metric in % with the other reading of the drift table; a dash where it has no part."""
    reading = row.get("other_reading")
    return f"{100 * reading['metric']:.1f}" if reading else "-"


def readings_text(rows: Sequence[dict[str, Any]]) -> str:
    """What the column of the other reading holds."""
    reading = next((row["other_reading"] for row in rows if row.get("other_reading")), None)
    if reading is None:
        return "The drift table of the biasing-scheme effect has no part in these errors."
    tail = next(name for name in ("pooled", "released") if name != reading["tail"])
    return (
        f"The last rows of the drift table of the biasing-scheme effect hold 3 to 28 measured "
        f"drifts, and 17 of 64 devices are read from them. The figures are with that tail as "
        f"{tail}; the column `other reading` holds the metric with it {reading['tail']} (pooled: "
        f"rows of fewer than 30 drifts are mixed with the rows before them), over "
        f"{reading['transfers']} transfers, for the same networks. How the tail is read is a part "
        f"of what the metric leaves open."
    )


def _confirmation(comparison: dict[str, Any]) -> str:
    return (
        f"Confirmed in ngspice: {comparison['transfers']} transfers of the array-trained network, "
        f"all test points: {comparison['differ']} of {comparison['predictions']} single "
        f"predictions differ; the largest difference of a logit is "
        f"{comparison['worst_logit_error']:.2g} of the largest logit."
    )
