"""Draws of the errors of all arrays of a converted model, many at once, with their gradients.

The draws are one more axis before the points: a model computes all of them in one forward pass, in
which every matrix on arrays multiplies each slice of its input by the conductances of that draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.nn.layers import crossbar_layers
from xbarspice.nn.matrix import ArrayMatrix, Product, affine_of
from xbarspice.nn.pairs import PairConductances, place
from xbarspice.nn.through import multiply_by
from xbarspice.training.products import (
    Circuit,
    Drawn,
    added_by_curves,
    apply_maps,
    differences_of,
    solve_each,
    without_errors,
)
from xbarspice.training.stuck import (
    Strata,
    StuckMode,
    by_chance,
    cycle_length,
    forced,
    put_stuck,
)
from xbarspice.variability import Compose, StuckDevices, Variation

__all__ = ["Circuit", "ErrorDraws", "Gradient", "terms_of"]

Gradient = Literal["pathwise", "straight_through"]
MIXED = 1e-4
"""Change of an answer without errors, over the largest, above which draws are mixed up."""
Maps = tuple[Tensor, Tensor | None]
"""Matrices (draws, groups, inputs, outputs) and offsets (draws, groups, outputs)."""


def terms_of(variation: Variation | None) -> list[Variation]:
    """The single causes of errors, in their order."""
    if variation is None:
        return []
    if isinstance(variation, Compose):
        return [term for part in variation.parts for term in terms_of(part)]
    return [variation]


class _NotFirstError(InputError):
    """A model does not keep the draws along the first axis."""


def _not_first(received: str) -> _NotFirstError:
    rule = "draws in one forward pass must stay along the first axis of every layer's input"
    return _NotFirstError(f"{rule}; received {received}. Use one_by_one=True.")


def _one_answer(out: Any) -> Tensor:
    if not isinstance(out, Tensor) or out.ndim < 1:
        raise broken_rule(
            "a model that is trained on draws must answer with one tensor (points, ...)",
            tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__,
            "Wrap it in a module that does.",
        )
    return out


@dataclass(eq=False)
class ErrorDraws:
    """Draws of the errors of a converted model's arrays, by the `variation` of each.

    Every physical array has errors of its own, with its own write order; all calls of a layer in
    one forward pass see the same ones. The same label gives the same random numbers.

    Attributes:
        model: converted.
        draws: transfers drawn together. With stuck="every_device" these have no stuck device, and
            as many more as the model has devices stand behind them.
        seed: of the random numbers.
        stuck: which devices are stuck in which draw (see `training.stuck`): each "by_chance";
            "stratified", every device once in a cycle of 1/rate draws; "every_device", beside
            `draws` transfers without any, one for every device of the model with this device stuck
            and others by chance.
        gradient: "pathwise" differentiates the drawn errors by the wanted conductances (with random
            numbers held fixed); "straight_through" takes errors as constants. Stuck devices pass no
            gradient in either.
        circuit: "exact" computes every draw, and its gradient, through its own wires and devices.
            "shared_gradient" gives the same values for linear devices, but with the derivative of
            the wires at the wanted conductances: what a device adds to its own pair draw by draw,
            and how it changes other currents as the mean over the draws. Nonlinear devices are
            solved at the wanted conductances alone, and what their curves add there is added to
            every draw: the circuit to first order in the errors. "ideal" has no wires, and devices
            are their read conductance.
        one_by_one: compute one draw after the other, which suits any model; else all in one forward
            pass, which only a model that `keeps_apart` the draws can do.
    """

    model: nn.Module
    draws: int
    seed: int = 0
    stuck: StuckMode = "by_chance"
    gradient: Gradient = "pathwise"
    circuit: Circuit = "shared_gradient"
    one_by_one: bool = False
    _label: str = field(default="", init=False)
    _first: int = field(default=0, init=False)
    _nominal: bool = field(default=False, init=False)
    _strata: dict[str, Strata] = field(default_factory=dict, init=False)
    _arrays: dict[str, list[Tensor]] = field(default_factory=dict, init=False)
    _pairs: dict[str, Drawn] = field(default_factory=dict, init=False)
    _maps: dict[str, Maps] = field(default_factory=dict, init=False)
    _added: dict[tuple[str, int], Tensor] = field(default_factory=dict, init=False)
    _calls: dict[str, int] = field(default_factory=dict, init=False)
    _slices: int = field(default=0, init=False)
    _slice: int | None = field(default=None, init=False)
    _offsets: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise broken_rule("`draws` must be >= 1", self.draws, "16 is usual.")
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
            return torch.full((self.draws,), 1 / self.draws)
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
        self._forget()

    def _forget(self) -> None:
        self._arrays.clear()
        self._pairs.clear()
        self._maps.clear()
        self._added.clear()

    def outputs(self, x: Tensor, *, nominal: bool = False) -> Tensor:
        """What the model answers in every draw, (count, points, ...).

        Args:
            x: inputs, (points, ...), the axis that the model keeps first.
            nominal: put the answer without errors before the draws, (1 + count, points, ...).

        Unless `one_by_one`, a model that does not `keeps_apart` the draws answers wrongly.

        Raises:
            InputError: the model does not answer with one tensor (points, ...), or the inputs of a
                layer are no multiple of the draws.
        """
        self._nominal = nominal or (self.circuit == "shared_gradient" and self._has_curves())
        self._forget()
        self._slices = self.count + self._nominal
        try:
            with multiply_by(self._multiply):
                out = self._one_by_one(x) if self.one_by_one else self._together(x)
        finally:
            self._forget()
        return out[1:] if self._nominal and not nominal else out

    def _together(self, x: Tensor) -> Tensor:
        """Answers of all slices, (slices, points, ...), from one forward pass."""
        self._slice = None
        out = _one_answer(self.model(x.expand(self._slices, *x.shape).flatten(0, 1)))
        if len(out) != self._slices * len(x):
            raise _not_first(f"{len(out)} answers for {self._slices} draws of {len(x)} points")
        return out.unflatten(0, (self._slices, len(x)))

    def _one_by_one(self, x: Tensor) -> Tensor:
        """As `_together`, from one forward pass a slice."""
        out = []
        for number in range(self._slices):
            self._slice = number
            self._calls.clear()
            out.append(_one_answer(self.model(x)))
        return torch.stack(out)

    def keeps_apart(self, x: Tensor) -> bool:
        """Whether all draws can be computed in one forward pass of the model.

        Its answer without errors must be the same beside draws with errors as alone: its layers on
        arrays see the points on the first axis of their inputs. The layers of attention and of
        recurrent networks see them on another.

        Args:
            x: some inputs, (points, ...).
        """
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                with without_errors():
                    alone = _one_answer(self.model(x))
                probe = ErrorDraws(self.model, draws=self.draws)
                beside = probe.outputs(x, nominal=True)[0]
        except _NotFirstError:
            return False
        finally:
            self.model.train(training)
        return float((beside - alone).abs().max()) <= MIXED * float(alone.abs().max())

    def _has_curves(self) -> bool:
        return any(not m.config.model.linear for m, _ in self._matrices())

    def _multiply(self, product: Product, x: Tensor) -> Tensor:
        """Sums of a matrix for inputs whose first axis holds the slices, draws outermost."""
        name, config = product.matrix.name, product.matrix.config
        parts, chosen = x[None], slice(None)
        if self._slice is not None:
            chosen = slice(self._slice, self._slice + 1)
        elif len(x) % self._slices:
            raise _not_first(f"{len(x)} input vectors for {self._slices} draws")
        else:
            parts = x.unflatten(0, (self._slices, -1))
        curved = not config.model.linear and self.circuit != "ideal"
        exact = self.circuit == "exact"
        if self.circuit != "ideal" and (config.adc_bits is not None or (curved and exact)):
            return solve_each(product, self._drawn(product).each()[chosen], parts).flatten(0, 1)
        if name not in self._maps:
            drawn = self._drawn(product)
            wholes = differences_of(drawn, self.circuit)
            self._maps[name] = affine_of(wholes, drawn.nominal, config)
        matrix, offset = self._maps[name]
        out = apply_maps(parts, matrix[chosen], None if offset is None else offset[chosen])
        if curved:
            out = out + self._of_curves(product, parts)
        return out.flatten(0, 1)

    def _of_curves(self, product: Product, parts: Tensor) -> Tensor:
        """What the curves of devices add without errors, known from the first slice."""
        if self._slice is None:
            return added_by_curves(product, self._drawn(product), parts[0])
        name = product.matrix.name
        key = name, self._calls.get(name, 0)
        self._calls[name] = key[1] + 1
        if self._slice == 0:
            self._added[key] = added_by_curves(product, self._drawn(product), parts[0])
        return self._added[key]

    def _drawn(self, product: Product) -> Drawn:
        """The pairs of a matrix without errors, and in all draws."""
        matrix = product.matrix
        if matrix.name not in self._pairs:
            placed = place(product.weight, matrix.line(product.bias), matrix.config)
            layout = matrix.layout
            name, stacks = layout.name_of(matrix), layout.physical(matrix, placed)
            if name not in self._arrays:
                self._arrays[name] = self._draw(name, matrix, stacks)
            nominal = layout.logical(matrix, placed, stacks)
            state = layout.logical(matrix, placed, self._arrays[name])
            config = matrix.config.without_curves()
            self._pairs[matrix.name] = Drawn(
                layout, nominal, state, config, has_nominal=self._nominal
            )
        return self._pairs[matrix.name]

    def _draw(self, name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
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
