"""Twin of a measured die: from a table of resistances to stuck devices, spread and a crossbar."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xbarspice.calibration import text_tables
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array

__all__ = ["Die", "Thresholds", "read_die"]


OPEN = {"", "nan", "inf", "+inf", "ol", "o.l.", "open", "over", "overload", "n/a", "na", "-", "--"}
"""Cells that stand for a device without measurable current."""

V_READ = re.compile(
    r"(?:v[_ ]?read|read(?:ing)?[_ ]*(?:voltage|bias)|lecture)(?P<rest>[^\r\n]*)", re.IGNORECASE
)
VOLTS = re.compile(r"(?P<number>[-+]?\d+(?:[.,]\d+)?)\s*(?P<unit>mV|V)?(?![a-z])", re.IGNORECASE)
UNIT_WORDS: tuple[tuple[str, str, float], ...] = (
    (r"M\s?(?:ohm|\u03a9|\u2126)", "Mohm", 1e6),
    (r"k\s?(?:ohm|\u03a9|\u2126)", "kohm", 1e3),
    (r"(?<![a-z])(?:ohms?|\u03a9|\u2126)", "ohm", 1.0),
    (r"(?<![A-Za-z])[u\u00b5\u03bc]S(?![a-z])", "uS", 1e-6),
    (r"(?<![A-Za-z])mS(?![a-z])", "mS", 1e-3),
    (r"(?<![A-Za-z])nS(?![a-z])", "nS", 1e-9),
    (r"(?:\bin|\bunits?\s*[:=;]?|[\[(])\s*S\b|[Ss]iemens", "S", 1.0),
)
"""Pattern, unit and factor, the longer ones first."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From which conductance a device counts as stuck.

    A device that conducts better than ``above x G_max``, or worse than ``below x G_min``, cannot be
    brought into the range in which the network is programmed (see xbarspice.mapping).

    Args:
        G_min, G_max: range of the network, S.
        above, below: factors.
    """

    G_min: float
    G_max: float
    above: float = 1.1
    below: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.G_min < self.G_max or not 0 < self.below <= 1 <= self.above:
            raise broken_rule(
                "thresholds must satisfy 0 < G_min < G_max and 0 < below <= 1 <= above",
                (self.G_min, self.G_max, self.below, self.above),
                "Give conductances in S.",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Die:
    """One measured array.

    Attributes:
        G: conductance of every device, S, (rows, cols); 0 where no current was measurable.
        V_read: read voltage of the head, V, or None.
        unit: as the numbers stood in the file.
        settings: other entries of the head, such as pulses, as text.
        notices: what was guessed or assumed.
    """

    G: Array
    V_read: float | None
    unit: str
    settings: Mapping[str, str]
    notices: tuple[str, ...]

    def stuck(self, t: Thresholds) -> npt.NDArray[np.int8]:
        """-1: stuck at high ohm (low conductance); +1: stuck at low ohm; 0: neither."""
        low_ohm, high_ohm = t.above * t.G_max < self.G, t.below * t.G_min > self.G
        return (low_ohm.astype(np.int8) - high_ohm).astype(np.int8)

    def spread(self, t: Thresholds) -> dict[str, float]:
        """Figures of the devices that are not stuck: median and standard deviation, S and share."""
        healthy = self.G[self.stuck(t) == 0]
        if healthy.size < 2:
            return {"devices": float(healthy.size)}
        return {
            "devices": float(healthy.size),
            "median_S": float(np.median(healthy)),
            "mean_S": float(healthy.mean()),
            "std_S": float(healthy.std(ddof=1)),
            "relative_std": float(healthy.std(ddof=1) / healthy.mean()),
            "min_S": float(healthy.min()),
            "max_S": float(healthy.max()),
        }


def read_die(path: Path, unit: str | None = None) -> Die:
    """Read a table of resistances or conductances, one row a word line.

    Cells are separated by ``;``, a tabulator or ``,``; with the first two the decimal sign may be a
    comma. Lines before the table are the head: a read voltage ("V_read = 0.2 V"), a unit ("ohm",
    "kohm", "uS", ...) and pulse settings are looked for there. Row and column numbers around the
    table are left out. Empty cells, "OL", "open", "inf" and "nan" are devices without current.

    Args:
        path: the file.
        unit: "ohm", "kohm", "Mohm", "S", "mS", "uS" or "nS"; None: as the head says, else guessed
            from the size of the numbers, with a notice.

    Raises:
        InputError: there is no table, it is not rectangular, or the unit cannot be guessed.
    """
    lines = text_tables.text_of(path).splitlines()
    head, rows = _block(path, lines)
    values, notices = _without_numbering(rows)
    text = "\n".join(head)
    unit, factor, assumptions = _unit(values, text, unit, path)
    finite = np.isfinite(values)
    if (values[finite] < 0).any() or (unit.endswith("ohm") and (values[finite] == 0).any()):
        raise broken_rule(
            "resistances must be > 0 and conductances >= 0",
            f"{values[finite].min():g} {unit}",
            "Correct the cell; a device without current is an empty cell.",
        )
    scaled = np.where(finite, values * factor, np.inf if unit.endswith("ohm") else 0.0)
    with np.errstate(divide="ignore"):
        G = 1.0 / scaled if unit.endswith("ohm") else scaled
    V_read = _read_voltage(text)
    if V_read is None:
        notices.append("the head names no read voltage: that of the device model is assumed")
    if not finite.all():
        notices.append(f"{int((~finite).sum())} cells without a number count as open devices")
    notices.append(
        "the values are taken as those of single devices: reads inside the array hold "
        "sneak currents and wires unless they were corrected for"
    )
    return Die(
        G=G, V_read=V_read, unit=unit, settings=_settings(head), notices=(*assumptions, *notices)
    )


def _read_voltage(head: str) -> float | None:
    """Read voltage of the head, V; its unit stands behind the number or before it."""
    line = V_READ.search(head)
    match = VOLTS.search(line["rest"]) if line else None
    if line is None or match is None:
        return None
    before = line["rest"][: match.start()]
    milli = "mv" in (match["unit"] or before).lower()
    return abs(text_tables.number(match["number"])) * (1e-3 if milli else 1.0)


def _cells(line: str) -> list[float | str]:
    """Numbers (NaN: open device) and texts of a line."""
    out: list[float | str] = []
    for cell in text_tables.split_line(line)[0]:
        if cell.lower() in OPEN:
            out.append(math.nan)
            continue
        try:
            out.append(text_tables.number(cell))
        except ValueError:
            out.append(cell)
    return out


def _block(path: Path, lines: list[str]) -> tuple[list[str], list[list[float | str]]]:
    """Head lines, and the longest run of lines that hold numbers and are equally long."""
    best, start = (0, 0), 0
    cells = [_cells(line) if line.strip() else [] for line in lines]

    def is_row(row: list[float | str]) -> bool:
        numbers = [c for c in row if isinstance(c, float)]
        return (
            any(math.isfinite(c) for c in numbers)
            and all(isinstance(c, float) for c in row[1:])
            and (len(row) > 1 or isinstance(row[0], float))
        )

    for k in range(len(cells) + 1):
        ends = k == len(cells) or not is_row(cells[k])
        if k > start and (ends or len(cells[k]) != len(cells[start])):
            size = (k - start) * len(cells[start])
            if size > (best[1] - best[0]) * (len(cells[best[0]]) if best[1] else 0):
                best = (start, k)
            start = k
        if ends:
            start = k + 1
    if best[1] == 0:
        raise broken_rule(
            f"`{path.name}` must hold a table of numbers", "none", "See `read_die` for the form."
        )
    for k in range(best[1], len(cells)):
        if cells[k] and sum(isinstance(c, float) and math.isfinite(c) for c in cells[k]) > 1:
            raise InputError(
                f"the table of `{path.name}` must be rectangular; received {len(cells[k])} cells "
                f"in line {k + 1} after rows of {len(cells[best[0]])}. Leave a cell empty for a "
                "device without current."
            )
    return [line for line in lines[: best[0]] if line.strip()], cells[best[0] : best[1]]


def _without_numbering(rows: list[list[float | str]]) -> tuple[Array, list[str]]:
    """The table without labels or numbers of its lines."""
    notices = []

    def counts(values: list[float | str]) -> bool:
        numbers = [v for v in values if isinstance(v, float)]
        return len(numbers) == len(values) > 1 and numbers in (
            [float(k) for k in range(len(values))],
            [float(k + 1) for k in range(len(values))],
        )

    corner = counts(rows[0][1:]) and len(rows) > 1 and not _is_measured(rows[0][0])
    if corner:
        rows = rows[1:]
        notices.append("the first row numbers the columns and is left out")
    first = [row[0] for row in rows]
    if all(isinstance(c, str) for c in first) or (corner and counts(first)):
        rows = [row[1:] for row in rows]
        notices.append("the first column names the rows and is left out")
    if any(isinstance(c, str) for row in rows for c in row):
        bad = next(c for row in rows for c in row if isinstance(c, str))
        raise broken_rule("every cell must be a number or empty", repr(bad), "Correct the cell.")
    return np.array(rows, dtype=np.float64), notices


def _is_measured(cell: float | str) -> bool:
    return isinstance(cell, float) and math.isfinite(cell) and cell not in (0.0, 1.0)


def _unit(
    values: Array, head: str, unit: str | None, path: Path
) -> tuple[str, float, tuple[str, ...]]:
    factors = {name: factor for _, name, factor in UNIT_WORDS}
    if unit is not None:
        if unit not in factors:
            raise broken_rule(f"the unit must be one of {sorted(factors)}", repr(unit), "Use one.")
        return unit, factors[unit], ()
    for pattern, name, factor in UNIT_WORDS:
        if re.search(pattern, head):
            return name, factor, ()
    middle = float(np.nanmedian(np.where(values > 0, values, np.nan)))
    if middle >= 200.0:
        assumption = f"the head names no unit: a median of {middle:g} is taken for ohm"
        return "ohm", 1.0, (assumption,)
    if middle <= 0.1:
        assumption = f"the head names no unit: a median of {middle:g} is taken for S"
        return "S", 1.0, (assumption,)
    raise broken_rule(
        f"`{path.name}` must say whether it holds ohm, kohm, S or uS",
        f"no unit in the head, and a median of {middle:g} that could be any",
        "Pass the unit.",
    )


def _settings(head: list[str]) -> dict[str, str]:
    out = {}
    for line in head:
        match = re.match(r"\s*#?\s*([^:=;\t,]+?)\s*[:=;\t,]\s*(.+?)[;,\s]*$", line)
        if match:
            out[match[1].strip()] = match[2].strip()
    return out
