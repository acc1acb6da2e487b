"""`xbarspice program --log`: a tester's log held against the programming plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

__all__ = ["compare_log", "refuse_beside_log"]

OUT = Path("runs/program_log")
TAKEN = {"model", "log", "out", "json"}
"""Parameters of the command that a comparison takes."""


def refuse_beside_log(context: typer.Context) -> None:
    """Refuse options of the simulation; the comparison reads plan and log alone."""
    options = []
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if option.name not in TAKEN and source is not None and source.name == "COMMANDLINE":
            options.append(option.opts[0])
    if options:
        raise broken_rule(
            "a log is held against a plan alone",
            ", ".join(options),
            "Leave these options out: xbarspice program plan.json --log log.csv.",
        )


def compare_log(plan: Path, log: Path, out: Path | None, as_json: bool) -> None:
    """Write report.json and report.html; exit 1 if a read is outside or missing."""
    from xbarspice.cli import steps
    from xbarspice.programming import log_page, tester_log

    steps.need("jinja2")
    if plan.suffix.lower() != ".json":
        raise broken_rule(
            "with --log the model's place is that of a plan", str(plan), "Name a plan.json."
        )
    stored, rows = tester_log.load_plan(plan), tester_log.load_log(log)
    record = {"plan": str(plan), "log": str(log)} | tester_log.compare(stored, rows)
    out = out or OUT
    with run_folder(out) as folder:
        names = {"plan": str(plan.resolve()), "log": str(log.resolve())}
        steps.save_run(folder, names, record)
        log_page.write(record, folder / "report.html")
    shown = record if as_json else _short(record, out)
    screens.show(shown, as_json, "Log against plan")
    raise typer.Exit(0 if record["passed"] else 1)


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.programming.log_page import verdict_text
    from xbarspice.report.units import error

    return {
        "verdict": "PASS" if record["passed"] else "FAIL",
        "compared": verdict_text(record),
        **{
            f"largest deviation ({phase})": error(figures["largest_deviation"])
            for phase, figures in record["phases"].items()
        },
        "report": str(out / "report.html"),
    }
