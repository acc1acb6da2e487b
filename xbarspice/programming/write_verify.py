"""Programming: write a conductance matrix into a passive array, device by device.

Write-verify with ramped pulses (Alibart et al. 2012, doi:10.1088/0957-4484/23/7/075201) inside the
array with its wire resistances: every pulse is solved for the voltages of all devices, every device
moves by its own dynamics, and every read sees the sneak paths it really has. Reads do not move the
states.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.values import array_of
from xbarspice.devices import DynamicDevice
from xbarspice.engines import Engine
from xbarspice.programming.array_state import SCHEMES, ArrayState, bias, pulses_of
from xbarspice.programming.expected import expected_reads
from xbarspice.programming.reads import Reader
from xbarspice.programming.results import ORDERS, Programmed, Pulses, order_of
from xbarspice.variability import BiasingSchemeEffect

__all__ = [
    "ORDERS",
    "Programmed",
    "Pulses",
    "check",
    "compare_orders",
    "order_of",
    "program",
    "replay",
    "target_of",
]


def check(
    crossbar: Crossbar,
    target: npt.ArrayLike,
    *,
    pulses: Pulses,
    scheme: str,
    order: str | Sequence[int],
    passes: int,
    **_more: Any,
) -> None:
    """Refuse what `program` would refuse, before any work.

    Raises:
        InputError: an argument breaks a rule.
    """
    _check(crossbar, scheme, True, None, None, pulses, passes, 1)
    G = target_of(crossbar, target)
    order_of(order, G)
    none = np.zeros(G.shape, bool)
    ArrayState(crossbar, engine="surrogate", stuck=none, half_select=True, substeps=1)


@dataclass
class _Log:
    verified: Array
    finished: Array
    pulses: Indices
    gave_up: Flags
    sequence: list[tuple[int, int, float]]
    seconds: float = 0.0


def program(
    crossbar: Crossbar,
    target: npt.ArrayLike,
    *,
    pulses: Pulses | None = None,
    scheme: str = "V/2",
    order: str | Sequence[int] = "rows",
    passes: int = 1,
    stuck: npt.ArrayLike | None = None,
    half_select: bool = True,
    bse: BiasingSchemeEffect | None = None,
    rng: Any = None,
    substeps: int = 1,
    compensate: bool = False,
    engine: str | Engine = "surrogate",
) -> Programmed:
    """Write a target conductance matrix into a passive array.

    Args:
        crossbar: wires, a dynamic device, and the conductances before, S; word lines are driven on
            the left, bit lines at the bottom, each through the lead that it has there.
        target: wanted conductances, S, (rows, cols); 0 leaves a cell alone.
        pulses: the write-verify procedure.
        scheme: unselected lines while writing: "V/2", "V/3" or "floating".
        order: order of writing; see `order_of`.
        passes: times that the whole array is gone through; later passes repair what they find
            outside the tolerance, and end early when they find nothing.
        stuck: devices that no pulse moves, (rows, cols) bool; the procedure does not know them.
        half_select: whether half-selected devices move under the pulses (by the same dynamics).
        bse: measured biasing-scheme effect to add at the end, in place of `half_select`.
        rng: generator for `bse`.
        substeps: parts of a pulse; more than 1 follow the voltages while the states move.
        compensate: judge each read against the one expected at that step, with the devices written
            so far at their targets and the others as they were (`expected_reads`; in later passes
            with all at their targets), instead of against the target itself: wires and sneak paths
            are then not mistaken for errors of the device.
        engine: name or engine for the solves.

    Returns:
        Final conductances, maps, counts, time and energy.

    Raises:
        InputError: an argument breaks a rule; in particular the measured table together with
            simulated half-select disturbance.
        ConvergenceError: a solve failed.
    """
    began = time.perf_counter()
    pulses = pulses or Pulses()
    _check(crossbar, scheme, half_select, bse, rng, pulses, passes, substeps)
    G_wanted = target_of(crossbar, target)
    frozen = np.zeros(G_wanted.shape, bool) if stuck is None else np.asarray(stuck, bool)
    if frozen.shape != G_wanted.shape:
        raise broken_rule("`stuck` must be (rows, cols)", frozen.shape, f"Use {G_wanted.shape}.")
    state = ArrayState(
        crossbar, engine=engine, stuck=frozen, half_select=half_select, substeps=substeps
    )
    sequence_order = order_of(order, G_wanted)
    aims = _aims(state, G_wanted, sequence_order, pulses) if compensate else (G_wanted, G_wanted)
    shape = G_wanted.shape
    log = _Log(np.zeros(shape), state.G.copy(), np.zeros(shape, np.intp), np.zeros(shape, bool), [])
    moved = np.zeros((sequence_order.size, *shape), dtype=np.float32)
    for k in range(passes):
        if not _write_all(state, sequence_order, aims[k > 0], scheme, pulses, log, moved):
            break
    G = state.G.copy()
    if bse is not None:
        G = replace(bse, order=_whole_order(sequence_order, shape)).apply(G, rng)
    return Programmed(
        G=G,
        target=G_wanted,
        start=crossbar.G.copy(),
        verified=log.verified,
        finished=log.finished,
        pulses=log.pulses,
        gave_up=log.gave_up,
        order=sequence_order,
        moved=moved,
        sequence=np.array(log.sequence, dtype=float).reshape(-1, 3),
        seconds=log.seconds,
        energy=state.energy,
        wall=time.perf_counter() - began,
        scheme=scheme,
        tolerance=pulses.tolerance,
    )


def _aims(state: ArrayState, target: Array, order: Indices, pulses: Pulses) -> tuple[Array, Array]:
    """What a read of each device should report in the first pass, and in later ones, S."""
    reads = expected_reads(
        state.crossbar, target, order, read=pulses.read, V_read=pulses.V_read, engine=state.engine
    )
    out = np.zeros((2, *target.shape))
    for aims, currents in zip(out, reads, strict=True):
        aims.flat[order] = currents / pulses.V_read
    return out[0], out[1]


def _write_all(
    state: ArrayState,
    order: Indices,
    aims: Array,
    scheme: str,
    pulses: Pulses,
    log: _Log,
    moved: npt.NDArray[np.float32],
) -> bool:
    """Write all devices once; whether any needed a pulse.

    What each device moves by while the k-th is written is added to `moved`, S, (devices, rows,
    cols).
    """
    repaired = False
    for k, (row, col) in enumerate(zip(*np.unravel_index(order, state.G.shape), strict=True)):
        before, cell = state.G, (int(row), int(col))
        repaired |= _write_verify(state, cell, float(aims[cell]), scheme, pulses, log)
        moved[k] += (state.G - before).astype(np.float32)
    return repaired


def _write_verify(
    state: ArrayState,
    cell: tuple[int, int],
    target: float,
    scheme: str,
    pulses: Pulses,
    log: _Log,
) -> bool:
    """Write one device; whether it needed a pulse."""
    rows, cols = state.G.shape
    writing = bias(scheme, *cell, rows, cols)
    reader = Reader(state, bias(pulses.read, *cell, rows, cols), pulses.V_read, cell)
    sign = state.device.set_sign
    size, direction, used, at_limit = pulses.start, 0.0, 0, 0
    while True:
        last = used >= pulses.max_pulses or at_limit >= pulses.max_at_limit
        conductance, bound = reader.follow()
        if last or abs(conductance / target - 1.0) - pulses.tolerance <= bound / target:
            conductance = reader.exact()
        state.energy += reader.power * pulses.read_width
        log.seconds += pulses.read_width
        error = conductance / target - 1.0
        within_tolerance = abs(error) <= pulses.tolerance
        if within_tolerance or last:
            break
        next_direction = 1.0 if error < 0 else -1.0
        limit = pulses.limit_set if next_direction > 0 else pulses.limit_reset
        size = min(size + pulses.step, limit) if next_direction == direction else pulses.start
        at_limit = at_limit + 1 if size >= limit and next_direction == direction else 0
        direction = next_direction
        V = direction * sign * size
        state.pulse(writing, V, pulses.width, cell)
        log.sequence.append((*cell, V))
        log.seconds += pulses.width
        used += 1
    log.verified[cell], log.finished[cell] = conductance, state.G[cell]
    log.pulses[cell] += used
    log.gave_up[cell] = not within_tolerance
    return used > 0


def _whole_order(order: Indices, shape: tuple[int, ...]) -> list[int]:
    """The order of writing, completed by the devices that were not written (before all others)."""
    unwritten = np.setdiff1d(np.arange(int(np.prod(shape))), order)
    return [*unwritten.tolist(), *order.tolist()]


def _check(
    crossbar: Crossbar,
    scheme: str,
    half_select: bool,
    bse: BiasingSchemeEffect | None,
    rng: Any,
    pulses: Pulses,
    passes: int,
    substeps: int,
) -> None:
    if scheme not in SCHEMES:
        raise broken_rule(f"`scheme` must be one of {SCHEMES}", repr(scheme), "Use one.")
    if bse is not None and half_select:
        raise broken_rule(
            "the measured biasing-scheme effect and simulated half-select disturbance describe the "
            "same drift of finished devices, so both together would count it twice",
            "`bse` with half_select=True",
            "Pass half_select=False with `bse`, or leave `bse` away.",
        )
    if bse is not None and rng is None:
        raise broken_rule("`bse` needs a generator", None, "Pass rng=numpy.random.default_rng(0).")
    for name, value in (("passes", passes), ("substeps", substeps)):
        if not value >= 1:
            raise broken_rule(f"`{name}` must be >= 1", value, "Use 1 for a single one.")
    device = crossbar.device
    if isinstance(device, DynamicDevice):
        down, up = device.V_write
        highest = {device.set_sign: pulses.limit_set, -device.set_sign: pulses.limit_reset}
        if highest[1.0] > up or -highest[-1.0] < down:
            raise broken_rule(
                f"{device.name} may be written with {down:g} to {up:g} V",
                f"limits of {highest[1.0]:g} and {-highest[-1.0]:g} V",
                "Lower `limit_set` or `limit_reset` of the pulses.",
            )


def target_of(crossbar: Crossbar, target: npt.ArrayLike) -> Array:
    """Wanted conductances as an array, S, (rows, cols).

    Raises:
        InputError: they do not fit the crossbar or the range of its device.
    """
    G = array_of("target", target, remedy="Pass conductances in S, (rows, cols).").copy()
    if G.shape != crossbar.G.shape[-2:]:
        raise broken_rule(
            "`target` must have the shape of the array",
            f"{G.shape} for {crossbar.G.shape}",
            "Pass conductances in S, (rows, cols).",
        )
    low, high = crossbar.device.G_range()
    bad = (G != 0) & ~((low * (1 - 1e-9) <= G) & (high * (1 + 1e-9) >= G))
    if bad.any():
        raise broken_rule(
            f"targets of {crossbar.device.name} must lie in {low * 1e6:.4g} to {high * 1e6:.4g} uS",
            f"{G[bad][0] * 1e6:.4g} uS",
            "Map the weights into the range of the device.",
        )
    if ((G > 0) & ~(crossbar.G > 0)).any():
        raise broken_rule(
            "a target needs a device", "a target where G is 0", "Give the cell a start conductance."
        )
    return G


def replay(
    crossbar: Crossbar,
    sequence: npt.ArrayLike,
    *,
    width: float,
    scheme: str = "V/2",
    substeps: int = 1,
    engine: str | Engine = "surrogate",
) -> Array:
    """Conductances in S after a given sequence of pulses without reads, (pulses + 1, rows, cols).

    Args:
        crossbar: as for `program`.
        sequence: rows of (row, col, V).
        width: length of every pulse, s.
        scheme, substeps, engine: as for `program`.
    """
    pulses = pulses_of(sequence)
    none = np.zeros(crossbar.G.shape, bool)
    state = ArrayState(crossbar, engine=engine, stuck=none, half_select=True, substeps=substeps)
    conductances = [state.G]
    for row, col, V in pulses:
        cell = (int(row), int(col))
        state.pulse(bias(scheme, *cell, *crossbar.G.shape), float(V), width, cell)
        conductances.append(state.G)
    return np.stack(conductances)


def compare_orders(
    crossbar: Crossbar, target: npt.ArrayLike, orders: Sequence[str] = ORDERS, **options: Any
) -> dict[str, Programmed]:
    """Program the same array in several orders; `options` are those of `program`."""
    return {order: program(crossbar, target, order=order, **options) for order in orders}
