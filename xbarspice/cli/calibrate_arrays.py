"""`xbarspice calibrate arrays`: a model on measured arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import models, screens
from xbarspice.cli.options import (
    Above,
    Activation,
    Below,
    Calibration,
    Config,
    Draws,
    Factory,
    Inputs,
    Json,
    RunFolder,
    Seed,
    Settings,
    Subject,
    Unit,
)
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration.measured import MeasuredArray
    from xbarspice.deployment.opening import Opened

__all__ = ["register"]


MeasuredOption = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=FILE",
        help="Table of resistances or conductances of one array; repeatable. Without names, "
        "one table for every array, in the model's order.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command(
        "arrays",
        epilog="Example: xbarspice calibrate arrays net.h5 --inputs x.npz "
        "--measured 'fc1[0,0,0]=a.csv' --measured 'fc2[0,0,0]=b.csv'",
    )(put_measured)


def put_measured(
    model: Subject,
    measured: MeasuredOption,
    inputs: Inputs = None,
    out: RunFolder = Path("runs/arrays"),
    engine: Annotated[str, typer.Option(help="Who judges the model.")] = "surrogate",
    unit: Unit = None,
    above: Above = 1.1,
    below: Below = 0.9,
    transfers: Draws = 20,
    factory: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Put measured conductances on the arrays of a model: what they cost, and what tuning saves.

    The deployment that is written holds the conductances as they were measured.
    """
    from xbarspice import engines
    from xbarspice.calibration import measured as study
    from xbarspice.calibration import measured_page
    from xbarspice.cli import steps
    from xbarspice.deployment.opening import open_model
    from xbarspice.transfer.errors import variation_of

    steps.need("jinja2")
    reads = (*models.reads_of(model), "seed", "variability")
    run = steps.configuration(
        config, settings, reads=reads, calibration=calibration, mapped=model, seed=seed
    )
    engines.get(engine)
    files = [_parse(text) for text in measured]
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(model, inputs, run, factory, activation)
    circuit = opened.circuit
    dies = study.read_dies(circuit, files, unit=unit, above=above, below=below)
    errors = variation_of(circuit, run)
    with run_folder(out) as folder:
        with screens.progress("forward passes", quiet=json) as report:
            judged = study.judge(
                circuit,
                dies,
                opened.arguments,
                opened.y,
                engine=engine,
                errors=errors,
                transfers=transfers,
                seed=run.seed,
                progress=report,
            )
        record = models.about(opened, run) | judged | {"arrays": [_die(m) for m in dies]}
        record |= {"engine": engine, "title": f"{opened.name} on measured arrays"}
        record = steps.name_card(record, run)
        _save(folder / "measured.h5", opened, dies, factory)
        (folder / "run.toml").write_text(steps.run_toml(record["config"]), encoding="utf-8")
        (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")
        measured_page.write(record, dies, folder / "report.html")
    shown = record if json else _short(record, out)
    screens.show(shown, json, "Measured arrays", names_as_written=True)


def _save(path: Path, opened: Opened, dies: Sequence[MeasuredArray], factory: str | None) -> None:
    """The deployment of the model with the conductances as they were measured."""
    from xbarspice import deployment
    from xbarspice.calibration.measured import on_devices

    circuit = on_devices(opened.circuit, {m.array.name: m.die.G for m in dies})
    note = f"Measured: {', '.join(f'{m.array.name} in {m.file}' for m in dies)}."
    deployment.save(
        path, circuit, inputs=opened.arguments, model=factory, notes=(*opened.notes, note)
    )


def _parse(text: str) -> tuple[str | None, Path]:
    """Name of the array, if it is stated, and the table of one ``[NAME=]FILE``."""
    name, equals, file = text.rpartition("=")
    path = Path(file if equals else text)
    if not path.is_file():
        raise broken_rule(
            "--measured must read NAME=FILE, or FILE", repr(text), "Check the path of the table."
        )
    return (name if equals else None), path


def _die(measured: MeasuredArray) -> dict[str, Any]:
    stuck, present = measured.die.stuck(measured.limits), measured.array.crossbar.G > 0
    return {
        "name": measured.array.name,
        "file": measured.file,
        "shape": list(measured.die.G.shape),
        "unit": measured.die.unit,
        "V_read": measured.die.V_read,
        "stuck_low_ohm": int(((stuck > 0) & present).sum()),
        "stuck_high_ohm": int(((stuck < 0) & present).sum()),
        "notices": list(measured.die.notices),
    }


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.calibration.measured_page import rows

    shown: dict[str, Any] = {
        a["name"]: f"{a['file']}: {a['stuck_low_ohm']} stuck at low ohm, "
        f"{a['stuck_high_ohm']} at high ohm"
        for a in record["arrays"][:10]
    }
    for name, right, change, tuned in rows(record):
        shown[name] = f"right {right}, change {change}, with tuning errors {tuned}"
    return {**shown, "deployment": str(out / "measured.h5"), "report": str(out / "report.html")}
