"""What a detector of common mistakes reports, and the arithmetic that detectors share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarspice.core.types import Array

__all__ = ["SCALE", "SHARE", "Finding", "common_factor", "power_of_1000", "rms", "run_all"]


SHARE = 0.2
"""Share of the difference that may remain if a mistake is to explain it."""
SCALE = 0.02
"""Deviation of a common factor from 1 that counts as a wrong scale."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One probable mistake.

    Attributes:
        kind: the detector: "transposed weights", "swapped polarity", "wrong scale",
            "driver resistance on the wrong side", "unit slip", "saturated range", "labels at chance
            level" or "beyond the range".
        where: what it is about, for example "layer 0" or "array 2".
        text: what was seen, with figures.
        remedy: what to do.
        evidence: the figures by name.
    """

    kind: str
    where: str
    text: str
    remedy: str
    evidence: dict[str, float] = field(default_factory=dict)


def rms(values: Array) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def common_factor(found: Array, model: Array) -> float:
    """The c that minimises ``|found - c model|``."""
    square = float(np.sum(model * model))
    return float(np.sum(found * model)) / square if square else 0.0


def power_of_1000(factor: float) -> int | None:
    """K where the factor is 1000^k, k != 0, within 2 %; else None."""
    if not factor > 0 or not np.isfinite(factor):
        return None
    power = round(float(np.log10(factor)) / 3)
    return power if power and abs(factor / 1000.0**power - 1) <= SCALE else None


def run_all(evidence: Any, *detectors: Callable[[Any], Finding | None]) -> list[Finding]:
    """What these detectors find in one piece of evidence, in their order."""
    return [found for found in (detect(evidence) for detect in detectors) if found is not None]
