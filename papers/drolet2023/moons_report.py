"""Sections of the half moons, drawn from their records."""

from __future__ import annotations

from typing import Any

from papers.drolet2023.judging import CALIBRATION
from xbarspice.report.content import Section, Table, Text

__all__ = ["WORDS", "percent", "published", "section", "sentence", "short", "wires_text"]

WORDS = {
    "": "none",
    "offset": "offset",
    "partners+offset": "partner, offset",
    "decision_offset": "bias correction",
    "partners+decision_offset": "partner, bias correction",
    "partners+tuning_passes+decision_offset": "partner, passes, bias correction",
    "sum_gains": "digital gains",
    "partners+sum_gains": "partner, digital gains",
    "sum_gains+offset": "digital gains, offset",
}
"""Remedies in the words of the tables."""


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f}"


def name_of(row: dict[str, Any]) -> str:
    """The recipe of a row."""
    return row["recipe"] + ", remedy in the loop" * row["loop"]


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
    """The section of a record of `moons.reproduce`."""
    plan, law, hardware = record["plan"], record["law"], record["hardware"]
    draws = len(plan["draws"])
    few = record["rows"][0]["circuit"]["points"]
    items: list[Any] = [
        Text(
            text=f"Every row is one 2-8-1 network on one 8x8 array (64 devices), chosen on "
            f"training and validation points with validation transfers. It is judged on {draws} "
            f"fresh draws of {plan['points']} points, whose numbers stood in the settings before "
            f"they were looked at. Metric: share of the points of a draw that are right in at "
            f"least 95 % of {plan['transfers']} transfers. Medians over the draws, with the least "
            "and the largest; the old 200 test points, which earlier recipes were seen on, stand "
            "beside them for comparison only. All rows have the same transfers; with others a row "
            "moves by about half a point (standard deviation of six sets of 300 transfers of one "
            "network, in the search for the recipe)."
        ),
        Text(
            text="Remedies: the bias correction changes the digital bias of the output after "
            f"programming, by what the programmed array answers for {CALIBRATION} training and "
            "validation points. This bias is added after reading and has no errors, in every row "
            "and in the published experiment. Partner: the other device of a pair with a stuck "
            "device is written so that the pair keeps its difference. Passes: up to five more "
            "passes rewrite the devices whose errors weigh most. Digital gains: every neuron has a "
            "gain and an offset for its sum after reading (nine of each, and no device), fitted by "
            "least squares to the sums without errors for the same points; neurons that are analog "
            "have none. Recipes without draws of errors have none to mend in their loop; with them "
            "a remedy comes after training alone."
        ),
        Text(
            text="A nearly linear boundary scores high on the metric by being always right or "
            "always wrong; such rows show it by a noise-free accuracy below 0.9.",
            note=True,
        ),
        Table(
            caption="Half moons, fresh draws",
            head=(
                "network",
                "inputs",
                "remedy",
                "metric %",
                "least .. most",
                "other reading %",
                "noise-free",
                "mean",
                f"circuit % ({few} points)",
                f"ideal % ({few} points)",
                "200 old points %",
            ),
            rows=[_line(row) for row in record["rows"]],
            left=(0, 1, 2),
        ),
        Text(
            text=f"The bound: the best classifier of the law, which knows the densities, is right "
            f"at {percent(law['accuracy'])} % of the points (median; {percent(law['least'])} to "
            f"{percent(law['most'])} % of a draw), without any device. At "
            f"{percent(law['undecidable'])} % of the points the less likely class has a "
            f"probability above {percent(law['probability'])} %: no classifier decides them."
        ),
        Text(
            text=f"Through the circuit: the same networks and transfers with {wires_text(hardware)}"
            f" and the device {hardware['device']}, every vector solved exactly, on the first "
            f"points of every draw; the same points on ideal arrays stand beside it. The error "
            f"model is {errors_text(hardware)}. {_readings(record['rows'])}"
        ),
    ]
    if "ngspice" in record:
        items.append(ngspice_text(record["ngspice"], f"inputs {record['ngspice']['inputs']}"))
    return Section(title="The honest setting: fresh draws", items=items)


