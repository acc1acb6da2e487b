"""How long the parts of a verification took, and whom it tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "Progress"]

Progress = Callable[[str, int, int], None]
"""Called with the part's name, how many of its steps are done, and their number."""


class Clock:
    """Wall-clock time between stops."""

    def __init__(self) -> None:
        self._now = time.perf_counter
        self._last = self._now()
        self.seconds: dict[str, float] = {}

    def stop(self, name: str) -> None:
        """End the part of this name."""
        now = self._now()
        self.seconds[name] = now - self._last
        self._last = now
