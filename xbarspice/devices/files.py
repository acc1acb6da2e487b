"""Parameter files: a new parameter set of an existing model, as TOML."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

from xbarspice.core.device import Device, get
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import read_toml
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.numbers import decimal

__all__ = ["load_toml", "to_toml"]


def load_toml(path: str | Path) -> Device:
    """Read a device from a parameter file.

    The file names a registered model, and gives the parameters that differ from its defaults::

        model = "n1257r"
        source = "my die, 2026"

        [parameters]
        R_on = 1200.0

    Args:
        path: the file.

    Raises:
        InputError: the file is not TOML, names no known model, or has an unknown parameter.
    """
    table = read_toml(Path(path), "a parameter file")
    extra = sorted(set(table) - {"model", "source", "parameters"})
    parameters = table.get("parameters", {})
    words = isinstance(table.get("model"), str) and isinstance(table.get("source", ""), str)
    if extra or not words or not isinstance(parameters, dict):
        raise broken_rule(
            f"{path} must hold `model`, and may hold `source` and [parameters]",
            sorted(table),
            'Name a registered model, for example model = "n1257r".',
        )
    cls = type(get(table["model"]))
    fields = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(parameters) - fields)
    if unknown:
        raise broken_rule(
            f"the parameters of {table['model']!r} are {sorted(fields)}",
            f"{unknown} in {path}",
            "Correct the name.",
        )
    try:
        return cls(**parameters)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def to_toml(device: Device) -> str:
    """The parameter file of a device, with every parameter and its source."""
    values = [
        f"{field.name} = {decimal(getattr(device, field.name))}"
        for field in dataclasses.fields(device)  # type: ignore[arg-type]
    ]
    source = device.source.replace("\\", "\\\\").replace('"', '\\"')
    low, high = device.G_range()
    valid = f"Valid for |V| <= {device.V_max:g} V, conductances {low:.4g} to {high:.4g} S"
    if isinstance(device, DynamicDevice):
        valid += ", pulses of {:g} to {:g} V".format(*device.V_write)
    about = [f"# {line}".rstrip() for line in (f"{valid}.", *_units(type(device)))]
    head = [f'model = "{device.name}"', f'source = "{source}"', *about]
    return "\n".join([*head, "", "[parameters]", *values, ""])


def _units(cls: type) -> list[str]:
    """What the docstrings of a model and its parents say of their parameters."""
    lines: list[str] = []
    for parent in cls.__mro__:
        head, _, entries = inspect.cleandoc(parent.__doc__ or "").partition("Args:\n")
        if head and entries and dataclasses.is_dataclass(parent):
            lines += inspect.cleandoc(entries.partition("\n\n")[0]).splitlines()
    return lines
