"""Options of `xbarspice calibrate` that handle what is seen in the data before a fit."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "Branch",
    "DropCompliance",
    "DropOutliers",
    "Flip",
    "MaxVoltage",
    "MinCurrent",
    "Polarity",
    "RemoveDrift",
]

Branch = Annotated[
    str | None, typer.Option(help="Take one branch of each sweep: up or down (of |V|).")
]
DropCompliance = Annotated[
    bool, typer.Option("--drop-compliance", help="Leave points on compliance plateaus out.")
]
DropOutliers = Annotated[
    bool, typer.Option("--drop-outliers", help="Leave single points off their neighbours out.")
]
RemoveDrift = Annotated[
    bool, typer.Option("--remove-drift", help="Divide by the drift between equal voltages.")
]
Flip = Annotated[
    str | None,
    typer.Option(help="Change the sign of the current at all, positive or negative voltages."),
]
Polarity = Annotated[str | None, typer.Option(help="Take positive or negative voltages alone.")]
MaxVoltage = Annotated[float | None, typer.Option(help="Leave points of larger |V| out, V.")]
MinCurrent = Annotated[float | None, typer.Option(help="Leave points of smaller |I| out, A.")]
