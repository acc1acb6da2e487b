"""`xb.verify`: is the model on arrays the model that was trained, and do its arrays compute it?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from xbarspice import engines as engine_room
from xbarspice.errors import EngineError, broken_rule
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import Tile, convert, copy_circuit, coverage, crossbar_layers
from xbarspice.nn import tiles as tiles_in
from xbarspice.nn.origin import arguments_of, decisions_of
from xbarspice.studies import campaign
from xbarspice.verification import forward
from xbarspice.verification.corners import CORNERS, put_at_corner
from xbarspice.verification.findings import findings
from xbarspice.verification.records import (
    CornerRecord,
    DecisionRecord,
    Finding,
    Gate,
    Gates,
    ImportRecord,
    LayerCost,
    MatrixCheck,
    SampleRecord,
    TileCheck,
)
from xbarspice.verification.summary import by_matrix, energy, judge
from xbarspice.verification.tiles import (
    Drives,
    dense_probes,
    draw_sample,
    record_drives,
    tile_check,
    tile_item,
    unit_vectors,
)

__all__ = ["Gates", "Verification", "verify"]

Progress = Callable[[str, int, int], None]

WORTH_A_POOL = 32
"""Arrays from which starting worker processes pays."""


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
        costs: what each matrix and cause does to the outputs.
        corners: outputs at the corners; empty if none was asked for.
        findings: what is suspicious.
        energy: mean energy of an inference, J: static power of all arrays over `t_read`, each
            vector one pass; None where nothing was driven.
        gates: conditions with their outcome.
        seconds: wall-clock time of each part.
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
    costs: tuple[LayerCost, ...]
    corners: tuple[CornerRecord, ...]
    findings: tuple[Finding, ...]
    energy: float | None
    gates: tuple[Gate, ...]
    methods: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def record(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("imported", "sample"):
            plain[name] = asdict(plain[name])
        for name in ("decisions", "costs", "corners", "findings", "gates"):
            plain[name] = [asdict(item) for item in plain[name]]
        for name in ("tiles", "matrices"):
            plain[name] = {k: [asdict(item) for item in v] for k, v in plain[name].items()}
        return {"passed": self.passed, **plain}

    def save(self, folder: str | Path) -> Path:
        """Write report.html, report.md, report.json and junit.xml; returns the page.

        Raises:
            StoreError: a file cannot be written.
        """
        from xbarspice.report.circuit_page import write

        return write(self.record(), Path(folder))


def verify(
    model: nn.Module,
    x: Any,
    y: npt.ArrayLike | None = None,
    *,
    expected: Any = None,
    config: ArrayConfig | Mapping[str, ArrayConfig | None] | None = None,
    engines: Sequence[str] = ("surrogate",),
    reference: str = "ngspice",
    gates: Gates | None = None,
    confidence: float | None = None,
    bad_tiles: float = 0.001,
    drives: int = 8,
    probes: int = 1,
    all_units: bool = False,
    whole: int = 2000,
    corners: bool | Mapping[str, Mapping[str, float]] = False,
    t_read: float = 100e-9,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    title: str = "",
    progress: Progress = lambda stage, done, total: None,
) -> Verification:
    """Verify a model on arrays: import, ranges, every array against a reference, whole forwards.

    Args:
        model: from `nn.convert`, or any model, which is then converted with `config` and calibrated
            on `x`.
        x: inputs of the model, a tensor or array, or a tuple of its arguments.
        y: classes of the points, if known.
        expected: outputs for `x` that were made elsewhere (a list or one array); the import gate is
            then judged against them.
        config: for a model that is not converted yet.
        engines: whom to judge.
        reference: whom to judge against.
        gates: what must hold.
        confidence, bad_tiles: solve only so many arrays by the reference that a share `bad_tiles`
            of bad ones is met with this confidence; None: all arrays.
        drives: vectors of the model's own drive that are solved on each array.
        probes: dense probes on each array.
        all_units: also one unit vector a line.
        whole: arrays times points up to which the whole forward is run through the reference.
        corners: also outputs at the corners (True: `corners.CORNERS`), gates judged on the worst.
        t_read: length of one pass, s.
        seed: of probes and samples.
        folder: where the answers of the arrays are kept (``tiles.h5``); a stopped verification goes
            on there. None: a temporary folder.
        workers, scheduler: as for `studies.campaign.run`.
        title: of the report.
        progress: called with (stage, done, total).

    Raises:
        InputError: an argument breaks a rule. EngineError: an engine failed.
    """
    inputs = arguments_of(model, x)
    names = _engine_names(reference, engines)
    labels = _labels(y, inputs)
    clock = _Clock()
    progress("import", 0, 1)
    if not crossbar_layers(model):
        model = convert(model, config, calibrate=inputs)
    elif config is not None:
        raise broken_rule(
            "`config` is for a model that is not on arrays yet",
            "a converted model",
            "Leave it out.",
        )
    circuit = copy_circuit(model).eval()
    imported = forward.import_gate(circuit, inputs, expected)
    exact = forward.exact_outputs(circuit, inputs)
    clock.stop("import")
    progress("forward", 0, 1)
    for matrix in forward.matrices_of(circuit):
        matrix.ranges.reset()
    recorded, outputs = record_drives(circuit, inputs, drives, seed)
    ranges = {m.name: replace(m.ranges) for m in forward.matrices_of(circuit)}
    own = forward.decisions("surrogate", outputs, exact, labels)
    suspicious = findings(circuit, labels, decisions_of(exact))
    clock.stop("forward")
    scales = {m.name: m.config.x_scale for m in forward.matrices_of(circuit)}
    tiles = tiles_in(circuit)
    chosen, sample = draw_sample(tiles, confidence, bad_tiles, seed)
    vectors = _Vectors(circuit, recorded, probes, all_units, seed)
    items = [tile_item(tiles[k], *vectors.of(tiles[k]), reference, names) for k in chosen]
    results = _solve(items, folder, workers, scheduler, progress)
    clock.stop("arrays")
    limits = gates or Gates()
    checks = {
        name: tuple(
            tile_check(tiles[k], result, name, vectors.counts(tiles[k]), limits.current)
            for k, result in zip(chosen, results, strict=True)
        )
        for name in names
    }
    said, golden = _whole(circuit, inputs, len(tiles), reference, whole, progress)
    clock.stop("whole forward")
    progress("costs", 0, 1)
    parts = forward.costs(circuit, inputs, exact, outputs)
    at_corners = _corners(circuit, inputs, exact, labels, corners)
    clock.stop("costs and corners")
    points = len(inputs[0]) if isinstance(inputs[0], Tensor) and inputs[0].ndim else 1
    report = Verification(
        title=title or f"{type(model).__name__} on passive arrays",
        reference=reference,
        engines=names,
        points=points,
        imported=imported,
        coverage=coverage(circuit).record(),
        sample=sample,
        tiles=checks,
        matrices={name: by_matrix(ranges, tiles, recorded, checks[name], scales) for name in names},
        decisions=(
            own,
            *(forward.decisions(reference, g, exact, labels) for g in [golden] if g is not None),
        ),
        whole=said,
        costs=tuple(parts),
        corners=at_corners,
        findings=tuple(suspicious),
        energy=energy(checks[names[0]], tiles, recorded, points, t_read),
        gates=(),
        methods=tuple(dict.fromkeys(str(r["method"]) for r in results)),
        seconds=clock.seconds,
    )
    differing = None if golden is None else forward.differing_decisions(outputs, golden)
    return replace(report, gates=tuple(judge(report, limits, differing)))


class _Clock:
    """Wall-clock time between stops."""

    def __init__(self) -> None:
        import time

        self._now = time.perf_counter
        self._last = self._now()
        self.seconds: dict[str, float] = {}

    def stop(self, name: str) -> None:
        now = self._now()
        self.seconds[name] = now - self._last
        self._last = now


def _engine_names(reference: str, judged: Sequence[str]) -> tuple[str, ...]:
    for name in (reference, *judged):
        if not isinstance(name, str) or name not in engine_room.names():
            raise broken_rule(
                f"engines must be among {engine_room.names()}", repr(name), "Use their names."
            )
    names = tuple(dict.fromkeys(name for name in judged if name != reference))
    if not names:
        raise broken_rule(
            "an engine other than the reference must be judged",
            f"engines {list(judged)}, reference {reference!r}",
            'For example engines=("surrogate",), reference="ngspice".',
        )
    return names


def _labels(y: npt.ArrayLike | None, inputs: tuple[Any, ...]) -> np.ndarray | None:
    if y is None:
        return None
    labels = np.asarray(y)
    points = len(inputs[0]) if isinstance(inputs[0], Tensor) and inputs[0].ndim else 1
    if labels.shape != (points,) or labels.dtype.kind not in "iu":
        raise broken_rule(
            f"labels must be {points} whole numbers, one a point",
            f"shape {labels.shape}, {labels.dtype}",
            "Pass one class a point.",
        )
    return labels.astype(np.int64)


class _Vectors:
    """Drives and probes of every array."""

    def __init__(
        self, circuit: nn.Module, drives: Drives, probes: int, all_units: bool, seed: int
    ) -> None:
        if probes < 1:
            raise broken_rule("`probes` must be >= 1", probes, "Inputs alone leave lines undriven.")
        self.V_read = {m.name: m.config.V_read for m in forward.matrices_of(circuit)}
        self.drives, self.probes, self.all_units, self.seed = drives, probes, all_units, seed

    def of(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Drives (drives, lines) and probes (probes, lines) of an array, V."""
        V_read = self.V_read[tile.matrix]
        probes = dense_probes(tile, V_read, self.probes, self.seed)
        if self.all_units:
            probes = np.concatenate([probes, unit_vectors(tile, V_read)])
        return self.drives.of(tile), probes

    def counts(self, tile: Tile) -> tuple[int, int]:
        """How many drives and probes an array has."""
        extra = tile.size if self.all_units else 0
        return len(self.drives.of(tile)), self.probes + extra


