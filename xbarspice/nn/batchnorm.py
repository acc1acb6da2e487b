"""Batch normalisation folded into the layer before it, where that is exact."""

from __future__ import annotations

import copy
from itertools import pairwise

from torch import nn
from torch.fx import Node, symbolic_trace
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

__all__ = ["fold"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold(model: nn.Module) -> int:
    """Replace every batch normalisation of a model that can be folded by an identity.

    It can be where it runs on its running statistics (evaluation mode) and its only input is the
    output of one linear or convolution layer that nothing else uses. The order of layers is that of
    a trace of the model or, where it cannot be traced, of its `Sequential` parts.

    Returns:
        How many were folded.
    """
    folded = 0
    for before, norm in _pairs(model):
        layer, bn = model.get_submodule(before), model.get_submodule(norm)
        if bn.training or bn.running_mean is None:
            continue
        if type(layer) not in (nn.Linear, *CONVOLUTIONS, *TRANSPOSED):
            continue
        dtype = layer.weight.dtype
        layer, bn = (copy.deepcopy(m).double() for m in (layer, bn))  # rounded once
        if type(layer) is nn.Linear:
            fused: nn.Module = fuse_linear_bn_eval(layer, bn)  # type: ignore[arg-type]
        else:
            fused = fuse_conv_bn_eval(layer, bn, transpose=type(layer) in TRANSPOSED)  # type: ignore[arg-type]
        model.set_submodule(before, fused.to(dtype))  # type: ignore[arg-type]
        model.set_submodule(norm, nn.Identity())
        folded += 1
    return folded


def _pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Names of (layer, batch normalisation) that follow each other directly."""
    try:
        graph = symbolic_trace(model).graph
    except Exception:  # any code may be in a forward; what cannot be traced has its Sequentials
        return _sequential_pairs(model)
    out = []
    calls: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    for node in graph.nodes:
        if node.op != "call_module" or type(model.get_submodule(str(node.target))) not in NORMS:
            continue
        source = node.args[0] if node.args else None
        if not isinstance(source, Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        if calls[str(source.target)] == calls[str(node.target)] == 1:
            out.append((str(source.target), str(node.target)))
    return out


def _sequential_pairs(model: nn.Module) -> list[tuple[str, str]]:
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    out = []
    for path, parent in model.named_modules():
        if type(parent) is not nn.Sequential:
            continue
        children = list(parent.named_children())
        for (first, layer), (second, norm) in pairwise(children):
            if type(norm) in NORMS and len(names[id(layer)]) == len(names[id(norm)]) == 1:
                prefix = f"{path}." if path else ""
                out.append((prefix + first, prefix + second))
    return out
