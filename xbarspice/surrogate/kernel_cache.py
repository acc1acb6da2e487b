"""Where compiled kernels are kept between processes, also on a read-only installation."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["choose_folder"]


def choose_folder() -> None:
    """Let Numba keep kernels in a private temporary folder where it would find no other place.

    Numba keeps them beside the source, or in the user's cache folder; where neither can be written
    (a read-only installation without a home) it refuses to compile at all. The folder belongs to
    the user alone: compiled code that others could write would be run. `NUMBA_CACHE_DIR` goes over
    all of this.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    beside = Path(__file__).parent / "__pycache__"
    if _is_writable(beside) or _is_writable(_of_user()):
        return
    folder = Path(tempfile.gettempdir()) / f"xbarspice-kernels-{os.getuid()}"
    if not _is_private(folder):
        folder = Path(tempfile.mkdtemp(prefix="xbarspice-kernels-"))
    os.environ["NUMBA_CACHE_DIR"] = str(folder)  # for processes that this one starts, too
    import numba

    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


def _of_user() -> Path:
    from numba.misc.appdirs import AppDirs

    return Path(AppDirs(appname="numba", appauthor=False).user_cache_dir)


def _is_writable(folder: Path) -> bool:
    """Whether files can be made there; asked as Numba asks, by making one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    """Whether the folder is ours alone; made if it is not there."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and (found.st_mode & 0o40077) == 0o40000
