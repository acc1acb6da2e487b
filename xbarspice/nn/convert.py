"""Put the matrix layers of a trained model onto arrays, and take them back."""

from __future__ import annotations

import copy
import fnmatch
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from xbarspice.config.card import KEPT
from xbarspice.core.errors import InputError, broken_rule, first_line
from xbarspice.core.seeds import child_seed
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import origin, ranges
from xbarspice.nn.arguments import as_arguments
from xbarspice.nn.batchnorm import fold
from xbarspice.nn.coverage import ATTRIBUTE as PRODUCTS
from xbarspice.nn.coverage import measure
from xbarspice.nn.graph import lift
from xbarspice.nn.layers import CrossbarLayer, crossbar_layers, matrices_of
from xbarspice.nn.layout import arrange
from xbarspice.nn.registration import layer_types, parent_in_registry, replacement
from xbarspice.nn.use import watch

__all__ = ["convert", "copy_circuit", "fits", "program", "to_torch"]

Configs = ArrayConfig | Mapping[str, ArrayConfig | None]


def convert(
    model: nn.Module,
    config: Configs | None = None,
    *,
    calibrate: Any = None,
    quantile: float = 1.0,
    exclude: Sequence[str] = (),
    fold_batchnorm: bool = False,
    seed: int = 0,
) -> Any:
    """A deep copy of a model whose matrix layers stand on passive arrays.

    The copy is an ordinary torch module with the same `state_dict` (plain weights and biases), so
    checkpoints move between the two, and ordinary optimisers train it. Layers are replaced by their
    exact type (`nn.layer_types()`); a layer that is shared stays shared, its hooks move with it.

    Args:
        model: any module, trained or not; it is left as it is.
        config: one configuration for all layers, or one a layer by its name in
            `model.named_modules()` or a pattern such as ``"encoder.*"`` (the first that fits
            counts); a layer that none names, or named with None, stays ideal. None means the
            default configuration for all.
        calibrate: inputs of the model (a tensor, a tuple of arguments, a dictionary of those by
            name, or both as ``(tuple, dict)``). The model runs on them
            once: every layer's `x_scale` and ADC range are set from what it sees, the coverage of
            the model is recorded, and the original's outputs are kept for the import gate.
        quantile: share of the inputs of a layer that its `x_scale` covers; 1 is the largest.
        exclude: names or patterns of layers that stay ideal.
        fold_batchnorm: fold batch normalisation into the layer before it, where that is exact
            (an adjacent pair in evaluation mode). Folded weights of single precision are rounded
            once, to about 1e-7, which the import gate then allows for and says.
        seed: of the errors of `ArrayConfig.variation`.

    Raises:
        InputError: nothing stands on arrays; a name fits no layer; a layer's forward, weight or
            options cannot be carried over exactly.
    """
    if not isinstance(model, fx.GraphModule):
        _choose_layers(model, config, exclude)  # refuses before any work
    out = _copy(model)
    if isinstance(out, fx.GraphModule):
        out = lift(out, batchnorm=fold_batchnorm)
    folded = fold(out) if fold_batchnorm else 0
    configs = _choose_layers(out, config, exclude)
    if not configs:
        raise broken_rule(
            "a converted model must have a layer on arrays",
            "none chosen" if _convertible(out) else f"no layer of {_type_names()}",
            "Name a layer in `config`, take it out of `exclude`, or register its type.",
        )
    out = _put_on_arrays(out, configs, seed)
    arrange(list(crossbar_layers(out).values()))
    _bypass_fused(out)
    watch(out)
    if calibrate is not None:
        inputs = as_arguments(calibrate)
        origin.remember(out, model, inputs, folded=folded)
        measure(out, to_torch(out), inputs)
        ranges.calibrate(out, inputs, quantile)
    return out


def _put_on_arrays(model: nn.Module, configs: Mapping[str, ArrayConfig], seed: int) -> nn.Module:
    """The model with these layers on arrays; one that is shared is replaced once."""
    on_arrays: dict[int, CrossbarLayer] = {}
    for name, config in configs.items():
        layer = model.get_submodule(name)
        if id(layer) not in on_arrays:
            on_arrays[id(layer)] = _on_arrays(name, layer, config, seed)
    return _replace(model, {key: (lambda _, new=new: new) for key, new in on_arrays.items()})


