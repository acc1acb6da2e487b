"""Hardware-aware training: many seeds of a two-layer network at once, on drawn transfers.

The networks stand on one "folded" array each (`ArrayConfig.layout`): weights become pairs of
conductances, the transfer errors are drawn on the conductances, and the loss is taken over several
drawn transfers a step. A training run is a sequence of `Phase`s; every technique is a field of the
phase, so that any of them can be left out:

    reparametrisation   `draws` noisy transfers a step; `gradient` "pathwise" differentiates the
                        drawn errors, "straight_through" treats them as constants
    hardware-aware      stuck devices take their failure value and, with "pathwise", get no
    dropout             gradient in that step (the released technique); `stratified` lets every
                        device be stuck once in every step
    regularisation      `weight_decay`, and `line_penalty` on the conductances, which carry the
                        line and sneak currents
    averaging           `draws` transfers a step; `objective` says how their losses are combined
    the array itself    `circuit`: wires and nonlinear devices, to first order in the drawn errors
    remedies            `procedure`: the transfers are those that a tester leaves behind

Technique and error model: Drolet et al. 2023, arXiv:2305.18495. The objectives "worst",
"consistency" and "count", the strata and the remedies in the loop are this program's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import xbarspice as xb
from papers.drolet2023.bank import Bank
from papers.drolet2023.folded import Folded
from papers.drolet2023.in_the_loop import Left, best_shift, left_behind
from papers.drolet2023.objectives import Drawn, Phase, draw, noise_free_loss, objective
from papers.drolet2023.selection import Keeper, Selection, Setting
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.core.types import Array
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training import checkpoints
from xbarspice.training.data import Split
from xbarspice.variability import Variation

__all__ = ["Bank", "Phase", "Selection", "Trained", "train"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Result of `train`.

    Attributes:
        networks: one a seed.
        score: metric on the selection points, (seeds,), 0..1.
        accuracy: noise-free accuracy there, (seeds,).
        history: (looks, seeds, 2): metric and noise-free accuracy at every look.
    """

    networks: tuple[Perceptron, ...]
    score: Array
    accuracy: Array
    history: Array = field(repr=False)


