"""HDF5 files: nested dictionaries of arrays, written complete or not at all. Only h5py user."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xbarspice import devices
from xbarspice.array import Crossbar, End, LineEnds
from xbarspice.errors import StoreError, broken_rule
from xbarspice.mapping import Block, Layer, MappedNetwork
from xbarspice.network import Network

__all__ = [
    "crossbar_from_tree", "crossbar_to_tree", "kind_of", "load_mapped", "read_plain", "read_tree",
    "save_mapped", "write_tree",
]  # fmt: skip

FORMAT = 1
_END_CODES = {End.FLOATING: 0, End.DRIVEN: 1, End.SENSED: 2}

Tree = dict[str, Any]


def write_tree(path: Path, tree: Mapping[str, Any], kind: str) -> None:
    """Write a nested dictionary (groups) of arrays, numbers, strings and None to HDF5.

    The file appears whole under its name or not at all, also after a crash.

    Args:
        path: target; replaced if it exists.
        tree: str -> array, number, bool, str, None or another such dictionary.
        kind: what the file is, checked by `read_tree`.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as file:
            file.attrs["xbarspice_kind"] = kind
            file.attrs["xbarspice_format"] = FORMAT
            _write_group(file, tree)
            file.flush()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"the result file must be writable; writing {path} failed: {error}. "
            "Check the folder, its permissions and the free space."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def read_tree(path: Path, kind: str) -> Tree:
    """Read what `write_tree` wrote.

    Raises:
        StoreError: the file is damaged, or of another kind or layout.
        InputError: there is no such file.
    """
    if not path.is_file():
        raise broken_rule("the result file must exist", str(path), "Check the path.")
    try:
        with h5py.File(path, "r") as file:
            found = (file.attrs.get("xbarspice_kind"), file.attrs.get("xbarspice_format"))
            if found != (kind, FORMAT):
                raise StoreError(
                    f"`{path.name}` must be a file of kind {kind!r}, format {FORMAT}; "
                    f"it says {found[0]!r}, {found[1]}. Make it with the matching command."
                )
            return _read_group(file)
    except (OSError, KeyError, RuntimeError) as error:
        raise StoreError(
            f"`{path.name}` must be a readable HDF5 file; {error}. Make it again."
        ) from error


def kind_of(path: Path) -> str | None:
    """What `write_tree` called a file; None for an HDF5 file of another origin.

    Raises:
        StoreError: the file is no HDF5 file. InputError: there is no such file.
    """
    return _open(path, lambda file: file.attrs.get("xbarspice_kind"))


def read_plain(path: Path) -> Tree:
    """Datasets, attributes and groups of any HDF5 file, whoever wrote it; as `read_tree`.

    Raises:
        StoreError: the file is no HDF5 file. InputError: there is no such file.
    """
    return _open(path, _read_group)


def _open(path: Path, work: Callable[[Any], Any]) -> Any:
    if not path.is_file():
        raise broken_rule("the file must exist", str(path), "Check the path.")
    try:
        with h5py.File(path, "r") as file:
            return work(file)
    except (OSError, KeyError, RuntimeError) as error:
        raise StoreError(
            f"`{path.name}` must be a readable HDF5 file; {error}. Make it again."
        ) from error


