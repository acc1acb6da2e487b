"""Calibration cards of models on arrays: what a file carries, and what a circuit keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.config import RunConfig
from xbarspice.config.card import CalibrationCard, KeptCard, card_of, keep_card
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import broken_rule
from xbarspice.core.schema import validate
from xbarspice.deployment.schema import KIND, MADE_BY, CardFile

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "card_in_file",
    "card_of_file",
    "card_text_of",
    "card_to_keep",
    "keep_calibration",
    "overlay_card",
]


def card_in_file(path: Path) -> KeptCard | None:
    """The card that a deployment or crossbar file carries; None of any other file."""
    if path.suffix != ".h5" or not path.is_file():
        return None
    kind = hdf5.kind_of(path)
    if kind == crossbar_file.KIND:
        text = crossbar_file.read_card(path)
        return None if text is None else CardFile(**text.model_dump()).card()
    return card_of_file(path) if kind == KIND else None


def card_of_file(path: Path) -> KeptCard | None:
    """The calibration card of a deployment, read without the rest of it.

    Raises:
        InputError, StoreError: as of `xb.load`.
    """
    values = hdf5.read_tree(path, KIND, only="card", made_by=MADE_BY)
    return validate(CardFile, values, path).card() if values else None


def keep_calibration(circuit: nn.Module, config: RunConfig, calibration: Path | None) -> None:
    """Let a circuit carry the card that its configuration was overlaid with, or its own."""
    kept = card_to_keep(config, calibration, card_of(circuit))
    if kept is not None:
        keep_card(circuit, kept)


def card_to_keep(
    config: RunConfig, calibration: Path | None, kept: KeptCard | None
) -> KeptCard | None:
    """The card that what was made with a configuration carries; None: it has none.

    Args:
        config: the configuration.
        calibration: the card that was given.
        kept: the card that what was opened carries.
    """
    note = config.calibration
    if note is None or (calibration is None and kept is None):
        return None
    text = "" if kept is None else kept.text
    if calibration is not None:
        text = CalibrationCard.from_toml(calibration).to_toml()
    return KeptCard(text=text, overruled=note.overridden)


def card_text_of(kept: KeptCard | None) -> crossbar_file.CardText | None:
    """A card as a crossbar file holds it."""
    if kept is None:
        return None
    return crossbar_file.CardText(text=kept.text, overruled=" ".join(kept.overruled))


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
            "a model or crossbar keeps the calibration card that it was made with",
            f"{stated.note().text} for {mapped.name} with {card.note().text}",
            "Make it again with the other card, or leave --calibration out.",
        )
    out = card.overlay(values)
    out["array"] = values.get("array", {})
    if "variability" in kept.overruled:  # the deployment has its own
        out["variability"] = values.get("variability", ())
    out["calibration"] |= {"overridden": kept.overruled}
    return out
