"""The cross-check: one problem, several engines, every difference from the reference measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.config import GateConfig
from xbarspice.engines import Engine, get
from xbarspice.mapping import MappedNetwork
from xbarspice.studies.inference import Inference, infer
from xbarspice.studies.verify.inputs import NO_CLASS
from xbarspice.studies.verify.judge import accuracy, ideal_record, judge
from xbarspice.studies.verify.records import EngineRecord, Gate, GivenRecord, IdealRecord
from xbarspice.studies.verify.subject import SingleArray
from xbarspice.values import labels_of

__all__ = ["CrossCheck", "EngineRecord", "Gate", "crosscheck", "results_tree"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossCheck:
    """The whole cross-check.

    Attributes:
        subject: "network", or "array" (then nothing is predicted).
        reference: name of the engine that the others are judged against.
        points: number of network inputs.
        origins: where each input comes from, (points,); empty if nobody said.
        software_accuracy: accuracy of the network without any circuit; None without labels.
        software_disagreements: predictions of the reference that differ from the software's.
        t_read: length of one read pass, s, for the energies.
        engines: the reference first.
        ideal: what the circuit makes of the ideal product, one record a layer.
        end_to_end: largest difference of the reference's last weighted sums (of a single array:
            output currents) from those of the software, over the software's largest.
        searched: what a search for the worst input found: ("ideal" or "engines", distance).
        unjudged: limits that were set by hand and had nothing to judge, each with the reason.
        given: the currents that came with a single array, judged; None without any.
        gates: conditions with their outcome.
        answers: the inference of every engine, by name (not part of the record).
    """

    reference: str
    points: int
    software_accuracy: float | None
    software_disagreements: int
    engines: tuple[EngineRecord, ...]
    gates: tuple[Gate, ...]
    answers: dict[str, Inference] = field(repr=False)
    origins: tuple[str, ...] = ()
    t_read: float = 100e-9
    ideal: tuple[IdealRecord, ...] = ()
    given: GivenRecord | None = None
    end_to_end: float = 0.0
    searched: tuple[tuple[str, float], ...] = ()
    unjudged: tuple[str, ...] = ()
    subject: str = "network"

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def record(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON."""
        rest = {"answers", "engines", "gates", "ideal", "given"}
        shallow = {k: v for k, v in self.__dict__.items() if k not in rest}
        return {
            "passed": self.passed,
            **shallow,
            "gates": [asdict(gate) for gate in self.gates],
            "ideal": [asdict(layer) for layer in self.ideal],
            "given": None if self.given is None else asdict(self.given),
            "engines": [asdict(engine) for engine in self.engines],
        }


