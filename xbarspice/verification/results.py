"""What the verification of a model on arrays looked at and saw, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xbarspice.config import Gates
from xbarspice.verification.finding import Finding

__all__ = [
    "CornerRecord",
    "DecisionRecord",
    "DeviceRecord",
    "DropRecord",
    "Finding",
    "Gate",
    "Gates",
    "IdealRecord",
    "ImportRecord",
    "LayerCost",
    "MatrixCheck",
    "SampleRecord",
    "SearchRecord",
    "TileCheck",
    "TrustRecord",
]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition: `value` must not exceed `limit`.

    Attributes:
        name: what is judged.
        value, limit: both in `unit`.
        passed: the outcome.
        unit: "" of a ratio, "count" of a number of things, or the unit of a quantity.
    """

    name: str
    value: float
    limit: float
    passed: bool
    unit: str = ""

    @classmethod
    def of(cls, name: str, value: float, limit: float, unit: str = "") -> Gate:
        """The gate with its outcome; NaN passes no limit."""
        return cls(name=name, value=value, limit=limit, passed=bool(value <= limit), unit=unit)


@dataclass(frozen=True, kw_only=True)
class IdealRecord:
    """Distance of an array's output currents from the ideal product of its sources, by reference.

    Attributes:
        worst, rms: over the largest output current.
        vector, line: where it is worst.
        device, wires: its two signed parts there: ``sum I(V) - sum G V``, and all else.
    """

    worst: float
    rms: float
    vector: int
    line: str
    device: float
    wires: float


@dataclass(frozen=True, kw_only=True)
class DropRecord:
    """The largest voltage (V) that wires and line ends take from a device, and the largest drive.

    By the surrogate, at the device in `row` and `col`.
    """

    drop: float
    drive: float
    row: int
    col: int

    @property
    def share(self) -> float:
        """Of the largest drive."""
        return self.drop / self.drive if self.drive else 0.0


@dataclass(frozen=True, kw_only=True)
class DeviceRecord:
    """The device whose current differs most from the reference's.

    Attributes:
        error: over the largest device current of the array.
        vector, row, col: where.
        I_reference, I_engine: its two currents, A.
        V_device, V_drive: its voltage by the reference and that of its sources, V.
        G: its conductance, S.
    """

    error: float
    vector: int
    row: int
    col: int
    I_reference: float
    I_engine: float
    V_device: float
    V_drive: float
    G: float


@dataclass(frozen=True, kw_only=True)
class TrustRecord:
    """What the trust map says of the surrogate's levels for the arrays.

    Attributes:
        errors: by level the largest error measured on such arrays; None where the map has none.
        limit: error up to which a level counts as trusted.
        V: voltage that was looked up, V.
        reference: what the map was made against.
    """

    errors: dict[str, float | None]
    limit: float
    V: float
    reference: str


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """An input found by search.

    Attributes:
        target: "ideal" (furthest from exact products) or "engines" (where they differ most).
        value: what was maximised, there: of "ideal" the largest error of an output over the
            largest exact one of the starting points; of "engines" the largest error of an output
            current over the largest of its matrix.
        start: its largest value among the starting points.
        evaluations: inputs that were looked at.
        x: the input, without the axis of the points.
    """

    target: str
    value: float
    start: float
    evaluations: int
    x: Any


@dataclass(frozen=True, kw_only=True)
class ImportRecord:
    """The circuit with exact products against what it was made from.

    Attributes:
        against: what the outputs were compared with.
        outputs: numbers that were compared.
        error: largest difference over the largest output.
        limit: largest allowed one.
        decisions: decisions that differ; None where outputs are no classes.
        unequal: whole numbers and truth values that differ; None where none are returned.
        passed: whether all hold.
    """

    against: str
    outputs: int
    error: float
    limit: float
    decisions: int | None
    unequal: int | None = None
    passed: bool


