"""The training recipes of the paper's experiment: regular, controls, released and our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import xbarspice as xb
from papers.drolet2023.objectives import can_stratify
from papers.drolet2023.remedies import Procedure
from papers.drolet2023.settings import SETTINGS
from papers.drolet2023.starts import replicate, steep
from papers.drolet2023.training import Phase, Selection, Trained, train
from xbarspice.config import DataConfig
from xbarspice.core.seeds import child_rng
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training.data import Split
from xbarspice.variability import Variation

__all__ = [
    "FULL",
    "QUICK",
    "Effort",
    "hardware_aware",
    "regular",
    "released_split",
    "released_technique",
    "small_networks",
    "through_circuit",
    "weight_decay",
    "with_remedies",
]

Progress = Callable[[int, int], None]


def _silent(count: int, total: int) -> None:
    del count, total


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long the recipes train.

    Attributes:
        plain: steps of the recipes without several draws a step.
        starts, kept: small networks a seed that are begun, and that go on to the fine-tuning.
        small: steps of the small networks.
        tune: steps of the fine-tuning.
        polish: steps of the last stretch, for the best network of each seed.
        draws: transfers without stuck devices a step, beside one for every stuck device.
        remedied, left: steps with the remedies in the loop, and transfers that are programmed.
        look: validation transfers of a look.
    """

    plain: int
    starts: int
    kept: int
    small: int
    tune: int
    polish: int
    draws: int
    remedied: int
    left: int
    look: int


FULL = Effort(**SETTINGS["effort"]["full"])
QUICK = Effort(**SETTINGS["effort"]["quick"])

TUNE = Phase(steps=1, **SETTINGS["tune"])
"""The fine-tuning; its steps are those of the effort."""
FLOOR = SETTINGS["accuracy"]["floor"]
"""Noise-free accuracy on training and validation points below which no state is kept."""
HOLD_REMEDIED = SETTINGS["accuracy"]["hold_remedied"]
"""As `TUNE.hold`, with the remedies in the loop."""


def released_split(config: DataConfig) -> Split:
    """The released protocol: test points drawn from all points, so that most were trained on.

    875 training and 125 validation points of the 1000, and 200 test points drawn apart from them:
    about 175 of the test points are training points too (172 in the released run). All points are
    scaled together. Offered for comparison only.
    """
    from sklearn.datasets import make_moons

    moons: Any = make_moons(config.points, noise=config.noise, random_state=config.seed)
    x, y = moons
    x = (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))
    y = y.astype(np.intp)
    rng = child_rng(config.seed, "released split")
    order, test = rng.permutation(len(x)), rng.permutation(len(x))[: config.test]
    validation, training = order[: config.validation], order[config.validation :]
    return Split(
        x_train=x[training],
        y_train=y[training],
        x_validation=x[validation],
        y_validation=y[validation],
        x_test=x[test],
        y_test=y[test],
    )


def regular(
    split: Split, seeds: Sequence[int], effort: Effort = FULL, progress: Progress = _silent
) -> Trained:
    """Plain training: Adam at 0.1 on batches of 256; the last state is kept, as released."""
    phase = Phase(steps=effort.plain, batch=256, decay=False)
    return train(split, [phase], seeds=seeds, variation=None, progress=progress)


def weight_decay(
    split: Split, seeds: Sequence[int], effort: Effort = FULL, progress: Progress = _silent
) -> Trained:
    """The control: plain training with the released weight decay of 1e-4 and nothing else."""
    phase = Phase(steps=effort.plain, batch=256, decay=False, weight_decay=1e-4)
    return train(split, [phase], seeds=seeds, variation=None, progress=progress)


def released_technique(
    split: Split,
    seeds: Sequence[int],
    variation: Variation,
    effort: Effort = FULL,
    progress: Progress = _silent,
) -> Trained:
    """The three released techniques: one noisy transfer a step, stuck devices, weight decay.

    The gradient is that of the released code: straight through the drawn errors, none through
    devices that are stuck in that step ("pathwise" does just that for additive errors).
    """
    phase = Phase(steps=effort.plain, batch=256, decay=False, draws=1, weight_decay=1e-4)
    return train(split, [phase], seeds=seeds, variation=variation, progress=progress)


def _all_but_test(split: Split) -> Split:
    """Training points that include the validation points; 33 parameters do not overfit 800."""
    return replace(
        split,
        x_train=np.concatenate([split.x_train, split.x_validation]),
        y_train=np.concatenate([split.y_train, split.y_validation]),
        x_validation=split.x_validation[:0],
        y_validation=split.y_validation[:0],
    )


def small_networks(split: Split, count: int) -> list[Perceptron]:
    """The most accurate of four times as many 2-3-1 networks trained without errors."""
    small = train(
        split,
        [Phase(steps=1500)],
        seeds=range(4 * count),
        variation=None,
        hidden=3,
        start=[steep(90, k) for k in range(4 * count)],
        selection=Selection(every=1500),
    )
    return [small.networks[k] for k in np.argsort(-small.accuracy, kind="stable")[:count]]


