"""Devices that can be written: a state, its rate of change, and a step under a voltage pulse."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xbarspice.core.device import Device
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.functions import is_tensor, where

__all__ = ["DynamicDevice", "integrate", "writable"]


RTOL = 1e-6
"""Local error that `integrate` allows in one step, relative to the width of the state's range."""
MAX_STEPS = 20_000


class DynamicDevice(Device):
    """A device whose state `x` moves under voltage; `G` is a one-to-one function of `x`.

    Because the static characteristic depends on `x` through `G` alone, every engine reads a written
    array as it reads any other. Positive voltage is from the word line to the bit line.
    """

    state_unit: ClassVar[str]
    V_write: ClassVar[tuple[float, float]]
    """Smallest and largest pulse voltage, V, for which the source claims validity."""
    spice_unit: ClassVar[float] = 1.0
    """State per volt of the node ``x`` of the dynamic subcircuit."""
    spice_options: ClassVar[str] = ""
    """Words of the `.options` card without which ngspice does not follow the dynamic subcircuit."""
    set_sign: ClassVar[float] = 1.0
    """Sign of the voltage that raises the conductance."""
    continuous: ClassVar[bool] = True
    """Whether the state follows a differential equation, so that pulses may be cut in pieces."""

    state_limits: ClassVar[tuple[str, str] | None] = None
    """Names of the parameters that are the smallest and the largest state, if parameters are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.state_limits is not None:
            names, ends = self.state_limits, [getattr(self, n) for n in self.state_limits]
            if not ends[0] < ends[1]:
                raise broken_rule(
                    f"`{names[0]}` must be smaller than `{names[1]}`",
                    tuple(ends),
                    f"Give both in {self.state_unit}.",
                )
        if any(is_tensor(value) for value in vars(self).values()):
            return
        with np.errstate(all="ignore"):
            low, high = self.G_range()
        if not 0 < low < high < np.inf:
            raise broken_rule(
                f"the parameters of {self.name!r} must give two conductances > 0 at the ends of "
                f"its state",
                f"{low:g} and {high:g} S",
                "Check the parameter set.",
            )

    @property
    @abc.abstractmethod
    def state_range(self) -> tuple[float, float]:
        """Smallest and largest state, in `state_unit`."""

    @abc.abstractmethod
    def state(self, G: Any) -> Any:
        """State that belongs to a conductance in S at the read voltage."""

    @abc.abstractmethod
    def conductance(self, x: Any) -> Any:
        """Conductance in S at the read voltage that belongs to a state."""

    @abc.abstractmethod
    def rate(self, x: Any, V: Any) -> Any:
        """Rate of change of the state, `state_unit` per second, at device voltage `V`."""

    def G_range(self) -> tuple[float, float]:
        ends = [float(self.conductance(np.float64(x))) for x in self.state_range]
        return min(ends), max(ends)

    def current_at(self, V: Any, x: Any) -> Any:
        """Current in A at voltage `V` in state `x`."""
        return self.current(V, self.conductance(x))

    def refuse_writing(self) -> None:
        """Raise if the published parameters cannot be used for writing."""

    def step(self, x: Any, V: Any, dt: Any, *, outside: str = "error") -> Any:
        """State after the voltage `V` was on the device for the time `dt`.

        Args:
            x: states, in `state_unit`; NumPy array or torch tensor.
            V: device voltages, V; broadcast against `x`. 0 V leaves the state.
            dt: duration, s, >= 0.
            outside: "error" refuses voltages beyond `V_write` and states beyond `state_range`;
                "clamp" uses the nearest valid values.

        Returns:
            New states in `state_range`, in the array kind of `x`.

        Raises:
            InputError: a value is outside its range, or the parameter set cannot be written.
        """
        self.refuse_writing()
        x, V = self._valid(x, V, outside)
        if not np.all(np.asarray(dt) >= 0):
            raise broken_rule("`dt` must be >= 0 s", dt, "Give the duration of the pulse.")
        moved = self._step(x, V, dt)
        if not bool((moved == moved).all()):  # limits do not hold NaN back
            raise ConvergenceError(
                f"the state of {self.name} must stay a number: it became NaN. Use smaller voltages "
                "or shorter pulses, or check the parameters."
            )
        return moved

    def write(self, G: Any, V: Any, dt: Any, *, outside: str = "error") -> Any:
        """Conductance in S after a pulse; `step` in terms of `G`."""
        return self.conductance(self.step(self.state(G), V, dt, outside=outside))

    def follow(self, x: Any, t: npt.ArrayLike, V: npt.ArrayLike, *, pieces: int = 50) -> Any:
        """State after a piecewise linear voltage (a PWL source), for comparison with transients.

        Args:
            x: states at ``t[0]``.
            t: increasing times, s, (points,).
            V: voltages at these times, V, (points,).
            pieces: steps into which each segment with a changing voltage is cut.
        """
        times, volts = np.asarray(t, float), np.asarray(V, float)
        for k in range(times.size - 1):
            n = 1 if volts[k] == volts[k + 1] else pieces
            middle = (np.arange(n) + 0.5) / n
            for v in volts[k] + (volts[k + 1] - volts[k]) * middle:
                x = self.step(x, v, (times[k + 1] - times[k]) / n)
        return x

    def _step(self, x: Any, V: Any, dt: Any) -> Any:
        return integrate(self.rate, x, V, dt, self.state_range)

    def _valid(self, x: Any, V: Any, outside: str) -> tuple[Any, Any]:
        if outside not in ("error", "clamp"):
            raise broken_rule('`outside` must be "error" or "clamp"', repr(outside), "Use one.")
        x = x if is_tensor(x) else np.asarray(x, dtype=np.float64)
        V = V if is_tensor(V) else np.asarray(V, dtype=np.float64)
        if is_tensor(x) and not is_tensor(V):
            import torch

            V = torch.as_tensor(V, dtype=x.dtype, device=x.device)
        (low, high), (down, up) = self.state_range, self.V_write
        slack = 1e-9
        if outside == "error":
            if not bool(((x >= low * (1 - slack)) & (x <= high * (1 + slack))).all()):
                raise broken_rule(
                    f"the state of {self.name} must lie in {low:g} to {high:g} {self.state_unit}",
                    f"{float(x.min()):g} to {float(x.max()):g}",
                    'Choose conductances in the range of the device, or use outside="clamp".',
                )
            if not bool(((down - slack <= V) & (up + slack >= V)).all()):
                raise broken_rule(
                    f"{self.name} may be written with {down:g} to {up:g} V",
                    f"{float(V.min()):g} to {float(V.max()):g} V",
                    'Use smaller pulses, or outside="clamp".',
                )
        if not (bool((x == x).all()) and bool((V == V).all())):
            raise broken_rule("states and voltages must be numbers", "NaN", "Check them.")
        return x.clip(low, high), V.clip(down, up)

    def spice_dynamic(self) -> str:
        """Complete ngspice subcircuit with the state as an inner node, ending in a new line.

        Start it with ``tran ... uic``: without `uic` ngspice ignores the initial state.

        Raises:
            InputError: the model has no differential equation.
        """
        raise broken_rule(
            f"{self.name} must follow a differential equation to be simulated in time",
            "a map from pulse to pulse",
            "Use its Python form, or another model.",
        )

    def verilog_a_dynamic(self) -> str:
        """Complete Verilog-A module with the state as an inner node.

        Raises:
            InputError: the model has no differential equation.
        """
        return self.spice_dynamic()


def _phi3(z: Any, phi1: Any) -> Any:
    """(phi_2(z) - 1/2)/z with phi_2 = (phi_1 - 1)/z, by its series where that would cancel."""
    small = abs(z) < 0.05
    safe = where(small, 1.0, z)
    series = 1 / 6 + z * (1 / 24 + z * (1 / 120 + z / 720))
    return where(small, series, ((phi1 - 1.0) / safe - 0.5) / safe)


def _phi1(z: Any) -> Any:
    from xbarspice.core.functions import expm1

    small = abs(z) < 1e-5
    safe = where(small, 1.0, z)
    return where(small, 1.0 + z / 2, expm1(safe) / safe)


def integrate(rate: Any, x: Any, V: Any, dt: Any, limits: tuple[float, float]) -> Any:
    """Integrate dx/dt = rate(x, V) at constant V with an exponential Rosenbrock method.

    Third order with a second-order error estimate (Hochbruck, Ostermann and Schweitzer 2009,
    doi:10.1137/080717717), step size chosen for each element, so that stiff and idle devices of one
    array go at their own pace. The state stays within `limits`.

    Args:
        rate: function of state and voltage, per second.
        x: states; NumPy array or torch tensor.
        V: voltages that broadcast against `x`, V.
        dt: duration, s.
        limits: smallest and largest state.

    Raises:
        ConvergenceError: an element needs more than 20 000 steps.
    """
    low, high = limits
    width = high - low
    x, V = x + 0.0 * V, V + 0.0 * x
    remaining = dt + 0.0 * x
    h = remaining
    delta = 1e-6 * width
    for _ in range(MAX_STEPS):
        f = rate(x, V)
        held = ((x >= high) & (f > 0)) | ((x <= low) & (f < 0)) | (f == 0)
        remaining = where(held, 0.0, remaining)
        if not bool((remaining > 0).any()):
            return x
        h = where(h < remaining, h, remaining)
        back = where(x > low + delta, x - delta, x)
        J = (rate(back + 2 * delta, V) - rate(back, V)) / (2 * delta)
        # a positive slope is a runaway towards a limit: bounded so that exp(h J) cannot overflow
        z = (h * J).clip(-1e8, 2.0)
        phi1 = _phi1(z)
        middle = x + h * phi1 * f
        inside = middle.clip(low, high)
        gap = rate(inside, V) - f - J * (inside - x)
        new = middle + 2 * h * _phi3(z, phi1) * gap
        # an estimate formed across a tenth of the range says nothing: such a step is too long
        far = 10 * (where(abs(new - x) > abs(middle - x), abs(new - x), abs(middle - x))) / width
        error = abs(new - middle) / (RTOL * width)
        error = where(far > 1, where(error > far**3, error, far**3), error)
        accept = (error <= 1) | (h < 1e-20 * dt)
        x = where(accept, new.clip(low, high), x)
        remaining = where(accept, remaining - h, remaining)
        remaining = where(remaining < 1e-14 * dt, 0.0, remaining)
        factor = 0.9 * where(error > 1e-6, error, 1e-6) ** (-1 / 3)
        h = h * factor.clip(0.05, 10.0)
    raise ConvergenceError(
        f"the state equation must be integrated in {MAX_STEPS} steps; {int((remaining > 0).sum())} "
        "devices are not finished. Use shorter pulses."
    )


def writable(device: Device, *, purpose: str) -> DynamicDevice:
    """The device, if it has a state and may be written.

    Args:
        device: any.
        purpose: what it is needed for, a plural.

    Raises:
        InputError: it has no state, or figures that cannot be used for writing.
    """
    if not isinstance(device, DynamicDevice):
        raise broken_rule(
            f"{purpose} need a device with a state",
            device.name,
            'Choose a dynamic model, for example "o921c_4k" or "nili_pulse".',
        )
    device.refuse_writing()
    return device
