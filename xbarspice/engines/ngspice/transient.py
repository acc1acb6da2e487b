"""A read in time: a voltage pulse on an array whose wires and devices have capacitance, in ngspice.

The step control of ngspice follows every charge to `reltol`. Against exponentials and an ODE solver
the currents agree within 1e-4 of the largest (most of it at the corners of the pulse) and the
energy within 1e-4. Largest error of six arrays (three device models) against the ODE solver, and
time steps taken, with `max_step` at its default; the settled current is right to 2e-12 in all of
them:

======  ======  =====
reltol  error   steps
======  ======  =====
1e-3    2.9e-3  150-360
1e-4    1.2e-3  200-500
1e-5    2.9e-4  320-820
1e-6    6.6e-5  590-1500
1e-7    3.1e-5  1200-2900
1e-8    3.1e-5  2400-6100
======  ======  =====

With a tenth of that `max_step` as well, 1e-7 gives 1.5e-5 and 1e-8 gives 3.2e-6.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array
from xbarspice.devices.numbers import decimal
from xbarspice.engines.ngspice.checks import line_currents
from xbarspice.engines.ngspice.engine import NgspiceEngine
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.engines.ngspice.runner import Run
from xbarspice.engines.ngspice.single import deck, run, single
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import Netlist

__all__ = ["TransientRead", "transient_read"]


OPTIONS = "vntol=1e-12 gmin=1e-20 chgtol=1e-28 trtol=1 method=gear"
"""ngspice's chgtol of 1e-14 C would switch its step control off: a node of 1 fF holds 1e-16 C.
Gear's formula damps the rounding that the trapezoidal one keeps swinging on long steps."""

RELTOL_RANGE = (1e-8, 1e-3)
"""Below, the longest step decides and not `reltol`; above, little is gained (1e-2: 4e-3 off)."""

