"""Finds ngspice and asks the program itself what it can do."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from xbarspice.core.errors import EngineError, EngineMissingError
from xbarspice.engines.process import Program, run_group

__all__ = ["NGSPICE", "NgspiceInfo", "ask", "find", "ngspice_info"]

INSTALL = (
    "Install it (Debian and Ubuntu: apt-get install ngspice; Fedora: dnf install ngspice; macOS: "
    "brew install ngspice; conda: conda install -c conda-forge ngspice), or pass `executable`."
)

NGSPICE = Program(
    name="ngspice",
    remedy="Install ngspice, or pass the right `executable`.",
    left_out=("SPICE_", "NGSPICE_", "IPC_SOCKET"),
    settings={"SPICE_NO_DATASEG_CHECK": "1"},
)
"""Left out are the variables by which ngspice is told where its files are and how to write: a run
must depend on the deck alone. `SPICE_LIB_DIR` of another installation made every run end with a
warning, which was taken for an error."""

_DECK = """* xbarspice probe
.options klu
V1 a 0 1
R1 a 0 1
.control
op
if $sim_status
quit 3
end
osdi xbarspice-no-such-file.osdi
version -s
echo XBARSPICE-DONE
quit 0
.endc
.end
"""


@dataclass(frozen=True, kw_only=True)
class NgspiceInfo:
    """An ngspice program: absolute path, version as it prints it, and whether KLU and OSDI work."""

    path: str
    version: str
    klu: bool
    osdi: bool


def find(executable: str | os.PathLike[str] | None = None) -> str:
    """Path of the program.

    Raises:
        EngineMissingError: it is not there; says what to install.
    """
    program = "ngspice" if executable is None else os.fspath(executable)
    path = shutil.which(program)
    if path is None:
        raise EngineMissingError(f"ngspice must be installed; {program!r} was not found. {INSTALL}")
    return str(Path(path).absolute())


def ngspice_info(
    executable: str | os.PathLike[str] | None = None, *, timeout: float = 20.0
) -> NgspiceInfo:
    """Ask an ngspice for its version and whether it has KLU and OSDI, by running it once.

    The answer is remembered for the same file (path, size and time of change).

    Args:
        executable: name or path; None looks for ``ngspice`` on PATH.
        timeout: seconds that the run may take.

    Raises:
        EngineMissingError: there is no such program.
        EngineError: the program does not behave like ngspice.
    """
    path = find(executable)
    status = Path(path).stat()
    return _ask(path, status.st_size, status.st_mtime_ns, timeout)


@functools.lru_cache(maxsize=32)
def _ask(path: str, _size: int, _changed: int, timeout: float) -> NgspiceInfo:
    return ask([path, "-n", "-b"], path, timeout)


def ask(command: list[str], path: str, timeout: float) -> NgspiceInfo:
    """Run a one-resistor circuit with a program that behaves like ``ngspice -b``.

    Raises:
        EngineError: it does not behave so.
    """
    with tempfile.TemporaryDirectory(prefix="xbarspice-probe-") as name:
        directory = Path(name)
        (directory / "probe.cir").write_text(_DECK)
        run = run_group([*command, "probe.cir"], directory, program=NGSPICE, timeout=timeout)
    version = re.search(r"ngspice-(\d[\w.+-]*)", run.stdout)
    if run.status != 0 or "XBARSPICE-DONE" not in run.stdout or version is None:
        shown = (run.stderr.strip() or run.stdout.strip())[-300:]
        raise EngineError(
            f"{path} must behave like ngspice; a one-resistor circuit ended with status "
            f"{run.status} and printed {shown!r}. {INSTALL}"
        )
    return NgspiceInfo(
        path=path,
        version=version.group(1),
        klu="Using KLU" in run.stdout,
        osdi="no such command" not in run.stderr,
    )
