"""BSE: drift of finished devices by later writes, from the measured table."""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.parameters import NOT_NEGATIVE, Range
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of, whole_numbers_of
from xbarspice.variability.base import (
    Compose,
    Draws,
    Variation,
    check_conductances,
    need,
    register,
    where,
)

__all__ = [
    "ORDERS",
    "TAILS",
    "BSETable",
    "BiasingSchemeEffect",
    "DriftTable",
    "bse_table",
    "other_reading",
    "tail_of",
]


TAILS = ("pooled", "released")
"""Readings of the rows with few samples, by name; see `bse_table`."""
ORDERS = ("rows", "columns", "rows_reversed", "columns_reversed")
"""Write orders by name: row by row or column by column, from the first device or from the last."""
FEWEST = 30
"""Samples below which a row does not stand for itself in the pooled reading."""


@dataclass(frozen=True)
class BSETable:
    """The measured drifts: levels (Q,), quantiles (N, Q), mean and std (N,) in S, samples (N,).

    Row k belongs to k + 1 later writes. `samples` counts all drifts that a row is read from.
    """

    levels: Array
    quantiles: Array
    mean: Array
    std: Array
    samples: Indices


@dataclass(frozen=True, kw_only=True)
class DriftTable:
    """Drifts that were measured on dies of one's own, in place of the table of the package.

    Attributes:
        later_writes: increasing whole numbers >= 1, one a row.
        levels: increasing probabilities from 0 to 1, one a column.
        quantiles: of the drift at these levels, S, one tuple a row.
        mean, std: of the drifts of each row, S.
        samples: drifts that each row is read from, >= 1.
    """

    later_writes: tuple[int, ...]
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    samples: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("later_writes", "samples"):
            counts = whole_numbers_of(name, getattr(self, name), low=1).ravel()
            object.__setattr__(self, name, tuple(counts.tolist()))
        rows, columns = len(self.later_writes), np.shape(self.levels)
        shapes = {"levels": columns, "quantiles": (rows, *columns), "mean": (rows,), "std": (rows,)}
        for name, shape in shapes.items():
            values = array_of(name, getattr(self, name), remedy="Give numbers.")
            need(
                values.shape == shape,
                f"`{name}` of a drift table must have the shape {shape}",
                values.shape,
                "Give one row for each number of later writes.",
            )
            plain = [tuple(row) for row in values.tolist()] if values.ndim > 1 else values.tolist()
            object.__setattr__(self, name, tuple(plain))
        p, q = np.array(self.levels), np.array(self.quantiles)
        need(
            rows > 0
            and len(self.samples) == rows
            and p.size > 1
            and bool((p[[0, -1]] == [0, 1]).all() and (np.diff(p) > 0).all())
            and bool((np.diff(q, axis=1) >= 0).all() and (np.diff(self.later_writes) > 0).all()),
            "a drift table must have increasing `later_writes`, `levels` from 0 to 1, and "
            "`quantiles` that do not fall with the level",
            f"{rows} rows, {p.size} levels",
            "Write it with `xbarspice calibrate drift`.",
        )

    def rows(self) -> BSETable:
        """Its rows as they were measured."""
        return BSETable(
            levels=np.array(self.levels),
            quantiles=np.array(self.quantiles),
            mean=np.array(self.mean),
            std=np.array(self.std),
            samples=np.array(self.samples, np.intp),
        )


@functools.cache
def bse_table(tail: str = "pooled", measured: DriftTable | None = None) -> BSETable:
    """The drift table, one row for each number of later writes from 1 on.

    Without `measured` it is the empirical table of the package (see the head of its file for the
    source).

    The measured rows thin out with the number of later writes: 1259 drifts in the first row, 28
    for 47 later writes, 3 for 53 and more, and 17 of the 64 devices of an 8x8 array are read from
    rows of fewer than `FEWEST` = 30.

    Args:
        tail: "pooled" reads each row of fewer than 30 drifts as the mixture of itself with the
            rows before it, back to the nearest with which they are 30, each weighted by its
            drifts: its distribution function is the weighted mean of theirs. Rows before it are of
            the same devices, some writes earlier, so this steadies the row but adds less than
            that many independent drifts. "released" takes every row as it stands, as the released
            code does.
        measured: a table of one's own. Between its rows quantiles, mean and standard deviation are
            linear in the number of later writes, from 0 at none; a row in between has the samples
            of the next measured one.

    Raises:
        InputError: there is no such reading.
    """
    _check_tail(tail)
    table = _load_measured() if measured is None else measured.rows()
    table = table if tail == "released" else _pool(table)
    return table if measured is None else _fill(table, measured.later_writes)


