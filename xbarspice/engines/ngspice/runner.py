"""Runs one deck in ngspice and checks every known way in which a run fails silently."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xbarspice.core.errors import ConvergenceError, EngineError
from xbarspice.engines.ngspice.probe import NGSPICE
from xbarspice.engines.ngspice.rawfile import RawFile, read_raw
from xbarspice.engines.process import Finished, run_group
from xbarspice.netlist.records import place

__all__ = ["Circuit", "Run", "control_section", "run_circuits", "run_deck"]

DONE = "XBARSPICE-DONE"
FAILED = "XBARSPICE-FAILED"

_FATAL = (
    "singular",
    "too low",
    "to low",
    "too small",
    "not a valid",
    "ignored",
    "too many args",
    "no such",
    "can't find",
    "cannot find",
    "could not",
    "unknown",
    "undefined",
    "error",
    "abort",
    "no space",
    "can't open",
    "not found",
)
"""Words on stderr that mean a wrong or missing result even where the exit status is 0."""

_BENIGN = (
    "initialization file spinit",
    "reference value",
    "no compatibility mode",
    "note:",
    "trying gmin",
    "supplies reduced",
)
_AIDS = ("gmin stepping", "source stepping", "optran")
_SHOWN = 600
_DECK = "deck.cir"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that passed every check: its raw file, remarks for the user, seconds inside ngspice."""

    raw: RawFile
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """One of several circuits that a process solves, each by itself.

    Attributes:
        lines: the deck without control section and ``.end``, title first.
        analysis: command that solves it, such as ``op``.
        points: number of points that the analysis must give.
        accept: raises an EngineError if the results are not good enough.
    """

    lines: list[str]
    analysis: str
    points: int
    accept: Callable[[RawFile], None]


def control_section(analysis: str) -> list[str]:
    """The control section that `run_deck` expects around one analysis, such as ``op``.

    `optran` comes first: ngspice's last aid would "rescue" floating nodes with a transient; gmin
    and source stepping stay allowed and are reported.
    """
    return [
        ".control",
        "optran 1 1 1 0 0 0",
        analysis,
        "if $sim_status",
        f"echo {FAILED}",
        "quit 3",
        "end",
        "write result.raw",
        f"echo {DONE}",
        "quit 0",
        ".endc",
        ".end",
    ]


def run_deck(
    command: list[str],
    lines: list[str],
    *,
    points: int | None,
    klu: bool,
    timeout: float,
    keep: bool = False,
    parent: str | os.PathLike[str] | None = None,
    cancel: threading.Event | None = None,
    accept: Callable[[RawFile], None] | None = None,
) -> Run:
    """Run a deck that ends in `control_section` and read its raw file.

    Args:
        command: the program and its options; the deck's name is added.
        lines: the deck, title first.
        points: number of points that the analysis must give; None where ngspice chooses its own
            time steps, and `accept` must then check that the run reached its end.
        klu: whether the deck asks for KLU, so that its use must be confirmed.
        timeout: wall-clock limit in seconds.
        keep: keep the run directory after success.
        parent: where the run directory is made; None for the system's temporary directory.
        cancel: ends the run when set.
        accept: raises an EngineError if the results are not good enough.

    Raises:
        EngineError: the run cannot be trusted; names the run directory, which stays.
        ConvergenceError: ngspice found no operating point.
    """
    files = {_DECK: lines}
    with _Directory(files, keep=keep, parent=parent) as directory:
        process = run_group(
            [*command, _DECK], directory.path, program=NGSPICE, timeout=timeout, cancel=cancel
        )
        _write_logs(directory.path, process)
        notes = _judge(process, files, circuits=1 if klu else 0)
        raw = _read(directory.path / "result.raw", points, process)
        if accept is not None:
            accept(raw)
    return Run(raw=raw, notes=(*notes, *directory.notes), seconds=process.seconds)


