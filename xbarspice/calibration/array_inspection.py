"""What the currents of an array show before its fit: lines of the other sign, plateaus, drift.

Each measured current is held beside the one of the array at the start of the fit: only its sign and
rough size count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from xbarspice.calibration.curves import CHANGE, LEVEL, SMALL
from xbarspice.calibration.inspection import Irregularity
from xbarspice.calibration.irregularities import EQUAL, PLATEAU
from xbarspice.calibration.measurements import Reads
from xbarspice.calibration.model import Model
from xbarspice.calibration.robust import cut_residuals, robust_std
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags, Indices

__all__ = [
    "LOOKED_FOR",
    "ArrayHandling",
    "find_sign_flips",
    "inspect_reads",
    "prepare_reads",
    "reads_blind_spots",
    "start_currents",
]

LOOKED_FOR = ("compliance", "drift")
AGAINST = -0.5
"""Correlation with the start below which currents have the other sign."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayHandling:
    """What is done with array reads before they are fitted, in this order.

    Attributes:
        flip_current: "all", or names of currents between commas (``I_out2,I_in0``) whose sign is
            changed.
        drop_compliance: currents on plateaus count as not measured.
        remove_drift: currents are divided by the drift between reads of equal voltages.
    """

    flip_current: str | None = None
    drop_compliance: bool = False
    remove_drift: bool = False


def _names(reads: Reads) -> list[str]:
    """Of all currents of a read, in the order of `Reads.currents`."""
    out = [f"I_out{k}" for k in range(reads.cols)]
    return out if reads.I_in is None else [*out, *(f"I_in{k}" for k in range(reads.rows))]


def start_currents(model: Model) -> Array:
    """Currents of the array as the fit starts, A, (points,)."""
    return model.currents(np.array([p.start for p in model.parameters]))


def find_sign_flips(model: Model) -> tuple[str, ...]:
    """Names of the currents that run against those of the array at its start; "all" alone for all.

    Args:
        model: of the array and its reads, one set.
    """
    reads, start, data = model.reads[0], start_currents(model), model.data
    names = _names(reads)
    if _cosine(start, data) < AGAINST:
        return ("all",)
    line = model.line_of_point % len(names)
    return tuple(
        name
        for k, name in enumerate(names)
        if (line == k).sum() >= 3 and _cosine(start[line == k], data[line == k]) < AGAINST
    )


def _cosine(a: Array, b: Array) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300))


def inspect_reads(model: Model) -> tuple[Irregularity, ...]:
    """Plateaus and drift of the currents; `points` of the findings are (points,) of the model."""
    start, data = start_currents(model), model.data
    reads, line = model.reads[0], model.line_of_point
    names = _names(reads)
    plateau = np.zeros(len(data), dtype=bool)
    for k in np.unique(line):
        points = np.flatnonzero(line == k)
        plateau[points[_plateau(start[points], data[points])]] = True
    out = []
    if plateau.any():
        shown = sorted({int(k) % len(names) for k in line[plateau]})
        which = ", ".join(names[k] for k in shown[:5]) + (" and more" if len(shown) > 5 else "")
        top = float(np.abs(data[plateau]).max())
        text = (
            f"currents stand still where the array's differ ({int(plateau.sum())} currents of "
            f"{which}; at {top:.3g} A): --drop-compliance"
        )
        out.append(
            Irregularity(
                kind="compliance", text=text, option="--drop-compliance", points=plateau, limit=top
            )
        )
    trend, _ = _drift(model, ~plateau)
    if trend:
        whole = np.expm1(trend * (len(reads.V_in) - 1))
        text = (
            f"currents of reads with equal voltages change with time ({100 * whole:+.3g} % from "
            "the first to the last read): --remove-drift"
        )
        every = np.ones(len(data), dtype=bool)
        out.append(Irregularity(kind="drift", text=text, option="--remove-drift", points=every))
    return tuple(out)


def _plateau(start: Array, data: Array) -> Flags:
    """The largest currents of a line that are equal where the array's differ by a tenth."""
    out = np.zeros(len(data), dtype=bool)
    for sign in (1, -1):
        top = float((sign * data).max(initial=0.0))
        flat = (sign * data >= (1 - EQUAL) * top) & (data * sign > 0)
        expected = np.abs(start[flat])
        if flat.sum() >= PLATEAU and expected.max() > 1.1 * expected.min():
            out |= flat
    return out


