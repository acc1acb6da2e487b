"""Calibration cards in commands: over configurations and arrays, carried by deployments."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xbarspice
from xbarspice import devices
from xbarspice.config import RunConfig
from xbarspice.config.card import CalibrationCard, KeptCard, card_of, keep_card
from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import WIRES
from xbarspice.devices import Device

__all__ = [
    "as_config",
    "carried_card",
    "keep",
    "named",
    "overlaid",
    "overruled",
    "said_of_arrays",
]


def carried_card(path: Path) -> KeptCard | None:
    """The card that the file of a model on arrays carries."""
    if path.suffix != ".h5" or not path.is_file():
        return None
    from xbarspice.core import hdf5

    if hdf5.kind_of(path) != "deployment":
        return None
    from xbarspice.deployment import card_of_file

    return card_of_file(path)


def keep(circuit: Any, config: RunConfig, calibration: Path | None) -> None:
    """Let a circuit carry the card that its configuration was overlaid with, or its own."""
    note, own = config.calibration, card_of(circuit)
    if note is None or (calibration is None and own is None):
        return
    if calibration is not None:
        text = CalibrationCard.from_toml(calibration).to_toml()
    else:
        text = own.text if own is not None else ""
    keep_card(circuit, KeptCard(text=text, overruled=note.overridden))


def overlaid(
    values: dict[str, Any], calibration: Path | None, mapped: Path | None
) -> dict[str, Any]:
    """Nested configuration values under the card that is given, or that a file carries.

    A carried card is named, and its variability taken. The arrays have its values already, but for
    those that were set by hand when they were mapped: these stay, and stay named.

    Raises:
        InputError: the file carries another card than the one given.
    """
    given = None if calibration is None else CalibrationCard.from_toml(calibration)
    kept = None if mapped is None else carried_card(mapped)
    if kept is None or mapped is None:
        return values if given is None else given.overlay(values)
    card = CalibrationCard.from_text(kept.text, f"card of {mapped.name}")
    if given is not None and given != card:
        raise broken_rule(
            "a model on arrays keeps the calibration card that it was mapped with",
            f"{given.note().text} for {mapped.name} with {card.note().text}",
            "Map it again with the other card, or leave --calibration out.",
        )
    out = card.overlay(values)
    out["array"] = values.get("array", {})
    if "variability" in kept.overruled:  # the deployment has its own
        out["variability"] = values.get("variability", ())
    out["calibration"] |= {"overridden": kept.overruled}
    return out


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
