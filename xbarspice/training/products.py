"""Products of inputs with the arrays of many draws: values, and the gradient that is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from xbarspice.mapping import ArrayConfig
from xbarspice.nn.layout import Layout
from xbarspice.nn.line_orders import LineOrders
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.pairs import PairConductances, affine_of, ideal_differences, place
from xbarspice.nn.product import Product
from xbarspice.nn.through import Run, multiply_by

__all__ = [
    "Circuit",
    "Drawn",
    "added_by_curves",
    "apply_maps",
    "differences_of",
    "solve_each",
    "without_errors",
]

Circuit = Literal["exact", "shared_gradient", "ideal"]


class Drawn:
    """The pairs of a matrix without errors, and in all draws.

    Attributes:
        layout: of its arrays.
        nominal: as the weights say, with their gradient.
        state: in the draws; `G`, `array` and `lines` have a leading axis.
        config: of the matrix, with linear devices.
        has_nominal: whether the answer without errors is asked for beside the draws.
    """

    def __init__(
        self,
        layout: Layout,
        nominal: PairConductances,
        state: PairConductances,
        config: ArrayConfig,
        *,
        has_nominal: bool,
    ) -> None:
        self.layout, self.nominal, self.state = layout, nominal, state
        self.config, self.has_nominal = config, has_nominal

    def separate(self) -> list[PairConductances]:
        """One after the other, without errors first if that is asked for."""
        G, arrays = self.state.G, self.state.array
        held = [None] * len(G) if arrays is None else list(arrays)
        lines = [None] * len(G)
        if self.state.lines is not None:
            lines = [tuple(orders[k] for orders in self.state.lines) for k in range(len(G))]
        parts = zip(G, held, lines, strict=True)
        out = [replace(self.nominal, G=g, array=a, lines=placed) for g, a, placed in parts]
        return [self.nominal, *out] if self.has_nominal else out

    def stacked(self) -> PairConductances:
        """All of them on a leading axis, the one without errors first if that is asked for."""
        if not self.has_nominal:
            return self.state
        nominal, state = self.nominal, self.state
        array = state.array
        if array is not None and nominal.array is not None:
            array = torch.cat([nominal.array[None], array])
        lines = state.lines
        if lines is not None:
            lines = tuple(LineOrders.join([each.unmoved[:1], each]) for each in lines)
        G = torch.cat([nominal.G[None], state.G])
        return replace(state, G=G, array=array, lines=lines)

    @cached_property
    def mean(self) -> PairConductances:
        """The conductances without errors, whose gradient goes to the mean of the draws."""

        def with_gradient(value: Tensor | None, drawn: Tensor | None) -> Tensor | None:
            if value is None or drawn is None:
                return None
            return _value_with_gradient(value, drawn.mean(dim=0))

        G = with_gradient(self.nominal.G, self.state.G)
        array = with_gradient(self.nominal.array, self.state.array)
        return replace(self.nominal, G=G, array=array)

    @cached_property
    def columns_of_mean(self) -> Tensor:
        """Effective matrices of linear arrays that hold `mean`, S, (groups, lines, columns)."""
        return self.layout.columns(self.mean, self.config)


def differences_of(drawn: Drawn, circuit: Circuit) -> Tensor:
    """Differences of linear arrays for 1 V in every slice, S, (slices, groups, lines, pairs)."""
    if circuit == "exact":
        return drawn.layout.pairs(drawn.stacked(), drawn.config)
    out = ideal_differences(drawn.state.G) if circuit == "ideal" else _shared_gradient(drawn)
    if not drawn.has_nominal:
        return out
    nominal = drawn.nominal.G
    if circuit != "ideal":
        nominal = drawn.layout.columns(drawn.nominal, drawn.config)
    return torch.cat([ideal_differences(nominal)[None], out])


def _shared_gradient(drawn: Drawn) -> Tensor:
    """Differences of linear arrays in every draw, S, (draws, groups, lines, pairs).

    The values are exact. Let E(G) be the effective matrix and T = E(G)/G, by which the wires weaken
    each device at the wanted conductances. The gradient is that of ``T G_d + C(mean of G_d)`` with
    ``C(G) = E(G) - T G`` and T held fixed: dE/dG at the wanted conductances, of which a device's
    effect on its own pair counts draw by draw, and that on others in the mean over the draws.

    Where the draws have their lines in orders of their own, so that no wires are shared, the
    gradient is exact too.
    """
    layout, G = drawn.layout, drawn.state.G
    if drawn.state.lines is not None:
        return layout.pairs(drawn.state, drawn.config)
    needs_gradient = torch.is_grad_enabled() and G.requires_grad
    with torch.no_grad():
        values = layout.pairs(drawn.state, drawn.config)
    if not needs_gradient:
        return values
    mean, columns = drawn.mean, drawn.columns_of_mean
    with torch.no_grad():
        T = torch.where(mean.G > 0, columns / mean.G, 0.0).clamp(0.0, 1.0)
    return _SharedGradient.apply(values, T, G, ideal_differences(columns - T * mean.G))  # type: ignore[no-any-return]


class _SharedGradient(torch.autograd.Function):
    """The values, with the gradient of ``ideal_differences(T * G) + coupling``."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, T: Tensor, G: Tensor, coupling: Tensor) -> Tensor:
        del G, coupling
        ctx.save_for_backward(T)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        (T,) = ctx.saved_tensors
        by_G = grad.new_empty((*grad.shape[:-1], 2 * grad.shape[-1]))
        torch.mul(grad, T[..., 0::2], out=by_G[..., 0::2])
        torch.mul(grad, -T[..., 1::2], out=by_G[..., 1::2])
        return None, None, by_G, grad.sum(dim=0)