def _drift(model: Model, judged: Flags) -> tuple[float, float]:
    """Change of log |I| a read between reads of equal voltages, and its error; (0, 0) without."""
    data, reads = model.data, model.read_of_point
    use = judged & (np.abs(data) > SMALL * np.abs(data).max())
    group = _group_numbers(model.repeat_of_point[use], model.line_of_point[use])
    count = np.bincount(group, minlength=1)
    free = int(use.sum()) - len(count) - 1

    def within(x: Array) -> Array:
        return x - (np.bincount(group, x) / count)[group]

    order = within(reads[use].astype(float)) if use.any() else np.zeros(0)
    if free < 6 or not (order**2).sum() > 0:
        return 0.0, 0.0
    y = within(np.log(np.abs(data[use])))
    spread = robust_std(y[count[group] > 1])
    if spread == 0:
        return 0.0, 0.0
    y = cut_residuals(y, spread)
    slope = float((order * y).sum() / (order**2).sum())
    error = float(np.sqrt(((y - slope * order) ** 2).sum() / free / (order**2).sum()))
    significant = 2 * stats.t.sf(abs(slope) / max(error, 1e-300), free) < LEVEL
    large = abs(slope) * reads.max() >= CHANGE
    return (slope, error) if significant and large else (0.0, 0.0)


def _group_numbers(repeat: Indices, line: Indices) -> Indices:
    """One number for each pair of voltages and line."""
    keys = np.stack([repeat, line], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def reads_blind_spots(model: Model) -> tuple[str, ...]:
    """What could not be looked for in these reads, sentences."""
    counts = np.unique(model.repeat_of_point, return_counts=True)[1]
    lines = len(np.unique(model.line_of_point))
    if (counts > lines).any():
        return ()
    return ("drift was not looked for (no voltages were applied twice)",)


def prepare_reads(model: Model, handling: ArrayHandling) -> Reads:
    """The reads as they are fitted; `notices` count what was left out or changed.

    Args:
        model: of the array and its reads, one set.
        handling: what is done.

    Raises:
        InputError: an option finds nothing to do, or names a current that there is not.
    """
    reads = model.reads[0]
    for option, step in (
        (handling.flip_current, lambda m: _flip(m.reads[0], str(handling.flip_current))),
        (handling.drop_compliance, _drop_plateaus),
        (handling.remove_drift, _remove_drift),
    ):
        if option:
            reads = step(model)
            model = Model(model.crossbar, [reads], model.free)
    return reads


def _with_currents(reads: Reads, currents: Array, notice: str) -> Reads:
    return dataclasses.replace(
        reads,
        I_out=currents[:, : reads.cols],
        I_in=None if reads.I_in is None else currents[:, reads.cols :],
        notices=(*reads.notices, notice),
    )


def _flip(reads: Reads, text: str) -> Reads:
    names = _names(reads)
    selection: Sequence[str] = names if text == "all" else [n.strip() for n in text.split(",")]
    wrong = [name for name in selection if name not in names]
    if wrong:
        raise broken_rule(
            f"--flip-current must be all, or among {names}", wrong, "For example I_out2,I_out3."
        )
    sign = np.where(np.isin(names, selection), -1.0, 1.0)
    what = "every current" if text == "all" else ", ".join(selection)
    return _with_currents(reads, reads.currents() * sign, f"sign of {what} changed")


def _drop_plateaus(model: Model) -> Reads:
    marked = [i.points for i in inspect_reads(model) if i.kind == "compliance"]
    if not marked:
        raise broken_rule(
            "--drop-compliance needs a plateau of the currents", "none", "Leave the option out."
        )
    reads = model.reads[0]
    currents = reads.currents().copy()
    read, line = np.nonzero(model.measured[0])
    currents[read[marked[0]], line[marked[0]]] = np.nan
    count = int(marked[0].sum())
    return _with_currents(
        reads, currents, f"currents on plateaus left out (--drop-compliance): {count}"
    )


def _remove_drift(model: Model) -> Reads:
    trend, error = _drift(model, np.ones(len(model.data), dtype=bool))
    if not trend:
        raise broken_rule(
            "--remove-drift needs currents that drift between reads of equal voltages",
            "none",
            "Leave the option out.",
        )
    reads = model.reads[0]
    order = np.arange(len(reads.V_in))[:, None]
    words = f"{100 * trend:.3g} +- {100 * error:.2g} % a read"
    # conductances that are known were read beforehand: currents as at the first read fit them
    notice = f"drift between reads of equal voltages divided out from the first read on: {words}"
    return _with_currents(reads, reads.currents() / np.exp(trend * order), notice)
