"""What is counted as the memory of a process and of what it started."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.helpers import wait_until
from xbarspice.campaign import memory
from xbarspice.campaign.memory import PeakMemory, memory_of_tree

HELD = 100_000_000


def test_a_program_that_was_started_counts():
    before = memory_of_tree(os.getpid())
    code = f"x = bytearray({HELD}); print(flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        program.stdout.readline()
        alone = memory_of_tree(program.pid)
        together = memory_of_tree(os.getpid())
        program.kill()
    assert alone > HELD
    assert together == pytest.approx(before + alone, abs=HELD / 10)


def test_pages_between_fork_and_exec_count_once():
    """A child that has begun no program yet has the pages of its parent."""
    held = np.ones(HELD // 8)
    before = memory_of_tree(os.getpid())
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        together = memory_of_tree(os.getpid())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert before > HELD
    assert together == pytest.approx(before, abs=HELD / 10)
    assert held.sum() == held.size


LOOKS = f"""
import os, time
from xbarspice.campaign.memory import PeakMemory, memory_of_tree
before = memory_of_tree(os.getpid())
with PeakMemory(every=0.001) as peak:
    held = bytearray({HELD})
    end = time.monotonic() + 60
    while peak.bytes < before + 0.9 * {HELD} and time.monotonic() < end:
        time.sleep(0.01)
print(peak.bytes - before)
"""


def test_memory_is_looked_at_while_a_block_runs():
    """In a process of its own: what other tests hold or give back is not in it."""
    out = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, check=True)
    assert 0.9 * HELD <= int(out.stdout) < 1.5 * HELD


def test_the_largest_of_a_block_is_kept(monkeypatch):
    sizes, over = iter([1, 5, 2]), threading.Event()

    def look(process):
        assert process == os.getpid()
        size = next(sizes, None)
        if size is None:
            over.set()
        return size or 0

    monkeypatch.setattr(memory, "memory_of_tree", look)
    with PeakMemory(every=0.001) as peak:
        wait_until(over.is_set)
    assert peak.bytes == 5


def test_what_has_ended_has_no_memory():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert memory_of_tree(process.pid) == 0
