"""Threads of the compiled kernels: torch's own, or a pool beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.helpers import PATIENCE  # noqa: E402
from xbarspice.surrogate import threads  # noqa: E402

WORKERS = max(2, torch.get_num_threads())


@pytest.fixture(params=["torch", "pool"])
def kind(request, monkeypatch):
    """Both kinds of threads, whatever this machine has cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(WORKERS)
    if request.param == "pool":
        monkeypatch.setattr(threads, "_torch_threads", lambda _: None)
    elif threads._torch_threads(WORKERS) is None:
        pytest.skip("this torch has no OpenMP of the GNU interface")
    yield request.param
    torch.set_num_threads(before)


def test_every_piece_is_done_once_by_several_threads(kind):
    pieces, who, together = [], set(), threading.Barrier(2, timeout=PATIENCE)

    def work(k):
        if k < 2:
            together.wait()  # passes only if two threads are at work
        who.add(threading.get_native_id())
        pieces.append(k)

    threads.share(work, 20, WORKERS)
    assert sorted(pieces) == list(range(20))
    assert 2 <= len(who) <= WORKERS
    assert threading.get_native_id() in who


def test_torchs_loops_and_ours_run_on_the_same_threads(monkeypatch):
    """After a loop of torch's no new threads are started, and the pool is not asked."""
    if threads._torch_threads(torch.get_num_threads()) is None or torch.get_num_threads() == 1:
        pytest.skip("this torch has no OpenMP of the GNU interface, or one thread")
    monkeypatch.setattr(threads, "_pool", None)
    _ = torch.rand(2000, 2000).sin()
    before = {int(task.name) for task in Path("/proc/self/task").iterdir()}
    together, who = threading.Barrier(torch.get_num_threads(), timeout=PATIENCE), set()

    def work(k):
        together.wait()
        who.add(threading.get_native_id())

    threads.share(work, torch.get_num_threads(), torch.get_num_threads())
    assert len(who) == torch.get_num_threads()
    assert who <= before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_in_a_piece_reaches_the_caller(kind, error):
    pieces = []

    def work(k):
        if k == 1:
            raise error("piece 1")
        time.sleep(0.01)
        pieces.append(k)

    with pytest.raises(error, match="piece 1"):
        threads.share(work, 1000, WORKERS)
    assert len(pieces) < 900  # no further pieces are begun
    threads.share(pieces.append, 3, WORKERS)  # and the threads are still there
    assert sorted(pieces[-3:]) == [0, 1, 2]


def test_one_piece_or_one_worker_needs_no_threads(monkeypatch):
    monkeypatch.setattr(threads, "_pool", None)
    monkeypatch.setattr(threads, "_torch_threads", None)
    pieces = []
    threads.share(pieces.append, 3, 1)
    threads.share(pieces.append, 1, 4)
    assert pieces == [0, 1, 2, 0]


FORK = """
import os, sys, torch, numpy as np
import xbarspice as xb
from xbarspice.surrogate.dissection.matrix import effective_matrix
from xbarspice.surrogate.dissection import reduction as dissection
dissection.WORTH_A_THREAD = 0
torch.set_num_threads(2)
crossbar = xb.Crossbar(np.full((64, 8, 8), 1e-4))
want = effective_matrix(crossbar)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(effective_matrix(crossbar), want) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_gets_threads_of_its_own():
    """OpenMP's threads do not survive a fork: a child that asked for them would wait for ever."""
    run = subprocess.run(
        [sys.executable, "-c", FORK], timeout=PATIENCE, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(threads._where is None, reason="only Linux tells a thread its processor")
def test_the_pool_keeps_away_from_the_processor_of_its_caller(monkeypatch):
    pool = threads._Pool(1)
    allowed = os.sched_getaffinity(0)
    for here in sorted(allowed)[:2]:
        monkeypatch.setattr(threads, "_where", lambda here=here: here)
        pool._keep_away()
        assert pool.threads.submit(os.sched_getaffinity, 0).result() == (allowed - {here} or {here})
    pool.threads.shutdown()
