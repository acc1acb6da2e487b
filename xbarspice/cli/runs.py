"""Run folders: made beside their place and swapped in whole, so that none is ever half-written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from xbarspice.core.errors import broken_rule
from xbarspice.core.files import whole_folder

__all__ = ["output_file", "run_folder"]

MARKER = "run.toml"


def _parent(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise broken_rule(
            "the output must lie in a folder that can be written",
            f"{path} ({error.strerror})",
            "Choose another --out.",
        ) from error
    return path.parent


@contextmanager
def run_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` when the block ends without an error.

    An earlier run of that name is replaced; anything else of that name is left alone.

    Raises:
        InputError: `path` exists and is no run folder, or cannot be created.
    """
    if path.exists() and not (path / MARKER).is_file() and not _is_empty(path):
        raise broken_rule(
            "the run folder must be new, empty or an earlier run",
            str(path),
            "Choose another --out, or remove it.",
        )
    made = [parent for parent in path.parents if not parent.exists()]
    parent = _parent(path)
    try:
        with ExitStack() as stack:
            try:
                partial = stack.enter_context(whole_folder(path))
            except OSError as error:
                raise broken_rule(
                    "the run folder must be writable",
                    f"{parent} ({error.strerror})",
                    "Choose another --out.",
                ) from error
            yield partial
    except BaseException:
        for folder in made:
            with suppress(OSError):  # work that goes on later may lie in it
                folder.rmdir()
        raise


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def output_file(path: Path, suffix: str) -> Path:
    """Check an output file name before any work is done, and make its folder."""
    if path.suffix != suffix:
        raise broken_rule(f"the output file must end in {suffix}", path.name, "Rename --out.")
    if path.is_dir():
        raise broken_rule("the output must be a file", f"the folder {path}", "Name a file.")
    try:
        with tempfile.TemporaryFile(dir=_parent(path)):
            return path
    except OSError as error:
        raise broken_rule(
            "the output must lie in a folder that can be written",
            f"{path} ({error.strerror})",
            "Choose another --out.",
        ) from error
