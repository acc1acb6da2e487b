"""`xbarspice designs`: which encoding and placement of a model suits its devices."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
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
    from xbarspice.deployment.opening import Opened
    from xbarspice.mapping import ArrayConfig
    from xbarspice.training.designs_results import Comparison

__all__ = ["register"]

ChoiceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=V1,V2,...]",
        help="Values to try, such as placement=high,middle or input_range=[-1,1]: input_range, "
        "centring, conductance_range, write_order, x_quantile, x_scale (also by layer: "
        "x_scale={fc1=2}) or a field of \\[mapping]; the usual values of a name alone; repeatable. "
        "Left out: the usual values of all that the model can have.",
    ),
]
RemedyOption = Annotated[
    str | None,
    typer.Option(
        help="What a tester does to every transfer, as of `xbarspice transfer`; it has half of the "
        "inputs, designs are judged on the other half."
    ),
]
MetricOption = Annotated[
    str, typer.Option(help="mean, or consistent (right in 95 % of the transfers).")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice designs net.h5 --inputs x.npz --choice placement --choice "
        "input_range=[-1,1]"
    )(designs)


def designs(
    model: Subject,
    inputs: Inputs = None,
    out: RunFolder = Path("runs/designs"),
    choice: ChoiceOption = None,
    transfers: Annotated[int, typer.Option(help="Transfers of every design.")] = 200,
    metric: MetricOption = "mean",
    engine: Annotated[
        str, typer.Option(help="As of `xbarspice transfer`; ngspice takes minutes a design.")
    ] = "surrogate",
    remedy: RemedyOption = None,
    factory: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: TransferSeed = 0,
    json: Json = False,
) -> None:
    """Compare how a model may stand on arrays, and recommend a design.

    Input range and centring, bias, placement of pairs, conductance range, write order and input
    scales are tried in the same transfers, beside the model as it is mapped; nothing is retrained.
    The errors are those of the configuration's `variability`, else of the deployment, else of
    Drolet et al. 2023. The recommended design is written as design.h5.
    """
    from xbarspice import deployment, engines
    from xbarspice.cli import steps
    from xbarspice.config.card import card_of, keep_card
    from xbarspice.deployment.opening import open_model
    from xbarspice.training import designs_page
    from xbarspice.transfer import errors

    steps.need("jinja2")
    engines.get(engine)
    stated = [_choice(text) for text in choice or []]
    reads = _reads(model)
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=model)
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(model, inputs, run, factory, activation, calibration=calibration)
    variation = errors.variation_of(opened.circuit, run)
    base = _base(opened, variation)
    with run_folder(out) as folder:
        options = {"transfers": transfers, "metric": metric, "engine": engine, "seed": seed}
        comparison, refused = _compare(opened, base, stated, remedy, options, json)
        record = models.about(opened, run) | comparison.record()
        record["refused"] = [*record["refused"], *refused]
        record |= {"variation": errors.describe(variation), "seed": seed, "engine": engine}
        record["title"] = f"Designs of {opened.name}"
        record = steps.name_card(record, run)
        encode = comparison.encode
        if (card := card_of(opened.circuit)) is not None:
            keep_card(comparison.circuit, card)
        deployment.save(
            folder / "design.h5",
            comparison.circuit,
            inputs=tuple(encode.apply(argument) for argument in opened.arguments),
            model=factory,
            notes=(*opened.notes, f"Inputs of this design: {encode.gain:g} x + {encode.offset:g}."),
        )
        (folder / "run.toml").write_text(steps.run_toml(record["config"]), encoding="utf-8")
        (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")
        designs_page.write(record, folder / "report.html")
    rows = dict(designs_page.figures(record)) | {"report": str(out / "report.html")}
    screens.show(record if json else rows, json, "Designs")


def _reads(model: Path) -> tuple[str, ...]:
    """Settings of the base design; ranges come from the inputs, design by design."""
    from xbarspice.config.array_sections import ARRAY
    from xbarspice.deployment.kinds import is_deployment
    from xbarspice.mapping import ArrayConfig

    models.refuse_array(model)
    of_data = ("adc_range", "x_scale", "x_centre", "variation")
    of_array = [f"array.{name}" for name in (*ARRAY, "parameters") if name not in of_data]
    if is_deployment(model):
        return (*of_array, "variability")
    names = [f.name for f in dataclasses.fields(ArrayConfig) if f.name not in (*ARRAY, *of_data)]
    mapping = [f"mapping.{name}" for name in names]
    return (*of_array, *mapping, "convert.fold_batchnorm", "variability")


def _choice(text: str) -> tuple[str, list[Any] | None]:
    """Name and values of a choice; None for the usual ones."""
    name, stated, values = text.partition("=")
    if not stated:
        return name, None
    try:
        of_name = tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        words = values.split(",")
        of_name = words if all(word.isidentifier() for word in words) else []
    if not of_name:
        raise broken_rule(
            "a choice must read NAME=V1,V2,... of words, numbers, lists or tables",
            repr(text),
            "For example placement=high,middle or input_range=[-1,1].",
        )
    return name, of_name


def _base(opened: Opened, variation: Any) -> ArrayConfig:
    """How the model stands on arrays, which must be one way for all layers."""
    from xbarspice.nn.layers import matrices_of

    of_data = {"x_scale": 1.0, "x_centre": 0.0, "adc_range": None, "variation": variation}
    first, *others = (dataclasses.replace(m.config, **of_data) for m in matrices_of(opened.circuit))
    if any(config != first for config in others):
        raise broken_rule(
            "designs are compared of a model whose layers are mapped alike",
            "layers with different configurations",
            "Map the model anew with one configuration.",
        )
    return first


def _compare(
    opened: Opened,
    base: ArrayConfig,
    stated: list[tuple[str, list[Any] | None]],
    remedy: str | None,
    options: dict[str, Any],
    json: bool,
) -> tuple[Comparison, list[str]]:
    """The comparison, and which of the usual choices this model cannot have."""
    from xbarspice.nn import to_torch
    from xbarspice.training.designs import compare_designs
    from xbarspice.training.designs_build import usual_choices

    plain, (x, y, calibration) = to_torch(opened.circuit), _points(opened, remedy, options["seed"])
    _check_layers(opened, plain, base, x)
    usual, refused = usual_choices(plain, base, x)
    choices = _choices(stated, usual, refused) if stated else usual
    total, count = 1 + sum(map(len, choices.values())), itertools.count(1)
    with screens.progress("designs", quiet=json) as report:
        comparison = compare_designs(
            plain,
            base,
            x,
            y,
            choices=choices,
            remedy=remedy,
            calibration=calibration,
            progress=lambda _: report(number := next(count), max(number, total)),
            **options,
        )
    return comparison, [] if stated else [f"{name}: {text}" for name, text in refused.items()]


def _points(opened: Opened, remedy: str | None, seed: int) -> tuple[Any, Any, Any]:
    """Inputs and classes that designs are judged on, and those that a remedy has."""
    from xbarspice.core.seeds import child_rng
    from xbarspice.training.procedures import get
    from xbarspice.training.remedied import check_remedies
    from xbarspice.transfer.budget import judge_of

    if len(opened.arguments) != 1:
        raise broken_rule(
            "designs are compared of a model of one input", len(opened.arguments), "Wrap it."
        )
    (x,), y = opened.arguments, opened.y
    if remedy is None:
        return x, y, None
    check_remedies([get(remedy)], judge_of(opened.circuit, (x,), y)[1])
    order = child_rng(seed, "calibration points").permutation(len(x))
    half, others = order[: len(x) // 2], order[len(x) // 2 :]
    if y is None:
        return x[others], None, (x[half], None)
    return x[others], y[others], (x[half], y[half])


def _check_layers(opened: Opened, plain: Any, base: ArrayConfig, x: Any) -> None:
    """Raise if a layer of the model is left ideal that designs put on arrays."""
    from xbarspice.nn.layers import matrices_of
    from xbarspice.training.designs_build import build

    mapped, in_all = (
        sorted(matrix.name for matrix in matrices_of(circuit))
        for circuit in (opened.circuit, build(plain, base, x, {}).circuit)
    )
    if mapped != in_all:
        raise broken_rule(
            "designs put every layer on arrays",
            f"a model with {len(mapped)} matrices on arrays, {len(in_all)} in all",
            "Map the model anew with no layer left ideal.",
        )


def _choices(
    stated: list[tuple[str, list[Any] | None]], usual: dict[str, list[Any]], refused: dict[str, str]
) -> dict[str, list[Any]]:
    """Values of the choices that were asked for."""
    from xbarspice.training.designs_build import choice_names

    out: dict[str, list[Any]] = {}
    for name, values in stated:
        if values is None and name in choice_names() and name not in usual:
            reasons = [text for where, text in refused.items() if where.startswith(f"{name} =")]
            raise broken_rule(
                f"the choice {name} alone needs usual values that this model can have",
                "; ".join(reasons) or "none",
                f"State them: --choice {name}=...",
            )
        out.setdefault(name, []).extend(usual.get(name, []) if values is None else values)
    return out