SMALL = 1e-6
"""A column's settling is judged by its own current, but no finer than this share of the largest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TransientRead:
    """One read pulse of one array; signs as in `xbarspice.core.array`.

    Attributes:
        t: times that ngspice chose, s, (times,); 0 is the start of the rise.
        I_out: current into the bit-line ends, A, (times, cols).
        I_in: current from the word-line ends, A, (times, rows); it also charges the wires.
        I_settled: `I_out` at the end of the plateau (t = width), A, (cols,).
        I_dc: `I_out` of the operating point without capacitances, A, (cols,).
        settling_time: time after which `I_out` of a column stays within the tolerance of `I_dc`
            until the plateau ends, s, (cols,); inf where it is not there by then.
        energy: what the sources gave over the whole pulse (they take some back as it falls), J.
        notes: what ngspice had to do to find the operating point.
    """

    t: Array
    I_out: Array
    I_in: Array
    I_settled: Array
    I_dc: Array
    settling_time: Array
    energy: float
    notes: tuple[str, ...]


def transient_read(
    crossbar: Crossbar,
    V_in: npt.ArrayLike,
    V_out: npt.ArrayLike | None = None,
    *,
    C_wire: float,
    C_device: float,
    rise: float,
    width: float,
    tolerance: float = 0.01,
    max_step: float | None = None,
    reltol: float = 1e-6,
    executable: str | os.PathLike[str] | None = None,
    timeout: float = 600.0,
) -> TransientRead:
    """Apply one trapezoidal read pulse to an array at rest, in one ngspice transient.

    All drivers rise from 0 V in a straight line over `rise`, hold until `width` and fall over
    another `rise`, where the run ends. Every cell has `C_wire` from its word-line node to ground
    and from its bit-line node to ground, so a line without wire resistance carries the sum of its
    cells; every device that is present has `C_device` in parallel.

    Checked are the operating point `I_dc` at every node, in a process of its own, and of the
    transient that it goes through every corner of the pulse with the drive voltages asked for; its
    currents are not checked.

    Args:
        crossbar: a single array with any line ends.
        V_in: word-line voltages of the plateau, V, (rows,).
        V_out: bit-line voltages of the plateau, V, (cols,); None for 0 V.
        C_wire: capacitance of one wire segment to ground, F; 0 is allowed.
        C_device: capacitance of one device, F; 0 is allowed.
        rise: duration of the rise and of the fall, s.
        width: from the start of the rise to the start of the fall, s; more than `rise`.
        tolerance: share of a column's `I_dc` within which it counts as settled.
        max_step: longest time step, s; None for a tenth of `rise`, but no less than a 2000th of
            `width`.
        reltol: accuracy of ngspice's step control, 1e-8 to 1e-3; see the module's table.
        executable: name or path of ngspice; None looks for it on PATH.
        timeout: wall-clock limit of each of the two processes (operating point, transient), s.

    Raises:
        InputError: an argument breaks one of these rules, or there are batch axes.
        FloatingNodeError: a line has no path to any source.
        EngineError: ngspice is missing or gave no trustworthy answer.
    """
    _check_pulse(C_wire, C_device, rise, width, tolerance)
    netlist = single(crossbar, V_in, V_out, timeout=timeout)
    capacitors = _capacitors(netlist, C_wire, C_device)
    lines = _deck(netlist, capacitors, rise, width, max_step, reltol)
    engine = NgspiceEngine(executable=executable, timeout=timeout, workers=1)
    still = engine.solve(engine.prepare(crossbar), crossbar, V_in, V_out)
    transient = run(
        lines,
        executable=executable,
        timeout=timeout,
        points=None,
        accept=lambda raw: _check_waveforms(netlist, raw, rise, width),
    )
    return _read(netlist, still, transient, width, tolerance)


def _deck(
    netlist: Netlist,
    capacitors: list[str],
    rise: float,
    width: float,
    max_step: float | None,
    reltol: float,
) -> list[str]:
    """The lines of the transient."""
    return deck(
        netlist,
        lambda _, volts: _pulse(volts, rise, width),
        analysis=f"tran {_steps(rise, width, max_step)}",
        options=_options(netlist, reltol),
        nodes=False,
        extra=capacitors,
    )


def _steps(rise: float, width: float, max_step: float | None) -> str:
    """Arguments of the `tran` command: step, end, start and longest step, s."""
    step = max(rise / 10, width / 2000) if max_step is None else max_step
    if not 0 < step < math.inf:
        raise broken_rule("`max_step` must be > 0 s", max_step, "Leave it out, or give it in s.")
    return f"{decimal(step)} {decimal(width + rise)} 0 {decimal(step)}"


def _options(netlist: Netlist, reltol: float) -> str:
    """Words of the `.options` card."""
    if not RELTOL_RANGE[0] <= reltol <= RELTOL_RANGE[1]:
        raise broken_rule(
            "`reltol` must lie between 1e-8 and 1e-3", reltol, "Leave it at its default of 1e-6."
        )
    return f"reltol={decimal(reltol)} abstol={dialect.abstol(netlist):.3g} {OPTIONS}"


def _read(
    netlist: Netlist, still: Solution, transient: Run, width: float, tolerance: float
) -> TransientRead:
    """The read from the operating point `still` and the transient run."""
    t = transient.raw.take(["time"])[:, 0]
    I_in, I_out = line_currents(netlist, transient.raw)
    plateau = t <= width * (1 + 1e-12)
    return TransientRead(
        t=t,
        I_out=I_out,
        I_in=I_in,
        I_settled=I_out[plateau][-1],
        I_dc=still.I_out,
        settling_time=_settling(t[plateau], I_out[plateau], still.I_out, tolerance),
        energy=_energy(netlist, transient.raw, t),
        notes=(*still.stats.notes, *transient.notes),
    )


def _check_pulse(
    C_wire: float, C_device: float, rise: float, width: float, tolerance: float
) -> None:
    for name, value in (("C_wire", C_wire), ("C_device", C_device)):
        if not 0 <= value < math.inf:
            raise broken_rule(
                f"`{name}` must be a finite number >= 0 in F", value, "Use 0 for no capacitance."
            )
    if not 0 < rise < width < math.inf:
        raise broken_rule(
            "a pulse needs 0 < rise < width, in s",
            f"rise {rise:g}, width {width:g}",
            "Give the rise a length, and the plateau what is left of the width.",
        )
    if not 0 < tolerance < 1:
        raise broken_rule("`tolerance` must lie between 0 and 1", tolerance, "Use 0.01 for 1 %.")


def _pulse(volts: float, rise: float, width: float) -> str:
    """One trapezoid from 0 V; also of 0 V, since ngspice steps exactly onto the corners."""
    start, level, stop, end = (decimal(v) for v in (rise, volts, width, width + rise))
    return f"pwl(0 0 {start} {level} {stop} {level} {end} 0)"


def _capacitors(netlist: Netlist, C_wire: float, C_device: float) -> list[str]:
    """Capacitors of the cells' nodes (added up where nodes are merged) and of the devices."""
    lines = ["* capacitances"]
    if C_wire > 0:
        cells = Counter([*netlist.wl.ravel().tolist(), *netlist.bl.ravel().tolist()])
        lines += [f"C{node} {node} 0 {decimal(count * C_wire)}" for node, count in cells.items()]
    if C_device > 0:
        d = netlist.devices
        rows = zip(d.names, d.a, d.b, strict=True)
        lines += [f"C{name} {a} {b} {decimal(C_device)}" for name, a, b in rows]
    return lines


