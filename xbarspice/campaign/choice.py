"""Whether a few arrays are worth processes of their own, where the caller leaves that open."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

__all__ = ["choose_workers", "is_run_again"]


def choose_workers(
    workers: int | None, scheduler: str | None = None, *, items: int, worth: int
) -> int | None:
    """The workers of `run`: those stated, else none where processes do not pay or cannot start.

    Args:
        workers: as stated; None leaves the choice here.
        scheduler: of a cluster, which has workers of its own.
        items: of the campaign.
        worth: number of items from which starting processes pays.
    """
    if workers is not None or scheduler is not None:
        return workers
    return 0 if items < worth or is_run_again() else None


def is_run_again() -> bool:
    """Whether a new process would run all of the program's main script again.

    Python imports the main script in every process that it spawns. Only what stands under
    ``if __name__ == "__main__":`` is left out there. A notebook has no file to import.
    """
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None) or ""
    file = getattr(main, "__file__", None)
    if name.endswith("__main__") or file is None:
        return False  # a package's own command, or no script
    try:
        statements = ast.parse(Path(file).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    tests = [each.test for each in statements if isinstance(each, ast.If)]
    return not any(
        isinstance(part, ast.Name) and part.id == "__name__"
        for test in tests
        for part in ast.walk(test)
    )
