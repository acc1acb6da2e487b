"""Hardware-aware training of any converted model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.nn.layers import crossbar_layers, matrices_of
from xbarspice.training import checkpoints
from xbarspice.training.draws import Draws, ErrorDraws
from xbarspice.training.interrupts import between_steps
from xbarspice.training.multiplier import Multiplier
from xbarspice.training.objectives import loss_of_points, margins
from xbarspice.training.penalties import array_weights, line_penalty
from xbarspice.training.products import without_errors
from xbarspice.training.programmed import ProgrammedDraws
from xbarspice.training.progress import Progress, bar
from xbarspice.training.selection import CALIBRATION, Keeper, Look, objective_of
from xbarspice.training.settings import Settings

__all__ = ["Data", "Fitted", "fit"]

Data = tuple[Tensor | npt.ArrayLike, Tensor | npt.ArrayLike]
"""Points (n, ...) and targets (n, ...)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Result of `fit`.

    Attributes:
        model: that was trained, in evaluation, in its best state.
        settings: how.
        best: the look that its state was kept for.
        history: all looks, in order.
        seconds: that this call took.
    """

    model: nn.Module
    settings: Settings
    best: Look
    history: tuple[Look, ...] = field(repr=False)
    seconds: float


def fit(
    model: nn.Module,
    train_data: Data,
    validation_data: Data,
    settings: Settings,
    *,
    checkpoint: Path | str | None = None,
    checkpoint_every: int = 100,
    progress: bool | Progress = False,
) -> Fitted:
    """Train a converted model for the errors of its arrays.

    The errors are those of the `variation` of each layer's `ArrayConfig`. The state that is best on
    the validation data, over validation draws that stay the same, is kept; no test point is seen.

    Args:
        model: from `xb.nn.convert`; it is trained in place and left in its best state. Its inputs
            and its answer, one tensor, keep the points on the first axis. All draws of a step are
            one forward pass where its layers on arrays keep them there too (Linear, convolutions),
            and one a draw where they do not (attention, recurrent networks).
        train_data, validation_data: points (n, ...) and targets (n, ...): classes, or what the loss
            takes.
        settings: what is drawn and asked.
        checkpoint: file that holds the state of the run, written complete or not at all. A run that
            finds its own state there goes on from it and ends bit for bit as one that was never
            stopped. Ctrl-C finishes the step, writes it, and is then raised.
        checkpoint_every: steps between two writes.
        progress: True shows a bar; or a function that is called with steps done and in all.

    Raises:
        InputError: the model is not on arrays, data or settings do not fit, or the checkpoint is
            another run's.
        StoreError: the checkpoint is damaged, or cannot be written.
        KeyboardInterrupt: Ctrl-C came; says what stands and how to go on.
    """
    start = time.perf_counter()
    _check_model(model, settings, checkpoint_every)
    data = (
        _tensors(model, train_data, "train_data"),
        _tensors(model, validation_data, "validation_data"),
    )
    if settings.draws:  # what it cannot draw is refused before any work
        ErrorDraws(model, draws=settings.draws, stuck=settings.stuck)
    run = _Run(model, settings, *data)
    keep: Callable[[], None] = lambda: None  # noqa: E731
    stands = "nothing of the run is kept: with a checkpoint the same call goes on"
    if checkpoint is not None:
        path = Path(checkpoint)
        configs = [matrix.config for matrix in matrices_of(model)]
        told = (checkpoints.VERSION, settings.record(), configs)
        key = checkpoints.fingerprint(*told, *data, *run.model_state())
        run.restore(checkpoints.read(path, key))
        keep = lambda: checkpoints.write(path, key, run.state())  # noqa: E731
        stands = f"the run stands in {path}: the same call goes on"
    with torch.random.fork_rng(devices=[]), bar(progress) as tell, between_steps() as interrupted:
        run.go(keep, checkpoint_every, tell, interrupted, stands)
    keeper = run.keeper
    model.load_state_dict(keeper.best)
    return Fitted(
        model=model.eval(),
        settings=settings,
        best=next(look for look in keeper.history if look.step == keeper.best_step),
        history=tuple(keeper.history),
        seconds=time.perf_counter() - start,
    )


def _check_model(model: nn.Module, settings: Settings, every: int) -> None:
    if not isinstance(model, nn.Module) or not crossbar_layers(model):
        raise broken_rule(
            "`model` must stand on arrays",
            type(model).__name__,
            "Convert it with xb.nn.convert(model, config, calibrate=x).",
        )
    if not isinstance(settings, Settings):
        raise broken_rule(
            "`settings` must be training.Settings", type(settings).__name__, "Build them."
        )
    if every < 1:
        raise broken_rule("`checkpoint_every` must be >= 1", every, "100 is usual.")


def _tensors(model: nn.Module, data: Data, name: str) -> tuple[Tensor, Tensor]:
    """Points in the dtype and on the device of the model, and targets."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise broken_rule(f"`{name}` must be (points, targets)", type(data).__name__, "Pass both.")
    like = next(model.parameters())
    x, y = (torch.as_tensor(part) for part in data)
    if x.ndim < 1 or len(x) == 0 or len(x) != (len(y) if y.ndim else -1):
        raise broken_rule(
            f"`{name}` must hold one target for every point",
            f"points {tuple(x.shape)} and targets {tuple(y.shape)}",
            "Give both with the same first axis.",
        )
    if x.is_floating_point():
        if not bool(torch.isfinite(x).all()):
            raise broken_rule(f"points of `{name}` must be finite", "NaN or infinite", "Clean it.")
        x = x.to(like)
    return x, y.to(like.device)


