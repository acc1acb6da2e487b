"""Settings of hardware-aware training: what is drawn, what is asked, and how it is stepped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from xbarspice.core.errors import broken_rule
from xbarspice.core.values import number_of, whole_number_of
from xbarspice.training.draws import Gradient
from xbarspice.training.objectives import LOSSES, Loss, Objective
from xbarspice.training.procedures import Procedure, get
from xbarspice.training.products import Circuit
from xbarspice.training.remedies import Remedy
from xbarspice.training.stuck import StuckMode

__all__ = ["Settings"]

COUNTS: Mapping[str, int] = {
    "steps": 1,
    "batch": 1,
    "draws": 0,
    "redraw_every": 1,
    "look_every": 1,
    "look_draws": 1,
    "seed": 0,
}
"""Whole numbers and the smallest that they may be."""
RANGES: Mapping[str, tuple[float, float, bool]] = {
    "learning_rate": (0.0, 1e3, False),
    "share": (0.0, 1.0, False),
    "wanted": (0.0, 1.0, False),
    "softness": (0.0, 1e3, False),
    "noise_free": (0.0, 1e6, True),
    "hold": (0.0, 1.0, True),
    "stiffness": (0.0, 1e6, False),
    "weight_decay": (0.0, 1e3, True),
    "line_penalty": (0.0, 1e6, True),
    "last_rate": (0.0, 1.0, True),
}
"""Numbers: smallest, largest, and whether the smallest itself may be."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "stuck": get_args(StuckMode),
    "gradient": get_args(Gradient),
    "circuit": get_args(Circuit),
    "objective": get_args(Objective),
    "optimiser": ("adam", "sgd"),
    "select": ("objective", "accuracy", "count"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How `xb.training.fit` trains a model on arrays.

    Attributes:
        steps: steps of the optimiser.
        batch: points a step; None takes all in every step.
        optimiser: "adam" or "sgd" (with momentum 0.9).
        learning_rate: of the first step.
        last_rate: share of it in the last step; it falls there along half a cosine.
        draws: transfers drawn a step; 0 trains without errors.
        redraw_every: steps that see the same errors (common random numbers).
        stuck: which devices are stuck in which draw: "by_chance", "stratified" (every device once
            in a cycle of 1/rate draws) or "every_device" (beside `draws` transfers without any, one
            for every device of the model); see `ErrorDraws`.
        gradient: "pathwise" or "straight_through"; see `ErrorDraws`.
        circuit: "exact", "shared_gradient" or "ideal"; see `ErrorDraws`.
        loss: "cross_entropy", "binary" (one logit, classes 0 and 1), "squared", or a function of
            answers (points, ...) and targets that gives the loss of every point.
        objective: of the draws: "mean" loss; "worst", the mean over the worst `share` of them;
            "consistency", that every point be right in `wanted` of them; "count", the smoothed
            share of points that are not. The last two are for a model that is trained already:
            they hardly move points that are far from right.
        share, wanted: see `objective`; shares of the draws, above 0 and at most 1.
        softness: width of the smoothed counts: in logits with "consistency", in the median size of
            the margins with "count".
        noise_free: weight of the mean loss without errors, which is added.
        hold: share of training points that are to stay right without errors, held by a multiplier;
            0 holds nothing. It is held once it was reached, or after a third of the steps.
        stiffness: of the multiplier; see `multiplier.Multiplier`.
        weight_decay: L2 coefficient of the weights that stand on arrays; no other parameter decays.
        line_penalty: weight of the mean conductance over `G_max`, which carries the line and sneak
            currents.
        remedy: what is done to every transfer while and after it is programmed, in training and in
            selection: a `Procedure`, names of `training.procedures.names()` joined by "+", or a
            `Remedy` of the outputs; None for nothing. What is done to devices sees the first
            training points, is done anew every `redraw_every` steps, and is differentiated as
            `training.programmed` says.
        select: which state is kept, on the validation data: the one with the smallest "objective",
            the largest mean "accuracy" over validation draws, or the largest "count" of points that
            are right in `wanted` of them. With `hold`, among those that hold that accuracy without
            errors.
        look_every: steps between two looks at the validation data.
        look_draws: validation draws, the same at every look.
        seed: of batches and errors.
    """

    steps: int
    batch: int | None = 64
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    last_rate: float = 0.1
    draws: int = 16
    redraw_every: int = 1
    stuck: StuckMode = "by_chance"
    gradient: Gradient = "pathwise"
    circuit: Circuit = "shared_gradient"
    loss: str | Loss = "cross_entropy"
    objective: Objective = "mean"
    share: float = 0.125
    wanted: float = 0.95
    softness: float = 0.5
    noise_free: float = 0.0
    hold: float = 0.0
    stiffness: float = 5.0
    weight_decay: float = 0.0
    line_penalty: float = 0.0
    remedy: str | Remedy | Procedure | None = None
    select: str = "accuracy"
    look_every: int = 50
    look_draws: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in COUNTS.items():
            value = getattr(self, name)
            if value is not None or name != "batch":
                count = whole_number_of(name, value, low=low, remedy="Count them.")
                object.__setattr__(self, name, count)
        for name, (low, high, closed) in RANGES.items():
            self._check_number(name, low, high, closed)
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise broken_rule(
                    f"`{name}` must be one of {list(words)}",
                    repr(getattr(self, name)),
                    "Use one of them.",
                )
        self._check_functions()
        self._check_together()

    def _check_number(self, name: str, low: float, high: float, closed: bool) -> None:
        value = number_of(name, getattr(self, name))
        object.__setattr__(self, name, value)
        if not (low <= value <= high and (closed or value > low)):
            raise broken_rule(
                f"`{name}` must be {'>=' if closed else '>'} {low:g} and <= {high:g}",
                value,
                "See the documentation of training.Settings.",
            )

    def _check_functions(self) -> None:
        if not callable(self.loss) and self.loss not in LOSSES:
            raise broken_rule(
                f"`loss` must be one of {list(LOSSES)} or a function",
                repr(self.loss),
                'A function of (answers, targets) gives a loss a point: reduction="none".',
            )
        if self.remedy is not None:
            get(self.remedy)

    def _check_together(self) -> None:
        if self.stuck == "stratified" and self.redraw_every > 1:
            raise broken_rule(
                'stuck="stratified" draws other devices in every step',
                f"redraw_every={self.redraw_every}",
                "Use redraw_every=1.",
            )
        on_devices = self.procedure is not None and self.procedure.on_devices
        if on_devices and (self.stuck != "by_chance" or self.gradient != "straight_through"):
            raise broken_rule(
                "a remedy of devices has stuck devices by chance, and errors that are constants",
                f"stuck={self.stuck!r}, gradient={self.gradient!r}",
                'Use stuck="by_chance" and gradient="straight_through".',
            )
        if self.draws == 0 and (self.objective != "mean" or self.remedy is not None):
            raise broken_rule(
                "an objective over draws and a remedy need `draws`",
                f"draws=0, objective={self.objective!r}, remedy={self.remedy!r}",
                'Raise draws, or use objective="mean" without a remedy.',
            )

    @property
    def procedure(self) -> Procedure | None:
        """What the remedy does."""
        return None if self.remedy is None else get(self.remedy)

    @property
    def loss_function(self) -> Loss:
        """The loss of points."""
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def record(self) -> dict[str, Any]:
        """Plain values of all fields; functions by their names."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("loss", "remedy"):
            if callable(out[name]):
                out[name] = getattr(out[name], "__qualname__", repr(out[name]))
        if isinstance(self.remedy, Procedure):
            out["remedy"] = self.remedy.record()
        return out
