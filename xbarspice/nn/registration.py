"""Which torch layers can stand on arrays: by exact type, open to users."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from xbarspice.core.errors import broken_rule
from xbarspice.core.registry import Registry
from xbarspice.nn.layers import CrossbarLayer

__all__ = ["layer_types", "register", "registry", "replacement"]

registry: Registry[type[CrossbarLayer]] = Registry(
    "torch layer", "Register its type with xb.nn.register."
)
"""Layers on arrays by the full name of the torch type that they replace."""

Layer = TypeVar("Layer", bound=type[CrossbarLayer])

HARMLESS = {
    "__init__",
    "__module__",
    "__doc__",
    "__annotations__",
    "__constants__",
    "__qualname__",
    "__parameters__",
    "__orig_bases__",
    "__firstlineno__",
    "__static_attributes__",
    "extra_repr",
    "reset_parameters",
}
"""What a subclass may define and still compute as its parent does."""


def register(torch_type: type[nn.Module]) -> Callable[[Layer], Layer]:
    """Class decorator: the class replaces layers of exactly this type.

    A registered class has `from_torch` and `to_torch`; see `CrossbarLayer`.

    Raises:
        InputError: the class is no `CrossbarLayer`, or the type has one already.
    """

    def add(cls: Layer) -> Layer:
        if not (isinstance(cls, type) and issubclass(cls, CrossbarLayer)):
            raise broken_rule(
                "a layer on arrays must be a subclass of CrossbarLayer",
                repr(cls),
                "See xbarspice.nn.CrossbarLayer.",
            )
        cls.torch_type = torch_type
        registry.add(_name_of(torch_type), cls)
        return cls

    return add


def _name_of(torch_type: type[nn.Module]) -> str:
    return f"{torch_type.__module__}.{torch_type.__qualname__}"


def _layer_for(torch_type: type) -> type[CrossbarLayer] | None:
    """The layer that is registered for exactly this type."""
    name = _name_of(torch_type)
    layer = registry.get(name) if name in registry else None
    return layer if layer is not None and layer.torch_type is torch_type else None


def layer_types() -> dict[type[nn.Module], type[CrossbarLayer]]:
    """Torch layers that can stand on arrays, and what replaces them."""
    layers = [registry.get(name) for name in registry]
    return {layer.torch_type: layer for layer in layers}


def replacement(layer: nn.Module) -> type[CrossbarLayer] | None:
    """What replaces a layer: by its exact type, or that of a parent it computes exactly like."""
    for parent in type(layer).__mro__:
        crossbar_layer = _layer_for(parent)
        if crossbar_layer is not None:
            return crossbar_layer
        if set(vars(parent)) - HARMLESS:
            return None
    return None


def parent_in_registry(layer: nn.Module) -> type[nn.Module] | None:
    """The registered type that a layer is a subclass of, whatever it overrides."""
    return next((p for p in type(layer).__mro__ if _layer_for(p) is not None), None)
