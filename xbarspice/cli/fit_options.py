"""Options of `xbarspice calibrate` that say what is fitted, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration import Options
    from xbarspice.config import RunConfig

__all__ = [
    "Absolute",
    "Bounds",
    "Free",
    "HeldOut",
    "Loss",
    "Relative",
    "bounds_of",
    "fit_options",
    "names_of",
]

Free = Annotated[
    str,
    typer.Option(
        help="What is fitted, comma-separated; device stands for all fields of its curve."
    ),
]
Bounds = Annotated[
    list[str] | None,
    typer.Option("--bound", metavar="NAME=LOW,HIGH", help="Bounds of a parameter; repeatable."),
]
Loss = Annotated[str, typer.Option(help="linear, or soft_l1 or huber against outliers.")]
Relative = Annotated[float, typer.Option(help="Scatter of a measured value, relative.")]
Absolute = Annotated[
    float | None, typer.Option(help="Scatter in A (S for pulses); else 1e-3 of the largest.")
]
HeldOut = Annotated[float, typer.Option(help="Share of the reads that is predicted, not fitted.")]


def names_of(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def bounds_of(texts: list[str] | None) -> dict[str, tuple[float, float]]:
    """(low, high) by parameter."""
    out = {}
    for text in texts or []:
        name, _, values = text.partition("=")
        try:
            low, high = (float(v) for v in values.split(","))
        except ValueError:
            raise broken_rule(
                "a bound must read NAME=LOW,HIGH", repr(text), "For example --bound R_wl=0,20."
            ) from None
        out[name.strip()] = (low, high)
    return out


def fit_options(
    loss: Any, relative: float, absolute: float | None, held_out: float, run: RunConfig
) -> Options:
    """How to fit: these options of the command line, and the seed of the configuration."""
    from xbarspice.calibration import Noise, Options

    noise = Noise(relative=relative, absolute=absolute)
    return Options(noise=noise, loss=loss, held_out=held_out, seed=run.seed)
