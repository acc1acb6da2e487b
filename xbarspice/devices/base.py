"""What a static two-terminal device is: one frozen class, three forms, found by name."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from xbarspice.errors import broken_rule

__all__ = ["Device", "Expression", "get", "names", "register"]

Expression = Mapping[str, Any]


class Device(abc.ABC):
    """A two-terminal device whose state is its conductance at the read voltage.

    Sub-classes are frozen, keyword-only dataclasses whose fields are the model's shared
    parameters (floats). `G` is the chord conductance ``I(V_read) / V_read`` in S. An absent device
    is ``G == 0`` and carries no current at any voltage.

    The three forms of one equation are `current`/`derivative` (NumPy arrays or torch tensors),
    `spice_body` (ngspice) and `verilog_a` (OSDI simulators); the contract tests hold them equal.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    """Where the equation and its figures come from (authors, year, DOI or repository)."""
    linear: ClassVar[bool] = False
    odd: ClassVar[bool] = True
    """Whether I(-V) = -I(V)."""
    V_max: ClassVar[float] = float("inf")
    """Largest |V| in volts for which the model's source claims validity."""

    @abc.abstractmethod
    def current(self, V: Any, G: Any) -> Any:
        """Current in A from the word-line to the bit-line terminal.

        Args:
            V: device voltage, V; NumPy array or torch tensor, broadcast against `G`.
            G: conductance at the read voltage, S.
        """

    @abc.abstractmethod
    def derivative(self, V: Any, G: Any) -> Any:
        """Slope dI/dV in S, same shapes as `current`."""

    @abc.abstractmethod
    def spice_parameters(self, G: Any) -> dict[str, Any]:
        """Per-device subcircuit parameters (each shaped like `G`), by name, for `spice_body`."""

    @abc.abstractmethod
    def spice_body(self) -> str:
        """Body of ``.subckt <name> p n <parameters>`` in ngspice syntax, no trailing newline.

        The current flows from p to n. Numbers live in parameters: ngspice reprints literals inside
        behavioural expressions with 11 digits, but keeps parameters exactly. Never use ``^``.
        """

    @abc.abstractmethod
    def verilog_a(self) -> str:
        """The complete Verilog-A module of the same equation."""


_REGISTRY: dict[str, Callable[[], Device]] = {}


def register(name: str) -> Callable[[type], type]:
    """Class decorator: make a device available as ``device="name"`` with its default parameters."""

    def add(cls: type) -> type:
        if name in _REGISTRY:
            raise broken_rule("a device name must be new", repr(name), "Choose another name.")
        _REGISTRY[name] = cls
        cls.name = name
        return cls

    return add


def names() -> list[str]:
    """Names of all registered devices, sorted."""
    return sorted(_REGISTRY)


def get(device: str | Device) -> Device:
    """Return the device itself, or the registered one of that name with default parameters.

    Raises:
        InputError: no device of that name is registered.
    """
    if isinstance(device, Device):
        return device
    if isinstance(device, str) and device in _REGISTRY:
        return _REGISTRY[device]()
    raise broken_rule(
        f"`device` must be a Device or one of {names()}",
        repr(device),
        "Pass a registered name, or register your own model with xb.devices.register.",
    )
