"""Trust region: where each level of the surrogate stayed within a chosen error of ngspice.

`xbarspice verify --map` solves arrays over a grid of size, wire resistance, largest conductance,
read voltage and device with ngspice and with every level:

- ``ideal``: the product ``V G`` without any circuit;
- ``linear``: the exact circuit with ohmic devices of the same conductance at the read voltage;
- ``nonlinear``: the surrogate itself, exact, with the device's curve;
- ``float32``: the surrogate in single precision.

The error of a grid point is ``max |I - I_ngspice| / max |I_ngspice|`` over the output currents of
a set of inputs, and the largest such number over two arrays (all devices at G_max; devices uniform
in G_max / G_ratio .. G_max) and three sets (all inputs at V_read; uniform in 0 .. V_read; uniform
in -V_read .. V_read).

Above the size ``reference_up_to`` of the source, ngspice solves one point a device and size (the
middle wire and G_max, the largest voltage); elsewhere the levels are judged against the surrogate,
and what stands as the error of ``nonlinear`` is an upper bound of the error of its answers
(`Stats.error_at_most`). A problem is looked up at the smallest grid point that is at least as large
in every axis, with the largest error of all grid points below that one. So the answer is meant to
be on the safe side, but it is measured on samples: it is no bound.

The map of the package is ``trust_map.toml`` beside this module; the environment variable
``XBARSPICE_TRUST_MAP`` names another one. Both come from `xbarspice verify --map`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice import devices
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import InputError, TrustWarning, broken_rule, level_outside
from xbarspice.core.files import parse_toml
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of
from xbarspice.core.wires import largest_of

__all__ = [
    "AXES",
    "ERRORS",
    "LEVELS",
    "TrustMap",
    "TrustWarning",
    "equivalent_wire",
    "load",
    "packaged",
    "trusted",
    "warn_outside",
]


LEVELS = ("ideal", "linear", "nonlinear", "float32")
AXES = ("size", "R_wire", "G_max", "V_read")
ERRORS = {"ideal": 5e-2, "linear": 5e-2, "float32": 1e-4}
"""Error above which an approximate level warns, relative to the largest output current."""

VARIABLE = "XBARSPICE_TRUST_MAP"
_SLACK = 1 + 1e-9  # 5 * 100e-6 is not 500e-6 in binary


@dataclass(frozen=True, kw_only=True, eq=False)
class TrustMap:
    """Errors of the levels over a grid.

    Attributes:
        axes: rising values of `AXES`: rows = columns; ohm a segment; S; V.
        errors: by device name and level, (size, R_wire, G_max, V_read) as in `axes`.
        source: how the map was made: versions, seed, vectors, G_ratio, reference_up_to.
    """

    axes: dict[str, tuple[float, ...]]
    errors: dict[str, dict[str, Array]]
    source: dict[str, Any]

    def __post_init__(self) -> None:
        shape = tuple(len(self.axes[name]) for name in AXES)
        for device, levels in self.errors.items():
            for level, values in levels.items():
                if values.shape != shape or level not in LEVELS:
                    raise broken_rule(
                        f"errors of a trust map must have the shape {shape} of its axes",
                        f"{device}.{level}: {values.shape}",
                        "Make the map again.",
                    )

    def look_up(
        self, level: str, device: str, *, size: int, R_wire: float, G_max: float, V_read: float
    ) -> float:
        """Largest error that was measured for problems up to this one; NaN if none covers it.

        Args:
            level: one of `LEVELS`.
            device: registered name.
            size: the larger of rows and columns.
            R_wire: ohm a segment, with line ends counted as `equivalent_wire` does.
            G_max: largest conductance, S.
            V_read: largest voltage of a line, V.
        """
        errors = self.errors.get(device, {}).get(level)
        place = dict(zip(AXES, (size, R_wire, G_max, V_read), strict=True))
        if errors is None:
            return math.nan
        part = []
        for name in AXES:
            index = int(np.searchsorted(np.array(self.axes[name]) * _SLACK, place[name]))
            if index == len(self.axes[name]):
                return math.nan
            part.append(slice(index + 1))
        return float(errors[tuple(part)].max())

    def error(self, level: str, crossbar: Crossbar, V: float) -> float:
        """`look_up` for a crossbar (or the worst of a batch) driven with up to `V` volts.

        NaN also for a device whose parameters are not those of the sweep, the defaults.
        """
        known = devices.names()
        device = crossbar.device
        if device.name not in known or device != devices.get(device.name):
            return math.nan
        return self.look_up(
            level,
            device.name,
            size=max(crossbar.rows, crossbar.cols),
            R_wire=equivalent_wire(crossbar),
            G_max=float(crossbar.G.max()),
            V_read=V,
        )

    def largest(self, level: str, device: str, error: float) -> Indices:
        """Largest size within an error, (R_wire, G_max, V_read) as in `axes`; 0 where none is."""
        inside = self._below(device, level) <= error
        # The errors of `_below` rise with the size: the last size inside is their number.
        return np.array([0, *self.axes["size"]])[inside.sum(axis=0)]

    def _below(self, device: str, level: str) -> Array:
        """Largest error of each grid point and of all below it, shaped as the errors."""
        found = self.errors[device][level]
        for axis in range(found.ndim):
            found = np.maximum.accumulate(found, axis=axis)
        return found

    def to_toml(self) -> str:
        """The map as TOML; one line for each size and wire resistance."""
        import tomli_w

        head = tomli_w.dumps({"format": 1, "source": self.source, "axes": self.axes})
        lines = [
            "# Errors of the surrogate's levels against ngspice, relative to the largest output",
            "# current: errors.<device>.<level>[size][R_wire][G_max][V_read]. Above the size",
            "# reference_up_to ngspice solves one point a device, the surrogate the others. By",
            "# `xbarspice verify --map`; what it means: xbarspice/surrogate/trust.py.",
            head,
        ]
        for device, levels in self.errors.items():
            lines.append(f"[errors.{device}]")
            for level, values in levels.items():
                lines.append(f"{level} = [")
                for by_size in values:
                    rows = (
                        "["
                        + ", ".join(
                            "[" + ", ".join(f"{v:.3e}" for v in row) + "]" for row in by_wire
                        )
                        + "]"
                        for by_wire in by_size
                    )
                    lines += ["  [", *(f"    {row}," for row in rows), "  ],"]
                lines.append("]")
            lines.append("")
        return "\n".join(lines)


def load(path: Path) -> TrustMap:
    """Read a map that `xbarspice verify --map` wrote.

    Raises:
        InputError: the file is missing or no such map.
    """
    try:
        return _parse(Path(path).read_text(encoding="utf-8"), Path(path).name)
    except (OSError, UnicodeDecodeError) as error:
        raise broken_rule(
            "the trust map must exist and be readable",
            f"{path} ({error})",
            f"Check the path, or unset {VARIABLE}.",
        ) from error


def _parse(text: str, name: str) -> TrustMap:
    data = parse_toml(text, name)
    try:
        parts = {"format", "axes", "errors", "source"}
        version = data.get("format")
        known = type(version) is int and version == 1  # `true` is equal to 1
        if not known or set(data) != parts or set(data["axes"]) != set(AXES):
            raise ValueError(f"it must hold format 1, source, errors, axes {', '.join(AXES)}")
        again = "Make it again."
        axes = {k: array_of(f"axes.{k}", data["axes"][k], rank=1, remedy=again) for k in AXES}
        if any((axis <= 0).any() or (np.diff(axis) <= 0).any() for axis in axes.values()):
            raise ValueError("every axis must rise from above 0")
        return TrustMap(
            axes={k: tuple(axis.tolist()) for k, axis in axes.items()},
            errors={
                device: {
                    level: array_of(f"{device}.{level}", v, low=0.0, finite=False, remedy=again)
                    for level, v in levels.items()
                }
                for device, levels in data["errors"].items()
            },
            source=dict(data["source"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` must be a map of `xbarspice verify --map`; {error}. Make it again."
        ) from error


def packaged() -> TrustMap:
    """The map in use: of `XBARSPICE_TRUST_MAP` if it is set, else that of the package."""
    return _packaged(os.environ.get(VARIABLE, ""))


@cache
def _packaged(path: str) -> TrustMap:
    if path:
        return load(Path(path))
    place = resources.files("xbarspice.surrogate").joinpath("trust_map.toml")
    return _parse(place.read_text(encoding="utf-8"), "trust_map.toml")


def equivalent_wire(crossbar: Crossbar) -> float:
    """Wire resistance (ohm a segment) that loses about as much as wires and line ends together.

    ``max(R_wl + 2 R_end / cols, R_bl + 2 R_end / rows)``: a wire of n segments R that feeds n
    equal devices loses about ``n^2 R I / 2`` at its end, an end resistance ``n R_end I``. Where
    resistances differ, the largest of a kind stands for all of them.
    """
    cells = (crossbar.cols, crossbar.rows)
    wires = (largest_of(R) for R in (crossbar.R_wl, crossbar.R_bl))
    ends = (largest_of(R[math.inf > R]) for R in crossbar.end_resistances)
    return max(R + 2 * R_end / n for R, R_end, n in zip(wires, ends, cells, strict=True))


def trusted(
    level: str,
    crossbar: Crossbar,
    V: float,
    *,
    error: float | None = None,
    trust: TrustMap | None = None,
) -> bool:
    """Whether a level stays within an error (default: `ERRORS`) for a crossbar, by the map.

    False also where the map does not reach. `V` is the largest line voltage, V.
    """
    found = (trust or packaged()).error(level, crossbar, V)
    return bool(found <= (ERRORS.get(level, math.inf) if error is None else error))


_said: set[tuple[Any, ...]] = set()


def warn_outside(
    level: str,
    crossbars: Sequence[Crossbar],
    V: float,
    *,
    error: float | None = None,
    trust: TrustMap | None = None,
) -> None:
    """Warn once a configuration if a level is used where the map does not vouch for it.

    Args:
        level: "ideal", "linear" or "float32"; the exact level "nonlinear" never warns. The linear
            level of ohmic devices, and without wires the ideal one, are exact and never warn.
        crossbars: the arrays.
        V: largest line voltage, V.
        error: error that is still accepted; None for `ERRORS`.
        trust: a map of one's own; None for `packaged`.

    Warns:
        TrustWarning: names level, array, the measured error and what to use instead.
    """
    if level not in ERRORS:
        return
    limit = ERRORS[level] if error is None else error
    for c in crossbars:
        wired = level == "ideal" and equivalent_wire(c) > 0
        if level != "float32" and c.device.linear and not wired:
            continue  # exact
        place = (c.rows, c.cols, round(equivalent_wire(c), 6), repr(c.device), float(c.G.max()))
        key = (level, limit, trust, os.environ.get(VARIABLE), *place)
        if key in _said:
            continue
        found = (trust or packaged()).error(level, c, V)
        if found <= limit:
            continue
        _said.add(key)
        what = (
            f"the map has no such array (size, wires, G_max, voltage or {c.device.name!r} with "
            "these parameters)"
            if math.isnan(found)
            else f"up to {found:.2g} of the largest current was measured against ngspice"
        )
        warnings.warn(
            f"the {level} level is used outside of its trust region ({limit:g}): {c.rows}x{c.cols},"
            f" {place[2]:g} ohm a segment with line ends, {c.device.name}, up to "
            f"{place[-1] * 1e6:.4g} uS and {V:.3g} V; {what}. "
            'Use engine="surrogate" (exact), or regenerate the map: xbarspice verify --map.',
            TrustWarning,
            stacklevel=level_outside(),
        )
