"""Ctrl-C: a sentence that says what stands and how to go on, and exit status 130."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

__all__ = ["ANEW", "CommandStopped", "Commands", "resumable"]

ANEW = "stopped by Ctrl-C before a result was written; the same command begins anew"
"""Of commands without work that stands: results are put in place whole, at the end."""


class CommandStopped(Exception):  # noqa: N818 - the user's wish, no error
    """A command that Ctrl-C stopped; the text says what stands (exit status 130)."""


@contextmanager
def resumable(path: Path, remedy: str = "the same command goes on") -> Iterator[None]:
    """A block of work that is kept in a file as it goes.

    Args:
        path: of the file.
        remedy: how to go on from there.

    Raises:
        CommandStopped: Ctrl-C came, and the file is there.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not path.exists():
            raise
        raise CommandStopped(
            f"stopped by Ctrl-C; what was done stands in {path}: {remedy}"
        ) from None


class Commands(TyperGroup):
    """The commands of the program. Typer itself ends at Ctrl-C without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            CommandStopped: Ctrl-C came.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise CommandStopped(ANEW) from None
