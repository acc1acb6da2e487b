"""Page of a programming run: figures, maps of errors, drifts and pulses, array by array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.counts import counted
from xbarspice.programming import plots as draw
from xbarspice.programming.ranges import round_range
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, card_text, config_section, coverage_section
from xbarspice.report.units import error, percent, si

if TYPE_CHECKING:
    from xbarspice.programming.circuits import Written

__all__ = ["is_held", "model_rows", "ranges", "remedy", "write"]

DRAWN = 4
"""Arrays whose maps are drawn: those of the least yield."""


def write(record: dict[str, Any], written: Sequence[Written], path: Path) -> Path:
    """Draw the page of a programming run.

    Args:
        record: what `report.json` holds: title, tolerance, total figures, and one entry an array.
        written: each array, in order.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    by_yield = sorted(
        zip(record["arrays"], written, strict=True), key=lambda pair: pair[0]["yield"]
    )
    sections = [_section(entry, one, record) for entry, one in by_yield[:1]]
    sections += [_model(record), _arrays(record)]
    sections += [_section(entry, one, record) for entry, one in by_yield[1:DRAWN]]
    sections += [coverage_section(record), *card_section(record), *config_section(record)]
    return page(
        record["title"], sections, path, verdict=_verdict(record), subtitle=card_text(record)
    )


def _verdict(record: dict[str, Any]) -> Verdict:
    """Yield, what the model makes of it, and what would raise it."""
    share, devices = record["within_tolerance"], counted(record["devices"], "device")
    accuracy = record["model_on_devices"]["accuracy"]
    if accuracy["reached"] is None:
        change = record["model_on_devices"]["output_change"]
        model = f"The outputs of the model change by {error(change)} rms over the largest."
    else:
        model = (
            f"The model's accuracy on them is {percent(accuracy['reached'])}, "
            f"{percent(accuracy['wanted'])} as the weights ask for."
        )
    return Verdict(
        state="none",
        word="SIMULATED",
        text=f"Yield {percent(share)}: so many of {devices} end within "
        f"{error(record['tolerance'])} of their target. {model}",
        detail=remedy(record),
    )


def remedy(record: dict[str, Any]) -> str:
    """What would raise the yield: the largest loss, and the option that is against it.

    Args:
        record: what `report.json` holds.
    """
    share, when_left = record["within_tolerance"], record["left_within_tolerance"]
    if share == 1:
        return "Every device is within the tolerance: nothing is left to gain."
    missed, moved = 1 - when_left, max(when_left - share, 0.0)
    if moved >= missed:
        options = [
            words
            for words, unused in (
                ("--compensate", not record["compensate"]),
                ("--scheme v/3", record["scheme"] == "V/2"),
                ("--passes 2", record["passes"] == 1),
            )
            if unused
        ]
        tried = " or ".join(options) or "a higher G_min, where half-select pulses move less"
        return f"Most are lost to later writes ({percent(moved)} of the devices): try {tried}."
    outside = [a["name"] for a in record["arrays"] if not is_held(a)]
    if outside:
        return (
            f"Most were missed when they were written ({percent(missed)} of the devices), and "
            f"targets of {', '.join(outside[:3])} lie where devices do not hold still: set "
            "mapping.G_min and mapping.G_max to the range that is held."
        )
    return (
        f"Most were missed when they were written ({percent(missed)} of the devices): try more "
        "pulses (--pulse max_pulses=), smaller steps (--pulse step=) or a wider tolerance."
    )


