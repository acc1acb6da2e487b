"""The manifest of a tapeout folder: what its files are, with their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xbarspice.core.errors import broken_rule

__all__ = [
    "CIRCUIT",
    "DRIVES",
    "INPUTS",
    "MANIFEST",
    "Manifest",
    "Record",
    "add_file",
    "check_files",
    "file_record",
    "load_manifest",
    "save_manifest",
    "surplus_files",
]

MANIFEST = "manifest.json"
CIRCUIT = "circuit/deployment.h5"
"""The model on arrays with the wires that were drawn."""
INPUTS = "circuit/inputs.npz"
"""Arguments of the model, by their position."""
DRIVES = "circuit/drives.npz"
"""Line voltages of the benches, V, (vectors, groups, lines), in the order of ``names``."""

Record = dict[str, Any]
"""A part of the manifest, as JSON has it."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class FileEntry(_Entry):
    """One file of the folder."""

    file: str
    kind: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ArrayEntry(_Entry):
    """One array of the model."""

    array: str


class Manifest(_Entry):
    """What `check_folder` needs of a manifest."""

    name: str
    form: str
    brackets: str
    dialects: list[str]
    technology: Record
    only: list[str] | None
    factory: str | None
    vectors: int
    layers: list[Record]
    arrays: list[ArrayEntry]
    rules: list[Record]
    files: list[FileEntry]


def file_record(folder: Path, path: Path, kind: str, array: str | None = None) -> Record:
    """What the manifest says of a file: its name, kind, hash, and the array that it belongs to."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = {"file": path.relative_to(folder).as_posix(), "kind": kind, "sha256": digest}
    return record if array is None else record | {"array": array}


def add_file(record: Record, folder: Path, path: Path, kind: str) -> None:
    """Name one more file in the manifest of a folder."""
    record["files"].append(file_record(folder, path, kind))
    save_manifest(record, folder)


def save_manifest(record: Record, folder: Path) -> None:
    """Write a record as the folder's ``manifest.json``."""
    (folder / MANIFEST).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        InputError: there is none, or it is none of `tapeout`.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise broken_rule(
            f"a tapeout folder holds {MANIFEST}", str(folder), "Pass the folder of a tapeout."
        )
    try:
        return Manifest.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, RecursionError) as error:
        detail = error.errors()[0] if isinstance(error, ValidationError) else error
        raise broken_rule(
            f"{MANIFEST} must be one that this version's `tapeout` wrote",
            f"{type(error).__name__}: {detail}",
            "Write the folder again.",
        ) from error


def check_files(folder: Path, records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """The files of a manifest's records that lie outside, are missing or have another hash.

    Args:
        folder: what the records' ``file`` entries are relative to.
        records: each with ``file`` and ``sha256``.
    """
    for record in records:
        name = record["file"]
        if not _is_inside(folder, name):
            yield name, "leads out of the folder or through a link"
        elif not (folder / name).is_file():
            yield name, "is missing"
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != record["sha256"]:
            yield name, "was changed since it was written"


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a name is a plain path below the folder, and no part of it a link."""
    path = PurePosixPath(name)
    plain = name == path.as_posix() and path.parts and "\\" not in name and "\0" not in name
    if not plain or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        return False
    steps = [folder.joinpath(*path.parts[: k + 1]) for k in range(len(path.parts))]
    return not any(step.is_symlink() for step in steps)


def surplus_files(folder: Path, listed: set[str]) -> Iterator[tuple[str, str]]:
    """What lies in the folder and is not in the manifest; links are never followed."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield name, "is a link"
        elif not path.is_dir() and name not in listed:
            yield name, "is not in the manifest"
