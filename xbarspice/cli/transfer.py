"""`xbarspice transfer`: how a model fares over many transfers onto imperfect arrays."""

from __future__ import annotations

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
    TransferSeed,
)
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.config import RunConfig
    from xbarspice.transfer import TransferStudy
    from xbarspice.variability import Variation

__all__ = ["register", "variation_of"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice transfer net.h5 --inputs x.npz --transfers 500 --golden 2"
    )(transfer)


def transfer(
    model: Subject,
    inputs: Inputs = None,
    out: RunFolder = Path("runs/transfer"),
    transfers: Annotated[int, typer.Option(help="Number of transfers.")] = 2000,
    engine: Annotated[
        str,
        typer.Option(
            help="surrogate, nodal, ngspice or pyspice; matrix (linear devices), or ideal "
            "(no wires either)."
        ),
    ] = "surrogate",
    golden: Annotated[
        int, typer.Option(help="So many of the transfers also go through ngspice.")
    ] = 0,
    layers: Annotated[
        int,
        typer.Option(help="For every matrix so many transfers with errors on its arrays alone."),
    ] = 0,
    rate_lrs: Annotated[
        float | None, typer.Option(help="Share of devices stuck at low ohm; else 0.005.")
    ] = None,
    rate_hrs: Annotated[
        float | None, typer.Option(help="Share of devices stuck at high ohm; else 0.002.")
    ] = None,
    factory: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: TransferSeed = 0,
    json: Json = False,
) -> None:
    """Transfer a model many times and run all inputs each time.

    The errors are those of the configuration's `variability`, else of the deployment, else of
    Drolet et al. 2023 (TiO2 devices). A study that was stopped goes on, a longer one continues the
    shorter one in its run folder.
    """
    from xbarspice.cli import steps
    from xbarspice.transfer import page as transfer_page
    from xbarspice.transfer import with_variation

    steps.need("matplotlib", "jinja2")
    reads = (*models.reads_of(model), "variability")
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=model)
    rates = _rates(rate_lrs, rate_hrs, run)
    with screens.waiting("reading the model", quiet=json):
        opened = models.open_model(model, inputs, run, factory, activation)
    circuit = opened.circuit
    variation = variation_of(circuit, run, rates)
    options = {
        "transfers": transfers, "seed": seed, "engine": engine, "golden": golden, "layers": layers
    }  # fmt: skip
    work = out.with_name(f"{out.name}.unfinished.h5")
    with run_folder(out) as folder:
        study = _studied(
            with_variation(circuit, variation), opened, options, work, out, json, "transfers"
        )
        record = study.record() | _other_reading(circuit, opened, variation, options, json)
        record |= models.about(opened, run) | {"variation": _said(variation), "seed": seed}
        record["title"] = f"Transfers of {opened.name}"
        record = steps.named(record, run)
        work.rename(folder / "transfers.h5")
        (folder / "run.toml").write_text(steps.run_toml(record["config"]), encoding="utf-8")
        (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")
        transfer_page.write(record, study.by_point, folder / "report.html")
    screens.show(record if json else _short(record, out), json, "Transfer study")


def _studied(
    circuit: Any, opened: models.Opened, options: dict[str, Any], work: Path, out: Path,
    json: bool, title: str,
) -> TransferStudy:  # fmt: skip
    from xbarspice.transfer import transfer as study

    try:
        with screens.progress(title, quiet=json) as report:
            return study(
                circuit, opened.arguments, opened.y, **options, path=work,
                earlier=out / "transfers.h5", progress=report,
            )  # fmt: skip
    except KeyboardInterrupt:
        screens.error(f"stopped by Ctrl-C; what was done is in {work}, the same command goes on")
        raise typer.Exit(130) from None


def _rates(lrs: float | None, hrs: float | None, run: RunConfig) -> dict[str, Any]:
    given = {"rate_lrs": lrs, "rate_hrs": hrs}
    rates = {name: rate for name, rate in given.items() if rate is not None}
    if rates and run.variability:
        raise broken_rule(
            "the variability of a card or configuration has its own rates of stuck devices",
            ", ".join(f"{name} = {rate:g}" for name, rate in rates.items()),
            "Leave the rates out, or set the term `saf` of the variability.",
        )
    return rates


def variation_of(circuit: Any, run: RunConfig, rates: dict[str, Any]) -> Variation:
    """Errors of the configuration, else of the deployment, else of Drolet et al. 2023."""
    from xbarspice.nn import crossbar_layers
    from xbarspice.variability import drolet_2023, from_config

    if run.variability:
        return from_config(run.variability)
    own = [
        matrix.config.variation
        for layer in crossbar_layers(circuit).values()
        for matrix in layer.matrices.values()
    ]
    if rates or own[0] is None:
        return drolet_2023(**rates)
    if any(other != own[0] for other in own):
        raise broken_rule(
            "all arrays of a transfer study have the same errors",
            "a deployment whose matrices have different ones",
            "State them: --set 'variability=[{name = \"relative_noise\", sigma = 0.02}]'.",
        )
    return own[0]


def _said(variation: Variation) -> str:
    """A variation in words."""
    from xbarspice.variability import to_config

    terms = to_config(variation)
    return "; ".join(
        " ".join([str(t.pop("name")), *(f"{k}={v}" for k, v in t.items() if v is not None)])
        for t in [dict(term) for term in terms]
    )


def _other_reading(
    circuit: Any, opened: models.Opened, variation: Variation, options: dict[str, Any], json: bool
) -> dict[str, Any]:
    """The metric with the other reading of the drift table, where that plays a part."""
    from xbarspice.transfer import transfer as study
    from xbarspice.transfer import with_variation
    from xbarspice.variability import other_reading
    from xbarspice.variability.bse import tail_of

    other = other_reading(variation)
    if other is None:
        return {}
    with screens.progress("other reading of drifts", quiet=json) as report:
        second = study(
            with_variation(circuit, other), opened.arguments, opened.y,
            **{**options, "golden": 0, "layers": 0}, progress=report,
        )  # fmt: skip
    found = second.record()
    name = tail_of(other)
    out: dict[str, Any] = {"drift_table": tail_of(variation)}
    if "metric" in found:
        out |= {f"{key}_{name}_drift_table": found[key] for key in ("metric", "mean")}
    return out | {f"output_change_{name}_drift_table": found["output_change"]["mean"]}


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.transfer.page import figures

    rows = dict(figures(record))
    for k, text in enumerate(record["notes"], 1):
        rows[f"note {k}"] = text
    return {**rows, "report": str(out / "report.html")}