def model_rows(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What the programmed devices do to the model, as rows of text."""
    judged = record["model_on_devices"]
    names = {
        "exact": "accuracy with exact products",
        "wanted": f"accuracy as the weights ask for, by {judged['engine']}",
        "reached": f"accuracy on what was reached, by {judged['engine']}",
    }
    accuracy = judged["accuracy"]
    rows = [(text, percent(accuracy[k])) for k, text in names.items() if accuracy[k] is not None]
    if judged["agreement"] is not None:
        rows.append(("equal decisions of both", percent(judged["agreement"])))
    change = judged["output_change"]
    return [*rows, ("change of the outputs (rms over the largest)", error(change))]


def _model(record: dict[str, Any]) -> Section:
    rows = [("points", str(record["points"])), *model_rows(record)]
    table = Table(caption="The model on these devices", head=("", "value"), rows=rows)
    text = (
        "programmed.h5 is the deployment of what was reached: its arrays hold these conductances "
        "in place of those that the weights ask for."
    )
    items = [table, Text(text=text), *(Text(text=note, note=True) for note in record["notes"])]
    return Section(title="The model", items=items)


def _arrays(record: dict[str, Any]) -> Section:
    rows = [
        (
            a["name"],
            f"{a['shape'][0]} x {a['shape'][1]}",
            percent(a["yield"]),
            percent(a["left_within_tolerance"]),
            f"{a['gave_up']:.0f}",
            error(a["rms_error"]),
            f"{a['mean_pulses']:.1f}",
            si(a["seconds"], "s", 3),
            si(a["energy_J"], "J", 3),
        )
        for a in record["arrays"]
    ]
    head = (
        "array",
        "size",
        "yield",
        "when left",
        "given up",
        "rms error",
        "pulses a device",
        "time on the tester",
        "energy",
    )
    table = Table(caption="All arrays", head=head, rows=rows, collapse=len(rows) > 40)
    items: list[Item] = [table]
    if len(rows) > DRAWN:
        items.append(Text(text=f"Maps are drawn of the {DRAWN} arrays of the least yield."))
    return Section(title="Arrays", items=items)


def _section(entry: dict[str, Any], one: Written, record: dict[str, Any]) -> Section:
    run, (rows, cols) = one.run, entry["shape"]
    name = f"array {entry['name']} ({rows} x {cols}, {entry['device']}, {run.scheme})"
    plots = [
        Plot(
            draw=partial(draw.programming, run, of="error"),
            alt=f"Map of the errors of {name}",
            caption="Error of each final conductance; grey: no device wanted.",
        ),
        Plot(
            draw=partial(draw.programming, run, of="drift"),
            alt=f"Map of the drifts of {name}",
            caption="Drift of each device since it was finished, by the writes that came later.",
        ),
        Plot(
            draw=partial(draw.programming, run, of="pulses"),
            alt=f"Map of the pulses of {name}",
            caption="Write pulses that each device took.",
        ),
    ]
    if one.moving >= 0:
        row, col = divmod(one.moving, cols)
        plots.append(
            Plot(
                draw=partial(draw.victims, run, row, col, moved=one.victims),
                alt=f"Map of who was moved in {name}",
                caption=f"Who was moved while device ({row}, {col}) was written, the write that "
                "moved most.",
            )
        )
    remark = Text(text=_REMARK + _SOURCES[record["drift_table"]], note=True)
    items = [*plots, _figures(entry, record), _drift(entry), remark]
    return Section(title=name[0].upper() + name[1:], items=items)


def ranges(entry: dict[str, Any]) -> str:
    """Where the targets of an array lie, beside the range in which finished devices hold still."""

    def span(pair: Sequence[float]) -> str:
        return f"{si(pair[0], 'S')} to {si(pair[1], 'S')}"

    targets = span(entry["targets_S"])
    if entry["held_S"] is None:
        return f"{targets}; no range holds still under half-select pulses"
    verdict = "inside" if is_held(entry) else "NOT inside"
    held = span(round_range(entry["held_S"]))  # what is printed is what is compared
    return f"{targets}, {verdict} {held}, where finished devices hold still"


def is_held(entry: dict[str, Any]) -> bool:
    """Whether the targets of an array lie in the range in which finished devices hold still."""
    if entry["held_S"] is None:
        return False
    targets, held = entry["targets_S"], round_range(entry["held_S"])
    return bool(held[0] * (1 - 1e-9) <= targets[0] and targets[1] <= held[1] * (1 + 1e-9))


_REMARK = (
    "The model drifts by its own dynamics under half-select voltages. The measured drifts come "
)
_SOURCES = {
    "built-in": "from other dies (Drolet et al. 2023, arXiv:2305.18495), for equal numbers of "
    "later writes.",
    "of the calibration card": "from the drift table of the calibration card, for equal numbers of "
    "later writes.",
}


def _figures(entry: dict[str, Any], record: dict[str, Any]) -> Table:
    within = f"within {error(record['tolerance'])}"
    rows = [
        ("targets", ranges(entry)),
        (f"{within} at the end (yield)", percent(entry["yield"])),
        (f"{within} when left", percent(entry["left_within_tolerance"])),
        ("given up", f"{entry['gave_up']:.0f}"),
        ("largest error", error(entry["worst_error"])),
        ("rms error", error(entry["rms_error"])),
        ("mean pulses a device", f"{entry['mean_pulses']:.1f}"),
        ("time on the tester", si(entry["seconds"], "s", 3)),
        ("energy", si(entry["energy_J"], "J", 3)),
    ]
    return Table(caption="Figures", head=("quantity", "value"), rows=rows)


def _drift(entry: dict[str, Any]) -> Table:
    rows = [
        (name, *(si(values[key], "S", 3) for key in ("mean_S", "std_S", "median_size_S")))
        for name, values in entry["drift"].items()
    ]
    head = ("drift of finished devices", "mean", "standard deviation", "median size")
    return Table(caption="Drift by later writes", head=head, rows=rows)
