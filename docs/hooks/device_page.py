"""The page of device models: equation, source, range and curves of every shipped one."""

from __future__ import annotations

import inspect
import io
import math

import matplotlib as mpl
from matplotlib.figure import Figure

from xbarspice import devices, plot
from xbarspice.devices import export

__all__ = ["pages"]


def is_writable(device: devices.Device) -> bool:
    """Whether the published figures let the model be written."""
    if not isinstance(device, devices.DynamicDevice):
        return False
    try:
        device.refuse_writing()
    except ValueError:
        return False
    return True


def picture(device: devices.Device) -> bytes:
    """The curves of a model as SVG: reads, and pulses each way where it is written."""
    places = 2 if is_writable(device) else 1
    with mpl.rc_context({"svg.hashsalt": device.name, "font.size": 9}):
        figure = Figure(figsize=(4.6 * places, 3.4), layout="constrained")
        plot.device_currents(device, ax=figure.add_subplot(1, places, 1))
        if places == 2:
            plot.device_writes(device, ax=figure.add_subplot(1, places, 2))
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
