"""What is suspicious about one array: evidence is shown to all detectors."""

from __future__ import annotations

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array
from xbarspice.verification.array_records import ArrayVerification, beyond
from xbarspice.verification.detectors import find
from xbarspice.verification.evidence import (
    EXPLAINED,
    ArrayEvidence,
    CurrentEvidence,
    MagnitudeEvidence,
)
from xbarspice.verification.finding import Finding
from xbarspice.verification.results import Gates

__all__ = ["array_findings", "array_mistakes"]

MEASURED = 1e-3
"""Error of given currents from which they are explained where no gate is set."""


def array_findings(crossbar: Crossbar, V_in: Array, V_out: Array) -> list[Finding]:
    """Suspicious things about one array that can be seen before anything is solved.

    Args:
        crossbar: one array.
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols).
    """
    where, V = "the array", max(float(np.abs(v).max(initial=0.0)) for v in (V_in, V_out))
    magnitudes = MagnitudeEvidence(crossbar=crossbar, V=V, pairs=False, where=where)
    array = ArrayEvidence(crossbar=crossbar, V_in=V_in, V_out=V_out, largest=False, where=where)
    return [*find(magnitudes), *find(array)]


def array_mistakes(
    report: ArrayVerification, limits: Gates, currents: Array | None
) -> list[Finding]:
    """Common mistakes that explain currents that disagree: the given ones, then each engine's.

    Args:
        report: of the array.
        limits: of the currents.
        currents: those that came with the array, A, (vectors, cols); None without any.
    """
    tolerance = min(limits.given or MEASURED, MEASURED)
    cases = []
    if currents is not None and report.given is not None and report.given.worst > tolerance:
        cases.append((currents, "the given currents"))
    for check in report.engines:
        if not beyond(check.worst, check, report) <= limits.current:
            cases.append((report.answers[check.engine].I_out, f"the currents of {check.engine}"))
    out: list[Finding] = []
    for I_out, where in cases:
        part = slice(0, min(len(I_out), EXPLAINED))
        out += find(
            CurrentEvidence(
                crossbar=report.crossbar,
                V_in=report.V_in[part],
                V_out=report.V_out[part],
                I_out=I_out[part],
                tolerance=tolerance,
                where=where,
            )
        )
    return out
