"""Hardware-aware training: many seeds of a two-layer network at once, on drawn transfers.

The networks stand on one "folded" array each (see `xbarspice.mapping`): weights become pairs of
conductances, the transfer errors are drawn on the conductances, and the loss is taken over several
drawn transfers a step. A training run is a sequence of `Phase`s; every technique is a field of the
phase, so that any of them can be left out:

    reparametrisation   `draws` noisy transfers a step; `gradient` "pathwise" differentiates the
                        drawn errors, "straight_through" treats them as constants
    hardware-aware      stuck devices take their failure value and, with "pathwise", get no
    dropout             gradient in that step (the released technique)
    regularisation      `weight_decay`, and `line_penalty` on the conductances, which carry the
                        line and sneak currents
    averaging           `draws` transfers a step; `objective` says how their losses are combined
    the array itself    `circuit`: wires and nonlinear devices, to first order in the drawn errors

Technique and error model: Drolet et al. 2023, arXiv:2305.18495. The objectives "worst" and
"consistency" are this program's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from xbarspice.array import Crossbar
from xbarspice.config import child_seed
from xbarspice.errors import broken_rule
from xbarspice.network import Network
from xbarspice.studies.data import Split
from xbarspice.studies.folded import Folded
from xbarspice.variability import Variation

__all__ = ["Bank", "Phase", "Selection", "Trained", "train"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one set of techniques.

    Attributes:
        steps: optimiser steps.
        learning_rate: of Adam; falls to a tenth along a cosine when `decay` is set.
        batch: points a step; None takes all training points.
        draws: transfers drawn a step; 0 trains without errors.
        objective: "likelihood" is the mean loss; "worst" the mean over the worst `share` of the
            draws; "consistency" asks of every point that it be right in `wanted` of the draws.
        share, wanted, softness: numbers of these objectives; `softness` is the width of the
            smoothed count, in logits.
        noise_free: weight of the loss without errors, added to the objective.
        weight_decay: L2 coefficient of Adam.
        line_penalty: weight of the mean conductance over `G_max`.
        gradient: how the drawn errors are differentiated.
        circuit: compute through wires and devices.
    """

    steps: int
    learning_rate: float = 0.1
    decay: bool = True
    batch: int | None = None
    draws: int = 0
    objective: Literal["likelihood", "worst", "consistency"] = "likelihood"
    share: float = 0.125
    wanted: float = 0.95
    softness: float = 0.5
    noise_free: float = 0.0
    weight_decay: float = 0.0
    line_penalty: float = 0.0
    gradient: Literal["pathwise", "straight_through"] = "pathwise"
    circuit: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.draws < 0:
            raise broken_rule(
                "a phase needs at least one step and no negative number of draws",
                f"{self.steps} steps, {self.draws} draws", "Use draws=0 for plain training.",
            )  # fmt: skip
        if not 0 < self.share <= 1 or not 0 < self.wanted < 1:
            raise broken_rule(
                "`share` must be in (0, 1] and `wanted` in (0, 1)",
                (self.share, self.wanted), "0.125 and 0.95 are usual.",
            )  # fmt: skip


