"""What the verification of a model on arrays looked at and saw, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xbarspice.core import hdf5
from xbarspice.verification.results import (
    CornerRecord,
    DecisionRecord,
    Finding,
    Gate,
    ImportRecord,
    LayerCost,
    MatrixCheck,
    SampleRecord,
    SearchRecord,
    TileCheck,
    TrustRecord,
)

__all__ = ["Verification"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """What was verified, how far, and with what outcome.

    Attributes:
        title: one line.
        reference, engines: who solved the arrays, and who was judged.
        points: inputs of the model.
        imported: the import gate.
        coverage: what of the model is on arrays (a record).
        sample: which arrays the reference solved.
        tiles: one check an engine and array, by engine.
        matrices: the same by weight matrix, by engine.
        decisions: outputs through the surrogate and, where it was run, the reference.
        whole: why the whole forward through the reference was run, or was not.
        searches: worst inputs that were found by search; empty if none was asked for.
        searched: what the search left out, and why; empty if nothing.
        trust: what the trust map says of the surrogate's levels for these arrays.
        costs: what each matrix and cause does to the outputs.
        corners: outputs at the corners; empty if none was asked for.
        findings: what is suspicious.
        energy: mean energy of an inference, J: static power of all arrays over `t_read`, each
            vector one pass; None where nothing was driven.
        gates: conditions with their outcome.
        unjudged: limits that were stated and had nothing to judge, each with the reason.
        methods: how the reference answered.
        seconds: wall-clock time of each part.
        nodes: with `verify(nodes=True)` by array the voltages of its lines and of all its nodes by
            the reference and every engine, V (not part of the record).
    """

    title: str
    reference: str
    engines: tuple[str, ...]
    points: int
    imported: ImportRecord
    coverage: dict[str, Any]
    sample: SampleRecord
    tiles: dict[str, tuple[TileCheck, ...]] = field(repr=False)
    matrices: dict[str, tuple[MatrixCheck, ...]]
    decisions: tuple[DecisionRecord, ...]
    whole: str
    searches: tuple[SearchRecord, ...]
    searched: str
    trust: TrustRecord
    costs: tuple[LayerCost, ...]
    corners: tuple[CornerRecord, ...]
    findings: tuple[Finding, ...]
    energy: float | None
    gates: tuple[Gate, ...] = ()
    unjudged: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def record(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON."""
        names = [name for name in self.__dataclass_fields__ if name != "nodes"]
        plain = {name: getattr(self, name) for name in names}
        for name in ("imported", "sample", "trust"):
            plain[name] = asdict(plain[name])
        for name in ("decisions", "searches", "costs", "corners", "findings", "gates"):
            plain[name] = [asdict(item) for item in plain[name]]
        for name in ("tiles", "matrices"):
            plain[name] = {k: [asdict(item) for item in v] for k, v in plain[name].items()}
        return {"passed": self.passed, **plain}

    def save(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> Path:
        """Write report.html, report.md, report.json and junit.xml; returns the page.

        Node voltages, if they were kept, go into ``nodes.h5``.

        Args:
            folder: made if it is not there.
            about: more entries of the record, which the page shows if it knows them: `config`,
                `environment`, `calibration`, `notes`.

        Raises:
            StoreError: a file cannot be written.
        """
        from xbarspice.verification.circuit_page import write

        page = write(self.record() | dict(about or {}), Path(folder))
        if self.nodes:
            hdf5.write_tree(Path(folder) / "nodes.h5", self.nodes, "node voltages")
        return page
