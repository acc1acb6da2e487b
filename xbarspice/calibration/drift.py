"""Drift of finished devices by later writes, from maps of one's own dies, as a table to draw from.

A device is read when it is left and again after other devices of its array were written. The
differences for one number of later writes make a row of a `variability.DriftTable`: their empirical
quantiles, linear between the order statistics. Intervals: of the mean by Student's t, of the median
size by order statistics (exact for any distribution; David and Nagaraja 2003,
doi:10.1002/0471722162, section 7.1), of the whole distribution function by the band of Dvoretzky,
Kiefer and Wolfowitz with Massart's constant (1990, doi:10.1214/aop/1176990746).

A table draws one drift for all conductances alike. Whether that holds is tested in each row by the
rank correlation of the drift, and of its size, with the conductance (Spearman); the smallest p of
all rows counts, times their number (Bonferroni), for devices that stand in several rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from xbarspice.calibration.characteristics import Characteristics
from xbarspice.calibration.die import Die
from xbarspice.calibration.goodness import LEVEL, Check
from xbarspice.config.card import CardValue
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.tables import Options, read_grid
from xbarspice.variability import DriftTable, bse_table, to_config
from xbarspice.variability.bse import FEWEST, BiasingSchemeEffect

__all__ = ["FEW", "Drifts", "drifts_of_maps", "fit_drift", "read_written"]

FEW = 8
"""Drifts below which a number of later writes makes no row."""
SAME = 0.05
"""p above which drifts cannot be told from those of reading again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drifts:
    """Conductances of devices before and after later writes, N pairs.

    Attributes:
        G: conductance when the device was left, S, (N,).
        G_end: after the later writes, S, (N,).
        later_writes: writes of other devices in between, (N,); 0: only read again.
        notices: how files were read and what was left out.
    """

    G: Array
    G_end: Array
    later_writes: Indices
    notices: tuple[str, ...] = ()


def drifts_of_maps(before: Die, after: Mapping[int, Die], written: Indices | None = None) -> Drifts:
    """Drifts between maps of one die.

    Args:
        before: the die before the later writes.
        after: the die after so many later writes, by their number; 0: only read again.
        written: (rows, cols), for a device that was itself the n-th of the later writes n, else 0;
            None: every device that is in the maps was left alone.

    Raises:
        InputError: the maps differ in size, or nothing is left.
    """
    shape = before.G.shape
    sizes = {k: die.G.shape for k, die in after.items() if die.G.shape != shape}
    if written is not None and written.shape != shape:
        sizes[-1] = written.shape
    if sizes:
        raise broken_rule(
            f"all maps of a die must have its {shape[0]} x {shape[1]} devices",
            ", ".join(f"{r} x {c}" for r, c in sizes.values()),
            "Give maps of the same die.",
        )
    order = np.zeros(shape, np.intp) if written is None else written
    G, end, later, dropped, rewritten = [], [], [], 0, 0
    for k, die in sorted(after.items()):
        present = (before.G > 0) & (die.G > 0)
        untouched = (order == 0) | (order > k)
        dropped += int((~present).sum())
        rewritten += int((present & ~untouched).sum())
        use = present & untouched
        G.append(before.G[use])
        end.append(die.G[use])
        later.append(np.full(int(use.sum()), k, np.intp))
    notices = list(dict.fromkeys(n for die in (before, *after.values()) for n in die.notices))
    notices.append(f"pairs of reads without two measured values that are left out: {dropped}")
    if written is None:
        notices.append("no device of the maps counts as written in between")
    else:
        notices.append(f"pairs of devices that were written themselves, left out: {rewritten}")
    return Drifts(
        G=np.concatenate(G),
        G_end=np.concatenate(end),
        later_writes=np.concatenate(later),
        notices=tuple(notices),
    )


def read_written(path: Path, options: Options | None = None) -> Indices:
    """The order of later writes as a map: n for the n-th device written, 0 or empty for the others.

    Raises:
        InputError: a number is negative or no whole one.
    """
    values = np.nan_to_num(read_grid(path, options).values, nan=0.0)
    if not ((values >= 0) & (values == np.round(values))).all():
        raise broken_rule(
            f"`{path.name}` must hold whole numbers >= 0",
            f"{values[(values < 0) | (values != np.round(values))][0]:g}",
            "n for the n-th device that was written, 0 for one that was not.",
        )
    return values.astype(np.intp)


