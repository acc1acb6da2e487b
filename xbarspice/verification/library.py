"""`xb.verify`: is the model on arrays the model that was trained, and do its arrays compute it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor, nn

from xbarspice.config import child_rng
from xbarspice.core import hdf5
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import convert, copy_circuit, coverage, crossbar_layers
from xbarspice.nn import tiles as tiles_in
from xbarspice.nn.arguments import points_of
from xbarspice.nn.origin import arguments_of, decisions_of
from xbarspice.verification import forward
from xbarspice.verification.corners import outputs_at_corners
from xbarspice.verification.findings import current_mistakes, findings
from xbarspice.verification.inputs import box_of, checked_engines, checked_labels, one_tensor
from xbarspice.verification.results import (
    CornerRecord,
    DecisionRecord,
    Finding,
    Gate,
    Gates,
    ImportRecord,
    LayerCost,
    MatrixCheck,
    SampleRecord,
    SearchRecord,
    TileCheck,
    TrustRecord,
)
from xbarspice.verification.solves import Clock, Progress, Vectors, solve_arrays
from xbarspice.verification.summary import by_matrix, energy, judge, unjudged
from xbarspice.verification.tiles import draw_sample, record_drives, tile_check, tile_item
from xbarspice.verification.trust import trust_of
from xbarspice.verification.worst import (
    Search,
    candidates,
    worst_between_engines,
    worst_of_ideal,
)

__all__ = ["Gates", "Verification", "verify"]


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


def verify(
    model: nn.Module,
    x: Any,
    y: npt.ArrayLike | None = None,
    *,
    expected: Any = None,
    expected_source: str = "",
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
    worst_case: bool | Search = False,
    nodes: bool = False,
    trust_error: float = 5e-2,
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
        x: inputs of the model: a tensor or array, a tuple of its arguments, a dictionary of those
            by name, or both as ``(tuple, dict)``.
        y: classes of the points, if known.
        expected: outputs for `x` that were made elsewhere (a list or one array); the import gate is
            then judged against them.
        expected_source: who made them, for the report.
        config: for a model that is not converted yet.
        engines: whom to judge.
        reference: whom to judge against.
        gates: what must hold.
        confidence, bad_tiles: solve only so many arrays by the reference that a share `bad_tiles`
            of bad ones is met with this confidence; None: all arrays.
        drives: vectors of the model's own drive that are solved on each array.
        probes: dense probes on each array.
        all_units: also one unit vector a line.
        whole: arrays times points up to which the whole forward is run through the reference, and
            arrays times candidates up to which inputs are searched on which engines differ.
        worst_case: also search the inputs that are furthest from exact products and on which
            engines differ most, for models of one floating-point tensor.
        nodes: also compare every device and keep all node voltages (`Verification.nodes`). The
            devices are compared too where `gates.device` is set.
        trust_error: error up to which the trust map calls a level of the surrogate trusted.
        corners: also outputs at the corners (True: `corners.CORNERS`), gates judged on the worst.
        t_read: length of one pass, s.
        seed: of probes and samples.
        folder: where the answers of the arrays are kept (``tiles.h5``); a stopped verification goes
            on there. None: a temporary folder.
        workers, scheduler: as for `campaign.run`.
        title: of the report.
        progress: called with (stage, done, total).

    Raises:
        InputError: an argument breaks a rule. EngineError: an engine failed.
    """
    inputs = arguments_of(model, x)
    names = checked_engines(reference, engines)
    labels = checked_labels(y, inputs)
    search = (Search() if worst_case is True else worst_case) or None
    box = box_of(one_tensor(inputs), search.low, search.high) if search else None
    limits, clock = gates or Gates(), Clock()
    progress("import", 0, 1)
    circuit = _circuit(model, config, inputs)
    imported = forward.import_gate(circuit, inputs, expected, expected_source)
    exact = forward.exact_outputs(circuit, inputs)
    clock.stop("import")
    progress("forward", 0, 1)
    for matrix in forward.matrices_of(circuit):
        matrix.ranges.reset()
    recorded, outputs = record_drives(circuit, inputs, drives, seed)
    ranges = {m.name: replace(m.ranges) for m in forward.matrices_of(circuit)}
    scales = {m.name: m.config.x_scale for m in forward.matrices_of(circuit)}
    tiles = tiles_in(circuit)
    suspicious = findings(circuit, tiles, recorded, labels, decisions_of(exact, labels))
    clock.stop("forward")
    chosen, sample = draw_sample(tiles, confidence, bad_tiles, seed)
    vectors = Vectors(recorded, probes=probes, all_units=all_units, seed=seed)
    full = {"devices": nodes or limits.device is not None, "nodes": nodes}
    items = [tile_item(tiles[k], *vectors.of(tiles[k]), reference, names, **full) for k in chosen]
    try:
        results = solve_arrays(items, folder, workers, scheduler, progress)
    except EngineError as error:
        raise _with_hints(error, suspicious) from error
    clock.stop("arrays")
    checks = {
        name: tuple(
            tile_check(tiles[k], result, name, vectors.counts(tiles[k]), limits.current)
            for k, result in zip(chosen, results, strict=True)
        )
        for name in names
    }
    by_name = {tiles[k].name: (tiles[k], item) for k, item in zip(chosen, items, strict=True)}
    suspicious += current_mistakes(by_name, checks, limits.current)
    progress("whole forward", 0, 1)
    said, golden = forward.whole_forward(circuit, inputs, len(tiles), reference, whole)
    clock.stop("whole forward")
    searches, searched = _searches(
        circuit, box, search, names, reference, whole // max(len(tiles), 1), seed, progress
    )
    clock.stop("search")
    progress("costs", 0, 1)
    points = points_of(inputs)
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
        decisions=tuple(
            forward.decisions(name, out, exact, labels)
            for name, out in (("surrogate", outputs), (reference, golden))
            if out is not None
        ),
        whole=said,
        searches=searches,
        searched=searched,
        trust=trust_of([(t.crossbar, t.config.V_read) for t in tiles], trust_error),
        costs=tuple(forward.costs(circuit, inputs, exact, outputs)),
        corners=outputs_at_corners(circuit, inputs, exact, labels, corners),
        findings=tuple(suspicious),
        energy=energy(checks[names[0]], tiles, recorded, points, t_read),
        methods=tuple(dict.fromkeys(str(r["method"]) for r in results)),
        seconds=clock.seconds,
        nodes=_nodes(items, results, names) if nodes else {},
    )
    clock.stop("costs and corners")
    differing = None if golden is None else forward.differing_decisions(outputs, golden, labels)
    return replace(
        report,
        gates=tuple(judge(report, limits, differing)),
        unjudged=tuple(unjudged(report, limits, differing)),
    )


