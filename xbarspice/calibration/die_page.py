"""The page of a measured die, and of a model on it: the map, the candidates, one recommendation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xbarspice.calibration import die_plots
from xbarspice.calibration.page import subtitle
from xbarspice.core.counts import counted
from xbarspice.core.types import Array
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, config_section
from xbarspice.report.units import error, percent, percent_interval, si

__all__ = ["UNUSED", "points_with_interval", "spread_rows", "write_die"]

UNUSED = {
    "driven": "lines that carry nothing are held at 0 V",
    "floating": "lines that carry nothing are open at both ends",
}


def write_die(record: dict[str, Any], G: Array, stuck: Any, path: Path) -> Path:
    """The page of a measured die.

    Args:
        record: what `report.json` holds: title, stuck, spread, notices, settings, network.
        G: conductances, S, (rows, cols). stuck: -1, 0 or 1, (rows, cols).
        path: the HTML file.
    """
    network = record.get("network_on_die")
    caption = "Measured conductances; crosses: stuck at low ohm, circles: at high ohm."
    if network:
        caption += " Framed: the devices that the recommended lines use."
    items: list[Item] = [
        Plot(
            draw=partial(die_plots.die, G, stuck, choice=network and _choice(network)),
            alt="Map of the measured conductances",
            caption=caption,
            height=4.6 if network else 3.4,
        ),
        Plot(
            draw=partial(die_plots.die_histogram, G, record["thresholds_S"]),
            alt="Histogram of the conductances",
            caption="Conductances, and the range between the thresholds.",
        ),
    ]
    rows = list(spread_rows(record))
    items.append(Table(caption="Devices that are not stuck", head=("", "value"), rows=rows))
    items += [Text(text=f"{text[0].upper()}{text[1:]}.", note=True) for text in record["notices"]]
    sections = [Section(title="The die", items=items), *_network(record)]
    if record["settings"]:
        table = Table(
            caption="As it stands in the file",
            head=("", "value"),
            left=(0, 1),
            rows=[(k, str(v)) for k, v in record["settings"].items()],
        )
        sections.append(Section(title="Measurement", items=[table]))
    return page(
        record["title"],
        [*sections, *card_section(record), *config_section(record)],
        path,
        verdict=_verdict(record, stuck),
        subtitle=subtitle(record),
    )


def _verdict(record: dict[str, Any], stuck: Any) -> Verdict:
    """The accuracy of the model and the lines to take, or how much of the die works."""
    low, high = int((stuck > 0).sum()), int((stuck < 0).sum())
    faults = (
        f"{low + high} of {counted(stuck.size, 'device')} {'is' if low + high == 1 else 'are'} "
        f"stuck: {low} at low ohm, {high} at high ohm."
    )
    network = record.get("network_on_die")
    if not network:
        good = f"{percent(1 - (low + high) / stuck.size)} of the devices work."
        median = record["spread"].get("median_S")
        spread = "" if median is None else f" The median of these is {si(median, 'S')}."
        return Verdict(
            state="none", word="MEASURED", text=f"{good} {faults}", detail=spread.strip()
        )
    choice = _choice(network)["name"]
    draws = network["draws"]
    errors = f"with {counted(draws, 'draw')} of tuning errors" if draws else "without tuning errors"
    return Verdict(
        state="none",
        word="RECOMMENDED",
        text=f"{choice[0].upper()}{choice[1:]}: accuracy "
        f"{points_with_interval(network['accuracy'])} "
        f"of {network['array']} on this die, {percent(network['exact_products'])} with exact "
        "products.",
        detail=f"Simulated on the measured devices {errors}, on points that took no part in the "
        f"choice. {faults}",
    )


SPREAD = {
    "devices": "devices",
    "median_S": "median",
    "mean_S": "mean",
    "std_S": "standard deviation",
    "relative_std": "standard deviation over the mean",
    "min_S": "smallest",
    "max_S": "largest",
}
"""The figures of the spread in words."""


def spread_rows(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts of what is said of the devices that are not stuck.

    Args:
        record: with `spread`.
    """
    for name, value in record["spread"].items():
        if name == "relative_std":
            text = error(value)
        else:
            text = si(value, "S") if name.endswith("_S") else f"{value:g}"
        yield SPREAD.get(name, name), text


def _choice(network: dict[str, Any]) -> dict[str, Any]:
    """The candidate that is recommended."""
    choice: dict[str, Any] = network["candidates"][network["recommended"]]
    return choice


def points_with_interval(share: dict[str, float]) -> str:
    """A share in percent with its interval."""
    return percent_interval(share["value"], share["low"], share["high"])


def _network(record: dict[str, Any]) -> list[Section]:
    network = record.get("network_on_die")
    if not network:
        return []
    choice, draws = _choice(network), network["draws"]
    reason = network["reason"]
    errors = "no tuning errors"
    if draws:
        errors = f"mean over {counted(draws, 'draw')} of the tuning errors"
    items: list[Item] = [
        Text(text=f"Recommended: {choice['name']}. {reason[0].upper()}{reason[1:]}."),
        Table(
            caption=f"Accuracy on the test points; {errors}",
            head=("", "accuracy [95 % interval]"),
            rows=[
                ("exact products", percent(network["exact_products"])),
                ("as the weights ask for", percent(network["on_target"])),
                ("with the measured conductances", percent(network["as_measured"])),
                ("lines as they come", points_with_interval(network["first_accuracy"])),
                (f"recommended: {choice['name']}", points_with_interval(network["accuracy"])),
            ],
        ),
        Table(
            caption="Candidates, on tuning points by which none was picked; the first is kept "
            "unless another gains more than its interval",
            head=("", "on target", "with tuning errors", "gain over the first", "recommended"),
            rows=[
                (
                    c["name"],
                    percent(c["exact"]),
                    points_with_interval(c["accuracy"]),
                    points_with_interval(c["gain"]) if k else "-",
                    "yes" if k == network["recommended"] else "no",
                )
                for k, c in enumerate(network["candidates"])
            ],
        ),
        Text(text=_explain(network, choice), note=True),
    ]
    return [Section(title="The model on this die", items=items)]


def _explain(network: dict[str, Any], choice: dict[str, Any]) -> str:
    rows, cols = network["shape"]
    spare = f" Of the spare lines, {UNUSED[network['unused']]}." if network["unused"] else ""
    return (
        f"{network['array']} takes {counted(rows, 'word line')} and {counted(cols, 'bit line')}. "
        "Word line of each row "
        f"{list(choice['rows'])}; bit line of each column {list(choice['cols'])}.{spare} On "
        "target: stuck devices keep what was measured, and so do those of spare lines; all others "
        "hold what the weights ask for. Partners: the other device of a pair with a stuck one is "
        "tuned to keep the difference. Intervals are 95 %; gains are of the same points and the "
        "same draws, and all of them hold together. The test points took no part in the choice; "
        "one that does worse there than the lines as they come is not recommended."
    )
