"""Functions that campaigns of the tests run; workers import them, so they live in a module.

`main` runs a whole campaign, for the tests that kill one.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tests.helpers import wait_until
from xbarspice import campaign

HELD = 20
"""With a file "go", items from this one on wait until it exists."""


def square(parameters):
    if "log" in parameters:
        note(parameters["log"], parameters["n"])
    if "go" in parameters and parameters["n"] >= HELD:
        wait_until(Path(parameters["go"]).exists)
    time.sleep(parameters.get("seconds", 0.0))
    n = parameters["n"]
    return {"square": n * n, "row": np.arange(4.0) * n, "word": f"n={n}", "nothing": None}


def square_on_cluster(parameters):
    """As `square`; one item tells the scheduler its process and waits until "killed" exists."""
    killed = Path(parameters["killed"])
    if parameters["n"] == HELD and not killed.exists():
        from distributed import get_worker

        get_worker().log_event("held", os.getpid())
        wait_until(killed.exists)
    return square(parameters)


def note(path, n):
    """One line for every execution; a single short append does not mix with others."""
    with Path(path).open("a", encoding="ascii") as file:
        file.write(f"{n}\n")


def fussy(parameters):
    n = parameters["n"]
    if n % 3 == 0:
        raise ValueError(f"{n} is a multiple of three \0 \udcff")
    return {"half": n / 2}


def mends(parameters):
    """Fails until the file exists."""
    if not Path(parameters["file"]).exists():
        raise OSError("not yet")
    return {"ok": True}


def misbehaves(parameters):
    """Every way not to return a dictionary of numbers."""
    how = parameters["how"]
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exits":
        sys.exit("enough")
    answers = {
        "list": [1, 2],
        "object": {"a": object()},
        "slash": {"a/b": 1},
        "big": {"a": 2**70},
        "nul": {"a": "x\0y"},
        "words": {"a": ["x", "y"]},
        "lone": {"a": "\udcff"},
        "key": {1: 1},
    }
    return answers.get(how, {"fine": 1})


def dies_once(parameters):
    """Kills its worker the first time."""
    if not Path(parameters["file"]).exists():
        Path(parameters["file"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"ok": True}


def large(parameters):
    """Items and results larger than a pipe's buffer."""
    return {"twice": 2 * parameters["data"]}


def rich(parameters):
    return {
        "float": np.float64(0.1),
        "int": np.int32(7),
        "flag": np.True_,
        "none": None,
        "word": "µS",
        "nan": float("nan"),
        "empty": np.zeros((0, 3)),
        "scalar": np.asarray(2.5),
        "ints": np.arange(3, dtype=np.uint8),
        "complex": 1 + 2j,
        "flags": np.array([True, False]),
        "list": [1.0, 2.0],
        "nested": {"deep": {"a": np.eye(2)}},
        "shape": np.ones(parameters["n"]),
    }


def items(count, **more):
    return [{"n": n, "data": np.full(3, n), **more} for n in range(count)]


def main(path, count, seconds, log, go=None):
    more = {} if go is None else {"go": go}
    campaign.run(
        items(int(count), seconds=float(seconds), log=log, **more),
        square,
        path,
        workers=2,
        resume=True,
        page=Path(path).with_suffix(".html"),
        progress=lambda finished, total: sys.stdout.write(f"{finished}\n") and sys.stdout.flush(),
    )
