"""`xb.verify_array`: do several engines give the same currents for one array?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice import engines as engine_room
from xbarspice.config import child_rng
from xbarspice.core.array import Crossbar, End
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array
from xbarspice.core.values import array_of
from xbarspice.engines.overdrive import overdrive
from xbarspice.verification.array_records import (
    ArrayVerification,
    EngineCheck,
    GivenRecord,
    LineCheck,
    beyond,
    gates_of,
    unjudged_of,
)
from xbarspice.verification.compare import (
    error_of,
    ideal_distance,
    output_lines,
    source_power,
    voltage_drop,
    worst_device,
)
from xbarspice.verification.current_detectors import CurrentEvidence, current_findings
from xbarspice.verification.finding import Finding
from xbarspice.verification.inputs import checked_engines
from xbarspice.verification.results import DeviceRecord, DropRecord, Gates, IdealRecord
from xbarspice.verification.solves import Clock, Progress
from xbarspice.verification.trust import trust_of
from xbarspice.verification.weight_detectors import magnitude_findings

__all__ = ["ArrayVerification", "verify_array"]


EXPLAINED = 20
"""Vectors whose currents are explained: enough to tell one mistake from another."""
MEASURED = 1e-3
"""Error of given currents from which they are explained where no gate is set."""


def verify_array(
    crossbar: Crossbar,
    V_in: npt.ArrayLike | None = None,
    V_out: npt.ArrayLike | None = None,
    I_out: npt.ArrayLike | None = None,
    *,
    engines: Sequence[str] = ("nodal", "surrogate"),
    reference: str = "ngspice",
    gates: Gates | None = None,
    random: int = 0,
    probes: int = 1,
    V_read: float = 0.2,
    t_read: float = 100e-9,
    trust_error: float = 5e-2,
    seed: int = 0,
    title: str = "",
    progress: Progress = lambda stage, done, total: None,
) -> ArrayVerification:
    """Verify one array: every engine against a reference, at every node, and given currents.

    Judged are the currents of all sensed lines and of driven bit lines, whatever the line ends are.

    Args:
        crossbar: one array, G of shape (rows, cols).
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols); only driven lines take
            them. None: 0 V.
        I_out: currents that someone measured or computed for these voltages, A, (vectors, cols).
        engines: whom to judge.
        reference: whom to judge against.
        gates: what must hold.
        random: more vectors: driven lines uniform in [0, V_read].
        probes: more vectors: driven lines uniform in [-V_read, V_read].
        V_read: full scale of random vectors and probes, V.
        t_read: length of a read, s.
        trust_error: error up to which the trust map calls a level of the surrogate trusted.
        seed: of random vectors and probes.
        title: of the report.
        progress: called with (stage, done, total).

    Raises:
        InputError: an argument breaks a rule. EngineError: an engine failed.
    """
    names, limits, clock = checked_engines(reference, engines), gates or Gates(), Clock()
    _refuse(crossbar, probes)
    wanted = None if V_in is None and V_out is None else crossbar.drive(
        np.zeros((1, crossbar.rows)) if V_in is None else np.atleast_2d(np.asarray(V_in)), V_out
    )  # fmt: skip
    given = _given_currents(crossbar, wanted, I_out)
    V, counts = _vectors(crossbar, wanted, random, probes, V_read, seed)
    before = _before(crossbar, V)
    answers: dict[str, Solution] = {}
    if "surrogate" in names:  # compiles its kernels: not part of its time
        engine_room.solve(crossbar, V[0][:1], V[1][:1], engine="surrogate", outside="ignore")
    clock.stop("preparing")
    for name in (reference, *names):
        progress(f"solving with {name}", 0, 1)
        try:
            answers[name] = engine_room.solve(
                crossbar, *V, engine=name, full=True, outside="ignore"
            )
        except EngineError as error:
            raise _with_hints(error, before) from error
        clock.stop(name)
    golden, lines = answers[reference], output_lines(crossbar)
    inner = answers.get("surrogate") or engine_room.solve(
        crossbar, *V, engine="surrogate", full=True, outside="ignore"
    )
    scale = lines.largest(lines.currents(golden))
    report = ArrayVerification(
        title=title or f"A {crossbar.rows} x {crossbar.cols} array",
        array=_described(crossbar),
        reference=reference,
        method=golden.stats.method,
        vectors=counts[0],
        probes=counts[1],
        I_max=scale,
        kirchhoff=float(golden.stats.residual),
        bound=float(golden.error_at_most) / scale,
        engines=tuple(_check(name, crossbar, answers[name], golden, V) for name in names),
        ideal=IdealRecord(**ideal_distance(crossbar, lines, golden, *V)),
        drop=DropRecord(**voltage_drop(crossbar, inner, *V)),
        given=None if given is None else _judged(crossbar, golden, given),
        trust=trust_of([(crossbar, _largest(V))], trust_error),
        energy=tuple((t_read * source_power(golden, *V)).tolist()),
        findings=(),
        answers=answers,
        crossbar=crossbar,
        V_in=V[0],
        V_out=V[1],
    )
    found = (*before, *_after(report, limits, given))
    clock.stop("judging")
    report = replace(report, findings=found, seconds=clock.seconds)
    return replace(
        report, gates=tuple(gates_of(report, limits)), unjudged=tuple(unjudged_of(report, limits))
    )


def _refuse(crossbar: Crossbar, probes: int) -> None:
    if crossbar.batch:
        raise broken_rule(
            "one array is verified at a time",
            f"G of shape {crossbar.G.shape}",
            "Pass one (rows, cols) slice.",
        )
    if probes < 0:
        raise broken_rule("`probes` must be >= 0", probes, "1 is usual.")
    driven = [(e == End.DRIVEN).any() for e in (crossbar.wl_ends, crossbar.bl_ends)]
    if not any(driven):
        raise broken_rule("an array needs a driven line", "none", "Drive the word lines.")
    if not output_lines(crossbar).names:
        raise broken_rule(
            "an array needs a sensed line or a driven bit line", "none", "Sense the bit lines."
        )


def _given_currents(crossbar: Crossbar, drive: Any, I_out: npt.ArrayLike | None) -> Array | None:
    if I_out is None:
        return None
    if drive is None:
        raise broken_rule("currents belong to voltages", "I_out without V_in", "Pass V_in too.")
    shape = (len(drive.V_in), crossbar.cols)
    currents = np.atleast_2d(array_of("I_out", I_out))
    if currents.shape != shape:
        raise broken_rule(
            f"`I_out` must have the shape {shape}",
            currents.shape,
            "Give one current a bit line for every vector.",
        )
    return currents


def _vectors(
    crossbar: Crossbar, drive: Any, random: int, probes: int, V_read: float, seed: int
) -> tuple[tuple[Array, Array], tuple[int, int]]:
    """All voltages in the order given, random, probes, and how many are no probes and probes."""
    wl, bl = ((e == End.DRIVEN).any(axis=1) for e in (crossbar.wl_ends, crossbar.bl_ends))
    V_in: list[Array] = [] if drive is None else [drive.V_in]
    V_out: list[Array] = [] if drive is None else [drive.V_out]
    count = 0 if drive is None else len(drive.V_in)
    for name, number, low in (("inputs", random, 0.0), ("probes", probes, -V_read)):
        rng = child_rng(seed, name)
        V_in.append(rng.uniform(low, V_read, (number, crossbar.rows)) * wl)
        V_out.append(rng.uniform(low, V_read, (number, crossbar.cols)) * bl)
    if not count + random + probes:
        raise broken_rule("an array needs at least one vector", "none", "Pass V_in or random=.")
    return (np.concatenate(V_in), np.concatenate(V_out)), (count + random, probes)


def _largest(V: tuple[Array, Array]) -> float:
    """The largest line voltage, V."""
    return max(float(np.abs(v).max(initial=0.0)) for v in V)


def _described(crossbar: Crossbar) -> dict[str, Any]:
    wires = {name: getattr(crossbar, name) for name in ("R_wl", "R_bl", "R_driver", "R_sense")}
    model = crossbar.device
    parameters = {name: getattr(model, name) for name in getattr(model, "__dataclass_fields__", {})}
    return {
        "shape": [crossbar.rows, crossbar.cols],
        "devices": int(np.count_nonzero(crossbar.G)),
        **wires,
        "device": model.name,
        "device_parameters": parameters,
        "outputs": list(output_lines(crossbar).names),
    }


def _before(crossbar: Crossbar, V: tuple[Array, Array]) -> list[Finding]:
    """What can be seen before anything is solved."""
    present = crossbar.G[crossbar.G > 0]
    low, high = (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)
    out = magnitude_findings(crossbar, _largest(V), low, high, pairs=False, where="the array")
    found = overdrive(crossbar, crossbar.drive(*V))
    if found is not None:
        out.append(
            Finding(
                kind="beyond the device's range",
                where="the array",
                text=f"{found.text[0].upper()}{found.text[1:]}.",
                remedy="Lower the voltages, or use a device model that is valid there.",
                evidence={"value": found.V, "limit": found.limit, "count": float(found.count)},
            )
        )
    return out


def _with_hints(error: EngineError, found: Sequence[Finding]) -> EngineError:
    if not found:
        return error
    hints = " ".join(f"{f.where}: {f.text} {f.remedy}" for f in found)
    return type(error)(f"{error} Before the solve: {hints}")


def _check(
    name: str, crossbar: Crossbar, answer: Solution, golden: Solution, V: tuple[Array, Array]
) -> EngineCheck:
    lines = output_lines(crossbar)
    wanted = lines.currents(golden)
    error = np.abs(lines.currents(answer) - wanted) / lines.largest(wanted)
    return EngineCheck(
        engine=name,
        method=answer.stats.method,
        notes=answer.stats.notes,
        seconds=answer.stats.seconds,
        **error_of(lines, answer, golden),
        lines=tuple(
            LineCheck(
                line=line,
                worst=float(error[:, k].max()),
                rms=float(np.sqrt(np.mean(error[:, k] ** 2))),
            )
            for k, line in enumerate(lines.names)
        ),
        device=DeviceRecord(**worst_device(crossbar, answer, golden, *V)),
    )


def _judged(crossbar: Crossbar, golden: Solution, given: Array) -> GivenRecord:
    """The given currents of all held bit lines against the reference's."""
    held = crossbar.held[1]
    reference = golden.I_out[: len(given)][:, held]
    given = given[:, held]
    error = np.abs(given - reference) / (float(np.max(np.abs(reference), initial=0.0)) or 1.0)
    vector, col = (int(k) for k in np.unravel_index(np.argmax(error), error.shape))
    return GivenRecord(
        worst=float(error[vector, col]),
        rms=float(np.sqrt(np.mean(error**2))),
        vector=vector,
        line=f"BL{int(np.flatnonzero(held)[col])}",
        I_reference=float(reference[vector, col]),
        I_given=float(given[vector, col]),
    )


def _after(report: ArrayVerification, limits: Gates, given: Array | None) -> list[Finding]:
    """Common mistakes that explain currents that disagree: the given ones, then each engine's."""
    tolerance = min(limits.given or MEASURED, MEASURED)
    cases = []
    if given is not None and report.given is not None and report.given.worst > tolerance:
        cases.append((given, "the given currents"))
    for check in report.engines:
        if not beyond(check.worst, check, report) <= limits.current:
            cases.append((report.answers[check.engine].I_out, f"the currents of {check.engine}"))
    out: list[Finding] = []
    for currents, where in cases:
        part = slice(0, min(len(currents), EXPLAINED))
        out += current_findings(
            CurrentEvidence(
                crossbar=report.crossbar,
                V_in=report.V_in[part],
                V_out=report.V_out[part],
                I_out=currents[part],
                tolerance=tolerance,
                where=where,
            )
        )
    return out
