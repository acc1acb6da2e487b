"""Which state of each seed is kept, judged on data and transfers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papers.drolet2023.bank import Bank
from papers.drolet2023.folded import Folded
from papers.drolet2023.in_the_loop import left_behind
from papers.drolet2023.objectives import Phase
from xbarspice.core.seeds import child_seed
from xbarspice.variability import Variation

__all__ = ["Keeper", "Selection", "Setting"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How the best state of each seed is chosen, on data and transfers of its own.

    Attributes:
        every: steps between looks.
        draws: validation transfers (the same at every look).
        accuracy: noise-free accuracy that a state must hold.
    """

    every: int = 25
    draws: int = 400
    accuracy: float = 0.96


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What does not change during training."""

    folded: Folded
    variation: Variation | None
    x: Tensor
    y: Tensor
    x_select: Tensor
    y_select: Tensor
    calibration: tuple[np.ndarray, np.ndarray]
    seed: int


class Keeper:
    """Keeps the best state of each seed."""

    def __init__(
        self, bank: Bank, setting: Setting, selection: Selection | None, phases: Sequence[Phase]
    ) -> None:
        self.bank, self.setting, self.selection = bank, setting, selection
        self.circuit = any(p.circuit for p in phases)
        self.procedure = next((p.procedure for p in phases if p.procedure is not None), None)
        self.best = torch.full((len(bank.seeds),), -np.inf)
        self.found = torch.zeros(len(bank.seeds), 2)
        self.best_state = [p.detach().clone() for p in bank.parameters]
        self.history: list[Tensor] = []

    def kept(self) -> list[Any]:
        return [self.best, self.found, self.best_state, self.history]

    def take(self, state: list[Any]) -> None:
        self.best, self.found, self.best_state, self.history = state

    @torch.no_grad()
    def look(self) -> None:
        figures = self._judge(self.selection.draws if self.selection else 400)
        self.history.append(figures)
        floor = self.selection.accuracy if self.selection else 0.0
        # below the floor a state only beats worse ones of its kind
        value = torch.where(figures[:, 1] >= floor, figures[:, 0], figures[:, 1] - 2)
        better = value > self.best
        self.best = torch.where(better, value, self.best)
        self.found[better] = figures[better]
        for best, now in zip(self.best_state, self.bank.parameters, strict=True):
            best[better] = now.detach()[better]

    def _judge(self, draws: int) -> Tensor:
        s = self.setting
        G, scales = s.folded.conductances(self.bank.parameters)
        nominal = s.folded.corrections(G, scales, s.x_select) if self.circuit else None
        z = s.folded.logits(G[:, None], scales, s.x_select, nominal)[:, 0]
        accuracy = ((z > 0) == (s.y_select > 0)).float().mean(dim=1)
        if s.variation is None:
            return torch.stack([accuracy, accuracy], dim=1)
        generator = torch.Generator().manual_seed(child_seed(0, "validation transfers"))
        right = torch.zeros(len(G), s.x_select.shape[0])
        for number, part in enumerate(_parts(draws, 100)):
            if self.procedure is None:
                noisy = s.variation.apply(G[:, None].expand(-1, part, -1, -1), generator)
                shift = torch.zeros(1, 1)
            else:
                remainder = left_behind(
                    self.bank.networks(),
                    self.procedure,
                    s.variation,
                    s.calibration,
                    s.folded.array if self.circuit else None,
                    draws=part,
                    seed=child_seed(number, "tester on validation transfers"),
                )
                noisy, shift = G[:, None] + remainder.error, remainder.shift
            z = s.folded.logits(noisy, scales, s.x_select, nominal) + shift[..., None]
            right += ((z > 0) == (s.y_select > 0)).float().sum(dim=1)
        metric = (right >= 0.95 * draws - 1e-6).float().mean(dim=1)
        return torch.stack([metric, accuracy], dim=1)


def _parts(total: int, size: int) -> list[int]:
    return [size] * (total // size) + ([total % size] if total % size else [])
