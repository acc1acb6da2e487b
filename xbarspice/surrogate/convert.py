"""Put the linear and convolution layers of an existing model onto arrays, and take them back."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn

from xbarspice.errors import broken_rule
from xbarspice.surrogate.layers import CrossbarConfig, CrossbarConv2d, CrossbarLinear

__all__ = ["convert", "to_torch"]

Configs = CrossbarConfig | Mapping[str, CrossbarConfig | None]


def convert(model: nn.Module, config: Configs | None = None) -> nn.Module:
    """A deep copy of a model with its `Linear` and `Conv2d` layers on passive arrays.

    The copy has the same `state_dict` (plain weights and biases), so checkpoints move between the
    two, and ordinary optimisers train it.

    Args:
        model: any module, trained or not; it is left as it is.
        config: one configuration for all layers, or one a layer by its name in
            `model.named_modules()`; a layer that is not named, or named with None, stays ideal.
            None means the default configuration for all.

    Raises:
        InputError: a name is no `Linear` or `Conv2d` layer, or a convolution is grouped.
    """
    found = {
        name: layer
        for name, layer in model.named_modules(remove_duplicate=False)
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and not isinstance(layer, CrossbarConv2d)
    }
    if config is None or isinstance(config, CrossbarConfig):
        chosen = dict.fromkeys(found, config or CrossbarConfig())
    else:
        unknown = sorted(set(config) - set(found))
        if unknown:
            raise broken_rule(
                "`config` must name Linear or Conv2d layers of the model",
                unknown, f"Its layers are {sorted(found)}.",
            )  # fmt: skip
        chosen = {name: own for name, own in config.items() if own is not None}
    out = copy.deepcopy(model)
    for name, own in chosen.items():
        layer = out.get_submodule(name)
        if isinstance(layer, nn.Linear):
            out = _replace(out, name, CrossbarLinear.from_linear(layer, own))
        elif isinstance(layer, nn.Conv2d):
            out = _replace(out, name, CrossbarConv2d.from_conv2d(layer, own))
    return out


def to_torch(model: nn.Module) -> nn.Module:
    """A deep copy of a converted model with plain `torch.nn` layers in place of the arrays."""
    out = copy.deepcopy(model)
    for name, layer in list(out.named_modules(remove_duplicate=False)):
        if isinstance(layer, CrossbarLinear):
            plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
        elif isinstance(layer, CrossbarConv2d):
            plain = nn.Conv2d(
                layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,  # type: ignore[arg-type]
                layer.padding, layer.dilation, bias=layer.bias is not None,  # type: ignore[arg-type]
            )  # fmt: skip
        else:
            continue
        plain.weight, plain.bias = layer.weight, layer.bias  # type: ignore[assignment]
        out = _replace(out, name, plain.train(layer.training))
    return out


def _replace(model: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    """Put a layer in place of the module of that name; the model itself if the name is empty."""
    if not name:
        return layer
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)
    return model
