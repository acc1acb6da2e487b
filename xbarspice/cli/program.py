"""`xbarspice program`: write the arrays of a model pulse by pulse, and judge what was reached."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import models, screens
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    RunFolder,
    Settings,
    Subject,
)
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xbarspice.config import RunConfig
    from xbarspice.programming.circuits import Blank, Written
    from xbarspice.programming.results import Programmed, Pulses

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice program net.h5 --inputs x.npz --device o921c_4k --scheme V/3 "
        "--set mapping.G_min=60e-6 --set mapping.G_max=300e-6"
    )(program)


def program(
    model: Subject,
    inputs: Inputs = None,
    out: RunFolder = Path("runs/program"),
    array: Annotated[
        list[str] | None,
        typer.Option(help="Physical array to write, such as fc1[0,0,0]; repeatable; else all."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Who judges the model on what was reached.")
    ] = "surrogate",
    scheme: Annotated[
        str, typer.Option(help="Unselected lines while writing: v/2, v/3 or floating.")
    ] = "v/2",
    order: Annotated[
        str, typer.Option(help="Order of writing: rows, size (largest first) or far (cells).")
    ] = "rows",
    device: Annotated[
        str | None, typer.Option(help="Dynamic model, such as o921c_4k; else that of the arrays.")
    ] = None,
    passes: Annotated[
        int, typer.Option(help="Times that each array is gone through; later ones repair.")
    ] = 1,
    pulse: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Pulse setting, e.g. limit_set=1.05; repeatable."),
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Conductance before, S; else the lowest of the device.")
    ] = None,
    compensate: Annotated[
        bool, typer.Option("--compensate", help="Judge reads by what the full array would read.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; one a core if left out.")
    ] = None,
    factory: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Program the arrays of a model by write-verify, with sneak paths and half-select disturbance.

    What was reached is put on the model, judged beside what its weights ask for, and written as a
    deployment. A run that was stopped goes on with the arrays that are left.
    """
    from xbarspice.cli import steps
    from xbarspice.programming import circuit_page as programming_page
    from xbarspice.programming import circuits as study

    steps.need("matplotlib", "jinja2")
    run = steps.configuration(
        config, settings, reads=_reads(model, device), calibration=calibration, mapped=model
    )
    if device is not None:
        run = steps.overruled(run, "array.device")
    procedure = _pulses(pulse or [])
    options: dict[str, Any] = {"order": order, "passes": passes, "compensate": compensate}
    options |= {"scheme": scheme.upper() if scheme.lower() != "floating" else "floating"}
    _check_engine(engine)
    with screens.waiting("reading the model", quiet=json):
        opened = models.open_model(model, inputs, run, factory, activation)
    circuit = study.with_devices(opened.circuit, device, *_range(model, run))
    blanks = study.blank_arrays(circuit, array or [], start, procedure, options["scheme"])
    work = out.with_name(f"{out.name}.unfinished.h5")
    with run_folder(out) as folder:
        written = _written(blanks, work, procedure, options, workers, json)
        reached = study.put_written(circuit, written)
        with screens.waiting("judging the model", quiet=json):
            judged = study.compare(circuit, reached, opened.arguments, opened.y, engine)
        record = models.about(opened, run, circuit) | _record(written, options, procedure)
        record |= {"model_on_devices": judged, "title": f"Programming of {opened.name}"}
        record = steps.named(record, run)
        with screens.waiting("writing the report", quiet=json):
            _write(folder, written, record)
            _deploy(folder / "programmed.h5", reached, opened, factory, record)
            programming_page.write(record, written, folder / "report.html")
    work.unlink()
    screens.show(record if json else _short(record, out), json, "Programmed")


def _reads(path: Path, device: str | None) -> tuple[str, ...]:
    """Settings that the command reads; `--device` takes the place of that of the arrays."""
    from xbarspice.config import RunConfig

    array = [f"array.{name}" for name in type(RunConfig().array).model_fields]
    own = [name for name in array if name not in ("array.device", "array.parameters")]
    reads = [name for name in models.reads_of(path) if device is None or name != "array"]
    more = ("mapping.G_min", "mapping.G_max", *(own if device is not None else ()))
    return tuple(dict.fromkeys((*reads, *more)))


def _check_engine(engine: str) -> None:
    from xbarspice import engines

    engines.get(engine)


def _range(path: Path, run: RunConfig) -> tuple[float | None, float | None]:
    """The stated conductance range of a deployment; a model is put into it when it is read."""
    if not models.is_deployment(path):
        return None, None
    stated = run.mapping.model_fields_set
    low, high = (
        getattr(run.mapping, name) if name in stated else None for name in ("G_min", "G_max")
    )
    return low, high


def _written(
    blanks: Sequence[Blank], work: Path, pulses: Pulses, options: dict[str, Any],
    workers: int | None, json: bool,
) -> list[Written]:  # fmt: skip
    from xbarspice.programming.circuits import write_arrays

    try:
        with screens.progress("programming", quiet=json) as report:
            return write_arrays(
                blanks, work, pulses=pulses, workers=workers, progress=report, **options
            )
    except KeyboardInterrupt:
        screens.error(f"stopped by Ctrl-C; what was done is in {work}, the same command goes on")
        raise typer.Exit(130) from None