class Bank:
    """The parameters of many two-layer networks of one shape, one seed an entry.

    Attributes:
        W0 (seeds, inputs, hidden), b0 (seeds, hidden), W1 (seeds, hidden, outputs),
        b1 (seeds, outputs): leaf tensors in float32.
    """

    def __init__(self, sizes: tuple[int, int, int], seeds: Sequence[int]) -> None:
        kept: list[list[Tensor]] = [[], []]
        for seed in seeds:
            generator = torch.Generator().manual_seed(child_seed(seed, "initial weights"))
            for k, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
                weight = torch.empty(n_out, n_in)
                torch.nn.init.xavier_uniform_(weight, generator=generator)
                kept[k].append(weight.T.contiguous())
        self.sizes, self.seeds = sizes, tuple(seeds)
        self.W0, self.W1 = (torch.stack(k).requires_grad_() for k in kept)
        self.b0 = torch.full((len(seeds), sizes[1]), 0.01, requires_grad=True)
        self.b1 = torch.full((len(seeds), sizes[2]), 0.01, requires_grad=True)

    @classmethod
    def of(cls, networks: Sequence[Network], seeds: Sequence[int]) -> Bank:
        """A bank that starts from trained networks of one shape."""
        out = cls(networks[0].sizes, seeds)  # type: ignore[arg-type]
        with torch.no_grad():
            for k, network in enumerate(networks):
                for name, values in zip(("W0", "W1"), network.W, strict=True):
                    getattr(out, name)[k] = torch.as_tensor(values.copy())
                for name, values in zip(("b0", "b1"), network.b, strict=True):
                    getattr(out, name)[k] = torch.as_tensor(values.copy())
        return out

    @property
    def parameters(self) -> list[Tensor]:
        """All leaf tensors."""
        return [self.W0, self.b0, self.W1, self.b1]

    def networks(self, state: Sequence[Tensor] | None = None) -> list[Network]:
        """The networks as NumPy arrays, of the present parameters or of a kept state."""
        W0, b0, W1, b1 = (
            p.detach().double().numpy() for p in (self.parameters if state is None else state)
        )
        return [
            Network(W=(W0[s], W1[s]), b=(b0[s], b1[s]), activation="sigmoid")
            for s in range(len(self.seeds))
        ]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Result of `train`.

    Attributes:
        networks: one a seed.
        score: metric on the selection points, (seeds,), 0..1.
        accuracy: noise-free accuracy there, (seeds,).
        history: (looks, seeds, 2): metric and noise-free accuracy at every look.
    """

    networks: tuple[Network, ...]
    score: Array
    accuracy: Array
    history: Array = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """What does not change during training."""

    folded: Folded
    variation: Variation | None
    x: Tensor
    y: Tensor
    x_select: Tensor
    y_select: Tensor


def train(
    split: Split,
    phases: Sequence[Phase],
    *,
    seeds: Sequence[int],
    variation: Variation | None,
    hidden: int = 8,
    array: Crossbar | None = None,
    selection: Selection | None = None,
    start: Sequence[Network] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
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
        array: wires and device for phases with `circuit`; its `G` is not used.
        selection: None keeps the last state.
        start: networks to start from, one a seed.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a phase draws transfers or uses the circuit without the argument that it needs.
    """
    _check(phases, variation, array)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: a second thread costs more than it gives
    try:
        return _train(split, phases, seeds, variation, hidden, array, selection, start, progress)
    finally:
        torch.set_num_threads(threads)


def _train(
    split: Split,
    phases: Sequence[Phase],
    seeds: Sequence[int],
    variation: Variation | None,
    hidden: int,
    array: Crossbar | None,
    selection: Selection | None,
    start: Sequence[Network] | None,
    progress: Callable[[int, int], None],
) -> Trained:
    sizes = (split.x_train.shape[1], hidden, 1)
    bank = Bank.of(start, seeds) if start is not None else Bank(sizes, seeds)
    x_both = np.concatenate([split.x_train, split.x_validation])
    y_both = np.concatenate([split.y_train, split.y_validation])
    setting = _Setting(
        folded=Folded(inputs=sizes[0], hidden=hidden, outputs=1, array=array),
        variation=variation,
        x=torch.as_tensor(split.x_train).float(), y=torch.as_tensor(split.y_train).float(),
        x_select=torch.as_tensor(x_both).float(), y_select=torch.as_tensor(y_both).float(),
    )  # fmt: skip
    keeper = _Keeper(bank, setting, selection, any(p.circuit for p in phases))
    generator = torch.Generator().manual_seed(child_seed(seeds[0], "transfers in training"))
    total, done = sum(p.steps for p in phases), 0
    for phase in phases:
        optimiser = torch.optim.Adam(
            bank.parameters, lr=phase.learning_rate, weight_decay=phase.weight_decay
        )
        # a state without errors in training is no candidate unless nothing else is trained
        judged = phase.draws > 0 or not any(p.draws for p in phases)
        for step in range(phase.steps):
            if phase.decay:
                fall = 0.55 + 0.45 * np.cos(np.pi * step / phase.steps)
                optimiser.param_groups[0]["lr"] = phase.learning_rate * fall
            optimiser.zero_grad()
            _loss(bank, phase, setting, generator).backward()
            optimiser.step()
            done += 1
            last = step + 1 == phase.steps
            if selection and judged and (last or (step + 1) % selection.every == 0):
                keeper.look()
            progress(done, total)
    return keeper.result()


def _check(phases: Sequence[Phase], variation: Variation | None, array: Crossbar | None) -> None:
    if variation is None and any(p.draws for p in phases):
        raise broken_rule(
            "phases with `draws` need `variation`", "None", "Pass variability.drolet_2023()."
        )
    if array is None and any(p.circuit for p in phases):
        raise broken_rule(
            "phases with `circuit` need `array`", "None", "Pass a Crossbar with wires and device."
        )


