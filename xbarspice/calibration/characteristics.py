"""What is found in data of devices over time: values, checks, and numbers for pages and cards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xbarspice.calibration.cards import record_of_spread
from xbarspice.calibration.spread import Spread

__all__ = ["Characteristics", "record_of_characteristics"]


@dataclass(frozen=True, kw_only=True)
class Characteristics(Spread):
    """Values with intervals; those of terms of the variability go onto a card.

    Attributes:
        details: more numbers, plain values, for JSON and pages.
        how: how the intervals were formed, sentences.
    """

    details: Mapping[str, Any] = field(default_factory=dict)
    how: str = ""

    def for_card(self) -> Characteristics:
        """The same with the values of its terms alone: no command takes the others."""
        values = {k: v for k, v in self.values.items() if k.startswith("variability.")}
        return dataclasses.replace(self, values=values)


def record_of_characteristics(characteristics: Characteristics) -> dict[str, Any]:
    """The values as plain numbers, for JSON and pages."""
    return {
        **record_of_spread(characteristics),
        "intervals": characteristics.how,
        **characteristics.details,
    }
