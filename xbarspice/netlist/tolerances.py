"""How tight the tolerances of a simulator may be: just above the rounding of the circuit.

A node voltage is known to some eps * volts, so a current through a wire of conductance
g_wire = 1/R, and the balance of the currents that meet in its node, to some eps * g_wire * volts,
whatever the devices do. Newton's steps never become smaller than that noise, and an abstol below it
makes ngspice give up: with a fixed abstol of 1e-18 A 22 of 1125 arrays (wires of 0, 0.01, 0.1, 1
and 10 ohm) did not converge; with 1e-15, 2e-15 and 4e-15 for `ROUNDING` 3, 1 and none of them, and
none of 3438 others, with errors of at most 5.5e-15 * slope * volts or, where that is more, 5e-12 of
the largest current. ngspice's own defaults (reltol 1e-3, abstol 1e-12) give 6e-8.

What a line end has in series raises the noise of all nodes of the line: a current of some eps *
g_wire * volts leaves through that resistance (`records.noise_gain`). Without `LINE_ROUNDING` 16 of
600 nonlinear arrays (wires of 1e-3 to 30 ohm, drivers of 1e2 to 1e6) had no operating point, with a
tenth of it 1 of 1800, with it none of 2400, with the same errors; with twice as much Newton
sometimes stops a step early.
"""

from __future__ import annotations

__all__ = ["LINE_ROUNDING", "ROUNDING", "VNTOL", "current_tolerance", "voltage_tolerance"]

ROUNDING = 4e-15
"""Share of slope * volts by which a current may still move (18 eps)."""

NODE_ROUNDING = 1e-14
"""Share of volts by which a node may still move (45 eps); 4e-15 left 1 of 1125 arrays behind."""

LINE_ROUNDING = 1e-15
"""Share of `records.noise_gain` * volts by which a node may still move (4.5 eps)."""

ABSTOL = 1e-18
VNTOL = 1e-15
"""Smallest absolute tolerances, A and V, however small the voltages and conductances are."""


def current_tolerance(slope: float, volts: float) -> float:
    """Absolute tolerance of currents, A.

    Args:
        slope: largest conductance of the circuit, S.
        volts: largest voltage of its sources, V.
    """
    return max(ABSTOL, ROUNDING * slope * volts)


def voltage_tolerance(
    slope: float, volts: float, *, noise_gain: float = 0.0, transimpedance: float = 0.0
) -> float:
    """Absolute tolerance of voltages, V.

    Args:
        slope: largest conductance of the circuit, S.
        volts: largest voltage of the sources, V.
        noise_gain: `records.noise_gain` of the array.
        transimpedance: what turns the noise of a current into a node voltage, ohm; 0 where no
            amplifier does.
    """
    return max(
        VNTOL,
        NODE_ROUNDING * volts,
        LINE_ROUNDING * volts * noise_gain,
        current_tolerance(slope, volts) * transimpedance,
    )
