"""What the verification of a single array looked at and saw, and the gates on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.array import Crossbar
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array
from xbarspice.verification.results import (
    DeviceRecord,
    DropRecord,
    Finding,
    Gate,
    Gates,
    IdealRecord,
    TrustRecord,
)

__all__ = [
    "ArrayVerification",
    "EngineCheck",
    "GivenRecord",
    "LineCheck",
    "beyond",
    "find_unjudged",
    "gates_of",
]


@dataclass(frozen=True, kw_only=True)
class LineCheck:
    """Current error of one output line, over the largest output current."""

    line: str
    worst: float
    rms: float


@dataclass(frozen=True, kw_only=True)
class EngineCheck:
    """One engine against the reference; errors are over the largest output current.

    Attributes:
        engine, method, notes: who answered, how, and what it had to say.
        seconds: time in the engine, s.
        worst, rms, vector, line: error of the output currents, and where it is worst.
        bound: what it says that its error may be.
        kirchhoff: its Kirchhoff residual over the largest current; NaN where none was checked.
        lines: errors line by line.
        device: the device that differs most.
    """

    engine: str
    method: str
    notes: tuple[str, ...]
    seconds: float
    worst: float
    rms: float
    vector: int
    line: str
    bound: float
    kirchhoff: float
    lines: tuple[LineCheck, ...]
    device: DeviceRecord


@dataclass(frozen=True, kw_only=True)
class GivenRecord:
    """Currents that came with the array against the reference, over the largest of them, A."""

    worst: float
    rms: float
    vector: int
    line: str
    I_reference: float
    I_given: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayVerification:
    """What was verified of one array, and with what outcome.

    Attributes:
        title: one line.
        array: shape, wires (ohm), device and line ends in words.
        reference, method: who the engines were judged against, and how it answered.
        vectors, probes: given or drawn voltages, and dense probes after them.
        I_max: largest output current by the reference, A.
        kirchhoff: residual of the reference.
        bound: what the reference says that its error may be, over `I_max`.
        engines: the judged ones.
        ideal: distance of the output currents from the ideal product.
        drop: largest voltage lost in wires, by the surrogate.
        given: the currents that came with the array, judged; None without any.
        trust: what the trust map says of the surrogate's levels.
        energy: of each vector's read, J.
        findings, gates, unjudged: as of `Verification`.
        seconds: wall-clock time of each part.
        answers: every engine's solution by name (not part of the record).
        V_in, V_out: the voltages, V, (vectors + probes, rows) and (..., cols) (likewise).
    """

    title: str
    array: dict[str, Any]
    reference: str
    method: str
    vectors: int
    probes: int
    I_max: float
    kirchhoff: float
    bound: float
    engines: tuple[EngineCheck, ...]
    ideal: IdealRecord
    drop: DropRecord
    given: GivenRecord | None
    trust: TrustRecord
    energy: tuple[float, ...]
    findings: tuple[Finding, ...]
    gates: tuple[Gate, ...] = ()
    unjudged: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Solution] = field(repr=False)
    crossbar: Crossbar = field(repr=False)
    V_in: Array = field(repr=False)
    V_out: Array = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def record(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON."""
        kept_apart = {"answers", "crossbar", "V_in", "V_out"}
        names = [name for name in self.__dataclass_fields__ if name not in kept_apart]
        values = {name: getattr(self, name) for name in names}
        return {"passed": self.passed, **asdict(_Plain(values))["values"]}

    def save(
        self,
        folder: str | Path,
        about: Mapping[str, Any] | None = None,
        card: crossbar_file.CardText | None = None,
    ) -> Path:
        """Write report.html, report.md, report.json, junit.xml, array.h5 and nodes.h5.

        Args:
            folder: made if it is not there.
            about: more entries of the record, as of `Verification.save`.
            card: calibration card that the array carries.

        Returns:
            The page.

        Raises:
            StoreError: a file cannot be written.
        """
        from xbarspice.verification.array_page import write

        folder = Path(folder)
        page = write(self.record() | dict(about or {}), folder)
        crossbar_file.save(folder / "array.h5", self.crossbar, card)
        tree: dict[str, Any] = {"reference": self.reference}
        tree |= {"V_in": self.V_in, "V_out": self.V_out}
        for name, answer in self.answers.items():
            parts = ("I_in", "I_out", "V_wl", "V_bl", "I_device")
            tree[name] = {part: getattr(answer, part) for part in parts}
        hdf5.write_tree(folder / "nodes.h5", tree, "node voltages")
        return page


@dataclass(frozen=True)
class _Plain:
    """Values of any form for `asdict`, which looks into dataclasses inside them."""

    values: dict[str, Any]


def beyond(error: float, check: EngineCheck, report: ArrayVerification) -> float:
    """An error beyond what both engines say that theirs may be."""
    bounds = [b for b in (check.bound, report.bound) if np.isfinite(b)]
    return max(error - sum(bounds), 0.0) if error == error else error  # NaN stays


def gates_of(report: ArrayVerification, limits: Gates) -> Iterator[Gate]:
    """Every gate that is set and has something to judge."""
    for e in report.engines:
        between = f"{e.engine} against {report.reference}"
        residuals = [r for r in (e.kirchhoff, report.kirchhoff) if r == r]
        for name, value, limit in (
            (
                "output current beyond both error bounds, worst",
                beyond(e.worst, e, report),
                limits.current,
            ),
            ("rms of output currents beyond both", beyond(e.rms, e, report), limits.rms),
            ("device current, worst", e.device.error, limits.device),
            ("Kirchhoff residual of either", max(residuals, default=np.nan), limits.kirchhoff),
        ):
            if limit is not None:
                yield Gate.of(f"{between}: {name}", value, limit)
    ideal = f"{report.reference}: output current from the ideal product"
    currents = None if report.given is None else report.given.worst
    for name, value, limit, unit in (
        (f"given currents against {report.reference}", currents, limits.given, ""),
        (ideal, report.ideal.worst, limits.ideal, ""),
        ("voltage lost in wires", report.drop.share, limits.drop, ""),
        ("energy of a read", float(np.max(report.energy)), limits.energy, "J"),
        ("findings", len(report.findings), limits.findings, "count"),
    ):
        if limit is not None and value is not None:
            yield Gate.of(name, value, limit, unit)


def find_unjudged(report: ArrayVerification, limits: Gates) -> Iterator[str]:
    """Limits that were stated and had nothing to judge, each with the reason."""
    for name, why in (
        ("given", "no currents came with the array"),
        *(
            (name, "a single array has no model around it")
            for name in ("decisions", "output", "accuracy_loss", "beyond")
        ),
    ):
        stated = name in limits.model_fields_set and getattr(limits, name) is not None
        if stated and not (name == "given" and report.given is not None):
            yield f"gates.{name}: {why}"
