"""A bar of the steps of a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "bar"]

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


@contextmanager
def bar(show: bool | Progress) -> Iterator[Progress]:
    """The function that is told of steps: a bar on the screen, the caller's own, or none."""
    if not isinstance(show, bool):
        yield show
        return
    if not show:
        yield lambda count, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bar(*columns) as shown:
        task = shown.add_task("training")
        yield lambda count, total: shown.update(task, completed=count, total=total)
