"""ONNX operators without weights, as functions of torch tensors.

Each follows https://onnx.ai/onnx/operators/ of opset 7 and later: inputs in their order, then the
attributes by name, in which an attribute that a function does not take is refused. Where later
opsets turned an attribute into an input (axes, pads, limits), the function takes both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from xbarspice.importers.onnx_norms import NORMS
from xbarspice.importers.onnx_pools import POOLS
from xbarspice.importers.onnx_shapes import SHAPES

__all__ = ["OPERATORS"]

Tensor = torch.Tensor


def divide(x: Tensor, y: Tensor) -> Tensor:
    """Quotient; of integers the one towards zero."""
    whole = not (x.is_floating_point() or y.is_floating_point())
    return torch.div(x, y, rounding_mode="trunc" if whole else None)


def remainder(x: Tensor, y: Tensor, *, fmod: int = 0) -> Tensor:
    """Remainder with the divisor's sign, or the dividend's with `fmod`."""
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)


def power(x: Tensor, y: Tensor) -> Tensor:
    """Power in the type of the base."""
    return torch.pow(x, y).to(x.dtype)


def clip(
    x: Tensor,
    low: Tensor | None = None,
    high: Tensor | None = None,
    *,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
) -> Tensor:
    """Limit values from both sides; the upper limit wins."""
    floor = low if low is not None else min
    ceiling = high if high is not None else max
    if floor is None and ceiling is None:
        return x
    return torch.clamp(x, floor, ceiling)  # type: ignore[call-overload]


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit."""
    return functional.gelu(x, approximate=approximate)


def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit."""
    return functional.elu(x, alpha)


def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Continuously differentiable exponential linear unit."""
    return functional.celu(x, alpha)


def selu(x: Tensor, *, alpha: float = 1.6732632, gamma: float = 1.0507010) -> Tensor:
    """Scaled exponential linear unit with the file's own constants."""
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """Rectifier with a slope on the negative side."""
    return functional.leaky_relu(x, alpha)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Rectifier with given slopes, broadcast to the input from the right."""
    return torch.where(x < 0, slope * x, x)


def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """The input where it exceeds `alpha`, else 0."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Line of slope `alpha` through `beta`, limited to 0..1."""
    return torch.clamp(alpha * x + beta, 0, 1)


def hard_swish(x: Tensor) -> Tensor:
    """Input times the hard sigmoid of slope 1/6."""
    return x * torch.clamp(x / 6 + 0.5, 0, 1)


def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """0 within +-lambd, beyond it the input moved towards 0 by `bias`."""
    moved = torch.where(x > lambd, x - bias, torch.zeros_like(x))
    return torch.where(x < -lambd, x + bias, moved)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Softmax along one axis (opset 13 and later)."""
    return torch.softmax(x, axis)


def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Logarithm of the softmax along one axis (opset 13 and later)."""
    return torch.log_softmax(x, axis)


def softmax_flat(x: Tensor, *, axis: int = 1) -> Tensor:
    """Softmax over all axes from `axis` on together (before opset 13)."""
    return torch.softmax(x.flatten(axis), -1).reshape(x.shape)


def log_softmax_flat(x: Tensor, *, axis: int = 1) -> Tensor:
    """Logarithm of the softmax over all axes from `axis` on together (before opset 13)."""
    return torch.log_softmax(x.flatten(axis), -1).reshape(x.shape)


