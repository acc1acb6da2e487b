"""What the page of a fit draws, with captions."""

from __future__ import annotations

from functools import partial

import numpy as np

from xbarspice.calibration import fit_plots
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.fit_plots import EDGE, standard_residuals
from xbarspice.calibration.robust import CUT
from xbarspice.report.content import Item, Plot

__all__ = ["figures_of"]


def figures_of(fit: Fit, unit: str) -> list[Item]:
    """The figures, for the page.

    Args:
        fit: any fit; held-out points are shown apart.
        unit: of its values.
    """
    residual = standard_residuals(fit)
    tests = "; ".join(f"{c.name}: p = {c.p:.2g}" for c in fit.checks) or "none was possible"
    far = int((np.abs(residual) > CUT).sum())
    beyond = f" Arrow heads: beyond {EDGE:g}." if (np.abs(residual) > EDGE).any() else ""
    return [
        Plot(
            draw=partial(fit_plots.fit, fit, unit),
            alt="Model against measured values",
            caption="Model against data.",
        ),
        Plot(
            draw=partial(fit_plots.residuals, fit, over="voltage"),
            alt="Residuals over voltage",
            caption="Residuals over voltage: a curve here is a curve that the model lacks."
            + beyond,
        ),
        Plot(
            draw=partial(fit_plots.residuals, fit, over="order"),
            alt="Residuals in the order of measurement",
            caption="Residuals in the order of measurement: a slope or a step is drift or a range "
            f"switch.{beyond}",
        ),
        Plot(
            draw=partial(fit_plots.residual_quantiles, fit),
            alt="Normal quantiles of the residuals",
            caption=f"Residuals over those of a normal distribution: {far} of {len(residual)} lie "
            f"beyond {CUT:g} robust standard deviations.{beyond} Lack of fit ({tests}).",
        ),
    ]
