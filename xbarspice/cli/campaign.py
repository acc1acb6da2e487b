"""`xbarspice campaign`: many runs of a model, kept in a file that survives a crash."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Annotated, Any

import typer

from xbarspice import engines
from xbarspice.cli import models, screens
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

__all__ = ["register"]


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
    transfers: Annotated[
        int,
        typer.Option(help="Draws of the transfer errors (as of `xbarspice transfer`); 0: none."),
    ] = 0,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V1,V2,...", help=f"Values in ohm of {', '.join(WIRES)}; repeatable."
        ),
    ] = None,
    inputs: Inputs = None,
    split: Annotated[
        int | None, typer.Option(min=1, help="Points of an item; all of them if left out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an existing file.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume, do failed items again.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; one a core if left out.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="Run on this Dask cluster.")
    ] = None,
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
    from xbarspice.cli import steps
    from xbarspice.cli.transfer import variation_of
    from xbarspice.core.seeds import child_seed
    from xbarspice.transfer import with_variation
    from xbarspice.transfer.study import matrices_of

    given = _sweeps(sweep or [])
    reads = (*_reads(model, given), *(("variability",) if transfers else ()))
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=model)
    run = steps.overruled(run, *(f"array.{name}" for name in given))
    output_file(out, ".h5")
    engines.get(engine)
    with screens.waiting("reading the model", quiet=json):
        opened = models.open_model(model, inputs, run, factory, activation)
    circuit = opened.circuit
    if transfers:
        circuit = with_variation(circuit, variation_of(circuit, run, {}))
        for matrix in matrices_of(circuit):
            matrix.seed = child_seed(seed, matrix.name)
    items = _Items(engine, given, transfers, _parts(opened, split))
    with screens.waiting("packing the model", quiet=json):
        packed = campaigns.CircuitModel.of(circuit, opened.arguments, factory=factory)
    x = [argument.numpy() for argument in opened.arguments]
    function = functools.partial(campaigns.circuit_item, model=packed, x=x, y=opened.y)
    try:
        with screens.progress("campaign", quiet=json) as report:
            done = campaigns.run(
                items, function, out, resume=resume, retry_failed=retry_failed, workers=workers,
                scheduler=scheduler, progress=lambda done, total: report(done, total or 0),
            )  # fmt: skip
    except KeyboardInterrupt:
        screens.error(f"stopped by Ctrl-C; what was done is in {out}, go on with --resume")
        raise typer.Exit(130) from None
    record: dict[str, Any] = {
        **dataclasses.asdict(done),
        "path": str(out),
        "damaged": [*map(str, done.damaged)],
    }
    record["reasons"] = _reasons(campaigns.load(out))
    screens.show(steps.named(record, run), json, "Campaign")


def _reasons(results: Any) -> list[str]:
    counts: dict[str, int] = {}
    for failure in results.failures.values():
        counts[failure.error] = counts.get(failure.error, 0) + 1
    return [f"{count} x {name}" for name, count in counts.items()]


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
                f"a sweep must read NAME=V1,V2,... with a name of {WIRES}", repr(text),
                "For example --sweep R_wl=0,1,2.",
            )  # fmt: skip
    return out


def _reads(path: Path, swept: dict[str, list[float]]) -> tuple[str, ...]:
    """Settings that the command reads, without what is swept."""
    from xbarspice.config import RunConfig

    array = [f"array.{name}" for name in type(RunConfig().array).model_fields if name not in swept]
    return (*(name for name in models.reads_of(path) if name != "array"), *array)


def _parts(opened: models.Opened, split: int | None) -> list[tuple[int, int] | None]:
    """Points of every item."""
    if split is None:
        return [None]
    count = len(opened.arguments[0])
    if opened.model.batch is not None or any(len(a) != count for a in opened.arguments):
        raise broken_rule(
            "points can be split where the model takes any number of them",
            "a model of fixed batch, or arguments of other lengths",
            "Leave --split out.",
        )
    return [(start, min(start + split, count)) for start in range(0, count, split)]


class _Items(Sized):
    """The items of a campaign."""

    def __init__(
        self,
        engine: str,
        sweeps: dict[str, list[float]],
        transfers: int,
        parts: list[tuple[int, int] | None],
    ) -> None:
        if transfers < 0:
            raise broken_rule("`transfers` must be >= 0", transfers, "Use 0 for no errors.")
        self.engine, self.parts = engine, parts
        self.grid = [
            dict(zip(sweeps, values, strict=True)) for values in itertools.product(*sweeps.values())
        ]
        self.transfers: list[int | None] = list(range(transfers)) or [None]

    def __len__(self) -> int:
        return len(self.grid) * len(self.transfers) * len(self.parts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for transfer, wires, points in itertools.product(self.transfers, self.grid, self.parts):
            item = {"engine": self.engine, "transfer": transfer, **wires}
            yield item if points is None else {**item, "points": points}
