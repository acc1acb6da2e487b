"""Whether every layer on arrays really computed in a model's forward."""

from __future__ import annotations

from torch import nn

from xbarspice.core.errors import XbarspiceError
from xbarspice.nn.layers import CrossbarLayer, crossbar_layers

__all__ = ["silent_layers", "watch"]


def watch(model: nn.Module, on: bool = True) -> None:
    """Let a model check after each forward that no weight on arrays was used past its arrays.

    What is looked at are operations on a weight that the forward fetched from a layer, not its
    type, device or shape. `on` False takes the check away again.
    """
    for hooks in (model._forward_pre_hooks, model._forward_hooks):
        for key in [k for k, hook in hooks.items() if hook in (_begin, _end, _stop)]:
            del hooks[key]
            model._forward_hooks_always_called.pop(key, None)
    if on:
        model.register_forward_pre_hook(_begin)
        model.register_forward_hook(_stop, always_call=True)
        model.register_forward_hook(_end)


def _begin(model: nn.Module, _inputs: object) -> None:
    for layer in crossbar_layers(model).values():
        layer.use.reset()
        layer.use.watched = True


def _stop(model: nn.Module, _inputs: object, _output: object) -> None:
    for layer in crossbar_layers(model).values():
        layer.use.watched = False


def _end(model: nn.Module, _inputs: object, _output: object) -> None:
    for name, layer in crossbar_layers(model).items():
        if layer.use.reads:
            raise XbarspiceError(_describe_use(name, layer))


def _describe_use(name: str, layer: CrossbarLayer) -> str:
    reads, where = ", ".join(layer.use.reads), name or type(layer).__name__
    how = "beside calling the layer" if layer.use.calls else "and never calls the layer"
    return (
        f"a layer on arrays must compute its own products: the forward uses {reads} of `{where}` "
        f"itself {how}, so that its arrays are not in all of the answer. Call the layer alone, or "
        f"leave it ideal with exclude=[{name!r}]."
    )


def silent_layers(model: nn.Module) -> list[str]:
    """Layers on arrays that the last forward neither read nor called."""
    return [
        name
        for name, layer in crossbar_layers(model).items()
        if not layer.use.calls and not layer.use.reads
    ]
