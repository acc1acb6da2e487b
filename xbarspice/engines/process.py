"""Runs one program in its own process group, with a time limit and bounded logs."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xbarspice.core.errors import EngineError, EngineMissingError

__all__ = ["Finished", "Program", "run_group"]

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes of output after which a program is ended: it prints without end."""
_CHECK_EVERY = 0.2
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is said of a program in errors, and which environment it runs in.

    Attributes:
        name: its name.
        remedy: what to do where it cannot be started.
        left_out: beginnings of the names of variables that it must not see.
        settings: variables that it sees instead.
    """

    name: str
    remedy: str
    left_out: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self, directory: Path) -> dict[str, str]:
        """Variables of a run in a directory, which is also HOME: no user's file is read."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(self.left_out)}
        return kept | {"HOME": str(directory), "LC_ALL": "C"} | dict(self.settings)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Exit status (negative: the signal that ended it), what it printed, wall-clock seconds."""

    status: int
    stdout: str
    stderr: str
    seconds: float


def run_group(
    command: list[str],
    directory: Path,
    *,
    program: Program,
    timeout: float,
    cancel: threading.Event | None = None,
) -> Finished:
    """Run a command in `directory`, and end its whole process group when it is over.

    Input is /dev/null; the environment is that of the program.

    Raises:
        EngineMissingError: the program cannot be started.
        EngineError: it ran past `timeout` seconds, printed without end, or `cancel` was set.
    """
    start = time.perf_counter()
    try:
        process = subprocess.Popen(  # noqa: S603 - a fixed argument list, no shell
            command,
            cwd=directory,
            env=program.environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineMissingError(
            f"{command[0]} must be a program that can be run; {error.strerror}. {program.remedy}"
        ) from error
    try:
        logs, problem = _follow(process, program.name, start + timeout, timeout, cancel)
    finally:
        _end_group(process)
    if problem:
        raise EngineError(problem)
    return Finished(
        status=process.returncode,
        stdout=logs[0].decode("utf-8", "replace"),
        stderr=logs[1].decode("utf-8", "replace"),
        seconds=time.perf_counter() - start,
    )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group while its leader still holds the number, then reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _follow(
    process: subprocess.Popen[bytes],
    name: str,
    deadline: float,
    timeout: float,
    cancel: threading.Event | None,
) -> tuple[tuple[bytearray, bytearray], str]:
    """Collect the output until the program ends; also the reason why it must be ended, if any."""
    logs = (bytearray(), bytearray())
    watch = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    with selectors.DefaultSelector() as selector:
        for pipe, log in zip((process.stdout, process.stderr), logs, strict=True):
            if pipe is None:  # both are pipes; this is for the type checker
                continue
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, log)
        if watch is not None:
            selector.register(watch, selectors.EVENT_READ, None)
        try:
            while True:
                remaining = max(0.0, deadline - time.perf_counter())
                ready = selector.select(min(remaining, _CHECK_EVERY if watch else 0.01))
                for key, _ in ready:
                    if key.data is not None and not _drain(key.fd, key.data):
                        selector.unregister(key.fileobj)
                if sum(map(len, logs)) > LOG_LIMIT:
                    return logs, f"{name} must print less than {LOG_LIMIT} bytes; it was killed."
                if _has_ended(process):
                    for key in list(selector.get_map().values()):
                        if key.data is not None:
                            _drain(key.fd, key.data)
                    return logs, ""
                if not remaining:
                    return logs, f"{name} must end within {timeout:g} s; it was killed."
                if cancel is not None and cancel.is_set():
                    return logs, "the run was cancelled because another one failed."
        finally:
            if watch is not None:
                os.close(watch)


def _drain(fd: int, log: bytearray) -> bool:
    """Read what there is, up to the limit; whether more may come."""
    while len(log) <= LOG_LIMIT:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        log += data
    return True


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the leader ended; it stays unreaped, so its group number cannot be used again."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