def copy_circuit(model: nn.Module) -> Any:
    """A deep copy of a converted model with all that `convert` keeps on it.

    torch's copy of an exported graph leaves out what is not its own.
    """
    out = _copy(model)
    for name in (origin.ATTRIBUTE, PRODUCTS, KEPT):
        if name in model.__dict__:
            object.__setattr__(out, name, model.__dict__[name])
    watch(out)
    return out


def to_torch(model: nn.Module) -> Any:
    """A deep copy of a converted model with plain `torch.nn` layers in place of the arrays."""
    out = _copy(model)
    watch(out, False)
    makers = {id(layer): _plain for layer in crossbar_layers(out).values()}
    out = _replace(out, makers)
    _bypass_fused(out, False)
    return out


def _copy(model: nn.Module) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, of exported graphs
            return copy.deepcopy(model)
    except RuntimeError as error:  # torch refuses to copy tensors that a hook has computed
        raise broken_rule(
            "a model must be one that copy.deepcopy can copy",
            first_line(error),
            "Make computed weights plain (remove_weight_norm, remove_spectral_norm, prune.remove).",
        ) from error


def _plain(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, CrossbarLayer):
        raise AssertionError("only layers on arrays are asked for")
    return _with_hooks(layer, layer.to_torch())


def program(model: nn.Module, transfer: int | None) -> None:
    """Let all arrays hold one transfer, a draw of their `variation`, in evaluation.

    Args:
        model: a converted model.
        transfer: number of the draw; the same number gives the same errors. None: no errors.
    """
    for matrix in matrices_of(model):
        matrix.transfer = transfer


def _type_names() -> list[str]:
    return sorted(kind.__name__ for kind in layer_types())


def _convertible(model: nn.Module) -> dict[str, nn.Module]:
    """Layers that can or might stand on arrays; parts of such a layer belong to it."""
    out: dict[str, nn.Module] = {}
    for name, layer in model.named_modules(remove_duplicate=False):
        inside = any(
            type(owner) is nn.MultiheadAttention and name.startswith(f"{path}." if path else "")
            for path, owner in out.items()
        )
        if not inside and parent_in_registry(layer) is not None:
            out[name] = layer
    return out


def _choose_layers(
    model: nn.Module, config: Configs | None, exclude: Sequence[str]
) -> dict[str, ArrayConfig]:
    """Configuration of every layer to be replaced, by name."""
    layers = _convertible(model)
    patterns = {"*": config or ArrayConfig()} if not isinstance(config, Mapping) else dict(config)
    named = list(patterns) if isinstance(config, Mapping) else []
    unknown = [p for p in named if not any(fits(name, p) for name in layers)]
    modules = [name for name, _ in model.named_modules(remove_duplicate=False)]
    unknown += [p for p in exclude if not any(fits(name, p) for name in modules)]
    if unknown:
        raise broken_rule(
            "`config` and `exclude` must name layers that can stand on arrays",
            unknown,
            f"Its layers are {sorted(layers)}.",
        )
    out = {}
    for name, layer in layers.items():
        layer_config = next((c for pattern, c in patterns.items() if fits(name, pattern)), None)
        if layer_config is None or any(fits(name, pattern) for pattern in exclude):
            continue
        _refuse_changed(name, layer)
        out[name] = layer_config
    _refuse_bilinear(model, exclude)
    return out


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern such as ``"encoder.*"`` names a layer."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _refuse_bilinear(model: nn.Module, exclude: Sequence[str]) -> None:
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Bilinear) and not any(fits(name, p) for p in exclude):
            raise broken_rule(
                "every matrix layer must be able to stand on arrays",
                f"`{name}` is a Bilinear layer, a product of two inputs",
                f"Leave it ideal with exclude=[{name!r}].",
            )


