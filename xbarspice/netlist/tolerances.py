"""How tight the tolerances of a simulator may be: just above the rounding of the circuit.

A node voltage is known to some eps * volts, so a current through a wire of conductance
g_wire = 1/R, and the balance of the currents that meet in its node, to some eps * g_wire * volts,
whatever the devices do. Newton's steps never become smaller than that noise, and an abstol below it
makes ngspice give up: with a fixed abstol of 1e-18 A 22 of 1125 arrays (wires of 0, 0.01, 0.1, 1
and 10 ohm) did not converge; with 1e-15, 2e-15 and 4e-15 for `ROUNDING` 3, 1 and none of them, and
none of 3438 others, with errors of at most 5.5e-15 * slope * volts or, where that is more, 5e-12 of
the largest current. ngspice's own defaults (reltol 1e-3, abstol 1e-12) give 6e-8.
"""

from __future__ import annotations

__all__ = ["ROUNDING", "VNTOL", "current_tolerance", "voltage_tolerance"]

ROUNDING = 4e-15
"""Share of slope * volts by which a current may still move (18 eps)."""

NODE_ROUNDING = 1e-14
"""Share of volts by which a node may still move (45 eps); 4e-15 left 1 of 1125 arrays behind."""

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


def voltage_tolerance(amperes: float, volts: float, transimpedance: float | None = None) -> float:
    """Absolute tolerance of voltages, V.

    Args:
        amperes: `current_tolerance`, A.
        volts: largest voltage of the sources, V.
        transimpedance: what turns that noise of a current into a node voltage, ohm; None where no
            amplifier does.
    """
    return max(VNTOL, NODE_ROUNDING * volts, amperes * (transimpedance or 0.0))
