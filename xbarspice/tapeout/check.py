"""Holds a tapeout folder against its manifest and proves its netlists against the circuit again.

A changed or missing file, a file that the manifest does not know, and a name that leads out of the
folder are named. The folder holds the model on arrays as drawn, a deployment (`CIRCUIT`), whose
arrays are rebuilt bit by bit. From it all netlists are written once more, an array at a time: a
design must be proven to be that circuit; a test bench, a device model and the CDL text of a layout
must be equal; a programming plan must hold the same conductances; the map from layers to arrays
must be that of the model. The voltages of the benches (`DRIVES`) must be those that the inputs
(`INPUTS`) cause. Renewed hashes do not help against that; drawings, floorplan, pictures and pages
are held by their hashes only.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xbarspice import deployment
from xbarspice.core.errors import XbarspiceError, broken_rule
from xbarspice.core.types import Array
from xbarspice.netlist.cells import Wires
from xbarspice.netlist.design_reader import prove
from xbarspice.nn import crossbar_layers
from xbarspice.nn.drives import even_drives
from xbarspice.nn.origin import arguments_of
from xbarspice.tapeout.lvs import cdl_of
from xbarspice.tapeout.netlists import NetlistFile, netlists, reads_of
from xbarspice.tapeout.sites import Site, described, drawn_array, layers_record, sites
from xbarspice.tapeout.technology import Technology

__all__ = ["CIRCUIT", "DRIVES", "INPUTS", "MANIFEST", "FolderCheck", "check_files", "check_folder"]

MANIFEST = "manifest.json"
CIRCUIT = "circuit/deployment.h5"
"""The model on arrays with the wires that were drawn."""
INPUTS = "circuit/inputs.npz"
"""Arguments of the model, by their position."""
DRIVES = "circuit/drives.npz"
"""Line voltages of the benches, V, (vectors, groups, lines), in the order of ``names``."""
CLOSE = {"float64": 1e-9, "float32": 1e-4}
"""Difference of a drive over the read voltage, by the precision of the matrix: what comes before an
array depends on a machine's exp() and the order of its sums."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    file: str
    kind: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Array(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    array: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    name: str
    form: str
    dialects: list[str]
    technology: dict[str, Any]
    only: list[str] | None
    factory: str | None
    vectors: int
    layers: list[dict[str, Any]]
    arrays: list[_Array]
    files: list[_Record]


@dataclass(frozen=True, kw_only=True)
class FolderCheck:
    """What `check_folder` says.

    Attributes:
        files: how many files the manifest names.
        problems: (path, what is wrong with it), sorted.
        texts: how many designs, benches, models, plans and CDL texts were compared with the
            circuit.
    """

    files: int
    problems: tuple[tuple[str, str], ...]
    texts: int

    @property
    def passed(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def check_folder(folder: Path, *, factory: str | None = None) -> FolderCheck:
    """Compare a folder that `tapeout` wrote with its ``manifest.json`` and its circuit.

    Args:
        folder: the folder.
        factory: for a model that was saved with ``model="module:factory"``, the same name; it is
            imported and run, so pass only code that you trust.

    Raises:
        InputError: there is no manifest, or it is none of `tapeout`; the model needs its factory.
    """
    manifest = _manifest(folder)
    if factory != manifest.factory:
        raise broken_rule(
            "the check rebuilds the model with the factory that the manifest names",
            f"{factory or 'none'}, where it names {manifest.factory or 'none'}",
            "Pass --model with that name if you trust the code: it is imported and run.",
        )
    records = [record.model_dump() for record in manifest.files]
    problems = [*check_files(folder, records)]
    wrong = {name for name, _ in problems}
    listed = [record.file for record in manifest.files]
    problems += [(n, "is named twice") for n in sorted(set(listed)) if listed.count(n) > 1]
    problems += _superfluous(folder, {*listed, MANIFEST})
    sources = (CIRCUIT, INPUTS, DRIVES)
    missing = [n for n in sources if n not in listed]
    problems += [(n, "is not in the manifest, so that nothing can be proven") for n in missing]
    count = 0
    if not missing and not wrong & set(sources):
        readable = {n for n in listed if n not in wrong or (folder / n).is_file()}
        readable -= {n for n, words in problems if words.startswith("leads")}
        for name, words in _compared(folder, manifest, readable):
            count += name not in sources and name != MANIFEST
            problems += [(name, words)] if words else []
    return FolderCheck(files=len(set(listed)), problems=tuple(sorted(set(problems))), texts=count)


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
    """Every text that follows from the circuit: its name and what is wrong with it, or None."""
    try:
        made = deployment.read(folder / CIRCUIT, factory=manifest.factory)
        technology = Technology.model_validate(manifest.technology)
        chosen = sites(made.circuit, manifest.name, manifest.only)
        volts = _voltages(folder / DRIVES)
        arguments = _arguments(folder / INPUTS, made.circuit)
        drives, _ = even_drives(made.circuit, arguments, manifest.vectors)
    except (XbarspiceError, ValueError, KeyError, OSError, RuntimeError) as error:
        yield CIRCUIT, f"cannot be used to write the netlists again: {_first(error)}"
        return
    except zipfile.BadZipFile as error:
        yield INPUTS, f"cannot be read: {error}"
        return
    yield DRIVES, _other_drives(volts, drives.volts(), made.circuit)
    if manifest.layers != layers_record(made.circuit, drives.count):
        yield MANIFEST, "does not map the layers of the model to their arrays"
    yield from _other_arrays(manifest, chosen)
    follow: set[str] = set()
    listed = {record.file for record in manifest.files}
    for site in chosen:
        try:
            texts = _texts(site, manifest, technology, volts)
        except (XbarspiceError, ValueError, IndexError) as error:
            yield DRIVES, f"cannot drive {site.array.name}: {_first(error)}"
            continue
        follow |= set(texts)
        for name, wanted in texts.items():
            if name not in listed:
                yield name, "is not in the manifest"
            elif name in readable:
                yield name, _other_text(folder / name, wanted)
        for name, read in ((f"{site.folder}/plan.csv", _csv), (f"{site.folder}/plan.json", _json)):
            if name in readable:
                yield name, _other_plan(folder / name, read, site)
    kinds = {"design", "test bench", "device model"}
    for record in manifest.files:
        if record.kind in kinds and record.file not in follow:
            yield record.file, "does not follow from the circuit"


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _other_arrays(manifest: _Manifest, chosen: Sequence[Site]) -> Iterator[tuple[str, str]]:
    """What the manifest says otherwise of its arrays than the circuit."""
    wanted = {site.array.name: described(site) for site in chosen}
    named = [record.array for record in manifest.arrays]
    if sorted(named) != sorted(wanted):
        yield MANIFEST, "names other arrays than the circuit has"
    for record in manifest.arrays:
        stated, true = record.model_dump(), wanted.get(record.array, {})
        if any(stated.get(key) != value for key, value in true.items()):
            yield MANIFEST, f"describes {record.array} otherwise than the circuit"


def _texts(
    site: Site, manifest: _Manifest, technology: Technology, volts: Mapping[str, Array]
) -> dict[str, NetlistFile]:
    """All texts of one array by their names in the folder."""
    again = netlists(
        drawn_array(site.array),
        reads_of(site.array, volts),
        names=manifest.dialects,
        wires=Wires(**technology.capacitances()),
        form=manifest.form,
        name=site.cell,
    )
    cdl = cdl_of(drawn_array(site.array).replace(**technology.wires()), site.cell)
    out = {f"{site.folder}/netlists/{n.dialect}/{n.file}": n for n in again}
    layout = NetlistFile(dialect="cdl", file="", kind="layout", text=cdl)
    return out | {f"{site.folder}/layout.cdl": layout}


def _voltages(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        names = file["names"].tolist()
        return {
            name: np.asarray(file[f"volts_{k}"], dtype=np.float64) for k, name in enumerate(names)
        }


def _arguments(path: Path, circuit: Any) -> tuple[Any, ...]:
    with np.load(path, allow_pickle=False) as file:
        return arguments_of(circuit, tuple(file[str(k)] for k in range(len(file.files))))


def _other_drives(
    volts: Mapping[str, Array], again: Mapping[str, Array], circuit: Any
) -> str | None:
    """Whether voltages are other ones than those that the inputs cause."""
    if set(volts) != set(again):
        return "does not hold the drives of the matrices that the inputs reach"
    for layer in crossbar_layers(circuit).values():
        for matrix in layer.matrices.values():
            if matrix.name not in again:
                continue
            kept, wanted = volts[matrix.name], again[matrix.name]
            limit = CLOSE[matrix.config.dtype] * matrix.config.V_read
            if kept.shape != wanted.shape or not (np.abs(kept - wanted) <= limit).all():
                return f"does not hold the drives of {matrix.name} that the inputs cause"
    return None


def _other_text(path: Path, wanted: NetlistFile) -> str | None:
    """What a netlist says otherwise than the circuit; None for nothing."""
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
            return f"is not the circuit of the model: {error}"
        return None
    return "differs from what follows from the circuit"


def _other_plan(path: Path, read: Callable[[str], Iterable[Any]], site: Site) -> str | None:
    """Whether a programming plan holds the conductances of its array, S."""
    G = site.array.crossbar.G
    try:
        planned = np.zeros(G.shape)
        for row in read(path.read_text("utf-8")):
            planned[_count(row["row"]), _count(row["col"])] = float(row["G_target_S"])
    except (ValueError, IndexError, KeyError, TypeError, RecursionError, csv.Error) as error:
        return f"cannot be read: {type(error).__name__}: {error}"
    if not np.array_equal(planned, G):
        return f"does not hold the conductances of {site.array.name}"
    return None


def _csv(text: str) -> Iterable[Any]:
    return csv.DictReader(io.StringIO(text))


def _json(text: str) -> Iterable[Any]:
    return json.loads(text)["devices"]


def _count(value: str | int) -> int:
    """A row or column from 0; a negative one must not count from the end."""
    if not re.fullmatch(r"\d+", str(value), re.ASCII):
        raise ValueError(f"{value!r} is no row or column")
    return int(value)
