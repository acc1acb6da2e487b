"""What I-V sweeps show before any model is fitted: plateaus, branches, asymmetry, outliers, drift.

Every finding names the option that handles it; nothing is changed unasked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.measurements import Reads
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["BRANCHES", "Irregularity", "drop_plateaus", "inspect_sweeps", "take_branch"]

BRANCHES = ("up", "down")
PLATEAU = 3
"""Points of equal current at rising voltage that make a plateau."""
EQUAL = 2e-3
"""Relative difference of currents that counts as none on a plateau."""
APART = 5.0
"""Differences are irregular beyond so many times the scatter of neighbours, and 2 %."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Irregularity:
    """Something that a device model of one curve does not have.

    Attributes:
        kind: "compliance", "hysteresis", "asymmetry" or "outliers".
        text: what was seen, on which devices, and the option that handles it.
        points: where, (points,).
    """

    kind: str
    text: str
    points: Flags


def inspect_sweeps(sweeps: Reads) -> tuple[Irregularity, ...]:
    """Look at every device's curve.

    Args:
        sweeps: I-V sweeps of single devices, in the order of time.
    """
    V, current = sweeps.V_in[:, 0], sweeps.I_out[:, 0]
    device = np.asarray(sweeps.array)
    out: list[Irregularity] = []
    looks = (
        ("compliance", _plateau, "currents stand still at rising voltage", "--drop-compliance"),
        ("hysteresis", _hysteresis, "rising and falling branches differ", "--branch up or down"),
        ("asymmetry", _asymmetry, "currents of the two polarities differ", "a model with both"),
        ("outliers", _outliers, "single points lie off their neighbours", "--loss soft_l1"),
    )
    plateau = np.zeros(len(V), dtype=bool)
    smooth = True
    for kind, look, words, option in looks:
        if kind == "outliers" and not smooth:
            continue  # where branches part, neighbours do not tell
        mask = np.zeros(len(V), dtype=bool)
        names, sizes = [], []
        for k in np.unique(device):
            points = np.flatnonzero((device == k) & np.isfinite(current) & ~plateau)
            marked, size = look(V[points], current[points])
            if marked.any():
                mask[points[marked]] = True
                names.append(sweeps.labels[k] if sweeps.labels else str(k))
                sizes.append(size)
        if kind == "compliance":
            plateau = mask
        smooth &= not names or kind == "compliance"
        if names:
            of = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            out.append(
                Irregularity(
                    kind=kind,
                    text=f"{words} ({int(mask.sum())} points of device {of}; "
                    f"{_size_words(kind, max(sizes))}): {option}",
                    points=mask,
                )
            )
    return tuple(out)


def _size_words(kind: str, size: float) -> str:
    if kind == "compliance":
        return f"at {size:.3g} A"
    return f"up to {100 * size:.3g} % of the current"


def drop_plateaus(sweeps: Reads) -> Reads:
    """The sweeps without the points on compliance plateaus.

    Raises:
        InputError: there is no plateau.
    """
    plateaus = [i for i in inspect_sweeps(sweeps) if i.kind == "compliance"]
    if not plateaus:
        raise broken_rule(
            "--drop-compliance needs a plateau of the current", "none", "Leave the option out."
        )
    count = int(plateaus[0].points.sum())
    return _keep(sweeps, ~plateaus[0].points, f"points on compliance plateaus left out: {count}")


def take_branch(sweeps: Reads, branch: str) -> Reads:
    """The points of one branch: |V| rising ("up") or falling ("down") in the order of time.

    Raises:
        InputError: the branch is unknown, or no device has points of both.
    """
    if branch not in BRANCHES:
        raise broken_rule(f"--branch must be one of {list(BRANCHES)}", repr(branch), "Use one.")
    rising = _rising(sweeps.V_in[:, 0], np.asarray(sweeps.array))
    if rising.all() or not rising.any():
        raise broken_rule(
            "--branch needs sweeps with a rising and a falling branch",
            "rising ones only" if rising.all() else "falling ones only",
            "Leave the option out.",
        )
    keep = rising if branch == "up" else ~rising
    return _keep(sweeps, keep, f"branch {branch} taken: {int((~keep).sum())} points left out")


def _keep(sweeps: Reads, keep: Flags, notice: str) -> Reads:
    return dataclasses.replace(
        sweeps,
        V_in=sweeps.V_in[keep],
        I_out=sweeps.I_out[keep],
        array=None if sweeps.array is None else sweeps.array[keep],
        notices=(*sweeps.notices, notice),
    )


