"""`xbarspice transfer`: how a model fares over many transfers onto imperfect arrays."""

from __future__ import annotations

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
    RunFolder,
    Settings,
    Subject,
    TransferSeed,
)
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.config import RunConfig
    from xbarspice.deployment.opening import Circuit, Opened
    from xbarspice.transfer import TransferStudy, Workers
    from xbarspice.variability import Variation

__all__ = ["register"]


EngineOption = Annotated[
    str,
    typer.Option(
        help="surrogate, nodal, ngspice or pyspice; matrix (linear devices), or ideal "
        "(no wires either)."
    ),
]
GoldenOption = Annotated[
    int, typer.Option(help="So many of the transfers also go through ngspice.")
]
LayersOption = Annotated[
    int,
    typer.Option(help="For every matrix so many transfers with errors on its arrays alone."),
]
BudgetOption = Annotated[
    int,
    typer.Option(
        help="So many transfers for every source of error: alone, and taken from all others."
    ),
]
RemedyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="While and after programming: write_order, partners, other_lines, tuning_passes (of "
        "devices), sum_offsets, sum_gains (digital, of every sum of a layer), offset, "
        "gain_and_offset, decision_offset (of outputs); several joined by +; repeatable. Fitted "
        "on some of the inputs, judged on the others."
    ),
]
MetricOption = Annotated[
    str,
    typer.Option(
        help="Of --budget and --remedy: mean, or consistent (right in 95 % of the transfers)."
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Processes of this machine that compute the transfers; else none."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Compute the transfers on this Dask cluster."),
]
RateLrsOption = Annotated[
    float | None, typer.Option(help="Share of devices stuck at low ohm; else 0.005.")
]
RateHrsOption = Annotated[
    float | None, typer.Option(help="Share of devices stuck at high ohm; else 0.002.")
]


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
    engine: EngineOption = "surrogate",
    golden: GoldenOption = 0,
    layers: LayersOption = 0,
    budget: BudgetOption = 0,
    remedy: RemedyOption = None,
    metric: MetricOption = "mean",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    rate_lrs: RateLrsOption = None,
    rate_hrs: RateHrsOption = None,
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
    from xbarspice.deployment.opening import open_model
    from xbarspice.training.procedures import get
    from xbarspice.training.remedied import check_remedies
    from xbarspice.transfer import errors, with_variation
    from xbarspice.transfer import page as transfer_page
    from xbarspice.transfer.budget import check_metric, judge_of

    steps.need("jinja2")
    _check_further(budget, remedy or [], metric)
    others = _workers(workers, scheduler, factory)
    reads = (*models.reads_of(model), "variability")
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=model)
    rates = _rates(rate_lrs, rate_hrs, run)
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(model, inputs, run, factory, activation)
    circuit = opened.circuit
    variation = errors.variation_of(circuit, run, **rates)
    whole = with_variation(circuit, variation)
    if budget or remedy:
        judge = judge_of(whole, opened.arguments, opened.y)[1]
        check_metric(metric, judge)
        check_remedies([get(name) for name in remedy or []], judge)
    common: dict[str, Any] = {"seed": seed, "engine": engine, "workers": others}
    options = common | {"transfers": transfers, "golden": golden, "layers": layers}
    further = common | {"metric": metric}
    work = out.with_name(f"{out.name}.unfinished.h5")
    with resumable(work), run_folder(out) as folder:
        study = _study(whole, opened, options, work, out, json)
        otherwise = _read_otherwise(opened, variation, options, json)
        record = study.record() | otherwise | models.about(opened, run)
        record["budget"] = _budget(whole, opened, budget, further, json)
        record["remedies"] = _remedies(whole, opened, remedy or [], transfers, further, json)
        record |= {"variation": errors.describe(variation), "seed": seed}
        record["title"] = f"Transfers of {opened.name}"
        record = steps.name_card(record, run)
        (folder / "run.toml").write_text(steps.run_toml(record["config"]), encoding="utf-8")
        (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")
        transfer_page.write(record, study.by_point, folder / "report.html")
        work.rename(folder / "transfers.h5")  # last: until then the study can go on
    screens.show(record if json else _short(record, out), json, "Transfer study")


def _study(
    circuit: Circuit, opened: Opened, options: dict[str, Any], work: Path, out: Path, json: bool
) -> TransferStudy:
    """The study, which goes on where an earlier one stopped."""
    from xbarspice.transfer import transfer as study

    with screens.progress("transfers", quiet=json) as report:
        return study(
            circuit,
            opened.arguments,
            opened.y,
            **options,
            path=work,
            earlier=out / "transfers.h5",
            progress=report,
        )


def _workers(count: int | None, scheduler: str | None, factory: str | None) -> Workers | None:
    """Other processes that compute the transfers; None for this one."""
    from xbarspice.transfer import Workers

    if count is None and scheduler is None:
        return None
    return Workers(processes=count, scheduler=scheduler, factory=factory)


def _check_further(budget: int, remedies: list[str], metric: str) -> None:
    """Refuse what would only fail after the study."""
    from xbarspice.training.procedures import get
    from xbarspice.transfer.scores import METRICS

    if budget < 0:
        raise broken_rule("`--budget` must be >= 0", budget, "200 transfers are usual.")
    if metric not in METRICS:
        raise broken_rule(f"`--metric` must be one of {METRICS}", metric, "Use one of them.")
    for name in remedies:
        get(name)


def _budget(
    circuit: Circuit, opened: Opened, transfers: int, further: dict[str, Any], json: bool
) -> dict[str, Any] | None:
    """What each source of error costs; None where that was not asked for."""
    from xbarspice.transfer import loss_budget

    if not transfers:
        return None
    with screens.progress("sources of error", quiet=json) as report:
        budget = loss_budget(
            circuit,
            opened.arguments,
            opened.y,
            transfers=transfers,
            progress=report,
            **further,
        )
    return budget.record()


def _remedies(
    circuit: Circuit,
    opened: Opened,
    names: list[str],
    transfers: int,
    further: dict[str, Any],
    json: bool,
) -> list[dict[str, Any]]:
    """What each remedy does to the transfers."""
    from xbarspice.training import study_remedies

    if not names:
        return []
    with screens.progress("remedies", quiet=json) as report:
        mended = study_remedies(
            circuit,
            opened.arguments,
            opened.y,
            remedies=names,
            transfers=transfers,
            progress=report,
            **further,
        )
    return [each.record() for each in mended]


def _read_otherwise(
    opened: Opened, variation: Variation, options: dict[str, Any], json: bool
) -> dict[str, Any]:
    """Figures with the other reading of the drift table, where that plays a part."""
    from xbarspice.transfer import errors
    from xbarspice.variability import other_reading

    if other_reading(variation) is None:
        return {}
    with screens.progress("other reading of drifts", quiet=json) as report:
        return errors.read_otherwise(
            opened.circuit, opened.arguments, opened.y, variation, progress=report, **options
        )


def _rates(lrs: float | None, hrs: float | None, run: RunConfig) -> dict[str, float]:
    options = {"rate_lrs": lrs, "rate_hrs": hrs}
    rates = {name: rate for name, rate in options.items() if rate is not None}
    if rates and run.variability:
        raise broken_rule(
            "the variability of a card or configuration has its own rates of stuck devices",
            ", ".join(f"{name} = {rate:g}" for name, rate in rates.items()),
            "Leave the rates out, or set the term `saf` of the variability.",
        )
    return rates


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.transfer.page import figures

    rows = dict(figures(record))
    for k, text in enumerate(record["notes"], 1):
        rows[f"note {k}"] = text
    return {**rows, "report": str(out / "report.html")}
