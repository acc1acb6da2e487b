"""The page of device models: equation, source, range and curves of every shipped one."""

from __future__ import annotations

import inspect
import io
import math

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from xbarspice import devices
from xbarspice.devices import export

__all__ = ["pages"]

READ_SPAN = 1.0
"""Voltage in V up to which curves are drawn where the source claims a larger range."""
ANY_RANGE = (1e-5, 1e-3)
"""Conductances in S of the curves of a model that is valid for any."""
PULSES = 30
PULSE_WIDTH = 1e-7


def conductances(device: devices.Device) -> np.ndarray:
    """Three conductances in S over the model's range."""
    low, high = device.G_range()
    low, high = (low, high) if 0 < low < high < math.inf else ANY_RANGE
    return np.geomspace(low, high, 5)[1:4]


def plot_reads(device: devices.Device, figure: Figure, place: int, places: int) -> None:
    """Draw the current over the voltage for three conductances."""
    axes = figure.add_subplot(1, places, place)
    V = np.linspace(-1, 1, 201) * min(device.V_max, READ_SPAN)
    for G in conductances(device):
        axes.plot(V, 1e6 * device.current(V, np.full_like(V, G)), label=f"{1e6 * G:.3g} µS")
    axes.set(xlabel="voltage [V]", ylabel="current [µA]", title="reads")
    axes.legend(title="G at the read voltage")
    axes.grid(alpha=0.3)


def is_writable(device: devices.Device) -> bool:
    """Whether the published figures let the model be written."""
    if not isinstance(device, devices.DynamicDevice):
        return False
    try:
        device.refuse_writing()
    except ValueError:
        return False
    return True


def plot_writes(device: devices.DynamicDevice, figure: Figure, place: int, places: int) -> None:
    """Draw the conductance over equal pulses that raise it and then lower it."""
    axes = figure.add_subplot(1, places, place)
    for share in (0.5, 0.75):
        sizes = [device.V_write[1] * share, device.V_write[0] * share]
        up, down = sizes if device.set_sign > 0 else sizes[::-1]
        G = [float(conductances(device)[0])]
        for V in [up] * PULSES + [down] * PULSES:
            G.append(float(device.write(np.float64(G[-1]), V, PULSE_WIDTH)))
        label = f"{up:+.3g} V, then {down:+.3g} V"
        axes.plot(range(len(G)), 1e6 * np.array(G), marker=".", markersize=3, label=label)
    title = f"writes: {PULSES} pulses of {1e9 * PULSE_WIDTH:.0f} ns each way"
    axes.set(xlabel="pulse", ylabel="conductance [µS]", title=title)
    axes.legend()
    axes.grid(alpha=0.3)


def picture(device: devices.Device) -> bytes:
    """The curves of a model as SVG."""
    places = 2 if is_writable(device) else 1
    with mpl.rc_context({"svg.hashsalt": device.name, "font.size": 9}):
        figure = Figure(figsize=(4.6 * places, 3.2), layout="constrained")
        plot_reads(device, figure, 1, places)
        if isinstance(device, devices.DynamicDevice) and places == 2:
            plot_writes(device, figure, 2, places)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def equation(device: devices.Device) -> str:
    """The docstring that states the equation: that of the class, or of the model it is a set of."""
    module = inspect.getmodule(type(device))
    classes = [cls for cls in type(device).__mro__ if inspect.getmodule(cls) is module]
    return "\n\n".join(before_arguments(inspect.getdoc(cls) or "") for cls in classes)


def before_arguments(text: str) -> str:
    """A docstring up to its arguments."""
    return text.partition("\nArgs:")[0].strip()


def table(device: devices.Device) -> str:
    """Range, source and properties of a model."""
    low, high = device.G_range()
    limits = f"{1e6 * low:.4g} to {1e6 * high:.4g} µS" if math.isfinite(high) else "any"
    rows = {
        "G": limits,
        "reads": f"up to {device.V_max:g} V" if math.isfinite(device.V_max) else "any",
    }
    if isinstance(device, devices.DynamicDevice):
        low, high = device.V_write
        rows["pulses"] = f"{low:g} to {high:g} V" if is_writable(device) else "not written"
    rows["error bound"] = "yes" if device.is_increasing() else "no: the current may fall"
    rows["source"] = device.source
    return "\n".join(
        ["| property | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]
    )


def pages() -> dict[str, str | bytes]:
    """The page and its pictures, by their place on the site."""
    parts = [
        "# Devices\n\nEvery model that ships, from its class: the equation that Python, SPICE and "
        "Verilog-A share, where it is from, the range that its source claims, and curves that the "
        "model itself computes. [Programming](programming.md) writes with them, "
        "[Extending](extending.md) adds one.\n"
    ]
    result: dict[str, str | bytes] = {}
    for name in sorted(export.MODELS):
        device = devices.get(name)
        result[f"devices/{name}.svg"] = picture(device)
        parts += [f"## {name}\n", equation(device), "", table(device), ""]
        parts += [f"![Curves of {name}](devices/{name}.svg)\n"]
        parts += ["```verilog", device.verilog_a().rstrip(), "```\n"]
    result["devices.md"] = "\n".join(parts)
    return result
