"""`xbarspice campaign`: many runs of a model, kept in a file that survives a crash."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice import engines
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
    TransferSeed,
)
from xbarspice.cli.runs import output_file
from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import WIRES

if TYPE_CHECKING:
    from xbarspice.campaign.grid import GridItems
    from xbarspice.campaign.items import Function

__all__ = ["register"]


TransfersOption = Annotated[
    int,
    typer.Option(help="Draws of the transfer errors (as of `xbarspice transfer`); 0: none."),
]
SweepOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=V1,V2,...", help=f"Values in ohm of {', '.join(WIRES)}; repeatable."
    ),
]
SplitOption = Annotated[
    int | None, typer.Option(min=1, help="Points of an item; all of them if left out.")
]
RetryFailedOption = Annotated[
    bool, typer.Option("--retry-failed", help="With --resume, do failed items again.")
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Processes on this machine; one a core if left out.")
]
PageOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.html", help="A page that follows the campaign while it runs."),
]
EstimateOption = Annotated[
    bool,
    typer.Option(
        "--estimate",
        help="Only say how long it will take and how much memory, from a probe on this machine.",
    ),
]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="tcp://HOST:PORT", help="Run on this Dask cluster.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice campaign net.h5 --inputs x.npz --out c.h5 --transfers 500 "
        "--sweep R_wl=0,1,2 --resume"
    )(campaign)


def campaign(
    model: Subject,
    out: Annotated[Path, typer.Option(help="Campaign file, .h5.")] = Path("campaign.h5"),
    engine: Annotated[str, typer.Option(help="ngspice, nodal, surrogate or pyspice.")] = "ngspice",
    transfers: TransfersOption = 0,
    sweep: SweepOption = None,
    inputs: Inputs = None,
    split: SplitOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an existing file.")] = False,
    retry_failed: RetryFailedOption = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    page: PageOption = None,
    estimate: EstimateOption = False,
    factory: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: TransferSeed = 0,
    json: Json = False,
) -> None:
    """Run a model for every transfer and every combination of swept wire resistances."""
    from xbarspice import campaign as campaigns
    from xbarspice.campaign import grid
    from xbarspice.cli import steps
    from xbarspice.core.seeds import child_seed
    from xbarspice.deployment.opening import open_model
    from xbarspice.deployment.settings import circuit_settings
    from xbarspice.nn.layers import matrices_of
    from xbarspice.transfer import with_variation
    from xbarspice.transfer.errors import variation_of

    swept = _sweeps(sweep or [])
    reads = (*_reads(model, swept), *(("variability",) if transfers else ()))
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=model)
    run = steps.mark_overridden(run, *(f"array.{name}" for name in swept))
    output_file(out, ".h5")
    engines.get(engine)
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(model, inputs, run, factory, activation)
    circuit = opened.circuit
    if transfers:
        circuit = with_variation(circuit, variation_of(circuit, run))
        for matrix in matrices_of(circuit):
            matrix.seed = child_seed(seed, matrix.name)
    parts = grid.split_points(opened.arguments, split, opened.model.batch)
    items = grid.GridItems(engine, swept, transfers, parts)
    with screens.waiting("packing the model", quiet=json):
        packed = campaigns.CircuitModel.of(circuit, opened.arguments, factory=factory)
    x = [argument.numpy() for argument in opened.arguments]
    function = functools.partial(campaigns.circuit_item, model=packed, x=x, y=opened.y)
    if estimate:
        _estimate(items, function, workers, scheduler, json)
        return
    with resumable(out, "go on with --resume"), screens.progress("campaign", quiet=json) as report:
        summary = campaigns.run(
            items,
            function,
            out,
            resume=resume,
            retry_failed=retry_failed,
            workers=workers,
            scheduler=scheduler,
            page=page,
            progress=lambda count, total: report(count, total or 0),
        )
    record: dict[str, Any] = {
        **dataclasses.asdict(summary),
        "path": str(out),
        "damaged": [*map(str, summary.damaged)],
    }
    record["reasons"] = grid.count_failures(campaigns.load(out))
    values = circuit_settings(circuit, run)
    screens.show(steps.name_card(record, run, values), json, "Campaign")


def _estimate(
    items: GridItems, function: Function, workers: int | None, scheduler: str | None, json: bool
) -> None:
    from xbarspice.campaign.estimates import estimate_circuits

    if scheduler is not None or workers == 0:
        raise broken_rule(
            "an estimate is of one or more workers on this machine, where its probe runs",
            f"workers {workers}, scheduler {scheduler}",
            "Leave --scheduler out, or run one item on the cluster.",
        )
    with screens.waiting("probing this machine", quiet=json):
        expected, costs = estimate_circuits(items, function, workers=workers)
    record = {
        "items": len(items),
        "workers": costs.workers,
        "seconds": expected.seconds,
        "seconds_between": [expected.low, expected.high],
        "cpu_seconds": expected.cpu_seconds,
        "memory_of_workers_MiB": expected.memory / 2**20,
        "probe_seconds": costs.seconds,
        "cpus_that_the_probe_got": costs.cpus,
    }
    screens.show(record, json, "Estimate, if the machine stays as busy as it is")


def _sweeps(texts: list[str]) -> dict[str, list[float]]:
    out = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            out[name] = [float(value) for value in values.split(",")]
        except ValueError:
            out[name] = []
        if name not in WIRES or not out[name]:
            raise broken_rule(
                f"a sweep must read NAME=V1,V2,... with a name of {WIRES}",
                repr(text),
                "For example --sweep R_wl=0,1,2.",
            )
    return out


def _reads(path: Path, swept: dict[str, list[float]]) -> tuple[str, ...]:
    """Settings that the command reads, without what is swept."""
    from xbarspice.config import RunConfig

    array = [f"array.{name}" for name in type(RunConfig().array).model_fields if name not in swept]
    return (*(name for name in models.reads_of(path) if name != "array"), *array)
