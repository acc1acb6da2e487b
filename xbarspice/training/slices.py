"""Forward passes of a model whose arrays hold something else in every slice of its inputs.

Slices are one more axis before the points: a model computes all of them in one forward pass, in
which every matrix on arrays multiplies each slice of its input by the conductances of that slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.nn.corrections import Correction
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.line_orders import LineOrders
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.pairs import affine_of, place
from xbarspice.nn.product import Product
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
from xbarspice.training.sums import SumFit, fit_sums, see_inputs

__all__ = ["Arrays", "Slices"]

MIXED = 1e-4
"""Change of an answer without errors, over the largest, above which slices are mixed up."""
MOVED = 0.02
"""Change of the conductances, over their size, from slice to slice of that test."""
Maps = tuple[Tensor, Tensor | None]
"""Matrices (slices, groups, inputs, outputs) and offsets (slices, groups, outputs)."""
Arrays = Callable[[str, ArrayMatrix, Sequence[Tensor]], Sequence[Tensor]]
"""From the name of arrays, a matrix on them, and what its weights ask for, S, (..., rows, cols) for
each stack of equal arrays, to what the arrays hold in all slices, (slices, ..., rows, cols)."""


class _NotFirstError(InputError):
    """A model does not keep the slices along the first axis."""


def _not_first(received: str) -> _NotFirstError:
    rule = "draws in one forward pass must stay along the first axis of every layer's input"
    return _NotFirstError(f"{rule}; received {received}. Use one_by_one=True.")


def _one_answer(out: Any) -> Tensor:
    if not isinstance(out, Tensor) or out.ndim < 1:
        raise broken_rule(
            "a model that is computed in draws must answer with one tensor (points, ...)",
            tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__,
            "Wrap it in a module that does.",
        )
    return out


@dataclass(eq=False)
class Slices:
    """A model and what its arrays hold.

    Attributes:
        model: converted.
        arrays: gives what they hold; called once for the arrays of a name.
        circuit: "exact", "shared_gradient" or "ideal"; see `ErrorDraws`.
        one_by_one: compute one slice after the other, which suits any model; else all in one
            forward pass, which only a model that `keeps_apart` the slices can do.
        sums: gains and offsets that are fitted to the sums of every slice; None: none.
        lines: where lines were placed in each slice, for each stack of the arrays of a name.
    """

    model: nn.Module
    arrays: Arrays
    circuit: Circuit = "shared_gradient"
    one_by_one: bool = False
    sums: SumFit | None = None
    lines: Mapping[str, tuple[LineOrders, ...]] = field(default_factory=dict)
    _nominal: bool = field(default=False, init=False)
    _held: dict[str, Sequence[Tensor]] = field(default_factory=dict, init=False)
    _pairs: dict[str, Drawn] = field(default_factory=dict, init=False)
    _maps: dict[str, Maps] = field(default_factory=dict, init=False)
    _added: dict[tuple[str, int], Tensor] = field(default_factory=dict, init=False)
    _calls: dict[str, int] = field(default_factory=dict, init=False)
    _inputs: dict[str, Tensor] = field(default_factory=dict, init=False)
    _corrections: dict[str, Correction] = field(default_factory=dict, init=False)
    _slices: int = field(default=0, init=False)
    _slice: int | None = field(default=None, init=False)

    def outputs(self, x: Tensor, count: int, *, nominal: bool = False) -> Tensor:
        """What the model answers in every slice, (count, points, ...).

        Args:
            x: inputs, (points, ...), the axis that the model keeps first.
            count: slices.
            nominal: put the answer without errors before them, (1 + count, points, ...).

        Unless `one_by_one`, a model that does not `keeps_apart` the slices answers wrongly.

        Raises:
            InputError: the model does not answer with one tensor (points, ...), or the inputs of a
                layer are no multiple of the slices.
        """
        curved = self.circuit == "shared_gradient" and self._has_curves()
        self._nominal = nominal or curved or self.sums is not None
        self._forget()
        if self.sums is not None:
            seen = self.sums.x
            self._inputs = see_inputs(self.model, lambda: self.model(seen))
        self._slices = count + self._nominal
        try:
            with multiply_by(self._multiply):
                out = self._one_by_one(x) if self.one_by_one else self._together(x)
        finally:
            self._forget()
        return out[1:] if self._nominal and not nominal else out

    def _forget(self) -> None:
        for kept in (self._held, self._pairs, self._maps, self._added, self._calls):
            kept.clear()
        self._inputs.clear()
        self._corrections.clear()

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

    def keeps_apart(self, x: Tensor, count: int) -> bool:
        """Whether all slices can be computed in one forward pass of the model.

        Its answer without errors must be the same beside slices with errors as alone: its layers on
        arrays see the points on the first axis of their inputs. The layers of attention and of
        recurrent networks see them on another.

        Args:
            x: some inputs, (points, ...).
            count: slices.
        """
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                with without_errors():
                    alone = _one_answer(self.model(x))
                beside = Slices(self.model, _moved(count)).outputs(x, count, nominal=True)[0]
        except _NotFirstError:
            return False
        finally:
            self.model.train(training)
        return float((beside - alone).abs().max()) <= MIXED * float(alone.abs().max())

    def _has_curves(self) -> bool:
        return any(not matrix.config.model.linear for matrix in matrices_of(self.model))

    def _multiply(self, product: Product, x: Tensor) -> Tensor:
        """Sums of a matrix for inputs whose first axis holds the slices, draws outermost."""
        parts, chosen = x[None], slice(None)
        if self._slice is not None:
            chosen = slice(self._slice, self._slice + 1)
        elif len(x) % self._slices:
            raise _not_first(f"{len(x)} input vectors for {self._slices} draws")
        else:
            parts = x.unflatten(0, (self._slices, -1))
        out = self._read(product, parts, chosen)
        if self.sums is not None and product.matrix.name in self._inputs:
            fitted = self._correction(product, self.sums.fit)
            out = Correction(gain=fitted.gain[chosen], offset=fitted.offset[chosen]).apply(out)
        return out.flatten(0, 1)

    def _correction(self, product: Product, fit: str) -> Correction:
        """Gains and offsets of all slices, (slices, 1, groups, outputs); none without errors."""
        name = product.matrix.name
        if name not in self._corrections:
            x, current = self._inputs[name], self._slice
            self._slice = None  # all slices, whichever is computed now
            sums = self._read(product, x.expand(self._slices, *x.shape), slice(None))
            self._slice = current
            drawn = fit_sums(fit, sums[1:], sums[0])
            self._corrections[name] = Correction(
                gain=torch.cat([torch.ones_like(drawn.gain[:1]), drawn.gain]),
                offset=torch.cat([torch.zeros_like(drawn.offset[:1]), drawn.offset]),
            )
        return self._corrections[name]

    def _read(self, product: Product, parts: Tensor, chosen: slice) -> Tensor:
        """Sums (slices, vectors, groups, outputs) as read, of the chosen slices."""
        name, config = product.matrix.name, product.matrix.config
        curved = not config.model.linear and self.circuit != "ideal"
        exact = self.circuit == "exact"
        if self.circuit != "ideal" and (config.adc_bits is not None or (curved and exact)):
            return solve_each(product, self._drawn(product).separate()[chosen], parts)
        if name not in self._maps:
            drawn = self._drawn(product)
            wholes = differences_of(drawn, self.circuit)
            self._maps[name] = affine_of(wholes, drawn.nominal, config)
        matrix, offset = self._maps[name]
        out = apply_maps(parts, matrix[chosen], None if offset is None else offset[chosen])
        if curved:
            out = out + self._of_curves(product, parts)
        return out

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
        """The pairs of a matrix without errors, and in all slices."""
        matrix = product.matrix
        if matrix.name not in self._pairs:
            placed = place(product.weight, matrix.line(product.bias), matrix.config)
            layout = matrix.layout
            name, stacks = layout.name_of(matrix), layout.physical(matrix, placed)
            if name not in self._held:
                self._held[name] = self.arrays(name, matrix, stacks)
            nominal = layout.logical(matrix, placed, stacks)
            state = layout.logical(matrix, placed, self._held[name])
            state = replace(state, lines=self.lines.get(name))
            config = matrix.config.without_curves()
            self._pairs[matrix.name] = Drawn(
                layout, nominal, state, config, has_nominal=self._nominal
            )
        return self._pairs[matrix.name]


def _moved(count: int) -> Arrays:
    """Arrays that differ from slice to slice."""

    def arrays(name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
        del name, matrix
        factors = 1 + MOVED * torch.arange(1, count + 1)
        return [s * factors.to(s).reshape(-1, *[1] * s.ndim) for s in stacks]

    return arrays
