"""`xbarspice verify`: judge a model on arrays or one array, with gates and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xbarspice.cli import screens, verification_screen, verify_job
from xbarspice.cli.interrupts import resumable
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    RunFolder,
    Seed,
    Settings,
)
from xbarspice.cli.runs import output_file
from xbarspice.config import RunConfig
from xbarspice.core.errors import broken_rule

__all__ = ["register"]


SubjectOption = Annotated[
    Path | None,
    typer.Argument(
        help="Deployment (.h5); model (.pt2, .onnx; weights with --model); perceptron (.npz, "
        ".pt); or one array: .npz, .h5 or .mat with G in S, and R_wl, R_bl, R_driver, R_sense, "
        "device, V_in, I_out as far as known."
    ),
]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        help="Engine to judge: surrogate, nodal, ngspice, pyspice, or a level (ideal, "
        "linear, float32); repeatable.",
    ),
]
ReferenceOption = Annotated[
    str | None, typer.Option(help="Engine to judge against (default: ngspice).")
]
RandomOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Random inputs, after those of the file; of a perceptron, deployment or array "
        f"that comes with none, {verify_job.RANDOM}.",
    ),
]
WorstCaseOption = Annotated[
    bool,
    typer.Option(
        "--worst-case",
        help="Of a model: also two inputs found by search: furthest from exact products, and "
        "where the engines differ most.",
    ),
]
NodesOption = Annotated[
    bool,
    typer.Option(
        "--nodes", help="Of a model: also compare every device and keep all node voltages."
    ),
]
MapOption = Annotated[
    bool,
    typer.Option(
        "--map",
        help="Instead: sweep \\[sweep] of the configuration and map where each surrogate level "
        "stays near ngspice; a stopped sweep goes on.",
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        help="Of a model: solve by the reference only so many arrays that a share of "
        "--bad-tiles bad ones is met with this confidence; all by default."
    ),
]
BadTilesOption = Annotated[
    float | None, typer.Option("--bad-tiles", help="See --confidence; 0.001 by default.")
]
CornersOption = Annotated[
    bool,
    typer.Option("--corners", help="Of a model: also at the corners; judged at the worst."),
]
WorkOption = Annotated[
    Path | None,
    typer.Option(help="Of a model: folder for the arrays' answers, to go on after a stop."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: xbarspice verify model.pt2 --inputs x.npz --worst-case\n\n"
        "xbarspice verify array.npz --engine surrogate --engine nodal --reference pyspice"
    )(verify)


def verify(
    subject: SubjectOption = None,
    out: RunFolder = Path("runs/verify"),
    engine: EngineOption = None,
    reference: ReferenceOption = None,
    inputs: Inputs = None,
    random: RandomOption = None,
    worst_case: WorstCaseOption = False,
    nodes: NodesOption = False,
    map_: MapOption = False,
    map_out: Annotated[Path, typer.Option("--map-out", help="Trust map to write, .toml.")] = Path(
        "trust_map.toml"
    ),
    model: Factory = None,
    confidence: ConfidenceOption = None,
    bad_tiles: BadTilesOption = None,
    corners: CornersOption = False,
    work: WorkOption = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Verify a model on arrays or one array against a reference; exit 1 if a gate fails."""
    from xbarspice.cli import steps
    from xbarspice.verification.array_file import is_array_file

    steps.need("jinja2")
    stated: dict[str, Any] = {"engines": tuple(engine)} if engine else {}
    stated |= {"reference": reference} if reference else {}

    def configuration(reads: Sequence[str]) -> RunConfig:
        names = [name for name in reads if name not in stated]
        mapped = None if map_ else subject
        run = steps.configuration(
            config, settings, reads=names, calibration=calibration, mapped=mapped, seed=seed
        )
        return run.model_copy(update=stated)

    if map_:
        run = configuration(("seed", "sweep", "verify.trust_error", "reference"))
        return _trust_map(run, map_out, calibration, json)
    if subject is None:
        raise broken_rule(
            "verify needs a model or an array", "no file", "Name it: xbarspice verify net.h5"
        )
    options = {"confidence": confidence, "bad_tiles": bad_tiles, "folder": work}
    options |= {"corners": corners or None, "nodes": nodes or None}
    options = {name: value for name, value in options.items() if value is not None}
    if model is None and is_array_file(subject):
        refused = {"--inputs": inputs, "--worst-case": worst_case, "--activation": activation}
        _refuse(refused | {f"--{name}": value for name, value in options.items()})
        run = configuration(verify_job.ARRAY_READS)
        record = verify_job.verify_array_file(subject, out, run, random, calibration, json)
    else:
        more = random is not None and inputs is not None
        reads = verify_job.model_reads(
            subject, calibrated=inputs is not None, more=more, worst_case=worst_case
        )
        record = verify_job.verify_model(
            subject,
            out,
            inputs,
            configuration(reads),
            options,
            random=random,
            worst_case=worst_case,
            factory=model,
            activation=activation,
            calibration=calibration,
            json=json,
        )
    verification_screen.show(record, out, json)
    raise typer.Exit(0 if record["passed"] else 1)


def _refuse(options: dict[str, Any]) -> None:
    """Refuse options that only models have."""
    names = [name.replace("_", "-") for name, value in options.items() if value]
    if names:
        raise broken_rule(
            "a single array is verified with its own voltages, random ones and probes",
            ", ".join(names).replace("--folder", "--work"),
            "Leave it out; voltages stand in the file as V_in.",
        )


def _trust_map(run: RunConfig, path: Path, calibration: Path | None, quiet: bool) -> None:
    """Sweep, write the map, and show the largest trusted size of every level."""
    import xbarspice
    from xbarspice.verification.trust_sweep import journal_of, sweep

    if calibration is not None:
        raise broken_rule(
            "the trust map sweeps wires and devices of its own, so a card has no place in it",
            str(calibration),
            "Set sweep.R_wire and sweep.devices around the card's values, or leave it out.",
        )
    output_file(path, ".toml")
    with resumable(journal_of(path)), screens.progress("trust map", quiet=quiet) as report:
        result = sweep(
            run.sweep,
            path,
            seed=run.seed,
            reference=run.reference,
            version=xbarspice.__version__,
            progress=report,
        )
    screens.trust_map(result, path, run.verify.trust_error, quiet)
