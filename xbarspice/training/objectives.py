"""What training asks of a model over drawn transfers: losses of draws become one number.

Every objective takes the answers of all draws, (draws, points, ...), and their probabilities. The
mean is that of Drolet et al. 2023 (arXiv:2305.18495) over several draws; the worst share is the
conditional value at risk (Rockafellar and Uryasev 2000, J. Risk 2, 21); consistency and count
are this package's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from xbarspice.core.errors import broken_rule

__all__ = [
    "LOSSES",
    "Loss",
    "Objective",
    "consistency",
    "count_of_points",
    "loss_of_points",
    "margins",
    "mean_loss",
    "worst_share",
]

Objective = Literal["mean", "worst", "consistency", "count"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Answers (points, ...) and targets (points, ...) to the loss of every point, (points, ...)."""

OPEN = 0.04
"""Width, in shares of draws, over which "consistency" takes a point as not right often enough."""
STEP = 0.08
"""The same for "count", at the beginning of training."""


def _cross_entropy(answers: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(answers, targets, reduction="none")


def _binary(answers: Tensor, targets: Tensor) -> Tensor:
    wanted = targets.to(answers).reshape(answers.shape)
    return functional.binary_cross_entropy_with_logits(answers, wanted, reduction="none")


def _squared(answers: Tensor, targets: Tensor) -> Tensor:
    return (answers - targets.to(answers).reshape(answers.shape)).square()


LOSSES: dict[str, Loss] = {"cross_entropy": _cross_entropy, "binary": _binary, "squared": _squared}
"""Losses by name: classes (points,) of answers (points, classes); classes 0 and 1 of one answer;
numbers."""


def loss_of_points(loss: Loss, answers: Tensor, targets: Tensor) -> Tensor:
    """Loss of every point in every draw, (draws, points).

    Args:
        loss: of points.
        answers: (draws, points, ...).
        targets: (points, ...).

    Raises:
        InputError: the loss is not one number or more for every point.
    """
    draws, points = answers.shape[:2]
    repeated = targets.expand(draws, *targets.shape).flatten(0, 1)
    each = loss(answers.flatten(0, 1), repeated)
    if not isinstance(each, Tensor) or each.ndim < 1 or len(each) != draws * points:
        raise broken_rule(
            "`loss` must give the loss of every point, (points, ...)",
            tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__,
            'Build it with reduction="none".',
        )
    return each.reshape(draws, points, -1).mean(dim=-1)


def margins(answers: Tensor, targets: Tensor) -> Tensor:
    """How far every point is on the right side, (..., points); above 0 it is right.

    Args:
        answers: logits, (..., points, outputs); one output stands for two classes.
        targets: classes, (points,) or (points, 1).

    Raises:
        InputError: targets are no classes, or none of these answers.
    """
    labels = targets.reshape(len(targets), -1)
    outputs = answers.shape[-1]
    highest = max(outputs, 2) - 1
    whole = labels.shape[1] == 1 and bool((labels == labels.round()).all())
    if not whole or not bool(((labels >= 0) & (labels <= highest)).all()):
        raise broken_rule(
            f"points are right or wrong only where targets are classes 0 to {highest}, (points,)",
            f"targets {tuple(targets.shape)} of {targets.dtype}",
            'Give classes; for others use objective "mean" or "worst" and select="objective".',
        )
    classes = labels[:, 0].long()
    if outputs == 1:
        return answers[..., 0] * (2 * classes - 1).to(answers)
    chosen = classes.expand(answers.shape[:-1])[..., None]
    others = answers.scatter(-1, chosen, -torch.inf)
    return answers.gather(-1, chosen)[..., 0] - others.amax(dim=-1)


def mean_loss(losses: Tensor, weights: Tensor) -> Tensor:
    """Mean over the draws of losses (draws,)."""
    return losses @ weights.to(losses)


def worst_share(losses: Tensor, weights: Tensor, share: float) -> Tensor:
    """Mean of losses (draws,) over the worst draws that together have this probability."""
    value, order = losses.sort(descending=True)
    weight = weights.to(losses)[order]
    before = weight.cumsum(0) - weight
    counted = torch.minimum(weight, (share - before).clamp(min=0.0))
    return (value @ counted) / share


def consistency(margin: Tensor, weights: Tensor, wanted: float, softness: float) -> Tensor:
    """What points lack to be right in `wanted` of the draws, smoothed.

    Args:
        margin: (draws, points), in logits.
        weights: of the draws.
        wanted: share of the draws.
        softness: width of the smoothed count, logits.
    """
    right = weights.to(margin) @ torch.sigmoid(margin / softness)
    return functional.softplus((wanted - right) / OPEN).mean()


def count_of_points(
    margin: Tensor, weights: Tensor, wanted: float, softness: float, progress: float
) -> Tensor:
    """Smoothed share of points that are not right in `wanted` of the draws.

    Args:
        margin: (draws, points).
        weights: of the draws.
        wanted: share of the draws.
        softness: width of the smoothed counts in the median size of the margins; falls to a third.
        progress: share of the training that is done, 0 to 1.
    """
    fall = 3.0**-progress
    width = margin.detach().abs().median().clamp(min=torch.finfo(margin.dtype).tiny)
    right = weights.to(margin) @ torch.sigmoid(margin / (softness * fall * width))
    return torch.sigmoid((wanted - right) / (STEP * fall)).mean()
