"""The lock of a campaign: one process at a time writes a file, and the dead hold no locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from xbarspice.core.errors import StoreError, broken_rule

__all__ = ["hold_lock"]


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold ``<path>.lock`` for the block; the kernel drops it when the process dies.

    Raises:
        InputError: another campaign, of this process or another one, writes `path`.
        StoreError: the lock file cannot be made.
    """
    name = path.with_name(path.name + ".lock")
    try:
        handle = _take(name, path)
    except OSError as error:
        raise StoreError(
            f"the campaign file must lie in a folder that can be written; {name}: "
            f"{error.strerror}. Choose another path."
        ) from error
    try:
        with contextlib.suppress(OSError):  # the number only serves the other one's message
            os.truncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            name.unlink()
        os.close(handle)


def _take(name: Path, path: Path) -> int:
    while True:
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 20, 0).decode("ascii", "replace") or "unknown"
            os.close(handle)
            raise broken_rule(
                "only one campaign at a time may write a file",
                f"{path}, which process {owner} is writing",
                "Wait until it has ended, stop it, or choose another path.",
            ) from None
        except OSError:
            os.close(handle)
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(name.stat(), os.fstat(handle)):
                return handle
        os.close(handle)  # the holder removed the name meanwhile: this lock would guard nothing
