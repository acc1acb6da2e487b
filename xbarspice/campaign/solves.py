"""Ready functions for campaigns: solve a crossbar, or compare engines on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.solution import Stats

__all__ = ["solve_item", "verify_item"]


def _engine(name: str, settings: Mapping[str, Any] | None) -> engines.Engine:
    if not isinstance(name, str):
        raise broken_rule(
            "an item must name its engine",
            type(name).__name__,
            f"Use one of {engines.names()} and put its settings into `engine_settings`.",
        )
    back_end = engines.get(name)
    return type(back_end)(**settings) if settings else back_end


def _record_of(stats: list[Stats]) -> dict[str, Any]:
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
    out = {"I_out": solution.I_out, "I_in": solution.I_in, **_record_of([solution.stats])}
    if full:
        out |= {name: getattr(solution, name) for name in ("V_wl", "V_bl", "I_device")}
    return out


def verify_item(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Solve arrays by a reference and by a judged engine, and compare their output currents.

    Several arrays make one item as a batch; ngspice then solves small ones in one process.

    Args:
        parameters: crossbar (`Crossbar`, one or a batch of one axis, (arrays, rows, cols)), V_in
            (V, (..., rows); leading axes broadcast with that of the arrays, which is the last); and
            if wanted V_out (V, (..., cols)), engine (judged; "surrogate"), reference ("ngspice"),
            engine_settings and reference_settings (arguments of the engine's class), limit (of the
            error; None: none) and label.

    Returns:
        error (largest difference of an output current, over the largest of the reference's output
        currents of that array, over all vectors; (arrays,)), I_max (A, (arrays,)), bound (of the
        reference's error, over its largest current), method, notes, and seconds of both:
        reference_seconds, engine_seconds.

    Raises:
        InputError, EngineError: as `xbarspice.solve`; EngineError, too, where an error is beyond
            `limit`: the item fails and says which array.
    """
    names = {"crossbar", "V_in", "V_out", "engine", "reference", "limit", "label"}
    names |= {"engine_settings", "reference_settings"}
    if extra := sorted(set(parameters) - names):
        raise broken_rule(f"parameters must be among {sorted(names)}", extra, "Correct the name.")
    crossbar: Crossbar = parameters["crossbar"]
    if len(crossbar.batch) > 1:
        raise broken_rule(
            "an item is one array, or a batch of one axis",
            f"a batch of shape {crossbar.batch}",
            "Flatten it.",
        )
    judged, reference = (
        engines.solve(
            crossbar,
            parameters["V_in"],
            parameters.get("V_out"),
            engine=_engine(parameters.get(name, usual), parameters.get(f"{name}_settings")),
            outside="ignore",  # the notes say so
        )
        for name, usual in (("engine", "surrogate"), ("reference", "ngspice"))
    )
    shape = (-1, len(crossbar.G_flat), crossbar.cols)
    golden = reference.I_out.reshape(shape)
    I_max = np.abs(golden).max(axis=(0, 2))
    error = np.abs(judged.I_out.reshape(shape) - golden).max(axis=(0, 2)) / np.where(
        I_max > 0, I_max, 1.0
    )
    _check_limit(error, parameters.get("limit"), judged.stats.engine, reference.stats.engine)
    record = _record_of([reference.stats])
    return {
        "error": error,
        "I_max": I_max,
        "bound": float(reference.error_at_most) / (float(I_max.max(initial=0.0)) or 1.0),
        "method": record["method"],
        "notes": record["notes"],
        "reference_seconds": reference.stats.seconds,
        "engine_seconds": judged.stats.seconds,
    }


def _check_limit(error: np.ndarray, limit: float | None, judged: str, reference: str) -> None:
    if limit is not None and not (error <= limit).all():
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        raise EngineError(
            f"{judged} must agree with {reference} within {limit:g} of the largest current; of "
            f"array {worst} it is {error[worst]:.3g} off."
        )
