"""The golden engine: all vectors of an array in one ngspice process, every answer checked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, Drive, End
from xbarspice.devices import Ohmic
from xbarspice.engines.base import Engine, Raw
from xbarspice.engines.ngspice.probe import NgspiceInfo, ngspice_info
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.engines.ngspice.runner import Run, control_section, run_deck
from xbarspice.errors import EngineError, broken_rule
from xbarspice.netlist import build
from xbarspice.netlist import ngspice as dialect
from xbarspice.netlist.records import Netlist, steepest
from xbarspice.solution import Fields, Solution, Stats, Status, kirchhoff_residual

__all__ = ["NgspiceEngine"]

Array = npt.NDArray[np.float64]

VECTORS_PER_PROCESS = 1000
"""ngspice looks a drive up from the first point on, so one sweep of K vectors costs K^2: 0.4 s of
a 32-row array's 2 s at 1000, most of its time at 20 000. Longer batches become several sweeps."""

CHUNK = 32
"""Vectors whose node voltages are read and checked at a time, which bounds the memory."""

DRIVE_TOLERANCE = 1e-14
"""Driver voltages must come back within this share of the largest (measured: 4e-16)."""

RESIDUAL = 1e-9
"""Largest relative Kirchhoff residual that is accepted, next to rounding (measured: 1e-12)."""

ROUNDING = 5e-15
"""Share of conductance * voltage that rounding of the node voltages may leave over in a node."""

ROUNDING_OF_A_SUM = 1.1e-16
"""The same for each node of a sum over all of them (eps / 2; measured, 2x2 to 64x64 with wires of
0.001 to 10 ohm: eps / 4 at 2x2, eps / 10 at 64x64, a hundredth of eps for most)."""


@dataclass(frozen=True)
class _Task:
    """The solves (positions in the flattened batch) that one process does for one array."""

    array: int
    members: npt.NDArray[np.intp]


class NgspiceEngine(Engine):
    """ngspice in batch mode, one process for all vectors of an array, arrays in parallel.

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
    wires of 0.01 ohm up to some 1e-9 of the largest (see `xbarspice.netlist.ngspice.tolerances`;
    the voltages are the largest of one process). Drive voltages arrive within 4e-16. Without node
    voltages the check of an answer is that the currents into and out of the array balance; with
    them it is Kirchhoff's law at every node.

    Raises:
        EngineMissingError: ngspice is not installed (from `prepare`).
        ConvergenceError: ngspice found no operating point.
        EngineError: anything else that makes an answer untrustworthy, also with ``check=False``.
    """

    name = "ngspice"
    program = "ngspice"

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

    def _prepare(self, crossbar: Crossbar) -> NgspiceInfo:
        return ngspice_info(self.executable, timeout=min(self.timeout, 20.0))

    def _command(self, info: NgspiceInfo) -> list[str]:
        return [info.path, "-n", "-b"]

    def _solve(self, state: NgspiceInfo, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        tasks = _tasks(drive)
        N, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
        shapes = {"I_out": (N, cols), "I_in": (N, rows)}
        if full:
            shapes |= dict.fromkeys(("V_wl", "V_bl", "I_device"), (N, rows, cols))
        out = {key: np.empty(shape) for key, shape in shapes.items()}
        residuals: list[float] = [0.0]
        notes: dict[str, None] = {}
        cancel = threading.Event()

        def work(task: _Task) -> None:
            run, residual = self._run(state, crossbar, drive, task, full, cancel, out)
            residuals.append(residual)
            notes.update(dict.fromkeys(run.notes))

        self._each(work, tasks, cancel)
        solver = "KLU" if state.klu else "Sparse 1.3"
        stats = Stats(
            engine=self.name,
            method=f"{self.program}-{state.version}, {solver}, {len(tasks)} processes",
            residual=float(np.max(residuals)),
            notes=tuple(notes),
        )
        return Raw(status=Status.CONVERGED, stats=stats, **out)

    def _each(self, work, tasks: list[_Task], cancel: threading.Event) -> None:
        """Do all tasks in parallel; the first failure ends the others and is raised."""
        with ThreadPoolExecutor(max_workers=min(self.workers, len(tasks)) or 1) as pool:
            futures = [pool.submit(work, task) for task in tasks]
            with _progress(self.progress, len(tasks)) as advance:
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
        self,
        info: NgspiceInfo,
        crossbar: Crossbar,
        drive: Drive,
        task: _Task,
        full: bool,
        cancel: threading.Event,
        out: dict[str, Array],
    ) -> tuple[Run, float]:
        """Solve one task and put its answers in their places of `out`."""
        single = crossbar.replace(G=crossbar.G_flat[task.array])
        V_in, V_out = drive.V_in[task.members], drive.V_out[task.members]
        units = _units(single) if isinstance(single.device, Ohmic) else None
        if units is not None and len(V_in) > len(units[0]):
            netlist = build(single, *units)
            weights = V_in @ units[0].T + V_out @ units[1].T
        else:
            netlist, units, weights = build(single, V_in, V_out), None, None
        target = (
            out
            if units is None
            else {k: np.empty((len(units[0]), *v.shape[1:])) for k, v in out.items()}
        )
        members = task.members if units is None else np.arange(netlist.vectors)
        residual = [0.0]

        def accept(raw: RawFile) -> None:
            residual[0] = _take(netlist, raw, full, target, members)

        run = run_deck(
            self._command(info),
            deck(netlist, klu=info.klu, full=full),
            points=netlist.vectors,
            klu=info.klu,
            timeout=self.timeout,
            keep=self.keep,
            parent=self.directory,
            cancel=cancel,
            accept=accept,
        )
        if weights is not None:
            for some in _chunks(len(weights)):
                for key, values in target.items():
                    out[key][task.members[some]] = np.tensordot(weights[some], values, axes=1)
            run = replace(
                run, notes=(*run.notes, f"superposed from {netlist.vectors} unit vectors")
            )
        return run, residual[0]


