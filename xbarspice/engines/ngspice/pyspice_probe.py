"""Asks, in a process of its own, whether PySpice can load the system's ngspice library."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from xbarspice.core.errors import EngineError
from xbarspice.engines.ngspice.probe import NGSPICE
from xbarspice.engines.process import run_group

__all__ = ["pyspice_info"]

_PROGRAM = """
import ctypes.util, logging
logging.disable(logging.CRITICAL)
library = ctypes.util.find_library("ngspice")
if library is None:
    raise SystemExit("libngspice is not installed")
import PySpice
from PySpice.Spice.NgSpice.Shared import NgSpiceShared
NgSpiceShared.LIBRARY_PATH = library
NgSpiceShared.new_instance()
print(f"XBARSPICE-DONE PySpice {PySpice.__version__} with {library}")
"""


def pyspice_info(*, timeout: float = 60.0) -> dict[str, object]:
    """Whether PySpice loads: ``{"ok": bool, "message": str}``; a crash in there cannot hurt."""
    with tempfile.TemporaryDirectory(prefix="xbarspice-probe-") as name:
        try:
            run = run_group(
                [sys.executable, "-c", _PROGRAM], Path(name), program=NGSPICE, timeout=timeout
            )
        except EngineError as error:
            return {"ok": False, "message": str(error)}
    for line in run.stdout.splitlines():
        if line.startswith("XBARSPICE-DONE "):
            return {"ok": True, "message": line.removeprefix("XBARSPICE-DONE ")}
    last = (run.stderr.strip() or f"exit status {run.status}").splitlines()[-1]
    return {"ok": False, "message": last[:200]}
