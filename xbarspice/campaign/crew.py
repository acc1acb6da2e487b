"""Who works on a campaign: how many workers there are, and what became of those that are gone."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Crew"]


@dataclass(kw_only=True)
class Crew:
    """Counted while a campaign runs, by what hands out its items.

    Attributes:
        workers: processes that work now; 0: the items are run in this process.
        lost: workers that ended before they were told to.
        again: items that were begun anew because the worker that had begun them was lost.
    """

    workers: int = 0
    lost: int = 0
    again: int = 0
