"""The setting as published: the released protocol and errors, repeated for comparison only.

Inputs are driven over [0, 1], the drift table is the released one, and the test points are drawn
from all points, so that most of them were trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from papers.drolet2023.encodings import ENCODINGS
from papers.drolet2023.judging import SEED, Judge
from papers.drolet2023.kept import Kept
from papers.drolet2023.recipes import EFFORTS, RECIPES, Effort, Recipes
from papers.drolet2023.settings import PAPER, SETTINGS
from xbarspice.config import DataConfig
from xbarspice.core.seeds import child_rng
from xbarspice.training.data import Split
from xbarspice.variability import drolet_2023

__all__ = ["Plan", "released_split", "reproduce"]

PUBLISHED = SETTINGS["published"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        seeds: of the networks.
        transfers: of each network.
        effort: of the training.
    """

    seeds: tuple[int, ...] = tuple(PUBLISHED["seeds"])
    transfers: int = PUBLISHED["transfers"]
    effort: Effort = EFFORTS["published"]

    def less_than_full(self) -> dict[str, tuple[int, int]]:
        """What is smaller than in the full study: name -> (this run, full run)."""
        full = Plan()
        pairs = {
            "seeds": (len(self.seeds), len(full.seeds)),
            "transfers": (self.transfers, full.transfers),
        }
        pairs |= {
            f"training_{name}": (value, getattr(full.effort, name))
            for name, value in asdict(self.effort).items()
        }
        return {name: pair for name, pair in pairs.items() if pair[0] < pair[1]}

    @classmethod
    def quick(cls) -> Plan:
        """Two seeds and a few transfers."""
        return cls(seeds=(0, 1), transfers=200, effort=EFFORTS["quick"])


def released_split(config: DataConfig) -> Split:
    """The released protocol: test points drawn from all points, so that most were trained on.

    875 training and 125 validation points of the 1000, and 200 test points drawn apart from them:
    about 175 of the test points are training points too (172 in the released run). All points are
    scaled together.
    """
    from sklearn.datasets import make_moons

    moons: Any = make_moons(config.points, noise=config.noise, random_state=config.seed)
    x, y = moons
    x = (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))
    y = y.astype(np.intp)
    rng = child_rng(config.seed, "released split")
    order, test = rng.permutation(len(x)), rng.permutation(len(x))[: config.test]
    validation, training = order[: config.validation], order[config.validation :]
    return Split.of_points(x, y, train=training, validation=validation, test=test)


def reproduce(kept: Kept, plan: Plan) -> dict[str, Any]:
    """Train every recipe with every seed and judge it on the released test points.

    Returns:
        The record that `moons_report.published` draws.
    """
    split = released_split(DataConfig())
    # nothing is chosen on the validation points, as in the released code
    split = replace(split, x_validation=split.x_validation[:0], y_validation=split.y_validation[:0])
    rows = []
    for recipe in RECIPES:
        seeds = [_figures(kept, split, recipe, seed, plan) for seed in plan.seeds]
        middle = {key: float(np.median([s[key] for s in seeds])) for key in seeds[0]}
        rows.append({"recipe": recipe, "median": middle, "seeds": seeds})
    trained_on = {tuple(point) for point in split.x_train}
    return {
        "plan": asdict(plan),
        "less_than_full": plan.less_than_full(),
        "paper": PAPER["metric"],
        "overlap": sum(tuple(point) in trained_on for point in split.x_test),
        "rows": rows,
    }


def _figures(kept: Kept, split: Split, recipe: str, seed: int, plan: Plan) -> dict[str, float]:
    """Figures of one network on the test points."""
    encoding, errors = ENCODINGS[0], drolet_2023(tail="released")
    recipes = Recipes(
        kept=kept,
        split=split,
        encoding=encoding,
        variation=errors,
        effort=plan.effort,
        seed=seed,
        setting="as published",
    )
    network = recipes.network(recipe)
    judge = Judge(
        network=network,
        encoding=encoding,
        seen=recipes.seen(),
        transfers=plan.transfers,
        seed=SEED + seed,
    )
    weights = [w.tobytes() for w in (*network.W, *network.b)]
    depends = plan.transfers, SEED, encoding, errors, weights
    name = f"judging: {recipe}, as published, seed {seed}"
    test = split.x_test, split.y_test
    return kept.value(name, depends, lambda: judge.on([test], errors)[0])  # type: ignore[no-any-return]
