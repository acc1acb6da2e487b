"""Runs a campaign: hands out what is not finished, commits what comes back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarspice.campaign import pool
from xbarspice.campaign.crew import Crew
from xbarspice.campaign.items import Function, Item, function_name
from xbarspice.campaign.journal import Journal
from xbarspice.campaign.lock import hold_lock
from xbarspice.campaign.page import CampaignPage
from xbarspice.campaign.row_files import Row
from xbarspice.core.errors import StoreError, broken_rule

__all__ = ["Progress", "Summary", "run"]

COMMIT_EVERY = 0.25
"""Seconds between commits, at least; so much work may be done again after a crash."""
COMMIT_SHARE = 0.05
COMMIT_LATEST = 2.0
"""Where commits take more than this share of the time they become rarer, up to so many seconds."""

Progress = Callable[[int, int | None], None]
"""Called with (items done, items in all or None while that is unknown)."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a campaign did and holds.

    Attributes:
        path: the file.
        items: different items that were asked for.
        repeated: items that were equal to another one, and not done again.
        already: items that an earlier run had finished.
        finished, failed: of the items asked for, how many have a result now and how many do not.
        seconds: wall-clock time of this run.
        lost: workers that ended before they were told to.
        again: items that were begun anew because the worker that had begun them was lost.
        damaged: segments that the disk had damaged; their items were done again.
    """

    path: Path
    items: int
    repeated: int
    already: int
    finished: int
    failed: int
    seconds: float
    lost: int = 0
    again: int = 0
    damaged: tuple[Path, ...] = ()


def run(
    items: Iterable[Item | Mapping[str, Any]],
    function: Function,
    path: str | os.PathLike[str],
    *,
    resume: bool = False,
    retry_failed: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    page: str | os.PathLike[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Run a function over items and keep every result in an HDF5 file.

    Args:
        items: the work, a list or a generator (it is read as the work goes on).
        function: takes an item's parameters, returns arrays, numbers and words by name. It must be
            importable (a function at the top level of a module, or a `functools.partial` of one).
        path: the campaign file, ending in ".h5"; read it with `load`.
        resume: go on with an existing file: finished and failed items are not done again.
        retry_failed: with `resume`, do the failed items again.
        workers: processes on this machine; None for one a core, 0 for none (in this process). They
            import the script that runs: a call in a script stands under
            ``if __name__ == "__main__":``.
        scheduler: address of a Dask scheduler ("tcp://host:8786") to run there instead.
        page: a page (.html) that shows how the campaign goes on: progress, rate, failures, workers,
            remaining time with its interval. It is written anew while the campaign runs, always
            whole, and stays with the figures of the end.
        progress: called with (items done and committed, items in all); earlier ones count.

    Returns:
        The counts. An item that raised is recorded with its reason, and the others go on.

    Raises:
        InputError: an argument breaks a rule, `path` exists without `resume`, or another campaign
            is writing it.
        StoreError: the file is damaged, or it or the page cannot be written; what was committed is
            safe.
        PackageMissingError: `scheduler` is given and distributed is not installed.
        EngineError: the workers cannot start, or the cluster is lost.
        KeyboardInterrupt: after the results so far were committed.
    """
    path = _check(Path(path), workers, scheduler)
    shown = None if page is None else _check_page(Path(page))
    name = function_name(function)
    total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    start = time.perf_counter()
    with hold_lock(path):
        crew = Crew()
        following = shown and CampaignPage(path=shown, file=path, function=name, crew=crew)
        journal = Journal(path, name, resume=resume)
        book = _Book(journal, total, retry_failed, progress, crew, following)
        if following:
            following.total = total
            following.update()
        try:
            _run(book, book.choose_unfinished(items), function, workers, scheduler)
        except StoreError:
            raise
        except BaseException as error:
            book.commit()
            book.journal.finish()
            if following:
                following.write("stopped", _reason(error))
            raise
        book.commit()
        book.journal.finish()
        if following:
            following.write("complete")
    return dataclasses.replace(book.summary, seconds=time.perf_counter() - start)


