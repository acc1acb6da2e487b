"""What a static two-terminal device is: one frozen class, three forms, found by name."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from xbarspice.core.errors import broken_rule
from xbarspice.core.parameters import Range, check_parameters
from xbarspice.core.registry import Registry
from xbarspice.core.values import array_of

__all__ = ["Device", "Expression", "get", "names", "register", "with_parameters", "within"]

Expression = Mapping[str, Any]


class Device(abc.ABC):
    """A two-terminal device whose state is its conductance at the read voltage.

    Sub-classes are frozen, keyword-only dataclasses whose fields are the model's shared
    parameters (floats): finite numbers within `ranges`, whichever way the device was made. `G` is
    the chord conductance ``I(V_read) / V_read`` in S. An absent device is ``G == 0`` and carries no
    current at any voltage.

    The three forms of one equation are `current`/`derivative` (NumPy arrays or torch tensors),
    `spice_body` (ngspice) and `verilog_a` (OSDI simulators); the contract tests hold them equal.
    Equations use plain names (`g`, `b`); in every written text the parameters carry the prefix
    ``xb_``, so that a designer's own ``.param`` cannot replace them (`xbarspice.devices.forms`).

    A device of one's own is ten lines::

        @xb.devices.register("my_cubic")
        @dataclass(frozen=True, kw_only=True)
        class MyCubic(xb.devices.Device):
            source: ClassVar[str] = "measured on my die"
            c: float = 0.5  # 1/V^2
            def current(self, V, G): return G * V * (1 + self.c * V * V)
            def derivative(self, V, G): return G * (1 + 3 * self.c * V * V)
            def spice_parameters(self, G): return {"g": G, "c": self.c + 0 * G}
            def spice_body(self): return "B1 p n i={g}*v(p,n)*(1+{c}*v(p,n)*v(p,n))"
            def verilog_a(self): raise NotImplementedError("not needed here")

    `I(V_read) = G V_read` should hold at the read voltage, and an absent device (G = 0) must carry
    no current.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    """Where the equation and its figures come from (authors, year, DOI or repository)."""
    linear: ClassVar[bool] = False
    """Whether I = G V at every voltage."""
    odd: ClassVar[bool] = True
    """Whether I(-V) = -I(V)."""
    increasing: ClassVar[bool] = False
    """Whether the current rises with the voltage everywhere and `current` and `derivative` are
    rounded by less than 32 eps of ``|I| + |V dI/dV|``: what an error bound rests on. A class that
    defines `current` says it for itself; until then answers with it have no error bound (NaN)."""
    V_max: ClassVar[float] = float("inf")
    """Largest |V| in volts for which the model's source claims validity."""
    G_min: ClassVar[float] = 0.0
    G_max: ClassVar[float] = float("inf")
    """Conductances in S for which the model's source claims validity. The equations themselves are
    evaluated as they stand outside it; `within` refuses or clamps, as the caller chooses."""

    ranges: ClassVar[Mapping[str, Range]] = {}
    """Ranges of parameters by name; all others must be finite."""

    def __post_init__(self) -> None:
        check_parameters(self, self.ranges)
        object.__setattr__(self, "_parameters_checked", True)

    def G_range(self) -> tuple[float, float]:
        """Smallest and largest valid conductance, S."""
        return self.G_min, self.G_max

    def is_increasing(self) -> bool:
        """`increasing` as stated by the class whose `current` this is, or by one below it."""
        for cls in type(self).__mro__:
            if "increasing" in vars(cls) or "current" in vars(cls):
                return bool(vars(cls).get("increasing", False))
        return False

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


registry: Registry[Callable[[], Device]] = Registry(
    "device",
    "Pass a registered name, or register your own model with xb.devices.register.",
    objects="a Device",
)
"""Device models by name: a class, or anything that makes a device with default parameters."""
register = registry.register
"""Class decorator: a device is available as ``device="name"`` with its default parameters."""
names = registry.names


def within(device: Device, V: Any, G: Any, *, outside: str = "error") -> tuple[Any, Any]:
    """Hold voltages and conductances against the validity range of a device's source.

    Args:
        device: the model; its `V_max` and `G_range` are the range.
        V: device voltages, V; any shape.
        G: conductances, S; any shape. 0 (an absent device) is always valid.
        outside: "error" raises; "clamp" returns the nearest valid values.

    Returns:
        `V` and `G`, clamped if asked for.

    Raises:
        InputError: a value lies outside and `outside` is "error", or `outside` is another word.
    """
    if outside not in ("error", "clamp"):
        raise broken_rule('`outside` must be "error" or "clamp"', repr(outside), "Use one.")
    V = V if hasattr(V, "requires_grad") else array_of("V", V, remedy="Pass volts.")
    G = G if hasattr(G, "requires_grad") else array_of("G", G, remedy="Pass conductances in S.")
    low, high = device.G_range()
    if outside == "clamp" and bool((V == V).all()) and bool((G == G).all()):
        return V.clip(-device.V_max, device.V_max), G.clip(low, high) * (G > 0)
    slack = 1 + 1e-9  # a limit computed as 1/R may be one rounding away
    if not bool((abs(V) <= device.V_max * slack).all()):  # NaN is not within
        raise broken_rule(
            f"{device.name} is valid for |V| <= {device.V_max:g} V",
            f"{float(abs(V).max()):g} V",
            'Use smaller voltages, another model, or outside="clamp".',
        )
    inside = (device.G_min / slack <= G) & (device.G_max * slack >= G)
    if not bool(((G == 0) | inside).all()):
        raise broken_rule(
            f"{device.name} is valid for {low * 1e6:.4g} to {high * 1e6:.4g} uS",
            f"{float(G.min()) * 1e6:.4g} to {float(G.max()) * 1e6:.4g} uS",
            'Map the weights into this range, or use outside="clamp".',
        )
    return V, G


def get(device: str | Device) -> Device:
    """Return the device itself, or the registered one of that name with default parameters.

    Raises:
        InputError: no device of that name is registered, or a parameter of the device is not a
            finite number in its range.
    """
    if isinstance(device, Device):
        if not getattr(device, "_parameters_checked", False):  # a class with its own __post_init__
            Device.__post_init__(device)
        return device
    return registry.get(device)()


def with_parameters(device: str | Device, parameters: Mapping[str, float]) -> Device:
    """A device with some of its fields replaced.

    Raises:
        InputError: the device is unknown, has no such field, or refuses the value.
    """
    model = get(device)
    fields = [f.name for f in dataclasses.fields(model)]  # type: ignore[arg-type]
    unknown = sorted(set(parameters) - set(fields))
    if unknown:
        raise broken_rule(
            f"the parameters of {model.name!r} are {fields}", unknown, "Correct the name."
        )
    return dataclasses.replace(model, **parameters) if parameters else model  # type: ignore[type-var]