def crosscheck(
    mapped: MappedNetwork,
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    engines: tuple[str | Engine, ...] = ("nodal", "surrogate"),
    reference: str | Engine = "ngspice",
    gates: GateConfig = GateConfig(),  # noqa: B008 - frozen
    origins: Sequence[str] = (),
    t_read: float = 100e-9,
    given: tuple[npt.NDArray[np.intp], Array] | None = None,
    findings: int = 0,
    searched: Mapping[str, float] | None = None,
    progress: Callable[[str, int, int], None] = lambda engine, done, total: None,
) -> CrossCheck:
    """Solve every input with every engine and compare currents, cells and predictions.

    Each engine runs the whole chain with its own activations, so the last layer's error includes
    what the first layer's error did to its inputs.

    Args:
        mapped: the network on its arrays, or a `SingleArray`.
        x: network inputs, (points, inputs).
        y: classes, (points,), for the accuracies; optional; -1 where nobody knows.
        engines: the engines to judge.
        reference: the engine to judge them against.
        gates: limits; see `GateConfig`.
        origins: where each point comes from, one word a point.
        t_read: length of one read pass, s, for the energies.
        given: for a single array, point numbers (k,) and the currents that someone else found for
            them, A, (k, cols).
        searched: distances that a search for the worst input found: "ideal" from the ideal product
            end to end, "engines" between the engines; judged by the same limits as the points.
        findings: how many findings the detectors had before the solve, for their gate.
        progress: called with (engine, blocks done, blocks in all).

    Raises:
        InputError: wrong shapes or engine names. EngineError: an engine failed.
    """
    points = mapped.network.inputs(x)
    labels = _labels(y, len(points))
    answers: dict[str, Inference] = {}
    for engine in (reference, *engines):
        back_end = get(engine)
        if back_end.name in answers:
            continue
        if back_end.name == "surrogate":
            progress(back_end.name, 0, len(mapped.blocks))
            infer(mapped, points[:1], back_end)  # compiles its kernels: not part of its time
        answers[back_end.name] = infer(
            mapped, points, back_end, full=True,
            progress=lambda done, total, name=back_end.name: progress(name, done, total),
        )  # fmt: skip
    golden = next(iter(answers.values()))
    is_array = isinstance(mapped, SingleArray)
    software = mapped.network.predict(mapped.network.forward(points)[-1])
    check = CrossCheck(
        reference=golden.engine,
        points=len(points),
        origins=tuple(origins),
        software_accuracy=accuracy(software, labels),
        software_disagreements=0 if is_array else int(np.sum(software != golden.predictions)),
        subject="array" if is_array else "network",
        t_read=t_read,
        engines=tuple(judge(mapped, a, golden, labels, t_read) for a in answers.values()),
        ideal=tuple(ideal_record(golden, k) for k in range(len(mapped.layers))),
        given=None if given is None else _judge_given(golden, *given),
        end_to_end=_end_to_end(mapped, golden, points),
        searched=tuple((searched or {}).items()),
        unjudged=tuple(_unjudged(gates, labels, given is not None, is_array)),
        gates=(),
        answers=answers,
    )
    return CrossCheck(**{**check.__dict__, "gates": tuple(_gates(check, gates, findings))})


def _labels(y: npt.ArrayLike | None, points: int) -> npt.NDArray[np.intp] | None:
    return None if y is None else labels_of("y", y, points, low=NO_CLASS)


def _end_to_end(mapped: MappedNetwork, golden: Inference, points: Array) -> float:
    software = mapped.network.forward(points)[-1]
    scale = float(np.max(np.abs(software))) or 1.0
    return float(np.max(np.abs(golden.sums[-1] - software))) / scale


def _unjudged(
    limits: GateConfig, labels: Any, given: bool, is_array: bool
) -> Iterator[str]:  # fmt: skip
    """Limits that differ from the defaults and have nothing to judge."""
    known = labels is not None and bool((labels >= 0).any())
    for name, judged, why in (
        ("accuracy_loss", known and not is_array, "no input has a class"),
        ("predictions", not is_array, "a single array predicts nothing"),
        ("given", given, "no currents came with the inputs"),
    ):
        value = getattr(limits, name)
        if not judged and value is not None and value != getattr(GateConfig(), name):
            yield f"gates.{name}: {why}"


def _judge_given(golden: Inference, points: npt.NDArray[np.intp], I_out: Array) -> GivenRecord:
    reference = golden.blocks[0].solution.I_out[points]
    error = np.abs(I_out - reference) / (float(np.max(np.abs(reference))) or 1.0)
    at = tuple(int(k) for k in np.unravel_index(np.argmax(error), error.shape))
    return GivenRecord(
        worst=float(error[at]), rms=float(np.sqrt(np.mean(error**2))), point=int(points[at[0]]),
        line=at[1], I_reference=float(reference[at]), I_given=float(I_out[at]),
    )  # fmt: skip


def _largest(values: Iterable[float]) -> float:
    """Largest of the values, 0 of none; NaN if one is NaN, which no limit lets pass."""
    return float(np.max(list(values), initial=0.0))


