"""What a tester reads of each device while an array is written, and when all of it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array, Indices
from xbarspice.programming.array_state import Bias, array_with_ends, bias

__all__ = ["expected_reads"]

CHUNK = 2**23
"""Conductances that are solved in one batch: 64 MiB."""


def expected_reads(
    crossbar: Crossbar,
    target: npt.ArrayLike,
    order: npt.ArrayLike,
    *,
    read: str,
    V_read: float,
    engine: str | engines.Engine = "surrogate",
) -> tuple[Array, Array]:
    """Read currents of the devices of one array at their own step, and after the last step.

    Nothing is approximated: every step is an array of its own, in which the devices of the steps
    before and of this one have their targets and all others what they had before, and is solved
    as such.

    Args:
        crossbar: wires, device and the conductances before, S.
        target: wanted conductances, S, (rows, cols); 0 leaves a cell alone.
        order: flat index of each wanted device in the order of writing, (steps,).
        read: unselected lines: "grounded", "floating" or "V/2".
        V_read: V.
        engine: who solves.

    Returns:
        Currents at each step and at the end, A, (steps,) each, into the bit line's sense node.

    Raises:
        EngineError: a read cannot be solved.
    """
    cells = np.asarray(order, dtype=np.intp)
    written = np.where(np.asarray(target) > 0, target, crossbar.G)
    rank = np.full(crossbar.G.size, cells.size, dtype=np.intp)
    rank[cells] = np.arange(cells.size)
    rank = rank.reshape(crossbar.G.shape)
    solver = engines.get(engine)
    at_step, final = np.zeros(cells.size), np.zeros(cells.size)
    for steps, reads in _chunks(cells, crossbar, read):
        array = array_with_ends(crossbar, reads[0].ends)
        V_in, V_out = (V_read * np.stack([getattr(b, n) for b in reads]) for n in ("V_in", "V_out"))
        G = np.where(rank <= steps[:, None, None], written, crossbar.G)
        cols = cells[steps] % crossbar.cols
        for out, conductances in ((at_step, G), (final, written)):
            solved = array.replace(G=conductances)
            answer = engines.solve(solved, V_in, V_out, engine=solver, outside="ignore")
            out[steps] = answer.I_out[np.arange(steps.size), cols]
    return at_step, final


def _chunks(cells: Indices, crossbar: Crossbar, read: str) -> Iterator[tuple[Indices, list[Bias]]]:
    """Steps that are solved together, and their line voltages for 1 V; they share their ends."""
    most = max(1, CHUNK // crossbar.G.size) if read != "floating" else 1
    for first in range(0, cells.size, most):
        steps = np.arange(first, min(first + most, cells.size))
        places = (divmod(int(cell), crossbar.cols) for cell in cells[steps])
        yield steps, [bias(read, *place, *crossbar.G.shape) for place in places]
