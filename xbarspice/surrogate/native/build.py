"""Compiles the kernels: one shared library for every instruction set of the processor family.

Needs Python and a C++ compiler only: the build of the package (``hatch_build.py``), `make` and
``python xbarspice/surrogate/native/build.py`` run it before anything else is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["BUILT", "FLAGS", "build", "levels", "library_path", "source_hash"]

FOLDER = Path(__file__).resolve().parent
BUILT = FOLDER / "built"
"""Where the libraries stand."""
X86_LEVELS = ("v2", "v3", "v4")
"""Levels of the x86-64 psABI: SSE4.2, AVX2 with FMA, AVX-512; the first runs everywhere."""
GENERIC = "generic"
"""The one level on other processors: what the compiler takes by itself."""
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wall",
    "-Wextra",
)
"""Sums keep their order (no -ffast-math); a product and a sum may become one instruction. What the
environment variable ``CXXFLAGS`` adds comes behind."""


class BuildError(Exception):
    """The kernels cannot be compiled; the message is one sentence with the remedy."""


def levels() -> tuple[str, ...]:
    """Instruction sets of this machine's family, the plainest first."""
    return X86_LEVELS if platform.machine().lower() in ("x86_64", "amd64") else (GENERIC,)


def library_path(level: str) -> Path:
    """Where the library of an instruction set stands."""
    return BUILT / f"kernels-{level}.so"


def source_hash() -> str:
    """Hash of all sources and of this file, which holds the flags."""
    total = hashlib.sha256()
    for path in sorted([*FOLDER.glob("*.cpp"), *FOLDER.glob("*.hpp"), Path(__file__)]):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def build() -> list[Path]:
    """Compile what is missing or older than the sources; returns all libraries.

    Raises:
        BuildError: there is no compiler, or it refuses a source.
    """
    sources = source_hash()
    missing = [x for x in levels() if not _is_current(library_path(x), sources)]
    if missing:
        compiler = _compiler()
        BUILT.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            _compile(compiler, missing, sources, Path(folder))
    return [library_path(level) for level in levels()]


def _is_current(path: Path, sources: str) -> bool:
    return path.is_file() and sources.encode() in path.read_bytes()


def _compiler() -> str:
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    for name in names:
        if name and shutil.which(name):
            return name
    raise BuildError(
        "xbarspice compiles its kernels with GCC 11 or later or Clang 12 or later: there is no "
        "c++, g++, clang++ or $CXX; install one (Debian, Ubuntu: apt-get install g++) and try again"
    )


def _compile(compiler: str, chosen: Iterable[str], sources: str, folder: Path) -> None:
    march = {level: [] if level == GENERIC else [f"-march=x86-64-{level}"] for level in chosen}
    more = shlex.split(os.environ.get("CXXFLAGS", ""))
    jobs = {
        (level, source): [
            compiler,
            *FLAGS,
            *more,
            *march[level],
            f'-DXBARSPICE_SOURCES="{sources}"',
            "-c",
            str(source),
            "-o",
            str(folder / f"{source.stem}-{level}.o"),
        ]
        for source in sorted(FOLDER.glob("*.cpp"))
        for level in march
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_run, jobs.values()))
    for level in march:
        objects = [job[-1] for (of, _), job in jobs.items() if of == level]
        unfinished = library_path(level).with_suffix(f".{os.getpid()}")
        strip = [] if sys.platform == "darwin" else ["-Wl,--as-needed", "-s"]
        _run([compiler, "-shared", *strip, *objects, "-lm", "-o", str(unfinished)])
        unfinished.replace(library_path(level))  # whole, or not there


def _run(command: list[str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if run.returncode:
        raise BuildError(
            f"the C++ compiler must accept the kernels: {' '.join(command)} ended with\n"
            f"{run.stderr.strip()}"
        )
    if run.stderr:
        sys.stderr.write(run.stderr)


if __name__ == "__main__":
    try:
        build()
    except BuildError as error:
        sys.exit(f"error: {error}")
