"""Read a deployment: check, rebuild, and prove the arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import nn

from xbarspice.config.card import keep_card
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError, StoreError, broken_rule
from xbarspice.core.files import check_file
from xbarspice.core.schema import validate
from xbarspice.core.values import broken_entries
from xbarspice.core.wires import Resistance
from xbarspice.deployment.kinds import refuse_old
from xbarspice.deployment.notes import correction_notes, device_notes, wire_notes
from xbarspice.deployment.rebuild import StoredMatrix, from_factory, from_program
from xbarspice.deployment.schema import (
    KIND,
    MADE_BY,
    ConfigRecord,
    DeploymentFile,
    MatrixFile,
    OriginFile,
)
from xbarspice.importers import TensorSpec
from xbarspice.importers.weights import Factory
from xbarspice.mapping.reads import LargerArray, LineOrder
from xbarspice.nn.coverage import restore
from xbarspice.nn.origin import ATTRIBUTE, Origin, weights_hash

__all__ = ["Deployment", "load", "read"]

HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """What a deployment file holds.

    Attributes:
        circuit: the model on arrays, in evaluation mode.
        inputs: what is known of its inputs; empty where nothing is.
        coverage: what of the model was on arrays when it was saved (a record).
        notes: what the file leaves out, its writer noticed, or its arrays hold other than what the
            weights ask for, one sentence each.
    """

    circuit: nn.Module
    inputs: tuple[TensorSpec, ...]
    coverage: dict[str, Any]
    notes: tuple[str, ...]


def load(path: str | Path, *, factory: Factory | None = None) -> Any:
    """Open what `save` wrote.

    Args:
        path: a deployment of `save` or `xbarspice map`.
        factory: for a deployment that was saved with ``model="module:factory"``, the same name (or
            the callable itself); it is imported and run, so pass only code that you trust.

    Returns:
        The model on arrays, in evaluation mode.

    Raises:
        InputError, StoreError: the file is damaged, changed, of another kind, breaks its schema, or
            its arrays cannot be rebuilt bit by bit.
    """
    path = Path(path)
    return read(path, factory=factory).circuit


def _check_kind(path: Path) -> None:
    check_file(path)
    with path.open("rb") as file:
        head = file.read(hdf5.HEAD + len(HDF5))
    if not head.startswith(HDF5) and not head.endswith(HDF5):
        raise broken_rule(
            "a deployment must be an HDF5 file that xbarspice wrote",
            f"`{path.name}`",
            "Read a model with xbarspice.importers.load_model, and put it on arrays with "
            "xb.nn.convert.",
        )
    refuse_old(path)


def read(path: str | Path, *, factory: Factory | None = None) -> Deployment:
    """Read a deployment, rebuild its model on arrays, and prove its arrays.

    The program in the file is read as `importers.exported.load_exported` reads it, so nothing in
    the file is executed. A file that names a factory is loaded only with `factory`.

    Args, errors: as of `load`.

    Raises:
        InputError: the file is no deployment, or its parts contradict each other.
    """
    path = Path(path)
    _check_kind(path)
    file = validate(DeploymentFile, hdf5.read_tree(path, KIND, made_by=MADE_BY), path)
    matrices = [_read_matrix(m, path) for m in file.matrices.values()]
    circuit = _rebuild(file, matrices, factory, path)
    coverage = _json(file.coverage, path, dict)
    try:
        restore(circuit, coverage)
        inputs = tuple(
            TensorSpec(name=i.name, dtype=i.dtype, shape=tuple(json.loads(i.shape)))
            for i in file.inputs.values()
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _inconsistent(path, error) from error
    if file.origin is not None:
        _remember(circuit, file.origin)
    if file.card is not None:
        keep_card(circuit, file.card.card())
    notes = tuple(str(note) for note in _json(file.notes, path, list))
    notes += device_notes(circuit) + wire_notes(circuit) + correction_notes(circuit)
    return Deployment(circuit=circuit, inputs=inputs, coverage=coverage, notes=notes)


def _rebuild(
    file: DeploymentFile, matrices: list[StoredMatrix], factory: Factory | None, path: Path
) -> nn.Module:
    if file.how == "program":
        if factory is not None:
            raise broken_rule(
                "a factory is for a deployment that names one",
                f"`{path.name}`, which holds its program",
                "Leave `factory` out.",
            )
        return from_program(file.program, matrices, path.name)
    if factory is None or (isinstance(factory, str) and factory != file.factory):
        raise broken_rule(
            f"`{path.name}` needs the code that makes its model, `{file.factory}`",
            "no factory" if factory is None else f"factory={factory!r}",
            f"Pass factory={file.factory!r} if you trust it: it is imported and run.",
        )
    return from_factory(factory, file.program, file.folded, matrices, path.name)


def _read_matrix(file: MatrixFile, path: Path) -> StoredMatrix:
    try:
        config = ConfigRecord.model_validate_json(file.config).config()
    except ValidationError as error:
        raise StoreError(
            f"`{path.name}` must follow the schema; {broken_entries(error, file.name)}. "
            "Save the model again."
        ) from None
    except (InputError, TypeError) as error:
        raise _inconsistent(path, error) from error
    return StoredMatrix(
        name=file.name,
        layer=file.layer,
        config=config,
        bias_line=file.bias_line,
        seed=file.seed,
        transfer=file.transfer,
        read=file.read,
        G=file.G,
        conductances=file.conductances,
        orders=_orders(file, path),
        wires=_wires(file),
        correction=file.correction,
    )


def _wires(file: MatrixFile) -> dict[tuple[int, int, int], dict[str, Resistance]]:
    """Wires of those of its arrays that have their own."""
    out = {}
    for wires in file.wires.values():
        group, row, col = wires.tile.tolist()
        out[group, row, col] = wires.resistances
    return out


def _orders(file: MatrixFile, path: Path) -> dict[tuple[int, int, int], LineOrder]:
    """The order of the lines of its arrays."""
    values = _json(file.orders, path, list) if file.orders else []
    try:
        return {
            (int(group), int(row), int(col)): _order(*order) for group, row, col, *order in values
        }
    except (InputError, TypeError, ValueError) as error:
        raise _inconsistent(path, error) from error


def _order(
    rows: list[int],
    cols: list[int],
    unused: Literal["driven", "floating"] = "driven",
    G: list[list[float]] | None = None,
) -> LineOrder:
    """An order of lines as `MatrixFile` has it."""
    larger = None if G is None else LargerArray(G=tuple(map(tuple, G)), unused=unused)
    return LineOrder(rows=tuple(rows), cols=tuple(cols), array=larger)


def _json(data: bytes, path: Path, kind: type) -> Any:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise _inconsistent(path, error) from error
    if not isinstance(value, kind):
        raise _inconsistent(path, TypeError(f"a {kind.__name__} is needed"))
    return value


def _inconsistent(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"`{path.name}` must be consistent; {str(error).rstrip('.')}. Save the model again."
    )


def _remember(circuit: nn.Module, file: OriginFile) -> None:
    """Give the circuit what the import gate compares with."""
    if not file.inputs:
        return
    same = "" if file.trained_since else weights_hash(circuit)
    origin = Origin(
        inputs=tuple(torch.from_numpy(file.inputs[str(k)]) for k in range(len(file.inputs))),
        outputs=tuple(torch.from_numpy(file.outputs[str(k)]) for k in range(len(file.outputs))),
        weights_sha256=file.weights_sha256,
        converted_sha256=same,
        rounded=file.rounded,
    )
    object.__setattr__(circuit, ATTRIBUTE, origin)