def _check(path: Path, workers: int | None, scheduler: str | None) -> Path:
    if path.suffix != ".h5" or path.is_dir():
        raise broken_rule("a campaign file must end in .h5", str(path), "Rename it.")
    if not path.parent.is_dir():
        raise broken_rule(
            "a campaign file must lie in an existing folder", str(path), "Make the folder."
        )
    if workers is not None and (scheduler is not None or workers < 0):
        raise broken_rule(
            "`workers` must be >= 0, and is for this machine only",
            f"workers={workers}, scheduler={scheduler!r}",
            "Leave one of them out.",
        )
    if scheduler is not None:
        from xbarspice.campaign.cluster import client_class

        client_class()
    return path


def _check_page(page: Path) -> Path:
    if page.suffix != ".html" or not page.parent.is_dir():
        raise broken_rule(
            "a campaign's page must end in .html and lie in an existing folder",
            str(page),
            "Rename it, or make the folder.",
        )
    return page


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "It was interrupted by Ctrl-C."
    return f"It ended with {type(error).__name__}: {error}"


def _run(
    book: _Book,
    work: Iterator[pool.Work],
    function: Function,
    workers: int | None,
    scheduler: str | None,
) -> None:
    if scheduler is not None:
        from xbarspice.campaign.cluster import cluster

        source = functools.partial(cluster, scheduler=scheduler)
    elif workers == 0:
        source = pool.here
    else:
        count = workers or len(os.sched_getaffinity(0))
        source = functools.partial(pool.processes, workers=count)
    with contextlib.closing(source(function, work, COMMIT_EVERY, book.crew)) as batches:  # type: ignore[type-var]
        for batch in batches:
            book.take(batch)


class _Book:
    """Counts items, and collects outcomes until it is time to commit them."""

    def __init__(
        self,
        journal: Journal,
        total: int | None,
        retry_failed: bool,
        progress: Progress,
        crew: Crew,
        page: CampaignPage | None,
    ) -> None:
        self.journal = journal
        self.crew = crew
        self.page = page
        self.total = total
        self.retry_failed = retry_failed
        self.progress = progress
        self.asked: set[bytes] = set()
        self.repeated = 0
        self.already = 0
        self.earlier = 0
        self.done = 0
        self.failed = 0
        self.pending: list[Row] = []
        self.next_commit = 0.0

    @property
    def summary(self) -> Summary:
        return Summary(
            path=self.journal.path,
            items=len(self.asked),
            repeated=self.repeated,
            already=self.already,
            finished=self.done - self.failed,
            failed=self.failed,
            seconds=0.0,
            lost=self.crew.lost,
            again=self.crew.again,
            damaged=tuple(self.journal.damaged),
        )

    def choose_unfinished(self, items: Iterable[Item | Mapping[str, Any]]) -> Iterator[pool.Work]:
        """The items that are to be done, with their places."""
        for index, entry in enumerate(items):
            item = entry if isinstance(entry, Item) else Item(entry)
            key = bytes.fromhex(item.key)
            if key in self.asked:
                self.repeated += 1
                continue
            self.asked.add(key)
            known_failure = key in self.journal.failures
            if key in self.journal.finished:
                self.already += 1
                self.earlier += 1
                self.done += 1
            elif known_failure and not self.retry_failed:
                self.failed += 1
                self.earlier += 1
                self.done += 1
            else:
                yield index, item

    def take(self, batch: list[pool.Done]) -> None:
        for index, item, outcome in batch:
            key = bytes.fromhex(item.key)
            before = self.journal.failures.get(key)
            self.pending.append(
                Row(
                    key=key,
                    index=index,
                    seconds=outcome.seconds,
                    settings=item.settings(),
                    values=outcome.values,
                    error=outcome.error,
                    text=outcome.text,
                    attempts=1 + (before.attempts if before else 0),
                )
            )
            if self.page is not None and outcome.values is None:
                self.page.fail(outcome.error, outcome.text)
        if self.pending and time.perf_counter() >= self.next_commit:
            self.commit()

    def commit(self) -> None:
        start = time.perf_counter()
        self.journal.commit(self.pending)
        self.done += len(self.pending)
        self.failed += sum(row.values is None for row in self.pending)
        self.pending = []
        end = time.perf_counter()
        self.next_commit = end + max(COMMIT_EVERY, min((end - start) / COMMIT_SHARE, COMMIT_LATEST))
        total = None if self.total is None else self.total - self.repeated
        self.progress(self.done, total)
        if self.page is not None:
            self.page.total, self.page.done, self.page.failed = total, self.done, self.failed
            self.page.already = self.earlier
            self.page.update()
