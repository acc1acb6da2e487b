"""What many tests share: problems, and the ways to run a command."""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

import xbarspice as xb
from xbarspice.importers.perceptron import Perceptron

ASYMMETRIC_G = np.array([[100e-6, 200e-6, 300e-6], [400e-6, 50e-6, 0.0]])
"""2x3, every entry different, one device absent: pins rows, columns and signs."""
ASYMMETRIC_V = np.array([0.2, -0.1])


def asymmetric_crossbar(**changes):
    """The asymmetric 2x3 example with four different resistances, and its input."""
    wires = {"R_wl": 5.0, "R_bl": 2.0, "R_driver": 10.0, "R_sense": 20.0}
    return xb.Crossbar(ASYMMETRIC_G, **(wires | changes)), ASYMMETRIC_V


UNEVEN = {
    "R_wl": [[5.0, 0.0], [7.5, 1e12]],
    "R_bl": [[2.0, 0.0, 3.25]],
    "R_driver": [10.0, 0.0],
    "R_sense": [20.0, 0.0, 17.5],
}
"""Resistances for the asymmetric example, ohm: no two alike, some of them 0, one nearly broken."""


def headline_of(page: Path) -> tuple[str, str]:
    """Word and sentence at the head of a page."""
    match = re.search(
        r'<p class="verdict \w+"><strong[^>]*>(.*?)</strong> <span>(.*?)</span>', page.read_text()
    )
    assert match
    return html.unescape(match[1]), html.unescape(match[2])


def figures_of(page: Path) -> dict[str, str]:
    """Rows of two cells in the tables of a page: second by first."""
    rows = re.findall(
        r'<tr><th scope="row"[^>]*>([^<]*)</th><td[^>]*>([^<]*)</td></tr>', page.read_text()
    )
    return {html.unescape(name): html.unescape(value) for name, value in rows}


def small_network() -> Perceptron:
    """2-3-1, no two weights alike."""
    return Perceptron(
        W=(np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]]), np.array([[2.0], [-1.0], [0.75]])),
        b=(np.array([0.1, -0.2, 0.3]), np.array([-0.4])),
    )


def run_command(*arguments, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`xbarspice ARGUMENTS` in this process, in the folder `cwd`.

    It goes through the program's own entry point, so that status and messages are those that a
    shell gets; only what starts Python and imports the packages (seconds) is saved.
    """
    from xbarspice.cli import main

    words, status = ["xbarspice", *map(str, arguments)], 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(cwd or Path.cwd()))
        stack.enter_context(mock.patch.object(sys, "argv", words))
        stack.enter_context(mock.patch.dict(os.environ, COLUMNS="100"))
        stack.enter_context(warnings.catch_warnings())
        stdout = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stderr = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(words, status, stdout.getvalue(), stderr.getvalue())


PATIENCE = 600.0
"""Seconds after which a test says that a program hangs: no statement about speed."""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another process or thread does.

    Raises:
        TimeoutError: it did not do it.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:g} s")
        time.sleep(0.02)


LIMITS = (5.0, 50.0, 500.0)
"""Time limits for a program that hangs, s: the first one after which it has begun proves it."""


def is_running(process: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet has ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def heed_ctrl_c():
    """For `preexec_fn`: a suite that a script started with `&` inherits and passes on "ignore"."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def many(count: int) -> int:
    """How many examples of chance a test draws: ten times as many in `make test-long`."""
    return 10 * count if os.environ.get("XBARSPICE_LONG") else count