def _circuit(model: nn.Module, config: Any, inputs: tuple[Any, ...]) -> nn.Module:
    """A copy of the model on arrays, in evaluation."""
    if not crossbar_layers(model):
        model = convert(model, config, calibrate=inputs)
    elif config is not None:
        raise broken_rule(
            "`config` is for a model that is not on arrays yet",
            "a converted model",
            "Leave it out.",
        )
    return copy_circuit(model).eval()


def _with_hints(error: EngineError, suspicious: Sequence[Finding]) -> EngineError:
    """The error of an engine with what was suspicious before the solve."""
    if not suspicious:
        return error
    hints = " ".join(f"{f.where}: {f.text} {f.remedy}" for f in suspicious)
    return type(error)(f"{error} Before the solve: {hints}")


def _searches(
    circuit: nn.Module,
    box: tuple[Tensor, Tensor] | None,
    search: Search | None,
    engines: tuple[str, ...],
    reference: str,
    budget: int,
    seed: int,
    progress: Progress,
) -> tuple[tuple[SearchRecord, ...], str]:
    """The worst inputs by search, and what was left out; `budget` in candidates."""
    if box is None or search is None:
        return (), ""
    ideal = worst_of_ideal(
        circuit,
        box,
        child_rng(seed, "worst of ideal"),
        search,
        lambda done, total: progress("search: exact products", done, total),
    )
    count = candidates(search) + 1
    if count > budget:
        return (ideal,), (
            f"Inputs on which engines differ were not searched: {count} candidates exceed the "
            f"{budget} that the budget of whole forwards allows for these arrays (`whole`)."
        )
    between = worst_between_engines(
        circuit,
        box,
        child_rng(seed, "worst between engines"),
        search,
        engines=engines,
        reference=reference,
        also=[box[0].new_tensor(ideal.x)],
        progress=lambda done, total: progress("search: engines", done, total),
    )
    return (ideal, between), ""


def _nodes(
    items: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    engines: Sequence[str],
) -> dict[str, Any]:
    """Line and node voltages of every array by its number, with its name, for HDF5."""
    out: dict[str, Any] = {}
    for number, (item, result) in enumerate(zip(items, results, strict=True)):
        own = {"name": item["label"], "V_in": item["V_in"], "V_out": item["V_out"]}
        own |= {"reference": {name: result[name] for name in ("V_wl", "V_bl")}}
        for engine in engines:
            own[engine] = {name: result[f"{engine}/{name}"] for name in ("V_wl", "V_bl")}
        out[f"array{number}"] = own
    return out
