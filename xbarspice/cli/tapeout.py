"""The command `tapeout`: what the circuit designer and the test engineer take away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import Activation, Calibration, Config, Json, Mapped, Random, Settings
from xbarspice.cli.runs import run_folder
from xbarspice.errors import broken_rule

__all__ = ["register", "tapeout"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: xbarspice tapeout mapped.h5 --out tapeout --technology demo")(
        tapeout
    )


def tapeout(
    mapped: Mapped,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("tapeout"),
    technology: Annotated[
        str, typer.Option(help="'demo' (fictitious), or a technology TOML file.")
    ] = "demo",
    dialect: Annotated[
        list[str] | None, typer.Option(help="Netlist dialect; repeatable; all by default.")
    ] = None,
    form: Annotated[
        str, typer.Option(help="Devices as subcircuit, verilog_a or resistor.")
    ] = "subcircuit",
    order: Annotated[str, typer.Option(help="Write order: conductance or row.")] = "conductance",
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", help=".npz with x (and y), or .csv, for benches and accuracy."),
    ] = None,
    random: Random = 10,
    activation: Activation = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name before all cells and models; by default from the content."),
    ] = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    check: Annotated[
        bool, typer.Option("--check", help="Hold a folder written earlier against its manifest.")
    ] = False,
    json: Json = False,
) -> None:
    """Draw the arrays, compare layout and netlists, plan the programming; exit 1 if LVS fails.

    With --check the argument is the folder of an earlier tapeout: nothing is written. Every file
    that changed, is missing or superfluous is named, and every netlist is proven against the mapped
    network in the folder again (exit 1 if something is wrong).
    """
    if check:
        if calibration is not None:
            raise broken_rule(
                "the check holds a folder against its own manifest, which names its card",
                str(calibration), "Leave --calibration out, or write the tapeout anew with it.",
            )  # fmt: skip
        if settings or config is not None:
            raise broken_rule(
                "the check holds a folder against its own manifest, which no setting changes",
                ", ".join(settings or []) or str(config),
                "Leave --set and --config out, or write the tapeout anew with them.",
            )
        _check(mapped, json)
    from xbarspice.cli import steps
    from xbarspice.report import tapeout_page
    from xbarspice.tapeout.flow import add_file, save_manifest
    from xbarspice.tapeout.flow import tapeout as run_tapeout
    from xbarspice.tapeout.technology import load

    steps.need("matplotlib", "jinja2")
    reads = ("mapping", "array", *(() if inputs else ("seed",)))
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=mapped)
    rules = load(technology)
    network = steps.mapped_network(mapped, run, activation)
    x, y = steps.inputs(network.network, inputs, random, run.seed)
    with run_folder(out) as folder:
        values = steps.solved(run, reads, network)
        (folder / "run.toml").write_text(steps.run_toml(values), encoding="utf-8")
        with screens.progress("tapeout", quiet=json) as report:
            record = run_tapeout(
                network, x, folder, rules, y=y, names=dialect, form=form, order=order,
                name=name, progress=report,
            )  # fmt: skip
        if run.calibration is not None:
            record = steps.named(record, run)
            save_manifest(record, folder)
        page = tapeout_page.write(record, folder, folder / "report.html")
        add_file(record, folder, page, "report")
    screens.show(record if json else steps.named(_short(record, out), run), json, "Tapeout")
    raise typer.Exit(0 if record["passed"] else 1)


def _check(folder: Path, json: bool) -> NoReturn:
    """Show what `check_folder` says; the exit status is its verdict."""
    from xbarspice.tapeout.check import check_folder

    found = check_folder(folder)
    said: dict[str, Any] = {
        "folder": str(folder),
        "files": found.files,
        "netlists_compared": found.netlists,
        "passed": found.passed,
        "problems": [{"file": name, "problem": words} for name, words in found.problems],
    }
    if not json:
        said["problems"] = [f"{name} {words}" for name, words in found.problems] or "none"
    screens.show(said, json, "Tapeout check")
    raise typer.Exit(0 if found.passed else 1)


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a person wants to see of the manifest."""
    faults = [f for tile in record["tiles"] for f in tile["lvs"]["faults"]]
    effect = record["effect_of_drawn_wires"]
    return {
        "folder": str(out),
        "files": len(record["files"]),
        "tiles": ["x".join(map(str, t["shape"])) for t in record["tiles"]],
        "LVS": f"clean ({record['tiles'][0]['lvs']['looked_at']})"
        if record["passed"]
        else [f"{f['kind']}: {f['place']}" for f in faults],
        "wires_assumed_ohm": record["wires"]["assumed"],
        "wires_drawn_ohm": record["wires"]["drawn"],
        **({"accuracy": effect["accuracy"]} if effect["accuracy"] else {}),
        "agreement_with_software": effect["agreement_with_software"],
        "predictions_changed": effect["predictions_changed"],
    }