def _refuse_changed(name: str, layer: nn.Module) -> None:
    """Raise for a layer that computes something else than its registered type."""
    remedy = f"Leave it ideal with exclude=[{name!r}], or register its type with xb.nn.register."
    if parametrize.is_parametrized(layer):
        raise broken_rule(
            "a layer on arrays must own its weight",
            f"`{name}` is parametrised",
            "Make it plain with torch.nn.utils.parametrize.remove_parametrizations. " + remedy,
        )
    computed = [
        key
        for key in layer.__dict__
        if isinstance(layer.__dict__[key], Tensor) and f"{key}_orig" in layer._parameters
    ]
    hooked = [type(hook).__name__ for hook in layer._forward_pre_hooks.values()]
    if computed or {"WeightNorm", "SpectralNorm"} & set(hooked):
        raise broken_rule(
            "a layer on arrays must own its weight",
            f"`{name}` computes {computed or 'its weight'} in a hook",
            "Make it plain (remove_weight_norm, remove_spectral_norm, prune.remove). " + remedy,
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in layer.parameters()):
        raise broken_rule(
            "a layer on arrays must have its weights",
            f"`{name}` is not initialised",
            "Run the model once before it is converted. " + remedy,
        )
    if replacement(layer) is None or "forward" in layer.__dict__:
        kind = parent_in_registry(layer)
        raise broken_rule(
            "a layer is replaced by its exact type",
            f"`{name}` is a {type(layer).__name__}, which changes {kind.__name__ if kind else '?'}",
            remedy,
        )


def _on_arrays(name: str, layer: nn.Module, config: ArrayConfig, seed: int) -> CrossbarLayer:
    cls = replacement(layer)
    if cls is None:
        raise AssertionError("changed layers have been refused")
    try:
        out = cls.from_torch(layer, config)
    except InputError as error:
        raise InputError(f"layer `{name}`: {error}") from None
    for path, inner in out.named_modules():
        if isinstance(inner, CrossbarLayer):
            whole = ".".join(part for part in (name, path) if part)
            for key, matrix in inner.matrices.items():
                matrix.name = whole if key == "weight" else f"{whole}:{key}".lstrip(":")
                matrix.seed = child_seed(seed, matrix.name)
    return _with_hooks(layer, out)  # type: ignore[return-value]


HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _with_hooks(source: nn.Module, target: nn.Module) -> nn.Module:
    """The target with all hooks of the source."""
    for name in HOOKS:
        if name in source.__dict__:
            target.__dict__[name] = source.__dict__[name]
    return target


def _replace(model: nn.Module, makers: Mapping[int, Callable[[nn.Module], nn.Module]]) -> nn.Module:
    """Put new layers in place of those with these ids, under every name; shared stays shared."""
    memo: dict[int, nn.Module] = {}

    def new(layer: nn.Module) -> nn.Module:
        if id(layer) not in memo:
            memo[id(layer)] = makers[id(layer)](layer)
        return memo[id(layer)]

    if id(model) in makers:
        return new(model)
    before = list(model.modules())  # held until the end: an id is one only while its object lives
    parents = deque(before)  # from the root on: a layer is made before its parts are
    while parents:
        parent = parents.popleft()
        for key, child in list(parent._modules.items()):
            if child is not None and id(child) in makers:
                if id(child) not in memo:
                    parents += new(child).modules()  # it may hold layers to replace itself
                parent._modules[key] = new(child)
    return model


def _bypass_fused(model: nn.Module, bypass: bool = True) -> None:
    """Keep torch's fused evaluation, which reads the weights itself, away from layers on arrays."""
    for layer in model.modules():
        if not isinstance(layer, nn.TransformerEncoderLayer):
            continue
        on_arrays = any(isinstance(m, CrossbarLayer) for m in layer.modules())
        if bypass and on_arrays and layer.activation_relu_or_gelu:
            layer._xbarspice_fused = layer.activation_relu_or_gelu  # type: ignore[assignment]
            layer.activation_relu_or_gelu = 0
        elif not bypass and "_xbarspice_fused" in layer.__dict__:
            layer.activation_relu_or_gelu = layer.__dict__.pop("_xbarspice_fused")
