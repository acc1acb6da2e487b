"""Activations, each in three forms that must be equal: NumPy, torch and a SPICE expression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.core.registry import Registry
from xbarspice.core.types import Array

__all__ = ["Activation", "get", "names", "of_module", "register", "registry"]


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A function of one number that stands between two layers.

    Attributes:
        name: by which files and commands name it.
        numpy: the function on arrays of any shape.
        torch: its class in `torch.nn`; the function is that of the class's default options.
        spice: the same as an expression of a B source; ``{v}`` stands for its argument, V for 1.
            ngspice keeps all digits of small integers only.
    """

    name: str
    numpy: Callable[[Array], Array]
    torch: str
    spice: str

    def module(self) -> Any:
        """The torch module."""
        from torch import nn

        return getattr(nn, self.torch)()

    def expression(self, argument: str) -> str:
        """The SPICE expression of an argument such as ``v(z0_1)``."""
        return self.spice.replace("{v}", argument)


registry: Registry[Activation] = Registry(
    "activation", "Name the activation that the network was trained with."
)


def register(activation: Activation) -> None:
    """Add an activation under its name, which must be new."""
    registry.add(activation.name, activation)


names = registry.names
get = registry.get


def of_module(module: Any) -> Activation | None:
    """The activation that a torch module computes, by exact type and options; None if unknown."""
    for activation in map(registry.get, registry):
        usual = activation.module()
        if type(module) is type(usual) and _options(module) == _options(usual):
            return activation
    return None


def _options(module: Any) -> dict[str, Any]:
    """What a module's constructor set; `inplace` changes no value."""
    return {
        name: value
        for name, value in module.__dict__.items()
        if not name.startswith("_") and name not in {"inplace", "training"}
    }


def _sigmoid(z: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(z, -700, 700)))


LOGISTIC = "1/(1+exp(min(-{v},80)))"
"""The bound of 80 keeps exp and its square finite and costs 2e-35."""

for _activation in (
    Activation(name="sigmoid", numpy=_sigmoid, torch="Sigmoid", spice=LOGISTIC),
    Activation(name="tanh", numpy=np.tanh, torch="Tanh", spice="tanh({v})"),
    Activation(name="relu", numpy=lambda z: np.maximum(z, 0.0), torch="ReLU", spice="max({v},0)"),
    Activation(
        name="leaky_relu",
        numpy=lambda z: np.maximum(z, z / 100),
        torch="LeakyReLU",
        spice="max({v},{v}/100)",
    ),
    Activation(
        name="relu6",
        numpy=lambda z: np.clip(z, 0.0, 6.0),
        torch="ReLU6",
        spice="min(max({v},0),6)",
    ),
    Activation(
        name="hardtanh",
        numpy=lambda z: np.clip(z, -1.0, 1.0),
        torch="Hardtanh",
        spice="min(max({v},-1),1)",
    ),
    Activation(
        name="elu",
        numpy=lambda z: np.maximum(z, 0.0) + np.expm1(np.minimum(z, 0.0)),
        torch="ELU",
        spice="max({v},0)+exp(min({v},0))-1",
    ),
    Activation(
        name="silu", numpy=lambda z: z * _sigmoid(z), torch="SiLU", spice=f"{{v}}*{LOGISTIC}"
    ),
):
    register(_activation)
