"""Inputs in another range: the same function with its first layer expressed anew."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.core.values import number_of
from xbarspice.nn.origin import outputs_of

__all__ = ["InputMap", "reexpress_inputs"]

FIRST = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers that take a linear map of their inputs into weight and bias."""
SAME = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest change of an output, over the largest of its kind, that rounding may leave."""


@dataclass(frozen=True, kw_only=True)
class InputMap:
    """``gain * x + offset``: inputs of the original model as the re-expressed one takes them."""

    gain: float = 1.0
    offset: float = 0.0

    def apply(self, x: Tensor) -> Tensor:
        """Inputs of any shape in the new range."""
        return x if (self.gain, self.offset) == (1.0, 0.0) else self.gain * x + self.offset


def reexpress_inputs(
    model: nn.Module, x: Tensor, to: tuple[float, float] = (-1.0, 1.0)
) -> tuple[nn.Module, InputMap]:
    """The same function for inputs in another range.

    With ``x' = gain x + offset`` a first layer ``W x + b`` is ``(W / gain) x' + b - W offset /
    gain``: its array is driven with both signs where `to` has both, and its bias takes the shift.

    Args:
        model: a plain torch module; it is left as it is.
        x: inputs, (points, ...); their smallest and largest become the ends of `to`.
        to: the new range, low and high.

    Returns:
        A copy of the model, and the map that its inputs need.

    Raises:
        InputError: `to` is no range, the inputs are all equal, or no first layers can take the map
            (padding with zeros, or an input that is used elsewhere too).
    """
    low, high = (number_of("to", value) for value in to)
    start, end = float(x.min()), float(x.max())
    if not low < high or not start < end:
        raise broken_rule(
            "inputs are moved from one range of numbers to another",
            f"from {start:g} to {end:g}, to {low:g} to {high:g}",
            "Give `to` as (low, high), and inputs that differ.",
        )
    gain = (high - low) / (end - start)
    encode = InputMap(gain=gain, offset=low - gain * start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of exported graphs
        out = copy.deepcopy(model)
    with torch.no_grad():
        for layer in _first_layers(out, x):
            _take_map(layer, encode)
    _check_same(model, out, x, encode)
    return out, encode


def _first_layers(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """Layers that are given the inputs of the model themselves, in any shape."""
    layers: dict[nn.Module, None] = {}
    with _see_inputs(model, x, layers):
        outputs_of(model, (x,))
    return list(layers)


@contextmanager
def _see_inputs(model: nn.Module, x: Tensor, layers: dict[nn.Module, None]) -> Iterator[None]:
    def see(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen = inputs[0]
        if seen.numel() == x.numel() and torch.equal(seen.flatten(), x.flatten()):
            layers[layer] = None

    handles = [m.register_forward_pre_hook(see) for m in model.modules() if type(m) in FIRST]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _take_map(layer: nn.Module, encode: InputMap) -> None:
    weight, bias = layer.weight, layer.bias
    if not isinstance(weight, nn.Parameter):
        raise AssertionError("layers with a weight alone are chosen")
    weight /= encode.gain
    shift = -encode.offset * weight.flatten(1).sum(dim=1)
    if bias is None:
        layer.bias = nn.Parameter(shift)
    elif isinstance(bias, nn.Parameter):
        bias += shift


def _check_same(model: nn.Module, changed: nn.Module, x: Tensor, encode: InputMap) -> None:
    """Raise unless the changed model computes the same."""
    before, after = outputs_of(model, (x,)), outputs_of(changed, (encode.apply(x),))
    errors = [
        float((a - b).abs().max()) / (float(a.abs().max()) or 1.0)
        for a, b in zip(before, after, strict=True)
    ]
    if not all(error <= SAME.get(x.dtype, 1e-4) for error in errors):
        raise broken_rule(
            "inputs can move to another range where linear layers alone take them, unpadded",
            f"outputs that change by {max(errors):.2g} of the largest",
            'Use the choice centring="middle", which drives the same range about 0 V.',
        )
