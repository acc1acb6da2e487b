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
from torch import Tensor, nn

import xbarspice as xb
from papers.drolet2023.encodings import Encoding
from papers.drolet2023.hardware import Hardware
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.importers.perceptron import Perceptron
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.training import procedures
from xbarspice.training.draws import Circuit
from xbarspice.training.procedures import Procedure
from xbarspice.training.programmed import ProgrammedDraws
from xbarspice.variability import Variation

__all__ = ["CALIBRATION", "SEED", "THRESHOLD", "Drawn", "Judge", "Points", "figures_of"]

Points = tuple[Array, Indices]
"""Points as they are driven, (n, inputs), and their classes, (n,)."""
Dtype = Literal["float32", "float64"]
SEED = 9000
"""Of the transfers; those that networks are chosen with have another."""
THRESHOLD = 0.95
TOGETHER = 50
"""Transfers that are computed in one forward pass."""
CALIBRATION = 256
"""Points that a tester looks at."""


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
        seen: points that set the input ranges, the first of which a tester uses.
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
        dtype: Dtype = "float32",
    ) -> list[dict[str, float]]:
        """Figures on each of several sets of points, all with the same transfers.

        Args:
            parts: the sets.
            variation: errors of a transfer.
            hardware: wires and device to go through; None is the ideal array.
            remedy: what a tester does to every transfer, with the first points of `seen`; names of
                `xb.training.procedures.names()` joined by "+".
            dtype: of the arrays; the errors are the same where it is the same.
        """
        ends = np.cumsum([len(y) for _, y in parts])[:-1]
        wanted = torch.as_tensor(np.concatenate([y for _, y in parts])) > 0
        right, without_errors = [], np.zeros(len(wanted), bool)
        for clean, answers in self._answers(parts, variation, hardware, remedy, dtype):
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
        dtype: Dtype,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Answers without errors, (points,), and in some transfers, (some, points)."""
        config = self.encoding.config(hardware=hardware, variation=variation, dtype=dtype)
        like = getattr(torch, dtype)
        x, y = torch.as_tensor(self.seen[0]).to(like), torch.as_tensor(self.seen[1])
        plain = perceptron_module(self.network).to(like)
        model = xb.nn.convert(plain, config, calibrate=x).eval()
        points = torch.cat([torch.as_tensor(of).to(like) for of, _ in parts])
        calibration = x[:CALIBRATION], y[:CALIBRATION]
        circuit = "ideal" if hardware is None else "exact"
        for start in range(0, self.transfers, TOGETHER):
            drawn = Drawn(
                model,
                remedy,
                calibration,
                draws=min(TOGETHER, self.transfers - start),
                seed=self.seed,
                circuit=circuit,
            )
            with torch.no_grad():
                clean, answers = drawn.answers(points, f"judged transfers from {start}")
            yield clean[:, 0], answers[..., 0]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Some transfers of a model and what a tester makes of them.

    Attributes:
        model: converted, in evaluation.
        remedy: as of `Judge.on`.
        calibration: points and classes that the tester uses.
        draws, seed, circuit: as of `xb.training.ErrorDraws`.
    """

    model: nn.Module
    remedy: str
    calibration: tuple[Tensor, Tensor]
    draws: int
    seed: int
    circuit: Circuit

    def answers(self, x: Tensor, label: str) -> tuple[Tensor, Tensor]:
        """Answers without errors, (points, outputs), and in the transfers, (draws, points, ...).

        Args:
            x: points.
            label: names the random numbers; the same for every network and remedy.
        """
        procedure = procedures.get(self.remedy) if self.remedy else Procedure()
        transfers = ProgrammedDraws(
            model=self.model,
            procedure=procedure,
            calibration=self.calibration,
            draws=self.draws,
            seed=self.seed,
            circuit=self.circuit,
        )
        transfers.begin(label)
        if procedure.correction is None:
            answers = transfers.outputs(x, nominal=True)
            return answers[0], answers[1:]
        seen, classes = self.calibration
        answers = transfers.outputs(torch.cat([seen, x]), nominal=True)
        clean, drawn, count = answers[0], answers[1:], len(seen)
        mend = procedure.correction(drawn[:, :count], clean[:count], classes)
        return clean[count:], mend.apply(drawn[:, count:])