def _fill(table: BSETable, later_writes: Sequence[int]) -> BSETable:
    """The table with a row for every number of later writes up to its last."""
    known = np.array([0, *later_writes])
    every = np.arange(1, known[-1] + 1)
    above = np.searchsorted(known, every)
    share = (every - known[above - 1]) / (known[above] - known[above - 1])

    def between(values: Array) -> Array:
        ends = np.concatenate([np.zeros((1, *values.shape[1:])), values])
        s = share.reshape(-1, *[1] * (values.ndim - 1))
        return (1 - s) * ends[above - 1] + s * ends[above]

    columns = {
        "quantiles": between(table.quantiles),
        "mean": between(table.mean),
        "std": between(table.std),
        "samples": table.samples[above - 1],
    }
    for values in columns.values():
        values.setflags(write=False)
    return BSETable(levels=table.levels, **columns)


def _check_tail(tail: Any) -> None:
    is_known = isinstance(tail, str) and tail in TAILS
    need(is_known, f"`bse.tail` must be one of {list(TAILS)}", repr(tail), "Use one of them.")


def _pool(table: BSETable) -> BSETable:
    """The table with its thin rows pooled; see `bse_table`."""
    columns = {name: np.array(values) for name, values in vars(table).items()}
    for k in np.flatnonzero(table.samples < FEWEST):
        first = int(k)
        while first > 0 and table.samples[first : k + 1].sum() < FEWEST:
            first -= 1
        rows = slice(first, int(k) + 1)
        count = table.samples[rows]
        weight = count / count.sum()
        mean = float(weight @ table.mean[rows])
        columns["mean"][k] = mean
        second = weight @ (table.std[rows] ** 2 + table.mean[rows] ** 2)
        columns["std"][k] = (second - mean**2) ** 0.5
        columns["quantiles"][k] = _mix(table.levels, table.quantiles[rows], weight)
        columns["samples"][k] = count.sum()
    for values in columns.values():
        values.setflags(write=False)
    return BSETable(**columns)


def _mix(levels: Array, quantiles: Array, weight: Array) -> Array:
    """Quantiles of a mixture of distributions that are linear between their quantiles."""
    x = np.unique(quantiles)
    shares = np.array([np.interp(x, q, levels, left=0.0, right=1.0) for q in quantiles])
    return np.interp(levels, weight @ shares, x)


def other_reading(variation: Variation) -> Variation | None:
    """The same errors with the other reading of the drift table; None where it plays no part."""
    if isinstance(variation, BiasingSchemeEffect):
        if variation.table is not None and min(variation.table.samples) >= FEWEST:
            return None  # no row has few drifts: both readings are the same
        tail = next(name for name in TAILS if name != variation.tail)
        return dataclasses.replace(variation, tail=tail)
    if isinstance(variation, Compose):
        parts = [other_reading(part) for part in variation.parts]
        if any(part is not None for part in parts):
            pairs = zip(parts, variation.parts, strict=True)
            return Compose([unchanged if part is None else part for part, unchanged in pairs])
    return None


def tail_of(variation: Variation) -> str:
    """Reading of the drift table by name; "" where it plays no part."""
    if isinstance(variation, BiasingSchemeEffect):
        return variation.tail
    parts = variation.parts if isinstance(variation, Compose) else ()
    return next((tail for tail in map(tail_of, parts) if tail), "")


def _table_of(record: Mapping[str, Any]) -> DriftTable:
    """A table as files hold it."""
    names = [f.name for f in dataclasses.fields(DriftTable)]
    need(
        sorted(record) == sorted(names),
        f"`bse.table` must hold {', '.join(names)}",
        ", ".join(sorted(map(str, record))) or "nothing",
        "Write it with `xbarspice calibrate drift`.",
    )
    return DriftTable(**record)


@functools.cache
def _load_measured() -> BSETable:
    path = importlib.resources.files("xbarspice.devices") / "data" / "tio2_3it_bse_quantiles.csv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    head, *body = csv.reader(lines)
    data = np.array(body, dtype=float)
    parts = BSETable(
        levels=np.array([float(name[1:].removesuffix("_uS")) for name in head[4:]]),
        quantiles=data[:, 4:] * 1e-6,
        mean=data[:, 2] * 1e-6,
        std=data[:, 3] * 1e-6,
        samples=data[:, 1].astype(np.intp),
    )
    for values in vars(parts).values():
        values.setflags(write=False)
    return parts