@dataclass(frozen=True, kw_only=True)
class TileCheck:
    """One array: the engine's output currents against the reference's, over the largest of them.

    Attributes:
        matrix, group, row, col: which array.
        drives, probes: vectors of the model's own drive and dense probes that were solved.
        I_max: largest reference current, A.
        worst, rms: largest and root mean square error over all its lines and vectors.
        bound: sum of what both engines say their error may be, share of `I_max`; None where one
            states none.
        line, vector: where it is worst; probes come after drives.
        kirchhoff: Kirchhoff residual of the engine and of the reference, the larger, share of the
            largest current; NaN where neither checks one.
        smallest_change: change of conductance of any single device (S) that the dense probes would
            show above the limit: ``limit I_max / |V_device|`` at the device with the least voltage.
        seconds: time of the reference, s.
        power: mean power of its sources over the model's drives, W.
        ideal, drop: distance from the ideal product and voltage lost, at the model's drives (at the
            probes where it has none).
        device: the device that differs most; None where devices were not compared.
    """

    matrix: str
    group: int
    row: int
    col: int
    drives: int
    probes: int
    I_max: float
    worst: float
    rms: float
    bound: float | None
    line: str
    vector: int
    kirchhoff: float
    smallest_change: float
    seconds: float
    power: float
    ideal: IdealRecord
    drop: DropRecord
    device: DeviceRecord | None = None

    @property
    def name(self) -> str:
        """The array in one word."""
        return f"{self.matrix}[{self.group},{self.row},{self.col}]"

    @property
    def beyond(self) -> float:
        """The worst error beyond both error bounds."""
        return _beyond(self.worst, self.bound)

    @property
    def rms_beyond(self) -> float:
        """The rms error beyond both error bounds."""
        return _beyond(self.rms, self.bound)


def _beyond(error: float, bound: float | None) -> float:
    return max(error - (bound or 0.0), 0.0) if error == error else error  # NaN stays


def part_of(result: Mapping[str, Any], prefix: str, kind: type[Any]) -> Any:
    """A record from the entries ``prefix/...`` of an array's results; None where there are none."""
    entries = {k.removeprefix(prefix): v for k, v in result.items() if k.startswith(prefix)}
    if not entries:
        return None
    types = {"int": int, "float": float, "str": str}
    fields = {name: types[f.type] for name, f in kind.__dataclass_fields__.items()}
    return kind(**{name: make(entries[name]) for name, make in fields.items()})


@dataclass(frozen=True, kw_only=True)
class MatrixCheck:
    """All checked arrays of one weight matrix.

    Attributes:
        name: of the matrix.
        tiles, checked: its arrays, and how many of them were solved by the reference.
        worst: largest error among them.
        worst_tile: group, row and column of the array with that error.
        vectors: drives that the model gave it, of which some were solved.
        beyond, largest_input: input values beyond its range; the largest over the range.
        saturated: current differences beyond its converters' range.
    """

    name: str
    tiles: int
    checked: int
    worst: float
    worst_tile: tuple[int, int, int]
    vectors: int
    beyond: int
    largest_input: float
    saturated: int


@dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """Which arrays were solved by the reference.

    Attributes:
        tiles, checked: all arrays, and those in the sample.
        confidence, bad_tiles: a sample this large meets one bad array with this confidence if this
            share of all is bad; None: all were solved.
        seed: of the draw.
        sha256: hash of the names of the sampled arrays.
    """

    tiles: int
    checked: int
    confidence: float | None
    bad_tiles: float | None
    seed: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DecisionRecord:
    """Outputs of the model through the circuit, beside exact products.

    Attributes:
        through: who solved the arrays.
        points: inputs.
        error: largest difference of an output from the exact one, over the largest exact output.
        unequal: whole numbers and truth values that differ; None where none are returned.
        agreement, interval: share of decisions equal to those with exact products, and its 95 %
            Clopper-Pearson interval; None where outputs are no classes.
        accuracy, exact_accuracy: shares of right decisions, of the points whose class is known;
            None without labels.
        accuracy_interval: 95 % interval of `accuracy`.
        smallest_margin: smallest distance of the first from the second class (of one logit: from
            0) over the largest output, through the circuit; None where outputs are no classes.
    """

    through: str
    points: int
    error: float
    unequal: int | None = None
    agreement: float | None
    interval: tuple[float, float] | None
    accuracy: float | None
    exact_accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    smallest_margin: float | None


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What one part of the circuit does to the outputs, root mean square over the largest output.

    Attributes:
        what: a matrix ("matrix NAME": it alone on arrays, all others exact), or a cause for all of
            them ("wires", "device curves", "converters", "conductance levels and cut weights").
        rms: root mean square of the change of the outputs.
    """

    what: str
    rms: float


@dataclass(frozen=True, kw_only=True)
class CornerRecord:
    """Outputs at one corner of wires, conductances and temperature."""

    name: str
    changes: dict[str, float]
    decisions: DecisionRecord
