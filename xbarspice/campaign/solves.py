"""Ready functions for campaigns: solve a crossbar, or compare engines on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.solution import Stats

__all__ = ["solve_item"]


def _engine(name: str, settings: Mapping[str, Any] | None) -> engines.Engine:
    if not isinstance(name, str):
        raise broken_rule(
            "an item must name its engine",
            type(name).__name__,
            f"Use one of {engines.names()} and put its settings into `engine_settings`.",
        )
    back_end = engines.get(name)
    return type(back_end)(**settings) if settings else back_end


def _told(stats: list[Stats]) -> dict[str, Any]:
    notes = dict.fromkeys(note for s in stats for note in s.notes)
    return {
        "method": "; ".join(dict.fromkeys(s.method for s in stats)),
        "notes": "; ".join(notes),
        "solve_seconds": sum(s.seconds for s in stats),
        "residual": float(np.nanmax([s.residual for s in stats]))
        if any(s.residual == s.residual for s in stats)
        else float("nan"),
    }


def solve_item(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Solve one crossbar with one engine.

    Args:
        parameters: crossbar (`Crossbar`), V_in (V, (..., rows)) and engine (its name); and if
            wanted V_out (V, (..., cols)), engine_settings (arguments of the engine's class) and
            full (also give V_wl, V_bl and I_device).

    Returns:
        I_out (A, (..., cols)), I_in (A, (..., rows)), method, notes, residual and solve_seconds;
        with `full` also V_wl, V_bl (V) and I_device (A), each (..., rows, cols).

    Raises:
        InputError, EngineError: as `xbarspice.solve`.
    """
    names = {"crossbar", "V_in", "V_out", "engine", "engine_settings", "full", "label"}
    if extra := sorted(set(parameters) - names):
        raise broken_rule(f"parameters must be among {sorted(names)}", extra, "Correct the name.")
    crossbar: Crossbar = parameters["crossbar"]
    full = bool(parameters.get("full", False))
    solution = engines.solve(
        crossbar,
        parameters["V_in"],
        parameters.get("V_out"),
        full=full,
        engine=_engine(parameters["engine"], parameters.get("engine_settings")),
        outside="ignore",  # the notes say so
    )
    out = {"I_out": solution.I_out, "I_in": solution.I_in, **_told([solution.stats])}
    if full:
        out |= {name: getattr(solution, name) for name in ("V_wl", "V_bl", "I_device")}
    return out