@register("bse")
@dataclass(frozen=True, kw_only=True)
class BiasingSchemeEffect(Variation):
    """BSE, the drift of finished devices while the rest of a passive array is programmed.

    The drift of a device is drawn from the measured quantiles for the number of devices that are
    programmed after it (inverse distribution function, linear between the quantiles). The device
    programmed last does not drift; beyond the last row of the table (53 later writes) that row is
    used. `table` puts a table of one's own in its place. How the last rows, of few measured drifts,
    are read moves the share of points that are right in 95 % of the transfers by several points of
    a percent: reports give both. Do not combine it with simulated half-select disturbance: both
    describe the same effect.

    Args:
        order: in which the devices are programmed, one of `ORDERS` for arrays of any shape, or the
            flat indices ``row * cols + col`` of all devices; None for "rows".
        later_writes: devices of the same array that are programmed after all of these.
        beyond_4_sigma: None keeps the measured tails. A value in S replaces each drift whose size
            exceeds four standard deviations of its row; the released code uses +60e-6 there.
        scale: factor on every drift of the table, for dies that drift more or less than its dies.
        tail: reading of the rows with few drifts, "pooled" or "released"; see `bse_table`.
        table: drifts measured on one's own dies (`xbarspice calibrate drift`), or None.
    """

    source: ClassVar[str] = (
        "Drolet et al. 2023, arXiv:2305.18495; 3it-inpaqt/Hardware-Aware-Article"
    )

    ranges: ClassVar[Mapping[str, Range]] = {"later_writes": NOT_NEGATIVE, "scale": NOT_NEGATIVE}

    order: str | Sequence[int] | None = None
    later_writes: int = 0
    beyond_4_sigma: float | None = None
    scale: float = 1.0
    tail: str = "pooled"
    table: DriftTable | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_tail(self.tail)
        if isinstance(self.table, Mapping):
            object.__setattr__(self, "table", _table_of(self.table))
        need(
            self.table is None or isinstance(self.table, DriftTable),
            "`bse.table` must be a drift table",
            type(self.table).__name__,
            "Write it with `xbarspice calibrate drift`.",
        )
        if isinstance(self.order, str):
            known = self.order in ORDERS
            need(known, f"`bse.order` must be one of {list(ORDERS)}", self.order, "Use one.")
        elif self.order is not None:
            order = tuple(whole_numbers_of("order", self.order).ravel().tolist())
            need(
                sorted(order) == list(range(len(order))),
                "`order` must name every device exactly once",
                f"{len(order)} entries, {len(set(order))} of them different",
                "Pass a permutation of range(rows * cols).",
            )
            object.__setattr__(self, "order", order)

    def later(self, rows: int, cols: int) -> Indices:
        """Number of devices programmed after each device, (rows, cols)."""
        count = rows * cols
        rank = np.arange(count)
        if isinstance(self.order, str):
            if self.order.startswith("columns"):
                rank = rank.reshape(cols, rows).T.ravel()
            rank = count - 1 - rank if self.order.endswith("reversed") else rank
        elif self.order is not None:
            need(
                len(self.order) == count,
                f"`order` must name all {count} devices",
                f"{len(self.order)} entries",
                "Pass one flat index a device.",
            )
            rank[np.asarray(self.order, dtype=np.intp)] = np.arange(count)
        return (count - 1 - rank + self.later_writes).reshape(rows, cols)

    def drift(self, G: Any, later: Indices, rng: Any) -> Any:
        """Drift of every device after so many later writes, S.

        Args:
            G: conductances, S, (..., rows, cols); NumPy array or torch tensor.
            later: devices of the same array that are programmed after each, which broadcasts to
                `G`; 0 drifts not.
            rng: as of `apply`.
        """
        return self._drift(Draws(rng, check_conductances(G)), later)

    def _drift(self, draws: Draws, later: Indices) -> Any:
        table = bse_table(self.tail, self.table)
        row = np.clip(later, 1, len(table.mean)) - 1
        drift = draws.lookup(table.levels, table.quantiles, row, draws.uniform())
        if self.beyond_4_sigma is not None:
            far = abs(drift) > draws.array(4.0 * table.std[row])
            drift = where(far, draws.array(self.beyond_4_sigma), drift)
        return self.scale * drift * draws.array(later > 0)

    def _apply(self, G: Any, draws: Draws) -> Any:
        return G + self._drift(draws, self.later(*draws.shape[-2:]))
