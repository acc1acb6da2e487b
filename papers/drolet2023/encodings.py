"""How inputs and pairs stand on the array: decisions of design that cost no device.

The published experiment drives inputs over [0, 1], although a folded array has +V and -V on every
input: half of the swing is unused. The same function stands on the array with inputs over [-1, 1]
(``x' = 2 x - 1``, ``W' = W / 2``, ``b' = b + W / 2``), and pairs may have their larger device at
`G_max` instead of their smaller one at `G_min`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

import xbarspice as xb
from papers.drolet2023.hardware import Hardware
from papers.drolet2023.settings import SETTINGS
from xbarspice.core.types import Array
from xbarspice.importers.perceptron import Perceptron
from xbarspice.variability import Variation

__all__ = ["ENCODINGS", "Encoding", "jittered"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One way to put a network of inputs in [0, 1] on a folded array.

    Attributes:
        name: in tables.
        centred: drive the inputs over [-1, 1].
        placement: of pairs, as in `ArrayConfig`.
    """

    name: str
    centred: bool = False
    placement: Literal["low", "high"] = "low"

    def points(self, x: Array) -> Array:
        """Points (n, inputs) in [0, 1] as they are driven."""
        return 2 * x - 1 if self.centred else x

    def of(self, network: Perceptron) -> Perceptron:
        """The network of points as they are driven that computes what `network` does of x."""
        if not self.centred:
            return network
        W = network.W[0] / 2
        return Perceptron(
            W=(W, *network.W[1:]),
            b=(network.b[0] + W.sum(axis=0), *network.b[1:]),
            activation=network.activation,
        )

    def config(
        self,
        *,
        hardware: Hardware | None = None,
        variation: Variation | None = None,
        dtype: Literal["float64", "float32"] = "float64",
    ) -> xb.ArrayConfig:
        """One 8x8 array; ideal without `hardware`."""
        ideal = {"R_wl": 0.0, "R_bl": 0.0, "device": "ohmic"}
        return xb.ArrayConfig(
            layout="folded",
            tile_rows=8,
            tile_cols=8,
            placement=self.placement,
            variation=variation,
            dtype=dtype,
            **(ideal if hardware is None else hardware.arguments()),
        )


ENCODINGS = tuple(Encoding(**values) for values in SETTINGS["encodings"])
"""Those of the study, in the order of its tables."""


def jittered(x: Array, copies: int, width: float, rng: np.random.Generator) -> Array:
    """The points, and so many noisy copies of all of them, (points * (1 + copies), inputs)."""
    noisy = [x + width * rng.standard_normal(x.shape) for _ in range(copies)]
    return np.concatenate([x, *noisy])
