"""`xb.verify_array`: do several engines give the same currents for one array?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from xbarspice import engines as engine_room
from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.line_ends import End
from xbarspice.core.seeds import child_rng
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array
from xbarspice.core.values import array_of
from xbarspice.core.wires import as_record
from xbarspice.verification.array_findings import array_findings, array_mistakes
from xbarspice.verification.array_records import (
    ArrayVerification,
    EngineCheck,
    GivenRecord,
    LineCheck,
    find_unjudged,
    gates_of,
)
from xbarspice.verification.clock import Clock, Progress
from xbarspice.verification.compare import (
    error_of,
    ideal_distance,
    output_lines,
    source_power,
    voltage_drop,
    worst_device,
)
from xbarspice.verification.engine_names import check_engines
from xbarspice.verification.finding import with_hints
from xbarspice.verification.results import DeviceRecord, DropRecord, Gates, IdealRecord
from xbarspice.verification.trust import trust_of

__all__ = ["ArrayVerification", "verify_array"]
Vectors = tuple[Array, Array]
"""Voltages of word lines and bit lines, V, (vectors, rows) and (vectors, cols)."""


def verify_array(
    crossbar: Crossbar,
    V_in: npt.ArrayLike | None = None,
    V_out: npt.ArrayLike | None = None,
    *,
    I_out: npt.ArrayLike | None = None,
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
    progress: Progress = lambda stage, count, total: None,
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
        progress: called with (stage, count, total).

    Raises:
        InputError: an argument breaks a rule. EngineError: an engine failed.
    """
    names, limits, clock = check_engines(reference, engines), gates or Gates(), Clock()
    _refuse(crossbar, probes)
    stated = _stated_vectors(crossbar, V_in, V_out)
    stated_currents = _stated_currents(crossbar, stated, I_out)
    V, counts = _vectors(crossbar, stated, random, probes, V_read, seed)
    suspicious = array_findings(crossbar, *V)
    if "surrogate" in names:  # compiles its kernels: not part of its time
        engine_room.solve(crossbar, V[0][:1], V[1][:1], engine="surrogate", outside="ignore")
    clock.stop("preparing")
    try:
        answers = _solve(crossbar, V, (reference, *names), clock, progress)
    except EngineError as error:
        raise with_hints(error, suspicious) from error
    golden, lines = answers[reference], output_lines(crossbar)
    currents = lines.currents(golden)
    scale = lines.largest(currents)
    report = ArrayVerification(
        title=title or f"A {crossbar.rows} x {crossbar.cols} array",
        array=_describe(crossbar),
        reference=reference,
        method=golden.stats.method,
        vectors=counts[0],
        probes=counts[1],
        I_max=scale,
        kirchhoff=float(golden.stats.residual),
        bound=float(golden.error_at_most) / scale,
        engines=tuple(_check(name, crossbar, answers[name], golden, V) for name in names),
        ideal=IdealRecord(**ideal_distance(crossbar, lines, currents, *V)),
        drop=DropRecord(**voltage_drop(crossbar, _across(crossbar, V, answers), *V)),
        given=None if stated_currents is None else _compare(crossbar, golden, stated_currents),
        trust=trust_of([(crossbar, _largest(V))], trust_error),
        energy=tuple((t_read * source_power(golden, *V)).tolist()),
        findings=(),
        answers=answers,
        crossbar=crossbar,
        V_in=V[0],
        V_out=V[1],
    )
    findings = (*suspicious, *array_mistakes(report, limits, stated_currents))
    clock.stop("judging")
    report = replace(report, findings=findings, seconds=clock.seconds)
    gates_, unjudged = gates_of(report, limits), find_unjudged(report, limits)
    return replace(report, gates=tuple(gates_), unjudged=tuple(unjudged))


def _stated_vectors(
    crossbar: Crossbar, V_in: npt.ArrayLike | None, V_out: npt.ArrayLike | None
) -> Drive | None:
    """The voltages that came with the array, checked; None without any."""
    if V_in is None and V_out is None:
        return None
    zero = np.zeros((1, crossbar.rows))
    return crossbar.drive(zero if V_in is None else np.atleast_2d(np.asarray(V_in)), V_out)


def _solve(
    crossbar: Crossbar,
    V: Vectors,
    names: Sequence[str],
    clock: Clock,
    progress: Progress,
) -> dict[str, Solution]:
    """Full answers of all engines by name, each with its time on the clock."""
    answers: dict[str, Solution] = {}
    for name in names:
        progress(f"solving with {name}", 0, 1)
        answers[name] = _full(crossbar, V, name)
        clock.stop(name)
    return answers


def _full(crossbar: Crossbar, V: Vectors, engine: str) -> Solution:
    return engine_room.solve(crossbar, *V, engine=engine, full=True, outside="ignore")


def _across(crossbar: Crossbar, V: Vectors, answers: Mapping[str, Solution]) -> Array:
    """Voltages across all devices by the surrogate, V, (vectors, rows, cols)."""
    answer = answers.get("surrogate") or _full(crossbar, V, "surrogate")
    return answer.V_wl - answer.V_bl


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


def _stated_currents(
    crossbar: Crossbar, drive: Drive | None, I_out: npt.ArrayLike | None
) -> Array | None:
    """The currents that came with the array, A, (vectors, cols), checked; None without any."""
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
    crossbar: Crossbar, drive: Drive | None, random: int, probes: int, V_read: float, seed: int
) -> tuple[Vectors, tuple[int, int]]:
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


def _largest(V: Vectors) -> float:
    """The largest line voltage, V."""
    return max(float(np.abs(v).max(initial=0.0)) for v in V)


def _describe(crossbar: Crossbar) -> dict[str, object]:
    model = crossbar.device
    parameters = {name: getattr(model, name) for name in getattr(model, "__dataclass_fields__", {})}
    return {
        "shape": [crossbar.rows, crossbar.cols],
        "devices": int(np.count_nonzero(crossbar.G)),
        **{name: as_record(R) for name, R in crossbar.wires.items()},
        "device": model.name,
        "device_parameters": parameters,
        "outputs": list(output_lines(crossbar).names),
    }


def _check(
    name: str, crossbar: Crossbar, answer: Solution, golden: Solution, V: Vectors
) -> EngineCheck:
    lines = output_lines(crossbar)
    target = lines.currents(golden)
    error = np.abs(lines.currents(answer) - target) / lines.largest(target)
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


def _compare(crossbar: Crossbar, golden: Solution, I_out: Array) -> GivenRecord:
    """The stated currents of all held bit lines against the reference's."""
    held = crossbar.held[1]
    reference = golden.I_out[: len(I_out)][:, held]
    currents = I_out[:, held]
    error = np.abs(currents - reference) / (float(np.max(np.abs(reference), initial=0.0)) or 1.0)
    vector, col = (int(k) for k in np.unravel_index(np.argmax(error), error.shape))
    return GivenRecord(
        worst=float(error[vector, col]),
        rms=float(np.sqrt(np.mean(error**2))),
        vector=vector,
        line=f"BL{int(np.flatnonzero(held)[col])}",
        I_reference=float(reference[vector, col]),
        I_given=float(currents[vector, col]),
    )
