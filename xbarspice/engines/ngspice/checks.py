"""Compares what a run answered with what was asked, and with Kirchhoff's law at every node.

Every point of every sweep is checked: the index of the sweep and the voltage of every driver are
those that were asked for, the currents at every node cancel by the node voltages and the device
model, and the current of every line is what its devices carry. Wrong numbers can go
unseen only where nothing was driven, so each process also solves points that nobody asked for
(`extra_points`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError
from xbarspice.core.line_ends import End
from xbarspice.core.solution import kirchhoff_violations
from xbarspice.core.types import Array, Indices
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import Netlist, steepest

__all__ = [
    "DRIVE_TOLERANCE",
    "ROUNDING",
    "Extra",
    "Verdict",
    "check_currents",
    "check_drives",
    "check_sums",
    "chunks",
    "extra_points",
    "line_currents",
    "node_columns",
    "node_fields",
]

Columns = dict[str, Indices]

CHUNK = 32
"""Vectors whose node voltages are read and checked at a time, which bounds the memory."""

DRIVE_TOLERANCE = 1e-14
"""Driver voltages must come back within this share of the largest (measured: 4e-16)."""

RESIDUAL = 1e-9
"""Largest relative Kirchhoff residual that is accepted, next to rounding (measured: 1e-12)."""

ROUNDING = 5e-15
"""Share of conductance * voltage that rounding of the node voltages may leave over in a node."""

REFUSE_ABOVE = 1e-3
"""Relative residual above which an answer is refused whatever the rounding is."""

V_READ = 0.2
"""Largest voltage of a probe, V, where no voltage was asked for and the device names none."""


@dataclass(frozen=True)
class Extra:
    """Points that are solved beside those that were asked for.

    Attributes:
        V_in, V_out: their drive, V, (extra, rows) and (extra, cols).
        weights: the last of them as a combination of the points that were asked for, (asked,);
            None for nonlinear arrays.
    """

    V_in: Array
    V_out: Array
    weights: Array | None


@dataclass(frozen=True)
class Verdict:
    """What the check of a run found.

    Attributes:
        residual: largest violation of Kirchhoff's law, as a share of the largest current.
        error: what a line current of each point can be wrong by, A, (points,).
        notes: what had to be done to the currents.
    """

    residual: float
    error: Array
    notes: tuple[str, ...]


def chunks(points: int) -> Iterator[slice]:
    """Points a few at a time: what is computed on the way stays small next to the answers."""
    return (slice(k, k + CHUNK) for k in range(0, points, CHUNK))


def extra_points(crossbar: Crossbar, V_in: Array, V_out: Array, *, units: bool) -> Extra:
    """A dense probe for every array, and for linear ones a combination of what was asked.

    The probe's voltages are drawn uniformly from [-V, V] for every driven line, V being the largest
    drive that was asked for, or half of it where word and bit lines are driven, so that no device
    sees more than that. Where all drives are 0, the device's read voltage takes its place. The seed
    is the drive itself: the same run has the same probe.

    Args:
        crossbar: the single array.
        V_in, V_out: the drive that was asked for, V, (asked, rows) and (asked, cols).
        units: whether that is one unit vector a driven line, so that the probe is a combination.
    """
    driven = [(ends == End.DRIVEN).any(axis=1) for ends in (crossbar.wl_ends, crossbar.bl_ends)]
    drives = np.concatenate([V_in, V_out], axis=1)
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(drives).tobytes()))
    largest = float(np.abs(drives).max())
    V = largest if largest > 0 else float(getattr(crossbar.device, "V_read", V_READ))
    V *= 0.5 if all(lines.any() for lines in driven) else 1.0
    probe = rng.uniform(-V, V, drives.shape[1]) * np.concatenate(driven)
    weights, points = None, [probe]
    if units:
        weights = drives @ probe
    elif crossbar.device.linear:
        weights = rng.uniform(-1, 1, len(drives)) / len(drives)
        points.append(weights @ drives)
    extra = np.array(points)
    return Extra(extra[:, : crossbar.rows], extra[:, crossbar.rows :], weights)


def node_columns(netlist: Netlist, raw: RawFile) -> Columns:
    """Where a run has the node voltages of the cells.

    Raises:
        EngineError: a vector is missing.
    """
    kinds = (("V_wl", netlist.wl), ("V_bl", netlist.bl))
    return {key: np.array(raw.index([f"v({n})" for n in nodes.ravel()])) for key, nodes in kinds}


def node_fields(netlist: Netlist, values: np.ndarray, columns: Columns) -> dict[str, Array]:
    """Node voltages and device currents of some points of a run, each (points, rows, cols)."""
    crossbar = netlist.crossbar
    shape = (len(values), crossbar.rows, crossbar.cols)
    out = {key: values[:, index].reshape(shape) for key, index in columns.items()}
    out["I_device"] = crossbar.device.current(out["V_wl"] - out["V_bl"], crossbar.G)
    return out


def line_currents(netlist: Netlist, raw: RawFile) -> tuple[np.ndarray, np.ndarray]:
    """`I_in` (points, rows) and `I_out` (points, cols) of a run, A; complex after `.ac`.

    Raises:
        EngineError: a vector is missing.
    """
    shape = (len(raw.values), netlist.crossbar.rows + netlist.crossbar.cols)
    total = np.zeros(shape, dtype=raw.values.dtype)
    I_in, I_out = total[:, : netlist.crossbar.rows], total[:, netlist.crossbar.rows :]
    for sources, currents, sign in (
        (netlist.word_drives, I_in, -1.0),
        (netlist.word_senses, I_in, -1.0),
        (netlist.bit_drives, I_out, 1.0),
        (netlist.bit_senses, I_out, 1.0),
    ):
        driven = sources is netlist.word_drives or sources is netlist.bit_drives
        names = [dialect.drive_name(netlist, n) if driven else n for n in sources.names]
        currents[:, sources.lines] += sign * raw.take([f"i({n})" for n in names])
    return I_in, I_out


def check_drives(netlist: Netlist, raw: RawFile, *, tolerance: float = DRIVE_TOLERANCE) -> None:
    """Refuse a run whose points are not those that were asked for, one by one and in their order.

    Args:
        netlist: the records of the array, with the drive that was asked for.
        raw: what ngspice wrote.
        tolerance: largest error of a driver's voltage, as a share of the largest voltage.

    Raises:
        EngineError: a vector is missing, the sweep is another one, or a driver gave another
            voltage.
    """
    if netlist.vectors > 1:
        index = raw.take([f"v({dialect.INDEX})"])[:, 0]
        if not np.array_equal(np.rint(index), np.arange(netlist.vectors)) or (
            not np.abs(index - np.rint(index)).max() < dialect.PLATEAU / 2
        ):
            raise EngineError(
                f"ngspice must go through the points 0 to {netlist.vectors - 1} in their order; "
                f"it went from {index[0]:g} to {index[-1]:g} in another."
            )
    largest = max(float(np.max(np.abs(v))) for v in (netlist.V_in, netlist.V_out))
    for sources in (
        netlist.word_drives,
        netlist.bit_drives,
        netlist.word_senses,
        netlist.bit_senses,
    ):
        if not sources.names:
            continue
        volts = raw.take([f"v({n})" for n in sources.nodes])
        error = float(np.max(np.abs(sources.volts - volts)))
        if not error <= tolerance * largest:
            raise EngineError(
                f"ngspice must apply the drive voltages that were asked for, and 0 V at sense "
                f"nodes; the largest error is {error:.3g} V."
            )


def check_currents(
    netlist: Netlist, raw: RawFile, I_in: Array, I_out: Array, *, keep: dict[str, Array] | None
) -> Verdict:
    """Hold every point of a run against Kirchhoff's law at every node, a few points at a time.

    The law is evaluated by names: each node's voltage, each device's current by its own model, each
    line's current by the devices of that line. What is left over in the nodes bounds the error: in
    a network of passive two-terminal devices a current that is injected anywhere changes no line
    current by more than itself.

    A source's current is the difference of node voltages through its line end. Where the rounding
    of those voltages, times the largest conductance, is more than `RESIDUAL` of the currents, the
    sums of the line's device currents take its place: no difference of large numbers is in them
    (8x4 with line ends of 1e-9 ohm: `I_in` right to 5e-15 instead of 6e-4).

    Args:
        netlist: the records, with the drive of every point.
        raw: what ngspice wrote.
        I_in, I_out: the line currents to judge, A, (points, rows) and (points, cols); changed in
            place where sums of device currents are taken instead.
        keep: arrays that take `V_wl`, `V_bl` and `I_device` of the first points; None for none.

    Raises:
        EngineError: a vector is missing, or the law is broken by more than rounding explains.
    """
    amperes = largest = 0.0
    error = np.empty(len(I_in))
    columns = node_columns(netlist, raw)
    stiff = ROUNDING * _noise(netlist, float(np.max([np.abs(I_in).max(), np.abs(I_out).max()])))
    for some in chunks(len(I_in)):
        fields = node_fields(netlist, raw.values[some], columns)
        for key, values in fields.items() if keep is not None else ():
            room = keep[key][some]  # type: ignore[index]
            room[:] = values[: len(room)]
        nodes, lines = kirchhoff_violations(
            netlist.crossbar,
            fields["V_wl"],
            fields["V_bl"],
            fields["I_device"],
            I_in[some],
            I_out[some],
            netlist.V_in[some],
            netlist.V_out[some],
        )
        currents = [np.abs(a) for a in (fields["I_device"], I_in[some], I_out[some])]
        most = np.max([a.reshape(len(a), -1).max(axis=1) for a in currents], axis=0)
        error[some] = 2 * nodes.sum(axis=1) + 4 * np.finfo(float).eps * nodes.shape[1] * most
        amperes = float(np.maximum(amperes, np.maximum(nodes.max(), lines.max())))
        largest = float(np.maximum(largest, most.max()))
        if stiff > RESIDUAL:
            _sum_devices(netlist.crossbar, fields["I_device"], I_in[some], I_out[some])
        else:
            error[some] += lines.max(axis=1)
    note = "line currents are the sums of device currents, because of very small resistances"
    notes = (note,) if stiff > RESIDUAL else ()
    return Verdict(_check_residual(netlist, amperes, largest), error, notes)


def _sum_devices(crossbar: Crossbar, I_device: Array, I_in: Array, I_out: Array) -> None:
    """Put what the devices of each line carry into the line currents; floating lines carry none."""
    sums = ((I_in, 2, crossbar.wl_ends), (I_out, 1, crossbar.bl_ends))
    for currents, axis, ends in sums:
        held = (ends != End.FLOATING).any(axis=1)
        currents[:] = I_device.sum(axis=axis) * held


def _check_residual(netlist: Netlist, amperes: float, largest: float) -> float:
    """The violation as a share of the largest current; raises where rounding does not explain it.

    Without any device all currents are 0 but for rounding in the wires, which is then the measure.
    """
    if not netlist.crossbar.G.any():
        volts = max(float(np.max(np.abs(v))) for v in (netlist.V_in, netlist.V_out))
        largest = max(largest, steepest(netlist.crossbar) * volts)
    residual = amperes / largest if largest > 0 else amperes
    limit = min(RESIDUAL + ROUNDING * _noise(netlist, largest), REFUSE_ABOVE)
    if not residual <= limit:
        raise EngineError(
            f"ngspice's answer must obey Kirchhoff's current law; its relative residual is "
            f"{residual:.3g}, more than {limit:.3g}. Check the array for extreme resistances."
        )
    return residual


def _noise(netlist: Netlist, largest: float) -> float:
    """Steepest conductance times the largest voltage, as a share of the largest current."""
    volts = max(float(np.max(np.abs(v))) for v in (netlist.V_in, netlist.V_out))
    return steepest(netlist.crossbar) * volts / largest if largest > 0 else np.inf


def check_sums(extra: Extra, currents: Array, error: Array) -> None:
    """Refuse a run whose last point is not the combination that its drive is (linear arrays).

    Args:
        extra: the points beside those that were asked for, which come first.
        currents: line currents of every point, A, (points, lines).
        error: what they can be wrong by, A, (points,).

    Raises:
        EngineError: superposition is broken by more than the errors of its parts.
    """
    if extra.weights is None:
        return
    count = len(extra.weights)
    off = float(np.abs(currents[-1] - extra.weights @ currents[:count]).max())
    weights = np.abs(extra.weights)
    allowed = error[-1] + float(weights @ error[:count]) + RESIDUAL * float(np.abs(currents).max())
    if not off <= allowed:
        raise EngineError(
            f"the currents of a linear array must add up like its drives; a combination of the "
            f"points asked for is {off:.3g} A off."
        )
