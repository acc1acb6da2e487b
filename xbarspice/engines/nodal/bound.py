"""How wrong the currents of an answer can be, as a share of its largest output current.

The reference is found for each array and vector from the crossbar alone: node voltages in twice the
precision, refined until Kirchhoff's law holds; see `refinement` for why what is left of it bounds
the error of the reference. An answer is wrong by no more than its distance from it plus that.
"""

from __future__ import annotations

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Indices
from xbarspice.engines.nodal import doubledouble as dd
from xbarspice.engines.nodal.equations import NodalEquations, equations_of, topologies
from xbarspice.engines.nodal.refinement import Refined, newton, refine

__all__ = ["distances", "outputs", "share"]


NUMBERS_AT_A_TIME = 200_000
"""Node voltages of several vectors that are refined together."""
UP = 1 + 1e-12
"""More than what the last few operations on a bound may round it down by."""
SMALLEST_VOLTS = 1e-150
"""Drive below which products of pairs would underflow."""


def outputs(crossbar: Crossbar, I_out: Array, I_in: Array) -> Array:
    """Largest output current of each vector, A: of the bit lines, or the word lines if none ends.

    Args:
        crossbar: the array.
        I_out, I_in: (vectors, cols) and (vectors, rows), A.
    """
    by_bit_lines = (crossbar.bl_ends != End.FLOATING).any()
    return np.abs(I_out if by_bit_lines else I_in).max(axis=1)


def share(amperes: Array, output: Array) -> Array:
    """An error in A as a share of the least that the largest output current can be, A."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.where(output > 0, amperes / output, np.inf)
    return np.where(amperes == 0, 0.0, out)


def distances(
    crossbar: Crossbar, drive: Drive, I_out: Array, I_in: Array, members: Indices
) -> Array:
    """How wrong the currents of some solves of a drive can be.

    Args:
        crossbar: the array or batch of arrays.
        drive: the N solves.
        I_out, I_in: the currents to judge, A, (N, cols) and (N, rows).
        members: numbers of the solves to judge.

    Returns:
        For each member the largest possible error of a line current, and the least that its largest
        output current can be, A, (2, members); infinity and 0 where nothing can be said.
    """
    nodes = topologies(crossbar)
    out = np.empty((2, len(members)))
    numbers = NUMBERS_AT_A_TIME if crossbar.device.linear else 0
    for array in np.unique(drive.array[members]):
        equations = equations_of(crossbar, nodes, int(array))
        at_a_time = max(1, numbers // equations.t.fixed.size)
        positions = np.flatnonzero(drive.array[members] == array)
        for first in range(0, len(positions), at_a_time):
            some = positions[first : first + at_a_time]
            n = members[some]
            reference = _reference(equations, drive.V_in[n], drive.V_out[n])
            out[:, some] = _distance(crossbar, reference, I_out[n], I_in[n])
    volts = np.maximum(np.abs(drive.V_in).max(axis=1), np.abs(drive.V_out).max(axis=1))[members]
    unknown = (volts > 0) & (volts < SMALLEST_VOLTS) | ~np.isfinite(out).all(axis=0)
    out[:, unknown] = np.array([[np.inf], [0.0]])
    return out


def _reference(equations: NodalEquations, V_in: Array, V_out: Array) -> Refined:
    V = equations.voltages(V_in, V_out)
    if not equations.device.linear:
        V = newton(equations, V[:, 0])[0][:, None]
    return refine(equations, V)


def _distance(
    crossbar: Crossbar, reference: Refined, I_out: Array, I_in: Array
) -> tuple[Array, Array]:
    off = [
        np.abs(dd.add_float((-high, -low), answer)[0]).max(axis=0)
        for answer, (high, low) in ((I_out.T, reference.I_out), (I_in.T, reference.I_in))
    ]
    output = outputs(crossbar, reference.I_out[0].T, reference.I_in[0].T)
    amperes = UP * (np.maximum(*off) + reference.error)
    return amperes, np.maximum(output - reference.error, 0.0) / UP
