"""HDF5 files: nested dictionaries of arrays, written complete or not at all, with a content hash.

The first 512 bytes (HDF5's user block) hold the SHA-256 of all others. It is computed again before
HDF5 reads the file, since a damaged one may also make HDF5 itself run without end. Files of format
1 (xbarspice 0.1.0) had none and are refused.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xbarspice.core.errors import StoreError
from xbarspice.core.files import check_file, store_errors, whole_file

__all__ = ["Tree", "is_hdf5", "kind_of", "read_plain", "read_tree", "unreadable", "write_tree"]

FORMAT = 2
MADE_BY = "the command that wrote it"
DEPTH = 8
"""Groups lie at most so deep in one another; a file whose groups hold themselves ends here."""
HEAD = 512
"""Bytes before the HDF5 part of a file."""
_MAGIC = b"xbarspice file, SHA-256 of all bytes from 512 on: "
_KIND, _FORMAT = "xbarspice_kind", "xbarspice_format"
Tree = dict[str, Any]


def write_tree(path: Path, tree: Mapping[str, Any], kind: str) -> None:
    """Write a nested dictionary (groups) of arrays, numbers, strings and None to HDF5.

    The file appears whole under its name or not at all, also after a crash.

    Args:
        path: target; replaced if it exists.
        tree: str -> array, number, bool, str, None or another such dictionary.
        kind: what the file is, checked by `read_tree`.
    """
    with store_errors("the result file", path), whole_file(path) as partial:
        with h5py.File(partial, "w", userblock_size=HEAD) as file:
            file.attrs[_KIND] = kind
            file.attrs[_FORMAT] = FORMAT
            _write_group(file, tree)
        with partial.open("r+b") as file:
            digest = _hash_of(file)
            file.seek(0)
            file.write(f"{_MAGIC.decode()}{digest}\n".encode())


def read_tree(path: Path, kind: str, *, only: str | None = None, made_by: str = MADE_BY) -> Tree:
    """Read what `write_tree` wrote.

    Args:
        path: the file.
        kind: as it was written.
        only: a group to read alone; an absent one is empty.
        made_by: which command writes files of this kind, for messages.

    Raises:
        StoreError: the file is damaged, of another kind or layout, or open elsewhere.
        InputError: there is no such file.
    """
    return _open(path, lambda file, whole: _tree(path, file, kind, whole, only, made_by))


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    return bool(h5py.is_hdf5(path))


def kind_of(path: Path) -> str | None:
    """What `write_tree` called a file; None for an HDF5 file of another origin.

    Raises:
        StoreError: the file is no HDF5 file, or open elsewhere. InputError: there is no such file.
    """

    def kind(file: Any, whole: bool) -> str | None:
        value = file.attrs.get(_KIND)
        return value if isinstance(value, str) else None

    return _open(path, kind)


def read_plain(path: Path) -> Tree:
    """Datasets, attributes and groups of any HDF5 file, whoever wrote it.

    Arrays of MATLAB (attribute `MATLAB_class`; v7.3 files) come as MATLAB shows them: it writes
    them column by column, so that HDF5 holds the transpose. A file of `write_tree` is held against
    its hash.

    Raises:
        StoreError: the file is no HDF5 file, damaged, or open elsewhere.
        InputError: there is no such file.
    """

    def tree(file: Any, whole: bool) -> Tree:
        if whole or _KIND in file.attrs or _FORMAT in file.attrs:
            return _tree(path, file, str(file.attrs.get(_KIND)), whole)
        return _read_group(file)

    return _open(path, tree)


def unreadable(path: Path, error: Exception, remedy: str) -> StoreError:
    """Why a file could not be read: another process holds it, or what HDF5 says and the remedy."""
    first = (str(error).splitlines() or [""])[0][:200]
    if isinstance(error, BlockingIOError) or "unable to lock file" in str(error):
        return StoreError(
            f"`{path.name}` must not be open for writing elsewhere; it is open in another process "
            f"({first}). Try again when that process has closed it."
        )
    if isinstance(error, PermissionError):
        remedy = "Check its permissions."
    return StoreError(
        f"`{path.name}` must be a readable HDF5 file; {type(error).__name__}: {first}. {remedy}"
    )


def _hash_of(file: Any) -> str:
    digest = hashlib.sha256()
    file.seek(HEAD)
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether a file carries the hash of its bytes; raises where they give another one."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as HDF5 does: a writer holds it
        head = file.read(HEAD)
        if not head.startswith(_MAGIC):
            return False
        if head[len(_MAGIC) :].rstrip(b"\0") == f"{_hash_of(file)}\n".encode():
            return True
    raise StoreError(
        f"`{path.name}` must hold what was written to it; its content does not give its hash, so "
        "it was damaged or changed. Make it again with the command that wrote it."
    )


def _open(path: Path, work: Callable[[Any, bool], Any]) -> Any:
    check_file(path)
    try:
        whole = _is_whole(path)
        with h5py.File(path, "r") as file:
            return work(file, whole)
    except StoreError:
        raise
    except Exception as error:  # a damaged file makes h5py raise errors of many kinds
        raise unreadable(path, error, "Make it again.") from error


def _tree(
    path: Path,
    file: Any,
    kind: str,
    whole: bool,
    only: str | None = None,
    made_by: str = MADE_BY,
) -> Tree:
    label = (file.attrs.get(_KIND), file.attrs.get(_FORMAT))
    if label == (kind, 1):
        raise StoreError(
            f"`{path.name}` must carry a content hash; it was written by xbarspice 0.1.0, without "
            f"one, so damage would not be noticed. Make it again with {made_by}."
        )
    if label != (kind, FORMAT):
        raise StoreError(
            f"`{path.name}` must be a file of kind {kind!r}, format {FORMAT}; "
            f"it says {label[0]!r}, {label[1]}. Make it with {made_by}."
        )
    if not whole:
        raise StoreError(
            f"`{path.name}` must carry its content hash; it has none, so it was damaged or "
            f"changed. Make it again with {made_by}."
        )
    if only is not None:
        return _read_group(file[only]) if only in file else {}
    return _read_group(file)


def _write_group(group: Any, tree: Mapping[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _write_group(group.create_group(name), value)
        elif value is None or isinstance(value, (str, bool, int, float)):
            group.attrs[name] = h5py.Empty("f") if value is None else value
        else:
            group.create_dataset(name, data=np.asarray(value))


def _read_group(group: Any, depth: int = 0) -> Tree:
    if depth > DEPTH:
        raise ValueError(f"groups must lie at most {DEPTH} deep")
    out: Tree = {}
    for name, value in group.attrs.items():
        if not name.startswith(("xbarspice_", "MATLAB_", "H5PATH")):
            out[name] = None if isinstance(value, h5py.Empty) else _plain(value)
    for name in group:
        item = group.get(name)
        if isinstance(item, h5py.Group):
            out[name] = _read_group(item, depth + 1)
        elif isinstance(item, h5py.Dataset):
            out[name] = _read_dataset(item)
        else:
            raise ValueError(f"`{name}` must be a group or a dataset; it is a link to nothing")
    return out


def _read_dataset(item: Any) -> Any:
    kind = item.attrs.get("MATLAB_class")
    if kind is None:
        return item[()]
    word = kind.decode() if isinstance(kind, bytes) else str(kind)
    if item.attrs.get("MATLAB_empty"):
        return np.empty(tuple(int(n) for n in item[()]))
    shown = np.asarray(item[()]).T
    return "".join(chr(c) for c in shown.ravel().tolist()) if word == "char" else shown


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
