"""PySpice's in-process NgSpiceShared as an engine, each run in a worker process of its own.

PySpice 1.5 drives libngspice inside the Python process. Measured limits, and how they are met:
one library per process, which an undefined parameter ends for good, and which leaks unless it is
destroyed (so: one worker process a run); a failed `load_circuit` returns None and the next run
repeats the *previous* circuit (so: one circuit a process); a missing library poisons the process
(so: the path is set before the first load). The deck, the checks of its results and the errors are
those of `xbarspice.engines.ngspice`. PySpice is licensed under the GPL-3.
"""

from __future__ import annotations

import ctypes.util
import functools
import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineMissingError, install_command
from xbarspice.engines.ngspice.engine import NgspiceEngine
from xbarspice.engines.ngspice.probe import NgspiceInfo, ask

__all__ = ["PySpiceEngine"]


class PySpiceEngine(NgspiceEngine):
    """libngspice through PySpice; settings, checks and accuracy as for `NgspiceEngine`.

    The `executable` is the Python interpreter of the workers; None for this one.

    Raises:
        EngineMissingError: PySpice or libngspice is not installed (from `prepare`).
        EngineError: the worker gave no trustworthy answer.
    """

    name = "pyspice"
    program = "PySpice, libngspice"
    arrays_per_process = 1

    def _prepare(self, crossbar: Crossbar) -> NgspiceInfo:
        if importlib.util.find_spec("PySpice") is None:
            raise EngineMissingError(
                f"PySpice must be installed; run: {install_command('PySpice')}"
            )
        name = f"PySpice with {_library()}"
        return _probe(tuple(self._worker()), name, min(self.timeout, 60.0))

    def _command(self, info: NgspiceInfo) -> list[str]:
        return self._worker()

    def _worker(self) -> list[str]:
        # the worker's HOME is its run directory, so the search path of this process is passed on
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from xbarspice.engines import pyspice; sys.exit(pyspice._work(sys.argv[1]))"
        )
        return [str(self.executable or sys.executable), "-c", code]


@functools.lru_cache(maxsize=8)
def _probe(command: tuple[str, ...], name: str, timeout: float) -> NgspiceInfo:
    return ask(list(command), name, timeout)


def _library() -> str:
    library = ctypes.util.find_library("ngspice")
    if library is None:
        raise EngineMissingError(
            "libngspice must be installed; it was not found. Install it (Debian and Ubuntu: "
            "apt-get install libngspice0)."
        )
    return library


def _work(name: str) -> int:
    """Do in libngspice what ``ngspice -b`` does with a deck; runs in the worker process."""
    logging.disable(logging.CRITICAL)
    from PySpice.Spice.NgSpice.Shared import NgSpiceCommandError, NgSpiceShared

    NgSpiceShared.LIBRARY_PATH = _library()

    class Shared(NgSpiceShared):
        """Prints what ngspice says, as the program does, instead of guessing which is an error."""

        def send_char(self, message: str, ngspice_id: int):
            stream, _, text = message.partition(" ")
            target = sys.stderr if stream == "stderr" else sys.stdout
            target.write(text + "\n")
            return super().send_char(message, ngspice_id)

    shared = Shared.new_instance(send_data=False)
    text = Path(name).read_text(encoding="ascii")
    circuit, _, control = text.partition(".control\n")
    shared.load_circuit(circuit + ".end\n")
    commands = control.partition(".endc")[0].splitlines()
    before, after = (
        commands[:2],
        [c for c in commands if c.startswith(("write", "osdi", "version"))],
    )
    try:
        for command in before if commands[0].startswith("optran") else commands[:1]:
            _execute(shared.exec_command, command, NgSpiceCommandError)
        _execute(shared.exec_command, "echo XBARSPICE-STATUS $sim_status", NgSpiceCommandError)
    finally:
        sys.stdout.flush()
    if "xbarspice-status 0" not in shared.stdout:
        sys.stdout.write("XBARSPICE-FAILED\n")
        return 3
    for command in after:
        _execute(shared.exec_command, command, NgSpiceCommandError)
    sys.stdout.write("XBARSPICE-DONE\n")
    return 0


def _execute(run: Callable[[str], object], command: str, error: type[Exception]) -> None:
    """Run a command; PySpice raises for every message on stderr, which the caller judges itself."""
    try:
        run(command.lower())  # decks are lowered when read, commands are not
    except error:
        sys.stderr.flush()
