"""Draws of what all arrays of a converted model hold, many at once, with their gradients.

All draws of a model are slices of one forward pass (`training.slices`).
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.nn.layers import crossbar_layers
from xbarspice.nn.line_orders import LineOrders
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.pairs import PairConductances, place
from xbarspice.training.products import Circuit
from xbarspice.training.slices import Slices
from xbarspice.training.stuck import (
    Strata,
    StuckMode,
    by_chance,
    cycle_length,
    forced,
    put_stuck,
)
from xbarspice.training.sums import SumFit
from xbarspice.variability import Compose, StuckDevices, Variation

__all__ = ["Draws", "ErrorDraws", "Gradient", "terms_of"]

Gradient = Literal["pathwise", "straight_through"]


def terms_of(variation: Variation | None) -> list[Variation]:
    """The single causes of errors, in their order."""
    if variation is None:
        return []
    if isinstance(variation, Compose):
        return [term for part in variation.parts for term in terms_of(part)]
    return [variation]


@dataclass(eq=False)
class Draws(abc.ABC):
    """Draws of what the arrays of a converted model hold.

    All calls of a layer in one forward pass see the same arrays. The same label gives the same
    random numbers.

    Attributes:
        model: converted.
        draws: transfers drawn together.
        seed: of the random numbers.
        circuit: "exact" computes every draw, and its gradient, through its own wires and devices.
            "shared_gradient" gives the same values for linear devices, but with the derivative of
            the wires at the wanted conductances: what a device adds to its own pair draw by draw,
            and how it changes other currents as the mean over the draws. Nonlinear devices are
            solved at the wanted conductances alone, and what their curves add there is added to
            every draw: the circuit to first order in the errors. "ideal" has no wires, and devices
            are their read conductance.
        one_by_one: compute one draw after the other, which suits any model; else all in one forward
            pass, which only a model that `keeps_apart` the draws can do.
        sums: gains and offsets that are fitted to the sums of every draw; None: none.
    """

    model: nn.Module
    draws: int = field(kw_only=True)
    seed: int = field(default=0, kw_only=True)
    circuit: Circuit = field(default="shared_gradient", kw_only=True)
    one_by_one: bool = field(default=False, kw_only=True)
    sums: SumFit | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise broken_rule("`draws` must be >= 1", self.draws, "16 is usual.")

    @property
    def count(self) -> int:
        """Draws in all."""
        return self.draws

    @property
    def weights(self) -> Tensor:
        """Probability of every draw, (count,), with the sum 1."""
        return torch.full((self.count,), 1 / self.count)

    @abc.abstractmethod
    def begin(self, label: str, *, first: int = 0) -> None:
        """Name the draws that come now.

        Args:
            label: names their random numbers; the same label gives the same draws again.
            first: number of their first draw, which strata count.
        """

    def outputs(self, x: Tensor, *, nominal: bool = False) -> Tensor:
        """What the model answers in every draw, (count, points, ...); see `Slices.outputs`.

        Args:
            x: inputs, (points, ...), the axis that the model keeps first.
            nominal: put the answer without errors before the draws, (1 + count, points, ...).

        Raises:
            InputError: as `Slices.outputs`.
        """
        return self.slices().outputs(x, self.count, nominal=nominal)

    def keeps_apart(self, x: Tensor) -> bool:
        """Whether all draws can be computed in one forward pass; see `Slices.keeps_apart`."""
        return self.slices().keeps_apart(x, self.count)

    def slices(self) -> Slices:
        """The model with what its arrays hold in every draw."""
        return Slices(
            self.model,
            self.arrays,
            self.circuit,
            one_by_one=self.one_by_one,
            lines=self.lines,
            sums=self.sums,
        )

    @abc.abstractmethod
    def arrays(self, name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
        """What the arrays of a name hold in every draw; see `slices.Arrays`."""

    @property
    def lines(self) -> Mapping[str, tuple[LineOrders, ...]]:
        """Where lines were placed in every draw; see `Slices.lines`."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a run that goes on needs beside the label."""
        return {}

    def take(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have none
        """Go on from `state`."""


@dataclass(eq=False)
class ErrorDraws(Draws):
    """Draws of the errors of a converted model's arrays, by the `variation` of each.

    Every physical array has errors of its own, with its own write order. With stuck="every_device"
    the `draws` have no stuck device, and as many more as the model has devices stand behind them.

    Attributes:
        stuck: which devices are stuck in which draw (see `training.stuck`): each "by_chance";
            "stratified", every device once in a cycle of 1/rate draws; "every_device", beside
            `draws` transfers without any, one for every device of the model with this device stuck
            and others by chance.
        gradient: "pathwise" differentiates the drawn errors by the wanted conductances (with random
            numbers held fixed); "straight_through" takes errors as constants. Stuck devices pass no
            gradient in either.
    """

    stuck: StuckMode = field(default="by_chance", kw_only=True)
    gradient: Gradient = field(default="pathwise", kw_only=True)
    _label: str = field(default="", init=False)
    _first: int = field(default=0, init=False)
    _strata: dict[str, Strata] = field(default_factory=dict, init=False)
    _offsets: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._devices = 0
        self._rates: set[float] = set()
        for matrix, placed in self._matrices():
            name = matrix.layout.name_of(matrix)
            if name not in self._offsets:
                self._offsets[name] = self._devices
                for stack in matrix.layout.physical(matrix, placed):
                    self._devices += stack.numel()
            for term in terms_of(matrix.config.variation):
                if isinstance(term, StuckDevices):
                    self._rates.add(term.rate_lrs + term.rate_hrs)
        self._check()

    def _check(self) -> None:
        if all(m.config.variation is None for m, _ in self._matrices()):
            raise broken_rule(
                "draws of errors need arrays with a `variation`",
                "a model whose arrays have none",
                "Convert it with xb.ArrayConfig(variation=xb.variability.drolet_2023()).",
            )
        if self.stuck != "by_chance" and not any(self._rates):
            raise broken_rule(
                f'stuck="{self.stuck}" needs a `variation` with stuck devices (`saf`)',
                "none whose rate is above 0",
                'Use stuck="by_chance", or add StuckDevices().',
            )
        if self.stuck == "every_device" and len(self._rates) != 1:
            raise broken_rule(
                'stuck="every_device" needs one rate of stuck devices',
                sorted(self._rates),
                'Use stuck="stratified".',
            )

    def _matrices(self) -> Iterator[tuple[ArrayMatrix, PairConductances]]:
        """Every matrix on arrays with its pairs without errors."""
        with torch.no_grad():
            for layer in crossbar_layers(self.model).values():
                for name, weight, bias in layer.weight_matrices():
                    matrix = layer.matrices[name]
                    yield matrix, place(weight, matrix.line(bias), matrix.config)

    @property
    def count(self) -> int:
        """Draws in all."""
        return self.draws + (self._devices if self.stuck == "every_device" else 0)

    @property
    def weights(self) -> Tensor:
        """Probability of every draw, (count,), with the sum 1.

        With "every_device" a transfer without any stuck device, of probability (1 - rate)^devices,
        is shared by the first draws, and all others by the rest, to first order in the rate.
        """
        if self.stuck != "every_device":
            return super().weights
        (rate,) = self._rates
        none = (1 - rate) ** self._devices
        parts = [(none, self.draws), (1 - none, self._devices)]
        return torch.cat([torch.full((n,), share / n) for share, n in parts])

    def begin(self, label: str, *, first: int = 0) -> None:
        """Name the draws that come now.

        Args:
            label: names their random numbers; the same label gives the same errors again.
            first: number of their first draw, which the strata count.
        """
        self._label, self._first = label, first

    def arrays(self, name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
        """The arrays with errors, S, (count, ..., rows, cols) for each stack of equal ones."""
        out, offset = [], self._offsets[name]
        for number, stack in enumerate(stacks):
            G = stack.expand(self.count, *stack.shape)
            key = f"{name} stack {number}"
            out.append(self._errors(G, matrix.config.variation, key, offset))
            offset += stack.numel()
        return out

    def _errors(self, G: Tensor, variation: Variation | None, key: str, offset: int) -> Tensor:
        """Arrays with errors from wanted ones, S, (count, ..., rows, cols).

        Args:
            G: wanted.
            variation: the errors.
            key: names the random numbers, beside the label.
            offset: devices of the model that are counted before these.
        """
        seed = child_seed(self.seed, f"{key}: {self._label}")
        generator = torch.Generator().manual_seed(seed)  # the same numbers on every device
        for number, term in enumerate(terms_of(variation)):
            if isinstance(term, StuckDevices):
                G = self._with_stuck(G, term, f"{key} term {number}", offset, generator)
            elif self.gradient == "pathwise":
                G = term.apply(G, generator)
            else:
                with torch.no_grad():
                    error = term.apply(G, generator) - G
                G = G + error
        return G

    def _with_stuck(
        self, G: Tensor, term: StuckDevices, key: str, offset: int, generator: torch.Generator
    ) -> Tensor:
        rate, count = term.rate_lrs + term.rate_hrs, G[0].numel()
        if rate <= 0:
            return G
        if self.stuck == "every_device":
            first = self.draws + offset
            draw, device = forced(self.count, first, count, rate, generator)
            keep = draw >= self.draws
            draw, device = draw[keep], device[keep]
        elif self.stuck == "stratified":
            strata = self._strata.setdefault(key, Strata(child_seed(self.seed, key)))
            length = cycle_length(rate)
            each = [strata.stuck(self._first + d, count, length) for d in range(self.count)]
            draw = torch.arange(self.count).repeat_interleave(torch.tensor([len(e) for e in each]))
            device = torch.cat(each)
        else:
            numbers = by_chance(rate, self.count * count, generator)
            draw, device = numbers // count, numbers % count
        return put_stuck(G, draw, device, term, generator)
