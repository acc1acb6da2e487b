"""The golden engine: all vectors of an array in one ngspice process, every answer checked.

Small arrays of a batch share a process, one circuit after the other.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import End
from xbarspice.core.solution import Stats, Status
from xbarspice.core.types import Array, Indices
from xbarspice.devices import Ohmic
from xbarspice.engines.base import Engine, Raw
from xbarspice.engines.ngspice.checks import (
    Extra,
    Verdict,
    check_currents,
    check_drives,
    check_sums,
    chunks,
    extra_points,
    line_currents,
)
from xbarspice.engines.ngspice.plan import (
    ARRAYS_PER_PROCESS,
    Plan,
    Task,
    groups_of,
    longest_sweep,
    points_of,
    tasks_of,
    vectors_a_point,
)
from xbarspice.engines.ngspice.probe import NgspiceInfo, ngspice_info
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.engines.ngspice.runner import Circuit, control_section, run_circuits, run_deck
from xbarspice.netlist import build
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import Netlist

__all__ = ["NgspiceEngine"]


@dataclass(frozen=True)
class _Posed:
    """A task as records, where its answers go, and what the check of its run found.

    Attributes:
        task: the task.
        netlist: records of the array, with the drive of every point.
        extra: the points that nobody asked for.
        weights: of the unit vectors in each answer, (solves, units); None where the vectors
            themselves are points.
        part: answers of the points asked for.
        verdicts: one, when the run was checked.
    """

    task: Task
    netlist: Netlist
    extra: Extra
    weights: Array | None
    part: dict[str, Array]
    verdicts: list[Verdict]

    def accept(self, raw: RawFile) -> None:
        self.verdicts.append(_take(self.netlist, raw, self.extra, self.part))


class NgspiceEngine(Engine):
    """ngspice in batch mode, one process for all vectors of an array, processes in parallel.

    Small arrays of a batch share a process (`ARRAYS_PER_PROCESS`); they are circuits of their own.

    Args:
        executable: name or path of ngspice; None looks for it on PATH.
        timeout: wall-clock limit of each process in seconds.
        workers: processes at the same time; None for one a CPU.
        keep: keep the run directories; their names are in `Solution.stats.notes`.
        directory: where the run directories are made; None for the temporary directory.
        progress: show a progress bar over the processes.

    An ohmic array is a netlist of plain resistors, so with more vectors than driven lines its unit
    vectors are swept and the answers superposed (5e-14); `Solution.stats.notes` says so. Every
    vector of a nonlinear array is a point of its own.

    Accuracy: over sizes of 2 to 64, wires of 0 to 10 ohm and all device models the output currents
    agree with refined sparse solves to 5e-12 of the largest or, where that is more, to 6e-15 V_max
    g_max, the rounding of the node voltages times the largest conductance of the circuit: with
    wires of 0.01 ohm up to some 1e-9 of the largest (see `xbarspice.netlist.tolerances`;
    the voltages are the largest of one process). Drive voltages arrive within 4e-16.

    Checks: at every point of every process the drive is the one asked for and Kirchhoff's law holds
    at every node; every process also solves a random point that drives all lines, and for linear
    arrays a combination of the asked points, whose currents must be that combination of theirs (see
    `xbarspice.engines.ngspice.checks`).

    Raises:
        EngineMissingError: ngspice is not installed (from `prepare`).
        ConvergenceError: ngspice found no operating point.
        EngineError: anything else that makes an answer untrustworthy, also with ``check=False``.
    """

    name = "ngspice"
    program = "ngspice"
    arrays_per_process = ARRAYS_PER_PROCESS

    def __init__(
        self,
        *,
        executable: str | os.PathLike[str] | None = None,
        timeout: float = 600.0,
        workers: int | None = None,
        keep: bool = False,
        directory: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> None:
        if not timeout > 0:
            raise broken_rule("`timeout` must be > 0 s", timeout, "Give a limit in seconds.")
        if workers is not None and workers < 1:
            raise broken_rule("`workers` must be >= 1", workers, "Use None for all cores.")
        self.executable = executable
        self.timeout = timeout
        self.workers = workers or os.cpu_count() or 1
        self.keep = keep
        self.directory = directory
        self.progress = progress

    def plan(self, crossbar: Crossbar, arrays: int, vectors: int) -> Plan:
        """How so many arrays like this one, each under so many vectors, would be solved.

        Args:
            crossbar: one array, or a batch of arrays like those meant.
            arrays, vectors: at least 1 each.
        """
        pieces = -(-vectors // longest_sweep(vectors_a_point(crossbar)))
        longest = -(-vectors // pieces)
        tasks = [Task(k, np.arange(longest)) for k in range(arrays) for _ in range(pieces)]
        groups = groups_of(crossbar, tasks, self.workers, self.arrays_per_process)
        return Plan(
            processes=len(groups),
            side_by_side=min(self.workers, len(groups)),
            sweeps=len(tasks),
            points=points_of(crossbar, longest),
        )

    def _prepare(self, crossbar: Crossbar) -> NgspiceInfo:
        return ngspice_info(self.executable, timeout=min(self.timeout, 20.0))

    def _command(self, info: NgspiceInfo) -> list[str]:
        return [info.path, "-n", "-b"]

    def _solve(self, state: NgspiceInfo, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        groups = groups_of(
            crossbar, tasks_of(crossbar, drive), self.workers, self.arrays_per_process
        )
        N, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
        shapes = {"I_out": (N, cols), "I_in": (N, rows)}
        if full:
            shapes |= dict.fromkeys(("V_wl", "V_bl", "I_device"), (N, rows, cols))
        out = {key: np.empty(shape) for key, shape in shapes.items()}
        out["error"] = np.empty(N)
        residuals: list[float] = [0.0]
        points: list[int] = []
        notes: dict[str, None] = {}
        cancel = threading.Event()

        def work(group: list[Task]) -> None:
            posed = [_pose(crossbar, drive, task, out) for task in group]
            remarks = self._run(state, posed, cancel)
            for each in posed:
                remarks = (*remarks, *_store(each, out))
                residuals.append(each.verdicts[0].residual)
                points.append(each.netlist.vectors)
            notes.update(dict.fromkeys(remarks))

        self._each(work, groups, cancel)
        solver = "KLU" if state.klu else "Sparse 1.3"
        processes = counted(len(groups), "process", "processes")
        stats = Stats(
            engine=self.name,
            method=f"{self.program}-{state.version}, {solver}, {processes}, "
            f"{counted(sum(points), 'point')} checked at every node",
            residual=float(np.max(residuals)),
            notes=tuple(notes),
        )
        out["error"] = _share(crossbar, out)
        return Raw(status=Status.CONVERGED, stats=stats, **out)

    def _each(self, work, groups: list[list[Task]], cancel: threading.Event) -> None:
        """Do all groups in parallel; the first failure ends the others and is raised."""
        with ThreadPoolExecutor(max_workers=min(self.workers, len(groups)) or 1) as pool:
            futures = [pool.submit(work, group) for group in groups]
            with _progress(self.progress, len(groups)) as advance:
                for future in futures:
                    future.add_done_callback(lambda _: advance())
                try:
                    wait(futures, return_when=FIRST_EXCEPTION)
                finally:
                    if any(f.done() and f.exception() for f in futures) or not all(
                        f.done() for f in futures
                    ):
                        cancel.set()
                        pool.shutdown(wait=True, cancel_futures=True)
        failed = [f.exception() for f in futures if not f.cancelled() and f.exception()]
        first = next((e for e in failed if "cancelled because" not in str(e)), None)
        if first is not None:
            raise first

    def _run(
        self, info: NgspiceInfo, posed: list[_Posed], cancel: threading.Event
    ) -> tuple[str, ...]:
        """Solve a group in one process; each takes its answers. Gives remarks for the user."""
        of_process = {
            "klu": info.klu,
            "timeout": self.timeout,
            "keep": self.keep,
            "parent": self.directory,
            "cancel": cancel,
        }
        if len(posed) > 1:
            circuits = [
                Circuit(
                    lines=circuit(each.netlist, klu=info.klu),
                    analysis=dialect.analysis(each.netlist.vectors),
                    points=each.netlist.vectors,
                    accept=each.accept,
                )
                for each in posed
            ]
            return run_circuits(self._command(info), circuits, **of_process)
        (single,) = posed
        lines = deck(single.netlist, klu=info.klu)
        points = single.netlist.vectors
        return run_deck(
            self._command(info), lines, points=points, accept=single.accept, **of_process
        ).notes


def _pose(crossbar: Crossbar, drive: Drive, task: Task, out: dict[str, Array]) -> _Posed:
    """The records of a task and room for its answers."""
    single = crossbar.array(int(task.array))
    V_in, V_out = drive.V_in[task.members], drive.V_out[task.members]
    units = _units(single) if isinstance(single.device, Ohmic) else None
    if units is not None and len(V_in) > len(units[0]):
        weights = V_in @ units[0].T + V_out @ units[1].T
        V_in, V_out = units
    else:
        weights = None
    extra = extra_points(single, V_in, V_out, units=weights is not None)
    netlist = build(
        single, np.concatenate([V_in, extra.V_in]), np.concatenate([V_out, extra.V_out])
    )
    part = {key: np.empty((len(V_in), *v.shape[1:])) for key, v in out.items()}
    return _Posed(task, netlist, extra, weights, part, [])


def _store(posed: _Posed, out: dict[str, Array]) -> tuple[str, ...]:
    """Put answers in their places of `out`; gives remarks for the user."""
    notes, members = posed.verdicts[0].notes, posed.task.members
    if posed.weights is None:
        for key, values in posed.part.items():
            out[key][members] = values
        return notes
    _superpose(posed.weights, posed.part, out, members)
    return (*notes, f"superposed from {len(posed.part['error'])} unit vectors")


def _superpose(
    weights: Array, part: dict[str, Array], out: dict[str, Array], members: Indices
) -> None:
    """Combine the answers to unit vectors; an error grows with the weight of its vector."""
    for some in chunks(len(weights)):
        for key, values in part.items():
            factors = np.abs(weights[some]) if key == "error" else weights[some]
            out[key][members[some]] = np.tensordot(factors, values, axes=1)


def _take(netlist: Netlist, raw: RawFile, extra: Extra, part: dict[str, Array]) -> Verdict:
    """Check a run, and put the answers to what was asked into `part`."""
    check_drives(netlist, raw)
    I_in, I_out = line_currents(netlist, raw)
    keep = part if "V_wl" in part else None
    checked = check_currents(netlist, raw, I_in, I_out, keep=keep)
    check_sums(extra, np.concatenate([I_in, I_out], axis=1), checked.error)
    count = len(part["error"])
    for key, values in (("I_in", I_in), ("I_out", I_out), ("error", checked.error)):
        part[key][:] = values[:count]
    return checked


def _share(crossbar: Crossbar, out: dict[str, Array]) -> Array:
    """The errors of all solves as shares of their largest output current."""
    sensed = (crossbar.bl_ends != End.FLOATING).any()
    largest = np.abs(out["I_out" if sensed else "I_in"]).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(out["error"] == 0, 0.0, out["error"] / largest)


def _units(crossbar: Crossbar) -> tuple[Array, Array]:
    """One vector of 1 V for each driven line: V_in (lines, rows) and V_out (lines, cols)."""
    driven = [(ends == End.DRIVEN).any(axis=1) for ends in (crossbar.wl_ends, crossbar.bl_ends)]
    every = np.eye(crossbar.rows + crossbar.cols)[np.concatenate(driven)]
    if not len(every):
        every = np.zeros((1, crossbar.rows + crossbar.cols))
    return every[:, : crossbar.rows], every[:, crossbar.rows :]


@contextlib.contextmanager
def _progress(visible: bool, total: int) -> Iterator:
    if not visible:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("ngspice", total=total)
        yield lambda: bar.advance(task)


def circuit(netlist: Netlist, *, klu: bool) -> list[str]:
    """The lines of a circuit and its tolerances, before what solves it.

    All vectors are saved: finding thousands of names of `.save` cards takes ngspice longer than
    writing everything (64x64: 0.5 s, as long as an operating point).
    """
    return [
        *dialect.circuit(netlist),
        f".options {dialect.options(netlist)}{' klu' if klu else ''}",
        ".save all",
    ]


def deck(netlist: Netlist, *, klu: bool) -> list[str]:
    """The lines that ngspice runs: circuit, tolerances, checked control section."""
    return [
        *circuit(netlist, klu=klu),
        *control_section(dialect.analysis(netlist.vectors)),
    ]
