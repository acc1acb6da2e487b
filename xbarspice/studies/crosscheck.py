"""The cross-check: one problem, several engines, every difference from the reference measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.config import GateConfig
from xbarspice.engines import Engine, get
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.studies.inference import Inference, infer

__all__ = ["CrossCheck", "EngineRecord", "Gate", "crosscheck"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ColumnRecord:
    """Current error of one output line, relative to the layer's largest reference current."""

    array: int
    line: str
    worst: float
    rms: float


@dataclass(frozen=True, kw_only=True)
class WorstCell:
    """The device whose current differs most, relative to the layer's largest device current."""

    array: int
    row: int
    col: int
    point: int
    error: float
    I_reference: float
    I_engine: float
    V_device: float


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """Current errors of one layer; `I_max` is the largest reference output current, A."""

    layer: int
    I_max: float
    worst: float
    rms: float
    columns: tuple[ColumnRecord, ...]
    worst_cell: WorstCell


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """One engine's answers; `accuracy` is None without labels, the errors of the reference 0."""

    engine: str
    method: str
    seconds: float
    accuracy: float | None
    disagreements: int
    kirchhoff: float
    notes: tuple[str, ...]
    layers: tuple[LayerRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition: `value` must not exceed `limit`."""

    name: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossCheck:
    """The whole cross-check.

    Attributes:
        reference: name of the engine that the others are judged against.
        points: number of network inputs.
        software_accuracy: accuracy of the network without any circuit; None without labels.
        software_disagreements: predictions of the reference that differ from the software's.
        engines: the reference first.
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

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def record(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON."""
        shallow = {
            k: v for k, v in self.__dict__.items() if k not in {"answers", "engines", "gates"}
        }
        return {
            "passed": self.passed,
            **shallow,
            "gates": [asdict(gate) for gate in self.gates],
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
    progress: Callable[[str, int, int], None] = lambda engine, done, total: None,
) -> CrossCheck:
    """Solve every input with every engine and compare currents, cells and predictions.

    Each engine runs the whole chain with its own activations, so the last layer's error includes
    what the first layer's error did to its inputs.

    Args:
        mapped: the network on its arrays.
        x: network inputs, (points, inputs).
        y: classes, (points,), for the accuracies; optional.
        engines: the engines to judge.
        reference: the engine to judge them against.
        gates: limits for the current error and for differing predictions.
        progress: called with (engine, blocks done, blocks in all).

    Raises:
        InputError: wrong shapes or engine names. EngineError: an engine failed.
    """
    points = mapped.network.inputs(x)
    labels = _labels(y, len(points))
    answers: dict[str, Inference] = {}
    for engine in (reference, *engines):
        back_end = get(engine)
        if back_end.name == "surrogate":
            progress(back_end.name, 0, len(mapped.blocks))
            infer(mapped, points[:1], back_end)  # compiles its kernels: not part of its time
        answers[back_end.name] = infer(
            mapped, points, back_end, full=True,
            progress=lambda done, total, name=back_end.name: progress(name, done, total),
        )  # fmt: skip
    golden = next(iter(answers.values()))
    software = mapped.network.predict(mapped.network.forward(points)[-1])
    records = tuple(_judge(mapped, a, golden, labels) for a in answers.values())
    return CrossCheck(
        reference=golden.engine,
        points=len(points),
        software_accuracy=_accuracy(software, labels),
        software_disagreements=int(np.sum(software != golden.predictions)),
        engines=records,
        gates=tuple(g for record in records[1:] for g in _gates(record, gates)),
        answers=answers,
    )


def _labels(y: npt.ArrayLike | None, points: int) -> npt.NDArray[np.intp] | None:
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.shape != (points,):
        raise broken_rule(
            f"labels must have the shape ({points},)", labels.shape, "Pass one class a point."
        )
    return labels.astype(np.intp)


def _accuracy(predictions: np.ndarray, labels: np.ndarray | None) -> float | None:
    return None if labels is None else float(np.mean(predictions == labels))


def _gates(record: EngineRecord, limits: GateConfig) -> list[Gate]:
    worst = max(layer.worst for layer in record.layers)
    return [
        Gate(
            name=f"{record.engine}: worst current error",
            value=worst,
            limit=limits.current,
            passed=bool(worst <= limits.current),
        ),
        Gate(
            name=f"{record.engine}: predictions that differ",
            value=record.disagreements,
            limit=limits.predictions,
            passed=record.disagreements <= limits.predictions,
        ),
    ]


def _judge(
    mapped: MappedNetwork, answer: Inference, golden: Inference, labels: np.ndarray | None
) -> EngineRecord:
    stats = [b.solution.stats for b in answer.blocks]
    return EngineRecord(
        engine=answer.engine,
        method="; ".join(dict.fromkeys(s.method for s in stats)),
        seconds=answer.seconds,
        accuracy=_accuracy(answer.predictions, labels),
        disagreements=int(np.sum(answer.predictions != golden.predictions)),
        kirchhoff=max(b.residual for b in answer.blocks),
        notes=tuple(dict.fromkeys(note for s in stats for note in s.notes)),
        layers=tuple(_judge_layer(k, answer, golden) for k in range(len(mapped.layers))),
    )


def _judge_layer(layer: int, answer: Inference, golden: Inference) -> LayerRecord:
    pairs = [
        (a, g) for a, g in zip(answer.blocks, golden.blocks, strict=True) if a.block.layer == layer
    ]
    I_max = max(float(np.max(np.abs(g.currents))) for _, g in pairs)
    scale = I_max or 1.0
    columns, squares = [], []
    for a, g in pairs:
        error = np.abs(a.currents - g.currents) / scale
        squares.append(error.ravel() ** 2)
        kind = "WL" if a.block.reverse else "BL"
        for (o, s), line in np.ndenumerate(a.block.lines_out):
            columns.append(
                ColumnRecord(
                    array=a.block.array,
                    line=f"{kind}{line}",
                    worst=float(error[:, o, s].max()),
                    rms=float(np.sqrt(np.mean(error[:, o, s] ** 2))),
                )
            )
    return LayerRecord(
        layer=layer,
        I_max=I_max,
        worst=max(c.worst for c in columns),
        rms=float(np.sqrt(np.mean(np.concatenate(squares)))),
        columns=tuple(columns),
        worst_cell=_worst_cell(pairs),
    )


def _worst_cell(pairs: list) -> WorstCell:
    scale = max(float(np.max(np.abs(g.solution.I_device))) for _, g in pairs) or 1.0
    found: list[WorstCell] = []
    for a, g in pairs:
        error = np.abs(a.solution.I_device - g.solution.I_device) / scale
        point, row, col = (int(k) for k in np.unravel_index(np.argmax(error), error.shape))
        at = (point, row, col)
        found.append(
            WorstCell(
                array=a.block.array,
                row=row,
                col=col,
                point=point,
                error=float(error[at]),
                I_reference=float(g.solution.I_device[at]),
                I_engine=float(a.solution.I_device[at]),
                V_device=float(g.solution.V_wl[at] - g.solution.V_bl[at]),
            )
        )
    return max(found, key=lambda cell: cell.error)


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
    if y is not None:
        inputs["y"] = np.asarray(y)
    return {"reference": check.reference, "inputs": inputs, "engines": engines}
