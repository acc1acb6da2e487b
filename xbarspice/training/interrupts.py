"""Ctrl-C between steps: a step is finished, the run is kept, then the interrupt is raised."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["between_steps"]


@contextmanager
def between_steps() -> Iterator[Callable[[], bool]]:
    """A block in which Ctrl-C is noted; the yielded function says whether it came.

    A second Ctrl-C interrupts at once. Outside of the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before, came = signal.getsignal(signal.SIGINT), []

    def note(number: int, frame: Any) -> None:
        del number, frame
        if came:
            raise KeyboardInterrupt
        came.append(True)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
