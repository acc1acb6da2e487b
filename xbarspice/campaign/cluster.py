"""Runs items on a Dask cluster; the only module that imports dask.distributed (extra `dask`)."""

from __future__ import annotations

import contextlib
import math
import queue
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xbarspice.campaign.crew import Crew
from xbarspice.campaign.items import Function, Outcome, execute
from xbarspice.campaign.pool import Done, Work
from xbarspice.core.errors import EngineError, missing_package

__all__ = ["client_class", "cluster"]

CONNECT = 20.0
"""Seconds within which the scheduler must answer."""
PATIENCE = 60.0
"""Seconds without any worker (or without the scheduler) after which the campaign stops."""
LOOK_EVERY = 2.0
"""Seconds between looks at the cluster's size."""
TASK_SECONDS = 0.5
"""Items are sent in groups of about so much work: a Dask task costs milliseconds."""
MOST_ITEMS = 256
TASKS_A_THREAD = 3


def cluster(
    function: Function, work: Iterator[Work], tick: float, crew: Crew, scheduler: str
) -> Iterator[list[Done]]:
    """Run the items on the cluster of a scheduler; yields at least every `tick` seconds.

    Dask gives the work of a dead worker to the others; an item that takes several workers with it
    is recorded as failed.

    Raises:
        PackageMissingError: distributed is not installed.
        EngineError: the scheduler does not answer, or is lost, or has no workers for a minute.
    """
    try:
        client = client_class()(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"the Dask scheduler must answer within {CONNECT:g} s; {scheduler}: {error}. "
            "Start it with `dask scheduler`, or check the address (tcp://host:8786)."
        ) from error
    try:
        yield from _Tasks(client, function, work, crew).run(tick)
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=CONNECT)


def client_class() -> Any:
    """Dask's class of clients, loaded on first use.

    Raises:
        PackageMissingError: distributed is not installed.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    return Client


def _group(
    function: Function, parameters: Sequence[Mapping[str, Any]], topic: str
) -> list[Outcome]:
    """What a worker does. It tells the campaign that it begins: what begins twice is counted."""
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(topic, worker.get_current_task())
    return [execute(function, each) for each in parameters]


class _Tasks:
    """The tasks on the cluster: which items each holds, and those that ended."""

    def __init__(self, client: Any, function: Function, work: Iterator[Work], crew: Crew) -> None:
        self.crew = crew
        self.topic = f"xbarspice-{client.id}"
        self.begun: dict[str, bool] = {}
        self.sizes: dict[str, int] = {}
        self.addresses: set[str] = set()
        self.client = client
        self.function = function
        self.work = work
        self.items: dict[Any, list[Work]] = {}
        self.ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.seconds = math.inf
        self.threads = 0
        self.alone_since: float | None = None
        self.look_again = 0.0

    def run(self, tick: float) -> Iterator[list[Done]]:
        self.client.subscribe_topic(self.topic, self._note_begin)
        try:
            while self._fill():
                yield self._collect(tick)
            with contextlib.suppress(Exception):  # the last look may be seconds ago
                self._count_workers()
        finally:
            with contextlib.suppress(Exception):
                self.client.unsubscribe_topic(self.topic)
                self.client.cancel(list(self.items), force=True)

    def _note_begin(self, event: tuple[float, str]) -> None:
        """A task began (called by the client's thread); if not for the first time, say so."""
        key = event[1]
        if key not in self.begun:  # it ended already
            return
        if self.begun[key]:
            self.crew.again += self.sizes[key]
            self.look_again = 0.0
        self.begun[key] = True

    def _count_workers(self) -> None:
        threads = self.client.nthreads()
        self.crew.lost += len(self.addresses - set(threads))
        self.addresses, self.crew.workers = set(threads), len(threads)
        self.threads = sum(threads.values())

    def _supply(self) -> int:
        """Threads of all workers; raises when there has been none for too long."""
        now = time.monotonic()
        if now < self.look_again:
            return self.threads
        self.look_again = now + LOOK_EVERY
        try:
            self._count_workers()
        except Exception:  # whatever the client raises without a scheduler
            self.threads = 0
        if self.threads:
            self.alone_since = None
        elif self.alone_since is None:  # the look before may be long ago
            self.alone_since = now
        elif now - self.alone_since > PATIENCE:
            raise EngineError(
                "the Dask cluster must work on the campaign; its scheduler is lost or has had no "
                f"workers for {PATIENCE:g} s. Bring it back, then resume: finished items are safe."
            )
        return self.threads

    def _fill(self) -> bool:
        """Keep every thread supplied; whether anything is under way."""
        count = max(1, min(MOST_ITEMS, int(TASK_SECONDS / max(self.seconds, 1e-6))))
        for _ in range(max(1, self._supply()) * TASKS_A_THREAD - len(self.items)):
            entries = [entry for _, entry in zip(range(count), self.work, strict=False)]
            if not entries:
                break
            self._submit(entries)
        return bool(self.items)

    def _submit(self, entries: list[Work]) -> None:
        parameters = [dict(item.parameters) for _, item in entries]
        key = f"xbarspice-{uuid.uuid4()}"
        self.begun[key], self.sizes[key] = False, len(entries)
        future = self.client.submit(
            _group, self.function, parameters, self.topic, pure=False, key=key
        )
        self.items[future] = entries
        future.add_done_callback(self.ended.put)

    def _collect(self, tick: float) -> list[Done]:
        answers: list[Done] = []
        with contextlib.suppress(queue.Empty):
            future = self.ended.get(timeout=tick)
            while True:
                answers += self._take(future)
                future = self.ended.get_nowait()
        return answers

    def _take(self, future: Any) -> list[Done]:
        entries = self.items.pop(future)
        del self.begun[future.key]
        if future.status in ("cancelled", "lost"):
            self._submit(entries)  # the client lost sight of it; the results were not received
            return []
        try:
            outcomes = future.result(timeout=PATIENCE)
        except TimeoutError:
            self._submit(entries)
            return []
        except Exception as error:  # the cluster's failure: the function's are outcomes
            if len(entries) > 1:  # find out which item it was
                for entry in entries:
                    self._submit([entry])
                return []
            outcomes = [Outcome(error=type(error).__name__, text=str(error), seconds=0.0)]
        mean = sum(o.seconds for o in outcomes) / len(outcomes)
        self.seconds = mean if math.isinf(self.seconds) else 0.7 * self.seconds + 0.3 * mean
        return [(*entry, o) for entry, o in zip(entries, outcomes, strict=True)]
