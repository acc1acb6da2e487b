"""What is verified: a mapped network, or a single array that stands as a network of one layer."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice import devices, store
from xbarspice.array import Crossbar, End
from xbarspice.errors import InputError, broken_rule
from xbarspice.mapping import Block, Layer, MappedNetwork
from xbarspice.network import Network

__all__ = ["ArrayFile", "SingleArray", "is_array_file", "load_array", "single_array"]

Array = npt.NDArray[np.float64]

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")
_KNOWN = {"G", "device", "device_parameters", "ends", "V_in", "V_out", "I_out", *WIRES}


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


def is_array_file(path: Path) -> bool:
    """Whether a file holds a single array (a dataset `G`) rather than a network."""
    if path.suffix in {".h5", ".hdf5"}:
        return store.kind_of(path) in {None, "crossbar"}
    if path.suffix == ".npz" and path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                return "G" in file.files
        except (ValueError, OSError, EOFError, zipfile.BadZipFile):
            return False  # the network's loader says what is wrong with it
    return False


def load_array(path: Path, defaults: dict[str, Any]) -> ArrayFile:
    """Read an array from `.npz` or HDF5.

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
    data = store.read_plain(path) if path.suffix in {".h5", ".hdf5"} else _read_npz(path)
    unknown = sorted(set(data) - _KNOWN)
    if "G" not in data or unknown:
        raise broken_rule(
            f"an array file must hold G and nothing beside {sorted(_KNOWN - {'G'})}",
            unknown or "no G", "Rename its arrays.",
        )  # fmt: skip
    if "ends" in data:
        crossbar = store.crossbar_from_tree(data)
    else:
        wires: dict[str, Any] = {
            name: float(np.asarray(data.get(name, defaults[name]))) for name in WIRES
        }
        device = devices.with_parameters(
            _text(data.get("device", defaults["device"])), data.get("device_parameters", {})
        )
        crossbar = Crossbar(data["G"], **wires, device=device)
    return _with_vectors(path, data, crossbar)


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"`{path.name}` must be an .npz of plain arrays; reading it failed: {error}. "
            "Save it with np.savez(path, G=..., R_wl=..., ...)."
        ) from error


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
    return value.decode() if isinstance(value, bytes) else str(value)


def _with_vectors(path: Path, data: dict[str, Any], crossbar: Crossbar) -> ArrayFile:
    if "V_in" not in data and "V_out" not in data:
        if "I_out" in data:
            raise broken_rule(
                f"`{path.name}` holds I_out, so it must hold V_in", "no V_in",
                "Add the voltages that these currents belong to.",
            )  # fmt: skip
        return ArrayFile(crossbar=crossbar)
    V_in = np.atleast_2d(np.asarray(data.get("V_in", np.zeros(crossbar.rows)), float))
    drive = crossbar.drive(V_in, data.get("V_out"))
    wl, bl = _driven(crossbar)
    x = np.concatenate([drive.V_in[:, wl], drive.V_out[:, bl]], axis=1)
    given = None
    if "I_out" in data:
        given = np.atleast_2d(np.asarray(data["I_out"], float))
        if given.shape != (len(x), crossbar.cols) or not np.isfinite(given).all():
            raise broken_rule(
                f"`I_out` of {path.name} must be finite, of shape {(len(x), crossbar.cols)}",
                given.shape, "Give one current a bit line for every input.",
            )  # fmt: skip
    return ArrayFile(crossbar=crossbar, x=x, I_out=given)
