"""A single array from a file, with the voltages and currents that came with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from xbarspice import devices
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.array import Crossbar
from xbarspice.core.crossbar_file import EndsFile, line_ends
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.line_ends import READ
from xbarspice.core.schema import NotNegatives, Number, Text
from xbarspice.core.types import Array
from xbarspice.core.values import array_of, broken_entries
from xbarspice.core.wires import WIRES
from xbarspice.importers.archive import read_npz

__all__ = ["KINDS", "ArrayFile", "holds_array", "is_array_file", "load_array", "save_array"]

KIND = "array"
"""Of an HDF5 file that `save_array` wrote."""
KINDS = (KIND, crossbar_file.KIND)
"""Of all HDF5 files of ours that hold one array."""


def _rows(value: Any) -> Array:
    """One row a point; a single vector is one point."""
    out = np.atleast_2d(array_of("value", value, remedy="Correct the file."))
    return array_of("value", out, rank=2, remedy="Give one row a point.")


def _number_of_one(value: Any) -> Any:
    return value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value


Array2D = Annotated[
    np.ndarray, BeforeValidator(lambda v: array_of("value", v, rank=2, remedy="Correct the file."))
]
Resistance = Annotated[NotNegatives, BeforeValidator(_number_of_one)]
"""MATLAB writes a number as an array of one."""
Rows = Annotated[np.ndarray, BeforeValidator(_rows)]


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayFile:
    """An array as read from a file.

    Attributes:
        crossbar: the array.
        V_in, V_out: line voltages, V, (points, rows) and (points, cols); both None without any.
        I_out: currents that someone else found for them, A, (points, cols), or None.
    """

    crossbar: Crossbar
    V_in: Array | None = None
    V_out: Array | None = None
    I_out: Array | None = None


HDF5 = frozenset((".h5", ".hdf5", ".mat"))
"""Endings of HDF5 files; MATLAB writes one with `save -v7.3`."""


def is_array_file(path: Path) -> bool:
    """Whether a file holds a single array (a dataset `G`) rather than a network."""
    plain = path.suffix in HDF5 and hdf5.kind_of(path) is None
    return plain or holds_array(path)


def holds_array(path: Path) -> bool:
    """Whether a file says that it holds a single array; HDF5 of others need not say so."""
    if not path.is_file():
        return False
    if path.suffix in HDF5:
        return hdf5.kind_of(path) in KINDS
    if path.suffix == ".npz":
        try:
            return "G" in read_npz(path)
        except InputError:
            return False  # the network's loader says what is wrong with it
    return False


class _ArrayFile(BaseModel):
    """What an array file may hold; ranges are those of `Crossbar` and its `drive`."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    G: Array2D
    R_wl: Resistance | None = None
    R_bl: Resistance | None = None
    R_driver: Resistance | None = None
    R_sense: Resistance | None = None
    device: Text | None = None
    device_parameters: dict[str, Number] = {}
    ends: EndsFile | None = None
    V_in: Rows | None = None
    V_out: Rows | None = None
    I_out: Rows | None = None

    @model_validator(mode="after")
    def _has_voltages(self) -> Self:
        if self.I_out is not None and self.V_in is None and self.V_out is None:
            raise ValueError("a file with I_out must hold V_in, the voltages that it belongs to")
        if self.device_parameters and self.device is None:
            raise ValueError("a file with device_parameters must name their device")
        return self


def load_array(path: Path, defaults: dict[str, Any]) -> ArrayFile:
    """Read an array from `.npz`, HDF5 or a `.mat` that MATLAB saved with `-v7.3`.

    Args:
        path: holds ``G`` (S, (rows, cols)) and as far as known ``R_wl``, ``R_bl``, ``R_driver``,
            ``R_sense`` (ohm, a number each or shapes as of `Crossbar`), ``device`` (a registered
            name), ``V_in`` (V, (points, rows)), ``V_out`` (V, (points, cols)) and ``I_out`` (A,
            (points, cols)): the currents that someone measured or computed for these voltages,
            which are then judged too. Or what `save_array` or `core.crossbar_file` wrote, one
            array.
        defaults: wires (ohm) and device that the file leaves out.

    Raises:
        InputError: the file is missing, has other names, or shapes that do not fit.
        StoreError: it is no HDF5 file.
    """
    if path.suffix in HDF5 and hdf5.kind_of(path) == crossbar_file.KIND:
        return ArrayFile(crossbar=_single(crossbar_file.load(path), path))
    data = hdf5.read_plain(path) if path.suffix in HDF5 else read_npz(path)
    try:
        file = _ArrayFile.model_validate(data)
    except ValidationError as error:
        raise InputError(
            f"the array file `{path.name}` must hold G and nothing beside "
            f"{sorted(set(_ArrayFile.model_fields) - {'G'})}; {broken_entries(error, 'file')}. "
            "Rename, correct or remove what is named here."
        ) from None
    wires = {
        name: defaults[name] if getattr(file, name) is None else getattr(file, name)
        for name in WIRES
    }
    device = devices.with_parameters(
        defaults["device"] if file.device is None else file.device, file.device_parameters
    )
    try:
        ends = READ if file.ends is None else line_ends(file.ends)
        return _with_vectors(path, file, Crossbar(file.G, **wires, device=device, ends=ends))
    except InputError as error:
        raise InputError(f"`{path.name}`: {error}") from None


def save_array(path: Path, file: ArrayFile) -> None:
    """Write an array with its voltages and currents as an HDF5 file that `load_array` reads.

    Raises:
        InputError: the crossbar is a batch. StoreError: the file cannot be written.
    """
    tree = crossbar_file.to_tree(_single(file.crossbar, path))
    del tree["version"]
    vectors = {name: getattr(file, name) for name in ("V_in", "V_out", "I_out")}
    tree |= {name: values for name, values in vectors.items() if values is not None}
    hdf5.write_tree(path, tree, KIND)


def _single(crossbar: Crossbar, path: Path) -> Crossbar:
    if crossbar.batch:
        raise broken_rule(
            f"`{path.name}` must hold one array", f"a batch {crossbar.batch}", "Save them apart."
        )
    return crossbar


def _with_vectors(path: Path, file: _ArrayFile, crossbar: Crossbar) -> ArrayFile:
    if file.V_in is None and file.V_out is None:
        return ArrayFile(crossbar=crossbar)
    V_in = np.zeros((1, crossbar.rows)) if file.V_in is None else file.V_in
    drive = crossbar.drive(V_in, file.V_out)
    if file.I_out is not None and file.I_out.shape != (len(drive.V_in), crossbar.cols):
        raise broken_rule(
            f"`I_out` of {path.name} must have the shape {(len(drive.V_in), crossbar.cols)}",
            file.I_out.shape,
            "Give one current a bit line for every input.",
        )
    return ArrayFile(crossbar=crossbar, V_in=drive.V_in, V_out=drive.V_out, I_out=file.I_out)
