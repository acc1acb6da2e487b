"""Files of one crossbar: conductances, wires, device, line ends, calibration card; as HDF5."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from xbarspice.core import device as devices
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import StoreError
from xbarspice.core.hdf5 import Tree, read_tree, write_tree
from xbarspice.core.line_ends import End, LineEnds
from xbarspice.core.schema import (
    NotNegatives,
    Number,
    Numbers,
    Part,
    Text,
    WholeNumber,
    WholeTable,
    validate,
)
from xbarspice.core.wires import wires_of

__all__ = [
    "KIND",
    "CardText",
    "CrossbarFile",
    "EndsFile",
    "crossbar_of",
    "from_tree",
    "line_ends",
    "load",
    "read_card",
    "save",
    "to_tree",
]

KIND = "crossbar"
VERSION = 3
"""Of what a file holds; since 2 a resistance may be an array, since 3 there may be a card."""
MADE_BY = "`xbarspice verify` or `xbarspice calibrate`"
_CODES = {End.FLOATING: 0, End.DRIVEN: 1, End.SENSED: 2}


class EndsFile(Part):
    """Codes of both ends of every line, (lines, 2)."""

    word_lines: WholeTable
    bit_lines: WholeTable

    @model_validator(mode="after")
    def _are_codes(self) -> Self:
        for codes in (self.word_lines, self.bit_lines):
            if codes.shape[1] != 2 or codes.max() > 2:
                raise ValueError("ends must be codes 0, 1 or 2, two a line")
        return self


class CardText(Part):
    """Text of a calibration card, and what went over its values, in words between spaces."""

    text: Text
    overruled: Text = ""


class CrossbarFile(Part):
    """An array with its wires, device and line ends; the ranges are those of `Crossbar`.

    Files of version 1 do not say it, and have one number for each resistance.
    """

    version: WholeNumber = 1
    G: Numbers
    R_wl: NotNegatives
    R_bl: NotNegatives
    R_driver: NotNegatives
    R_sense: NotNegatives
    device: Text
    device_parameters: dict[str, Number] = Field(default={})
    ends: EndsFile
    card: CardText | None = None

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.version > VERSION:
            raise ValueError(f"version must be {VERSION} at most; a later xbarspice wrote the file")
        return self


def save(path: Path, crossbar: Crossbar, card: CardText | None = None) -> None:
    """Write a crossbar (or a batch of them) to an HDF5 file, whole or not at all.

    Args:
        path: the file.
        crossbar: what it holds.
        card: calibration card that its wires and device come from, if any.

    Raises:
        StoreError: the file cannot be written.
    """
    carried = {} if card is None else {"card": card.model_dump()}
    write_tree(path, {**to_tree(crossbar), **carried}, KIND)


def read_card(path: Path) -> CardText | None:
    """The card that a crossbar file carries, read without the rest of it.

    Raises:
        InputError, StoreError: as of `load`.
    """
    values = read_tree(path, KIND, only="card", made_by=MADE_BY)
    return validate(CardText, values, path) if values else None


def load(path: Path) -> Crossbar:
    """Read a crossbar that `save` wrote.

    Raises:
        InputError: there is no such file.
        StoreError: it is damaged, of another kind, or an entry is missing or breaks its range.
    """
    tree = read_tree(path, KIND, made_by=MADE_BY)
    file = validate(CrossbarFile, tree, path)
    try:
        return crossbar_of(file)
    except ValueError as error:  # a rule of a class that the entries break is the file's
        raise StoreError(
            f"`{path.name}` must be consistent; {str(error).rstrip('.')}. Make it again."
        ) from error


def to_tree(crossbar: Crossbar) -> Tree:
    """A crossbar as a tree for `hdf5.write_tree`."""
    device = crossbar.device
    return {
        "version": VERSION,
        "G": crossbar.G,
        **crossbar.wires,
        "device": device.name,
        "device_parameters": {f.name: getattr(device, f.name) for f in dataclasses.fields(device)},  # type: ignore[arg-type]
        "ends": {"word_lines": _codes(crossbar.wl_ends), "bit_lines": _codes(crossbar.bl_ends)},
    }


def from_tree(tree: Mapping[str, Any]) -> Crossbar:
    """The crossbar that `to_tree` took apart.

    Raises:
        StoreError: an entry is missing or breaks its range.
    """
    return crossbar_of(validate(CrossbarFile, tree, Path("crossbar")))


def line_ends(file: EndsFile) -> LineEnds:
    """The line ends that a file's codes stand for."""
    word = {code: end for end, code in _CODES.items()}
    wl, bl = (
        [[word[int(c)] for c in side] for side in codes.T]
        for codes in (file.word_lines, file.bit_lines)
    )
    return LineEnds(wl_left=wl[0], wl_right=wl[1], bl_top=bl[0], bl_bottom=bl[1])


def _codes(ends: npt.NDArray[np.object_]) -> npt.NDArray[np.int8]:
    return np.vectorize(_CODES.__getitem__, otypes=[np.int8])(ends)


def crossbar_of(file: CrossbarFile) -> Crossbar:
    """The crossbar of a file's checked entries.

    Raises:
        InputError: a rule of `Crossbar` or of its device breaks.
    """
    device = devices.with_parameters(file.device, file.device_parameters)
    return Crossbar(file.G, **wires_of(file), device=device, ends=line_ends(file.ends))