def _set_name(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function under the name that this module holds it by, so that graphs can be pickled."""
    function.__name__ = function.__qualname__ = name
    return function


def _fold(name: str, combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def fold(*tensors: Tensor) -> Tensor:
        out = tensors[0]
        for tensor in tensors[1:]:
            out = combine(out, tensor)
        return out

    return _set_name(name, fold)


add_all = _fold("add_all", torch.add)
maximum = _fold("maximum", torch.maximum)
minimum = _fold("minimum", torch.minimum)


def mean_all(*tensors: Tensor) -> Tensor:
    """Mean of all inputs, element by element."""
    return add_all(*tensors) / len(tensors)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """``alpha A B + beta C`` of two activations."""
    product = alpha * ((a.t() if transA else a) @ (b.t() if transB else b))
    return product if c is None else product + beta * c


def einsum(*tensors: Tensor, equation: str) -> Tensor:
    """Einstein sum."""
    return torch.einsum(equation, *tensors)


def dropout(
    x: Tensor,
    probability: Tensor | None = None,
    training: Tensor | None = None,
    *,
    ratio: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """The identity: the import refuses training mode."""
    return x


def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Where the input is infinite."""
    return (torch.isposinf(x) & bool(detect_positive)) | (torch.isneginf(x) & bool(detect_negative))


def _reduction(
    name: str, reduce: Callable[[Tensor, Sequence[int], bool], Tensor]
) -> Callable[..., Tensor]:
    def operator(
        x: Tensor,
        axes_input: Sequence[int] | None = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:
        along = axes_input if axes_input is not None else axes
        if not along:
            if noop_with_empty_axes:
                return x
            along = list(range(x.ndim))
        return reduce(x, along, bool(keepdims)) if along else x

    return _set_name(name, operator)


def _product(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _total(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    return torch.sum(x, dim=tuple(axes), keepdim=keep).to(x.dtype)


reduce_sum = _reduction("reduce_sum", _total)
reduce_mean = _reduction(
    "reduce_mean", lambda x, axes, keep: torch.mean(x, dim=tuple(axes), keepdim=keep)
)
reduce_max = _reduction(
    "reduce_max", lambda x, axes, keep: torch.amax(x, dim=tuple(axes), keepdim=keep)
)
reduce_min = _reduction(
    "reduce_min", lambda x, axes, keep: torch.amin(x, dim=tuple(axes), keepdim=keep)
)
reduce_prod = _reduction("reduce_prod", _product)
reduce_l1 = _reduction("reduce_l1", lambda x, axes, keep: _total(x.abs(), axes, keep))
reduce_l2 = _reduction("reduce_l2", lambda x, axes, keep: _total(x * x, axes, keep).sqrt())
reduce_square = _reduction("reduce_square", lambda x, axes, keep: _total(x * x, axes, keep))
reduce_log = _reduction("reduce_log", lambda x, axes, keep: _total(x, axes, keep).log())
reduce_logsumexp = _reduction(
    "reduce_logsumexp", lambda x, axes, keep: torch.logsumexp(x, tuple(axes), keep)
)


def _extreme(name: str, last: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def operator(
        x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
    ) -> Tensor:
        if not select_last_index:
            return last(x, dim=axis, keepdim=bool(keepdims))
        return x.shape[axis] - 1 - last(x.flip(axis), dim=axis, keepdim=bool(keepdims))

    return _set_name(name, operator)


arg_max = _extreme("arg_max", torch.argmax)
arg_min = _extreme("arg_min", torch.argmin)


def softplus(x: Tensor) -> Tensor:
    """Softplus without torch's switch to the identity above 20."""
    return torch.logaddexp(x, torch.zeros_like(x))


def mish(x: Tensor) -> Tensor:
    """Input times the hyperbolic tangent of its softplus."""
    return x * torch.tanh(softplus(x))


def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Input times the sigmoid of `alpha` times the input."""
    return x * torch.sigmoid(alpha * x)


OPERATORS: dict[str, Callable[..., Any]] = {
    **NORMS,
    **POOLS,
    **SHAPES,
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Add": torch.add,
    "And": torch.logical_and,
    "ArgMax": arg_max,
    "ArgMin": arg_min,
    "Asin": torch.asin,
    "Atan": torch.atan,
    "Ceil": torch.ceil,
    "Celu": celu,
    "Clip": clip,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Div": divide,
    "Dropout": dropout,
    "Einsum": einsum,
    "Elu": elu,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Gelu": gelu,
    "Gemm": gemm,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "IsInf": is_inf,
    "IsNaN": torch.isnan,
    "LeakyRelu": leaky_relu,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "LogSoftmax": log_softmax,
    "MatMul": torch.matmul,
    "Max": maximum,
    "Mean": mean_all,
    "Min": minimum,
    "Mish": mish,
    "Mod": remainder,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": torch.reciprocal,
    "ReduceL1": reduce_l1,
    "ReduceL2": reduce_l2,
    "ReduceLogSum": reduce_log,
    "ReduceLogSumExp": reduce_logsumexp,
    "ReduceMax": reduce_max,
    "ReduceMean": reduce_mean,
    "ReduceMin": reduce_min,
    "ReduceProd": reduce_prod,
    "ReduceSum": reduce_sum,
    "ReduceSumSquare": reduce_square,
    "Relu": torch.relu,
    "Round": torch.round,
    "Selu": selu,
    "Shrink": shrink,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softmax": softmax,
    "Softplus": softplus,
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Sum": add_all,
    "Swish": swish,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "ThresholdedRelu": thresholded_relu,
    "Xor": torch.logical_xor,
}
"""Operators by their ONNX names."""
