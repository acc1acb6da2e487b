"""Arrays and devices in the words of a configuration, and a configuration over an array."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from xbarspice import devices
from xbarspice.config.run import RunConfig, changes_of
from xbarspice.core.array import Crossbar
from xbarspice.core.device import Device
from xbarspice.core.wires import WIRES, Resistance

__all__ = ["array_settings", "device_settings", "with_stated_array"]


def device_settings(device: Device) -> dict[str, Any]:
    """A device as `ArrayConfig` names it: its name, and the parameters that were changed."""
    usual = devices.get(device.name)
    parameters = {f.name: getattr(device, f.name) for f in dataclasses.fields(device)}  # type: ignore[arg-type]
    changed = {k: v for k, v in parameters.items() if v != getattr(usual, k)}
    return {"device": device.name, "parameters": changed}


def array_settings(arrays: Sequence[Crossbar]) -> dict[str, Any]:
    """Wires and device of arrays as `ArrayConfig` names them.

    Those that differ between arrays, or from place to place, are left out.
    """
    first = arrays[0]
    out = {
        name: getattr(first, name)
        for name in WIRES
        if all(_one_number(getattr(array, name), getattr(first, name)) for array in arrays)
    }
    alike = all(array.device == first.device for array in arrays)
    return out | (device_settings(first.device) if alike else {})


def _one_number(R: Resistance, same: Resistance) -> bool:
    arrays = isinstance(R, np.ndarray) or isinstance(same, np.ndarray)
    return not arrays and same == R


def with_stated_array(array: Crossbar, run: RunConfig) -> Crossbar:
    """The array with every value of `[array]` that was stated; its conductances stay.

    Raises:
        InputError: something is stated that a single array does not have.
    """
    run.array.refuse_converters()
    stated = changes_of(run.array, array.device)
    changes = {name: stated[name] for name in (*WIRES, "device") if name in stated}
    return array.replace(**changes) if changes else array
