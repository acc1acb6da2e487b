"""What a verification found, as plain records: lines, cells, layers, inputs, engines, gates."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "ColumnRecord", "EngineRecord", "Gate", "GivenRecord", "IdealRecord", "LayerRecord",
    "WorstCell",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ColumnRecord:
    """Current error of one output line, relative to the layer's largest reference current."""

    array: int
    line: str
    worst: float
    rms: float


@dataclass(frozen=True, kw_only=True)
class WorstCell:
    """The device whose current differs most, relative to the layer's largest device current.

    Attributes:
        array, row, col, point: where; `point` is the number of the input.
        error: |I_engine - I_reference| over the layer's largest reference device current.
        I_reference, I_engine: the two device currents, A.
        V_device: voltage across the device by the reference, V.
        V_drive: voltage of its word-line source less that of its bit-line source, V.
        drop: what wires and line ends take of the drive, ``V_drive - V_device``, V.
        G: conductance of the device, S.
        why: what is special about this device, in sentences.
    """

    array: int
    row: int
    col: int
    point: int
    error: float
    I_reference: float
    I_engine: float
    V_device: float
    V_drive: float = 0.0
    drop: float = 0.0
    G: float = 0.0
    why: tuple[str, ...] = ()


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
class IdealRecord:
    """What the circuit makes of the ideal product ``V G`` in one layer, by the reference.

    Errors are ``(I_reference - I_ideal) / I_max`` with the layer's largest reference current
    (A); at the worst output line it is the sum of the two parts.

    Attributes:
        layer, array, line, point: where it is worst.
        worst, rms: its size there, and the root mean square over all lines and inputs.
        device: the part of the device's curvature: ``(sum I(V_drive) - sum G V_drive) / I_max``.
        wires: the part of wires and line ends: ``(I_reference - sum I(V_drive)) / I_max``.
        drop: largest voltage lost on the way to a device, V; `drive`: the largest drive, V.
        drop_array, drop_row, drop_col: where that is.
    """

    layer: int
    array: int
    line: str
    point: int
    worst: float
    rms: float
    device: float
    wires: float
    drop: float
    drive: float
    drop_array: int
    drop_row: int
    drop_col: int


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """One engine's answers; `accuracy` is None without labels, the errors of the reference 0.

    Attributes:
        engine, method, notes: who answered, how, and what it had to say.
        seconds: time in the engine, s.
        accuracy: over the points that have a class.
        disagreements, differing: predictions that differ from the reference's: how many, and the
            first 100 of their points.
        agreement: share of equal predictions.
        kirchhoff: largest relative Kirchhoff residual over all passes.
        error_bound: what its currents may be wrong by at the voltages that it was given, over the
            layer's largest reference current, the largest of all layers; from the error bounds of
            its solutions (`Stats.error_at_most`). NaN where none is known: an approximate level,
            or a device that is not known to be increasing.
        layers: errors layer by layer.
        errors: worst output-current error of every input over all layers, (points,).
        energy: energy of every inference, J, (points,); see `inference.energies`.
    """

    engine: str
    method: str
    seconds: float
    accuracy: float | None
    disagreements: int
    kirchhoff: float
    notes: tuple[str, ...]
    layers: tuple[LayerRecord, ...]
    error_bound: float = float("nan")
    agreement: float = 1.0
    differing: tuple[int, ...] = ()
    errors: tuple[float, ...] = field(default=(), repr=False)
    energy: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class GivenRecord:
    """Currents that came with an array, against the reference, over the largest current (A)."""

    worst: float
    rms: float
    point: int
    line: int
    I_reference: float
    I_given: float


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition: `value` must not exceed `limit`, by more than `allowance`.

    The allowance of a difference between two engines is the sum of their error bounds: two right
    answers may differ by that much.
    """

    name: str
    value: float
    limit: float
    passed: bool
    allowance: float = 0.0
