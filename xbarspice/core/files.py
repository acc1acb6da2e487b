"""Files are written whole or not at all, also after a crash; TOML is read in one way."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xbarspice.core.errors import InputError, StoreError, broken_rule

__all__ = [
    "check_file",
    "parse_toml",
    "partial_name",
    "read_text",
    "read_toml",
    "replace_whole",
    "store_errors",
    "whole_file",
    "whole_files",
    "whole_folder",
    "write_whole",
]


def partial_name(path: Path) -> Path:
    """Where the content of a file is written before it takes its name."""
    return path.with_name(path.name + ".partial")


def _place_of(path: Path) -> Path:
    """The file behind a name: of a symbolic link, its target.

    Raises:
        InputError: the name belongs to something else, such as a folder or a device of the system.
    """
    place = path.resolve() if path.is_symlink() else path
    if place.exists() and not place.is_file():
        kind = "a folder" if place.is_dir() else "neither a file nor a folder"
        raise broken_rule("the output must be a file", f"{path}, {kind}", "Name a file.")
    return place


def replace_whole(partial: Path, path: Path) -> None:
    """Give a finished file its name: its content is on the disk first, and then the name too.

    Raises:
        OSError: something of it failed; `path` holds its old content or the new one.
    """
    _synchronize(partial, os.O_RDONLY)
    partial.replace(path)
    _synchronize(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def _synchronize(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_files(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield a place to write for every file; all take their names at the end of the block.

    Where the block or a write fails, no file is left half-written, and none is replaced unless all
    of them were on the disk.

    Args:
        paths: the files; they are replaced if they exist.

    Raises:
        InputError: a name belongs to something that is no file.
        OSError: a file cannot be written; see `store_errors`.
    """
    targets = [_place_of(path) for path in paths]
    partials = [partial_name(path) for path in targets]
    try:
        yield partials
        for partial in partials:
            _synchronize(partial, os.O_RDONLY)
        for partial, path in zip(partials, targets, strict=True):
            partial.replace(path)
        for folder in sorted({path.parent for path in targets}):
            _synchronize(folder, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        for partial in partials:
            if partial.is_file():
                partial.unlink()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a place to write; it takes the name `path` at the end of the block.

    Raises:
        OSError: the file cannot be written; see `store_errors`.
    """
    with whole_files([path]) as (partial,):
        yield partial


def write_whole(contents: Mapping[Path, str | bytes]) -> None:
    r"""Write files so that all are on the disk before the first takes its name.

    Args:
        contents: by file; text is written as UTF-8 with "\n" for line ends.

    Raises:
        OSError: a file cannot be written; see `store_errors`.
    """
    with whole_files(contents) as partials:
        for partial, content in zip(partials, contents.values(), strict=True):
            partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def store_errors(subject: str, path: Path) -> Iterator[None]:
    """Say which file could not be written, and what to do.

    Args:
        subject: the file in words, such as "the report".
        path: its name.

    Raises:
        StoreError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{subject} must be writable; writing {path} failed: {error}. "
            "Check the folder, its permissions and the free space."
        ) from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` when the block ends without an error.

    Args:
        path: the folder; one of that name is removed first, with all that it holds.

    Raises:
        InputError: the name belongs to something that is no folder.
        OSError: the folder cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise broken_rule("the output must be a folder", str(path), "Name a folder.")
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """TOML text as a dictionary; `name` stands for it in messages.

    Raises:
        InputError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting that Python refuses
        raise InputError(f"`{name}` must be TOML; {error}. Mend that line.") from error


def read_toml(path: Path, subject: str = "the file") -> dict[str, Any]:
    """A TOML file as a dictionary.

    Args:
        path: the file.
        subject: the file in words, for messages.

    Raises:
        InputError: there is no such file, it cannot be read, or it is not TOML.
    """
    text = read_text(path, subject, "TOML")
    if not text.strip():
        raise broken_rule(f"{subject} must state something", f"{path}, empty", "Check the path.")
    return parse_toml(text, path.name)


def check_file(path: Path, subject: str = "the file") -> None:
    """Refuse a path that leads to no file that can be read.

    Args:
        path: of the file.
        subject: the file in words, for messages.

    Raises:
        InputError: there is nothing of that name, a folder, or what this user may not read.
    """
    if path.is_dir():
        raise broken_rule(f"{subject} must be a file", f"the folder {path}", "Name a file in it.")
    if not path.is_file():
        raise broken_rule(f"{subject} must exist", str(path), "Check the path.")
    try:
        path.open("rb").close()
    except OSError as error:
        rule, received = f"{subject} must be readable", f"{path} ({error.strerror})"
        raise broken_rule(rule, received, "Check its permissions.") from None


def read_text(path: Path, subject: str = "the file", form: str = "UTF-8 text") -> str:
    """The text of a file.

    Args:
        path: the file.
        subject: the file in words, for messages.
        form: what it must be, for messages.

    Raises:
        InputError: there is no such file, or it cannot be read as text.
    """
    check_file(path, subject)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise broken_rule(f"{subject} must be readable", error, "Check the path.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"`{path.name}` must be {form}; {error}. Mend that line.") from error
