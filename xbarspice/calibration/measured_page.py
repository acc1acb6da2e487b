"""Page of a model on measured arrays: what the devices cost it, and their maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.calibration.die_plots import die
from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, card_text, config_section, coverage_section
from xbarspice.report.units import error, percent

if TYPE_CHECKING:
    from xbarspice.calibration.measured import MeasuredArray

__all__ = ["rows", "write"]

DRAWN = 4
"""Arrays whose maps are drawn: those with the most stuck devices."""

Record = dict[str, Any]


def write(record: Record, measured: Sequence[MeasuredArray], path: Path) -> Path:
    """Draw the page.

    Args:
        record: what `report.json` holds.
        measured: the arrays, in the order of the record.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    sections = [*_maps(measured), _cost(record), _arrays(record), coverage_section(record)]
    sections += [*card_section(record), *config_section(record)]
    return page(
        record["title"], sections, path, verdict=_verdict(record), subtitle=card_text(record)
    )


def _verdict(record: Record) -> Verdict:
    """What the measured devices cost the model, and the case that saves most."""
    low, high = (sum(a[f"stuck_{k}_ohm"] for a in record["arrays"]) for k in ("low", "high"))
    cases = record["cases"]
    measured = next(iter(cases.values()))
    best = min(cases, key=lambda name: cases[name]["output_change"])
    if measured["accuracy"]["reached"] is None:
        result = f"The outputs change by {error(measured['output_change'])} as measured"
        saved = f"by {error(cases[best]['output_change'])}"
    else:
        right = measured["accuracy"]
        result = (
            f"Accuracy {percent(right['reached'])} as measured, {percent(right['wanted'])} as the "
            "weights ask for"
        )
        saved = percent(cases[best]["accuracy"]["reached"])
    stuck = f"{counted(low, 'device')} stuck at low ohm, {high} at high ohm"
    return Verdict(
        state="none",
        word="SIMULATED",
        text=f"{result}; {saved} is reached with {best}.",
        detail=f"{counted(record['points'], 'point')} by {record['engine']} on "
        f"{counted(len(record['arrays']), 'measured array')}: {stuck}.",
    )


def rows(record: Record) -> list[tuple[str, str, str, str]]:
    """Case, right points, change of the outputs, and the mean with tuning errors."""
    first = next(iter(record["cases"].values()))["accuracy"]
    out = [
        ("exact products", percent(first["exact"]), "-", "-"),
        ("as the weights ask for", percent(first["wanted"]), "-", "-"),
    ]
    for name, case in record["cases"].items():
        tuned, mean = record["tuned"].get(name), "-"
        if tuned is not None:
            change = f"change {error(tuned['output_change'])}"
            mean = change if tuned["mean"] is None else f"{percent(tuned['mean'])}, {change}"
        right = percent(case["accuracy"]["reached"])
        out.append((name, right, error(case["output_change"]), mean))
    return out


def _cost(record: Record) -> Section:
    head = ("", "right", "change of the outputs", "mean with tuning errors")
    table = Table(
        caption=f"{counted(record['points'], 'point')} by {record['engine']}",
        head=head,
        rows=rows(record),
    )
    text = (
        "Stuck devices keep what was measured. On target: all others hold what the weights ask "
        "for. Partners: the other device of a pair with a stuck one is tuned to keep the "
        "difference, as far as the range allows. Changes are rms over the largest output, from "
        f"those as the weights ask for. Tuning errors: {counted(record['transfers'], 'draw')}."
    )
    return Section(title="What the devices cost", items=[table, Text(text=text)])


def _maps(measured: Sequence[MeasuredArray]) -> list[Section]:
    """The arrays with the most devices that are kept as they are."""
    worst = sorted(measured, key=lambda m: -int(m.kept.sum()))[:DRAWN]
    plots: list[Item] = [
        Plot(
            draw=partial(die, m.die, m.die.stuck(m.limits)),
            alt=f"Map of the measured conductances of {m.array.name}",
            caption=f"{m.array.name}; crosses: stuck at low ohm, circles: at high ohm.",
        )
        for m in worst
    ]
    return [Section(title="Measured conductances", items=plots)] if plots else []


def _arrays(record: Record) -> Section:
    cells = [
        (
            a["name"],
            a["file"],
            f"{a['shape'][0]} x {a['shape'][1]}",
            str(a["stuck_low_ohm"]),
            str(a["stuck_high_ohm"]),
        )
        for a in record["arrays"]
    ]
    head = ("array", "table", "size", "stuck at low ohm", "at high ohm")
    items: list[Item] = [Table(caption="Arrays", head=head, rows=cells, left=(0, 1))]
    notices = {n for a in record["arrays"] for n in a["notices"]}
    items += [Text(text=f"{n[0].upper()}{n[1:]}.", note=True) for n in sorted(notices)]
    return Section(title="Arrays", items=items)
