"""The accuracy without errors, held by a multiplier.

Training for errors gives up accuracy without errors where that pays. The augmented Lagrangian
(Hestenes 1969, Powell 1969; with the true accuracy in the multiplier and a smooth one in the
gradient: Cotter et al. 2019, arXiv:1804.06500) lets it fall to a floor and no further.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Multiplier"]

SHARP = 0.1
"""Width of the smoothed count of wrong points, in the median size of the margins."""
LARGEST = 1e3


@dataclass(kw_only=True)
class Multiplier:
    """Holds the share of points that are right without errors at a floor.

    Attributes:
        floor: share of right points, 0 to 1.
        stiffness: of the penalty; the multiplier rises by it times what is lacking.
        every: steps between two changes of the multiplier.
        free_steps: steps in which nothing is held, unless the floor is reached before.
        reached: whether the floor was reached, or the free steps are over.
        value: the multiplier now.
        right, points: counted since its last change.
    """

    floor: float
    stiffness: float = 5.0
    every: int = 10
    free_steps: int = 0
    reached: bool = False
    value: float = 0.0
    right: int = 0
    points: int = 0

    def penalty(self, margin: Tensor) -> Tensor:
        """What is added to the objective: ``(max(0, value + c g)^2 - value^2) / (2 c)``.

        Args:
            margin: of the points without errors, (points,); g is what their smoothed share lacks.
        """
        self.right += int((margin.detach() > 0).sum())
        self.points += len(margin)
        if not self.reached:
            return 0.0 * margin.sum()
        width = margin.detach().abs().median().clamp(min=torch.finfo(margin.dtype).tiny)
        lacking = torch.sigmoid(-margin / (SHARP * width)).mean() - (1 - self.floor)
        raised = (self.value + self.stiffness * lacking).clamp(min=0.0)
        return (raised.square() - self.value**2) / (2 * self.stiffness)

    def update(self, step: int) -> None:
        """Change the multiplier after a step, every so often, by the accuracy since the last time.

        It falls where the accuracy is above the floor, and never below 0.
        """
        if (step + 1) % self.every or not self.points:
            return
        lacking = self.floor - self.right / self.points
        self.reached |= lacking <= 0 or step + 1 >= self.free_steps
        if not self.reached:
            self.right = self.points = 0
            return
        self.value = min(max(self.value + self.stiffness * lacking, 0.0), LARGEST)
        self.right = self.points = 0

    def state(self) -> dict[str, float | bool]:
        """What the rest of a run depends on."""
        return {
            "value": self.value,
            "reached": self.reached,
            "right": self.right,
            "points": self.points,
        }

    def take(self, state: dict[str, float | bool]) -> None:
        """Go on from `state`."""
        self.value, self.reached = float(state["value"]), bool(state["reached"])
        self.right, self.points = int(state["right"]), int(state["points"])
