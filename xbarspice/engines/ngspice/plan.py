"""How a batch is cut into sweeps and processes of ngspice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.types import Indices
from xbarspice.devices import Ohmic

__all__ = [
    "ARRAYS_PER_PROCESS",
    "Plan",
    "Task",
    "groups_of",
    "longest_sweep",
    "points_of",
    "tasks_of",
    "vectors_a_point",
]

VECTORS_PER_PROCESS = 1000
"""ngspice looks a drive up from the first point on, so one sweep of K vectors costs K^2: 0.4 s of
a 32-row array's 2 s at 1000, most of its time at 20 000. Longer batches become several sweeps."""

NUMBERS_PER_PROCESS = 2**21
"""Numbers (points times vectors) that one process may hold, 16 MiB of them: every node voltage is
saved, so longer batches of large arrays become several sweeps too."""

SHORTEST = 128
"""Points below which a sweep is not cut for the sake of memory: each process orders the matrix
anew, which costs as much as 10 to 25 points."""


ARRAYS_PER_PROCESS = 32
"""Arrays that share a process: starting ngspice takes 8 ms of CPU time, an 8x8 array 1.3 ms."""

CELLS_PER_PROCESS = 2**14
"""Cells times points up to which arrays share a process; larger ones are done side by side."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a batch is solved.

    Attributes:
        processes: in all.
        side_by_side: of them, at the same time.
        sweeps: of all arrays.
        points: of each sweep, at most.
    """

    processes: int
    side_by_side: int
    sweeps: int
    points: int


@dataclass(frozen=True)
class Task:
    """The solves (positions in the flattened batch) of one array that are one sweep."""

    array: int
    members: Indices


def tasks_of(crossbar: Crossbar, drive: Drive) -> list[Task]:
    """The sweeps of a batch, array by array, none longer than one process may do."""
    longest = longest_sweep(vectors_a_point(crossbar))
    tasks = []
    for array in np.unique(drive.array):
        members = np.flatnonzero(drive.array == array)
        pieces = -(-len(members) // longest)
        tasks += [Task(int(array), piece) for piece in np.array_split(members, pieces)]
    return tasks


def groups_of(
    crossbar: Crossbar, tasks: list[Task], workers: int, together: int
) -> list[list[Task]]:
    """The tasks of each process: several where all are small, but work for every worker."""
    vectors = max((len(task.members) for task in tasks), default=1)
    fit = CELLS_PER_PROCESS // (points_of(crossbar, vectors) * crossbar.rows * crossbar.cols)
    size = max(1, min(together, fit, -(-len(tasks) // workers)))
    return [tasks[k : k + size] for k in range(0, len(tasks), size)]


def points_of(crossbar: Crossbar, vectors: int) -> int:
    """Points of a sweep of so many vectors, with those that nobody asked for, at most."""
    lines = crossbar.rows + crossbar.cols
    return 2 + (min(vectors, lines) if isinstance(crossbar.device, Ohmic) else vectors)


def vectors_a_point(crossbar: Crossbar) -> int:
    """About how many numbers ngspice holds for one point: node voltages, inner ones too."""
    ohmic = isinstance(crossbar.device, Ohmic)
    inner = 0 if ohmic else len(crossbar.device.spice_body().splitlines()) - 1
    return crossbar.rows * crossbar.cols * (2 + 2 * inner)


def longest_sweep(numbers: int) -> int:
    """Most points of one process, if each is so many numbers."""
    return min(max(NUMBERS_PER_PROCESS // numbers, SHORTEST), VECTORS_PER_PROCESS)
