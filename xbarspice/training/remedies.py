"""Remedies in the loop: what is done to a programmed model so that it answers better.

A remedy corrects the outputs of every draw as a tester would after programming, from what a tester
knows: the answers of the programmed model for calibration points, those that were wanted, and their
classes. It is differentiated as the solution that it is, so that training knows what it will mend.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xbarspice.core.registry import Registry
from xbarspice.nn.corrections import Correction
from xbarspice.training.objectives import margins

__all__ = [
    "Remedy",
    "fit_decision_offset",
    "fit_gain_and_offset",
    "fit_offset",
    "get",
    "names",
    "registry",
]


Remedy = Callable[[Tensor, Tensor, Tensor], Correction]
"""From answers of all draws (draws, points, outputs), those without errors (points, outputs) and
targets (points, ...) of calibration points to the correction of the outputs."""

registry: Registry[Remedy] = Registry("remedy", "Use one.")
"""Remedies by the names that settings have for them."""
names = registry.names


def get(remedy: str | Remedy) -> Remedy:
    """A remedy by its name, or as it is."""
    return registry.get(remedy) if isinstance(remedy, str) else remedy


def fit_offset(answers: Tensor, wanted: Tensor, targets: Tensor) -> Correction:
    """Add to every output what its mean lacks to the wanted one, draw by draw."""
    del targets
    offset = (wanted - answers).mean(dim=1, keepdim=True)
    return Correction(gain=torch.ones_like(offset), offset=offset)


def fit_gain_and_offset(answers: Tensor, wanted: Tensor, targets: Tensor) -> Correction:
    """The straight line through every output, draw by draw, that comes nearest the wanted one.

    Least squares over the points. An output that does not change keeps its gain.
    """
    del targets
    centre, wanted_centre = answers.mean(dim=1, keepdim=True), wanted.mean(dim=0)
    x, y = answers - centre, wanted - wanted_centre
    square = x.square().mean(dim=1, keepdim=True)
    flat = square <= torch.finfo(answers.dtype).tiny
    gain = (x * y).mean(dim=1, keepdim=True) / torch.where(flat, torch.ones_like(square), square)
    gain = torch.where(flat, torch.ones_like(gain), gain)
    return Correction(gain=gain, offset=wanted_centre - gain * centre)


SHARP = 0.1
"""Width of the smoothed count of right points, in the median size of the wanted margins."""
SHIFTS = 61
"""Shifts that are tried, between -1.5 and 1.5 median margins."""


def fit_decision_offset(answers: Tensor, wanted: Tensor, targets: Tensor) -> Correction:
    """The shift of one logit that gets most calibration points right, draw by draw.

    The smoothed count F(s) = mean tanh(margin(s) / width) is largest at F'(s) = 0; by the implicit
    function theorem ds/d(answers) is that of one Newton step there, whose value is dropped.

    Raises:
        InputError: the targets are no classes. With several outputs use "offset".
    """
    width = SHARP * margins(wanted, targets).detach().abs().median().clamp(min=1e-12)
    sign = torch.sign(margins(torch.ones_like(wanted), targets))[:, None]
    with torch.no_grad():
        steps = torch.linspace(-1.5, 1.5, SHIFTS).to(answers) * (width / SHARP)
        # where several shifts are as good, the smallest wins
        score = torch.stack([torch.tanh((answers + s) * sign / width).mean(dim=1) for s in steps])
        score = score - 1e-4 * steps.abs().reshape(-1, 1, 1) / (width / SHARP)
        best = steps[score.argmax(dim=0)][:, None]
    t = torch.tanh((answers + best) * sign / width)
    slope = ((1 - t * t) * sign).mean(dim=1, keepdim=True)
    with torch.no_grad():
        # F'' < 0 at a maximum; on few points it may come out small, which must not blow up the step
        curve = (-2 * t * (1 - t * t)).mean(dim=1, keepdim=True).clamp(max=-0.02) / width
    newton = -slope / curve
    offset = best + (newton - newton.detach())
    return Correction(gain=torch.ones_like(offset), offset=offset)


registry.add("offset", fit_offset)
registry.add("gain_and_offset", fit_gain_and_offset)
registry.add("decision_offset", fit_decision_offset)
