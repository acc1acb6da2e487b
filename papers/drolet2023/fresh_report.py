"""Section of the study on fresh draws, drawn from its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from papers.drolet2023.digits_report import errors_text, wires_text
from xbarspice.core.files import read_toml
from xbarspice.report.content import Section, Table, Text

__all__ = ["section", "sentence", "short"]


def section(record: dict[str, Any]) -> Section:
    """The section of a record of `fresh.reproduce`."""
    plan, law = record["plan"], record["law"]
    draws = len(plan["draws"])
    items: list[Any] = [
        Text(
            text=f"Every row is one 2-8-1 network on one 8x8 array (64 devices), chosen on "
            f"training and validation points with validation transfers. It is judged on {draws} "
            f"fresh draws of {plan['points']} points, whose numbers stood in the settings before "
            f"they were looked at. Metric: share of the points of a draw that are right in at "
            f"least 95 % of {plan['transfers']} transfers. Medians over the draws, with the least "
            "and the largest; the old 200 test points, which earlier recipes were seen on, stand "
            "beside them for comparison only."
        ),
        Text(
            text="The bias of the output is digital, added after reading, and has no errors, in "
            'every row and in the published experiment. The "bias correction" changes this '
            "digital number after programming; the tester looks at training and validation "
            "points for it."
        ),
        Text(
            text="A nearly linear boundary scores high on the metric by being always right or "
            "always wrong; such rows show it by a noise-free accuracy below 0.9.",
            note=True,
        ),
        Table(
            caption="Half moons, fresh draws, ideal arrays",
            head=(
                "network",
                "inputs",
                "remedy",
                "metric %",
                "least .. most",
                "other reading %",
                "noise-free",
                "mean",
                "200 old points %",
            ),
            rows=[_line(row) for row in record["rows"]],
            left=(0, 1, 2),
        ),
        Text(
            text=f"The bound: the best classifier of the law, which knows the densities, is right "
            f"at {_percent(law['accuracy'])} % of the points (median; {_percent(law['least'])} to "
            f"{_percent(law['most'])} % of a draw), without any device. At "
            f"{_percent(law['undecidable'])} % of the points the less likely class has a "
            f"probability above {_percent(law['probability'])} %: no classifier decides them."
        ),
        Text(text=_readings(record["rows"])),
        *_circuit(record),
    ]
    if "ngspice" in record:
        items.append(_ngspice(record["ngspice"]))
    if not record["less_than_full"]:
        items += _tried()
    return Section(title="The honest setting: fresh draws", items=items)


def _tried() -> list[Any]:
    """How the recipe was chosen, off the draws of the study."""
    past = read_toml(Path(__file__).with_name("history.toml"))["fresh_tried"]
    table = Table(
        caption=f"From {past['date']}, not measured by this run: {past['source']}",
        head=("what", "draw", "metric %", "with bias correction %", "noise-free"),
        rows=past["rows"],
        left=(0, 1),
    )
    return [table, Text(text=" ".join(past["text"].split()), note=True)]


def short(record: dict[str, Any]) -> dict[str, str]:
    """The rows in one line each, for the screen."""
    out = {}
    for row in record["rows"]:
        middle = row["median"]
        name = f"fresh: {row['recipe']}, inputs {row['inputs']}"
        out[name + f" + {row['remedy']}" * bool(row["remedy"])] = (
            f"{_percent(middle['metric'])} % (noise-free {middle['noise_free']:.3f})"
        )
    if "ngspice" in record:
        comparison = record["ngspice"]
        out["fresh: ngspice"] = (
            f"{comparison['differ']} of {comparison['predictions']} predictions differ "
            f"({comparison['transfers']} transfers)"
        )
    return out


def sentence(record: dict[str, Any]) -> str:
    """The best row of ours alone, and the best with the remedy in the loop."""
    ours = [row for row in record["rows"] if row["recipe"].startswith("ours")]
    parts = []
    for words, rows in (
        ("Hardware-aware training alone", [row for row in ours if not row["remedy"]]),
        ("with a remedy in the loop of training", [row for row in ours if "loop" in row["recipe"]]),
    ):
        best = max(rows, key=lambda row: row["median"]["metric"])
        parts.append(
            f"{words}: {_percent(best['median']['metric'])} % of the points of fresh draws are "
            f"right in at least 95 % of the transfers (median over the draws; inputs "
            f"{best['inputs']}), noise-free {best['median']['noise_free']:.3f}"
        )
    text = "; ".join(parts)
    return f"{text}. Each is the best row of its kind on these very draws; all stand below."


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    middle = row["median"]
    metrics = [figures["metric"] for figures in row["by_draw"]]
    other = row.get("other_reading")
    return (
        row["recipe"],
        row["inputs"],
        row["remedy"] or "none",
        _percent(middle["metric"]),
        f"{_percent(min(metrics))} .. {_percent(max(metrics))}",
        _percent(other["metric"]) if other else "",
        f"{middle['noise_free']:.3f}",
        f"{middle['mean']:.3f}",
        _percent(row["test"]["metric"]),
    )


def _readings(rows: list[dict[str, Any]]) -> str:
    others = [row["other_reading"] for row in rows if row.get("other_reading")]
    if not others:
        return "These errors have no second reading of the drift table."
    return (
        "The last rows of the published drift table rest on few devices. Networks are trained and "
        "judged with the table as released; the other reading is the same networks with these "
        f"rows {others[0]['tail']}."
    )


def _circuit(record: dict[str, Any]) -> list[Any]:
    rows = [row for row in record["rows"] if "circuit" in row]
    if not rows:
        return []
    hardware = record["hardware"]
    table = Table(
        caption="The same networks and transfers through the circuit, fewer points",
        head=("network", "inputs", "remedy", "points", "ideal %", "circuit %", "noise-free"),
        rows=[
            (
                row["recipe"],
                row["inputs"],
                row["remedy"] or "none",
                str(row["circuit"]["points"]),
                _percent(row["circuit"]["ideal"]["metric"]),
                _percent(row["circuit"]["circuit"]["metric"]),
                f"{row['circuit']['circuit']['noise_free']:.3f}",
            )
            for row in rows
        ],
        left=(0, 1, 2),
    )
    text = (
        f"The circuit has {wires_text(hardware)} and the device {hardware['device']}, its error "
        f"model is {errors_text(hardware)}, and every vector is solved by the surrogate engine."
    )
    return [table, Text(text=text)]


def _ngspice(comparison: dict[str, Any]) -> Text:
    return Text(
        text=f"Confirmed in ngspice: ours with inputs {comparison['inputs']}, "
        f"{comparison['transfers']} transfers of {comparison['points']} points: "
        f"{comparison['differ']} of {comparison['predictions']} single predictions differ; the "
        f"largest difference of a logit is {comparison['worst_logit_error']:.1e} of the largest "
        "logit."
    )
