"""What a user may ask for to be done with sweeps before the fit; each leaves a notice that counts.

See `xbarspice.calibration.inspection` for what shows that it is needed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.curves import rising_points
from xbarspice.calibration.inspection import inspect_sweeps, points_of_devices, without_drift
from xbarspice.calibration.measurements import Reads
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Flags

__all__ = ["BRANCHES", "FLIPS", "POLARITIES", "Handling", "prepare_sweeps"]

BRANCHES = ("up", "down")
POLARITIES = ("positive", "negative")
FLIPS = ("all", *POLARITIES)


@dataclass(frozen=True, kw_only=True)
class Handling:
    """What is done with sweeps before they are fitted, in this order.

    Attributes:
        flip_current: the sign of the current is changed at "all", "positive" or "negative"
            voltages.
        drop_outliers: points off their neighbours are left out.
        drop_compliance: points on compliance plateaus are left out.
        max_voltage: points of larger |V| are left out, V.
        min_current: points of smaller |I| are left out, A.
        branch: "up" or "down" (of |V|), the only one that is taken.
        polarity: "positive" or "negative" voltages are taken alone.
        remove_drift: currents are divided by the drift between equal voltages.
    """

    flip_current: str | None = None
    drop_outliers: bool = False
    drop_compliance: bool = False
    max_voltage: float | None = None
    min_current: float | None = None
    branch: str | None = None
    polarity: str | None = None
    remove_drift: bool = False

    def __post_init__(self) -> None:
        for name, words in (
            ("flip_current", FLIPS),
            ("branch", BRANCHES),
            ("polarity", POLARITIES),
        ):
            value = getattr(self, name)
            if value is not None and value not in words:
                raise broken_rule(
                    f"{_option(name)} must be one of {list(words)}", repr(value), "Use one."
                )
        for name in ("max_voltage", "min_current"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise broken_rule(f"{_option(name)} must be > 0", value, "Give a magnitude.")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def prepare_sweeps(sweeps: Reads, handling: Handling) -> Reads:
    """The sweeps as they are fitted; `notices` count what was left out or changed.

    Raises:
        InputError: an option finds nothing to do.
    """
    if handling.flip_current is not None:
        sweeps = _flip(sweeps, handling.flip_current)
    if handling.drop_outliers:
        sweeps = _drop_found(sweeps, "outliers", "points off their neighbours", "off neighbours")
    if handling.drop_compliance:
        sweeps = _drop_found(sweeps, "compliance", "a plateau of the current", "on plateaus")
    for name, unit in (("max_voltage", "V"), ("min_current", "A")):
        limit = getattr(handling, name)
        if limit is not None:
            sweeps = _limit(sweeps, name, limit, unit)
    if handling.branch is not None:
        sweeps = _take_branch(sweeps, handling.branch)
    if handling.polarity is not None:
        sweeps = _take_polarity(sweeps, handling.polarity)
    if handling.remove_drift:
        sweeps = _remove_drift(sweeps)
    return sweeps


def _refuse(option: str, need: str, received: str) -> Exception:
    return broken_rule(f"{option} needs {need}", received, "Leave the option out.")


def _keep(sweeps: Reads, keep: Flags, notice: str) -> Reads:
    return dataclasses.replace(
        sweeps,
        V_in=sweeps.V_in[keep],
        I_out=sweeps.I_out[keep],
        array=None if sweeps.array is None else sweeps.array[keep],
        notices=(*sweeps.notices, notice),
    )


def _flip(sweeps: Reads, which: str) -> Reads:
    sign = {"all": 0, "positive": 1, "negative": -1}[which]
    points = np.ones(len(sweeps.V_in), bool) if not sign else sign * sweeps.V_in[:, 0] > 0
    if not points.any():
        raise _refuse(f"--flip-current {which}", f"{which} voltages", "none")
    where = "" if which == "all" else f" at {which} voltages"
    return dataclasses.replace(
        sweeps,
        I_out=np.where(points[:, None], -sweeps.I_out, sweeps.I_out),
        notices=(
            *sweeps.notices,
            f"sign of the current changed{where}: {counted(int(points.sum()), 'point')}",
        ),
    )


def _drop_found(sweeps: Reads, kind: str, need: str, where: str) -> Reads:
    marked = [i.points for i in inspect_sweeps(sweeps) if i.kind == kind]
    option = f"--drop-{kind}"
    if not marked:
        raise _refuse(option, need, "none")
    return _keep(sweeps, ~marked[0], f"points {where} left out ({option}): {marked[0].sum()}")


def _limit(sweeps: Reads, name: str, limit: float, unit: str) -> Reads:
    size = np.abs(sweeps.V_in[:, 0] if unit == "V" else sweeps.I_out[:, 0])
    keep = ~(size > limit) if unit == "V" else ~(size < limit)
    option = f"{_option(name)} {limit:g}"
    if keep.all() or not keep.any():
        largest = f"{np.nanmin(size):g} to {np.nanmax(size):g} {unit}"
        raise _refuse(option, f"points on both sides of {limit:g} {unit}", largest)
    return _keep(sweeps, keep, f"points left out by {option}: {int((~keep).sum())}")


def _take_branch(sweeps: Reads, branch: str) -> Reads:
    rising = np.ones(len(sweeps.V_in), bool)
    for _, points in points_of_devices(sweeps, np.ones(len(rising), bool)):
        rising[points] = rising_points(sweeps.V_in[points, 0])
    if rising.all() or not rising.any():
        only = "rising ones only" if rising.all() else "falling ones only"
        raise _refuse("--branch", "sweeps with a rising and a falling branch", only)
    keep = rising if branch == "up" else ~rising
    left_out = counted(int((~keep).sum()), "point")
    return _keep(sweeps, keep, f"branch {branch} taken: {left_out} left out")


def _take_polarity(sweeps: Reads, polarity: str) -> Reads:
    V = sweeps.V_in[:, 0]
    keep = V > 0 if polarity == "positive" else V < 0
    if not keep.any() or not (keep | (V == 0)).sum() < len(V):
        only = "one polarity only"
        raise _refuse("--polarity", "points at positive and at negative voltages", only)
    count = int((~keep).sum())
    return _keep(sweeps, keep, f"{polarity} voltages taken: {counted(count, 'point')} left out")


def _remove_drift(sweeps: Reads) -> Reads:
    current = sweeps.I_out[:, 0]
    current, trends = without_drift(sweeps, current, np.isfinite(current))
    if not trends:
        raise _refuse("--remove-drift", "currents that drift between equal voltages", "none")
    words = [
        f"device {name} {100 * trend:.3g} +- {100 * error:.2g} % a point"
        for name, (trend, error) in trends.items()
    ]
    shown = ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
    return dataclasses.replace(
        sweeps,
        I_out=current[:, None],
        notices=(*sweeps.notices, f"drift between equal voltages divided out: {shown}"),
    )
