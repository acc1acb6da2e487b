"""Files read without trust: members of zip archives, how large they become, and hashes."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import InputError, broken_rule, first_line

__all__ = ["check_archive", "hash_files", "members", "open_archive", "read_npy", "read_npz"]

_RATIO = 200
_FLOOR = 1 << 20
_LOCAL = struct.Struct("<4s22xHH")
"""Start of a member: signature, and how long its name and its extra field are."""
_DESCRIPTORS = (0, 12, 16, 20, 24)
"""Bytes that may stand behind a member's data, with its checksum and sizes again."""


def open_archive(file: Path | IO[bytes], name: str) -> zipfile.ZipFile:
    """Open a zip archive after a look at its table of contents.

    Raises:
        InputError: the file is damaged, its table leaves bytes out (a member would be missing
            unseen), a member occurs twice or leaves the archive by its name, or the members would
            unpack to far more than the file holds.
    """
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
        _check_table(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise InputError(
            f"`{name}` must be a whole zip archive; reading it failed: {error}. "
            "Copy or save the file again."
        ) from error
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})[:3]
        raise broken_rule(f"members of `{name}` must occur once", twice, "Save the file anew.")
    strays = [n for n in names if n.startswith("/") or "\\" in n or ".." in n.split("/")]
    if strays:
        raise broken_rule(f"members of `{name}` must stay inside it", strays[:3], "Do not use it.")
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    held = Path(file).stat().st_size if isinstance(file, Path) else _length(file)
    if packed > held or unpacked > max(_FLOOR, _RATIO * held):
        raise broken_rule(
            f"`{name}` must unpack to a size in proportion to the file",
            f"{held} bytes that claim to hold {unpacked}",
            "Do not use it; it is no model.",
        )
    return archive


def _check_table(archive: zipfile.ZipFile) -> None:
    """Whether the members of the table fill the file up to the table, one behind the other."""
    file, start = archive.fp, archive.start_dir
    if file is None:
        raise zipfile.BadZipFile("the archive is closed")
    offset = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.header_offset - offset not in _DESCRIPTORS:
            raise zipfile.BadZipFile(f"{entry.filename!r} does not begin where the one before ends")
        file.seek(entry.header_offset)
        signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        if signature != b"PK\3\4":
            raise zipfile.BadZipFile(f"{entry.filename!r} has no header")
        offset = entry.header_offset + _LOCAL.size + name + extra + entry.compress_size
    if start - offset not in _DESCRIPTORS:
        raise zipfile.BadZipFile(f"{start - offset} bytes belong to no member of its table")


def _length(file: IO[bytes]) -> int:
    place = file.tell()
    end = file.seek(0, 2)
    file.seek(place)
    return end


def members(archive: zipfile.ZipFile) -> dict[str, str]:
    """Member names without the common first folder (as torch writes them), to the full names."""
    names = [n for n in archive.namelist() if not n.endswith("/")]
    roots = {n.split("/", 1)[0] for n in names if "/" in n}
    inside = [n for n in names if "/" in n]
    if len(roots) == 1 and len(inside) >= len(names) - 1:
        return {n.split("/", 1)[1] if "/" in n else n: n for n in names}
    return {n: n for n in names}


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the bytes of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def check_archive(path: Path) -> None:
    """Compare every member of a zip archive with its checksum.

    Raises:
        InputError: as `open_archive`. ValueError: a member is damaged.
    """
    with open_archive(path, path.name) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an ``.npz``, each compared with its checksum; nothing is unpickled.

    Raises:
        InputError: it is no ``.npz`` of plain arrays, is damaged, or cannot be read.
    """
    try:
        check_archive(path)  # NumPy alone reads no further than a header says
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        if not all(isinstance(value, np.ndarray) for value in data.values()):
            raise ValueError("it holds other files than arrays")
        return data
    except Exception as error:  # a damaged zip or header raises errors of many kinds
        raise InputError(
            f"`{path.name}` must be an .npz of plain arrays; reading it failed: "
            f"{first_line(error).rstrip('.')}. Save it with np.savez(path, name=array, ...)."
        ) from error


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array of an ``.npy``; nothing is unpickled.

    Raises:
        InputError: it is no ``.npy`` of a plain array, is damaged, or cannot be read.
    """
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it holds several arrays")
        return array
    except Exception as error:  # a damaged header raises errors of many kinds
        raise InputError(
            f"`{path.name}` must be an .npy of a plain array; reading it failed: "
            f"{first_line(error)}. Save it with np.save(path, array)."
        ) from error
