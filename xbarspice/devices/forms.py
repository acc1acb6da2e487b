"""What leaves the house of a device's SPICE and Verilog-A form: names that no other text uses.

Devices write their equations with the plain names of the literature (`g`, `b`, `k`). HSPICE scopes
parameters globally by default (``.option parhier=global``): a ``.param k=...`` at the top of a
designer's deck replaces the `k` inside every subcircuit, without a word. So every parameter of
every device, also of a user's own, carries the prefix ``xb_`` in all written text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from xbarspice.core.device import Device
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.numbers import decimals

__all__ = [
    "CONDUCTANCE",
    "START",
    "default_parameters",
    "instance_parameters",
    "spice_body",
    "spice_dynamic",
    "verilog_a",
    "verilog_a_dynamic",
]

PREFIX = "xb_"

CONDUCTANCE = f"{PREFIX}g"
"""Parameter of every device subcircuit that holds G in S, for readers."""

START = f"{PREFIX}x0"
"""Parameter of every dynamic subcircuit and module: the start state, in `state_unit`."""

_TOKEN = re.compile(r"\b[vVi]\([^()]*\)|\b[A-Za-z_]\w*\b(?!\s*\()")
"""A voltage or current, whose nodes are left alone, or a name that may be a parameter."""
_DECLARED = re.compile(r"\bparameter\s+\w+\s+(\w+)")
_EXPRESSION = re.compile(r"[={]")


def prefix_name(name: str) -> str:
    """The written name of a parameter."""
    return name if name.lower().startswith(PREFIX) else PREFIX + name


def instance_parameters(
    device: Device, G: Any, *, form: str = "subcircuit"
) -> dict[str, list[str]]:
    """Written name -> decimal text for each device, for the parameters of an instance.

    Args:
        device: the model.
        G: conductances, S, any shape; the texts are in its flattened order.
        form: "subcircuit", which also carries G itself, or "verilog_a".
    """
    G = np.asarray(G, dtype=np.float64)
    values = device.spice_parameters(G)
    if form == "subcircuit":
        values = {"g": G} | values
    return {prefix_name(k): decimals(np.broadcast_to(v, G.shape)) for k, v in values.items()}


def default_parameters(device: Device, *, form: str = "subcircuit") -> str:
    """``name=value`` of every instance parameter, those of 100 uS."""
    example = instance_parameters(device, 1e-4, form=form)
    return " ".join(f"{name}={text}" for name, (text,) in example.items())


def spice_body(device: Device) -> list[str]:
    """Lines of the body of a device's ngspice subcircuit."""
    lines = device.spice_body().splitlines()
    declared = {"g", *device.spice_parameters(np.float64(1e-4)), *_params(lines)}
    return [_rename(line, declared) for line in lines]


def spice_dynamic(device: DynamicDevice) -> str:
    """The complete dynamic ngspice subcircuit, ending in a new line.

    Raises:
        InputError: the model has no differential equation.
    """
    head, *lines = device.spice_dynamic().splitlines()
    declared = {pair.partition("=")[0] for pair in head.split() if "=" in pair}
    declared |= set(_params(lines))
    words = [prefix_name(word) if "=" in word else word for word in head.split()]
    return "\n".join([" ".join(words), *(_rename(line, declared) for line in lines), ""])


def verilog_a(device: Device) -> str:
    """The complete Verilog-A module of the static device."""
    return _module(device.verilog_a())


def verilog_a_dynamic(device: DynamicDevice) -> str:
    """The complete Verilog-A module of the dynamic device.

    Raises:
        InputError: the model has no differential equation.
    """
    return _module(device.verilog_a_dynamic())


def _params(lines: list[str]) -> list[str]:
    cards = [line.split()[1:] for line in lines if line.startswith(".param ")]
    return [pair.partition("=")[0] for card in cards for pair in card]


def _replacement(declared: set[str]) -> Callable[[re.Match[str]], str]:
    lowered = {name.lower() for name in declared}
    return lambda name: prefix_name(name[0]) if name[0].lower() in lowered else name[0]


def _rename(line: str, declared: set[str]) -> str:
    """One SPICE line; element names and nodes stand before the first expression."""
    first = _EXPRESSION.search(line)
    at = len(".param ") if line.startswith(".param ") else first.start() if first else len(line)
    return line[:at] + _TOKEN.sub(_replacement(declared), line[at:])


def _module(text: str) -> str:
    declared = set(_DECLARED.findall(text))

    def rename(word: re.Match[str]) -> str:
        return prefix_name(word[0]) if word[0] in declared else word[0]

    return re.sub(r"\b[A-Za-z_]\w*\b", rename, text)
