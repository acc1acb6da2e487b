"""Holds a tapeout folder against its manifest: every file, every hash, G in every netlist and plan.

A changed or missing file, a file that the manifest does not know, and a netlist or programming plan
whose conductances are no longer the ones that were mapped are named.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.errors import XbarspiceError, broken_rule
from xbarspice.netlist.design_reader import read_design
from xbarspice.netlist.hierarchy import matrix_hash

__all__ = ["MANIFEST", "FolderCheck", "check_files", "check_folder"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class FolderCheck:
    """What `check_folder` found.

    Attributes:
        files: how many files the manifest names.
        problems: (path, what is wrong with it), sorted.
    """

    files: int
    problems: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> bool:
        """Whether every file is the one that was written."""
        return not self.problems


def check_folder(folder: Path) -> FolderCheck:
    """Compare a folder that `tapeout` wrote with its ``manifest.json``.

    Raises:
        InputError: there is no manifest, or it is none of `tapeout`.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise broken_rule(
            f"a tapeout folder holds {MANIFEST}", str(folder), "Pass the folder of a tapeout."
        )
    try:
        manifest = json.loads(path.read_text("utf-8"))
        records = manifest["files"]
        tiles = manifest["tiles"]
        listed = {record["file"]: record["sha256"] for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise broken_rule(
            f"{MANIFEST} must be one that `tapeout` wrote", f"{type(error).__name__}: {error}",
            "Write the folder again.",
        ) from error  # fmt: skip
    problems = [*check_files(folder, records)]
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    problems += [(name, "is not in the manifest") for name in present - {*listed, MANIFEST}]
    problems += _other_conductances(folder, [r for r in records if r["file"] in present], tiles)
    return FolderCheck(files=len(listed), problems=tuple(sorted(problems)))


def check_files(folder: Path, records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The files of a manifest's records that are missing or have another hash.

    Args:
        folder: what the records' ``file`` entries are relative to.
        records: each with ``file`` and ``sha256``.
    """
    for record in records:
        path = folder / record["file"]
        if not path.is_file():
            yield record["file"], "is missing"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
            yield record["file"], "was changed since it was written"


def _other_conductances(
    folder: Path, records: Sequence[dict[str, Any]], tiles: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Netlists and plans that hold another G than the manifest's tiles."""
    for record in records:
        try:
            found = _conductances(folder, record, tiles)
        except (XbarspiceError, UnicodeDecodeError, ValueError, IndexError, KeyError) as error:
            yield record["file"], f"cannot be read: {error}"
            continue
        for tile, G in found.items():
            if not 0 <= tile < len(tiles) or matrix_hash(G) != tiles[tile]["G_sha256"]:
                yield record["file"], f"does not hold the conductances of tile {tile}"


def _conductances(
    folder: Path, record: dict[str, Any], tiles: Sequence[dict[str, Any]]
) -> dict[int, npt.NDArray[np.float64]]:
    """G by tile, S, as one file says it; none where it says none."""
    name = record["file"]
    if record["kind"] == "programming plan" and name.endswith(".csv"):
        tile = int(Path(name).stem.rpartition("_")[2])
        return {tile: _planned((folder / name).read_text("utf-8"), tiles[tile]["shape"])}
    if record["kind"] == "design":
        found = read_design((folder / name).read_text("utf-8"), record["dialect"]).G
        # a Verilog-A module may have parameters of its own only, from which G is not known
        return {k: G for k, G in enumerate(found) if not np.isnan(G).any()}
    return {}


def _planned(text: str, shape: Sequence[int]) -> npt.NDArray[np.float64]:
    """G of a programming plan, S."""
    G = np.zeros(shape)
    for row in csv.DictReader(io.StringIO(text)):
        G[int(row["row"]), int(row["col"])] = float(row["G_target_S"])
    return G
