"""The loss budget: what each effect costs a network, alone and in company, on common draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from papers.drolet2023.chain import Chain
from papers.drolet2023.transfers import TransferStudy, transfer
from xbarspice.variability import Compose, Quantisation, ReadNoise
from xbarspice.variability.base import need

__all__ = ["EFFECTS", "Loss", "loss_budget"]

EFFECTS = ("cti", "bse", "saf", "read_noise", "wires", "nonlinearity", "quantisation")
"""Effects that can be told apart, in the order of the report."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One row of the budget; shares 0..1.

    Attributes:
        effect: name out of `EFFECTS`, "none" or "all".
        alone: whether only this effect is on (else: all but this one).
        metric: share of points right in 95 % of the transfers.
        mean: mean transfer accuracy.
        cost: loss of mean accuracy: alone against "none", left out: "all" against without it.
        low, high: 95 % interval of `cost` over the transfers (paired, common draws).
    """

    effect: str
    alone: bool
    metric: float
    mean: float
    cost: float
    low: float
    high: float


def loss_budget(
    chain: Chain,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    variation: Compose,
    transfers: int = 500,
    seed: int = 0,
    effects: tuple[str, ...] = EFFECTS,
    levels: int = 64,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> tuple[Loss, ...]:
    """Measure every effect alone and every effect left out, all on the same draws.

    Args:
        chain: the model with its wires and device.
        x, y: test points and classes.
        variation: the transfer errors; its terms named "cti", "bse" and "saf" are switched. A term
            "read_noise" is the noise of every read; without one it has its usual figures.
        transfers, seed: as in `transfer`.
        effects: which to look at, out of `EFFECTS`.
        levels: conductance levels of "quantisation".
        progress: called with (studies done, studies in all).

    Raises:
        InputError: an unknown effect.
    """
    unknown = sorted(set(effects) - set(EFFECTS))
    need(not unknown, f"effects must be among {list(EFFECTS)}", unknown, "Correct the name.")
    sets: dict[tuple[str, bool], frozenset[str]] = {("none", True): frozenset()}
    sets |= {(effect, True): frozenset({effect}) for effect in effects}
    sets |= {(effect, False): frozenset(effects) - {effect} for effect in effects}
    sets[("all", True)] = frozenset(effects)
    studies: dict[tuple[str, bool], TransferStudy] = {}
    for key, on in sets.items():
        studies[key] = _study(chain, x, y, variation, on, levels, transfers, seed)
        progress(len(studies), len(sets))
    return tuple(_loss(key, studies) for key in sets)


def _study(
    chain: Chain,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    variation: Compose,
    on: frozenset[str],
    levels: int,
    transfers: int,
    seed: int,
) -> TransferStudy:
    """A transfer study with only the effects that are on."""
    config = chain.config
    read_noise = [p for p in variation.parts if p.name == "read_noise"]
    terms = [
        p
        for p in variation.parts
        if p not in read_noise and (p.name in on or p.name not in EFFECTS)
    ]
    if "quantisation" in on:
        terms.insert(0, Quantisation(levels=levels, G_min=config.G_min, G_max=config.G_max))
    changes: dict[str, Any] = {}
    if "wires" not in on:
        changes |= dict.fromkeys(("R_wl", "R_bl", "R_driver", "R_sense"), 0.0)
    if "nonlinearity" not in on:
        changes["device"] = "ohmic"
    wired = "wires" in on
    changed = chain.changed(**changes)
    nonlinear = not changed.config.model.linear
    noisy = "read_noise" in on
    # one array a point and read: only where the noise is on
    engine = "surrogate" if nonlinear or (wired and noisy) else "matrix" if wired else "ideal"
    return transfer(
        changed,
        x,
        y,
        variation=Compose(terms),
        transfers=transfers,
        seed=seed,
        engine=engine,
        read=Compose(read_noise or [ReadNoise()]) if noisy else None,
    )


def _loss(key: tuple[str, bool], studies: Mapping[tuple[str, bool], TransferStudy]) -> Loss:
    effect, alone = key
    study = studies[key]
    if alone:
        difference = studies[("none", True)].by_transfer - study.by_transfer
    else:
        difference = study.by_transfer - studies[("all", True)].by_transfer
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(difference), (1000, len(difference)))
    low, high = np.quantile(difference[picks].mean(axis=1), [0.025, 0.975])
    return Loss(
        effect=effect,
        alone=alone,
        metric=study.metric(),
        mean=float(study.by_transfer.mean()),
        cost=float(difference.mean()),
        low=float(low),
        high=float(high),
    )
