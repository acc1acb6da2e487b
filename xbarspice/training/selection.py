"""Which state of a training run is kept, judged on data and draws of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.core.seeds import child_seed
from xbarspice.training.draws import Draws, ErrorDraws
from xbarspice.training.objectives import (
    consistency,
    count_of_points,
    loss_of_points,
    margins,
    mean_loss,
    worst_share,
)
from xbarspice.training.products import without_errors
from xbarspice.training.programmed import ProgrammedDraws
from xbarspice.training.settings import Settings
from xbarspice.training.tester import Tester

__all__ = ["Keeper", "Look", "objective_of"]

TOGETHER = 16
"""Validation draws that are computed together, at most."""
ANSWERS = 1 << 14
"""Points times draws that are computed together, at most (and at least one draw)."""
CALIBRATION = 256
"""Training points that a remedy is fitted on before validation points are judged, at most."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at the validation data showed.

    Attributes:
        step: steps done.
        loss: objective of the last training step, with its penalties.
        objective: of the validation data over the validation draws.
        accuracy: mean share of points that are right in a draw; NaN where targets are no classes.
        count: share of points that are right in `wanted` of the draws; likewise.
        noise_free: share of points that are right without errors; likewise.
        multiplier: of the accuracy that is held.
    """

    step: int
    loss: float
    objective: float
    accuracy: float
    count: float
    noise_free: float
    multiplier: float


def objective_of(
    settings: Settings, answers: Tensor, targets: Tensor, weights: Tensor, progress: float = 1.0
) -> Tensor:
    """The objective of answers (draws, points, ...); see `Settings.objective`."""
    s = settings
    if s.objective in ("mean", "worst"):
        losses = loss_of_points(s.loss_function, answers, targets).mean(dim=1)
        if s.objective == "mean":
            return mean_loss(losses, weights)
        return worst_share(losses, weights, s.share)
    margin = margins(answers.flatten(2) if answers.ndim > 2 else answers[..., None], targets)
    if s.objective == "consistency":
        return consistency(margin, weights, s.wanted, s.softness)
    return count_of_points(margin, weights, s.wanted, s.softness, progress)


class Keeper:
    """Looks at the validation data and keeps the best state.

    Args:
        model: that is trained.
        settings: how.
        data: validation points and targets.
        calibration: training points and targets that a remedy is fitted on.
        one_by_one: of `ErrorDraws`.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        data: tuple[Tensor, Tensor],
        calibration: tuple[Tensor, Tensor],
        *,
        one_by_one: bool,
    ) -> None:
        self.model, self.settings, self.data = model, settings, data
        self.one_by_one = one_by_one
        x, y = calibration
        self.calibration = x[:CALIBRATION], y[:CALIBRATION]
        procedure = settings.procedure
        self.correction = None if procedure is None else procedure.correction
        self.best_score, self.best_step = -math.inf, 0
        self.best: dict[str, Tensor] = {}
        self.history: list[Look] = []

    @torch.no_grad()
    def look(self, step: int, loss: float, multiplier: float) -> None:
        """Judge the present state."""
        training = self.model.training
        self.model.eval()
        try:
            look = self._judge(step, loss, multiplier)
        finally:
            self.model.train(training)
        self.history.append(look)
        score = self._score(look)
        if score > self.best_score or not self.best:
            self.best_score, self.best_step = score, step
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _score(self, look: Look) -> float:
        value = -look.objective if self.settings.select == "objective" else 0.0
        if self.settings.select in ("accuracy", "count"):
            value = getattr(look, self.settings.select)
        if look.noise_free < self.settings.hold:  # below the floor a state only beats worse ones
            return look.noise_free - 1e9
        return value if math.isfinite(value) else -1e12

    def _judge(self, step: int, loss: float, multiplier: float) -> Look:
        s, (_, y) = self.settings, self.data
        clean, answers = self._answers()
        weights = torch.full((len(answers),), 1 / len(answers))
        shares = [math.nan] * 3
        if self._has_classes():
            right = margins(_flat(answers), y) > 0
            enough = right.double().mean(dim=0) >= s.wanted - 1e-9
            noise_free = margins(_flat(clean), y) > 0
            shares = [float(each.double().mean()) for each in (right, enough, noise_free)]
        return Look(
            step=step,
            loss=loss,
            objective=float(objective_of(s, answers, y, weights)),
            accuracy=shares[0],
            count=shares[1],
            noise_free=shares[2],
            multiplier=multiplier,
        )

    def _has_classes(self) -> bool:
        s, y = self.settings, self.data[1]
        classes = s.loss in ("cross_entropy", "binary") or not y.is_floating_point()
        return classes or s.select != "objective" or s.hold > 0

    def _answers(self) -> tuple[Tensor, Tensor]:
        """Without errors (1, points, ...), and in all validation draws (draws, points, ...)."""
        s, (x, _) = self.settings, self.data
        if s.draws == 0:
            with without_errors():
                clean = self.model(x)[None]
            return clean, clean
        clean, parts = torch.empty(0), []
        together = max(1, min(TOGETHER, ANSWERS // len(x)))
        begin = self._beginning()
        for number, part in enumerate(_parts(s.look_draws, together)):
            draws = begin(part, f"part {number}")
            joined = x if self.correction is None else torch.cat([self.calibration[0], x])
            answers = draws.outputs(joined, nominal=True)
            clean = answers[:1, -len(x) :]
            parts.append(self._mended(answers[1:], answers[0]))
        return clean, torch.cat(parts)

    def _beginning(self) -> Callable[[int, str], Draws]:
        """What draws so many transfers of the present weights under a label."""
        s = self.settings
        seed, procedure = child_seed(s.seed, "validation draws"), s.procedure
        x, y = self.calibration
        if procedure is None or not procedure.on_devices:
            sums = None if procedure is None else procedure.fit_of_sums(x)

            def draw(count: int, label: str) -> ErrorDraws:
                draws = ErrorDraws(self.model, draws=count, seed=seed, circuit=s.circuit, sums=sums)
                draws.one_by_one = self.one_by_one
                draws.begin(label)
                return draws

            return draw
        tester = Tester(self.model, procedure, (x, y), circuit=s.circuit)

        def program(count: int, label: str) -> ProgrammedDraws:
            draws = ProgrammedDraws(
                model=self.model,
                procedure=procedure,
                calibration=(x, y),
                draws=count,
                seed=seed,
                circuit=s.circuit,
                one_by_one=self.one_by_one,
            )
            draws.begin(label, tester=tester)
            return draws

        return program

    def _mended(self, answers: Tensor, clean: Tensor) -> Tensor:
        """Answers for the validation points after the remedy, fitted on the calibration points."""
        if self.correction is None:
            return answers
        x, y = self.calibration
        flat, wanted = _flat(answers), _flat(clean[None])[0]
        correction = self.correction(flat[:, : len(x)], wanted[: len(x)], y)
        return correction.apply(flat[:, len(x) :]).reshape(len(answers), -1, *answers.shape[2:])

    def state(self) -> dict[str, Any]:
        """What the rest of a run depends on."""
        return {
            "best_score": self.best_score,
            "best_step": self.best_step,
            "best": self.best,
            "history": [dataclasses.asdict(look) for look in self.history],
        }

    def take(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self.best = state["best"]
        self.history = [Look(**look) for look in state["history"]]


def _flat(answers: Tensor) -> Tensor:
    """Answers (draws, points, ...) as (draws, points, outputs)."""
    return answers.reshape(*answers.shape[:2], -1)


def _parts(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)