class _ValueWithGradient(torch.autograd.Function):
    """The first argument, with the gradient of the second."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, source: Tensor) -> Tensor:
        del ctx, source
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        del ctx
        return None, grads[0]


def _value_with_gradient(value: Tensor, source: Tensor) -> Tensor:
    return _ValueWithGradient.apply(value.detach(), source)  # type: ignore[no-any-return]


def apply_maps(parts: Tensor, matrix: Tensor, offset: Tensor | None) -> Tensor:
    """``x @ matrix + offset`` slice by slice and group by group.

    Args:
        parts: inputs, (slices, points, groups, inputs).
        matrix: (slices, groups, inputs, outputs).
        offset: (slices, groups, outputs).

    Returns:
        (slices, points, groups, outputs).
    """
    matrix = matrix.to(parts.dtype)
    if parts.shape[2] == 1:
        out = torch.bmm(parts[:, :, 0], matrix[:, 0])[:, :, None]
    else:
        out = torch.einsum("spgi,sgio->spgo", parts, matrix)
    return out if offset is None else out + offset[:, None].to(parts.dtype)


def added_by_curves(product: Product, drawn: Drawn, x: Tensor) -> Tensor:
    """What nonlinear devices add to the sums without errors, (points, groups, outputs).

    Args:
        product: the matrix.
        drawn: its conductances.
        x: inputs without errors, (points, groups, inputs).
    """
    differences = ideal_differences(drawn.columns_of_mean)[None]
    maps = affine_of(differences, drawn.nominal, product.matrix.config)
    return product.solve(drawn.mean, x) - apply_maps(x[None], *maps)[0]


def _multiply_without_errors(product: Product, x: Tensor) -> Tensor:
    matrix = product.matrix
    placed = place(product.weight, matrix.line(product.bias), matrix.config)
    nominal = wanted_state(matrix, placed)
    if not matrix.is_affine:
        return product.solve(nominal, x)
    map_, offset = matrix.reduce([nominal])[0]
    return apply_maps(x[None], map_[None], None if offset is None else offset[None])[0]


def wanted_state(matrix: ArrayMatrix, placed: PairConductances) -> PairConductances:
    """A matrix on its arrays as its weights say, whatever they hold and whatever their errors."""
    layout = matrix.layout
    return layout.logical(matrix, placed, layout.physical(matrix, placed))


@contextmanager
def without_errors() -> Iterator[Run]:
    """A block in which all arrays hold what the weights say, in training too."""
    with multiply_by(_multiply_without_errors) as run:
        yield run


def solve_each(product: Product, states: Sequence[PairConductances], parts: Tensor) -> Tensor:
    """Sums (slices, points, groups, outputs), the arrays of every slice solved by themselves."""
    sums = [product.solve(state, x) for state, x in zip(states, parts, strict=True)]
    return torch.stack(sums)
