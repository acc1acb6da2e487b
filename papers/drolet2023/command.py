"""`python -m papers.drolet2023`: the experiment, its report, and its confirmation in ngspice."""

from __future__ import annotations

import json as json_text
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from papers.drolet2023 import digits, experiment, fresh, fresh_report, multiclass, multiclass_report
from papers.drolet2023 import report as pages
from xbarspice.config.card import CalibrationCard
from xbarspice.core.errors import InputError, XbarspiceError, broken_rule

__all__ = ["main", "reproduce"]


def reproduce(
    out: Annotated[Path, typer.Option(help="Folder; an unfinished run in it goes on.")] = Path(
        "runs/reproduce"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Two seeds, a few transfers.")] = False,
    case: Annotated[
        str,
        typer.Option(
            help="fresh (the honest setting, on fresh draws), moons (the paper's protocol), digits "
            "(the larger case), or all."
        ),
    ] = "all",
    engine: Annotated[
        str, typer.Option(help="surrogate, or ngspice to confirm transfers of (c) in it as well.")
    ] = "surrogate",
    confirm: Annotated[
        int | None, typer.Option(help="Transfers that ngspice repeats; 500, or 3 with --quick.")
    ] = None,
    circuit_transfers: Annotated[
        int | None, typer.Option(help="Transfers a network through the circuit; 2000, or 100.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the Markdown report here too.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Card of `xbarspice calibrate`.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Train regular and hardware-aware networks, transfer them thousands of times, and report.

    A calibration card changes the settings that go through the circuit: (c) and the digits. The
    others repeat the published error model.
    """
    if engine not in ("surrogate", "ngspice"):
        raise broken_rule("`--engine` must be surrogate or ngspice", repr(engine), "Use one.")
    if case not in ("all", "fresh", "moons", "digits"):
        raise broken_rule("`--case` must be all, fresh, moons or digits", repr(case), "Use one.")
    number = 0 if engine == "surrogate" else confirm or (3 if quick else 500)
    plan = experiment.Plan.quick(confirm=number) if quick else experiment.Plan.full(confirm=number)
    if circuit_transfers is not None:
        plan = replace(plan, circuit_transfers=circuit_transfers)
    if case == "moons":
        plan = replace(plan, digits=None)
    card = None if calibration is None else CalibrationCard.from_toml(calibration)
    start = time.perf_counter()

    def say(text: str) -> None:
        if not json:
            typer.echo(f"{time.perf_counter() - start:6.0f} s  {text}", err=True)

    record: dict[str, Any] = {}
    if case in ("all", "fresh"):
        record |= _fresh(out, say, card, quick=quick, confirm=number)
    if case == "digits" and plan.digits is not None:
        record |= {"digits": digits.reproduce(out / "digits", plan.digits, say=say, card=card)}
    elif case != "fresh":
        record |= experiment.reproduce(out, plan, say=say, card=card)
    pages.write(record, out, *([markdown] if markdown else []))
    plain = _plain(record)
    (out / "record.json").write_text(json_text.dumps(plain, indent=1), encoding="utf-8")
    quick_run = pages.quick_run(record)
    title = f"Reproduced: {quick_run}" if quick_run else "Reproduced"
    _show(_short(record, out), json, title)


def _fresh(
    out: Path,
    say: Callable[[str], None],
    card: CalibrationCard | None,
    *,
    quick: bool,
    confirm: int,
) -> dict[str, Any]:
    """Records of the fresh draws and of the networks with ten classes."""
    plan = fresh.Plan.quick(confirm=confirm) if quick else fresh.Plan(confirm=confirm)
    classes = multiclass.Plan.quick() if quick else multiclass.Plan()
    return {
        "fresh_draws": fresh.reproduce(out / "fresh", plan, say=say, card=card),
        "multiclass": multiclass.reproduce(out / "multiclass", classes, say=say),
    }


def _show(rows: dict[str, Any], as_json: bool, title: str) -> None:
    """The figures as JSON, or line by line."""
    if as_json:
        typer.echo(json_text.dumps(rows, indent=1))
        return
    shown = {name: text for name, text in rows.items() if name != "run"}  # the title says it
    width = max(len(name) for name in shown)
    typer.echo("\n".join([title, *(f"  {name:{width}}  {text}" for name, text in shown.items())]))


def _other_reading(row: dict[str, Any]) -> str:
    reading = row.get("other_reading")
    return (
        f", {100 * reading['metric']:.1f} % with the drift table {reading['tail']}"
        if reading
        else ""
    )


def _plain(value: Any) -> Any:
    """Arrays as lists, for JSON."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    less = pages.quick_run(record)
    rows = {"run": less} if less else {}
    for row in record.get("rows", []):
        name = f"({row['setting']}) {row['recipe']}" + (f" + {row['remedy']}" * bool(row["remedy"]))
        middle = row["median"]
        rows[name] = (
            f"{100 * middle['metric']:.1f} %{_other_reading(row)} "
            f"(noise-free {middle['noise_free']:.3f}, "
            f"mean {middle['mean']:.3f})"
        )
    if "fresh_draws" in record:
        rows |= fresh_report.short(record["fresh_draws"])
        rows |= multiclass_report.short(record["multiclass"])
    second = record.get("digits", {})
    for row in second.get("rows", []):
        middle = row["median"]
        rows[f"digits: {row['network']}, {row['remedy']}, {row['device']}"] = (
            f"mean {middle['mean']:.4f} (software {middle['software']:.4f})"
        )
    for what, comparison in (
        ("ngspice", record.get("ngspice")),
        ("ngspice, digits", second.get("ngspice")),
    ):
        if comparison:
            rows[what] = (
                f"{comparison['differ']} of {comparison['predictions']} predictions differ "
                f"({comparison['transfers']} transfers)"
            )
    with_hardware = (record, second, record.get("fresh_draws", {}))
    card = next(part for part in with_hardware if "hardware" in part)["hardware"]["calibration"]
    named = {"calibration": card} if card else {}
    return {**rows, **named, "report": str(out / "report.html")}


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
