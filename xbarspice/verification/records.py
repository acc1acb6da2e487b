"""What the verification of a model on arrays looked at and saw, as plain records."""

from __future__ import annotations

from dataclasses import dataclass

from xbarspice.studies.verify.findings import Finding
from xbarspice.studies.verify.records import Gate

__all__ = [
    "CornerRecord",
    "DecisionRecord",
    "Finding",
    "Gate",
    "Gates",
    "ImportRecord",
    "LayerCost",
    "MatrixCheck",
    "SampleRecord",
    "TileCheck",
]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What a verification must meet to pass; every value is a largest allowed one, None judges not.

    Attributes:
        current: error of an array's column current over its largest, beyond the sum of the error
            bounds that both engines state.
        decisions: decisions of the whole forward that differ between surrogate and reference.
        output: error of an output through the circuit over the largest exact one.
        accuracy_loss: accuracy with exact products less that through the circuit.
        beyond: input values beyond a matrix's range.
        findings: findings of any kind.
    """

    current: float = 1e-6
    decisions: int | None = 0
    output: float | None = None
    accuracy_loss: float | None = None
    beyond: int | None = None
    findings: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImportRecord:
    """The circuit with exact products against what it was made from.

    Attributes:
        against: what the outputs were compared with.
        outputs: numbers that were compared.
        error: largest difference over the largest output.
        limit: largest allowed one.
        decisions: decisions that differ; None where outputs are no classes.
        passed: whether both hold.
    """

    against: str
    outputs: int
    error: float
    limit: float
    decisions: int | None
    passed: bool


@dataclass(frozen=True, kw_only=True)
class TileCheck:
    """One array: the engine's column currents against the reference's, over the largest of them.

    Attributes:
        matrix, group, row, col: which array.
        drives, probes: vectors of the model's own drive and dense probes that were solved.
        I_max: largest reference current, A.
        worst: largest error over all its columns and vectors.
        bound: sum of what both engines say their error may be, share of `I_max`; None where one
            states none.
        column, vector: where it is worst; probes come after drives.
        smallest_change: change of conductance of any single device (S) that the dense probes would
            show above the limit: ``limit I_max / |V_device|`` at the device with the least voltage.
        seconds: time of the reference, s.
        power: mean power of its sources over the model's drives, W.
    """

    matrix: str
    group: int
    row: int
    col: int
    drives: int
    probes: int
    I_max: float
    worst: float
    bound: float | None
    column: int
    vector: int
    smallest_change: float
    seconds: float
    power: float


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
        agreement, interval: share of decisions equal to those with exact products, and its 95 %
            Clopper-Pearson interval; None where outputs are no classes.
        accuracy, exact_accuracy: shares of right decisions; None without labels.
        accuracy_interval: 95 % interval of `accuracy`.
        smallest_margin: smallest distance of the first from the second class over the largest
            output, through the circuit; None where outputs are no classes.
    """

    through: str
    points: int
    error: float
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
            them ("wires", "device curves", "converters", "levels and cut weights").
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