class _Run:
    """A training run that can be put down and taken up again after any step."""

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
    ) -> None:
        self.model, self.settings = model.train(), settings
        self.x, self.y = train
        self.optimiser = _optimiser(model, settings)
        self.multiplier = Multiplier(
            floor=settings.hold, stiffness=settings.stiffness, free_steps=settings.steps // 3
        )
        self.step, self.loss = 0, math.nan
        self.draws = self._draws() if settings.draws else None
        if self.draws is not None:
            self.draws.one_by_one = not self.draws.keeps_apart(self.x[:2])
        one_by_one = self.draws is not None and self.draws.one_by_one
        self.keeper = Keeper(model, settings, validation, train, one_by_one=one_by_one)

    def _draws(self) -> Draws:
        s, seed = self.settings, child_seed(self.settings.seed, "training draws")
        procedure = s.procedure
        if procedure is not None and procedure.on_devices:
            return ProgrammedDraws(
                model=self.model,
                procedure=procedure,
                calibration=(self.x[:CALIBRATION], self.y[:CALIBRATION]),
                draws=s.draws,
                seed=seed,
                circuit=s.circuit,
            )
        sums = None if procedure is None else procedure.fit_of_sums(self.x[:CALIBRATION])
        return ErrorDraws(
            self.model,
            draws=s.draws,
            seed=seed,
            stuck=s.stuck,
            gradient=s.gradient,
            circuit=s.circuit,
            sums=sums,
        )

    def go(
        self,
        keep: Callable[[], None],
        every: int,
        tell: Progress,
        interrupted: Callable[[], bool],
        stands: str,
    ) -> None:
        """Take all steps that are not done yet."""
        s = self.settings
        if self.step:  # a run that goes on
            tell(self.step, s.steps)
        while self.step < s.steps:
            self._one_step()
            last = self.step == s.steps
            if last or self.step % s.look_every == 0:
                torch.manual_seed(child_seed(s.seed, f"look after step {self.step}"))
                self.keeper.look(self.step, self.loss, self.multiplier.value)
            if last or self.step % every == 0:
                keep()
            tell(self.step, s.steps)
            if interrupted() and not last:
                keep()
                raise KeyboardInterrupt(
                    f"stopped by Ctrl-C after step {self.step} of {s.steps}; {stands}"
                )

    def _one_step(self) -> None:
        s = self.settings
        torch.manual_seed(child_seed(s.seed, f"step {self.step}"))  # dropout layers of the model
        fall = s.last_rate + (1 - s.last_rate) * (1 + math.cos(math.pi * self.step / s.steps)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate * fall
        self.optimiser.zero_grad()
        loss = self._objective(*self._batch())
        self.loss = float(loss.detach())
        if not math.isfinite(self.loss):
            raise broken_rule(
                "the objective must stay finite",
                f"{self.loss} in step {self.step}",
                "Lower the learning rate.",
            )
        loss.backward()
        self.optimiser.step()
        if s.hold:
            self.multiplier.update(self.step)
        self.step += 1

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Points of this step: each once in an epoch, in an order of its own."""
        s, count = self.settings, len(self.x)
        if s.batch is None or s.batch >= count:
            return self.x, self.y
        epoch, number = divmod(self.step, count // s.batch)
        generator = torch.Generator().manual_seed(child_seed(s.seed, f"epoch {epoch}"))
        order = torch.randperm(count, generator=generator)
        part = order[number * s.batch : (number + 1) * s.batch]
        return self.x[part], self.y[part]

    def _objective(self, x: Tensor, y: Tensor) -> Tensor:
        s = self.settings
        total = torch.zeros((), dtype=x.dtype if x.is_floating_point() else None)
        if self.draws is None:
            with without_errors():
                clean = self.model(x)[None]
            total = total + loss_of_points(s.loss_function, clean, y).mean()
        else:
            self.draws.begin(
                f"draws {self.step // s.redraw_every}", first=self.step * self.draws.count
            )
            correction = None if s.procedure is None else s.procedure.correction
            nominal = bool(s.hold or s.noise_free or correction is not None)
            answers = self.draws.outputs(x, nominal=nominal)
            clean, answers = (answers[:1], answers[1:]) if nominal else (answers[:0], answers)
            if correction is not None:
                flat = answers.reshape(*answers.shape[:2], -1)
                wanted = clean.reshape(1, len(x), -1)[0]
                answers = correction(flat, wanted, y).apply(flat).reshape(answers.shape)
            progress = self.step / s.steps
            total = total + objective_of(s, answers, y, self.draws.weights, progress)
            if s.noise_free:
                total = total + s.noise_free * loss_of_points(s.loss_function, clean, y).mean()
        if s.hold:
            total = total + self.multiplier.penalty(margins(clean.reshape(1, len(x), -1), y)[0])
        if s.line_penalty:
            total = total + s.line_penalty * line_penalty(self.model)
        return total

    def model_state(self) -> list[Tensor]:
        """Parameters and buffers, by name."""
        return [v for _, v in sorted(self.model.state_dict().items())]

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "step": self.step,
            "loss": self.loss,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "multiplier": self.multiplier.state(),
            "keeper": self.keeper.state(),
            "draws": {} if self.draws is None else self.draws.state(),
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go back to a state of this run; None is its beginning."""
        if state is None:
            return
        self.step, self.loss = state["step"], state["loss"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.multiplier.take(state["multiplier"])
        self.keeper.take(state["keeper"])
        if self.draws is not None:
            self.draws.take(state["draws"])


def _optimiser(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Weights on arrays decay, no other parameter does."""
    on_arrays = array_weights(model)
    known = {id(p) for p in on_arrays}
    others = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": on_arrays, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    return torch.optim.Adam(groups, lr=settings.learning_rate)
