"""`xbarspice transfer`: how a network fares over thousands of transfers onto imperfect arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Json,
    Mapped,
    Settings,
    TransferSeed,
)
from xbarspice.cli.runs import output_file
from xbarspice.errors import broken_rule

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: xbarspice transfer network.npz --inputs points.npz")(transfer)


def transfer(
    mapped: Mapped,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help=".npz with x and y, or .csv, one point a row.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="HDF5 file of all transfers; an unfinished one goes on.")
    ] = None,
    transfers: Annotated[int, typer.Option(help="Number of transfers.")] = 2000,
    engine: Annotated[
        str, typer.Option(help="ideal (no circuit), matrix (linear), surrogate, nodal or ngspice.")
    ] = "surrogate",
    rate_lrs: Annotated[
        float | None, typer.Option(help="Share of devices stuck at low ohm; else 0.005.")
    ] = None,
    rate_hrs: Annotated[
        float | None, typer.Option(help="Share of devices stuck at high ohm; else 0.002.")
    ] = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: TransferSeed = 0,
    json: Json = False,
) -> None:
    """Transfer a network many times with the error model of Drolet et al. 2023 (TiO2 devices)."""
    from xbarspice.cli import steps
    from xbarspice.studies import data
    from xbarspice.studies.transfer import transfer as study
    from xbarspice.variability import drolet_2023, other_reading
    from xbarspice.variability.bse import tail_of

    reads = ("mapping", "variability", *(() if inputs else steps.TEST_SET))
    reads += () if engine == "ideal" else ("array",)
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=mapped)
    if out is not None:
        output_file(out, ".h5")
    network = steps.mapped_network(mapped, run, activation)
    if inputs is None and network.network.sizes[0] == 2 and network.network.sizes[-1] == 1:
        split = data.half_moons(run.data)
        x, y = split.x_test, split.y_test
    else:
        x, y = steps.inputs(network.network, inputs, 0, run.seed)
    if y is None:
        raise broken_rule("a transfer study needs classes", "points without y", "Add `y`.")
    given = {"rate_lrs": rate_lrs, "rate_hrs": rate_hrs}
    rates: dict[str, Any] = {name: rate for name, rate in given.items() if rate is not None}
    if rates and run.variability:
        raise broken_rule(
            "the variability of a card or configuration has its own rates of stuck devices",
            ", ".join(f"{name} = {rate:g}" for name, rate in rates.items()),
            "Leave the rates out, or set the term `saf` of the variability.",
        )  # fmt: skip
    variation = steps.variation(run, drolet_2023(**rates))
    with screens.progress("transfers", quiet=json) as report:
        found = study(
            network, x, y, variation=variation,
            transfers=transfers, seed=seed, engine=engine, path=out, progress=report,
        )  # fmt: skip
    record = found.summary()
    if (other := other_reading(variation)) is not None:
        with screens.progress("other reading of drifts", quiet=json) as report:
            second = study(
                network, x, y, variation=other, transfers=transfers, seed=seed, engine=engine,
                path=None if out is None else out.with_name(f"{out.stem}-other-reading.h5"),
                progress=report,
            )  # fmt: skip
        tails = [tail_of(variation), tail_of(other)]
        record |= {"drift_table": tails[0], f"metric_{tails[1]}_drift_table": second.metric()}
    screens.show(steps.named(record, run), json, "Transfer study")
