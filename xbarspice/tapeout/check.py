"""Holds a tapeout folder against its manifest and proves its netlists against the circuit again.

A changed or missing file, a file that the manifest does not know, and a name that leads out of the
folder are named. The folder holds the model on arrays as drawn, a deployment (`CIRCUIT`), whose
arrays are rebuilt bit by bit. From it all netlists are written once more, an array at a time: a
design must be proven to be that circuit; a test bench, a device model and the netlists for LVS
must be equal; a programming plan must hold the same conductances and the currents that follow from
them; the map from layers to arrays must be that of the model. The voltages of the benches
(`DRIVES`) must be those that the inputs (`INPUTS`) cause. Renewed hashes do not help against that;
drawings, floorplan, pictures and pages are held by their hashes only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice import deployment
from xbarspice.core.errors import XbarspiceError, broken_rule, first_line
from xbarspice.core.types import Array
from xbarspice.importers.archive import read_npz
from xbarspice.netlist.design_reader import prove
from xbarspice.nn.drives import even_drives
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import arguments_of
from xbarspice.tapeout.circuit_sites import layers_record, sites
from xbarspice.tapeout.manifest import (
    CIRCUIT,
    DRIVES,
    INPUTS,
    MANIFEST,
    Manifest,
    check_files,
    load_manifest,
    surplus_files,
)
from xbarspice.tapeout.netlists import NetlistFile, array_texts
from xbarspice.tapeout.plans import PLANS, plan_problems
from xbarspice.tapeout.sites import Site, array_record
from xbarspice.tapeout.technology import Technology

__all__ = ["FolderCheck", "check_folder"]

CLOSE = {"float64": 1e-9, "float32": 1e-4}
"""Difference of a drive over the read voltage, by the precision of the matrix: what comes before an
array depends on a machine's exp() and the order of its sums."""


@dataclass(frozen=True, kw_only=True)
class FolderCheck:
    """What `check_folder` says.

    Attributes:
        files: how many files the manifest names.
        problems: (path, what is wrong with it), sorted.
        texts: how many designs, benches, models, plans and netlists for LVS were compared with the
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
    manifest = load_manifest(folder)
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
    problems += surplus_files(folder, {*listed, MANIFEST})
    sources = (CIRCUIT, INPUTS, DRIVES)
    missing = [n for n in sources if n not in listed]
    problems += [(n, "is not in the manifest, so that nothing can be proven") for n in missing]
    count = 0
    if not missing and not wrong & set(sources):
        readable = {n for n in listed if n not in wrong or (folder / n).is_file()}
        readable -= {n for n, words in problems if words.startswith("leads")}
        for name, words in _compare(folder, manifest, readable):
            count += name not in sources and name != MANIFEST
            problems += [(name, words)] if words else []
    return FolderCheck(files=len(set(listed)), problems=tuple(sorted(set(problems))), texts=count)


def _compare(
    folder: Path, manifest: Manifest, readable: set[str]
) -> Iterator[tuple[str, str | None]]:
    """Every text that follows from the circuit: its name and what is wrong with it, or None."""
    try:
        circuit = deployment.read(folder / CIRCUIT, factory=manifest.factory).circuit
        technology = Technology.model_validate(manifest.technology)
        drawn = sites(circuit, manifest.name, manifest.only)
        volts = _voltages(folder / DRIVES)
        arguments = _arguments(folder / INPUTS, circuit)
        drives, _ = even_drives(circuit, arguments, manifest.vectors)
    except (XbarspiceError, ValueError, KeyError, OSError, RuntimeError) as error:
        yield CIRCUIT, f"cannot be used to write the netlists again: {first_line(error)}"
        return
    yield DRIVES, _drive_problem(volts, drives.volts(), circuit)
    if manifest.layers != layers_record(circuit, drives.count):
        yield MANIFEST, "does not map the layers of the model to their arrays"
    yield from _array_problems(manifest, drawn)
    follow: set[str] = set()
    listed = {record.file for record in manifest.files}
    for site in drawn:
        try:
            texts = _texts(site, manifest, technology, volts)
        except (XbarspiceError, ValueError, IndexError) as error:
            yield DRIVES, f"cannot drive {site.array.name}: {first_line(error)}"
            continue
        follow |= set(texts)
        for name, netlist in texts.items():
            if name not in listed:
                yield name, "is not in the manifest"
            elif name in readable:
                yield name, _text_problem(folder / name, netlist)
        plans = [f"{site.folder}/{file}" for file in PLANS]
        yield from plan_problems(folder, [name for name in plans if name in readable], site)
    kinds = {"design", "test bench", "device model", "schematic", "parasitics"}
    for record in manifest.files:
        if record.kind in kinds and record.file not in follow:
            yield record.file, "does not follow from the circuit"


def _array_problems(manifest: Manifest, drawn: Sequence[Site]) -> Iterator[tuple[str, str]]:
    """What the manifest says otherwise of its arrays than the circuit."""
    records = {site.array.name: array_record(site) for site in drawn}
    names = [record.array for record in manifest.arrays]
    if sorted(names) != sorted(records):
        yield MANIFEST, "names other arrays than the circuit has"
    for record in manifest.arrays:
        stated, expected = record.model_dump(), records.get(record.array, {})
        if any(stated.get(key) != value for key, value in expected.items()):
            yield MANIFEST, f"describes {record.array} otherwise than the circuit"


def _texts(
    site: Site, manifest: Manifest, technology: Technology, volts: Mapping[str, Array]
) -> dict[str, NetlistFile]:
    """All texts of one array by their names in the folder."""
    texts = array_texts(
        site,
        technology,
        volts,
        names=manifest.dialects,
        form=manifest.form,
        brackets=manifest.brackets,
    )
    return {f"{site.folder}/netlists/{n.dialect}/{n.file}": n for n in texts}


def _voltages(path: Path) -> dict[str, Array]:
    arrays = read_npz(path)
    names = arrays["names"].tolist()
    return {name: np.asarray(arrays[f"volts_{k}"], np.float64) for k, name in enumerate(names)}


def _arguments(path: Path, circuit: Any) -> tuple[Any, ...]:
    arrays = read_npz(path)
    return arguments_of(circuit, tuple(arrays[str(k)] for k in range(len(arrays))))


def _drive_problem(
    volts: Mapping[str, Array], expected: Mapping[str, Array], circuit: Any
) -> str | None:
    """Whether voltages are other ones than those that the inputs cause."""
    if set(volts) != set(expected):
        return "does not hold the drives of the matrices that the inputs reach"
    for matrix in matrices_of(circuit):
        if matrix.name not in expected:
            continue
        V, V_expected = volts[matrix.name], expected[matrix.name]
        limit = CLOSE[matrix.config.dtype] * matrix.config.V_read
        if V.shape != V_expected.shape or not (np.abs(V - V_expected) <= limit).all():
            return f"does not hold the drives of {matrix.name} that the inputs cause"
    return None


def _text_problem(path: Path, expected: NetlistFile) -> str | None:
    """What a netlist says otherwise than the circuit; None for nothing."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return f"cannot be read: {error}"
    if text == expected.text:
        return None
    if expected.design is not None:
        try:
            prove(text, expected.dialect, expected.design, brackets=expected.brackets)
        except XbarspiceError as error:
            return f"is not the circuit of the model: {error}"
        return None
    return "differs from what follows from the circuit"