def _write_group(group: Any, tree: Mapping[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _write_group(group.create_group(name), value)
        elif value is None or isinstance(value, (str, bool, int, float)):
            group.attrs[name] = h5py.Empty("f") if value is None else value
        else:
            group.create_dataset(name, data=np.asarray(value))


def _read_group(group: Any) -> Tree:
    out: Tree = {}
    for name, value in group.attrs.items():
        if name.startswith("xbarspice_"):
            continue
        out[name] = None if isinstance(value, h5py.Empty) else _plain(value)
    for name, item in group.items():
        out[name] = _read_group(item) if isinstance(item, h5py.Group) else item[()]
    return out


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def crossbar_to_tree(crossbar: Crossbar) -> Tree:
    """A crossbar as a tree for `write_tree`."""
    device = crossbar.device
    return {
        "G": crossbar.G,
        "R_wl": crossbar.R_wl, "R_bl": crossbar.R_bl,
        "R_driver": crossbar.R_driver, "R_sense": crossbar.R_sense,
        "device": device.name,
        "device_parameters": {f.name: getattr(device, f.name) for f in dataclasses.fields(device)},  # type: ignore[arg-type]
        "ends": _ends_to_tree(crossbar.wl_ends, crossbar.bl_ends),
    }  # fmt: skip


def crossbar_from_tree(tree: Tree) -> Crossbar:
    """The crossbar that `crossbar_to_tree` took apart."""
    device = devices.with_parameters(tree["device"], tree.get("device_parameters", {}))
    wires = {name: tree[name] for name in ("R_wl", "R_bl", "R_driver", "R_sense")}
    return Crossbar(tree["G"], **wires, device=device, ends=_ends_from_tree(tree["ends"]))


def _ends_to_tree(wl: np.ndarray, bl: np.ndarray) -> Tree:
    code = np.vectorize(_END_CODES.__getitem__, otypes=[np.int8])
    return {"word_lines": code(wl), "bit_lines": code(bl)}


def _ends_from_tree(tree: Tree) -> LineEnds:
    word = {code: end for end, code in _END_CODES.items()}
    wl, bl = (
        [[word[int(c)] for c in side] for side in tree[k].T] for k in ("word_lines", "bit_lines")
    )
    return LineEnds(wl_left=wl[0], wl_right=wl[1], bl_top=bl[0], bl_bottom=bl[1])


def save_mapped(path: Path, mapped: MappedNetwork) -> None:
    """Write a mapped network: its weights, arrays, scales and places, and its calibration card."""
    network = mapped.network
    tree: Tree = {
        "activation": network.activation,
        "G_min": mapped.G_min, "G_max": mapped.G_max, "V_read": mapped.V_read,
        "network": {f"{s}{k}": v for s in "Wb" for k, v in enumerate(getattr(network, s))},
        "arrays": {str(k): crossbar_to_tree(a) for k, a in enumerate(mapped.arrays)},
        "layers": {str(k): dict(layer.__dict__) for k, layer in enumerate(mapped.layers)},
        "blocks": {str(k): _block_to_tree(mapped, b) for k, b in enumerate(mapped.blocks)},
        "calibration": {"card": mapped.card, "overruled": " ".join(mapped.overruled)},
    }  # fmt: skip
    write_tree(path, tree, "mapped network")


def _block_to_tree(mapped: MappedNetwork, block: Block) -> Tree:
    crossbar = mapped.crossbar(block)
    return {**block.__dict__, "ends": _ends_to_tree(crossbar.wl_ends, crossbar.bl_ends)}


def load_mapped(path: Path) -> MappedNetwork:
    """Read what `save_mapped` wrote.

    Raises:
        InputError, StoreError: as `read_tree`.
    """
    tree = read_tree(path, "mapped network")
    layers = len(tree["layers"])
    network = Network(
        W=tuple(tree["network"][f"W{k}"] for k in range(layers)),
        b=tuple(tree["network"][f"b{k}"] for k in range(layers)),
        activation=tree["activation"],
    )
    arrays = tuple(crossbar_from_tree(tree["arrays"][str(k)]) for k in range(len(tree["arrays"])))
    calibration = tree.get("calibration", {})  # files of older versions have none
    blocks = []
    for k in range(len(tree["blocks"])):
        values = tree["blocks"][str(k)]
        blocks.append(Block(**{**values, "ends": _ends_from_tree(values["ends"])}))
    return MappedNetwork(
        network=network,
        arrays=arrays,
        layers=tuple(Layer(**tree["layers"][str(k)]) for k in range(layers)),
        blocks=tuple(blocks),
        **{name: tree[name] for name in ("G_min", "G_max", "V_read")},
        card=calibration.get("card", ""),
        overruled=tuple(calibration.get("overruled", "").split()),
    )