def _rising(V: Array, device: Indices) -> Flags:
    """Whether |V| rises to each point; the first of a device or polarity counts as the second."""
    out = np.ones(len(V), dtype=bool)
    for k in np.unique(device):
        points = np.flatnonzero(device == k)
        turns = np.flatnonzero(np.diff(np.sign(V[points])) != 0) + 1
        for part in np.split(points, turns):
            step = np.diff(np.abs(V[part]))
            if len(step):
                out[part] = np.concatenate([step[:1], step]) >= 0
    return out


# --- what one device's curve shows: marked points and the size of it ---------------------------


def _plateau(V: Array, current: Array) -> tuple[Flags, float]:
    """Points of the largest current that stand still while |V| changes by a tenth and more."""
    out = np.zeros(len(V), dtype=bool)
    for sign in (1, -1):
        side = sign * current > 0
        if side.sum() <= PLATEAU:
            continue
        top = (sign * current)[side].max()
        flat = side & (sign * current >= (1 - EQUAL) * top)
        volts = np.abs(V[flat])
        if flat.sum() >= PLATEAU and volts.max() > 1.1 * volts.min():
            out |= flat
    return out, float(np.abs(current[out]).max()) if out.any() else 0.0


def _scatter(V: Array, current: Array) -> float:
    """Relative scatter of neighbours in time: robust, of second differences of I/V."""
    g = current[V != 0] / V[V != 0]
    if len(g) < 8:
        return np.inf
    second = np.abs(g[2:] - 2 * g[1:-1] + g[:-2]) / np.sqrt(6) / np.maximum(np.abs(g[1:-1]), 1e-300)
    return float(1.4826 * np.median(second))


def _curves(V: Array, current: Array) -> Iterator[tuple[Indices, Array]]:
    """Rising and falling points of one polarity, and the rising curve at the falling points."""
    rising = _rising(V, np.zeros(len(V), np.intp))
    for sign in (1, -1):
        up = np.flatnonzero(rising & (sign * V > 0))
        down = np.flatnonzero(~rising & (sign * V > 0))
        if len(up) >= 3 and len(down) >= 3:
            order = up[np.argsort(np.abs(V[up]))]
            yield down, np.interp(np.abs(V[down]), np.abs(V[order]), current[order])


def _hysteresis(V: Array, current: Array) -> tuple[Flags, float]:
    out, size = np.zeros(len(V), dtype=bool), 0.0
    limit = max(APART * _scatter(V, current), 0.02)
    for down, reference in _curves(V, current):
        inside = np.abs(reference) > 0.05 * np.abs(current).max()
        apart = np.abs(current[down] - reference) / np.maximum(np.abs(reference), 1e-300)
        # one point may be an outlier: a branch differs in half of its points
        if inside.sum() >= 3 and np.median(apart[inside]) > limit:
            out[down[inside]] = True
            size = max(size, float(np.median(apart[inside])))
    return out, size


def _asymmetry(V: Array, current: Array) -> tuple[Flags, float]:
    plus, minus = np.flatnonzero(V > 0), np.flatnonzero(V < 0)
    if len(plus) < 5 or len(minus) < 5:
        return np.zeros(len(V), dtype=bool), 0.0
    order = plus[np.argsort(V[plus])]
    reference = np.interp(-V[minus], V[order], current[order])
    covered = (-V[minus] <= V[plus].max()) & (-V[minus] >= V[plus].min())
    apart = np.abs(-current[minus] - reference) / np.maximum(np.abs(reference), 1e-300)
    size = float(np.median(apart[covered])) if covered.sum() >= 5 else 0.0
    out = np.zeros(len(V), dtype=bool)
    if size > max(APART * _scatter(V, current), 0.02):
        out[minus[covered]] = True
    return out, size


def _outliers(V: Array, current: Array) -> tuple[Flags, float]:
    """Points far off the line between their neighbours in time, which agree with each other."""
    out = np.zeros(len(V), dtype=bool)
    scatter = _scatter(V, current)
    if not np.isfinite(scatter):
        return out, 0.0
    between = 0.5 * (current[2:] + current[:-2])
    scale = np.maximum(np.abs(between), 0.05 * np.abs(current).max())
    apart = np.abs(current[1:-1] - between) / scale
    even = np.abs(np.diff(V)[1:] - np.diff(V)[:-1]) < 1e-6 * np.abs(np.diff(V)).max()
    marked = even & (apart > max(2 * APART * scatter, 0.1))
    peak = np.flatnonzero(marked) + 1
    local = [k for k in peak if apart[k - 1] >= np.max(apart[max(k - 2, 0) : k + 1])]
    out[local] = True
    return out, float(apart[np.array(local) - 1].max()) if local else 0.0
