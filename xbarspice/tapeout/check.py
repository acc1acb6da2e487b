"""Holds a tapeout folder against its manifest and proves its netlists against the network again.

A changed or missing file, a file that the manifest does not know, and a name that leads out of the
folder are named. From the mapped network and the inputs in the folder (`NETWORK`, `INPUTS`) all
netlists are written once more: a design must be proven to be that circuit, a test bench must say
the same to `CLOSE`, a device model and the CDL text of a layout must be equal, a programming plan
must hold the same conductances. Renewed hashes do not help against that; drawings, pictures and
pages are held by their hashes only.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xbarspice import store
from xbarspice.array import READ
from xbarspice.errors import XbarspiceError, broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.netlist.design_reader import prove
from xbarspice.netlist.hierarchy import Wires, g_hash
from xbarspice.tapeout.lvs import cdl_of
from xbarspice.tapeout.netlists import NetlistFile, netlists
from xbarspice.tapeout.technology import Technology

__all__ = ["INPUTS", "MANIFEST", "NETWORK", "FolderCheck", "check_files", "check_folder"]

MANIFEST = "manifest.json"
NETWORK = "network/mapped.h5"
"""The mapped network with the wires that were drawn."""
INPUTS = "network/inputs.npz"
"""Inputs of the test benches."""
CLOSE = 1e-9
"""Relative difference of numbers in test benches: activations depend on a machine's exp()."""

