"""The commands: each parses its arguments, calls the library and prints."""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import xbarspice
from xbarspice.cli import (
    calibrate,
    campaign,
    designs,
    drc,
    exchange,
    lvs,
    models,
    netlist,
    program,
    screens,
    tapeout,
    transfer,
    verification_screen,
    verify,
)
from xbarspice.cli.interrupts import ANEW, Commands, CommandStopped
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    Random,
    RunFolder,
    Seed,
    Settings,
    Subject,
)
from xbarspice.cli.runs import output_file
from xbarspice.core.errors import (
    EngineError,
    KernelsMissingError,
    PackageMissingError,
    StoreError,
    XbarspiceError,
    broken_rule,
    missing_package,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="xbarspice",
    cls=Commands,
    epilog="Exit status: 0 done, 1 a gate failed, 2 wrong usage or input, 3 engine missing or "
    "failed or another error. Start with: xbarspice demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"xbarspice {xbarspice.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Neural networks on passive memristor crossbars, with answers proven against ngspice."""


@app.command(epilog="Example: xbarspice train --out network.npz --seed 3 --set train.hidden=[8]")
def train(
    out: Annotated[Path, typer.Option(help="Network file to write, .npz.")] = Path("network.npz"),
    data_out: Annotated[
        Path | None, typer.Option(help="Also write the test points (x, y), .npz.")
    ] = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Train the half-moons network on an honest split (no test point in the training set)."""
    from xbarspice.cli import steps
    from xbarspice.importers import perceptron
    from xbarspice.training import data
    from xbarspice.training import train as training

    reads = ("seed", "data", "train")
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, seed=seed)
    for path in (out, *([data_out] if data_out else [])):
        output_file(path, ".npz")
    split = data.half_moons(run.data)
    with screens.progress("training", quiet=json) as report:
        trained = training.train_perceptron(split, run.train, seed=run.seed, progress=report)
    perceptron.save(out, trained.network)
    if data_out:
        steps.save_points(data_out, split)
    screens.show(steps.name_card(steps.training_record(trained, out), run), json, "Trained network")


@app.command(
    "map",
    epilog="Examples: xbarspice map model.pt2 --inputs x.npz --out net.h5\n\n"
    "xbarspice map network.npz --set array.R_wl=2 --set layers.'0'.tile_rows=16",
)
def map_(
    network: Annotated[
        Path,
        typer.Argument(
            help="Model: .pt2, .onnx, .safetensors or state_dict with --model; or a perceptron: "
            ".npz, or .pt with a state_dict."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Deployment to write, .h5.")] = Path("net.h5"),
    inputs: Inputs = None,
    model: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Put a trained model on passive arrays, its weights as pairs of devices.

    The deployment holds the whole model; exit 1, and no file, if it does not compute what the
    original does. The ranges of all layers come from --inputs; only a perceptron may be mapped
    without, and has the ranges that are stated.
    """
    from xbarspice.cli import steps

    reads = ("seed", *models.reads_of(network, calibrated=inputs is not None), "variability")
    run = steps.configuration(config, settings, reads=reads, calibration=calibration)
    record = models.map_model(network, out, inputs, run, model, activation, json, calibration)
    screens.show(steps.name_card(record, run), json, "Model on arrays")
    raise typer.Exit(0 if record["passed"] else 1)


@app.command(epilog="Example: xbarspice solve net.h5 --engine ngspice --inputs points.npz")
def solve(
    file: Subject,
    engine: Annotated[
        str, typer.Option(help="surrogate, nodal, ngspice or pyspice.")
    ] = "surrogate",
    out: Annotated[Path | None, typer.Option(help="Write all numbers to this .h5 file.")] = None,
    inputs: Inputs = None,
    random: Random = 20,
    model: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Run inputs through the arrays of a deployment or model with one engine."""
    from xbarspice.cli import steps
    from xbarspice.deployment import refuse_old

    refuse_old(file)
    reads = (*models.reads_of(file, calibrated=inputs is not None), *(() if inputs else ("seed",)))
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=file)
    if out is not None:
        output_file(out, ".h5")
    record = models.solve_model(file, engine, out, inputs, run, model, activation, random, json)
    screens.show(steps.name_card(record, run), json, f"Answers of {engine}")


@app.command(epilog="Example: xbarspice demo --out runs/demo --set array.R_wl=2")
def demo(
    out: RunFolder = Path("runs/demo"),
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """The main job: train, put on one array, write netlists, verify by three engines, report."""
    from xbarspice.cli import steps, verify_job

    steps.need("jinja2")
    run = steps.configuration(
        config,
        settings,
        steps.DEMO,
        reads=verify_job.DEMO_READS,
        calibration=calibration,
        seed=seed,
    )
    record = verify_job.demonstrate(out, run, json)
    verification_screen.show(record, out, json)
    raise typer.Exit(0 if record["passed"] else 1)


@app.command(name="config", epilog="Example: xbarspice config --section train --print > run.toml")
def list_settings(
    section: Annotated[
        list[str] | None, typer.Option(help="Only this section, e.g. array; repeatable.")
    ] = None,
    print_toml: Annotated[
        bool, typer.Option("--print", help="As a commented TOML file for --config.")
    ] = False,
    json: Json = False,
) -> None:
    """List every setting with its values, its default and its meaning."""
    from xbarspice.config import RunConfig, listing

    settings = list(listing.entries(RunConfig))
    names = list(dict.fromkeys(entry.name.rpartition(".")[0] or entry.name for entry in settings))
    for name in section or ():
        if name not in names:
            raise broken_rule(
                f"`--section` must be one of {', '.join(names)}", name, "Leave it out to see all."
            )
    if section:
        settings = [e for e in settings if (e.name.rpartition(".")[0] or e.name) in section]
    if print_toml:
        typer.echo(listing.commented_toml(settings), nl=False)
    else:
        screens.settings(settings, json)


@app.command(epilog="Example: xbarspice doctor --json")
def doctor(calibration: Calibration = None, json: Json = False) -> None:
    """Say what is installed, what is missing and what to do; exit 3 without a golden engine."""
    from xbarspice.cli.doctor import doctor_record

    record = doctor_record()
    if calibration is not None:
        from xbarspice.config.card import CalibrationCard

        record["calibration"] = CalibrationCard.from_toml(calibration).note().text
        row = {"part": "calibration card", "ok": True, "found": record["calibration"]}
        record["findings"].append({**row, "remedy": ""})
    screens.doctor(record, json)
    raise typer.Exit(0 if record["ngspice"]["path"] else 3)


verify.register(app)
transfer.register(app)
designs.register(app)
calibrate.register(app)
campaign.register(app)
program.register(app)
netlist.register(app)
tapeout.register(app)
drc.register(app)
lvs.register(app)
exchange.register(app)


def main() -> None:
    """Entry point: turn errors into one message and an exit status."""
    warnings.showwarning = screens.show_warning
    try:
        _run_command()
    except (CommandStopped, KeyboardInterrupt) as stop:
        _end("Interrupt", str(stop) or ANEW, 130)
    except (EngineError, StoreError, PackageMissingError, KernelsMissingError) as error:
        _end(type(error).__name__, str(error), 3)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if not isinstance(missing, PackageMissingError):
            raise
        _end(type(missing).__name__, str(missing), 3)
    except XbarspiceError as error:
        _end(type(error).__name__, str(error), 2)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # a defect of xbarspice, or of the machine
        _end(type(error).__name__, _keep_traceback(error), 3)


def _run_command() -> None:
    """Run the command. Typer shows wrong usage in a box; with --json it is a record."""
    if "--json" not in sys.argv[1:]:
        app()
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except Exception as error:
        message = getattr(error, "format_message", None)  # of Typer's errors of usage
        if message is None:
            raise
        _end("UsageError", message(), 2)


def _end(kind: str, message: str, status: int) -> NoReturn:
    """Say an error in a sentence, and as JSON where that was asked for; end the process."""
    screens.error(message)
    if "--json" in sys.argv[1:]:
        screens.error_record(kind, message, status)
    sys.exit(status)


def _keep_traceback(error: Exception) -> str:
    """Put the traceback into a file; the message that names it."""
    text = "".join(traceback.format_exception(error))
    first = (str(error).splitlines() or ["no text"])[0][:200]
    words = f"xbarspice met an error that it does not know; {type(error).__name__}: {first}. "
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="xbarspice-error-", suffix=".txt", delete=False
        ) as file:
            file.write(f"xbarspice {xbarspice.__version__}: {' '.join(sys.argv[1:])}\n{text}")
    except OSError:
        return f"{words}The traceback could not be kept:\n{text}"
    return f"{words}The traceback stands in {file.name}; please report it with that file."
