"""Reads ngspice's binary raw file, and refuses one that is not exactly as long as it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarspice.core.errors import EngineError

__all__ = ["RawFile", "read_raw"]

_HEADER_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class RawFile:
    """One plot: column number by lower-case name, and the values (points, columns)."""

    columns: dict[str, int]
    values: np.ndarray  # float64, or complex128 after `.ac`

    def index(self, names: list[str]) -> list[int]:
        """Column numbers of these names (any case).

        Raises:
            EngineError: a name is not in the file.
        """
        lower = [name.lower() for name in names]
        missing = [name for name in lower if name not in self.columns]
        if missing:
            raise EngineError(
                f"the raw file must hold every vector asked for; {len(missing)} of {len(lower)} "
                f"are missing, the first is {missing[0]}."
            )
        return [self.columns[name] for name in lower]

    def take(self, names: list[str]) -> np.ndarray:
        """The columns of these names (any case), (points, names).

        Raises:
            EngineError: a name is not in the file.
        """
        return self.values[:, self.index(names)]


def read_raw(path: Path) -> RawFile:
    """Read the one plot of a binary raw file.

    Raises:
        EngineError: the file is missing, damaged, truncated, longer than its header says, or holds
            a value that is not finite.
    """
    if not path.is_file():
        raise EngineError("ngspice must write its raw file; there is none.")
    columns, points, is_complex, offset = _header(path)
    dtype = np.dtype("<c16") if is_complex else np.dtype("<f8")
    expected = offset + points * len(columns) * dtype.itemsize
    size = path.stat().st_size
    if size != expected:
        raise EngineError(
            f"the raw file must hold {points} points of {len(columns)} vectors, {expected} bytes; "
            f"it has {size}. The disk may be full."
        )
    values = np.fromfile(path, dtype=dtype, offset=offset).reshape(points, len(columns))
    if not np.isfinite(values).all():
        point, column = (int(k) for k in np.argwhere(~np.isfinite(values))[0])
        name = next(n for n, k in columns.items() if k == column)
        raise EngineError(f"every value must be finite; {name} at point {point} is not.")
    return RawFile(columns=columns, values=values)


def _header(path: Path) -> tuple[dict[str, int], int, bool, int]:
    """Column numbers, points, whether complex, and where the values start."""
    lines: list[str] = []
    with path.open("rb") as file:
        while (line := file.readline(_HEADER_LIMIT)) != b"Binary:\n":
            if not line.endswith(b"\n") or file.tell() > _HEADER_LIMIT:
                raise EngineError("the raw file must have a complete header; it ends early.")
            lines.append(line.decode("latin-1"))
        offset = file.tell()
    head = "".join(lines)
    counts = [re.search(p, head) for p in (r"No\. Variables:\s*(\d+)", r"No\. Points:\s*(\d+)")]
    table = head.partition("Variables:\n")[2].splitlines()
    rows = [line.split() for line in table]
    if None in counts or head.count("Plotname:") != 1 or any(len(r) < 3 for r in rows):
        raise EngineError("the raw file must have the header of one plot; it cannot be understood.")
    variables, points = (int(f.group(1)) for f in counts if f is not None)
    columns = {row[1].lower(): k for k, row in enumerate(rows)}
    if len(rows) != variables or len(columns) != variables:
        raise EngineError(
            f"the raw file must name its {variables} vectors once each; it has {len(rows)} lines "
            f"and {len(columns)} names."
        )
    return columns, points, re.search(r"Flags:.*complex", head) is not None, offset
