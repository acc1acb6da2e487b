"""What circuits score in transfers of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.nn import through
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import decisions_of, outputs_of
from xbarspice.transfer.circuits import LEVELS, at_level, with_seed
from xbarspice.transfer.programming import Calibration, Programming, each_transfer, refuse_nan
from xbarspice.transfer.scores import Outcomes, Scores

__all__ = ["Judge", "run_transfers"]

Outputs = tuple[Tensor, ...]


class Judge:
    """Scores the outputs of a model; more is better.

    Args:
        wanted: outputs that a circuit should have.
        labels: classes, (points,); None where unknown.

    Raises:
        InputError: an output is NaN.

    Attributes:
        classifies: whether points are right or wrong; else the change of the outputs counts.
        judged: in words.
    """

    def __init__(self, wanted: Outputs, labels: Any = None) -> None:
        self.wanted, self.labels = refuse_nan(wanted), labels
        self.largest = [float(t.abs().max()) or 1.0 if t.numel() else 1.0 for t in wanted]
        decided = decisions_of(wanted, labels)
        self.classifies = decided is not None
        self.classes = decided if labels is None else np.asarray(labels)
        if not self.classifies:
            self.judged = "outputs, against the exact ones (rms over the largest)"
        elif labels is None:
            self.judged = "decisions, against the exact ones"
        else:
            self.judged = "decisions, against the labels"

    def score(self, outputs: Outputs) -> Scores:
        """Whether each point is right (0 or 1), (points,); else minus the rms change, (1,).

        Raises:
            InputError: an output is NaN.
        """
        refuse_nan(outputs)
        if self.classifies:
            decided = decisions_of(outputs, self.labels)
            return np.asarray(decided == self.classes, dtype=np.float32)
        squares = [
            ((a.double() - b.double()) / size).square().flatten()
            for a, b, size in zip(outputs, self.wanted, self.largest, strict=True)
        ]
        return np.array([-float(torch.cat(squares).mean().sqrt())], dtype=np.float32)


def run_transfers(
    circuit: nn.Module,
    arguments: tuple[Any, ...],
    judge: Judge,
    numbers: Sequence[int],
    *,
    seed: int | None = None,
    engine: str = "surrogate",
    procedure: Programming | None = None,
    calibration: Calibration | None = None,
) -> Outcomes:
    """Score a circuit in some transfers of its errors.

    Args:
        circuit: a converted model; one without errors on its arrays runs once.
        arguments: of the model.
        judge: of its outputs.
        numbers: of the transfers.
        seed: of all errors; None keeps the seeds of the circuit.
        engine, procedure, calibration: as of `transfer`.
    """
    if engine in LEVELS:
        circuit, engine = at_level(circuit, engine), "surrogate"
    whole = with_seed(circuit, seed)
    with through(engine), torch.no_grad():
        if all(matrix.config.variation is None for matrix in matrices_of(whole)):
            score = judge.score(outputs_of(whole, arguments))
            scores = np.repeat(score[None], len(numbers), axis=0)
            return Outcomes(score=scores, classifies=judge.classifies)
        each = each_transfer(whole, arguments, numbers, procedure, calibration)
        scores = [judge.score(outputs) for outputs in each]
    return Outcomes(score=np.stack(scores), classifies=judge.classifies)
