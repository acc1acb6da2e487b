"""`xbarspice campaign`: many solves of a network, kept in a file that survives a crash."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Inputs,
    Json,
    Mapped,
    Random,
    Settings,
    TransferSeed,
)
from xbarspice.cli.runs import output_file
from xbarspice.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.mapping import MappedNetwork
    from xbarspice.variability import Variation

__all__ = ["register"]

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice campaign mapped.h5 --out c.h5 --transfers 500 "
        "--sweep R_wl=0,1,2 --resume"
    )(campaign)


def campaign(
    mapped: Mapped,
    out: Annotated[Path, typer.Option(help="Campaign file, .h5.")] = Path("campaign.h5"),
    engine: Annotated[str, typer.Option(help="ngspice, nodal, surrogate or pyspice.")] = "ngspice",
    transfers: Annotated[
        int, typer.Option(help="Draws of the transfer errors of Drolet et al. 2023; 0: none.")
    ] = 0,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V1,V2,...", help=f"Values in ohm of {', '.join(WIRES)}; repeatable."
        ),
    ] = None,
    inputs: Inputs = None,
    random: Random = 20,
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
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: TransferSeed = 0,
    json: Json = False,
) -> None:
    """Solve a network for every transfer and every combination of swept wire resistances."""
    from xbarspice.cli import steps
    from xbarspice.studies import campaign as campaigns
    from xbarspice.variability import drolet_2023

    given = _sweeps(sweep or [])
    wires = tuple(f"array.{name}" for name in WIRES if name not in given)
    reads = ("mapping", *wires, "array.device", "array.parameters")
    reads += (() if inputs else ("seed",)) + (("variability",) if transfers else ())
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=mapped)
    run = steps.overruled(run, *(f"array.{name}" for name in given))
    output_file(out, ".h5")
    network = steps.mapped_network(mapped, run, activation)
    x, y = steps.inputs(network.network, inputs, random, run.seed)
    variation = steps.variation(run, drolet_2023())
    items = _Items(network, engine, given, transfers, seed, variation)
    function = functools.partial(campaigns.infer_item, x=x, y=y)
    try:
        with screens.progress("campaign", quiet=json) as report:
            done = campaigns.run(
                items, function, out, resume=resume, retry_failed=retry_failed, workers=workers,
                scheduler=scheduler, progress=lambda done, total: report(done, total or 0),
            )  # fmt: skip
    except KeyboardInterrupt:
        screens.error(f"stopped by Ctrl-C; what was done is in {out}, go on with --resume")
        raise typer.Exit(130) from None
    record = {**dataclasses.asdict(done), "path": str(out), "damaged": [*map(str, done.damaged)]}
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


class _Items(Sized):
    """The items of a campaign, made one by one: each holds a whole network."""

    def __init__(
        self, network: MappedNetwork, engine: str, sweeps: dict[str, list[float]],
        transfers: int, seed: int, variation: Variation,
    ) -> None:  # fmt: skip
        if transfers < 0:
            raise broken_rule("`transfers` must be >= 0", transfers, "Use 0 for no errors.")
        self.network, self.engine, self.sweeps = network, engine, sweeps
        self.grid = [
            dict(zip(sweeps, values, strict=True)) for values in itertools.product(*sweeps.values())
        ]
        self.transfers, self.seed, self.variation = transfers, seed, variation

    def __len__(self) -> int:
        return len(self.grid) * max(self.transfers, 1)

    def _networks(self) -> Iterator[tuple[int | None, MappedNetwork]]:
        if not self.transfers:
            yield None, self.network
            return
        from xbarspice.studies.transfer import conductances

        drawn = conductances(self.network, self.variation, transfers=self.transfers, seed=self.seed)
        for k in range(self.transfers):
            yield k, self.network.with_conductances(tuple(g[k] for g in drawn))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for transfer, network in self._networks():
            for wires in self.grid:
                arrays = tuple(array.replace(**wires) for array in network.arrays)
                yield {
                    "mapped": dataclasses.replace(network, arrays=arrays),
                    "engine": self.engine, "transfer": transfer, **wires,
                }  # fmt: skip
