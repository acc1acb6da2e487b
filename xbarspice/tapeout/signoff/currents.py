"""Currents of every segment and line of a drawn array, and what is too much for its metal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array
from xbarspice.engines import solve
from xbarspice.tapeout.signoff.capacities import WORDS, Capacity

__all__ = ["Currents", "currents_of", "judge"]

_MOST = 20
"""Places above their limit that are told one by one, the worst first; the count is that of all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Currents:
    """Largest magnitudes over all vectors, A, and the drop of voltage.

    Attributes:
        segments: by "WL" (rows, cols - 1) and "BL" (cols, rows - 1).
        lines: between pad and first crossing, by "WL" (rows,) and "BL" (cols,).
        drop: largest share of a drive that is lost between source and device, (rows, cols); NaN
            where no vector drives the word line.
        power: mean over the vectors, W.
    """

    segments: dict[str, Array]
    lines: dict[str, Array]
    drop: Array
    power: float


def currents_of(crossbar: Crossbar, V_in: Array, V_out: Array | None = None) -> Currents:
    """Solve an array for its vectors.

    Args:
        crossbar: with its pads on the left and at the bottom, and resistance in every segment.
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols).
    """
    V_out = np.zeros((len(V_in), crossbar.cols)) if V_out is None else V_out
    answer = solve(crossbar, V_in, V_out, full=True, outside="ignore")
    device = answer.I_device
    with np.errstate(divide="ignore", invalid="ignore"):
        along = -np.diff(answer.V_wl, axis=-1) / np.asarray(crossbar.R_wl)
        down = -np.diff(answer.V_bl, axis=-2) / np.asarray(crossbar.R_bl)
    word = device[..., 0] + (along[..., 0] if crossbar.cols > 1 else 0.0)
    bit = device[..., -1, :] + (down[..., -1, :] if crossbar.rows > 1 else 0.0)
    drive = V_in[:, :, None] - V_out[:, None, :]
    across = answer.V_wl - answer.V_bl
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(np.abs(drive) > 0, 1 - across / drive, np.nan)
    drop = np.full(lost.shape[1:], np.nan)
    known = np.isfinite(lost).any(axis=0)
    drop[known] = np.nanmax(lost[:, known], axis=0)
    power = (V_in * word).sum(axis=-1) - (V_out * bit).sum(axis=-1)
    return Currents(
        segments={
            "WL": np.abs(along).max(axis=0),
            "BL": np.abs(down).max(axis=0).T,
        },
        lines={"WL": np.abs(word).max(axis=0), "BL": np.abs(bit).max(axis=0)},
        drop=drop,
        power=float(np.mean(power)),
    )


def judge(currents: Currents, capacities: Sequence[Capacity]) -> list[dict[str, Any]]:
    """Every kind of part with its largest load, and the places above their limit.

    Returns:
        One record a kind: ``part``, ``line``, ``layer``, ``limit_A``, ``largest_A``,
        ``largest_share`` of the limit, ``count`` above it, and the first ``places`` of those.
    """
    return [_judge(currents, c) for c in capacities if c.ampere.size]


def _judge(currents: Currents, c: Capacity) -> dict[str, Any]:
    whole = currents.segments[c.kind] if c.part == "segment" else currents.lines[c.kind]
    amperes = whole * c.share
    load = amperes / c.ampere
    order = np.argsort(-load, axis=None)
    above = [np.unravel_index(k, load.shape) for k in order[: int((load > 1).sum())][:_MOST]]
    worst = np.unravel_index(order[0], load.shape)
    return {
        "part": c.part,
        "line": WORDS[c.kind],
        "layer": c.layer,
        "limit_A": float(c.ampere[worst]),
        "largest_A": float(amperes[worst]),
        "largest_share": float(load[worst]),
        "count": int((load > 1).sum()),
        "places": [
            {
                "place": c.place(int(at[0]), int(at[1]) if len(at) > 1 else None),
                "x_um": round(float(c.x[at]), 4),
                "y_um": round(float(c.y[at]), 4),
                "current_A": float(amperes[at]),
                "limit_A": float(c.ampere[at]),
            }
            for at in above
        ],
    }