def _chunks(points: int) -> list[slice]:
    """Points a few at a time: what is computed on the way stays small next to the answers."""
    return [slice(k, k + CHUNK) for k in range(0, points, CHUNK)]


def _take(
    netlist: Netlist, raw: RawFile, full: bool, out: dict[str, Array], members: npt.NDArray[np.intp]
) -> float:
    """Put a run's answers in their places of `out`; the residual, if it is accepted."""
    part = collect(netlist, raw, full=False)
    for key, values in part.items():
        out[key][members] = values
    if not full:
        return accepted_residual(netlist, part, full)
    worst = largest = 0.0
    for some in _chunks(netlist.vectors):
        fields = node_fields(netlist, RawFile(columns=raw.columns, values=raw.values[some]))
        for key, values in fields.items():
            out[key][members[some]] = values
        piece = fields | {key: values[some] for key, values in part.items()}
        off, most = _violation(netlist, piece, netlist.V_in[some], netlist.V_out[some])
        worst, largest = (float(np.maximum(*pair)) for pair in ((worst, off), (largest, most)))
    return _judged(netlist, worst, largest)


def _units(crossbar: Crossbar) -> tuple[Array, Array]:
    """One vector of 1 V for each driven line: V_in (lines, rows) and V_out (lines, cols)."""
    driven = [(ends == End.DRIVEN).any(axis=1) for ends in (crossbar.wl_ends, crossbar.bl_ends)]
    every = np.eye(crossbar.rows + crossbar.cols)[np.concatenate(driven)]
    if not len(every):
        every = np.zeros((1, crossbar.rows + crossbar.cols))
    return every[:, : crossbar.rows], every[:, crossbar.rows :]


