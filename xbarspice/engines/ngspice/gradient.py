"""Gradients of an output current from ngspice itself, to judge the adjoint of other engines.

`golden_gradient` needs one `.ac` analysis at the operating point. With 1 V on the sense source of
column k alone, the small-signal voltage of a node is the current that 1 A injected there would send
into that source, because the linearised network is reciprocal (two-terminal devices and resistors;
Director and Rohrer 1969, doi:10.1109/TCT.1969.1082965). More current dI through the device from
word line to bit line takes it from one node and injects it into the other, hence

    dI_out[k] / dG_ij = -(v_ac,wl,ij - v_ac,bl,ij) dI_device,ij / dG_ij.

`golden_difference` solves the array again with each chosen device changed and assumes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.solution import kirchhoff_violations
from xbarspice.core.types import Array
from xbarspice.devices.numbers import decimal
from xbarspice.engines.ngspice.checks import ROUNDING, line_currents, node_columns
from xbarspice.engines.ngspice.engine import NgspiceEngine
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.engines.ngspice.single import deck, run, single
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import Netlist, steepest

__all__ = ["golden_difference", "golden_gradient"]


STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
"""Fourth-order central difference: offset in steps, weight."""

MODEL_STEP = 1e-3
"""Relative step in G for the device model alone: 1e-12 from truncation, 2e-13 from rounding."""

BALANCE = 1e-9
"""Largest share by which small-signal currents may fail to cancel in a node, next to rounding."""


def golden_gradient(
    crossbar: Crossbar,
    V_in: npt.ArrayLike,
    V_out: npt.ArrayLike | None = None,
    *,
    column: int,
    executable: str | os.PathLike[str] | None = None,
    timeout: float = 600.0,
) -> Array:
    """Gradient of one output current with respect to every conductance, by ngspice.

    Two processes: the operating point, with every check of `NgspiceEngine`, and the `.ac` analysis,
    whose currents must cancel at every node by the slopes of the devices at that operating point.
    Only the last factor dI_device/dG is taken from the device model in Python, at the voltages
    that ngspice found. A line end without resistance counts like any other.

    Args:
        crossbar: a single array with any line ends.
        V_in: word-line voltages of one vector, V, (rows,).
        V_out: bit-line voltages, V, (cols,); None for 0 V.
        column: the bit line whose `I_out` is differentiated; -1 is the last.
        executable: name or path of ngspice; None looks for it on PATH.
        timeout: wall-clock limit of each process, s.

    Returns:
        dI_out[column]/dG, V (A per S), (rows, cols). Where a device is
        absent (G = 0) an ohmic array has the derivative towards positive G; the other models
        say nothing of a device that is not there, and the entry is NaN.

    Raises:
        InputError: there are batch axes, or the column has no driven or sensed end (its I_out is
            0 whatever the conductances are).
        EngineError: ngspice is missing or gave no trustworthy answer.
    """
    netlist = single(crossbar, V_in, V_out, timeout=timeout)
    ports = _ports(netlist, _column(crossbar, column))
    engine = NgspiceEngine(executable=executable, timeout=timeout, workers=1)
    solution = engine.solve(engine.prepare(crossbar), crossbar, V_in, V_out, full=True)
    lines = deck(
        netlist,
        lambda name, volts: f"{decimal(volts)}{' ac 1' if name in ports else ''}",
        analysis="ac lin 1 1 1",
        options=dialect.options(netlist),
        nodes=True,
    )
    raw = run(lines, executable=executable, timeout=timeout, points=1).raw
    V_device = solution.V_wl - solution.V_bl
    wl, bl = _small_signal(netlist, raw, column % crossbar.cols, V_device)
    return (bl - wl) * _slope_in_G(crossbar, V_device)


def golden_difference(
    crossbar: Crossbar,
    V_in: npt.ArrayLike,
    V_out: npt.ArrayLike | None = None,
    *,
    cells: Sequence[tuple[int, int]],
    step: float = 1e-2,
    executable: str | os.PathLike[str] | None = None,
    timeout: float = 600.0,
    workers: int | None = None,
) -> Array:
    """Gradients of all output currents for chosen devices, by fourth-order central differences.

    Four processes a device; nothing but complete ngspice solves enters.

    Args:
        crossbar, V_in, V_out, executable, timeout: as for `golden_gradient`.
        cells: (row, column) of each device; it must be present.
        step: change of G relative to itself. The default balances truncation against ngspice's
            rounding (measured: 1e-12 of the largest entry).
        workers: processes at the same time; None for one a CPU.

    Returns:
        dI_out/dG of each device, V, (cells, cols).

    Raises:
        InputError: as for `golden_gradient`, or a cell is outside the array or absent, or `step`
            is not between 0 and 0.5.
        EngineError: ngspice is missing or gave no trustworthy answer.
    """
    single(crossbar, V_in, V_out, timeout=timeout)
    if not 0 < step < 0.5:
        raise broken_rule("`step` must lie between 0 and 0.5", step, "Leave it at its default.")
    places = np.array([_cell(crossbar, cell) for cell in cells], dtype=np.intp).reshape(-1, 2)
    if not len(places):
        return np.zeros((0, crossbar.cols))
    G = np.tile(crossbar.G, (len(STENCIL), len(places), 1, 1))
    index = (np.arange(len(places)), places[:, 0], places[:, 1])
    for k, (offset, _) in enumerate(STENCIL):
        G[k][index] *= 1 + offset * step
    changed = crossbar.replace(G=G)
    engine = NgspiceEngine(executable=executable, timeout=timeout, workers=workers)
    solutions = engine.solve(engine.prepare(changed), changed, V_in, V_out)
    weights = np.array([weight for _, weight in STENCIL])
    size = step * crossbar.G[places[:, 0], places[:, 1]]
    return np.tensordot(weights, solutions.I_out, axes=1) / size[:, None]


def _column(crossbar: Crossbar, column: int) -> int:
    if not -crossbar.cols <= column < crossbar.cols:
        raise broken_rule(
            f"`column` must be one of the {crossbar.cols} bit lines",
            column,
            "Count from 0, or from -1 backwards.",
        )
    return column % crossbar.cols


def _cell(crossbar: Crossbar, cell: tuple[int, int]) -> tuple[int, int]:
    row, col = cell
    inside = 0 <= row < crossbar.rows and 0 <= col < crossbar.cols
    if not inside or crossbar.G[row, col] == 0:
        raise broken_rule(
            "`cells` must name devices that are present",
            f"({row}, {col}) in an array of {crossbar.rows} x {crossbar.cols}",
            "Leave out absent devices (G = 0).",
        )
    return int(row), int(col)


def _ports(netlist: Netlist, column: int) -> set[str]:
    """Names of the sources that `I_out[column]` flows into: one, or one a kind of end."""
    names = {
        name
        for sources in (netlist.bit_drives, netlist.bit_senses)
        for name, line in zip(sources.names, sources.lines, strict=True)
        if line == column
    }
    if not names:
        raise broken_rule(
            "the bit line must have a driven or sensed end",
            f"column {column} with two floating ends",
            "Its I_out is 0 for every G; choose another column or sense one of its ends.",
        )
    return names


def _small_signal(
    netlist: Netlist, raw: RawFile, column: int, V_device: Array
) -> tuple[Array, Array]:
    """Small-signal node voltages, (rows, cols) each; refused where they break Kirchhoff's law."""
    crossbar = netlist.crossbar
    shape = crossbar.G.shape
    columns = node_columns(netlist, raw).values()
    wl, bl = (np.real(raw.values[0, index]).reshape(shape) for index in columns)
    slope = np.where(crossbar.G > 0, crossbar.device.derivative(V_device, crossbar.G), 0.0)
    I_in, I_out = (currents[0] for currents in line_currents(netlist, raw))
    port = np.zeros(crossbar.cols)
    port[column] = 1.0
    parts = kirchhoff_violations(
        crossbar,
        wl,
        bl,
        slope * (wl - bl),
        np.real(I_in),
        np.real(I_out),
        np.zeros(crossbar.rows),
        port,
        port,
    )
    parts = (*parts, np.imag(I_in), np.imag(I_out))
    wrong, largest = (
        float(np.max([np.abs(a).max() for a in some])) for some in (parts, (I_in, I_out))
    )
    if not wrong <= BALANCE * largest + ROUNDING * steepest(crossbar):
        raise EngineError(
            f"ngspice's small-signal currents must be real and obey Kirchhoff's law; they are off "
            f"by {wrong:.3g} A of {largest:.3g} A. Check the array for extreme resistances."
        )
    return wl, bl


def _slope_in_G(crossbar: Crossbar, V: Array) -> Array:
    """dI_device/dG in V at the device voltages V, (rows, cols)."""
    if crossbar.device.linear:
        return V
    G = crossbar.G
    present = G > 0
    slope = np.full(G.shape, np.nan)
    total = sum(
        weight * crossbar.device.current(V, G * (1 + offset * MODEL_STEP))
        for offset, weight in STENCIL
    )
    slope[present] = np.asarray(total)[present] / (MODEL_STEP * G[present])
    return slope