def fit_drift(data: Drifts, confidence: float = 0.95) -> Characteristics:
    """The drift table of one's own dies.

    Args:
        data: at least `FEW` drifts for every number of later writes.
        confidence: of the intervals.

    Raises:
        InputError: a number of later writes has fewer drifts, or there are none.
    """
    numbers = np.unique(data.later_writes)
    counts = {int(k): int((data.later_writes == k).sum()) for k in numbers}
    thin = {k: n for k, n in counts.items() if n < FEW}
    if thin or not numbers.size or numbers[-1] == 0:
        raise broken_rule(
            f"a drift table needs at least {FEW} drifts for each number of later writes >= 1",
            ", ".join(f"{n} for {k}" for k, n in list(thin.items())[:5]) or "none",
            "Measure more devices, or leave these rows out.",
        )
    drift = data.G_end - data.G
    rereads = drift[data.later_writes == 0]
    rows, values, tests = [], {}, []
    levels = bse_table().levels
    for k in numbers[numbers > 0].tolist():
        of = data.later_writes == k
        row = _row(k, drift[of], rereads, confidence)
        rows.append(row)
        for name in ("mean", "median_size"):
            low, high = row[f"{name}_interval"]
            values[f"variability.bse.{name}_{k}"] = CardValue(
                value=row[name], low=low, high=high, unit="S"
            )
        tests.append(_dependence(data.G[of], drift[of]))
    table = DriftTable(
        later_writes=tuple(row["later_writes"] for row in rows),
        levels=tuple(levels.tolist()),
        quantiles=tuple(
            tuple(np.quantile(drift[data.later_writes == row["later_writes"]], levels).tolist())
            for row in rows
        ),
        mean=tuple(row["mean"] for row in rows),
        std=tuple(row["std"] for row in rows),
        samples=tuple(row["samples"] for row in rows),
    )
    (term,) = to_config(BiasingSchemeEffect(table=table))
    return Characteristics(
        terms=({k: v for k, v in term.items() if v is not None},),
        values=values,
        notices=(*_notices(rows, rereads), *_alike(tests)),
        checks=_checks(tests),
        details={"drift_rows": rows, "read_again": _read_again(rereads)},
        how=_HOW,
    )


_HOW = (
    "Intervals for 95 %: of the mean by Student's t, of the median size by order statistics; the "
    "drifts of one row count as independent. Beyond the last row of the table that row is used."
)


def _row(k: int, drift: Array, rereads: Array, confidence: float) -> dict[str, Any]:
    """What is said of one number of later writes, S."""
    n, tail = len(drift), (1 - confidence) / 2
    mean, std = float(drift.mean()), float(drift.std(ddof=1))
    half = float(stats.t.ppf(1 - tail, n - 1)) * std / n**0.5
    size = np.sort(np.abs(drift))
    rank = int(stats.binom.ppf(tail, n, 0.5))
    usual = bse_table()
    built_in = usual.quantiles[min(k, len(usual.mean)) - 1]
    p = np.interp((np.arange(2000) + 0.5) / 2000, usual.levels, built_in)
    return {
        "later_writes": k,
        "samples": n,
        "mean": mean,
        "mean_interval": [mean - half, mean + half],
        "std": std,
        "median_size": float(np.median(size)),
        "median_size_interval": [float(size[max(rank - 1, 0)]), float(size[min(n - rank, n - 1)])],
        "distribution_band": float(np.sqrt(np.log(2 / (1 - confidence)) / (2 * n))),
        "built_in_median_size": float(np.median(np.abs(p))),
        "p_read_again": float(stats.ks_2samp(drift, rereads)[1]) if len(rereads) else None,  # type: ignore[arg-type]
    }


def _read_again(rereads: Array) -> dict[str, Any] | None:
    if not len(rereads):
        return None
    return {
        "samples": len(rereads),
        "mean": float(rereads.mean()),
        "std": float(rereads.std(ddof=1)),
    }


def _dependence(G: Array, drift: Array) -> tuple[float, float]:
    """P of the rank correlation of drift and size of drift with the conductance."""
    if np.ptp(G) == 0 or np.ptp(np.abs(drift)) == 0:
        return 1.0, 1.0
    return tuple(float(stats.spearmanr(G, x).pvalue) for x in (drift, np.abs(drift)))  # type: ignore[return-value]


def _checks(tests: list[tuple[float, float]]) -> tuple[Check, ...]:
    names = ("drift against conductance", "size of the drift against conductance")
    smallest = np.minimum(np.array(tests).min(axis=0) * len(tests), 1.0)
    level = LEVEL / len(names)
    pairs = zip(names, smallest.tolist(), strict=True)
    return tuple(Check(name, p, p >= level) for name, p in pairs)


def _alike(tests: list[tuple[float, float]]) -> list[str]:
    if all(check.holds for check in _checks(tests)):
        return []
    return [
        "the drift depends on the conductance, and a table draws it for all conductances alike. "
        "Intervals are withheld. Measure in the range that is used, or accept it (--accept)"
    ]


def _notices(rows: list[dict[str, Any]], rereads: Array) -> list[str]:
    out = []
    thin = [row["later_writes"] for row in rows if row["samples"] < FEWEST]
    if thin:
        numbers = ", ".join(map(str, thin))
        out.append(
            f"fewer than {FEWEST} drifts for {numbers} later writes: `bse.tail` pools these rows "
            "with the rows before them"
        )
    first = rows[0]["later_writes"]
    if first > 1:
        out.append(
            f"nothing was measured for fewer than {first} later writes: drifts there are "
            "interpolated from 0 at none"
        )
    same = [r["later_writes"] for r in rows if (r["p_read_again"] or 0.0) > SAME]
    if not len(rereads):
        out.append(
            "the drifts hold the noise of two reads: maps read twice without a write "
            "(0 later writes) would tell how much"
        )
    elif same:
        numbers = ", ".join(map(str, same))
        out.append(f"drifts after {numbers} later writes cannot be told from reading again")
    return out
