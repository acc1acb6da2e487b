"""Calibration cards in commands: over configurations and arrays, carried by mapped networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xbarspice
from xbarspice import devices, store
from xbarspice.card import CalibrationCard
from xbarspice.config import RunConfig
from xbarspice.devices import Device
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork

__all__ = [
    "WIRES", "as_config", "carried", "named", "overlaid", "overruled", "said_of_arrays",
    "with_card",
]  # fmt: skip

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")


def carried(path: Path | None) -> MappedNetwork | None:
    """The mapped network of a file, if the file is one and carries a card."""
    if path is None or path.suffix != ".h5" or not path.is_file():
        return None
    if store.kind_of(path) != "mapped network":
        return None
    mapped = store.load_mapped(path)
    return mapped if mapped.card else None


def overlaid(
    values: dict[str, Any], calibration: Path | None, mapped: Path | None
) -> dict[str, Any]:
    """Nested configuration values under the card that is given, or that a mapped network carries.

    Of a card that is carried, the `array` section says what the arrays really have: values that
    were set by hand when the network was mapped stay, and stay named.

    Raises:
        InputError: the mapped network carries another card than the one given.
    """
    given = None if calibration is None else CalibrationCard.from_toml(calibration)
    network = carried(mapped)
    if network is None or mapped is None:
        return values if given is None else given.overlay(values)
    card = CalibrationCard.from_text(network.card, f"card of {mapped.name}")
    if given is not None and given != card:
        raise broken_rule(
            "a mapped network keeps the calibration card that it was mapped with",
            f"{given.note().text} for {mapped.name} with {card.note().text}",
            "Map the network again with the other card, or leave --calibration out.",
        )  # fmt: skip
    out = card.overlay(values)
    out["array"] = said_of_arrays(network.arrays)
    out["calibration"] |= {"overridden": network.overruled}
    return out


def with_card(mapped: MappedNetwork, config: RunConfig, calibration: Path | None) -> MappedNetwork:
    """The network with its card, to be kept with it; the configuration says what went over it."""
    note = config.calibration
    if note is None or (calibration is None and not mapped.card):
        return mapped
    text = mapped.card if calibration is None else CalibrationCard.from_toml(calibration).to_toml()
    return dataclasses.replace(mapped, card=text, overruled=note.overridden)


def as_config(device: Device) -> dict[str, Any]:
    """A device as `ArrayConfig` names it."""
    usual = devices.get(device.name)
    parameters = {f.name: getattr(device, f.name) for f in dataclasses.fields(device)}  # type: ignore[arg-type]
    changed = {k: v for k, v in parameters.items() if v != getattr(usual, k)}
    return {"device": device.name, "parameters": changed}


def said_of_arrays(arrays: Sequence[xbarspice.Crossbar]) -> dict[str, Any]:
    """Wires and device of arrays as `ArrayConfig` names them; those that differ are left out."""
    first, *rest = arrays
    out = {
        name: getattr(first, name)
        for name in WIRES
        if all(getattr(other, name) == getattr(first, name) for other in rest)
    }
    return out | (as_config(first.device) if all(a.device == first.device for a in rest) else {})


def overruled(config: RunConfig, *names: str) -> RunConfig:
    """A configuration that says which calibrated values the command's own options go over."""
    note = config.calibration
    hit = [] if note is None else [name for name in names if name in note.applied]
    if note is None or not hit:
        return config
    new = note.model_copy(update={"overridden": (*note.overridden, *hit)})
    return config.model_copy(update={"calibration": new})


def named(record: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """A record that also names the calibration card of its configuration, if any."""
    note = config.calibration
    return record if note is None else {**record, "calibration": note.text}
