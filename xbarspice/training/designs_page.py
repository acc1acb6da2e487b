"""Page of compared designs: what each choice wins, the recommended design, and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.report.content import Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, card_text, config_section, coverage_section
from xbarspice.training import plots
from xbarspice.transfer.intervals import INTERVALS
from xbarspice.transfer.page import interval_text, metric_text

__all__ = ["figures", "write"]

Record = dict[str, Any]


def write(record: Record, path: Path) -> Path:
    """Draw the page of compared designs.

    Args:
        record: what `report.json` holds: `Comparison.record()` and what is said of the model.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    verdict = Verdict(
        state="none", word=_word(record), text=_sentence(record), detail=_definition(record)
    )
    sections = [_effects(record), _recommended(record), *_refused(record)]
    sections.append(coverage_section(record))
    sections += [*card_section(record), *config_section(record)]
    return page(record["title"], sections, path, verdict=verdict, subtitle=card_text(record))


def _words(choices: Record) -> str:
    return ", ".join(f"{name} {value}" for name, value in choices.items()) or "the base"


def _word(record: Record) -> str:
    if not record["recommended"]:
        return "BASE KEPT"
    return "RECOMMENDED" if record["confirmed"] else "NOT CONFIRMED"


def _sentence(record: Record) -> str:
    base = interval_text(record["base"], of=record)
    if not record["recommended"]:
        return f"The base: metric {base}; no choice that was tried is shown to win."
    choices = _words(record["recommended"])
    words, gain = f"{choices[0].upper()}{choices[1:]}", interval_text(record["gain"], of=record)
    if record["confirmed"]:
        return f"{words}: wins {gain} in fresh transfers over the base of {base}."
    return (
        f"{words}: won in the transfers that chose it; in fresh ones its gain over the base of "
        f"{base} is {gain}, which may be none."
    )


def _definition(record: Record) -> str:
    """What the metric is, and what it was judged on."""
    return (
        f"Simulated. Metric: {metric_text(record)}; judged: {record['judged']}, "
        f"{counted(record['transfers'], 'transfer')} of {counted(record['points'], 'point')} for "
        "every design."
    )


def figures(record: Record) -> Iterator[tuple[str, str]]:
    """The figures of a comparison as rows of text."""
    yield "metric", metric_text(record)
    yield "judged", record["judged"]
    yield "transfers x points", f"{record['transfers']} x {record['points']}"
    if record["remedy"]:
        yield "remedy in every transfer", record["remedy"]
    yield "base [95 % interval]", interval_text(record["base"], of=record)
    yield "recommended", _words(record["recommended"])
    if record["recommended"]:
        yield (
            "won by it in fresh transfers [95 % interval]",
            interval_text(record["gain"], of=record),
        )
    gain, offset = record["encode"]["gain"], record["encode"]["offset"]
    if (gain, offset) != (1.0, 0.0):
        yield "its inputs", f"{gain:.6g} x + {offset:.6g}"
    for part in record["parts"]:
        yield (
            f"{part['choice']} {part['value']} beside the others",
            interval_text(part["gain"], of=record),
        )


def _recommended(record: Record) -> Section:
    table = Table(caption="Figures", head=("", "value"), rows=list(figures(record)), left=(0, 1))
    text = (
        "Every choice was tried alone beside the base, then the best were joined as long as one "
        "more won. Choices that win only together may be missed. Intervals are of paired "
        f"differences, {INTERVALS}, and not corrected for the number of "
        "choices; those of the recommended design are of transfers that chose nothing, and of the "
        "same points. Errors of "
        f"the devices: {record['variation']}; seed {record['seed']}."
    )
    return Section(title="Recommended design", items=[table, Text(text=text, note=True)])


def _effects(record: Record) -> Section:
    rows = [
        (
            effect["choice"],
            str(record["base_values"][effect["choice"]]),
            str(effect["value"]),
            interval_text(effect["gain"], of=record),
            "yes" if effect["same_devices"] else "no",
        )
        for effect in record["effects"]
    ]
    table = Table(
        caption="Each choice alone beside the base [95 % interval]",
        head=("choice", "base", "value", "won", "same random numbers"),
        rows=rows,
        left=(0, 1, 2),
    )
    trained = (
        "Every design was trained once before it was judged; the intervals do not hold how "
        "training runs differ."
    )
    same = "The same function in all rows, none of them retrained."
    text = f"Metric: {metric_text(record)}. {trained if record['trained'] else same}"
    bars = Plot(
        draw=partial(plots.designs, record),
        alt="Bars of what each choice wins over the base",
        caption="What each choice wins over the base, with 95 % intervals; below, the recommended "
        "design in fresh transfers.",
        width=5.2,
        height=plots.designs_height(record),
    )
    return Section(title="What each choice does", items=[bars, table, Text(text=text)])


def _refused(record: Record) -> list[Section]:
    if not record["refused"]:
        return []
    rows = [(text,) for text in record["refused"]]
    table = Table(caption="Not built", head=("choice and reason",), rows=rows, left=(0,))
    return [Section(title="What this model cannot have", items=[table])]