def _tasks(drive: Drive) -> list[_Task]:
    tasks = []
    for array in np.unique(drive.array):
        members = np.flatnonzero(drive.array == array)
        pieces = -(-len(members) // VECTORS_PER_PROCESS)
        tasks += [_Task(int(array), piece) for piece in np.array_split(members, pieces)]
    return tasks


@contextlib.contextmanager
def _progress(wanted: bool, total: int) -> Iterator:
    if not wanted:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("ngspice", total=total)
        yield lambda: bar.advance(task)


def deck(netlist: Netlist, *, klu: bool, full: bool) -> list[str]:
    """The lines that ngspice runs: circuit, tolerances, outputs, checked control section."""
    analysis = "op" if netlist.vectors == 1 else f"dc Vidx 0 {netlist.vectors - 1} 1"
    return [
        *dialect.circuit(netlist),
        f".options {dialect.options(netlist)}{' klu' if klu else ''}",
        *dialect.saves(netlist, nodes=full),
        *control_section(analysis),
    ]


def collect(
    netlist: Netlist, raw: RawFile, *, full: bool, tolerance: float = DRIVE_TOLERANCE
) -> dict[str, Array]:
    """Line currents, and on request node voltages and device currents, of all vectors of a run.

    Args:
        netlist: the records of the array, with the drive that was asked for.
        raw: what ngspice wrote.
        full: also collect node voltages.
        tolerance: largest error of a driver's voltage, as a share of the largest voltage.

    Raises:
        EngineError: a vector is missing, or a driver did not give the voltage asked for.
    """
    I_in, I_out = line_currents(netlist, raw)
    for sources in (netlist.word_drives, netlist.bit_drives):
        if sources.names:
            _check_drive(sources.volts, raw.take([f"v({n})" for n in sources.nodes]), tolerance)
    out = {"I_in": I_in, "I_out": I_out}
    return out | node_fields(netlist, raw) if full else out


def node_fields(netlist: Netlist, raw: RawFile) -> dict[str, Array]:
    """Node voltages and device currents of the points of a run, each (points, rows, cols).

    Raises:
        EngineError: a vector is missing.
    """
    xb, points = netlist.crossbar, len(raw.values)
    out = {
        key: raw.take([f"v({n})" for n in nodes.ravel()]).reshape(points, *nodes.shape)
        for key, nodes in (("V_wl", netlist.wl), ("V_bl", netlist.bl))
    }
    out["I_device"] = xb.device.current(out["V_wl"] - out["V_bl"], xb.G)
    return out


def line_currents(netlist: Netlist, raw: RawFile) -> tuple[np.ndarray, np.ndarray]:
    """`I_in` (points, rows) and `I_out` (points, cols) of a run, A; complex after `.ac`.

    Raises:
        EngineError: a vector is missing.
    """
    shape = (len(raw.values), netlist.crossbar.rows + netlist.crossbar.cols)
    total = np.zeros(shape, dtype=raw.values.dtype)
    I_in, I_out = total[:, : netlist.crossbar.rows], total[:, netlist.crossbar.rows :]
    for sources, currents, sign in (
        (netlist.word_drives, I_in, -1.0),
        (netlist.word_senses, I_in, -1.0),
        (netlist.bit_drives, I_out, 1.0),
        (netlist.bit_senses, I_out, 1.0),
    ):
        driven = sources is netlist.word_drives or sources is netlist.bit_drives
        names = [dialect.drive_name(netlist, n) if driven else n for n in sources.names]
        currents[:, sources.lines] += sign * raw.take([f"i({n})" for n in names])
    return I_in, I_out


def _check_drive(asked: Array, got: Array, tolerance: float) -> None:
    error = float(np.max(np.abs(asked - got)))
    if not error <= tolerance * float(np.max(np.abs(asked))):
        raise EngineError(
            f"ngspice must apply the drive voltages that were asked for; the largest error is "
            f"{error:.3g} V."
        )


def accepted_residual(netlist: Netlist, part: dict[str, Array], full: bool) -> float:
    """Relative Kirchhoff residual of a run; raises where it is larger than rounding explains."""
    if full:
        return _judged(netlist, *_violation(netlist, part, netlist.V_in, netlist.V_out))
    drawn, given = part["I_in"], part["I_out"]
    imbalance = float(np.max(np.abs(drawn.sum(axis=1) - given.sum(axis=1))))
    largest = max(float(np.max(np.abs(a))) for a in (drawn, given))
    return _judged(netlist, imbalance, largest, nodes=2 * netlist.crossbar.G.size)


def _violation(
    netlist: Netlist, part: dict[str, Array], V_in: Array, V_out: Array
) -> tuple[float, float]:
    """Largest violation of Kirchhoff's law at any node, and the largest current, A."""
    solution = Solution(
        I_out=part["I_out"], I_in=part["I_in"], status=Status.CONVERGED,
        stats=Stats(engine="", method=""),
        fields=lambda: Fields(**{k: part[k] for k in ("V_wl", "V_bl", "I_device")}),
    )  # fmt: skip
    largest = max(float(np.max(np.abs(part[k]))) for k in ("I_in", "I_out", "I_device"))
    relative = kirchhoff_residual(netlist.crossbar, solution, V_in, V_out)
    return relative * (largest if largest > 0 else 1.0), largest


def _judged(netlist: Netlist, amperes: float, largest: float, *, nodes: int = 0) -> float:
    """The violation as a share of the largest current; raises where rounding is no excuse.

    A balance of currents is the sum of what all `nodes` of the array leave over.
    """
    residual = amperes / largest if largest > 0 else amperes
    limit = RESIDUAL + (ROUNDING + ROUNDING_OF_A_SUM * nodes) * _noise(netlist, largest)
    if not residual <= limit:
        raise EngineError(
            f"ngspice's answer must obey Kirchhoff's current law; its relative residual is "
            f"{residual:.3g}, more than {limit:.3g}. Check the array for extreme resistances."
        )
    return residual


def _noise(netlist: Netlist, largest: float) -> float:
    """Steepest conductance times the largest voltage, as a share of the largest current."""
    volts = max(float(np.max(np.abs(v))) for v in (netlist.V_in, netlist.V_out))
    return steepest(netlist.crossbar) * volts / largest if largest > 0 else float("inf")
