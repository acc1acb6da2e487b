"""How long the rest of a campaign takes, from what it did so far, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

__all__ = ["Forecast", "History", "forecast"]

BINS = 12
"""Parts of equal length of the recent time, at most, whose rates say how much the rate varies."""
NOTES = 4
"""Times with progress for each part: with fewer its rate would be much that of its neighbours."""
CONFIDENCE = 0.95
RECENT = 0.5
"""Share of the time so far that counts as recent."""
_MOST = 4096


class History:
    """How many items were done at which time; thinned out so that it stays small."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.counts: list[int] = []

    def note(self, seconds: float, count: int) -> None:
        """So many items were done after so many seconds."""
        self.seconds.append(seconds)
        self.counts.append(count)
        if len(self.seconds) > _MOST:
            last = self.seconds[-1], self.counts[-1]
            self.seconds, self.counts = self.seconds[::2], self.counts[::2]
            if self.seconds[-1] != last[0]:
                self.seconds.append(last[0])
                self.counts.append(last[1])


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is expected of the rest.

    Attributes:
        rate: recent items a second.
        seconds: until the end.
        low, high: ends of the 95 % interval, by Student's t: for the mean of the recent rates, and
            for the rates to come if they vary alike. Of simulated ends 93 to 99 % lie within it.
            `high` is inf where the rates varied so much that none can be given, and `low` 0 too
            where there was progress too seldom.
    """

    rate: float
    seconds: float
    low: float
    high: float


def forecast(history: History, total: int) -> Forecast | None:
    """The rest of a campaign at its recent rate; None before two times with progress between.

    Args:
        history: items done by this run (those of earlier runs took it no time).
        total: items of this run.
    """
    if len(history.seconds) < 2 or history.counts[-1] <= history.counts[0]:
        return None
    first, last = history.seconds[0], history.seconds[-1]
    begin = last - RECENT * (last - first)
    times = np.array(history.seconds)
    steps = np.diff(history.counts, prepend=history.counts[0]) > 0
    parts = min(BINS, max(int((steps & (times > begin)).sum()) // NOTES, 1))
    edges = np.linspace(begin, last, parts + 1)
    rates = np.diff(np.interp(edges, history.seconds, history.counts)) / (edges[1] - edges[0])
    mean = float(rates.mean())
    if not mean > 0:
        return None
    seconds = (total - history.counts[-1]) / mean
    if seconds == 0:
        return Forecast(rate=mean, seconds=0.0, low=0.0, high=0.0)
    if parts == 1:
        return Forecast(rate=mean, seconds=seconds, low=0.0, high=math.inf)
    width = float(edges[1] - edges[0])
    share = float(rates.std(ddof=1)) / mean * math.sqrt(1 / parts + width / max(seconds, width))
    off = float(special.stdtrit(parts - 1, (1 + CONFIDENCE) / 2)) * share
    return Forecast(
        rate=mean,
        seconds=seconds,
        low=seconds / (1 + off),
        high=seconds / (1 - off) if off < 1 else math.inf,
    )
