"""The table of what was tried for the paper's network, judged on validation transfers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from papers.drolet2023.recipes import TUNE, small_networks
from papers.drolet2023.remedies import Procedure
from papers.drolet2023.starts import replicate
from papers.drolet2023.training import Phase, Selection, train
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training.data import Split
from xbarspice.variability import Variation

__all__ = ["try_all"]

Trial = tuple[Sequence[Perceptron], Phase]


def try_all(
    split: Split,
    plain: Sequence[Perceptron],
    variation: Variation,
    procedure: Procedure,
    *,
    steps: int = 250,
    draws: int = 24,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """What was tried for the fine-tuning, each for equally many steps, judged on validation draws.

    Args:
        split: test points are not looked at.
        plain: 2-8-1 networks that were trained without errors.
        variation: transfer errors.
        procedure: remedies of the trials with remedies.
        steps, draws: of each trial.
        say: told what begins.

    Returns:
        For each trial: what, the median and best metric, and the median noise-free accuracy, on
        training and validation points.
    """
    wide = [replicate(net, 8) for net in small_networks(split, len(plain))]
    trials = _trials(plain, wide, steps, draws) | _with_remedies(wide, procedure, steps)
    out = []
    for what, (start, phase) in trials.items():
        say(f"tried: {what}")
        trained = train(
            split,
            [phase],
            seeds=range(len(start)),
            variation=variation,
            start=start,
            selection=Selection(every=phase.steps, draws=1000, accuracy=0.0),
        )
        # the end of the trial, not its best moment: that may be the degenerate boundary
        metric, accuracy = trained.history[-1].T
        out.append(
            {
                "what": what,
                "metric": float(np.median(metric)),
                "best": float(metric.max()),
                "noise_free": float(np.median(accuracy)),
            }
        )
    return out


def _trials(
    plain: Sequence[Perceptron], wide: Sequence[Perceptron], steps: int, draws: int
) -> dict[str, Trial]:
    # as many transfers a step as the stratified draws have
    base = Phase(steps=steps, draws=draws + 64, batch=256, learning_rate=0.05)
    aim = replace(base, objective="consistency", noise_free=0.7, wanted=0.97, softness=0.7)
    count = replace(TUNE, steps=steps, draws=draws)
    return {
        "plain 2-8-1, mean loss over the draws": (plain, base),
        "plain 2-8-1, worst eighth of the draws": (plain, replace(base, objective="worst")),
        "plain 2-8-1, consistency + noise-free loss": (plain, aim),
        "plain 2-8-1, count, stratified, 96.6 % held": (plain, count),
        "replicated 2-3-1, mean loss + noise-free loss": (wide, replace(base, noise_free=1.5)),
        "replicated 2-3-1, worst eighth + noise-free loss": (
            wide,
            replace(base, objective="worst", noise_free=1.5),
        ),
        "replicated 2-3-1, consistency + noise-free loss": (wide, aim),
        "the same, straight-through gradient": (wide, replace(aim, gradient="straight_through")),
        "the same, stratified draws": (wide, replace(aim, draws=draws, stratified=True)),
        "replicated 2-3-1, count, 96.6 % held, draws not stratified": (
            wide,
            replace(count, draws=draws + 64, stratified=False),
        ),
        "replicated 2-3-1, count, stratified, nothing held": (
            wide,
            replace(count, hold=0.0, noise_free=0.05),
        ),
        "replicated 2-3-1, count, stratified, 96.0 % held": (wide, replace(count, hold=0.96)),
        "replicated 2-3-1, count, stratified, 96.6 % held": (wide, count),
        "replicated 2-3-1, count, stratified, 97.0 % held": (wide, replace(count, hold=0.97)),
        "the same as 96.6 %, sharper margins": (wide, replace(count, softness=0.15)),
        "the same as 96.6 %, learning rate 0.05": (wide, replace(count, learning_rate=0.05)),
        "the same as 96.6 %, learning rate 0.2": (wide, replace(count, learning_rate=0.2)),
        "the same as 96.6 %, learning rate 0.2, four times the steps": (
            wide,
            replace(count, learning_rate=0.2, steps=4 * steps),
        ),
        "the same as 96.6 %, steps in units of the conductance ranges": (
            wide,
            replace(count, units="ranges", learning_rate=0.01),
        ),
    }


def _with_remedies(
    wide: Sequence[Perceptron], procedure: Procedure, steps: int
) -> dict[str, Trial]:
    some = wide[:3]
    loop = replace(
        TUNE,
        steps=max(1, steps // 2),
        draws=64,
        stratified=False,
        procedure=procedure,
        batch=400,
        learning_rate=0.03,
    )
    return {
        "all remedies, after training without errors": (
            some,
            replace(loop, steps=1, learning_rate=1e-9),
        ),
        "all remedies in the loop, 96.6 % held": (some, loop),
        "all remedies in the loop, 97.5 % held": (some, replace(loop, hold=0.975)),
    }
