"""Weights as conductances of device pairs, on torch tensors, with their scales and gradients.

With the values ``v = w / w_scale`` of a weight matrix, a pair holds ``G_pos - G_neg = span v``,
``span = G_max - G_min``, and the weighted sum of an output is

    sum_i w_i x_i = w_scale x_scale / (V_read span) * sum_cells significance (I_pos - I_neg).

A bias is one more line, driven with ``V_bias = V_read beta``; its values are
``b / (w_scale x_scale beta)`` with the smallest beta for which they stay within -1 and 1. The
weight scale grows where the bias line would need more than `V_read`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice.mapping import ArrayConfig
from xbarspice.nn.boundary import as_numpy
from xbarspice.nn.effective_matrices import only_once
from xbarspice.nn.line_orders import LineOrders
from xbarspice.surrogate.pair_kernels import place_low, place_low_back

__all__ = [
    "PairConductances",
    "affine_of",
    "combine_cells",
    "ideal_differences",
    "place",
    "stack_states",
    "straight_through",
]

SMALLEST_BETA = 1e-12
"""Share of `V_read` that drives the line of a bias whose values are all 0."""


@dataclass(frozen=True, kw_only=True)
class PairConductances:
    """The conductances of a weight matrix and what its currents stand for.

    Attributes:
        G: S, (groups, lines, 2 * outputs * cells); even columns +. The last line is the bias's if
            there is one.
        sum_scale: weighted sum for a current difference of 1 A: a number, or (groups, outputs).
        V_bias: voltage of the bias line, V; None without one.
        array: all devices of the array that the matrix shares with another one, S, (rows, cols);
            None where it has arrays of its own.
        lines: of its arrays, stack by stack, with their leading axes, where lines were placed in
            each state; None: they stand as the layout says.
    """

    G: Tensor
    sum_scale: Tensor
    V_bias: Tensor | None
    array: Tensor | None = None
    lines: tuple[LineOrders, ...] | None = None


def stack_states(states: Sequence[PairConductances]) -> PairConductances:
    """Several states of one matrix as one, `G`, `array`, `lines` with an axis of states first."""
    first, *others = states
    arrays = [state.array for state in states if state.array is not None]
    lines = [state.lines for state in states if state.lines is not None]
    stacked = tuple(
        LineOrders.join([orders[None] for orders in each]) for each in zip(*lines, strict=True)
    )
    if others:
        return replace(
            first,
            G=torch.stack([state.G for state in states]),
            array=torch.stack(arrays) if arrays else None,
            lines=stacked or None,
        )
    G, array = first.G[None], arrays[0][None] if arrays else None
    return replace(first, G=G, array=array, lines=stacked or None)


def place(weight: Tensor, bias: Tensor | None, config: ArrayConfig) -> PairConductances:
    """Conductances for the weights of a matrix, differentiable once.

    Args:
        weight: (groups, outputs, inputs).
        bias: (groups, outputs) for a bias line; None for none.
        config: range, placement, scales, cells and levels.
    """
    dtype = getattr(torch, config.dtype)
    w = weight.to(dtype)
    b = None if bias is None else bias.to(dtype)
    scale = _weight_scale(w, b, config)
    V_bias = line = None
    if b is not None:
        share = b / (scale * config.x_scale)
        beta = share.abs().amax().clamp(min=SMALLEST_BETA)
        V_bias = config.V_read * beta
        line = (share / beta)[:, None, :]
    span = config.G_max - config.G_min
    place_values = _place_compiled if _is_plain(w, config) else _place_any
    return PairConductances(
        G=place_values(w, scale, line, config),
        sum_scale=scale * (config.x_scale / (config.V_read * span)),
        V_bias=V_bias,
    )


def _is_plain(w: Tensor, config: ArrayConfig) -> bool:
    """Whether one compiled pass places the weights."""
    plain = config.placement == "low" and config.clip is None and config.levels is None
    return plain and config.cells == 1 and w.device.type == "cpu"


def _place_any(w: Tensor, scale: Tensor, line: Tensor | None, config: ArrayConfig) -> Tensor:
    """Conductances, S, (groups, lines, 2 * outputs * cells), by operations of torch.

    `line` holds the values of the bias line, (groups, 1, outputs).
    """
    values = (w / _by_output(scale)).mT
    if config.clip is not None:
        values = straight_through(values.clamp(-1.0, 1.0), values, values.abs() <= 1.0)
    if line is not None:
        values = torch.cat([values, line], dim=-2)
    return _pairs_of(_digits(values, config), config)


def _place_compiled(w: Tensor, scale: Tensor, line: Tensor | None, config: ArrayConfig) -> Tensor:
    """As `_place_any` where `_is_plain`."""
    groups, outputs, _inputs = w.shape
    line = w.new_empty((groups, 0, outputs)) if line is None else line
    by_output = scale.expand(groups, outputs)
    return _LowPairs.apply(w, by_output, line, config.G_min, config.G_max)  # type: ignore[no-any-return]


def _weight_scale(w: Tensor, b: Tensor | None, config: ArrayConfig) -> Tensor:
    """Weight of the full range: a number, or (groups, outputs)."""
    per_output = config.w_scale == "output"
    if config.clip is not None and config.clip < 100:
        size, share = w.abs(), config.clip / 100
        largest = _quantile(size, share) if per_output else _quantile(size.flatten(), share)
    else:  # one pass over the weights, and no copy
        low, high = torch.aminmax(w, dim=-1) if per_output else torch.aminmax(w)
        largest = torch.maximum(high, -low)
    if b is not None:
        need = b.abs() / config.x_scale
        largest = torch.maximum(largest, need if per_output else need.amax())
    return torch.where(largest > 0, largest, torch.ones_like(largest))


def _quantile(values: Tensor, share: float) -> Tensor:
    """The smallest of the values that at least this share of the last axis does not exceed."""
    count = values.shape[-1]
    return values.kthvalue(min(max(round(share * count), 1), count), dim=-1).values


def _by_output(scale: Tensor) -> Tensor:
    """A scale as it divides weights (groups, outputs, inputs)."""
    return scale[..., None] if scale.ndim else scale


def straight_through(rounded: Tensor, exact: Tensor, inside: Tensor | None = None) -> Tensor:
    """The rounded values with the gradient of the exact ones, 0 where not `inside`.

    (Bengio et al. 2013, arXiv:1308.3432.)
    """
    passed = exact if inside is None else torch.where(inside, exact, torch.zeros_like(exact))
    return rounded.detach() + (passed - passed.detach())


def significances(config: ArrayConfig) -> list[float]:
    """What each cell of a weight counts for; their sum is 1."""
    if config.cell_code == "average":
        return [1.0 / config.cells] * config.cells
    base = config.levels
    if not isinstance(base, int):
        raise AssertionError("ArrayConfig has checked that slices have a base")
    whole = base**config.cells - 1
    return [(base - 1) * base ** (config.cells - 1 - k) / whole for k in range(config.cells)]


def _digits(values: Tensor, config: ArrayConfig) -> Tensor:
    """Values of every cell, (groups, lines, outputs * cells), from (groups, lines, outputs)."""
    if config.cells == 1:
        return values
    if config.cell_code == "average":
        return values.repeat_interleave(config.cells, dim=-1)
    base = config.levels
    if not isinstance(base, int):
        raise AssertionError("ArrayConfig has checked that slices have a base")
    number = (values.detach().abs() * (base**config.cells - 1)).round()
    digits = []
    for k in range(config.cells):
        digit = torch.floor(number / base ** (config.cells - 1 - k)) % base
        digits.append(values.detach().sign() * digit / (base - 1))
    stack = torch.stack(digits, dim=-1)
    return straight_through(stack, values[..., None].expand_as(stack)).flatten(-2)


def _pairs_of(values: Tensor, config: ArrayConfig) -> Tensor:
    """Conductances of pairs, S, (..., lines, 2 * columns), from values (..., lines, columns)."""
    low, high = config.G_min, config.G_max
    span = high - low
    up, down = span * values.clamp(min=0), span * (-values).clamp(min=0)
    if config.placement == "low":
        pos, neg = low + up, low + down
    elif config.placement == "high":
        pos, neg = high - down, high - up
    else:
        pos, neg = ((low + high) / 2 + sign * (span / 2) * values for sign in (1.0, -1.0))
    G = torch.stack([pos, neg], dim=-1).flatten(-2)
    return G if config.levels is None else _on_grid(G, config)


def _on_grid(G: Tensor, config: ArrayConfig) -> Tensor:
    """The nearest conductances that can be programmed, S; the gradient is that of `G`."""
    if isinstance(config.levels, int):
        step = (config.G_max - config.G_min) / (config.levels - 1)
        return straight_through(config.G_min + ((G - config.G_min) / step).round() * step, G)
    grid = torch.tensor(config.levels, dtype=G.dtype, device=G.device)
    upper = torch.bucketize(G.detach(), (grid[1:] + grid[:-1]) / 2)
    return straight_through(grid[upper], G)


class _LowPairs(torch.autograd.Function):
    """`_place_any` of one cell a weight with the smaller device at G_min, in one pass.

    The matrices are too small to start torch's threads for every operation of a training step.
    """

    @staticmethod
    def forward(ctx: Any, *sources: Any) -> Tensor:
        *tensors, G_min, G_max = sources
        ctx.save_for_backward(*tensors)
        w, scale, line = (as_numpy(t.contiguous()) for t in tensors)
        ctx.span = w.dtype.type(G_max - G_min)
        groups, outputs, inputs = w.shape
        out = np.empty((groups, inputs + line.shape[1], 2 * outputs), w.dtype)
        place_low(w, scale, line, ctx.span, w.dtype.type(G_min), out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        tensors = ctx.saved_tensors
        w, scale, line, by_pair = (as_numpy(t.contiguous()) for t in (*tensors, *grads))
        by_w, by_scale, by_line = np.empty_like(w), np.zeros(scale.shape), np.empty_like(line)
        place_low_back(w, scale, line, ctx.span, by_pair, by_w, by_scale, by_line)
        by_source = (by_w, by_scale.astype(w.dtype, copy=False), by_line)
        once = (only_once(torch.from_numpy(g), *tensors, *grads) for g in by_source)
        return (*once, None, None)


def combine_cells(differences: Tensor, config: ArrayConfig) -> Tensor:
    """One number an output from those of its cells along the last axis."""
    if config.cells == 1:
        return differences
    weights = torch.tensor(significances(config), dtype=differences.dtype)
    return differences.unflatten(-1, (-1, config.cells)) @ weights.to(differences.device)


def affine_of(
    differences: Tensor, programmed: PairConductances, config: ArrayConfig
) -> tuple[Tensor, Tensor | None]:
    """Matrix and offset for the inputs, from current differences for 1 V.

    Args:
        differences: S, (..., groups, lines, pairs).
        programmed: scales of the matrix.
        config: how it stands on arrays.

    Returns:
        (..., groups, inputs, outputs) and (..., groups, outputs), or None without a bias line.
    """
    matrix = combine_cells(differences, config)
    scale = programmed.sum_scale
    scale = scale[:, None, :] if scale.ndim else scale
    by_input = scale * (config.V_read / config.x_scale)
    if programmed.V_bias is None:
        return matrix * by_input, None
    lines, last = matrix.split([matrix.shape[-2] - 1, 1], dim=-2)  # one gradient, not two to add
    return lines * by_input, (last * (scale * programmed.V_bias))[..., 0, :]


def ideal_differences(G: Tensor) -> Tensor:
    """``G_pos - G_neg`` of pairs, S, (..., lines, columns), from (..., lines, 2 * columns)."""
    return G[..., 0::2] - G[..., 1::2]
