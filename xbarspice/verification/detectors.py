"""Detectors of common mistakes: one registry, open to users.

A detector is a function that looks at one kind of evidence (`verification.evidence`) and returns a
`Finding`, several, or None. `xb.verify` and `xb.verify_array` show every piece of evidence that
they have to all detectors of its kind, in the order in which these were registered.

Detectors of weights and currents make one mistake on purpose. The mistake explains what was seen if
the remaining rms difference is at most `SHARE` of what it is without the mistake. Small differences
(programming noise, rounding) are nobody's mistake: below `NOTICED` (weights) or the caller's
tolerance (currents) no detector speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from xbarspice.core.errors import broken_rule
from xbarspice.core.registry import Registry
from xbarspice.verification.evidence import (
    KINDS,
    ArrayEvidence,
    CircuitEvidence,
    CurrentEvidence,
    MagnitudeEvidence,
    MatrixEvidence,
    WeightEvidence,
)
from xbarspice.verification.finding import Finding

__all__ = [
    "KINDS",
    "ArrayEvidence",
    "CircuitEvidence",
    "CurrentEvidence",
    "Detector",
    "Finding",
    "MagnitudeEvidence",
    "MatrixEvidence",
    "WeightEvidence",
    "find",
    "register",
    "registry",
]

Evidence = TypeVar("Evidence")
Detect = Callable[[Evidence], Finding | Iterable[Finding] | None]

SAME = 1e-9
"""Remaining differences that are equally good: rounding."""


@dataclass(frozen=True, kw_only=True)
class Detector(Generic[Evidence]):
    """A function and what it looks at.

    Attributes:
        evidence: class of the evidence, one of those in `verification.evidence`.
        detect: gives a finding, several, or None.

    Raises:
        InputError: nothing shows evidence of this class.
    """

    evidence: type[Evidence]
    detect: Detect[Evidence]

    def __post_init__(self) -> None:
        if self.evidence not in KINDS:
            raise broken_rule(
                f"a detector looks at one of {', '.join(kind.__name__ for kind in KINDS)}",
                repr(self.evidence),
                "Import it from xbarspice.verification.detectors.",
            )

    def findings(self, evidence: Evidence) -> list[Finding]:
        """What it finds in one piece of evidence."""
        result = self.detect(evidence)
        if result is None:
            return []
        return [result] if isinstance(result, Finding) else list(result)


registry: Registry[Detector] = Registry(
    "detector", "Use one of these, or add your own with xb.verification.detectors.register."
)
"""Detectors by name."""


def register(name: str, evidence: type[Evidence]) -> Callable[[Detect[Evidence]], Detect[Evidence]]:
    """Function decorator: the function is a detector from now on.

    Args:
        name: a new name.
        evidence: class of what it looks at.

    Raises:
        InputError: the name is taken, or nothing shows evidence of this class.
    """

    def add(function: Detect[Evidence]) -> Detect[Evidence]:
        registry.add(name, Detector(evidence=evidence, detect=function))
        return function

    return add


def find(evidence: object) -> list[Finding]:
    """What all detectors of this kind of evidence find, in the order of their registration."""
    detectors = [d for d in registry.entries() if d.evidence is type(evidence)]
    if isinstance(evidence, CurrentEvidence):
        return _explain(evidence, detectors)
    return [finding for detector in detectors for finding in detector.findings(evidence)]


def _explain(evidence: CurrentEvidence, detectors: Iterable[Detector]) -> list[Finding]:
    """What explains currents; nothing if the array explains them as it is.

    Where several mistakes explain them (a wire resistance that is too large looks much like a wrong
    scale), those that explain them clearly worse than the best one are left out.
    """
    if not evidence.difference(evidence.base()) > evidence.tolerance:
        return []
    findings = [f for detector in detectors for f in detector.findings(evidence)]
    remaining = [f.evidence["explained"] for f in findings if "explained" in f.evidence]
    most = 3 * min(remaining, default=0.0) + SAME
    return [f for f in findings if f.evidence.get("explained", 0.0) <= most]
