"""`python -m papers.drolet2023`: the experiment, its report, and its confirmation in ngspice."""

from __future__ import annotations

import json as json_text
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from papers.drolet2023 import digits, digits_report, moons, moons_report, published
from papers.drolet2023 import report as pages
from papers.drolet2023.hardware import Hardware
from papers.drolet2023.kept import Kept
from papers.drolet2023.settings import SETTINGS
from xbarspice.config.card import CalibrationCard
from xbarspice.core.errors import InputError, XbarspiceError, broken_rule

__all__ = ["main", "reproduce"]


def reproduce(
    out: Annotated[Path, typer.Option(help="Folder; an unfinished run in it goes on.")] = Path(
        "runs/reproduce"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Few steps, draws and transfers.")] = False,
    engine: Annotated[
        str, typer.Option(help="surrogate, or ngspice to confirm transfers of ours in it as well.")
    ] = "surrogate",
    confirm: Annotated[
        int | None,
        typer.Option(help="Transfers of the half moons that ngspice repeats; 500, or 3."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the Markdown report here too.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Card of `xbarspice calibrate`.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Train regular and hardware-aware networks, transfer them hundreds of times, and report.

    A calibration card changes wires, device and errors of all but the setting as published.
    """
    if engine not in ("surrogate", "ngspice"):
        raise broken_rule("`--engine` must be surrogate or ngspice", repr(engine), "Use one.")
    number = 0 if engine == "surrogate" else confirm or (3 if quick else 500)
    of_digits = min(number, SETTINGS["digits"]["confirm"])
    card = None if calibration is None else CalibrationCard.from_toml(calibration)
    start = time.perf_counter()

    def say(text: str) -> None:
        if not json:
            typer.echo(f"{time.perf_counter() - start:6.0f} s  {text}", err=True)

    kept = Kept(folder=out / "kept", say=say)
    hardware = {
        part: Hardware.of(card, wire=SETTINGS[part]["wire"], device=SETTINGS[part]["device"])
        for part in ("moons", "digits")
    }
    plans = (
        (moons.Plan.quick(confirm=number), digits.Plan.quick(confirm=of_digits))
        if quick
        else (moons.Plan(confirm=number), digits.Plan(confirm=of_digits))
    )
    try:
        record = {
            "moons": moons.reproduce(kept, hardware["moons"], plans[0]),
            "published": published.reproduce(
                kept, published.Plan.quick() if quick else published.Plan()
            ),
            "digits": digits.reproduce(kept, hardware["digits"], plans[1]),
        }
    except KeyboardInterrupt:
        typer.echo(f"error: stopped by Ctrl-C; {kept.describe()}", err=True)
        raise typer.Exit(130) from None
    pages.write(record, out, *([markdown] if markdown else []))
    (out / "record.json").write_text(json_text.dumps(record, indent=1), encoding="utf-8")
    _show(_short(record, out), json)


def _show(rows: dict[str, str], as_json: bool) -> None:
    """The figures as JSON, or line by line."""
    if as_json:
        typer.echo(json_text.dumps(rows, indent=1))
        return
    title = f"Reproduced: {rows.pop('run')}" if "run" in rows else "Reproduced"
    width = max(len(name) for name in rows)
    typer.echo("\n".join([title, *(f"  {name:{width}}  {text}" for name, text in rows.items())]))


def _short(record: dict[str, Any], out: Path) -> dict[str, str]:
    less = pages.quick_run(record)
    rows = {"run": less} if less else {}
    for row in record["published"]["rows"]:
        middle = row["median"]
        rows[f"as published: {row['recipe']}"] = (
            f"{100 * middle['metric']:.1f} % (noise-free {middle['noise_free']:.3f})"
        )
    rows |= moons_report.short(record["moons"]) | digits_report.short(record["digits"])
    golden = record["digits"]["ngspice"]
    if "ngspice" in record["moons"]:
        golden = [{"model": "2-8-1", **record["moons"]["ngspice"]}, *golden]
    for comparison in golden:
        rows[f"ngspice, {comparison['model']}"] = (
            f"{comparison['differ']} of {comparison['predictions']} predictions differ "
            f"({comparison['transfers']} transfers)"
        )
    card = record["moons"]["hardware"]["calibration"]
    return {**rows, **({"calibration": card} if card else {}), "report": str(out / "report.html")}


def main() -> None:
    """Run the command; an error is one sentence and an exit status: 2 for wrong input, else 3."""
    app = typer.Typer(add_completion=False)
    example = "Example: python -m papers.drolet2023 --quick --engine ngspice"
    app.command(epilog=example)(reproduce)
    try:
        app()
    except XbarspiceError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 3)
