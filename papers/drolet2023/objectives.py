"""What hardware-aware training asks of a network over drawn transfers, and how they are drawn.

A `Phase` is a stretch of training with one set of techniques; `objective` turns the logits of its
drawn transfers into one number a network, `draw` makes the transfers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from papers.drolet2023.bank import Units
from papers.drolet2023.remedies import Procedure
from xbarspice.core.errors import broken_rule
from xbarspice.variability import Compose, StuckDevices, Variation

__all__ = ["Drawn", "Phase", "can_stratify", "draw", "noise_free_loss", "objective"]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one set of techniques.

    Attributes:
        steps: optimiser steps.
        learning_rate: of Adam; falls to a tenth along a cosine when `decay` is set.
        units: what Adam's steps are measured in; see `Bank`.
        batch: points a step; None takes all training points.
        draws: transfers drawn a step; 0 trains without errors.
        stratified: beside the `draws` transfers, now without any stuck device, one transfer for
            every device with this device stuck; weighted by their probabilities.
        objective: "likelihood" is the mean loss; "worst" the mean over the worst `share` of the
            draws; "consistency" asks of every point that it be right in `wanted` of the draws;
            "count" is the smoothed share of the points that are not right in `wanted`.
        share, wanted, softness: numbers of these objectives; `softness` is the width of the
            smoothed count, in logits; with "count" in median logits, falling to a third.
        noise_free: weight of the loss without errors, added to the objective.
        hold: noise-free accuracy on the training points to which the weight of the loss without
            errors is steered; 0 leaves the weight at `noise_free`.
        weight_decay: L2 coefficient of Adam.
        line_penalty: weight of the mean conductance over `G_max`.
        gradient: how the drawn errors are differentiated.
        circuit: compute through wires and devices.
        procedure: remedies in the loop: the transfers are those that this tester leaves behind;
            drawn anew every `refresh` steps and differentiated straight through.
        refresh: see `procedure`.
    """

    steps: int
    learning_rate: float = 0.1
    units: Units = "weights"
    decay: bool = True
    batch: int | None = None
    draws: int = 0
    stratified: bool = False
    objective: Literal["likelihood", "worst", "consistency", "count"] = "likelihood"
    share: float = 0.125
    wanted: float = 0.95
    softness: float = 0.5
    noise_free: float = 0.0
    hold: float = 0.0
    weight_decay: float = 0.0
    line_penalty: float = 0.0
    gradient: Literal["pathwise", "straight_through"] = "pathwise"
    circuit: bool = False
    procedure: Procedure | None = None
    refresh: int = 25

    def __post_init__(self) -> None:
        if self.steps < 1 or self.draws < 0 or self.refresh < 1:
            raise broken_rule(
                "a phase needs at least one step, no negative number of draws, and `refresh` >= 1",
                f"{self.steps} steps, {self.draws} draws, refresh {self.refresh}",
                "Use draws=0 for plain training.",
            )
        if not 0 < self.share <= 1 or not 0 < self.wanted < 1:
            raise broken_rule(
                "`share` must be in (0, 1] and `wanted` in (0, 1)",
                (self.share, self.wanted),
                "0.125 and 0.95 are usual.",
            )
        if self.units == "ranges" and (self.objective != "count" or not self.hold):
            raise broken_rule(
                'units="ranges" leaves the scale of the logits free and needs objective="count" '
                "and `hold`",
                (self.objective, self.hold),
                'Use units="weights".',
            )
        if self.stratified and (self.draws == 0 or self.procedure is not None):
            raise broken_rule(
                "`stratified` needs `draws` and no `procedure`",
                f"{self.draws} draws, {self.procedure}",
                "Leave one of them out.",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Drawn transfers.

    Attributes:
        G: S, (seeds, draws, rows, cols).
        weights: probabilities of the draws, (draws,), with the sum 1.
        shift: what the tester adds to the logits, (seeds, draws), or None.
    """

    G: Tensor
    weights: Tensor
    shift: Tensor | None = None


def draw(G: Tensor, phase: Phase, variation: Variation, generator: torch.Generator) -> Drawn:
    """Transfers of the wanted conductances `G`, S, (seeds, rows, cols)."""
    if phase.stratified:
        return _draw_stratified(G, phase, variation, generator)
    target = G[:, None].expand(-1, phase.draws, -1, -1)
    if phase.gradient == "pathwise":
        noisy = variation.apply(target, generator)
    else:
        with torch.no_grad():
            error = variation.apply(target, generator) - target
        noisy = target + error
    return Drawn(G=noisy, weights=torch.full((phase.draws,), 1 / phase.draws))


def _draw_stratified(
    G: Tensor, phase: Phase, variation: Variation, generator: torch.Generator
) -> Drawn:
    """Some transfers without stuck devices, and one for each device with this device stuck.

    With few draws the share of transfers that a point survives is dominated by which devices
    happen to be stuck. Here every device has its turn in every step; further devices are stuck by
    chance beside it, as in a transfer with at least one. (Two forced ones are told apart neither
    here nor in the weights: the exact law of the number of stuck devices is kept to first order.)
    """
    stuck_term, other_terms = _split_off_stuck(variation)
    rows, cols = G.shape[1:]
    count = rows * cols
    target = G[:, None].expand(-1, phase.draws + count, -1, -1)
    noisy = other_terms.apply(target, generator)
    stuck, value = stuck_term.draw(noisy.detach(), generator)
    # conditional on being stuck, a device has the same law of values: draw it with certainty
    total = stuck_term.rate_lrs + stuck_term.rate_hrs
    certain = StuckDevices(
        **{
            **stuck_term.__dict__,
            "rate_lrs": stuck_term.rate_lrs / total,
            "rate_hrs": stuck_term.rate_hrs / total,
        }
    )
    forced = certain.draw(noisy.detach(), generator)[1]
    one_device = torch.eye(count, dtype=torch.bool).reshape(count, rows, cols)
    stuck[:, : phase.draws] = False
    value[:, phase.draws :] = torch.where(
        one_device, forced[:, phase.draws :], value[:, phase.draws :]
    )
    stuck[:, phase.draws :] |= one_device
    none = (1 - total) ** count
    weights = torch.cat(
        [
            torch.full((phase.draws,), none / phase.draws),
            torch.full((count,), (1 - none) / count),
        ]
    )
    return Drawn(G=torch.where(stuck, value, noisy), weights=weights)


def can_stratify(variation: Variation) -> bool:
    """Whether `stratified` draws can be had: one term of stuck devices whose rates are not 0."""
    return len(_stuck_terms(variation)) == 1


def _stuck_terms(variation: Variation) -> list[StuckDevices]:
    parts = variation.parts if isinstance(variation, Compose) else (variation,)
    return [p for p in parts if isinstance(p, StuckDevices) and p.rate_lrs + p.rate_hrs > 0]


def _split_off_stuck(variation: Variation) -> tuple[StuckDevices, Variation]:
    parts = variation.parts if isinstance(variation, Compose) else (variation,)
    stuck = _stuck_terms(variation)
    if len(stuck) != 1:
        raise broken_rule(
            "stratified draws need a variation with one `saf` term whose rates are not 0",
            [p.name for p in parts],
            "Use stratified=False, or add StuckDevices.",
        )
    return stuck[0], Compose([p for p in parts if not isinstance(p, StuckDevices)])


def _bce(z: Tensor, y: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(z, y.expand_as(z), reduction="none")


def objective(
    z: Tensor, y: Tensor, weights: Tensor, phase: Phase, width: Tensor, progress: float
) -> Tensor:
    """One number a network from the logits of its drawn transfers.

    Args:
        z: (seeds, draws, points).
        y: classes, (points,).
        weights: of the draws, (draws,).
        phase: what is asked.
        width: median size of the logits without errors, (seeds,).
        done: share of the phase that is behind, 0..1.
    """
    if phase.objective == "likelihood":
        return (_bce(z, y).mean(dim=2) * weights).sum(dim=1)
    if phase.objective == "worst":
        each = _bce(z, y).mean(dim=2)
        return each.topk(max(1, round(phase.share * each.shape[1])), dim=1).values.mean(dim=1)
    sign = 2 * y - 1
    if phase.objective == "consistency":
        right = (torch.sigmoid(z * sign / phase.softness) * weights[:, None]).sum(dim=1)
        # what is missing to the wanted share, smoothed over a few percent
        return softplus((phase.wanted - right) / 0.04).mean(dim=1)
    fall = 3.0**-progress
    soft = phase.softness * fall * width[:, None, None]
    right = (torch.sigmoid(z * sign / soft) * weights[:, None]).sum(dim=1)
    return torch.sigmoid((phase.wanted - right) / (0.08 * fall)).mean(dim=1)


def noise_free_loss(z: Tensor, y: Tensor, phase: Phase, width: Tensor) -> Tensor:
    """Loss of each network without errors, from logits (seeds, points)."""
    if not phase.hold:
        return _bce(z, y).mean(dim=-1)
    # the smoothed share of wrong points: what is held is an accuracy
    return 3 * torch.sigmoid(-z * (2 * y - 1) / (0.1 * width[:, None])).mean(dim=-1)
