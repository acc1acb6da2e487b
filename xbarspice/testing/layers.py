"""The kit for torch layers on arrays: the layer that it replaces, through an array and back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.wires import IDEAL
from xbarspice.mapping import ArrayConfig
from xbarspice.testing.rules import Rules, need

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xbarspice.nn import CrossbarLayer

__all__ = ["check_layer"]

LIMIT = 1e-9
PLACES = 3
"""Entries of each parameter and input whose gradients are compared with differences."""


def check_layer(
    crossbar_type: type[CrossbarLayer],
    torch_layer: nn.Module,
    inputs: Sequence[Any],
    *,
    config: ArrayConfig | None = None,
) -> list[str]:
    """Hold a layer on arrays to the torch layer that it replaces.

    Args:
        crossbar_type: the class that is registered for the exact type of `torch_layer`.
        torch_layer: a layer of torch; a copy in double precision and `eval` is used.
        inputs: the arguments of its forward: float64 tensors, or tuples of them.
        config: how it stands on arrays; None: tiles of 6x8, so that small layers take several.
            Its resistances are replaced where ideal wires are tried.

    Returns:
        The rules that held.

    Raises:
        AssertionError: a rule broke; the text names it.
    """
    from dataclasses import replace

    from xbarspice.nn import layer_types

    rules = Rules(f"layer {crossbar_type.__name__}")
    plain = copy.deepcopy(torch_layer).double().eval()
    config = config or ArrayConfig(tile_rows=6, tile_cols=8)
    with rules.rule("it is registered for the exact type of the torch layer"):
        registered = layer_types().get(type(plain))
        need(registered is crossbar_type, f"{type(plain).__name__} is replaced by {registered}")
    with rules.rule("`from_torch` gives a layer of this class"):
        layer = crossbar_type.from_torch(copy.deepcopy(plain), config)
        need(type(layer) is crossbar_type, f"it gave a {type(layer).__name__}")
    _check_state(rules, layer, plain, inputs)
    ideal = crossbar_type.from_torch(copy.deepcopy(plain), replace(config, **IDEAL))
    _check_products(rules, layer, ideal, plain, inputs)
    _check_gradients(rules, layer, inputs)
    _check_copies(rules, layer, inputs)
    return rules.held


def _outputs(layer: nn.Module, inputs: Sequence[Any]) -> list[Tensor]:
    """All tensors of an answer, in their order."""
    return _tensors(layer(*inputs))


def _tensors(value: Any) -> list[Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _compare(outputs: list[Tensor], expected: list[Tensor], limit: float = LIMIT) -> None:
    import torch

    need(len(outputs) == len(expected), f"{len(outputs)} tensors instead of {len(expected)}")
    for a, b in zip(outputs, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=limit)


def _check_state(
    rules: Rules, layer: CrossbarLayer, plain: nn.Module, inputs: Sequence[Any]
) -> None:
    import torch

    with rules.rule("the state_dict has the keys and shapes of the torch layer's"):
        shapes, expected = (
            {key: tuple(value.shape) for key, value in module.state_dict().items()}
            for module in (layer, plain)
        )
        need(shapes == expected, f"{shapes} instead of {expected}")
    with rules.rule("`to_torch` gives the torch layer back, with equal outputs"):
        back = layer.to_torch()
        need(type(back) is type(plain), f"it gave a {type(back).__name__}")
        with torch.no_grad():
            _compare(_outputs(back, inputs), _outputs(plain, inputs), 0.0)
    with rules.rule("`weight_matrices` gives (groups, outputs, inputs) and (groups, outputs)"):
        for name, weight, bias in layer.weight_matrices():
            need(name in layer.matrices, f"{name!r} is none of {list(layer.matrices)}")
            need(weight.ndim == 3, f"the weight of {name!r} has the shape {tuple(weight.shape)}")
            right = bias is None or bias.shape == weight.shape[:2]
            need(right, f"the bias of {name!r} has another shape than {tuple(weight.shape[:2])}")
        need(layer.matrices and layer.tiles(), "it has no array")


def _check_products(
    rules: Rules,
    layer: CrossbarLayer,
    ideal: CrossbarLayer,
    plain: nn.Module,
    inputs: Sequence[Any],
) -> None:
    import torch

    from xbarspice.nn import exact_products, through

    with torch.no_grad():
        expected = _outputs(plain, inputs)
        with rules.rule("exact products give the torch layer's outputs (1e-9)"), exact_products():
            _compare(_outputs(layer, inputs), expected)
        with rules.rule("on arrays without wires its outputs are the torch layer's (1e-9)"):
            _compare(_outputs(ideal, inputs), expected)
        with rules.rule("its wires are in the answer"):
            worn = _outputs(layer, inputs)
            moved = max(float((a - b).abs().max()) for a, b in zip(worn, expected, strict=True))
            need(moved > LIMIT, "the answer with wires is the one without")
        with rules.rule("solved by the nodal engine it gives the same (1e-9)"), through("nodal"):
            _compare(_outputs(layer, inputs), worn)


def _check_gradients(rules: Rules, layer: CrossbarLayer, inputs: Sequence[Any]) -> None:
    import torch

    leaves = [tensor.detach().clone().requires_grad_() for tensor in _tensors(tuple(inputs))]

    def rebuild(value: Any, tensors: list[Tensor]) -> Any:
        if isinstance(value, torch.Tensor):
            return tensors.pop(0)
        if isinstance(value, tuple | list):
            return tuple(rebuild(item, tensors) for item in value)
        return value

    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.rand(t.shape, generator=generator, dtype=t.dtype)
        for t in (o.detach() for o in _outputs(layer, inputs))
    ]

    def loss() -> Tensor:
        outputs = _outputs(layer, rebuild(tuple(inputs), list(leaves)))
        return torch.stack([(w * o).sum() for w, o in zip(weights, outputs, strict=True)]).sum()

    named = {name: p for name, p in layer.named_parameters() if p.requires_grad}
    named |= {f"input {k}": leaf for k, leaf in enumerate(leaves) if leaf.is_floating_point()}
    with rules.rule("gradients of parameters and inputs are those of finite differences (1e-5)"):
        gradients = torch.autograd.grad(loss(), list(named.values()), allow_unused=True)
        scale = max(float(g.abs().max()) for g in gradients if g is not None)
        for (name, tensor), gradient in zip(named.items(), gradients, strict=True):
            places = np.random.default_rng(0).integers(0, tensor.numel(), PLACES)
            for place in map(int, places):
                slope = _difference(loss, tensor, place)
                value = 0.0 if gradient is None else float(gradient.reshape(-1)[place])
                text = f"{name}[{place}]: {value:.9g} instead of {slope:.9g}"
                need(abs(value - slope) <= 1e-5 * scale, text)


def _difference(loss: Any, tensor: Tensor, place: int, step: float = 1e-5) -> float:
    import torch

    values = []
    with torch.no_grad():
        entry = tensor.reshape(-1)[place : place + 1]
        before = entry.clone()
        for sign in (1, -1):
            entry.copy_(before + sign * step)
            values.append(float(loss()))
        entry.copy_(before)
    return (values[0] - values[1]) / (2 * step)


def _check_copies(rules: Rules, layer: CrossbarLayer, inputs: Sequence[Any]) -> None:
    import torch

    with torch.no_grad():
        expected = _outputs(layer, inputs)
        with rules.rule("a deep copy computes the same and shares no parameter"):
            twin = copy.deepcopy(layer)
            _compare(_outputs(twin, inputs), expected, 0.0)
            addresses = {p.data_ptr() for p in layer.parameters()}
            need(not addresses & {p.data_ptr() for p in twin.parameters()}, "a parameter is shared")
        with rules.rule("it can be pickled"):
            twin = pickle.loads(pickle.dumps(layer))  # noqa: S301 - its own bytes
            _compare(_outputs(twin, inputs), expected, 0.0)
