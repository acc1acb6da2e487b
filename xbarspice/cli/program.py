"""`xbarspice program`: write the arrays of a model pulse by pulse, and judge what was reached."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import models, screens
from xbarspice.cli.interrupts import resumable
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    Settings,
    Subject,
)
from xbarspice.cli.runs import run_folder
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xbarspice.config import RunConfig
    from xbarspice.deployment.opening import Circuit, Opened
    from xbarspice.programming.circuits import Blank, Written
    from xbarspice.programming.results import Pulses

__all__ = [
    "ChannelsOption",
    "OrderOption",
    "PulseOption",
    "SchemeOption",
    "StartOption",
    "pulses_of",
    "register",
    "scheme_of",
]


OUT = Path("runs/program")
OutOption = Annotated[
    Path | None,
    typer.Option(help="Run folder to write; runs/program, or runs/program_log with --log."),
]
ChannelsOption = Annotated[
    Path | None,
    typer.Option(
        help="Pads and tester channels, a CSV: line,pad,channel with WL<0>,1,0 and so on."
    ),
]
ArrayOption = Annotated[
    list[str] | None,
    typer.Option(help="Physical array to write, such as fc1[0,0,0]; repeatable; else all."),
]
EngineOption = Annotated[str, typer.Option(help="Who judges the model on what was reached.")]
SchemeOption = Annotated[
    str, typer.Option(help="Unselected lines while writing: v/2, v/3 or floating.")
]
OrderOption = Annotated[
    str,
    typer.Option(
        help="Order of writing: rows, size (largest first), smallest (first) or far (cells)."
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Dynamic model, such as o921c_4k; else that of the arrays.")
]
PassesOption = Annotated[
    int, typer.Option(help="Times that each array is gone through; later ones repair.")
]
PulseOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Pulse setting, e.g. limit_set=1.05; repeatable."),
]
StartOption = Annotated[
    float | None, typer.Option(help="Conductance before, S; else the lowest of the device.")
]
CompensateOption = Annotated[
    bool,
    typer.Option("--compensate", help="Judge reads by what the array as it is then should read."),
]
LogOption = Annotated[
    Path | None,
    typer.Option(help="Log of a tester, .csv or .json: hold it against MODEL, then a plan.json."),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Processes on this machine; one a core if left out.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice program net.h5 --inputs x.npz --device o921c_4k --scheme V/3 "
        "--set mapping.G_min=60e-6 --set mapping.G_max=300e-6\n\n"
        "xbarspice program plan.json --log log.csv"
    )(program)


def program(
    context: typer.Context,
    model: Subject,
    inputs: Inputs = None,
    out: OutOption = None,
    array: ArrayOption = None,
    engine: EngineOption = "surrogate",
    scheme: SchemeOption = "v/2",
    order: OrderOption = "rows",
    device: DeviceOption = None,
    passes: PassesOption = 1,
    pulse: PulseOption = None,
    start: StartOption = None,
    compensate: CompensateOption = False,
    channels: ChannelsOption = None,
    log: LogOption = None,
    workers: WorkersOption = None,
    factory: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Program the arrays of a model by write-verify, with sneak paths and half-select disturbance.

    With --log nothing is simulated: each current that a tester read is held against the one that a
    plan expects at that step, in runs/program_log. The first outside is named (exit 1).

    The plan of every array, and a script for a tester, are written beside the report.

    What was reached is put on the model, judged beside what its weights ask for, and written as a
    deployment. A run that was stopped goes on with the arrays that are left.
    """
    from xbarspice import engines
    from xbarspice.cli import program_log, steps
    from xbarspice.config.card_use import Use

    if log is not None:
        program_log.refuse_beside_log(context)
        program_log.compare_log(model, log, out, json)
    out = out or OUT
    steps.need("jinja2")
    run = steps.configuration(
        config, settings, reads=_reads(model, device), calibration=calibration, mapped=model
    )
    from xbarspice.deployment.opening import open_model
    from xbarspice.programming import Channels
    from xbarspice.programming import circuit_page as programming_page
    from xbarspice.programming import circuits as study
    from xbarspice.programming.drift import table_of
    from xbarspice.programming.plan_files import write_plans
    from xbarspice.programming.records import record_of, save_numbers
    from xbarspice.variability import from_config

    if device is not None:
        run = steps.mark_overridden(run, "array.device")
    procedure = pulses_of(pulse or [])
    options: dict[str, Any] = {"order": order, "passes": passes, "compensate": compensate}
    options |= {"scheme": scheme_of(scheme)}
    engines.get(engine)
    wired = None if channels is None else Channels.load(channels)
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(model, inputs, run, factory, activation)
    circuit = study.with_devices(opened.circuit, device, *_range(model, run))
    blanks = study.blank_arrays(circuit, array or [], start, procedure, options["scheme"])
    work = out.with_name(f"{out.name}.unfinished.h5")
    with resumable(work), run_folder(out) as folder:
        written = _program(blanks, work, procedure, options, workers, json)
        reached = study.put_written(circuit, written)
        with screens.waiting("judging the model", quiet=json):
            judged = study.compare(circuit, reached, opened.arguments, opened.y, engine)
        drifts = table_of(from_config(run.variability))
        record = models.about(opened, run, circuit)
        record |= record_of(written, options, procedure, drifts)
        plans = {"pulses": procedure, "channels": wired, "order": order}
        record["plans"] = write_plans(written, folder / "plans", scheme=options["scheme"], **plans)
        record |= {"model_on_devices": judged, "title": f"Programming of {opened.name}"}
        volts = (-procedure.limit_reset, procedure.limit_set) if device is None else None
        record = steps.name_card(record, run, use=Use(V=volts))
        with screens.waiting("writing the report", quiet=json):
            save_numbers(folder / "program.h5", written)
            (folder / "run.toml").write_text(steps.run_toml(record["config"]), encoding="utf-8")
            (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")
            _deploy(folder / "programmed.h5", reached, opened, factory, record)
            programming_page.write(record, written, folder / "report.html")
    work.unlink()
    screens.show(record if json else _short(record, out), json, "Programmed")


def scheme_of(word: str) -> str:
    """A bias scheme as the library names it; any other word as it is."""
    from xbarspice.programming.array_state import SCHEMES

    names = {name.lower(): name for name in SCHEMES}
    return names.get(word.lower(), word)


def _reads(path: Path, device: str | None) -> tuple[str, ...]:
    """Settings that the command reads; `--device` takes the place of that of the arrays."""
    from xbarspice.config import RunConfig

    array = [f"array.{name}" for name in type(RunConfig().array).model_fields]
    wires = [name for name in array if name not in ("array.device", "array.parameters")]
    reads = [name for name in models.reads_of(path) if device is None or name != "array"]
    more = ("mapping.G_min", "mapping.G_max", *(wires if device is not None else ()))
    return tuple(dict.fromkeys((*reads, *more)))


def _range(path: Path, run: RunConfig) -> tuple[float | None, float | None]:
    """The stated conductance range of a deployment; a model is put into it when it is read."""
    from xbarspice.deployment.kinds import is_deployment

    if not is_deployment(path):
        return None, None
    stated = run.mapping.model_fields_set
    low, high = (
        getattr(run.mapping, name) if name in stated else None for name in ("G_min", "G_max")
    )
    return low, high


def _program(
    blanks: Sequence[Blank],
    work: Path,
    pulses: Pulses,
    options: dict[str, Any],
    workers: int | None,
    json: bool,
) -> list[Written]:
    """All arrays written; a run that was stopped goes on."""
    from xbarspice.programming.circuits import write_arrays

    with screens.progress("programming", quiet=json) as report:
        return write_arrays(
            blanks, work, pulses=pulses, workers=workers, progress=report, **options
        )


def _deploy(
    path: Path, reached: Circuit, opened: Opened, factory: str | None, record: dict[str, Any]
) -> None:
    """The deployment of what was reached."""
    from xbarspice import deployment
    from xbarspice.report.units import error, percent

    note = (
        f"{counted(len(record['arrays']), 'array')} programmed by simulation: {record['scheme']}, "
        f"{percent(record['within_tolerance'])} of {counted(record['devices'], 'device')} "
        f"within {error(record['tolerance'])}."
    )
    deployment.save(
        path, reached, inputs=opened.arguments, model=factory, notes=(*opened.notes, note)
    )


def pulses_of(texts: list[str]) -> Pulses:
    """The procedure with what NAME=VALUE texts say."""
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


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.programming.circuit_page import model_rows, ranges
    from xbarspice.report.units import error, percent, si

    tolerance = f"within {error(record['tolerance'])}"
    shown = record["arrays"][:4]
    drift = [
        f"{array['name']}: {name} {si(values['mean_S'], 'S', 3)} +- {si(values['std_S'], 'S', 3)}"
        for array in shown
        for name, values in array["drift"].items()
    ]
    return {
        "arrays": len(record["arrays"]),
        "devices": record["devices"],
        f"{tolerance} at the end (yield)": percent(record["within_tolerance"]),
        f"{tolerance} when left": percent(record["left_within_tolerance"]),
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
