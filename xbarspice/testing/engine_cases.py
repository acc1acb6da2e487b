"""Small arrays that meet every boundary of an engine: line ends, zero resistances, batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarspice.core.line_ends import LineEnds
from xbarspice.core.types import Array

__all__ = ["CASES", "UNEVEN", "Case"]

D, S, F = "driven", "sensed", "floating"


def _conductances(
    rows: int = 5,
    cols: int = 4,
    absent: float = 0.0,
    shorts: float = 0.0,
    batch: tuple[int, ...] = (),
) -> Array:
    rng = np.random.default_rng([rows, cols, len(batch)])
    G = 10 ** rng.uniform(-6, -3, (*batch, rows, cols))
    G[rng.random(G.shape) < absent] = 0.0
    G[rng.random(G.shape) < shorts] = 0.1
    return G


@dataclass(frozen=True, eq=False)
class Case:
    """One problem without its device.

    Attributes:
        G: conductances, S, (..., rows, cols).
        V_in, V_out: drive, V, (..., rows) and (..., cols); None for 0 V.
        wires: arguments of `Crossbar` that differ from those of `arguments`.
    """

    G: Array
    V_in: Array
    V_out: Array | None = None
    wires: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """Resistances (ohm) and line ends, for `Crossbar`."""
        return {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 10.0, "R_sense": 5.0} | self.wires


def _case(G: Array, V_in: Array, V_out: Array | None = None, **wires: Any) -> Case:
    return Case(G, V_in, V_out, wires)


V5 = np.array([0.3, -0.2, 0.25, 0.1, -0.4])
V15 = np.linspace(-0.4, 0.4, 15).reshape(3, 5)
HALF = np.array([0.5, 0.5, 1.0, 0.5, 0.5])
BL4 = np.array([0.5, 0.0, 0.5, 0.5])
THIRD_WL, THIRD_BL = np.array([1, 1, 3, 1, 1]) / 3, np.array([2, 0, 2, 2]) / 3
WRITE = LineEnds(bl_bottom=D)
BOTH = LineEnds(wl_left=D, wl_right=D, bl_top=S, bl_bottom=S)
THROUGH = LineEnds(wl_left=D, wl_right=S, bl_top=D, bl_bottom=S)
MIXED = LineEnds(
    wl_left=[D, F, S, D, F], wl_right=[F, D, F, S, F], bl_top=[F, S, D, F], bl_bottom=[S, F, D, F]
)
MIXED_V = np.array([0.3, -0.2, 0.0, 0.1, 0.0])
MIXED_OUT = np.array([0.0, 0.0, 0.2, 0.0])
ONE_CELL = LineEnds(wl_left=[D] + [F] * 4, wl_right=F, bl_top=F, bl_bottom=[S] + [F] * 3)


def _differ(*shape: int, low: float = 0.5, high: float = 50.0, zero: float = 0.0) -> Array:
    """Resistances that differ from place to place, ohm, with a share of exact zeros."""
    rng = np.random.default_rng([*shape, round(100 * zero)])
    R = np.exp(rng.uniform(np.log(low), np.log(high), shape))
    R[rng.random(shape) < zero] = 0.0
    return R


def _one(R: Array, place: tuple[int, ...], value: float) -> Array:
    """The same resistances with another one in one place."""
    out = R.copy()
    out[place] = value
    return out


R_WL, R_BL = _differ(5, 3), _differ(4, 4)
SPREAD = {"R_wl": R_WL, "R_bl": R_BL, "R_driver": _differ(5), "R_sense": _differ(4)}
ZEROS = {"R_wl": _differ(5, 3, zero=0.4), "R_bl": _differ(4, 4, zero=0.4)}
UNEVEN = {
    "segments differ": _case(_conductances(), V5, R_wl=R_WL, R_bl=R_BL),
    "ends differ": _case(_conductances(), V5, R_driver=_differ(5), R_sense=_differ(4)),
    "segments and ends differ": _case(_conductances(absent=0.3), V15, **SPREAD),
    "only word lines differ": _case(_conductances(), V5, R_wl=_differ(5, 3, high=5e3), R_bl=0),
    "one segment 0": _case(
        _conductances(), V5, R_wl=_one(R_WL, (1, 0), 0.0), R_bl=_one(R_BL, (3, 2), 0.0)
    ),
    "some segments 0": _case(_conductances(), V5, **ZEROS),
    "some segments and ends 0": _case(
        _conductances(), V5, **ZEROS, R_driver=_differ(5, zero=0.4), R_sense=_differ(4, zero=0.4)
    ),
    "all segments 0, one by one": _case(
        _conductances(), V5, R_wl=np.zeros((5, 3)), R_bl=np.zeros((4, 4)), R_driver=np.zeros(5)
    ),
    "a word line nearly broken": _case(_conductances(), V5, R_wl=_one(R_WL, (2, 1), 1e12)),
    "a bit line nearly broken": _case(_conductances(), V5, R_bl=_one(R_BL, (1, 1), 1e12)),
    "a driver nearly broken": _case(_conductances(), V5, R_driver=_one(_differ(5), (3,), 1e12)),
    "one row, segments differ": _case(
        _conductances(1, 6), np.array([0.3]), R_wl=_differ(1, 5), R_bl=np.zeros((0, 6))
    ),
    "V/2, ends differ": _case(
        _conductances(), HALF, BL4, ends=WRITE, R_wl=R_WL, R_bl=R_BL, R_driver=_differ(9)
    ),
    "both ends, all differ": _case(
        _conductances(), V5, ends=BOTH, **SPREAD | {"R_driver": _differ(10), "R_sense": _differ(8)}
    ),
    "through lines, all differ": _case(
        _conductances(),
        V5,
        BL4,
        ends=THROUGH,
        **ZEROS,
        R_driver=_differ(9, zero=0.3),
        R_sense=_differ(9),
    ),
    "mixed ends, all differ": _case(
        _conductances(),
        MIXED_V,
        MIXED_OUT,
        ends=MIXED,
        **ZEROS,
        R_driver=_differ(18, zero=0.3),
        R_sense=_differ(18),
    ),
    "batch of wires": _case(
        _conductances(batch=(3,)), V5, R_wl=_differ(3, 5, 3, zero=0.2), R_sense=_differ(3, 4)
    ),
    "wires of a batch broadcast": _case(
        _conductances(batch=(2, 3)), V5, R_bl=_differ(2, 1, 4, 4), R_driver=_differ(3, 5)
    ),
    "batch of wires x vectors": _case(
        _conductances(batch=(2, 1)), V15, R_wl=_differ(2, 1, 5, 3), R_bl=R_BL
    ),
}
"""Resistances segment by segment and end by end, also different ones for the arrays of a batch."""
CASES = {
    "read": _case(_conductances(), V5),
    "all resistances 0": _case(_conductances(), V5, R_wl=0, R_bl=0, R_driver=0, R_sense=0),
    "wires 0": _case(_conductances(), V5, R_wl=0, R_bl=0),
    "ends 0": _case(_conductances(), V5, R_driver=0, R_sense=0),
    "R_wl 0": _case(_conductances(), V5, R_wl=0),
    "R_bl and R_driver 0": _case(_conductances(), V5, R_bl=0, R_driver=0),
    "stiff and soft": _case(_conductances(), V5, R_wl=1e-3, R_bl=1e4),
    "absent": _case(_conductances(absent=0.5), V5),
    "all absent": _case(np.zeros((5, 4)), V5),
    "shorts": _case(_conductances(shorts=0.2), V5, R_wl=100.0),
    "zero volts": _case(_conductances(), np.zeros(5)),
    "one cell": _case(_conductances(1, 1), np.array([0.3])),
    "one cell, ideal": _case(_conductances(1, 1), np.array([0.3]), R_driver=0, R_sense=0),
    "one row": _case(_conductances(1, 6), np.array([0.3])),
    "one column": _case(_conductances(6, 1), np.array([0.3, -0.2, 0.25, 0.1, -0.4, 0.2])),
    "V/2": _case(_conductances(), HALF, BL4, ends=WRITE),
    "V/3": _case(_conductances(), THIRD_WL, THIRD_BL, ends=WRITE),
    "V/2, ideal ends": _case(_conductances(), HALF, BL4, ends=WRITE, R_driver=0),
    "both ends": _case(_conductances(), V5, ends=BOTH),
    "both ends, ideal": _case(_conductances(), V5, ends=BOTH, R_driver=0, R_sense=0),
    "both ends, no wires": _case(_conductances(), V5, ends=BOTH, R_wl=0, R_bl=0),
    "through lines": _case(_conductances(), V5, BL4, ends=THROUGH),
    "through lines, ideal": _case(_conductances(), V5, BL4, ends=THROUGH, R_driver=0, R_sense=0),
    "mixed ends": _case(_conductances(), MIXED_V, MIXED_OUT, ends=MIXED),
    "mixed ends, no wires": _case(_conductances(), MIXED_V, MIXED_OUT, ends=MIXED, R_wl=0, R_bl=0),
    "one cell, others float": _case(_conductances(), np.array([0.5, 0, 0, 0, 0]), ends=ONE_CELL),
    "batch of vectors": _case(_conductances(), V15),
    "batch of arrays": _case(_conductances(batch=(3,)), V5),
    "arrays x vectors": _case(_conductances(batch=(2, 1)), V15),
    "arrays and V_out": _case(
        _conductances(batch=(2,)), HALF, np.stack([BL4, BL4 / 2]), ends=WRITE
    ),
    "empty batch": _case(_conductances(), np.zeros((0, 5))),
    **UNEVEN,
}
"""By name; every array is at most 6x6."""
