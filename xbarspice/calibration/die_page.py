"""The page of a measured die, and of a model on it: the map, the candidates, one recommendation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from xbarspice.calibration import die_plots
from xbarspice.calibration.page import subtitle
from xbarspice.core.types import Array
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, config_section
from xbarspice.report.units import si

__all__ = ["UNUSED", "points_with_interval", "write_die"]

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
    low, high = int((stuck > 0).sum()), int((stuck < 0).sum())
    network = record.get("network_on_die")
    text = f"{low} devices stuck at low ohm, {high} at high ohm, of {stuck.size}."
    if network:
        text += f" {network['array']}: {_choice(network)['name']}."
    verdict = Verdict(state="none", word="MEASURED", text=text)
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
    rows = [
        (k.removesuffix("_S").replace("_", " "), si(v, "S") if k.endswith("_S") else f"{v:.4g}")
        for k, v in record["spread"].items()
    ]
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
        verdict=verdict,
        subtitle=subtitle(record),
    )


def _choice(network: dict[str, Any]) -> dict[str, Any]:
    """The candidate that is recommended."""
    choice: dict[str, Any] = network["candidates"][network["recommended"]]
    return choice


def points_with_interval(share: dict[str, float]) -> str:
    """A share in percent with its interval."""
    value, low, high = (100 * share[k] for k in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _network(record: dict[str, Any]) -> list[Section]:
    network = record.get("network_on_die")
    if not network:
        return []
    choice, draws = _choice(network), network["draws"]
    reason = network["reason"]
    errors = f"mean over {draws} draws of the tuning errors" if draws else "no tuning errors"
    items: list[Item] = [
        Text(text=f"Recommended: {choice['name']}. {reason[0].upper()}{reason[1:]}."),
        Table(
            caption=f"Accuracy on the test points; {errors}",
            head=("", "accuracy [95 % interval]"),
            rows=[
                ("exact products", f"{100 * network['exact_products']:.1f} %"),
                ("as the weights ask for", f"{100 * network['on_target']:.1f} %"),
                ("with the measured conductances", f"{100 * network['as_measured']:.1f} %"),
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
                    f"{100 * c['exact']:.1f} %",
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
        f"{network['array']} takes {rows} word lines and {cols} bit lines. Word line of each row "
        f"{list(choice['rows'])}; bit line of each column {list(choice['cols'])}.{spare} On "
        "target: stuck devices keep what was measured, and so do those of spare lines; all others "
        "hold what the weights ask for. Partners: the other device of a pair with a stuck one is "
        "tuned to keep the difference. Intervals are 95 %; gains are of the same points and the "
        "same draws, and all of them hold together. The test points took no part in the choice; "
        "one that does worse there than the lines as they come is not recommended."
    )
