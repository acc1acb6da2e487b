"""The options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xbarspice.mapping import activations

__all__ = [
    "Above",
    "Activation",
    "Array",
    "Below",
    "Calibration",
    "Config",
    "Draws",
    "Factory",
    "Inputs",
    "Json",
    "Random",
    "RunFolder",
    "Seed",
    "Settings",
    "Subject",
    "TransferSeed",
    "Unit",
    "Vectors",
]

Subject = Annotated[
    Path,
    typer.Argument(
        help="Model: deployment (.h5), .pt2, .onnx, .safetensors or state_dict with --model; or a "
        "perceptron: .npz, or .pt with a state_dict."
    ),
]
RunFolder = Annotated[Path, typer.Option("--out", help="Run folder to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings, such as a run.toml.")
]
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="Card of `xbarspice calibrate`; goes over --config."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting; repeatable."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random in this run.")]
TransferSeed = Annotated[int, typer.Option(help="Seed of the transfer errors.")]
Activation = Annotated[
    str | None,
    typer.Option(
        help=f"Activation between a perceptron's layers: {', '.join(activations.names())}."
    ),
]
Factory = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FACTORY",
        help="Code that makes the untrained module, for weights without code (.safetensors, "
        "state_dict). It is imported, also from this folder, and run: name only code you trust.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        "--inputs",
        help=".npz with x (and y), of a model with several inputs one array each by name; or .csv "
        "with one point a row, where one column more than the network has inputs is the class, a "
        "whole number from 0.",
    ),
]
Random = Annotated[
    int, typer.Option(min=1, help="Number of random inputs when no --inputs are given.")
]
Array = Annotated[
    list[str] | None,
    typer.Option(
        "--array",
        metavar="NAME",
        help='Array, by its name in the model ("fc1[0,0,1]"); repeatable; all by default.',
    ),
]
Vectors = Annotated[
    int,
    typer.Option(
        min=1, help="Vectors in a test bench, spread over all reads that the inputs cause."
    ),
]
Unit = Annotated[
    str | None, typer.Option(help="ohm, kohm, Mohm, S, mS, uS or nS, if the head says none.")
]
Above = Annotated[
    float, typer.Option(help="Stuck at low ohm: G above so many times mapping.G_max.")
]
Below = Annotated[
    float, typer.Option(help="Stuck at high ohm: G below so many times mapping.G_min.")
]
Draws = Annotated[int, typer.Option(min=0, help="Draws of tuning errors.")]