def _gates(check: CrossCheck, limits: GateConfig, findings: int) -> list[Gate]:
    """Every named limit that is set, each against what it judges."""
    found: list[tuple[str, float, float | None]] = []
    for e in check.engines[1:]:
        found += [
            (
                f"{e.engine}: worst current error",
                _largest(k.worst for k in e.layers),
                limits.current,
            ),
            (f"{e.engine}: rms current error", _largest(k.rms for k in e.layers), limits.rms),
            (
                f"{e.engine}: worst device current error",
                _largest(k.worst_cell.error for k in e.layers),
                limits.device,
            ),
        ]
        if check.subject == "network":
            found.append(
                (f"{e.engine}: predictions that differ", e.disagreements, limits.predictions)
            )
    for e in check.engines:
        found.append((f"{e.engine}: Kirchhoff residual", e.kirchhoff, limits.kirchhoff))
        if e.accuracy is not None and check.software_accuracy is not None:
            loss = check.software_accuracy - e.accuracy
            found.append((f"{e.engine}: accuracy lost", loss, limits.accuracy_loss))
    drop = _largest(k.drop / k.drive for k in check.ideal if k.drive)
    found += [
        ("distance from the ideal product", _largest(k.worst for k in check.ideal), limits.ideal),
        ("voltage lost in wires", drop, limits.drop),
        ("energy of an inference, J", _largest(check.engines[0].energy), limits.energy),
        ("findings of the detectors", findings, limits.findings),
    ]
    if check.subject == "network":  # of a single array that is the distance above
        found.append(
            ("distance from the ideal product, end to end", check.end_to_end, limits.ideal)
        )
    of_search = {
        "ideal": ("distance from the ideal product, end to end, by search", limits.ideal),
        "engines": ("worst current error, by search", limits.current),
    }
    for target, value in check.searched:
        found.append((of_search[target][0], value, of_search[target][1]))
    if check.given is not None:
        found.append(("currents that came with the array", check.given.worst, limits.given))
    allowed = _allowances(check)
    return [
        Gate(
            name=name, value=value, limit=limit, allowance=allowed.get(name, 0.0),
            passed=bool(value <= limit + allowed.get(name, 0.0)),
        )
        for name, value, limit in found
        if limit is not None
    ]  # fmt: skip


def _allowances(check: CrossCheck) -> dict[str, float]:
    """What the error bounds of an engine and of the reference add to the limits of currents."""
    out = {}
    for e in check.engines[1:]:
        known = [b for b in (e.error_bound, check.engines[0].error_bound) if b == b]
        for kind in ("worst", "rms"):
            out[f"{e.engine}: {kind} current error"] = sum(known)
    return out


def results_tree(check: CrossCheck, x: npt.ArrayLike, y: npt.ArrayLike | None) -> dict[str, Any]:
    """Every number behind a cross-check, for `store.write_tree(kind="cross-check")`.

    Groups: ``inputs`` (x, y), ``engines/<name>`` (sums<k>, predictions) and
    ``engines/<name>/block<k>`` (layer, array, G, V_in, V_out, currents, V_wl, V_bl, I_device).
    """
    engines: dict[str, Any] = {}
    for name, answer in check.answers.items():
        group: dict[str, Any] = {f"sums{k}": z for k, z in enumerate(answer.sums)}
        group["predictions"] = answer.predictions
        for k, a in enumerate(answer.blocks):
            group[f"block{k}"] = {
                "layer": a.block.layer,
                "array": a.block.array,
                "reverse": a.block.reverse,
                "G": a.crossbar.G,
                "lines_out": a.block.lines_out,
                "V_in": a.V_in,
                "V_out": a.V_out,
                "currents": a.currents,
                "V_wl": a.solution.V_wl,
                "V_bl": a.solution.V_bl,
                "I_device": a.solution.I_device,
            }
        engines[name] = group
    inputs: dict[str, Any] = {"x": np.asarray(x, float)}
    if check.origins:
        inputs["worst"] = np.array([word.startswith("worst") for word in check.origins])
    if y is not None:
        inputs["y"] = np.asarray(y)
    return {"reference": check.reference, "inputs": inputs, "engines": engines}
