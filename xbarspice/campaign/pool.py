"""Runs items in processes of this machine, one pipe each, so that a death costs one item at most.

Unlike `concurrent.futures`, a worker that is killed (by the kernel for its memory, by a defect of
a library) takes nothing else with it, its item is known, and no worker outlives the campaign: its
pipe ends when the parent does.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing import connection
from typing import Any

from xbarspice.campaign.crew import Crew
from xbarspice.campaign.items import Function, Item, Outcome, execute, failure_of
from xbarspice.core.errors import EngineError, InputError

__all__ = ["Done", "Work", "here", "processes"]

Work = tuple[int, Item]
"""An item and its place in the campaign."""
Done = tuple[int, Item, Outcome]

AHEAD = 0.25
"""Seconds of work that wait in a worker's pipe, so that it never waits for the parent."""
MOST_AHEAD = 128
GRACE = 5.0
"""Seconds that a worker has for cleaning up before it is ended."""
FALSE_STARTS = 3
"""So many workers may be killed before they are ready; one that ends by itself is one too many."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def here(function: Function, work: Iterator[Work], tick: float, crew: Crew) -> Iterator[list[Done]]:
    """Run the items in this process, one after the other."""
    for index, item in work:
        yield [(index, item, execute(function, item.parameters))]


def processes(
    function: Function, work: Iterator[Work], tick: float, crew: Crew, workers: int
) -> Iterator[list[Done]]:
    """Run the items in `workers` processes; yields what was done at least every `tick` seconds.

    An item whose worker dies is tried once more in a new worker, then recorded as failed.

    Raises:
        InputError: the workers cannot import the function.
        EngineError: the workers cannot start.
    """
    pool = _Pool(function, work, workers, crew)
    try:
        while pool.fill():
            yield pool.step(tick)
        pool.stop()
    finally:
        pool.abort()


class _Worker:
    """A process, the parent's end of its pipe, and what it was given and has not answered."""

    def __init__(self, context: Any, function: bytes) -> None:
        self.conn, theirs = context.Pipe()
        self.waiting: deque[Work] = deque()
        self.ready = False
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        with _one_thread():
            self.process.start()
        theirs.close()

    def end(self, seconds: float) -> None:
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.conn.close()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Workers share the cores already, so their libraries get one thread unless the user says."""
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


class _Pool:
    def __init__(self, function: Function, work: Iterator[Work], workers: int, crew: Crew) -> None:
        self.crew = crew
        self.function = pickle.dumps(function)
        self.work = work
        self.context = multiprocessing.get_context("spawn")
        self.wanted = workers
        self.workers: list[_Worker] = []
        self.again: deque[Work] = deque()
        self.deaths: dict[int, int] = {}
        self.seconds = math.inf
        self.exhausted = False
        self.unsendable: list[Done] = []
        self.false_starts = 0

    def _take(self) -> Work | None:
        if self.again:
            return self.again.popleft()
        entry = None if self.exhausted else next(self.work, None)
        self.exhausted = entry is None
        return entry

    def fill(self) -> bool:
        """Hand out work evenly; workers start when there is work. Whether any is under way."""
        depth = max(2, min(MOST_AHEAD, math.ceil(AHEAD / max(self.seconds, 1e-6))))
        while True:
            worker = min(self.workers, key=lambda w: len(w.waiting), default=None)
            idle = worker is not None and not worker.waiting
            if worker is None or (not idle and len(self.workers) < self.wanted):
                worker = None
            elif len(worker.waiting) >= depth:
                return True
            entry = self._take()
            if entry is None:
                return bool(self.unsendable or any(w.waiting for w in self.workers))
            if worker is None:
                worker = _Worker(self.context, self.function)
                self.workers.append(worker)
                self.crew.workers = len(self.workers)
            self._send(worker, entry)

    def _send(self, worker: _Worker, entry: Work) -> None:
        try:
            data = pickle.dumps(dict(entry[1].parameters), protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # an item that cannot travel fails like one that raises
            self.unsendable.append((*entry, failure_of(error)))
            return
        worker.waiting.append(entry)
        with contextlib.suppress(OSError):  # a dead worker is noticed on reading
            worker.conn.send_bytes(data)

    def step(self, tick: float) -> list[Done]:
        """Wait up to `tick` seconds for answers."""
        answers, self.unsendable = self.unsendable, []
        ready = connection.wait([w.conn for w in self.workers], 0 if answers else tick)
        for worker in [w for w in self.workers if w.conn in ready]:
            answers += self._receive(worker)
        return answers

    def _receive(self, worker: _Worker) -> list[Done]:
        answers: list[Done] = []
        try:
            while worker.conn.poll():
                answer = worker.conn.recv()
                if isinstance(answer, str):
                    self._note_start(worker, answer)
                    continue
                answers.append((*worker.waiting.popleft(), answer))
                mean = answer.seconds if math.isinf(self.seconds) else self.seconds
                self.seconds = 0.9 * mean + 0.1 * answer.seconds
        except (EOFError, OSError):
            answers += self._bury(worker)
        return answers

    def _note_start(self, worker: _Worker, refusal: str) -> None:
        if refusal:
            raise InputError(
                f"the workers must be able to import the campaign's function; {refusal}. Define "
                "it in an importable module, or use workers=0."
            )
        worker.ready = True

    def _bury(self, worker: _Worker) -> list[Done]:
        worker.end(GRACE)
        self.workers.remove(worker)
        self.crew.workers = len(self.workers)
        code = worker.process.exitcode
        if not worker.ready:
            self.false_starts += 1
            if code is None or code >= 0 or self.false_starts > FALSE_STARTS:
                raise EngineError(
                    f"the campaign's workers must start; one ended with status {code} before its "
                    'first item. Put the call under `if __name__ == "__main__":`, or use workers=0.'
                )
            self.again.extend(worker.waiting)
            return []
        self.crew.lost += 1
        if not worker.waiting:
            return []
        index, item = worker.waiting.popleft()
        self.deaths[index] = self.deaths.get(index, 0) + 1
        self.again.extend(worker.waiting)
        if self.deaths[index] < 2:
            self.again.appendleft((index, item))
            self.crew.again += 1
            return []
        ended = f"signal {-code} ended it" if code and code < 0 else f"exit status {code}"
        text = f"the worker process died twice while it ran this item ({ended})"
        return [(index, item, Outcome(error="WorkerDied", text=text, seconds=0.0))]

    def stop(self) -> None:
        """Let idle workers return."""
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.conn.send_bytes(b"")
        for worker in self.workers:
            worker.end(GRACE)
        self.workers = []

    def abort(self) -> None:
        """Interrupt the workers; they get a moment to end the programs they run."""
        for worker in self.workers:
            worker.conn.close()
        for worker in self.workers:
            worker.end(2 * GRACE)
        self.workers = []


class _Stopped(BaseException):
    """The parent is gone or wants no more answers; not an Exception, so that no item catches it."""


def _stop(*_: Any) -> None:
    raise _Stopped


def _serve(conn: connection.Connection, function: bytes) -> None:
    """Main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    signal.signal(signal.SIGTERM, _stop)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with contextlib.suppress(_Stopped, OSError):
        threading.Thread(target=_listen, args=(conn, inbox), daemon=True).start()
        try:
            call: Function = pickle.loads(function)  # noqa: S301 - from the parent
        except Exception as error:
            conn.send(f"{type(error).__name__}: {error}")
            return
        conn.send("")
        while data := inbox.get():
            conn.send(_answer(call, data))


def _answer(call: Function, data: bytes) -> Outcome:
    try:
        parameters = pickle.loads(data)  # noqa: S301 - from the parent
    except Exception as error:
        return failure_of(error)
    return execute(call, parameters)


def _listen(conn: connection.Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Empty the pipe all the time, so that two full pipes cannot wait for each other."""
    try:
        while data := conn.recv_bytes():
            inbox.put(data)
        inbox.put(b"")
    except (EOFError, OSError):
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)
