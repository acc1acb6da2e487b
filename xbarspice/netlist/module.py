"""The Verilog-A module of a device model under the name that a netlist gives it."""

from __future__ import annotations

import re

from xbarspice.core.errors import broken_rule
from xbarspice.devices import Device
from xbarspice.devices.forms import verilog_a
from xbarspice.netlist.cells import mem_model

__all__ = ["module"]


def module(device: Device, name: str) -> str:
    """The text of a device's module with another name.

    Args:
        device: the model.
        name: name of the module, `xbarspice.netlist.cells.mem_model` or `Design.model`.

    Raises:
        InputError: the device's text does not define exactly one module of its own name.
    """
    default_name = mem_model(device, "verilog_a")
    text, count = re.subn(
        rf"\bmodule {re.escape(default_name)}\b", f"module {name}", verilog_a(device)
    )
    if count != 1:
        raise broken_rule(
            f"the Verilog-A text of {device.name} must define one module {default_name}",
            f"{count}",
            "Correct `verilog_a` of the device.",
        )
    return text