def _deploy(
    path: Path, reached: Any, opened: models.Opened, factory: str | None, record: dict[str, Any]
) -> None:
    """The deployment of what was reached."""
    from xbarspice import deployment

    said = (
        f"{len(record['arrays'])} arrays were programmed by simulation: {record['scheme']}, "
        f"{100 * record['within_tolerance']:.1f} % of {record['devices']} devices within "
        f"{100 * record['tolerance']:g} %."
    )
    deployment.save(
        path, reached, inputs=opened.arguments, model=factory, notes=(*opened.notes, said)
    )


def _pulses(texts: list[str]) -> Pulses:
    from xbarspice.programming.results import Pulses

    kinds = {f.name: type(f.default) for f in fields(Pulses)}
    values: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name] = kinds[name](value)
        except (KeyError, ValueError):
            raise broken_rule(
                f"a pulse setting must read NAME=VALUE with a name of {', '.join(kinds)}",
                repr(text),
                "For example --pulse limit_set=1.05.",
            ) from None
    return Pulses(**values)


def _record(written: Sequence[Written], options: dict[str, Any], pulses: Pulses) -> dict[str, Any]:
    from xbarspice.programming.circuits import held_range
    from xbarspice.programming.drift import beside_measured

    arrays, sizes = [], [int(w.run.wanted.sum()) for w in written]
    for one in written:
        crossbar, run = one.blank.crossbar, one.run
        arrays.append(
            {
                "name": one.blank.name,
                "shape": [crossbar.rows, crossbar.cols],
                "device": crossbar.device.name,
                **crossbar.wires,
                "left_within_tolerance": _share_left(run),
                "targets_S": [float(run.target[run.wanted].min()), float(run.target.max())],
                "held_S": held_range(crossbar, pulses, options["scheme"]),
                **run.summary(),
                "drift": beside_measured(run),
            }
        )

    def mean(name: str) -> float:
        return sum(a[name] * n for a, n in zip(arrays, sizes, strict=True)) / sum(sizes)

    return {
        **options,
        "pulses": {f.name: getattr(pulses, f.name) for f in fields(pulses)},
        "devices": sum(sizes),
        "tolerance": pulses.tolerance,
        "within_tolerance": mean("yield"),
        "left_within_tolerance": mean("left_within_tolerance"),
        "mean_pulses": mean("mean_pulses"),
        "gave_up": sum(a["gave_up"] for a in arrays),
        "seconds": sum(a["seconds"] for a in arrays),
        "energy_J": sum(a["energy_J"] for a in arrays),
        "arrays": arrays,
    }


def _share_left(run: Programmed) -> float:
    """Devices whose true conductance was within the tolerance when they were left."""
    wanted = run.wanted
    error = abs(run.finished[wanted] / run.target[wanted] - 1.0)
    return float((error <= run.tolerance).mean())


def _write(folder: Path, written: Sequence[Written], record: dict[str, Any]) -> None:
    from xbarspice.cli import steps
    from xbarspice.core import crossbar_file, hdf5

    tree = {}
    for k, one in enumerate(written):
        run = one.run
        numbers = {f.name: getattr(run, f.name) for f in fields(run) if f.name != "moved"}
        maps = {"error": run.error, "disturb": run.disturb, "victims": one.victims}
        tree[str(k)] = {
            "name": one.blank.name,
            **numbers,
            **maps,
            "moving": one.moving,
            "crossbar": crossbar_file.to_tree(one.blank.crossbar),
        }
    hdf5.write_tree(folder / "program.h5", {"arrays": tree}, "programming")
    (folder / "run.toml").write_text(steps.run_toml(record["config"]), encoding="utf-8")
    (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.programming.circuit_page import model_rows, ranges
    from xbarspice.report.units import si

    tolerance = f"within {100 * record['tolerance']:g} %"
    shown = record["arrays"][:4]
    drift = [
        f"{array['name']}: {name} {si(values['mean_S'], 'S', 3)} +- {si(values['std_S'], 'S', 3)}"
        for array in shown
        for name, values in array["drift"].items()
    ]
    return {
        "arrays": len(record["arrays"]),
        "devices": record["devices"],
        f"{tolerance} at the end (yield)": f"{100 * record['within_tolerance']:.1f} %",
        f"{tolerance} when left": f"{100 * record['left_within_tolerance']:.1f} %",
        "given up (read outside the tolerance)": f"{record['gave_up']:.0f}",
        "mean pulses a device": record["mean_pulses"],
        "time on the tester": si(record["seconds"], "s", 3),
        "energy": si(record["energy_J"], "J", 3),
        **dict(model_rows(record)),
        "drift of finished devices, array": drift,
        "targets, array": [f"{a['name']}: {ranges(a)}" for a in shown],
        **{f"note {k}": text for k, text in enumerate(record["notes"], 1)},
        "deployment": str(out / "programmed.h5"),
        "report": str(out / "report.html"),
    }
