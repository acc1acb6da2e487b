"""What is found in data of devices over time: values, checks, and numbers for pages and cards."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xbarspice.calibration.cards import record_of_spread
from xbarspice.calibration.goodness import Check
from xbarspice.calibration.spread import Spread

__all__ = ["Characteristics", "record_of_characteristics"]


@dataclass(frozen=True, kw_only=True)
class Characteristics(Spread):
    """Values with intervals; those of terms of the variability go onto a card.

    Attributes:
        checks: tests of what the values assume.
        details: more numbers, plain values, for JSON and pages.
        how: how the intervals were formed, sentences.
    """

    checks: tuple[Check, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    how: str = ""

    @property
    def holds(self) -> bool:
        """Whether no test speaks against what the values assume."""
        return all(check.holds for check in self.checks)

    def withhold(self) -> Characteristics:
        """The same with open intervals, for values whose assumptions do not hold."""
        opened = {"low": -math.inf, "high": math.inf}
        values = {name: v.model_copy(update=opened) for name, v in self.values.items()}
        return dataclasses.replace(self, values=values)


def record_of_characteristics(found: Characteristics) -> dict[str, Any]:
    """The values as plain numbers, for JSON and pages."""
    record = record_of_spread(found)
    for row in record["parameters"]:
        for end in ("low", "high"):
            if not (found.holds and math.isfinite(row[end])):
                row[end] = None
    return {
        **record,
        "intervals": found.how,
        "model_holds": found.holds,
        "checks": [dataclasses.asdict(check) for check in found.checks],
        **found.details,
    }