def _loss(bank: Bank, phase: Phase, setting: _Setting, generator: torch.Generator) -> Tensor:
    """Loss summed over the seeds, which keeps their gradients apart."""
    x, y = setting.x, setting.y
    if phase.batch is not None and phase.batch < len(x):
        part = torch.randperm(len(x), generator=generator)[: phase.batch]
        x, y = x[part], y[part]
    folded = setting.folded
    G, scales = folded.conductances(bank.parameters)
    nominal = folded.corrections(G, scales, x) if phase.circuit else None
    total = torch.zeros(())
    if phase.draws == 0 or phase.noise_free:
        z = folded.logits(G[:, None], scales, x, nominal)[:, 0]
        weight = phase.noise_free if phase.draws else 1.0
        total = total + weight * _bce(z, y).mean(dim=-1).sum()
    if phase.draws:
        noisy = _draw(G, phase, setting, generator)
        z = folded.logits(noisy, scales, x, nominal)
        total = total + _objective(z, y, phase).sum()
    if phase.line_penalty:
        total = total + phase.line_penalty * (G.mean(dim=(-1, -2)) / folded.G_max).sum()
    return total


def _draw(G: Tensor, phase: Phase, setting: _Setting, generator: torch.Generator) -> Tensor:
    """Drawn conductances, S, (seeds, draws, rows, cols)."""
    wanted = G[:, None].expand(-1, phase.draws, -1, -1)
    variation = setting.variation
    if variation is None:  # refused by `_check`
        raise AssertionError
    if phase.gradient == "pathwise":
        return variation.apply(wanted, generator)
    with torch.no_grad():
        error = variation.apply(wanted, generator) - wanted
    return wanted + error


def _bce(z: Tensor, y: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(z, y.expand_as(z), reduction="none")


def _objective(z: Tensor, y: Tensor, phase: Phase) -> Tensor:
    """One number a seed from logits (seeds, draws, points)."""
    if phase.objective == "likelihood":
        return _bce(z, y).mean(dim=(1, 2))
    if phase.objective == "worst":
        each = _bce(z, y).mean(dim=2)
        return each.topk(max(1, round(phase.share * each.shape[1])), dim=1).values.mean(dim=1)
    right = torch.sigmoid(z * (2 * y - 1) / phase.softness).mean(dim=1)
    # what is missing to the wanted share, smoothed over a few percent
    return softplus((phase.wanted - right) / 0.04).mean(dim=1)


class _Keeper:
    """Keeps the best state of each seed."""

    def __init__(
        self, bank: Bank, setting: _Setting, selection: Selection | None, circuit: bool
    ) -> None:
        self.bank, self.setting, self.selection, self.circuit = bank, setting, selection, circuit
        self.best = torch.full((len(bank.seeds),), -np.inf)
        self.found = torch.zeros(len(bank.seeds), 2)
        self.state = [p.detach().clone() for p in bank.parameters]
        self.history: list[Tensor] = []

    @torch.no_grad()
    def look(self) -> None:
        found = self._judge(self.selection.draws if self.selection else 400)
        self.history.append(found)
        floor = self.selection.accuracy if self.selection else 0.0
        # below the floor a state only beats worse ones of its kind
        value = torch.where(found[:, 1] >= floor, found[:, 0], found[:, 1] - 2)
        better = value > self.best
        self.best = torch.where(better, value, self.best)
        self.found[better] = found[better]
        for kept, now in zip(self.state, self.bank.parameters, strict=True):
            kept[better] = now.detach()[better]

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
        for part in _parts(draws, 100):
            noisy = s.variation.apply(G[:, None].expand(-1, part, -1, -1), generator)
            z = s.folded.logits(noisy, scales, s.x_select, nominal)
            right += ((z > 0) == (s.y_select > 0)).float().sum(dim=1)
        metric = (right >= 0.95 * draws - 1e-6).float().mean(dim=1)
        return torch.stack([metric, accuracy], dim=1)

    def result(self) -> Trained:
        if not self.history:
            self.best.fill_(-np.inf)
            self.look()
        history = torch.stack(self.history).double().numpy()
        return Trained(
            networks=tuple(self.bank.networks(self.state)),
            score=self.found[:, 0].double().numpy(),
            accuracy=self.found[:, 1].double().numpy(),
            history=history,
        )


def _parts(total: int, size: int) -> list[int]:
    return [size] * (total // size) + ([total % size] if total % size else [])
