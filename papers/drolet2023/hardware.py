"""Wires, device and errors of a published experiment, or those of a calibration card over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarspice.config.card import CalibrationCard
from xbarspice.core.errors import broken_rule
from xbarspice.devices import Device
from xbarspice.variability import Compose, drolet_2023, from_config

__all__ = ["Hardware", "keep_card"]

CARD = "card.toml"


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the arrays of an experiment are made of.

    Attributes:
        wires: R_wl, R_bl, R_driver and R_sense, ohm.
        device: model of the devices.
        variation: transfer errors. Read noise is drawn once a transfer: a point's chances over the
            transfers, and the means, are those of noise drawn at every read.
        card: where the calibrated values come from, or None.
    """

    wires: Mapping[str, Any]
    device: str | Device
    variation: Compose
    card: CalibrationCard | None = None

    @classmethod
    def of(cls, card: CalibrationCard | None, *, wire: float, device: str) -> Hardware:
        """The published hardware, with the values of a card in their place.

        Args:
            card: goes over what follows, as far as it has values; None leaves all as published.
            wire: ohm a segment of word and bit lines.
            device: name of the device model.
        """
        wires = {"R_wl": wire, "R_bl": wire, "R_driver": 0.0, "R_sense": 0.0}
        if card is None:
            return cls(wires=wires, device=device, variation=drolet_2023(tail="released"))
        errors = from_config(card.variability) if card.variability else drolet_2023(tail="released")
        return cls(wires=wires | card.wires, device=card.model(), variation=errors, card=card)

    @property
    def name(self) -> str:
        """Registered name of the device."""
        return self.device if isinstance(self.device, str) else self.device.name

    def arguments(self) -> dict[str, Any]:
        """Wires and device, as keyword arguments of `ArrayConfig`."""
        return {**self.wires, "device": self.device}

    def record(self) -> dict[str, Any]:
        """What a record says: wires, device, whose errors, and the card (None: none)."""
        named = self.card is not None and bool(self.card.variability)
        return {
            "wires_ohm": dict(self.wires),
            "device": self.name,
            "errors": "calibration card" if named else "Drolet et al. 2023",
            "calibration": self.card.note().text if self.card else None,
        }


def keep_card(folder: Path, card: CalibrationCard | None, *, begun: bool) -> None:
    """Note in a folder which card its networks are made with; `begun`: it holds some already.

    Raises:
        InputError: the folder was begun with another card, or without one.
    """
    path = folder / CARD
    text = None if card is None else card.to_toml()
    stored = path.read_text(encoding="utf-8") if path.is_file() else None
    if begun and stored != text:
        raise broken_rule(
            "a folder must go on with the calibration card that it was begun with",
            f"{'no card' if card is None else card.note().text} in {folder}, begun with "
            f"{'none' if stored is None else CalibrationCard.from_toml(path).note().text}",
            "Give that card, or choose another --out.",
        )
    if text is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
