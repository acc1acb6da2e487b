"""Frames of the dynamic SPICE and Verilog-A forms: an inner node carries the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.numbers import decimal

__all__ = ["EDGE", "spice_state", "verilog_state"]

EDGE = 1e-6
"""Width of the ramp that stops the state at its limits, relative to the range: simulators need a
continuous rate, so the hard limit of the Python form is this narrow ramp here."""

CAPACITANCE = 1e-9
"""Farad on the state node; any value gives the same equation."""


def spice_state(
    device: DynamicDevice,
    *,
    figures: Mapping[str, float],
    current: str,
    rise: str,
    fall: str,
    unit: float,
    low: str,
    high: str,
    rise_at: str = "v(p,n)<0",
    body: Sequence[str] = (),
) -> str:
    """A subcircuit ``xb_<name>_dyn p n`` with the parameter ``x0`` (start state).

    Args:
        device: the model, for its name, range and unit.
        figures: parameters, written with all digits.
        current: expression of the current in v(p,n) and v(x).
        rise, fall: expressions of the rate, >= 0 and <= 0, per second, in `device.state_unit`.
        unit: state per volt of the state node.
        low, high: names of the parameters that limit the state.
        rise_at: condition under which `rise` applies; otherwise `fall`.
        body: further lines.
    """
    x_low, x_high = device.state_range
    edge = EDGE * (x_high - x_low)
    numbers = {**figures, "soft": edge, "cx": CAPACITANCE, "unit": unit}
    params = " ".join(f"{name}={decimal(value)}" for name, value in numbers.items())
    up = f"min(max(({{{high}}}-v(x)*{{unit}})/{{soft}},0),1)"
    down = f"min(max((v(x)*{{unit}}-{{{low}}})/{{soft}},0),1)"
    return "\n".join(
        [
            f".subckt xb_{device.name}_dyn p n x0={decimal((x_low + x_high) / 2)}",
            f".param {params}",
            f"Bi p n i={current}",
            *body,
            "Cx x 0 {cx} ic={x0/unit}",
            f"Bx 0 x i={{cx}}/{{unit}}*({rise_at} ? ({rise})*{up} : ({fall})*{down})",
            ".ends",
            "",
        ]
    )


def verilog_state(
    device: DynamicDevice,
    *,
    figures: Mapping[str, float],
    current: str,
    lines: Sequence[str],
    variables: str,
    unit: float,
    low: str,
    high: str,
) -> str:
    """A module ``xb_<name>_dyn(p, n)`` with the instance parameter ``x0`` (start state).

    Args:
        lines: statements that set ``rate`` from ``v`` and ``state``.
        variables: names of the real variables that they need.

    The other arguments are those of `spice_state`.
    """
    x_low, x_high = device.state_range
    real = [f"  parameter real {name} = {decimal(value)};" for name, value in figures.items()]
    return "\n".join(
        [
            '`include "disciplines.vams"',
            f"module xb_{device.name}_dyn(p, n);",
            "  inout p, n;",
            "  electrical p, n, x;",
            f'  (* type="instance" *) parameter real x0 = {decimal((x_low + x_high) / 2)};',
            *real,
            f"  parameter real soft = {decimal(EDGE * (x_high - x_low))};",
            f"  parameter real cx = {decimal(CAPACITANCE)};",
            f"  parameter real unit = {decimal(unit)};",
            f"  real v, state, rate, {variables};",
            "  analog begin",
            "    v = V(p, n);",
            "    state = V(x) * unit;",
            *(f"    {line}" for line in lines),
            "    if (rate > 0.0)",
            f"      rate = rate * min(max(({high} - state) / soft, 0.0), 1.0);",
            "    else",
            f"      rate = rate * min(max((state - {low}) / soft, 0.0), 1.0);",
            f"    I(p, n) <+ {current};",
            "    I(x) <+ ddt(cx * V(x));",
            "    if ($abstime == 0.0)",
            "      I(x) <+ V(x) - x0 / unit;",
            "    else",
            "      I(x) <+ -cx / unit * rate;",
            "  end",
            "endmodule",
            "",
        ]
    )
