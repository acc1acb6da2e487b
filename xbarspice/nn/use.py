"""Whether every layer on arrays really computed in a model's forward."""

from __future__ import annotations

from typing import Any

from torch import nn

from xbarspice.errors import XbarspiceError
from xbarspice.nn.layers import crossbar_layers

__all__ = ["silent_layers", "watch"]


def watch(model: nn.Module, on: bool = True) -> None:
    """Let a model check after each forward that no weight on arrays was used past its arrays.

    `on` False takes the check away again.
    """
    for hooks in (model._forward_pre_hooks, model._forward_hooks):
        for key in [k for k, hook in hooks.items() if hook in (_begin, _end)]:
            del hooks[key]
    if on:
        model.register_forward_pre_hook(_begin)
        model.register_forward_hook(_end)


def _begin(model: nn.Module, _inputs: Any) -> None:
    for layer in crossbar_layers(model).values():
        layer.use.reset()


def _end(model: nn.Module, _inputs: Any, _output: Any) -> None:
    for name, layer in crossbar_layers(model).items():
        if layer.use.reads and not layer.use.calls:
            raise XbarspiceError(
                "a layer on arrays must compute its own products: the forward reads "
                f"{', '.join(layer.use.reads)} of `{name or type(layer).__name__}` and never calls "
                "the layer, so its arrays are not in the answer. Call the layer, or leave it "
                f"ideal with exclude=[{name!r}]."
            )


def silent_layers(model: nn.Module) -> list[str]:
    """Layers on arrays that the last forward neither read nor called."""
    return [
        name
        for name, layer in crossbar_layers(model).items()
        if not layer.use.calls and not layer.use.reads
    ]