def published(record: dict[str, Any]) -> Section:
    """The section of a record of `published.reproduce`."""
    plan = record["plan"]
    paper = {"regular": "regular", "the paper's techniques": "hardware-aware"}
    table = Table(
        caption="Released protocol and errors, inputs over [0, 1], ideal array",
        head=(
            "network",
            "metric %",
            "least .. most",
            "noise-free",
            "mean",
            "5 %",
            "the paper states %",
        ),
        rows=[
            (
                row["recipe"],
                percent(row["median"]["metric"]),
                _range([seed["metric"] for seed in row["seeds"]]),
                f"{row['median']['noise_free']:.3f}",
                f"{row['median']['mean']:.3f}",
                f"{row['median']['low_5_percent']:.3f}",
                percent(record["paper"][paper[row["recipe"]]]) if row["recipe"] in paper else "",
            )
            for row in record["rows"]
        ],
    )
    text = (
        f"Medians over {len(plan['seeds'])} seeds, {plan['transfers']} transfers, 200 test points, "
        f"of which {record['overlap']} are training points too: these figures are no honest ones "
        "and stand here because the paper's were found so."
    )
    return Section(title="As published, for comparison", items=[table, Text(text=text)])


def ngspice_text(comparison: dict[str, Any], what: str) -> Text:
    """How far ngspice agrees."""
    return Text(
        text=f"Confirmed in ngspice: ours, {what}, {comparison['transfers']} transfers of "
        f"{comparison['points']} points: {comparison['differ']} of {comparison['predictions']} "
        f"single predictions differ; the largest difference of a logit is "
        f"{comparison['worst_logit_error']:.1e} of the largest logit."
    )


def short(record: dict[str, Any]) -> dict[str, str]:
    """The rows of `section` in one line each, for the screen."""
    out = {}
    for row in record["rows"]:
        middle = row["median"]
        name = f"{name_of(row)}, inputs {row['inputs']}"
        name += f" + {WORDS[row['remedy']]}" * bool(row["remedy"])
        circuit = percent(row["circuit"]["circuit"]["metric"])
        out[name] = (
            f"{percent(middle['metric'])} % (noise-free {middle['noise_free']:.3f}; "
            f"{circuit} % of {row['circuit']['points']} points through the circuit)"
        )
    return out


def sentence(record: dict[str, Any]) -> str:
    """The best row of ours alone, and the best with the remedy in the loop."""
    ours = [row for row in record["rows"] if row["recipe"] == "ours"]
    parts = []
    for words, rows in (
        ("Hardware-aware training alone", [row for row in ours if not row["remedy"]]),
        ("with a remedy in the loop of training", [row for row in ours if row["loop"]]),
    ):
        best = max(rows, key=lambda row: row["median"]["metric"])
        by = f" ({WORDS[best['remedy']]})" * bool(best["remedy"])
        parts.append(
            f"{words}{by}: {percent(best['median']['metric'])} % of the points of fresh draws are "
            f"right in at least 95 % of the transfers (median over the draws; inputs "
            f"{best['inputs']}), noise-free {best['median']['noise_free']:.3f}"
        )
    paper = [
        row
        for row in record["rows"]
        if row["recipe"] == "the paper's techniques" and not row["remedy"]
    ]
    best = max(paper, key=lambda row: row["median"]["metric"])
    parts.append(
        f"the paper's techniques alone: {percent(best['median']['metric'])} % (inputs "
        f"{best['inputs']}), noise-free {best['median']['noise_free']:.3f}"
    )
    text = "; ".join(parts)
    return f"{text}. Each is the best row of its kind on these very draws; all stand below."


def _range(values: list[float]) -> str:
    return f"{percent(min(values))} .. {percent(max(values))}"


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    middle, circuit = row["median"], row["circuit"]
    other = row.get("other_reading")
    return (
        name_of(row),
        row["inputs"],
        WORDS[row["remedy"]],
        percent(middle["metric"]),
        _range([figures["metric"] for figures in row["by_draw"]]),
        percent(other["metric"]) if other else "",
        f"{middle['noise_free']:.3f}",
        f"{middle['mean']:.3f}",
        percent(circuit["circuit"]["metric"]),
        percent(circuit["ideal"]["metric"]),
        percent(row["test"]["metric"]),
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
