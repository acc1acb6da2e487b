"""Ready functions for campaigns: solve a crossbar, or run a mapped network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice import engines
from xbarspice.array import Crossbar
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.mapping.reads import Read
from xbarspice.solution import Stats
from xbarspice.studies.inference import infer

__all__ = ["compare_item", "infer_item", "solve_item"]

Array = npt.NDArray[np.float64]


def _engine(name: str, settings: Mapping[str, Any] | None) -> engines.Engine:
    if not isinstance(name, str):
        raise broken_rule(
            "an item must name its engine", type(name).__name__,
            f"Use one of {engines.names()} and put its settings into `engine_settings`.",
        )  # fmt: skip
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
    known = {"crossbar", "V_in", "V_out", "engine", "engine_settings", "full", "label"}
    if extra := sorted(set(parameters) - known):
        raise broken_rule(f"parameters must be among {sorted(known)}", extra, "Correct the name.")
    crossbar: Crossbar = parameters["crossbar"]
    full = bool(parameters.get("full", False))
    solution = engines.solve(
        crossbar, parameters["V_in"], parameters.get("V_out"), full=full,
        engine=_engine(parameters["engine"], parameters.get("engine_settings")),
        outside="ignore",  # the notes say so
    )  # fmt: skip
    out = {"I_out": solution.I_out, "I_in": solution.I_in, **_told([solution.stats])}
    if full:
        out |= {name: getattr(solution, name) for name in ("V_wl", "V_bl", "I_device")}
    return out


def infer_item(parameters: Mapping[str, Any], *, x: Any = None, y: Any = None) -> dict[str, Any]:
    """Run network inputs through a mapped network with one engine.

    Args:
        parameters: mapped (`MappedNetwork`) and engine (its name); and if wanted engine_settings.
        x: network inputs, (points, inputs); fix them with ``functools.partial``, so that they
            travel to every worker once.
        y: classes, (points,), if known.

    Returns:
        logits (points, outputs), predictions (points,), method, notes, residual, solve_seconds,
        and with `y` the accuracy.

    Raises:
        InputError, EngineError: as `xbarspice.solve`.
    """
    mapped: MappedNetwork = parameters["mapped"]
    engine = _engine(parameters["engine"], parameters.get("engine_settings"))
    answer = infer(mapped, x, engine)
    out = {"logits": answer.sums[-1], "predictions": answer.predictions}
    if y is not None:
        out["accuracy"] = float(np.mean(answer.predictions == np.asarray(y)))
    return out | _told([block.solution.stats for block in answer.blocks])


def compare_item(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Solve one array by the reference and the judged engines, and compare the sensed currents.

    Args:
        parameters: crossbar, read (`mapping.reads.Read`: its sensed lines), V_in and V_out (V,
            (vectors, rows) and (vectors, cols)), drives (how many of the vectors are the model's
            own, before the probes), reference and engines (their names).

    Returns:
        By engine ``worst``, ``column``, ``vector`` and ``bound``, what the engine itself could say
        of its error over ``I_max`` (not what is measured against a third answer: two errors of any
        size explain their difference); and of the reference the same ``bound``, ``I_max`` (A),
        ``currents`` (A, (vectors, sensed lines)), ``seconds``, ``method``, ``notes``, ``power`` (W,
        mean over the drives) and ``least_voltage`` (V): the least voltage that any device of the
        read has in the best of the probes.
    """
    crossbar, read = parameters["crossbar"], parameters["read"]
    V_in, V_out = parameters["V_in"], parameters["V_out"]
    golden = engines.solve(crossbar, V_in, V_out, engine=parameters["reference"])
    wanted = read.currents(golden.I_in, golden.I_out).reshape(len(V_in), -1)
    I_max = float(np.max(np.abs(wanted))) or 1.0
    out: dict[str, Any] = {
        "I_max": I_max,
        "currents": wanted,
        "seconds": golden.stats.seconds,
        "method": golden.stats.method,
        "notes": "; ".join(golden.stats.notes),
        "bound": golden.error_at_most / I_max,
    }
    first = int(parameters["drives"])
    power = (V_in * golden.I_in).sum(axis=1) - (V_out * golden.I_out).sum(axis=1)
    out["power"] = float(power[:first].mean()) if first else 0.0
    for name in parameters["engines"]:
        answer = engines.solve(crossbar, V_in, V_out, engine=name)
        currents = read.currents(answer.I_in, answer.I_out).reshape(wanted.shape)
        error = np.abs(currents - wanted) / I_max
        vector, column = np.unravel_index(np.argmax(error), error.shape)
        out[name] = {
            "worst": float(error[vector, column]),
            "vector": int(vector),
            "column": int(column),
            "bound": answer.error_at_most / I_max,
        }
    out["least_voltage"] = _least_voltage(crossbar, read, V_in[first:], V_out[first:])
    return out


def _least_voltage(crossbar: Crossbar, read: Read, V_in: Array, V_out: Array) -> float:
    """Over all devices of the read, the least of the largest voltage that probes put across each.

    In V; the devices of another read of the same array are left out.
    """
    if not len(V_in):
        return 0.0
    answer = engines.solve(crossbar, V_in, V_out, engine="surrogate", full=True)
    across = read.take(np.abs(answer.V_wl - answer.V_bl).max(axis=0))
    present = read.take(crossbar.G) > 0
    return float(across[present].min()) if present.any() else 0.0
