"""The engines, found by name and loaded on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.registry import Registry
from xbarspice.core.solution import Fields, Solution, Stats
from xbarspice.engines.base import Engine, Raw
from xbarspice.engines.series import Series

__all__ = [
    "Engine",
    "Fields",
    "Raw",
    "Series",
    "Stats",
    "get",
    "names",
    "register",
    "registry",
    "solve",
]

registry: Registry[Callable[..., Engine]] = Registry(
    "engine",
    "Use one of these, or add your own with xb.engines.register.",
    objects="an Engine",
)
"""Engines by name: a class, or anything that makes an engine with default settings.

Those that need netlists or compiled kernels stand above this room; the package announces them.
"""

register = registry.register
"""Class decorator: an engine is available as ``engine="name"`` with its default settings."""
names = registry.names

registry.add("nodal", "xbarspice.engines.nodal.engine:NodalEngine")


def get(engine: str | Engine) -> Engine:
    """Return the engine itself, or the one of that name with its default settings.

    Raises:
        InputError: no engine has that name.
        PackageMissingError: a Python package that the engine needs is not installed.
    """
    return engine if isinstance(engine, Engine) else registry.get(engine)()


def solve(
    crossbar: Crossbar,
    V_in: npt.ArrayLike,
    V_out: npt.ArrayLike | None = None,
    *,
    engine: str | Engine = "surrogate",
    full: bool = False,
    check: bool = True,
    outside: Literal["warn", "error", "ignore"] = "warn",
    start: Solution | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Solution:
    """Solve a crossbar for all currents with one engine.

    Args:
        crossbar: the array, or batch of arrays.
        V_in: word-line voltages, V, (..., rows); leading axes broadcast with those of `G`.
        V_out: voltages of driven bit-line ends, V, (..., cols); None for 0 V.
        engine: "surrogate" (fast), "nodal" (sparse LU), "ngspice" (golden), "pyspice"
            (ngspice in this process), an engine object with its own settings, or an
            approximate level of the surrogate: "ideal", "linear" or "float32".
        full: compute node voltages and device currents now; otherwise on first use.
        check: raise on a numerical failure; otherwise leave it in `Solution.status`.
        outside: warn of sources beyond the device's `V_max`, refuse them, or only say so in
            `Solution.stats.notes`.
        start: an earlier answer, or node voltages (V_wl, V_bl) in V, (..., rows, cols) each, to
            start from, of the shape of this answer; see `Engine.solve`.

    Returns:
        The currents and voltages, float64, with status and statistics.

    Raises:
        InputError: an argument breaks a rule, or (outside="error") a source is beyond `V_max`.
        FloatingNodeError: a line has no path to any source.
        ConvergenceError: the stated residual was not met (only with `check`).
        EngineError: the engine failed; `EngineMissingError` if it is not installed.

    Warns:
        RangeWarning: a source is beyond the device's `V_max`: line, voltage and limit, once a call
            (only with outside="warn").
    """
    back_end = get(engine)
    return back_end.solve(
        back_end.prepare(crossbar),
        crossbar,
        V_in,
        V_out,
        full=full,
        check=check,
        outside=outside,
        start=start,
    )
