"""Which torch layers can stand on arrays: one registry by exact type, open to users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from xbarspice.core.errors import broken_rule
from xbarspice.nn.layers import CrossbarLayer

__all__ = ["layer_types", "register", "replacement"]

_LAYERS: dict[type[nn.Module], type[CrossbarLayer]] = {}
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
        InputError: the class is no `CrossbarLayer`.
    """

    def add(cls: Layer) -> Layer:
        if not (isinstance(cls, type) and issubclass(cls, CrossbarLayer)):
            raise broken_rule(
                "a layer on arrays must be a subclass of CrossbarLayer",
                repr(cls),
                "See xbarspice.nn.CrossbarLayer.",
            )
        cls.torch_type = torch_type
        _LAYERS[torch_type] = cls
        return cls

    return add


def layer_types() -> dict[type[nn.Module], type[CrossbarLayer]]:
    """Torch layers that can stand on arrays, and what replaces them."""
    return dict(_LAYERS)


def replacement(layer: nn.Module) -> type[CrossbarLayer] | None:
    """What replaces a layer: by its exact type, or that of a parent it computes exactly like."""
    for parent in type(layer).__mro__:
        if parent in _LAYERS:
            return _LAYERS[parent]
        if set(vars(parent)) - HARMLESS:
            return None
    return None


def registered_parent(layer: Any) -> type[nn.Module] | None:
    """The registered type that a layer is a subclass of, whatever it overrides."""
    return next((parent for parent in type(layer).__mro__ if parent in _LAYERS), None)
