"""Write the device library (`models/`) from the Python definitions.

Run ``python -m xbarspice.devices.export [folder]``; the files are checked in, and a test fails if
they are not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from xbarspice.core.device import Device, get
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.devices import forms
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.files import to_toml

__all__ = ["MODELS", "render", "subcircuit", "verilog", "write"]

MODELS = (
    "cubic_al2o3_tio2",
    "messaris2018",
    "mt2021",
    "n1257r",
    "nili_pulse",
    "o921c",
    "o921c_4k",
    "ohmic",
    "pickett",
    "sinh_tio2",
    "sky130_reram",
)
"""The models of the library; devices that a user registers are not written."""


def _dynamic(device: Device, form: Callable[[DynamicDevice], str]) -> str | None:
    """The dynamic form of a device, or None if it has none."""
    if not isinstance(device, DynamicDevice):
        return None
    try:
        return form(device)
    except InputError:
        return None


def _head(device: Device, comment: str, more: list[str]) -> list[str]:
    low, high = device.G_range()
    lines = [
        f"xbarspice device library: {device.name}",
        f"Source: {device.source}",
        f"Valid for |V| <= {device.V_max:g} V, conductances {low:.4g} to {high:.4g} S.",
        "Written by `python -m xbarspice.devices.export`; change the Python model instead.",
        *more,
    ]
    return [f"{comment} {line}" for line in lines]


def subcircuit(device: Device) -> str:
    """The ngspice library file of a device: static subcircuit, and dynamic one where it exists."""
    defaults = forms.default_parameters(device)
    dynamic = _dynamic(device, forms.spice_dynamic)
    options: list[str] = []
    about = [f"Static: X1 wl bl xb_{device.name} {defaults}", "(these belong to g = 100 uS)"]
    if dynamic is not None and isinstance(device, DynamicDevice):
        about += [
            _start(device, "X1"),
            "use `tran ... uic`, without uic ngspice ignores the start state.",
        ]
        if device.spice_options:
            about += ["The options below hold for the whole deck; looser ones stop its transients."]
            options = [f".options {device.spice_options}"]
    return "\n".join(
        [
            *_head(device, "*", about),
            *options,
            f".subckt xb_{device.name} p n {defaults}",
            *forms.spice_body(device),
            ".ends",
            *([dynamic.rstrip("\n")] if dynamic else []),
            "",
        ]
    )


def _start(device: DynamicDevice, instance: str) -> str:
    state = f"{forms.START}=<start state, {device.state_unit}>"
    return f"Dynamic: {instance} wl bl xb_{device.name}_dyn {state};"


def verilog(device: Device) -> str:
    """The Verilog-A library file of a device."""
    include = '`include "disciplines.vams"\n'
    dynamic = _dynamic(device, forms.verilog_a_dynamic)
    about: list[str] = []
    if dynamic is not None and isinstance(device, DynamicDevice):
        about = [
            _start(device, "<instance>"),
            "use `tran` without `uic`: the operating point at time 0 sets the start state, which",
            "`uic` leaves out (ngspice then begins elsewhere, or finds no time step).",
        ]
    modules = [forms.verilog_a(device), dynamic]
    bodies = [module.replace(include, "").rstrip("\n") for module in modules if module]
    return "\n".join([*_head(device, "//", about), include.rstrip("\n"), *bodies, ""])


def render() -> dict[str, str]:
    """Every file of the library: name -> text."""
    files = {}
    for name in MODELS:
        device = get(name)
        files[f"{name}.sub"] = subcircuit(device)
        files[f"{name}.va"] = verilog(device)
        files[f"{name}.toml"] = to_toml(device)
    return files


def write(folder: Path) -> list[Path]:
    """Write the library into an existing folder.

    Raises:
        InputError: the folder does not exist.
    """
    if not folder.is_dir():
        raise broken_rule("the folder must exist", folder, "Make it, or name another.")
    paths = []
    for name, text in render().items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


if __name__ == "__main__":
    written = write(Path(sys.argv[1] if len(sys.argv) > 1 else "models"))
    sys.stdout.write(f"{len(written)} files written\n")