def train(
    split: Split,
    phases: Sequence[Phase],
    *,
    seeds: Sequence[int],
    variation: Variation | None,
    hidden: int = 8,
    array: xb.ArrayConfig | None = None,
    selection: Selection | None = None,
    start: Sequence[Perceptron] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 50,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> Trained:
    """Train one network a seed, all in one batch of tensor operations.

    The state with the best metric over validation transfers is kept for each seed, among those
    that hold the noise-free accuracy; it is looked for on training and validation points
    together (33 parameters do not learn 675 points by heart), never on test points.

    Args:
        split: two classes.
        phases: what to do, in order.
        seeds: seeds of the initial weights, the batches and the transfers.
        variation: transfer errors; None only if no phase draws any.
        hidden: hidden neurons.
        array: wires and device for phases with `circuit`.
        selection: None keeps the last state.
        start: networks to start from, one a seed.
        checkpoint: file that holds the state of the run, written complete or not at all; a run
            that finds its own unfinished state there goes on from it and ends bit for bit as
            one that was never stopped.
        checkpoint_every: steps between writes.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a phase draws transfers or uses the circuit without the argument that it
            needs, or the checkpoint belongs to another run.
    """
    _check(phases, variation, array, checkpoint_every)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: a second thread costs more than it gives
    try:
        sizes = (split.x_train.shape[1], hidden, 1)
        bank = Bank.of(start, seeds) if start is not None else Bank(sizes, seeds)
        setting = _setting(split, bank, variation, array, seeds)
        run = _Run(bank, setting, phases, selection)
        if checkpoint is not None:
            told = (phases, seeds, variation, hidden, selection, array)
            key = checkpoints.fingerprint(told, bank.parameters, setting.calibration, setting.x)
            run.restore(checkpoints.read(checkpoint, key))
            keep = lambda: checkpoints.write(checkpoint, key, run.state())  # noqa: E731
        else:
            keep = lambda: None  # noqa: E731
        return run.go(keep, checkpoint_every, progress)
    finally:
        torch.set_num_threads(threads)


def _setting(
    split: Split,
    bank: Bank,
    variation: Variation | None,
    array: xb.ArrayConfig | None,
    seeds: Sequence[int],
) -> Setting:
    x_both = np.concatenate([split.x_train, split.x_validation])
    y_both = np.concatenate([split.y_train, split.y_validation])
    inputs, hidden, _ = bank.sizes
    return Setting(
        folded=Folded(inputs=inputs, hidden=hidden, outputs=1, array=array),
        variation=variation,
        x=torch.as_tensor(split.x_train).float(),
        y=torch.as_tensor(split.y_train).float(),
        x_select=torch.as_tensor(x_both).float(),
        y_select=torch.as_tensor(y_both).float(),
        calibration=(x_both, y_both),
        seed=seeds[0],
    )


def _check(
    phases: Sequence[Phase], variation: Variation | None, array: xb.ArrayConfig | None, every: int
) -> None:
    if variation is None and any(p.draws for p in phases):
        raise broken_rule(
            "phases with `draws` need `variation`", "None", "Pass variability.drolet_2023()."
        )
    if array is None and any(p.circuit for p in phases):
        raise broken_rule(
            "phases with `circuit` need `array`",
            "None",
            "Pass an xb.ArrayConfig.",
        )
    if every < 1:
        raise broken_rule("`checkpoint_every` must be >= 1", every, "50 is usual.")


class _Run:
    """A training run that can be put down and taken up again at any step."""

    def __init__(
        self, bank: Bank, setting: Setting, phases: Sequence[Phase], selection: Selection | None
    ) -> None:
        self.bank, self.setting, self.phases, self.selection = bank, setting, phases, selection
        seed = child_seed(setting.seed, "transfers in training")
        self.generator = torch.Generator().manual_seed(seed)
        self.keeper = Keeper(bank, setting, selection, phases)
        self.done = 0
        self.left: Left | None = None
        self.optimiser = self._begin(phases[0])

    def _begin(self, phase: Phase) -> torch.optim.Adam:
        """A new optimiser, and the steered weight of the noise-free loss at its start."""
        self.hold = torch.full((len(self.bank.seeds),), phase.noise_free or 1.0)
        self.bank.measure_in(phase.units)
        return torch.optim.Adam(
            self.bank.leaves, lr=phase.learning_rate, weight_decay=phase.weight_decay
        )

    def _phase_of(self, step: int) -> Phase:
        """The phase that holds a step of the whole run."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise AssertionError("a state is not kept beyond the last step")

    def go(
        self, keep: Callable[[], None], every: int, progress: Callable[[int, int], None]
    ) -> Trained:
        total, first = sum(p.steps for p in self.phases), 0
        for phase in self.phases:
            # a state without errors in training is no candidate unless nothing else is trained
            judged = phase.draws > 0 or not any(p.draws for p in self.phases)
            for step in range(max(0, self.done - first), phase.steps):
                if step == 0:
                    self.optimiser = self._begin(phase)
                self._step(phase, step)
                self.done += 1
                last = step + 1 == phase.steps
                if self.selection and judged and (last or (step + 1) % self.selection.every == 0):
                    self.keeper.look()
                if self.done % every == 0 or self.done == total:
                    keep()
                progress(self.done, total)
            first += phase.steps
        return self._result()

    def _step(self, phase: Phase, step: int) -> None:
        if phase.decay:
            fall = 0.55 + 0.45 * math.cos(math.pi * step / phase.steps)
            self.optimiser.param_groups[0]["lr"] = phase.learning_rate * fall
        if phase.procedure is not None and step % phase.refresh == 0:
            s = self.setting
            if s.variation is None:  # refused by `_check`
                raise AssertionError
            self.left = left_behind(
                self.bank.networks(),
                phase.procedure,
                s.variation,
                s.calibration,
                s.folded.array if phase.circuit else None,
                draws=phase.draws,
                seed=child_seed(s.seed, f"tester at step {self.done}"),
            )
        self.optimiser.zero_grad()
        self._loss(phase, step).backward()
        self.optimiser.step()
        self.bank.within()

    def _loss(self, phase: Phase, step: int) -> Tensor:
        """Loss summed over the seeds, which keeps their gradients apart."""
        s, folded = self.setting, self.setting.folded
        part = slice(None)
        if phase.batch is not None and phase.batch < len(s.x):
            part = torch.randperm(len(s.x), generator=self.generator)[: phase.batch]
        x, y = s.x[part], s.y[part]
        # what is held is the accuracy on all points, not on those that happen to be in the batch
        points = slice(None) if phase.hold else part
        x_clean, y_clean = s.x[points], s.y[points]
        G, scales = folded.conductances(self.bank.parameters)
        nominal = folded.corrections(G, scales, x_clean) if phase.circuit else None
        clean = folded.logits(G[:, None], scales, x_clean, nominal)[:, 0]
        if nominal is not None and phase.hold:
            nominal = (nominal[0][:, part], nominal[1][:, part])
        width = clean.detach().abs().median(dim=1).values
        total = torch.zeros(())
        if phase.hold:
            self._steer(clean, y_clean, phase, step)
            total = total + (self.hold * noise_free_loss(clean, y_clean, phase, width)).sum()
        elif phase.draws == 0 or phase.noise_free:
            weight = phase.noise_free if phase.draws else 1.0
            total = total + weight * noise_free_loss(clean, y_clean, phase, width).sum()
        if phase.draws:
            drawn = self._draw(G, phase)
            z = folded.logits(drawn.G, scales, x, nominal)
            if drawn.shift is not None:
                z = z + best_shift(z, y, width, drawn.shift)[..., None]
            progress = step / phase.steps
            total = total + objective(z, y, drawn.weights, phase, width, progress).sum()
        if phase.line_penalty:
            total = total + phase.line_penalty * (G.mean(dim=(-1, -2)) / folded.G_max).sum()
        return total

    def _draw(self, G: Tensor, phase: Phase) -> Drawn:
        if self.setting.variation is None:  # refused by `_check`
            raise AssertionError
        if phase.procedure is None or self.left is None:
            return draw(G, phase, self.setting.variation, self.generator)
        return Drawn(
            G=G[:, None] + self.left.error,
            weights=torch.full((phase.draws,), 1 / phase.draws),
            shift=self.left.shift if phase.procedure.bias else None,
        )

    def _steer(self, clean: Tensor, y: Tensor, phase: Phase, step: int) -> None:
        """Raise the weight of the noise-free loss where the accuracy is below `hold`."""
        if step % 10 == 0:
            accuracy = ((clean > 0) == (y > 0)).float().mean(dim=1)
            change = (40 * (phase.hold - accuracy)).clamp(-0.3, 0.3)
            self.hold = (self.hold * torch.exp(change)).clamp(0.05, 50)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "done": self.done,
            "leaves": [p.detach() for p in self.bank.leaves],
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "hold": self.hold,
            "left": None if self.left is None else [self.left.error, self.left.shift],
            "keeper": self.keeper.kept(),
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go back to a state of this run; None is its beginning."""
        if state is None:
            return
        self.done = state["done"]
        self.optimiser = self._begin(self._phase_of(self.done - 1))
        self.bank.load(state["leaves"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.hold = state["hold"]
        if state["left"] is not None:
            self.left = Left(error=state["left"][0], shift=state["left"][1])
        self.keeper.take(state["keeper"])

    def _result(self) -> Trained:
        keeper = self.keeper
        if not keeper.history:
            keeper.best.fill_(-np.inf)
            keeper.look()
        history = torch.stack(keeper.history).double().numpy()
        return Trained(
            networks=tuple(self.bank.networks(keeper.best_state)),
            score=keeper.found[:, 0].double().numpy(),
            accuracy=keeper.found[:, 1].double().numpy(),
            history=history,
        )