def _smalls(
    split: Split, seeds: Sequence[int], effort: Effort, progress: Progress
) -> list[Perceptron]:
    """For every seed the `kept` most accurate small networks, replicated onto eight neurons."""
    count = len(seeds) * effort.starts
    begun = [steep(seed, k) for seed in seeds for k in range(effort.starts)]
    small = train(
        split,
        [Phase(steps=effort.small)],
        seeds=range(count),
        variation=None,
        hidden=3,
        start=begun,
        selection=Selection(every=effort.small),
        progress=progress,
    )
    best = np.argsort(-small.accuracy.reshape(len(seeds), -1), axis=1, kind="stable")
    picked = (best[:, : effort.kept] + effort.starts * np.arange(len(seeds))[:, None]).ravel()
    return [replicate(small.networks[k], 8) for k in picked]


def _best_of_each_seed(trained: Trained, seeds: Sequence[int]) -> list[Perceptron]:
    held = np.where(trained.accuracy >= FLOOR, trained.score, trained.accuracy - 2)
    a_seed = len(trained.networks) // len(seeds)
    winners = held.reshape(len(seeds), -1).argmax(axis=1) + a_seed * np.arange(len(seeds))
    return [trained.networks[k] for k in winners]


def hardware_aware(
    split: Split,
    seeds: Sequence[int],
    variation: Variation,
    effort: Effort = FULL,
    progress: Progress = _silent,
) -> Trained:
    """Our recipe for 2-8-1: small networks, replicated, tuned so that points stay right.

    Three hidden neurons suffice for the moons, so eight can hold each of them two or three times:
    small networks are trained without errors from several starts, those with the best noise-free
    accuracy are replicated onto eight neurons and tuned for the count of points that stay right,
    on stratified draws, while the noise-free accuracy is held; of each seed the one with the best
    validation metric is polished. Everything is trained and chosen on training and validation
    points, with validation transfers.

    Args:
        split, seeds, variation, effort, progress: as elsewhere.
    """
    split = _all_but_test(split)
    total = effort.small + effort.tune + effort.polish
    wide = _smalls(split, seeds, effort, lambda count, _: progress(count, total))
    judge = Selection(every=max(1, effort.tune // 4), draws=effort.look, accuracy=FLOOR)
    phase = replace(TUNE, steps=effort.tune, draws=effort.draws, learning_rate=0.2)
    tuned = train(
        split,
        [phase],
        seeds=range(len(wide)),
        variation=variation,
        selection=judge,
        start=wide,
        progress=lambda count, _: progress(effort.small + count, total),
    )
    last = replace(phase, steps=effort.polish, learning_rate=0.1)
    return train(
        split,
        [last],
        seeds=seeds,
        variation=variation,
        start=_best_of_each_seed(tuned, seeds),
        selection=replace(judge, every=max(1, effort.polish // 8), draws=3 * effort.look),
        progress=lambda count, _: progress(effort.small + effort.tune + count, total),
    )


def with_remedies(
    split: Split,
    start: Sequence[Perceptron],
    seeds: Sequence[int],
    variation: Variation,
    procedure: Procedure,
    array: xb.ArrayConfig | None = None,
    effort: Effort = FULL,
    progress: Progress = _silent,
) -> Trained:
    """Go on from trained networks with a tester's remedies in the loop.

    The tester sees training and validation points. With his remedies fewer points are lost to the
    errors, so a higher noise-free accuracy is steered to.

    Args:
        split, seeds, variation, effort, progress: as elsewhere.
        start: networks, one a seed.
        procedure: what the tester does.
        array: wires and device to train through, or None.
    """
    phase = replace(
        TUNE,
        steps=effort.remedied,
        draws=effort.left,
        stratified=False,
        procedure=procedure,
        hold=HOLD_REMEDIED,
        learning_rate=0.03,
        batch=400,
        circuit=array is not None,
    )
    judge = Selection(every=max(1, effort.remedied // 4), draws=effort.look, accuracy=FLOOR)
    return train(
        _all_but_test(split),
        [phase],
        seeds=seeds,
        variation=variation,
        array=array,
        start=start,
        selection=judge,
        progress=progress,
    )


def through_circuit(
    split: Split,
    start: Sequence[Perceptron],
    seeds: Sequence[int],
    variation: Variation,
    array: xb.ArrayConfig,
    effort: Effort = FULL,
    progress: Progress = _silent,
) -> Trained:
    """Go on from networks trained without the circuit, now through its wires and devices.

    Errors without stuck devices have no strata: one transfer for every device is drawn freely then.
    """
    strata = can_stratify(variation)
    devices = array.tile_rows * array.tile_cols
    phase = replace(
        TUNE,
        steps=effort.tune,
        draws=effort.draws + (0 if strata else devices),
        stratified=strata,
        learning_rate=0.03,
        circuit=True,
    )
    judge = Selection(every=max(1, effort.tune // 4), draws=3 * effort.look, accuracy=FLOOR)
    return train(
        _all_but_test(split),
        [phase],
        seeds=seeds,
        variation=variation,
        array=array,
        start=start,
        selection=judge,
        progress=progress,
    )
