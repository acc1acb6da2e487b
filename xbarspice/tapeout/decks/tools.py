"""The designers' programs: where they are, their versions, how to install them, and their runs."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xbarspice.core.errors import EngineError, EngineMissingError
from xbarspice.engines.process import Finished, Program, run_group

__all__ = ["TOOLS", "Tool", "quote", "require", "run_tool", "version_of"]

_SHOWN = 600


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program that runs decks.

    Attributes:
        names: of the program; the first one that is installed is taken.
        package: of Debian and Ubuntu.
        home: where it comes from.
        ask: arguments that make it print its version and end.
        answer: how the version is printed; another program of that name does not print it.
    """

    names: tuple[str, ...]
    package: str
    home: str
    ask: tuple[str, ...]
    answer: str

    @property
    def install(self) -> str:
        """How to install it."""
        return f"Install it (Debian and Ubuntu: apt-get install {self.package}; {self.home})."

    @property
    def program(self) -> Program:
        """What is said of it in errors; it never sees a screen, and names of files are UTF-8."""
        return Program(
            name=self.names[0],
            remedy=self.install,
            left_out=("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"),
            settings={"QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"},
        )


TOOLS = {
    "klayout": Tool(
        names=("klayout",),
        package="klayout",
        home="https://www.klayout.de/build.html",
        ask=("-v",),
        answer=r"^KLayout (\d\S*)",
    ),
    "magic": Tool(
        names=("magic",),
        package="magic",
        home="http://opencircuitdesign.com/magic",
        ask=("--version",),
        answer=r"^(\d+\.\d+\.\d+)",
    ),
    "netgen": Tool(
        names=("netgen-lvs", "netgen"),
        package="netgen-lvs",
        home="http://opencircuitdesign.com/netgen",
        ask=("-batch", "quit"),
        answer=r"^Netgen (\d+\.\d+\.\d+)",
    ),
}


def require(names: Iterable[str]) -> dict[str, str]:
    """Versions of tools, by name.

    Raises:
        EngineMissingError: one is not installed; says how to install it.
    """
    return {name: version_of(name) for name in names}


def version_of(name: str) -> str:
    """Version of a tool as it prints it.

    Raises:
        EngineMissingError: the tool is not installed, or another program has its name.
    """
    tool = TOOLS[name]
    paths = [path for program in tool.names if (path := shutil.which(program))]
    for path in paths:
        version = _ask(name, path, Path(path).stat().st_mtime_ns)
        if version:
            return version
    received = f"{', '.join(paths)} is another program" if paths else "it was not found"
    raise EngineMissingError(f"{tool.names[0]} must be installed; {received}. {tool.install}")


@functools.lru_cache(maxsize=32)
def _ask(name: str, path: str, _changed: int) -> str:
    """The version that a program prints, or "" if it is another one."""
    tool = TOOLS[name]
    with tempfile.TemporaryDirectory(prefix="xbarspice-tool-") as folder:
        try:
            run = run_group([path, *tool.ask], Path(folder), program=tool.program, timeout=60.0)
        except EngineError:
            return ""
    match = re.search(tool.answer, run.stdout, re.MULTILINE)
    return match[1] if match else ""


def run_tool(name: str, arguments: list[str], directory: Path, timeout: float) -> Finished:
    """Run a tool in a directory; its output is kept there as ``NAME.log``.

    Raises:
        EngineError: the tool is missing, ran past the time limit, or printed without end.
    """
    tool = TOOLS[name]
    path = next((path for program in tool.names if (path := shutil.which(program))), tool.names[0])
    log = directory / f"{name}.log"
    try:
        run = run_group([path, *arguments], directory, program=tool.program, timeout=timeout)
    except EngineError as error:
        log.write_text(f"{error}\n", encoding="utf-8")
        raise
    parts = (run.stdout, run.stderr)
    log.write_text("".join(p if p.endswith("\n") else f"{p}\n" for p in parts if p), "utf-8")
    return run


def quote(run: Finished) -> str:
    """What a tool printed, its errors first, in one line."""
    text = re.sub(r"\s*\n\s*", " / ", (run.stderr.strip() or run.stdout.strip()))
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
    return f"It printed: {shown}" if shown else "It printed nothing."