def _check_waveforms(netlist: Netlist, raw: RawFile, rise: float, width: float) -> None:
    """Refuse a run that stops early, misses a corner of the pulse, or has another pulse."""
    t = raw.take(["time"])[:, 0]
    corners = np.array([0.0, rise, width, width + rise])
    missed = np.abs(t[:, None] - corners).min(axis=0)
    there = missed.max() <= 1e-9 * width and t[-1] <= corners[-1] * (1 + 1e-9)
    if not (there and (np.diff(t) > 0).all()):
        raise EngineError(
            f"ngspice must go through all corners of the pulse; it went from {t[0]:g} s to "
            f"{t[-1]:g} s in {len(t)} points."
        )
    for sources in (netlist.word_drives, netlist.bit_drives):
        if not sources.names:
            continue
        shape = np.interp(t, corners, [0.0, 1.0, 1.0, 0.0])
        expected = shape[:, None] * sources.volts
        actual = raw.take([f"v({n})" for n in sources.nodes])
        if not np.max(np.abs(expected - actual)) <= 1e-9 * np.max(np.abs(sources.volts)):
            raise EngineError("ngspice must apply the pulse that was asked for; it did not.")


def _settling(t: Array, I_out: Array, I_dc: Array, tolerance: float) -> Array:
    """Last crossing into the band around `I_dc`, interpolated; inf if outside at the end."""
    scale = np.maximum(np.abs(I_dc), SMALL * np.max(np.abs(I_dc)))
    excess = np.abs(I_out - I_dc) - tolerance * scale
    times = np.zeros(len(I_dc))
    for col, over in enumerate(excess.T):
        outside = np.flatnonzero(over > 0)
        if not len(outside):
            continue
        last = int(outside[-1])
        if last == len(t) - 1:
            times[col] = np.inf
            continue
        share = over[last] / (over[last] - over[last + 1])
        times[col] = t[last] + share * (t[last + 1] - t[last])
    return times


def _energy(netlist: Netlist, raw: RawFile, t: Array) -> float:
    """Integral of the power of all drivers, J, by the trapezoidal rule on ngspice's steps."""
    power = np.zeros(len(t))
    for sources in (netlist.word_drives, netlist.bit_drives):
        if sources.names:
            volts = raw.take([f"v({n})" for n in sources.nodes])
            power -= (volts * raw.take([f"i({n})" for n in sources.names])).sum(axis=1)
    return float(np.trapezoid(power, t))
