"""The recipes of the experiment, as clients of `xb.training.fit`.

Every recipe trains several networks on training and validation points (33 parameters do not learn
800 points by heart) and keeps the one whose points stay right in most validation transfers, among
those that are accurate without errors where there are any. Ours sees jittered copies of the points
too. No test point and no fresh point is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import xbarspice as xb
import xbarspice.training
from papers.drolet2023.encodings import Encoding, jittered
from papers.drolet2023.judging import Judge, Points
from papers.drolet2023.kept import Kept
from papers.drolet2023.settings import SETTINGS
from papers.drolet2023.starts import replicate, small_networks
from xbarspice.core.seeds import child_rng, child_seed
from xbarspice.importers.perceptron import Perceptron, from_state_dict
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.training.data import Split
from xbarspice.training.draws import terms_of
from xbarspice.training.train import build
from xbarspice.variability import StuckDevices, Variation

__all__ = ["EFFORTS", "LOOPS", "OURS", "RECIPES", "REMEDIES", "Effort", "Recipes", "drawn"]

OURS = "ours"
TECHNIQUES = SETTINGS["recipes"]
PLAIN: dict[str, dict[str, Any]] = TECHNIQUES["plain"]
"""Settings of the recipes that begin with random weights, by name."""
RECIPES = (*PLAIN, OURS)
REMEDIES: tuple[str, ...] = tuple(TECHNIQUES["remedies"])
"""Of the plain recipes, after programming."""
LOOPS: dict[str, dict[str, dict[str, Any]]] = TECHNIQUES["loops"]
"""What changes with a remedy in the loop of training, by remedy and recipe; recipes without draws
have no errors to mend."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is trained.

    Attributes:
        plain: steps of the recipes that begin with random weights.
        networks: that are begun with them.
        starts: small networks that ours goes on from.
        trial: steps of ours on each of them.
        finalists: the best of them, which go on.
        tune: steps of ours on these.
        remedied: steps with a remedy in the loop.
        looks: validation transfers.
    """

    plain: int
    networks: int
    starts: int
    trial: int
    finalists: int
    tune: int
    remedied: int
    looks: int


EFFORTS = {name: Effort(**values) for name, values in SETTINGS["effort"].items()}


def drawn(settings: dict[str, Any], variation: Variation) -> dict[str, Any]:
    """Settings of training as they are, or by chance for errors that have no stuck devices."""
    terms = [term for term in terms_of(variation) if isinstance(term, StuckDevices)]
    if any(term.rate_lrs + term.rate_hrs > 0 for term in terms):
        return settings
    return {name: value for name, value in settings.items() if name != "stuck"}


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """The recipes for one encoding.

    Attributes:
        kept: where networks are kept.
        split: the data, inputs in [0, 1].
        encoding: how the networks stand on the array.
        variation: errors of a transfer.
        effort: how much is trained.
        seed: of everything that is drawn.
        setting: told in the names of what is kept, where there are several.
    """

    kept: Kept
    split: Split
    encoding: Encoding
    variation: Variation
    effort: Effort
    seed: int = 0
    setting: str = ""

    @property
    def where(self) -> str:
        """What tells these recipes from others, in words."""
        return f"inputs {self.encoding.name}, seed {self.seed}" + f", {self.setting}" * bool(
            self.setting
        )

    def seen(self) -> Points:
        """Training and validation points as they are driven, and their classes."""
        s = self.split
        x = np.concatenate([s.x_train, s.x_validation])
        return self.encoding.points(x), np.concatenate([s.y_train, s.y_validation])

    def copies(self) -> Points:
        """The points of `seen` and jittered copies of them."""
        x, y = self.seen()
        count, rng = TECHNIQUES["copies"], child_rng(self.seed, "jitter")
        width = TECHNIQUES["jitter"] * (2 if self.encoding.centred else 1)
        return jittered(x, count, width, rng), np.tile(y, 1 + count)

    def network(self, recipe: str) -> Perceptron:
        """The network of a recipe; one of `RECIPES`."""
        points = [v.tobytes() for v in self.seen()]
        depends = TECHNIQUES, self.effort, self.encoding, self.variation, points
        name = f"network: {recipe}, {self.where}"
        make = self._ours if recipe == OURS else lambda: self._plain(recipe)
        return self.kept.network(name, depends, make)

    def mended(self, recipe: str, remedy: str) -> Perceptron:
        """The network of a recipe, trained further with a remedy in the loop."""
        data = self.copies() if recipe == OURS else self.seen()
        settings = TECHNIQUES["ours"] if recipe == OURS else PLAIN[recipe]
        settings = settings | LOOPS[remedy][recipe]
        steps, what = self.effort.remedied, f"{recipe}, {remedy} in the loop"
        return self._train(what, self.network(recipe), data, steps, remedy=remedy, **settings)

    def _plain(self, recipe: str) -> Perceptron:
        """The best of several networks that begin with random weights."""
        data, networks = self.seen(), []
        for k in range(self.effort.networks):
            what = f"{recipe}, network {k}"
            seed = _seed(self.seed, what)
            model = build((2, 8, 1), "sigmoid", torch.Generator().manual_seed(seed))
            begun = from_state_dict(model.state_dict(), "sigmoid")
            steps = self.effort.plain
            networks.append(self._train(what, begun, data, steps, **PLAIN[recipe]))
        return self._best(networks, data)

    def _ours(self) -> Perceptron:
        """Small networks on eight neurons, tuned so that points stay right; the best goes on."""
        data, e = self.copies(), self.effort
        tried = []
        for k, small in enumerate(small_networks(self.split, e.starts, self.seed)):
            begun = self.encoding.of(replicate(small, 8))
            what = f"{OURS}, start {k}"
            settings = TECHNIQUES["ours"]
            tried.append(self._train(what, begun, data, e.trial, looks=1, **settings))
        networks = [
            self._train(
                f"{OURS}, finalist {k}",
                net,
                data,
                e.tune,
                looks=2,
                **TECHNIQUES["ours"] | TECHNIQUES["tuned"],
            )
            for k, net in enumerate(self._ordered(tried, data)[: e.finalists])
        ]
        return self._best(networks, data)

    def _train(
        self,
        what: str,
        begun: Perceptron,
        data: Points,
        steps: int,
        *,
        looks: int = 4,
        **settings: Any,
    ) -> Perceptron:
        """A network trained on points as they are driven; `what` tells its seed from others."""
        told: dict[str, Any] = drawn(settings, self.variation) | {
            "steps": steps,
            "look_every": max(1, steps // looks),
            "look_draws": self.effort.looks,
            "seed": _seed(self.seed, what),
        }

        def make() -> Perceptron:
            model = xb.nn.convert(
                perceptron_module(begun).float(),
                self.encoding.config(variation=self.variation, dtype="float32"),
                calibrate=torch.as_tensor(data[0]).float(),
            )
            settings = xb.training.Settings(loss="binary", circuit="ideal", **told)
            fitted = xb.training.fit(model, data, data, settings)
            state = {k: v.double() for k, v in fitted.model.state_dict().items()}
            return from_state_dict(state, "sigmoid")

        weights = [v.tobytes() for v in (*begun.W, *begun.b)]
        depends = told, self.encoding, self.variation, weights, [v.tobytes() for v in data]
        name = f"training: {what}, {self.where}"
        return self.kept.network(name, depends, make)

    def _ordered(self, networks: list[Perceptron], data: Points) -> list[Perceptron]:
        """The best first: by points that stay right, those that are accurate before all others."""

        def score(network: Perceptron) -> tuple[bool, float]:
            figures = self.judge(network, data, _seed(self.seed, "validation transfers"))
            accurate = figures["noise_free"] >= TECHNIQUES["floor"]
            return accurate, figures["metric" if accurate else "noise_free"]

        return sorted(networks, key=score, reverse=True)

    def _best(self, networks: list[Perceptron], data: Points) -> Perceptron:
        return networks[0] if len(networks) == 1 else self._ordered(networks, data)[0]

    def judge(self, network: Perceptron, data: Points, seed: int) -> dict[str, float]:
        """Figures of a network on points, in validation transfers."""
        judge = Judge(
            network=network,
            encoding=self.encoding,
            seen=data,
            transfers=self.effort.looks,
            seed=seed,
        )
        return judge.on([data], self.variation)[0]


def _seed(seed: int, name: str) -> int:
    """A child seed that the settings of training take."""
    return child_seed(seed, name) % 2**31
