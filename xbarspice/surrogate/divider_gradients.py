"""Gradients by resistances of voltage dividers: lines driven at one end, sensed at the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.surrogate.ladders.lines import Lines

if TYPE_CHECKING:
    from xbarspice.surrogate.adjoint import Adjoint, Saved

__all__ = ["add_open_circuit", "any_divided"]


def any_divided(crossbar: Crossbar) -> bool:
    """Whether some line may be a voltage divider: driven at one end and sensed at the other."""
    left, right, top, bottom = crossbar.ends.sides
    return any(
        not (isinstance(first, str) and isinstance(last, str))
        or {first, last} == {End.DRIVEN, End.SENSED}
        for first, last in ((left, right), (top, bottom))
    )


def add_open_circuit(saved: Saved, job: Adjoint) -> None:
    """Add what the resistances of voltage dividers do to the gradients through `Lines.V_open`.

    The share of a node is the resistance from it to the sense node over that of the whole line.
    """
    p, crossbar = saved.problem, saved.crossbar
    at_devices = job.D[job.index] * job.mu
    kinds = (
        (0, crossbar.wl_ends, p.V_in, 1.0, job.by_wl, job.R_wl, job.at_wl),
        (1, crossbar.bl_ends, p.V_out, -1.0, job.by_bl, job.R_bl, job.at_bl),
    )
    for kind, ends, volts, sign, on_nodes, by_segment, by_end in kinds:
        driven = ends == End.DRIVEN
        divided = np.flatnonzero(driven.any(axis=1) & (ends == End.SENSED).any(axis=1))
        if not divided.size:
            continue
        psi = sign * at_devices if on_nodes is None else sign * at_devices + on_nodes
        if kind == 1:
            psi = psi.swapaxes(1, 2)
        psi = psi[:, divided] * volts[:, divided, None]
        forward = driven[divided, 0]
        for net, start, stop in p.stretches(0, len(psi)):
            lines = (net.wl, net.bl)[kind]
            along, at = _by_divider(lines, divided, forward, psi[start:stop])
            by_end[start:stop][:, :, divided] += at
            if by_segment is None:
                job.R[start:stop, kind] += along.sum(axis=(1, 2))
                continue
            segments = by_segment[start:stop]
            (segments.swapaxes(1, 2) if kind == 1 else segments)[:, divided] += along


def _by_divider(lines: Lines, divided: Indices, forward: Flags, psi: Array) -> tuple[Array, Array]:
    """What voltage dividers add to the gradients by their segments and ends.

    Args:
        lines: all lines of one kind.
        divided: which of them are dividers.
        forward: whether the first end is the driven one, (dividers,).
        psi: gradient by the share of each node, (N, dividers, cells).

    Returns:
        (N, dividers, cells - 1) and, for the first and the last ends, (N, 2, dividers).
    """
    total = lines.total[divided]
    by_driver = -(psi * lines.V_open[divided]).sum(axis=2)
    by_sense = psi.sum(axis=2) + by_driver
    up_to = psi.cumsum(axis=2)[:, :, :-1]
    beyond = psi[:, :, ::-1].cumsum(axis=2)[:, :, -2::-1]
    along = np.where(forward[:, None], up_to, beyond) + by_driver[:, :, None]
    at = np.stack([by_driver, by_sense], axis=1)
    return along / total[:, None], np.where(forward, at, at[:, ::-1]) / total
