"""One network, transferred many times: which points stay right.

The figure of merit is that of Drolet et al. 2023 (arXiv:2305.18495): the share of the points that
are classified right in at least 95 % of the transfers. A nearly linear boundary scores high on it
by being always right or always wrong, so the noise-free accuracy stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

import xbarspice as xb
from papers.drolet2023.encodings import Encoding
from papers.drolet2023.hardware import Hardware
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.importers.perceptron import Perceptron
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.training import ErrorDraws, remedies
from xbarspice.variability import Variation

__all__ = ["SEED", "THRESHOLD", "Judge", "Points", "figures_of"]

Points = tuple[Array, Indices]
"""Points as they are driven, (n, inputs), and their classes, (n,)."""
SEED = 9000
"""Of the transfers; those that networks are chosen with have another."""
THRESHOLD = 0.95
TOGETHER = 20
"""Transfers that are computed in one forward pass."""


def figures_of(right: Flags, clean: Flags) -> dict[str, float]:
    """Figures of the transfers of one network.

    Args:
        right: whether each point was right, (transfers, points).
        clean: whether it is without errors, (points,).
    """
    by_transfer = right.mean(axis=1)
    return {
        "metric": float(np.mean(right.sum(axis=0) >= THRESHOLD * len(right) - 1e-9)),
        "noise_free": float(clean.mean()),
        "mean": float(by_transfer.mean()),
        "low_5_percent": float(np.quantile(by_transfer, 0.05)),
        "worst": float(by_transfer.min()),
    }


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Transfers one network of two classes and counts the points that stay right.

    Attributes:
        network: of points as they are driven.
        encoding: how it stands on the array.
        seen: points that set the input ranges and that a tester may use.
        transfers: how many.
        seed: of the errors.
    """

    network: Perceptron
    encoding: Encoding
    seen: Points
    transfers: int
    seed: int = SEED

    def on(
        self,
        parts: Sequence[Points],
        variation: Variation,
        *,
        hardware: Hardware | None = None,
        remedy: str = "",
    ) -> list[dict[str, float]]:
        """Figures on each of several sets of points, all with the same transfers.

        Args:
            parts: the sets.
            variation: errors of a transfer.
            hardware: wires and device to go through; None is the ideal array.
            remedy: what a tester does to the output of every transfer, which he finds with the
                points of `seen`; a name of `xb.training.remedies.names()`.
        """
        ends = np.cumsum([len(y) for _, y in parts])[:-1]
        wanted = torch.as_tensor(np.concatenate([y for _, y in parts])) > 0
        right, without_errors = [], np.zeros(len(wanted), bool)
        for clean, answers in self._answers(parts, variation, hardware, remedy):
            right.append(((answers > 0) == wanted).numpy())
            without_errors = ((clean > 0) == wanted).numpy()
        by_part = np.split(np.concatenate(right), ends, axis=1)
        clean_by_part = np.split(without_errors, ends)
        return [figures_of(*pair) for pair in zip(by_part, clean_by_part, strict=True)]

    def _answers(
        self,
        parts: Sequence[Points],
        variation: Variation,
        hardware: Hardware | None,
        remedy: str,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Answers without errors, (points,), and in some transfers, (some, points)."""
        # single precision moves an ideal answer by far less than any error of a transfer
        dtype: Literal["float32", "float64"] = "float32" if hardware is None else "float64"
        config = self.encoding.config(hardware=hardware, variation=variation, dtype=dtype)
        like = getattr(torch, dtype)
        x, y = torch.as_tensor(self.seen[0]).to(like), torch.as_tensor(self.seen[1])
        plain = perceptron_module(self.network).to(like)
        model = xb.nn.convert(plain, config, calibrate=x).eval()
        seen = len(x) if remedy else 0
        points = torch.cat([x[:seen], *(torch.as_tensor(of).to(like) for of, _ in parts)])
        circuit = "ideal" if hardware is None else "exact"
        for start in range(0, self.transfers, TOGETHER):
            some = min(TOGETHER, self.transfers - start)
            draws = ErrorDraws(model, draws=some, seed=self.seed, circuit=circuit)
            draws.begin(f"judged transfers from {start}")
            with torch.no_grad():
                answers = draws.outputs(points, nominal=True)
                clean, drawn = answers[0], answers[1:]
                if remedy:
                    fitted = remedies.get(remedy)(drawn[:, :seen], clean[:seen], y)
                    drawn = fitted.apply(drawn)
            yield clean[seen:, 0], drawn[:, seen:, 0]
