"""Penalties on what stands on arrays, and only on that."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from xbarspice.nn.layers import crossbar_layers
from xbarspice.nn.pairs import place

__all__ = ["array_weights", "line_penalty"]


def array_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weight matrices of a converted model, whose devices carry them: not biases, not norms."""
    out: dict[int, nn.Parameter] = {}
    for layer in crossbar_layers(model).values():
        for name in layer.weight_names:
            weight = layer.parameter(name)
            if isinstance(weight, nn.Parameter):
                out[id(weight)] = weight
    return list(out.values())


def line_penalty(model: nn.Module) -> Tensor:
    """Mean conductance of all devices over `G_max`, 0 to 1: what line and sneak currents grow with.

    The line penalty of Drolet et al. 2023 (arXiv:2305.18495) in the terms of conductances.
    """
    sums, devices = zip(*_sums(model), strict=True)
    total: Tensor = sum(sums)  # type: ignore[assignment]
    return total / sum(devices)


def _sums(model: nn.Module) -> Iterator[tuple[Tensor, int]]:
    for layer in crossbar_layers(model).values():
        for name, weight, bias in layer.weight_matrices():
            matrix = layer.matrices[name]
            G = place(weight, matrix.line(bias), matrix.config).G
            yield G.sum() / matrix.config.G_max, G.numel()