_NUMBER = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?", re.ASCII)


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    file: str
    kind: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Tile(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    shape: list[int]
    G_sha256: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    name: str
    form: str
    dialects: list[str]
    technology: dict[str, Any]
    tiles: list[_Tile]
    files: list[_Record]


@dataclass(frozen=True, kw_only=True)
class FolderCheck:
    """What `check_folder` says.

    Attributes:
        files: how many files the manifest names.
        problems: (path, what is wrong with it), sorted.
        netlists: how many designs, benches, models and CDL texts were compared with the network.
    """

    files: int
    problems: tuple[tuple[str, str], ...]
    netlists: int

    @property
    def passed(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def check_folder(folder: Path) -> FolderCheck:
    """Compare a folder that `tapeout` wrote with its ``manifest.json`` and its network.

    Raises:
        InputError: there is no manifest, or it is none of `tapeout`.
    """
    manifest = _manifest(folder)
    records = [record.model_dump() for record in manifest.files]
    problems = [*check_files(folder, records)]
    wrong = {name for name, _ in problems}
    listed = [record.file for record in manifest.files]
    problems += [(n, "is named twice") for n in sorted(set(listed)) if listed.count(n) > 1]
    problems += _superfluous(folder, {*listed, MANIFEST})
    missing = [n for n in (NETWORK, INPUTS) if n not in listed]
    problems += [(n, "is not in the manifest, so that nothing can be proven") for n in missing]
    count = 0
    if not missing and not wrong & {NETWORK, INPUTS}:
        readable = {n for n in listed if n not in wrong or (folder / n).is_file()}
        readable -= {n for n, words in problems if words.startswith("leads")}
        compared = list(_compared(folder, manifest, readable))
        count = len(compared)
        problems += [(name, words) for name, words in compared if words]
    return FolderCheck(
        files=len(set(listed)), problems=tuple(sorted(set(problems))), netlists=count
    )


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise broken_rule(
            f"a tapeout folder holds {MANIFEST}", str(folder), "Pass the folder of a tapeout."
        )
    try:
        return _Manifest.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, RecursionError) as error:
        detail = error.errors()[0] if isinstance(error, ValidationError) else error
        raise broken_rule(
            f"{MANIFEST} must be one that this version's `tapeout` wrote",
            f"{type(error).__name__}: {detail}",
            "Write the folder again.",
        ) from error


def check_files(folder: Path, records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The files of a manifest's records that lie outside, are missing or have another hash.

    Args:
        folder: what the records' ``file`` entries are relative to.
        records: each with ``file`` and ``sha256``.
    """
    for record in records:
        name = record["file"]
        if not _inside(folder, name):
            yield name, "leads out of the folder or through a link"
        elif not (folder / name).is_file():
            yield name, "is missing"
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != record["sha256"]:
            yield name, "was changed since it was written"


def _inside(folder: Path, name: str) -> bool:
    """Whether a name is a plain path below the folder, and no part of it a link."""
    path = PurePosixPath(name)
    plain = name == path.as_posix() and path.parts and "\\" not in name and "\0" not in name
    if not plain or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        return False
    steps = [folder.joinpath(*path.parts[: k + 1]) for k in range(len(path.parts))]
    return not any(step.is_symlink() for step in steps)


def _superfluous(folder: Path, listed: set[str]) -> Iterator[tuple[str, str]]:
    """What lies in the folder and is not in the manifest; links are never followed."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield name, "is a link"
        elif not path.is_dir() and name not in listed:
            yield name, "is not in the manifest"


def _compared(
    folder: Path, manifest: _Manifest, readable: set[str]
) -> Iterator[tuple[str, str | None]]:
    """Every text that follows from the network: its name and what is wrong with it, or None."""
    try:
        mapped = store.load_mapped(folder / NETWORK)
        x = _inputs(folder / INPUTS)
        technology = Technology.model_validate(manifest.technology)
        again = netlists(
            mapped, x, names=manifest.dialects, wires=Wires(**technology.capacitances()),
            form=manifest.form, name=manifest.name,
        )  # fmt: skip
    except (XbarspiceError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        yield NETWORK, f"cannot be used to write the netlists again: {error}"
        return
    hashes = [tile.G_sha256 for tile in manifest.tiles]
    if hashes != [g_hash(array) for array in mapped.arrays]:
        yield MANIFEST, "names other conductances than the mapped network has"
    texts = {f"netlists/{n.dialect}/{n.file}": n for n in again} | {
        f"layout/tile_{k}.cdl": NetlistFile(dialect="cdl", file="", kind="layout", text=text)
        for k, text in enumerate(_layout_texts(mapped, technology, manifest.name))
    }
    kinds = {"design", "test bench", "device model"}
    for record in manifest.files:
        if record.kind in kinds and record.file not in texts:
            yield record.file, "does not follow from the mapped network"
    for name, wanted in texts.items():
        if name not in {record.file for record in manifest.files}:
            yield name, "is not in the manifest"
        elif name in readable:
            yield name, _other_text(folder / name, wanted)
    for k, array in enumerate(mapped.arrays):
        name = f"plan/tile_{k}.csv"
        if name in readable:
            yield name, _other_plan(folder / name, array.G, k)


def _layout_texts(mapped: MappedNetwork, technology: Technology, name: str) -> Iterator[str]:
    for k, array in enumerate(mapped.arrays):
        tile = array.replace(ends=READ, **technology.wires())
        yield cdl_of(tile, f"{name}_tile_{k}")


def _inputs(path: Path) -> npt.NDArray[np.float64]:
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file["x"], dtype=np.float64)


def _other_text(path: Path, wanted: NetlistFile) -> str | None:
    """What a netlist says otherwise than the network; None for nothing."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return f"cannot be read: {error}"
    if text == wanted.text:
        return None
    if wanted.design is not None:
        try:
            prove(text, wanted.dialect, wanted.design)
        except XbarspiceError as error:
            return f"is not the circuit of the mapped network: {error}"
        return None
    if wanted.kind == "test bench" and _close(text, wanted.text):
        return None
    return "differs from what follows from the mapped network"


def _close(a: str, b: str) -> bool:
    """Whether two texts are equal but for the last digits of their numbers."""
    if _NUMBER.sub("#", a) != _NUMBER.sub("#", b):
        return False
    pairs = zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=True)
    return all(abs(float(p) - float(q)) <= CLOSE * abs(float(q)) for p, q in pairs)


def _other_plan(path: Path, G: npt.NDArray[np.float64], tile: int) -> str | None:
    """Whether a programming plan holds the conductances of its tile, S."""
    try:
        planned = np.zeros(G.shape)
        for row in csv.DictReader(io.StringIO(path.read_text("utf-8"))):
            planned[_count(row["row"]), _count(row["col"])] = float(row["G_target_S"])
    except (ValueError, IndexError, KeyError, TypeError, csv.Error) as error:
        return f"cannot be read: {type(error).__name__}: {error}"
    if not np.array_equal(planned, G):
        return f"does not hold the conductances of tile {tile}"
    return None


def _count(text: str) -> int:
    """A row or column from 0; a negative one must not count from the end."""
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise ValueError(f"{text!r} is no row or column")
    return int(text)