def _solve(
    items: list[dict[str, Any]],
    folder: str | Path | None,
    workers: int | None,
    scheduler: str | None,
    progress: Progress,
) -> list[Mapping[str, Any]]:
    """Results of all arrays, in order, through a campaign that a later call can go on with."""
    with tempfile.TemporaryDirectory(prefix="xbarspice-") as temporary:
        place = Path(folder) if folder is not None else Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        path = place / "tiles.h5"
        campaign.run(
            items,
            campaign.compare_item,
            path,
            resume=path.exists(),
            retry_failed=True,
            workers=0 if workers is None and len(items) < WORTH_A_POOL else workers,
            scheduler=scheduler,
            progress=lambda done, total: progress("arrays", done, total or len(items)),
        )
        results = campaign.load(path)
        out = []
        for item in items:
            key = campaign.Item(item).key
            if key not in results:
                failure = results.failures[key]
                raise EngineError(f"array {item['label']}: {failure.error}: {failure.text}")
            out.append(results[key])
        return out


def _whole(
    circuit: nn.Module,
    inputs: tuple[Any, ...],
    tiles: int,
    reference: str,
    budget: int,
    progress: Progress,
) -> tuple[str, tuple[Tensor, ...] | None]:
    """The outputs through the reference where that is within the budget, and a sentence."""
    points = len(inputs[0]) if isinstance(inputs[0], Tensor) and inputs[0].ndim else 1
    size = tiles * points
    if size > budget:
        return (
            f"The whole forward was not run through {reference}: {tiles} arrays x {points} points "
            f"= {size} exceed the budget of {budget} (`whole`). Its arrays were solved one by one.",
            None,
        )
    progress("whole forward", 0, 1)
    outputs = forward.outputs_through(circuit, inputs, reference)
    return f"All {points} points went through {reference} as a whole.", outputs


def _corners(
    circuit: nn.Module,
    inputs: tuple[Any, ...],
    exact: tuple[Tensor, ...],
    labels: np.ndarray | None,
    corners: bool | Mapping[str, Mapping[str, float]],
) -> tuple[CornerRecord, ...]:
    if corners is False:
        return ()
    wanted = CORNERS if corners is True else corners
    out = []
    for name, changes in wanted.items():
        there = copy_circuit(circuit)
        for matrix in forward.matrices_of(there):
            put_at_corner(matrix, changes)
        outputs = forward.outputs_through(there, inputs, "surrogate")
        record = forward.decisions("surrogate", outputs, exact, labels)
        out.append(CornerRecord(name=name, changes=dict(changes), decisions=record))
    return tuple(out)
