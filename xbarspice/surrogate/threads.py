"""Threads for compiled kernels: torch's own where torch computes, otherwise a pool that stays.

OpenMP threads, as torch has them, keep their processors busy for milliseconds after a loop, in wait
for the next one. Threads beside them would get half a processor each, so kernels that run between
torch's loops run on the same threads: `GOMP_parallel`, the entry point of every compiled OpenMP
loop on Linux, takes them as a function.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any

__all__ = ["available", "cores", "share"]


def available() -> int:
    """Threads to use: torch's number if torch is loaded, else OMP_NUM_THREADS, else all cores."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):  # loaded, and not half of it
        return torch.get_num_threads()
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) > 0 else cores()


@cache
def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(work: Callable[[int], None], pieces: int, workers: int) -> None:
    """Run work(0) to work(pieces - 1), each once, on up to `workers` threads.

    The caller is one of them. The first exception that a piece raises is raised, after all threads
    have stopped; they begin no further piece then.
    """
    if workers <= 1 or pieces <= 1:
        for k in range(pieces):
            work(k)
        return
    numbers = itertools.count()  # one step of it is atomic
    failed: list[BaseException] = []

    def take_pieces() -> None:
        try:
            while not failed and (k := next(numbers)) < pieces:
                work(k)
        except BaseException as error:  # Ctrl-C too must leave the other threads first
            failed.append(error)

    if (parallel := _torch_threads(workers)) is not None:
        parallel(take_pieces, workers)
    else:
        _pool(workers - 1).run(take_pieces)
    if failed:
        raise failed[0]


_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _torch_threads(workers: int) -> Callable[[Callable[[], None], int], None] | None:
    """Runs a function on torch's threads, if torch is loaded and has as many."""
    torch = sys.modules.get("torch")
    if torch is None or _forked or torch.get_num_threads() != workers:
        return None
    return _parallel()


@lru_cache(maxsize=1)
def _parallel() -> Callable[[Callable[[], None], int], None] | None:
    torch: Any = sys.modules["torch"]
    # a name is looked up in the library and in those that it is linked with: torch's OpenMP
    start = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
    if start is None:  # macOS, Windows
        return None
    start.argtypes = [_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    start.restype = None

    def run(body: Callable[[], None], workers: int) -> None:
        start(_Body(lambda _: body()), None, workers, 0)

    return run


class _Pool:
    """Threads that stay, on other processors than the thread that gives them work.

    On a virtual machine Linux takes a halted processor for a busy one and wakes a thread where its
    waker runs: both then share one processor, at half the speed, for as long as a job lasts.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.threads = ThreadPoolExecutor(count, thread_name_prefix="xbarspice")
        started = threading.Barrier(count + 1)
        for _ in range(count):
            self.threads.submit(started.wait)
        started.wait()
        self.away_from = -1

    def run(self, body: Callable[[], None]) -> None:
        """Run a function on all threads and on the caller's; those that are busy leave it out."""
        self._keep_away()
        others = [self.threads.submit(body) for _ in range(self.count)]
        body()
        for other in others:
            if not other.cancel():
                other.result()

    def _keep_away(self) -> None:
        """Move the threads away from the processor of the caller."""
        if _where is None or (here := _where()) == self.away_from:
            return
        allowed = os.sched_getaffinity(0)
        for thread in self.threads._threads:
            os.sched_setaffinity(thread.native_id or 0, allowed - {here} or allowed)
        self.away_from = here


_where = getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None
_forked = False


@lru_cache(maxsize=8)
def _pool(count: int) -> _Pool:
    return _Pool(count)


def _after_fork() -> None:
    """Neither kind of threads survives a fork, and OpenMP waits for its own for ever."""
    global _forked
    _forked = True
    _pool.cache_clear()


os.register_at_fork(after_in_child=_after_fork)
