"""Wires, device and errors of a published experiment, or those of a calibration card over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xbarspice.config.card import CalibrationCard
from xbarspice.devices import Device
from xbarspice.variability import Compose, drolet_2023, from_config

__all__ = ["Hardware"]


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
