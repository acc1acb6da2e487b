"""What a detector of common mistakes reports, and the arithmetic that detectors share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from xbarspice.core.errors import EngineError
from xbarspice.core.types import Array

__all__ = [
    "SCALE",
    "SHARE",
    "Finding",
    "common_factor",
    "join_places",
    "power_of_1000",
    "rms",
    "with_hints",
]


SHARE = 0.2
"""Share of the difference that may remain if a mistake is to explain it."""
SCALE = 0.02
"""Deviation of a common factor from 1 that counts as a wrong scale."""
PLACES = 3
"""Places that a joined finding names."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One probable mistake.

    Attributes:
        kind: what it is, for example "transposed weights" or "unit slip".
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
    """Root mean square; 0 of nothing. Squared are shares of the largest, so none overflows."""
    largest = float(np.abs(values).max(initial=0.0))
    if not largest or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.mean(np.square(values / largest))))


def common_factor(values: Array, model: Array) -> float:
    """The c that minimises ``|values - c model|``."""
    largest = float(np.abs(model).max(initial=0.0))
    if not largest or not np.isfinite(largest):
        return 0.0
    shares = model / largest
    return float(np.sum(values * shares)) / float(np.sum(shares * shares)) / largest


def power_of_1000(factor: float) -> int | None:
    """K where the factor is 1000^k, k != 0, within 2 %; else None."""
    if not factor > 0 or not np.isfinite(factor):
        return None
    power = round(float(np.log10(factor)) / 3)
    return power if power and abs(factor / 1000.0**power - 1) <= SCALE else None


def join_places(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of one kind and text said once, with the first places and how many more."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.text), []).append(finding)
    out = []
    for group in groups.values():
        names = list(dict.fromkeys(finding.where for finding in group))
        more = f" and {len(names) - PLACES} more" if len(names) > PLACES else ""
        out.append(replace(group[0], where=", ".join(names[:PLACES]) + more))
    return out


def with_hints(error: EngineError, findings: Iterable[Finding]) -> EngineError:
    """The error of an engine with what was suspicious before the solve."""
    hints = " ".join(f"{f.where}: {f.text} {f.remedy}" for f in findings)
    return type(error)(f"{error} Before the solve: {hints}") if hints else error
