"""Calibration cards of models on arrays: what a file carries, and what a circuit keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from xbarspice.config import RunConfig
from xbarspice.config.card import CalibrationCard, KeptCard, card_of, keep_card
from xbarspice.core import hdf5
from xbarspice.core.errors import broken_rule
from xbarspice.deployment.reading import card_of_file

__all__ = ["card_in_file", "keep_calibration", "overlay_card"]


def card_in_file(path: Path) -> KeptCard | None:
    """The card that the file of a model on arrays carries; None of any other file."""
    if path.suffix != ".h5" or not path.is_file():
        return None
    return card_of_file(path) if hdf5.kind_of(path) == "deployment" else None


def keep_calibration(circuit: nn.Module, config: RunConfig, calibration: Path | None) -> None:
    """Let a circuit carry the card that its configuration was overlaid with, or its own."""
    note, kept = config.calibration, card_of(circuit)
    if note is None or (calibration is None and kept is None):
        return
    text = "" if kept is None else kept.text
    if calibration is not None:
        text = CalibrationCard.from_toml(calibration).to_toml()
    keep_card(circuit, KeptCard(text=text, overruled=note.overridden))


def overlay_card(
    values: dict[str, Any], calibration: Path | None, mapped: Path | None
) -> dict[str, Any]:
    """Nested configuration values under the card that is given, or that a file carries.

    A carried card is named, and its variability taken. The arrays have its values already, but for
    those that were set by hand when they were mapped: these stay, and stay named.

    Raises:
        InputError: the file carries another card than the one given.
    """
    stated = None if calibration is None else CalibrationCard.from_toml(calibration)
    kept = None if mapped is None else card_in_file(mapped)
    if kept is None or mapped is None:
        return values if stated is None else stated.overlay(values)
    card = CalibrationCard.from_text(kept.text, f"card of {mapped.name}")
    if stated is not None and stated != card:
        raise broken_rule(
            "a model on arrays keeps the calibration card that it was mapped with",
            f"{stated.note().text} for {mapped.name} with {card.note().text}",
            "Map it again with the other card, or leave --calibration out.",
        )
    out = card.overlay(values)
    out["array"] = values.get("array", {})
    if "variability" in kept.overruled:  # the deployment has its own
        out["variability"] = values.get("variability", ())
    out["calibration"] |= {"overridden": kept.overruled}
    return out
