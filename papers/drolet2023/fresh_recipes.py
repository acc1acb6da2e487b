"""Recipes of the study on fresh draws, as clients of `xb.training.fit`.

Every recipe trains several networks and keeps the one whose points stay right in most validation
transfers. Plain recipes are judged on validation points alone; ours trains on training and
validation points together (33 parameters do not learn 800 points by heart) and their jittered
copies, and is judged on these. No test point and no fresh point is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import xbarspice as xb
import xbarspice.training
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.encodings import Encoding, jittered
from papers.drolet2023.settings import SETTINGS
from papers.drolet2023.starts import replicate, small_networks
from papers.drolet2023.transfers import transfer
from xbarspice.core.seeds import child_rng, child_seed
from xbarspice.core.types import Array, Indices
from xbarspice.importers.perceptron import Perceptron, from_state_dict
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.training.data import Split
from xbarspice.training.train import build
from xbarspice.variability import Variation

__all__ = ["FULL", "PLAIN", "QUICK", "Effort", "Recipes"]

FRESH = SETTINGS["fresh"]
PLAIN = tuple(FRESH["plain"])
"""Names of the recipes that begin with random weights."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is trained.

    Attributes:
        plain: steps of the recipes that begin with random weights.
        networks: that are begun with them.
        starts: small networks that ours goes on from.
        trial: steps of ours on each of them.
        tune: steps of ours on the best of them.
        remedied: steps with the remedy in the loop.
        looks: validation transfers.
    """

    plain: int
    networks: int
    starts: int
    trial: int
    tune: int
    remedied: int
    looks: int


FULL = Effort(**FRESH["effort"]["full"])
QUICK = Effort(**FRESH["effort"]["quick"])


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """The recipes for one encoding.

    Attributes:
        split: the data, inputs in [0, 1].
        encoding: how the networks stand on the array.
        variation: errors of a transfer.
        effort: how much is trained.
        seed: of everything that is drawn.
    """

    split: Split
    encoding: Encoding
    variation: Variation
    effort: Effort
    seed: int = 0

    def seen(self) -> tuple[Array, Indices]:
        """Training and validation points as they are driven, and their classes."""
        s = self.split
        x = np.concatenate([s.x_train, s.x_validation])
        return self.encoding.points(x), np.concatenate([s.y_train, s.y_validation])

    def copies(self) -> tuple[Array, Indices]:
        """The points of `seen` and jittered copies of them."""
        x, y = self.seen()
        count, rng = FRESH["copies"], child_rng(self.seed, "jitter")
        width = FRESH["jitter"] * (2 if self.encoding.centred else 1)
        return jittered(x, count, width, rng), np.tile(y, 1 + count)

    def train(
        self,
        network: Perceptron,
        data: tuple[Array, Indices],
        validation: tuple[Array, Indices],
        **settings: Any,
    ) -> Perceptron:
        """One network of points as they are driven, trained by `xb.training.fit`."""
        model = xb.nn.convert(
            perceptron_module(network).float(),
            self.encoding.config(variation=self.variation, dtype="float32"),
            calibrate=torch.as_tensor(data[0]).float(),
        )
        told = xb.training.Settings(loss="binary", circuit="ideal", **settings)
        fitted = xb.training.fit(model, data, validation, told)
        state = {k: v.double() for k, v in fitted.model.state_dict().items()}
        return from_state_dict(state, "sigmoid")

    def plain(self, name: str) -> Perceptron:
        """The best of the networks of a recipe that begins with random weights."""
        s, encoding = self.split, self.encoding
        data = encoding.points(s.x_train), s.y_train
        validation = encoding.points(s.x_validation), s.y_validation
        networks = []
        for k in range(self.effort.networks):
            seed = _seed(self.seed, f"{name}, network {k}")
            model = build((2, 8, 1), "sigmoid", torch.Generator().manual_seed(seed))
            begun = from_state_dict(model.state_dict(), "sigmoid")
            networks.append(
                self.train(
                    begun,
                    data,
                    validation,
                    steps=self.effort.plain,
                    look_every=max(1, self.effort.plain // 4),
                    seed=seed,
                    **FRESH["plain"][name],
                )
            )
        return self.best(networks, *validation)

    def ours(self) -> Perceptron:
        """Small networks on eight neurons, tuned so that points stay right; the best goes on."""
        data, e = self.copies(), self.effort
        begun = [
            self.encoding.of(replicate(net, 8))
            for net in small_networks(self.split, e.starts, self.seed)
        ]
        tried = [self._tune(net, data, e.trial, k) for k, net in enumerate(begun)]
        counts = [self.count(net, *data) for net in tried]
        best = np.argsort(counts, kind="stable")[::-1][: FRESH["finalists"]]
        return self.best([self._tune(begun[k], data, e.tune, k) for k in best], *data)

    def _tune(
        self, network: Perceptron, data: tuple[Array, Indices], steps: int, number: int
    ) -> Perceptron:
        return self._go_on(network, data, steps, f"ours, network {number}", "tune")

    def with_remedy(self, network: Perceptron) -> Perceptron:
        """Go on from a network of ours with the remedy in the loop."""
        steps = self.effort.remedied
        return self._go_on(network, self.copies(), steps, "ours with the remedy", "remedied")

    def _go_on(
        self, network: Perceptron, data: tuple[Array, Indices], steps: int, what: str, settings: str
    ) -> Perceptron:
        """Train a network further by a table of `FRESH`; `what` tells its seed from others."""
        return self.train(
            network,
            data,
            data,
            steps=steps,
            look_every=max(1, steps // 4),
            look_draws=self.effort.looks,
            seed=_seed(self.seed, what),
            **FRESH[settings],
        )

    def count(self, network: Perceptron, x: Array, y: Indices) -> float:
        """Share of points that are right in 95 % of the validation transfers."""
        chain = Chain.of(circuit_of(network, self.encoding.config(), x))
        seed = _seed(self.seed, "validation transfers")
        looks = self.effort.looks
        return transfer(chain, x, y, variation=self.variation, transfers=looks, seed=seed).metric()

    def best(self, networks: list[Perceptron], x: Array, y: Indices) -> Perceptron:
        """The network with the best `count`."""
        return max(networks, key=lambda net: self.count(net, x, y))


def _seed(seed: int, name: str) -> int:
    """A child seed that the settings of training take."""
    return child_seed(seed, name) % 2**31
