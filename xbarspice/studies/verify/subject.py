"""What is verified: a mapped network, or a single array that stands as a network of one layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from xbarspice import devices, store
from xbarspice.array import R_HIGH, READ, Crossbar, End
from xbarspice.errors import InputError, broken_rule
from xbarspice.file_schemas import EndsFile, Number, Text
from xbarspice.mapping import Block, Layer, MappedNetwork
from xbarspice.network import Network, read_npz
from xbarspice.values import array_of, broken_entries, number_of

__all__ = ["ArrayFile", "SingleArray", "is_array_file", "load_array", "single_array"]

Array = npt.NDArray[np.float64]

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")


def _rows(value: Any) -> Array:
    """One row a point; a single vector is one point."""
    out = np.atleast_2d(array_of("value", value, remedy="Correct the file."))
    return array_of("value", out, rank=2, remedy="Give one row a point.")


Array2D = Annotated[
    np.ndarray, BeforeValidator(lambda v: array_of("value", v, rank=2, remedy="Correct the file."))
]
Rows = Annotated[np.ndarray, BeforeValidator(_rows)]
Resistance = Annotated[
    float | None,
    BeforeValidator(lambda v: v if v is None else number_of("value", v, low=0.0, high=R_HIGH)),
]


@dataclass(frozen=True, kw_only=True, eq=False)
class SingleArray(MappedNetwork):
    """One array as a network of one layer, so that everything that judges networks judges it.

    The inputs are the voltages (V) of its driven word lines, then of its driven bit lines. The
    outputs are the currents (A) into its driven or sensed bit lines or, where only word lines are
    sensed, into those. The network's weights are the ideal product ``I_out[j] = sum_i G[i, j]
    (V_in[i] - V_out[j])`` over the driven and sensed word lines; floating ones carry nothing.
    """

    def voltages(self, block: Block, x: Array) -> tuple[Array, Array]:
        """Line voltages (V_in, V_out) in V: the inputs x (points, driven lines) themselves."""
        array = self.arrays[block.array]
        wl, bl = _driven(array)
        V_in, V_out = np.zeros((len(x), array.rows)), np.zeros((len(x), array.cols))
        V_in[:, wl], V_out[:, bl] = x[:, : wl.size], x[:, wl.size :]
        return V_in, V_out


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayFile:
    """An array as read from a file, with the voltages and currents that came with it.

    Attributes:
        crossbar: the array.
        x: its inputs as `SingleArray` takes them, V, (points, driven lines), or None.
        I_out: currents that someone else found for them, A, (points, cols), or None.
    """

    crossbar: Crossbar
    x: Array | None = None
    I_out: Array | None = None


def _driven(crossbar: Crossbar) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return tuple(
        np.flatnonzero((e == End.DRIVEN).any(axis=1)) for e in (crossbar.wl_ends, crossbar.bl_ends)
    )  # type: ignore[return-value]


def _sensed(ends: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    return (ends == End.SENSED).any(axis=1)


def _held(crossbar: Crossbar) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return tuple((e != End.FLOATING).any(axis=1) for e in (crossbar.wl_ends, crossbar.bl_ends))  # type: ignore[return-value]


def single_array(crossbar: Crossbar, *, V_read: float = 0.2) -> SingleArray:
    """One array as a network of one layer; see `SingleArray`.

    Args:
        crossbar: one array, G of shape (rows, cols), with any line ends.
        V_read: full-scale voltage for inputs that are drawn or searched, V.

    Raises:
        InputError: a batch of arrays, or no line is driven, or none is held at the other side.
    """
    if crossbar.batch:
        raise broken_rule(
            "one array is verified at a time", f"G of shape {crossbar.G.shape}",
            "Pass one (rows, cols) slice.",
        )  # fmt: skip
    wl, bl = _driven(crossbar)
    wl_held, bl_held = _held(crossbar)
    if not wl.size + bl.size:
        raise broken_rule("an array needs a driven line", "none", "Drive the word lines.")
    G = crossbar.G
    reverse = not _sensed(crossbar.bl_ends).any() and bool(_sensed(crossbar.wl_ends).any())
    if reverse:
        outputs = np.flatnonzero(_sensed(crossbar.wl_ends))
        W = np.concatenate([np.zeros((wl.size, outputs.size)), G.T[bl][:, outputs]])
    else:
        outputs = np.flatnonzero(bl_held)
        own = -G[wl_held].sum(axis=0)  # what a driven bit line takes from the held word lines
        W = np.concatenate([G[wl][:, outputs], np.where(bl[:, None] == outputs, own[outputs], 0.0)])
    block = Block(
        layer=0, array=0, inputs=np.arange(len(W)), outputs=np.arange(outputs.size),
        lines_in=np.concatenate([wl, bl])[:, None], lines_out=outputs[:, None], reverse=reverse,
        ends=crossbar.ends,
    )  # fmt: skip
    present = G[G > 0]
    layer = Layer(
        w_scale=1.0, b_scale=0.0, x_scale=V_read, V_bias=0.0, gain=1.0,
        digital_bias=np.zeros(outputs.size),
    )  # fmt: skip
    return SingleArray(
        network=Network(W=(W,), b=(np.zeros(outputs.size),)),
        arrays=(crossbar,), layers=(layer,), blocks=(block,),
        G_min=float(present.min()) if present.size else 0.0, G_max=float(G.max()), V_read=V_read,
    )  # fmt: skip


HDF5 = frozenset((".h5", ".hdf5", ".mat"))
"""Endings of HDF5 files; MATLAB writes one with `save -v7.3`."""


def is_array_file(path: Path) -> bool:
    """Whether a file holds a single array (a dataset `G`) rather than a network."""
    if path.suffix in HDF5:
        return store.kind_of(path) in {None, "crossbar"}
    if path.suffix == ".npz" and path.is_file():
        try:
            return "G" in read_npz(path)
        except InputError:
            return False  # the network's loader says what is wrong with it
    return False


class _ArrayFile(BaseModel):
    """What an array file may hold; ranges are those of `Crossbar` and its `drive`."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    G: Array2D
    R_wl: Resistance = None
    R_bl: Resistance = None
    R_driver: Resistance = None
    R_sense: Resistance = None
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
            ``R_sense`` (ohm), ``device`` (a registered name), ``V_in`` (V, (points, rows)),
            ``V_out`` (V, (points, cols)) and ``I_out`` (A, (points, cols)): the currents that
            someone measured or computed for these voltages, which are then judged too.
        defaults: wires (ohm) and device that the file leaves out.

    Raises:
        InputError: the file is missing, has other names, or shapes that do not fit.
        StoreError: it is no HDF5 file.
    """
    data = store.read_plain(path) if path.suffix in HDF5 else read_npz(path)
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
        ends = READ if file.ends is None else store.line_ends(file.ends)
        return _with_vectors(path, file, Crossbar(file.G, **wires, device=device, ends=ends))
    except InputError as error:
        raise InputError(f"`{path.name}`: {error}") from None


def _with_vectors(path: Path, file: _ArrayFile, crossbar: Crossbar) -> ArrayFile:
    if file.V_in is None and file.V_out is None:
        return ArrayFile(crossbar=crossbar)
    V_in = np.zeros((1, crossbar.rows)) if file.V_in is None else file.V_in
    drive = crossbar.drive(V_in, file.V_out)
    wl, bl = _driven(crossbar)
    x = np.concatenate([drive.V_in[:, wl], drive.V_out[:, bl]], axis=1)
    if file.I_out is not None and file.I_out.shape != (len(x), crossbar.cols):
        raise broken_rule(
            f"`I_out` of {path.name} must have the shape {(len(x), crossbar.cols)}",
            file.I_out.shape,
            "Give one current a bit line for every input.",
        )
    return ArrayFile(crossbar=crossbar, x=x, I_out=file.I_out)
