"""Memory of a process and of all that it started, as the kernel counts it (Linux)."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

__all__ = ["PeakMemory", "memory_of_tree"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_RESIDENT = 21


_LAYOUT = (23, 24, 25, 44, 45, 46, 47, 48)
"""Places in ``/proc/PID/stat``, after the name, of where code, stack, data and arguments lie."""


def memory_of_tree(process: int) -> int:
    """Resident memory of a process and its descendants together, bytes.

    Pages that programs share count in each. A child between fork and exec still has its parent's
    pages, which count once: it is known by where its code, stack and arguments lie. 0 where there
    is no ``/proc``.
    """
    total, waiting = 0, [(process, ())]
    while waiting:
        current, parent = waiting.pop()
        root = Path("/proc", str(current))
        with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile
            fields = (root / "stat").read_text().rpartition(")")[2].split()
            layout = tuple(fields[k] for k in _LAYOUT)
            if layout != parent:
                total += int(fields[_RESIDENT]) * _PAGE
            for children in (root / "task").glob("*/children"):
                waiting += [(int(child), layout) for child in children.read_text().split()]
    return total


class PeakMemory:
    """The largest `memory_of_tree` of this process during a ``with`` block, looked at regularly.

    Args:
        every: seconds between looks; what lasts less may go unseen.

    Attributes:
        bytes: the largest so far.
    """

    def __init__(self, every: float = 0.01) -> None:
        self.bytes = 0
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while True:
            self.bytes = max(self.bytes, memory_of_tree(os.getpid()))
            if self._over.wait(self._every):
                return

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