def run_circuits(
    command: list[str],
    circuits: Sequence[Circuit],
    *,
    klu: bool,
    timeout: float,
    keep: bool = False,
    parent: str | os.PathLike[str] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[str, ...]:
    """Solve circuits one after the other in one process; each takes its results by `accept`.

    Starting ngspice takes as long as ten operating points of an 8x8 array. A circuit is loaded,
    solved, written and removed before the next is loaded, so each is solved as if it were alone.

    Args:
        command: the program and its options; the deck's name is added.
        circuits: at least one.
        klu, timeout, keep, parent, cancel: of the process, as of `run_deck`.

    Returns:
        Remarks for the user.

    Raises:
        EngineError, ConvergenceError: as `run_deck`; then no result of any of them is to be used.
    """
    names = [f"circuit{k}.cir" for k in range(len(circuits))]
    files = {_DECK: _control_of_many(names, circuits)}
    files |= {name: [*circuit.lines, ".end"] for name, circuit in zip(names, circuits, strict=True)}
    with _Directory(files, keep=keep, parent=parent) as directory:
        process = run_group(
            [*command, _DECK], directory.path, program=NGSPICE, timeout=timeout, cancel=cancel
        )
        _write_logs(directory.path, process)
        notes = _judge(process, files, circuits=len(circuits) if klu else 0)
        for name, circuit in zip(names, circuits, strict=True):
            result = (directory.path / name).with_suffix(".raw")
            circuit.accept(_read(result, circuit.points, process))
    return (*notes, *directory.notes)


def _control_of_many(names: Sequence[str], circuits: Sequence[Circuit]) -> list[str]:
    lines = [f"* xbarspice, {len(names)} circuits", ".control"]
    for name, circuit in zip(names, circuits, strict=True):
        lines += [
            f"source {name}",
            "optran 1 1 1 0 0 0",
            circuit.analysis,
            "if $sim_status",
            f"echo {FAILED} {name}",
            "quit 3",
            "end",
            f"write {Path(name).with_suffix('.raw')}",
            "destroy all",
            "remcirc",
        ]
    return [*lines, f"echo {DONE}", "quit 0", ".endc", ".end"]


class _Directory:
    """A run directory with its decks; errors name it and it stays, else it is removed."""

    def __init__(
        self,
        files: Mapping[str, Sequence[str]],
        *,
        keep: bool,
        parent: str | os.PathLike[str] | None,
    ) -> None:
        self.keep = keep
        try:
            self.path = Path(tempfile.mkdtemp(prefix="xbarspice-ngspice-", dir=parent))
            for name, lines in files.items():
                with (self.path / name).open("w", encoding="ascii") as file:
                    file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise EngineError(
                f"a run directory must be made in {parent or tempfile.gettempdir()}; "
                f"{error.strerror}. Pass a `directory` that can be written."
            ) from error

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"run directory: {self.path}",) if self.keep else ()

    def __enter__(self) -> _Directory:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EngineError):
            raise type(error)(f"{error} The run directory is kept: {self.path}") from error
        if error is None and not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)


def _read(path: Path, points: int | None, process: Finished) -> RawFile:
    raw = read_raw(path)
    if points is not None and len(raw.values) != points:
        raise EngineError(
            f"the analysis must give {points} points; it gave {len(raw.values)}. "
            f"{_quote_output(process)}"
        )
    return raw


def _write_logs(directory: Path, process: Finished) -> None:
    try:
        (directory / "stdout.txt").write_text(process.stdout, encoding="utf-8")
        (directory / "stderr.txt").write_text(process.stderr, encoding="utf-8")
    except OSError:
        pass  # the disk may be full; the run is judged by what was printed, not by these copies


def _judge(
    process: Finished, files: Mapping[str, Sequence[str]], *, circuits: int
) -> tuple[str, ...]:
    """Remarks about a good run; raises for a bad one. So many circuits asked for KLU."""
    failed = re.search(rf"{FAILED} (\S+)", process.stdout)
    lines = files.get(failed.group(1) if failed else _DECK, ())
    notes: list[str] = []
    fatal: list[str] = []
    for line in filter(None, (raw.strip() for raw in process.stderr.splitlines())):
        low = line.lower()
        if any(word in low for word in _AIDS):
            notes.append(line)
        elif any(word in low for word in _BENIGN) and "singular" not in low:
            continue
        elif any(word in low for word in _FATAL):
            fatal.append(line)
        else:
            notes.append(line)
    finished = any(line.strip() == DONE for line in process.stdout.splitlines())
    if FAILED in process.stdout:
        which = f" of {failed.group(1)}" if failed else ""
        raise ConvergenceError(
            f"ngspice must find an operating point{which}; it did not. {_where(process, lines)}"
        )
    if process.status < 0:
        raise EngineError(f"ngspice must end by itself; signal {-process.status} ended it.")
    if process.status != 0 or not finished or fatal:
        raise EngineError(
            f"ngspice must run to its end without errors; exit status {process.status}"
            f"{'' if finished else ', last line not reached'}. {_where(process, lines)}"
        )
    if process.stdout.count("Using KLU") < circuits:
        raise EngineError("ngspice must use KLU when asked; it did not say so.")
    aids = [note for note in notes if any(word in note.lower() for word in _AIDS)]
    remarks = [note for note in notes if note not in aids]
    summary = (f"convergence aids used: {'; '.join(dict.fromkeys(aids))}"[:_SHOWN],) if aids else ()
    return summary + tuple(dict.fromkeys(remarks))[:5]


def _where(process: Finished, lines: Sequence[str]) -> str:
    """What ngspice printed, and the lines of the deck that its words lead to."""
    words = set(re.findall(r"[a-z_][a-z0-9_#.]*", process.stderr.lower()))
    words |= {part for word in words for part in re.split(r"[.#]", word)}
    quoted = []
    for number, line in enumerate(lines, start=1):
        name, _, text = line.partition(" ")
        if not name or name[0] in "*.+" or len(quoted) == 3:
            continue
        nodes = text.lower().split(" ", 2)[:2]
        if name.lower() in words or any(n in words and "_" in n for n in nodes):
            quoted.append(f"line {number} ({place(name)}): {line[:120]}")
    hint = f" Netlist: {' | '.join(quoted)}." if quoted else ""
    return f"{_quote_output(process)}{hint}"


def _quote_output(process: Finished) -> str:
    text = process.stderr.strip() or process.stdout.strip()
    text = re.sub(r"\s*\n\s*", " / ", text)
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
    return f"It printed: {shown}" if shown else "It printed nothing."
