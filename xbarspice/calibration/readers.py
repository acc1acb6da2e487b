"""Measured data from files of any kind that `xbarspice.tables` reads.

The columns of every kind stand in `xbarspice.calibration.quantities`.
Values that an instrument did not measure or that overflowed count as missing; what may not be
missing is refused with its line. `notices` of the result say how the file was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.calibration.drift import Drifts
from xbarspice.calibration.measurements import (
    Kelvin,
    Programming,
    Reads,
    Repeats,
    sweeps,
)
from xbarspice.calibration.quantities import QUANTITIES
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.tables import Options, Table, read_table
from xbarspice.tables.sources import HDF5

__all__ = [
    "conductances_of",
    "device_names",
    "notice_of_gaps",
    "number_labels",
    "read_drifts",
    "read_kelvin",
    "read_programming",
    "read_reads",
    "read_repeats",
    "read_sweeps",
    "require",
    "without_overflow",
]


def read_sweeps(path: Path, options: Options | None = None) -> Reads:
    """I-V sweeps; see `xbarspice.calibration.quantities`.

    Args:
        path: the file.
        options: what the user says of it.

    Raises:
        InputError: the file breaks a rule; the message names line and column.
    """
    table = read_table(path, QUANTITIES["sweeps"], options)
    V, current = table.values("V"), without_overflow(table.values("I"))
    require(path, table, "V", np.isfinite(V), "a number")
    return sweeps(device_names(table), V, current, notices=table.notices)


def read_repeats(path: Path, options: Options | None = None) -> Repeats:
    """Repeated reads of single devices; see `xbarspice.calibration.quantities`.

    Raises:
        InputError: the file holds no measured values, or cannot be understood.
    """
    table = read_table(path, QUANTITIES["repeats"], options)
    G = conductances_of(path, table)
    t = table.values("t") if "t" in table.columns else np.full(len(table), np.nan)
    require(path, table, "t", ~(t <= 0) & ~np.isinf(t), "> 0 s")
    keep = np.isfinite(G)
    if not keep.any():
        raise broken_rule(f"`{path.name}` must hold measured values", "none", "Check the file.")
    return Repeats(
        device=number_labels(device_names(table))[1][keep],
        G=G[keep],
        t=t[keep],
        notices=(*table.notices, *notice_of_gaps(keep)),
    )


def read_programming(path: Path, options: Options | None = None) -> Programming:
    """Programming records; see `xbarspice.calibration.quantities`.

    Raises:
        InputError: the file holds no measured values, or cannot be understood.
    """
    table = read_table(path, QUANTITIES["programming"], options)
    target, G = table.values("target"), without_overflow(table.values("G"))
    count = len(table)
    has = table.columns.keys()
    G_end = table.values("G_end") if "G_end" in has else np.full(count, np.nan)
    later = table.values("later_writes") if "later_writes" in has else np.zeros(count)
    require(path, table, "target", (target > 0) & np.isfinite(target), "> 0 S")
    require(path, table, "G", ~(G < 0), ">= 0 S")
    require(path, table, "G_end", ~(G_end < 0) & ~np.isinf(G_end), ">= 0 S")
    require(path, table, "later_writes", (later >= 0) & (later == np.round(later)), "whole, >= 0")
    keep = np.isfinite(G)
    if not keep.any():
        raise broken_rule(f"`{path.name}` must hold measured values", "none", "Check the file.")
    return Programming(
        device=number_labels(device_names(table))[1][keep],
        target=target[keep],
        G=G[keep],
        G_end=G_end[keep],
        later_writes=later[keep].astype(np.intp),
        notices=(*table.notices, *notice_of_gaps(keep)),
    )


def read_drifts(path: Path, options: Options | None = None) -> Drifts:
    """Pairs of reads with later writes in between; see `xbarspice.calibration.quantities`."""
    table = read_table(path, QUANTITIES["drifts"], options)
    G, G_end = conductances_of(path, table), conductances_of(path, table, "_end")
    later = table.values("later_writes")
    require(path, table, "later_writes", (later >= 0) & (later == np.round(later)), "whole, >= 0")
    keep = np.isfinite(G) & np.isfinite(G_end)
    return Drifts(
        G=G[keep],
        G_end=G_end[keep],
        later_writes=later[keep].astype(np.intp),
        notices=(*table.notices, *notice_of_gaps(keep)),
    )


def read_reads(path: Path, options: Options | None = None) -> Reads:
    """Array reads; see `xbarspice.calibration.quantities`.

    Raises:
        InputError: columns have a gap, or the file cannot be understood.
    """
    if path.suffix in HDF5:
        tree = {k: v for k, v in hdf5.read_plain(path).items() if not isinstance(v, dict)}
        if {"V_in", "I_out"} <= tree.keys():
            return _reads_of_arrays(path, tree)
    table = read_table(path, QUANTITIES["reads"], options)
    values: dict[str, Array] = {}
    for quantity in QUANTITIES["reads"]:
        if not quantity.indexed:
            continue
        kind = quantity.name
        lines = {
            int(name[len(kind) :]): column.values
            for name, column in table.columns.items()
            if name.startswith(kind) and name[len(kind) :].isdigit()
        }
        if sorted(lines) != list(range(len(lines))):
            raise broken_rule(
                f"the columns {kind}0, {kind}1, ... of `{path.name}` must have no gap",
                sorted(lines),
                "Leave cells empty where nothing was measured.",
            )
        if lines:
            values[kind] = np.stack([lines[k] for k in range(len(lines))], axis=1)
    for kind in ("V_in", "V_out"):
        if kind in values:
            ok = np.asarray(np.isfinite(values[kind]).all(axis=1))
            require(path, table, kind, ok, "a number in every read")
    T = _temperatures(path, table)
    used = "" if T is None else f"temperatures {T.min():g} to {T.max():g} K, for a joint fit alone"
    return Reads(
        V_in=values["V_in"],
        I_out=without_overflow(values["I_out"]),
        V_out=values.get("V_out"),
        I_in=without_overflow(values["I_in"]) if "I_in" in values else None,
        notices=(*table.notices, *([used] if used else [])),
        T=T,
    )


def _reads_of_arrays(path: Path, tree: Mapping[str, Any]) -> Reads:
    strange = sorted(tree.keys() - {"V_in", "I_out", "V_out", "I_in"})
    values = {}
    for name in ("V_in", "I_out", "V_out", "I_in"):
        if name in tree:
            try:
                values[name] = np.asarray(tree[name], dtype=float)
            except (TypeError, ValueError):
                raise broken_rule(
                    f"`{name}` of `{path.name}` must be an array of numbers",
                    type(tree[name]).__name__,
                    "Save it as one.",
                ) from None
    unused = (f"arrays that are not used: {', '.join(strange)}",) if strange else ()
    return Reads(
        V_in=values["V_in"],
        I_out=without_overflow(values["I_out"]),
        V_out=values.get("V_out"),
        I_in=without_overflow(values["I_in"]) if "I_in" in values else None,
        notices=(f"arrays {', '.join(values)} of {path.name}, SI units", *unused),
    )


def read_kelvin(
    path: Path,
    options: Options | None = None,
    *,
    squares_wl: float | None = None,
    squares_bl: float | None = None,
    relative: float = 0.01,
) -> Kelvin:
    """Kelvin monitors; see `xbarspice.calibration.quantities`.

    Args:
        path: the file.
        options: what the user says of it.
        squares_wl, squares_bl: squares of one wire segment, where lengths stand in squares.
        relative: scatter of R, a share.

    Raises:
        InputError: lengths are not stated, or not in segments or squares of the line.
    """
    table = read_table(path, QUANTITIES["kelvin"], options)
    words = {"wl": "wl", "wordline": "wl", "bl": "bl", "bitline": "bl"}
    texts = [t.lower().replace(" ", "").replace("_", "") for t in table.columns["line"].texts]
    require(path, table, "line", np.array([t in words for t in texts]), "wl or bl")
    lines = [words[t] for t in texts]
    if ("segments" in table.columns) == ("squares" in table.columns):
        raise broken_rule(
            f"`{path.name}` must have a column segments or a column squares",
            "both" if "segments" in table.columns else "neither",
            "Name it in the head, or pass --column segments=LABEL.",
        )
    if "segments" in table.columns:
        segments = table.values("segments")
    else:
        of_one = {"wl": squares_wl, "bl": squares_bl}
        if any(not (of_one[word] or 0.0) > 0 for word in lines):
            raise broken_rule(
                "lengths in squares need the squares of one segment of the line",
                of_one,
                "Give --squares-wl and --squares-bl, or a column segments.",
            )
        segments = table.values("squares") / np.array([of_one[w] for w in lines], dtype=float)
    R = without_overflow(table.values("R"))
    keep = np.isfinite(R) & np.isfinite(segments)
    T = _temperatures(path, table)
    return Kelvin(
        line=tuple(word for word, k in zip(lines, keep, strict=True) if k),  # type: ignore[misc]
        segments=segments[keep],
        R=R[keep],
        T=None if T is None else T[keep],
        relative=relative,
        notices=(*table.notices, *notice_of_gaps(keep)),
    )


def _temperatures(path: Path, table: Table) -> Array | None:
    """Temperatures, K, (rows,); None without a column."""
    if "T" not in table.columns:
        return None
    T = table.values("T")
    require(path, table, "T", np.isfinite(T) & (T > 0), "> 0 K (add 273.15 to degrees Celsius)")
    return T


def without_overflow(values: Array) -> Array:
    """Values with NaN also where the instrument overflowed."""
    return np.where(np.isfinite(values), values, np.nan)


def conductances_of(path: Path, table: Table, suffix: str = "") -> Array:
    """G of every row, S, from G or R; an overflow of R is missing, as any other.

    Raises:
        InputError: the table has neither G nor R, or both.
    """
    G, R = f"G{suffix}", f"R{suffix}"
    if (G in table.columns) == (R in table.columns):
        raise broken_rule(
            f"`{path.name}` must have a column {G} (S) or a column {R} (ohm)",
            "both" if G in table.columns else "neither",
            f"Name it in the head, or pass --column {G}=LABEL:UNIT.",
        )
    name = G if G in table.columns else R
    values = without_overflow(table.values(name))
    require(path, table, name, ~(values <= 0), "> 0")
    return values if name == G else 1.0 / values


def require(path: Path, table: Table, name: str, ok: Flags, rule: str) -> None:
    """Refuse a table whose column breaks a rule, by the first line that does.

    Raises:
        InputError: `ok` is false somewhere.
    """
    if not ok.all():
        k = int(np.argmin(ok))
        received = "a value that is not"
        if name in table.columns and table.columns[name].values.size:
            received = f"{table.columns[name].values[k]:g}"
        raise InputError(
            f"{name} of `{path.name}` must be {rule}; received {received} in line "
            f"{table.lines[k]} ({int((~ok).sum())} such lines). Correct the cells, or the units."
        )


def notice_of_gaps(keep: Flags) -> tuple[str, ...]:
    """The notice of rows that are not kept; none if all are."""
    count = int((~keep).sum())
    return (f"rows without a measured value that are left out: {count}",) if count else ()


def device_names(table: Table) -> list[str]:
    """Label of the device of each row: its own, its lines', or "0" for one device."""
    column = table.columns.get("device")
    if column is not None:
        return list(column.texts)
    lines = [table.columns[name].texts for name in ("wordline", "bitline") if name in table.columns]
    if len(lines) == 2:
        return [f"W{w}B{b}" for w, b in zip(*lines, strict=True)]
    return ["0"] * len(table)


def number_labels(names: list[str]) -> tuple[tuple[str, ...], Indices]:
    """Labels in order of first appearance, and the number of each row's."""
    order = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return tuple(order), np.array([order[n] for n in names], dtype=np.intp)
