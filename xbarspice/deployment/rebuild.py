"""A model on arrays from its digital part and the records of its matrices, and the proof of it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.wires import Resistance
from xbarspice.importers.exported import load_exported, program_module, read_tensors
from xbarspice.importers.weights import Factory, build_module
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.reads import LineOrder
from xbarspice.nn import (
    ArrayMatrix,
    Correction,
    arrays,
    convert,
    copy_circuit,
    crossbar_layers,
    place_lines,
    put_conductances,
    put_corrections,
    put_wires,
)
from xbarspice.nn.batchnorm import fold
from xbarspice.nn.layout import arrange

__all__ = [
    "StoredMatrix",
    "check_arrays",
    "from_factory",
    "from_program",
    "state_bytes",
    "stored_matrices",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredMatrix:
    """How a weight matrix stands on arrays.

    Attributes:
        name: of the matrix.
        layer: name of its layer.
        config, bias_line, seed, transfer: as of `ArrayMatrix`.
        read: number of its read, if it shares a folded array.
        G: conductances that the weights and the transfer ask for, S, (groups, lines, columns).
        conductances: what stands on the arrays instead, of devices as programmed or measured, S,
            of the same shape; None where nothing was put.
        orders, wires: of its arrays, as of `ArrayMatrix`.
        correction: gains and offsets of its sums, (2, groups, outputs); None: none.
    """

    name: str
    layer: str
    config: ArrayConfig
    bias_line: bool
    seed: int
    transfer: int | None
    read: int | None
    G: np.ndarray
    conductances: np.ndarray | None = None
    orders: Mapping[tuple[int, int, int], LineOrder] = field(default_factory=dict)
    wires: Mapping[tuple[int, int, int], Mapping[str, Resistance]] = field(default_factory=dict)
    correction: np.ndarray | None = None


def _matrices(circuit: nn.Module) -> Iterator[tuple[str, ArrayMatrix, Any, Any]]:
    """Name of the layer, arrays, weight and bias of every matrix."""
    for name, layer in crossbar_layers(circuit).items():
        for key, weight, bias in layer.weight_matrices():
            yield name, layer.matrices[key], weight, bias


def stored_matrices(circuit: nn.Module) -> list[StoredMatrix]:
    """Every weight matrix on arrays of a converted model, and what was put on them."""
    out = []
    held = {matrix.name: matrix.conductances for _, matrix, _, _ in _matrices(circuit)}
    nominal = circuit
    if any(put is not None for put in held.values()):
        nominal = copy_circuit(circuit)
        put_conductances(nominal, None)
    for layer, matrix, weight, bias in _matrices(nominal):
        with torch.no_grad():
            G = matrix.program(weight, bias, training=False).G.cpu().numpy()
        put = held[matrix.name]
        out.append(
            StoredMatrix(
                name=matrix.name,
                layer=layer,
                config=matrix.config,
                bias_line=matrix.bias_line,
                seed=matrix.seed,
                transfer=matrix.transfer,
                read=None if matrix.folded is None else matrix.folded.number,
                G=G,
                conductances=None if put is None else put.double().cpu().numpy(),
                orders=matrix.orders,
                wires=matrix.wires,
                correction=_plain(matrix.correction),
            )
        )
    return out


def _plain(correction: Correction | None) -> np.ndarray | None:
    if correction is None:
        return None
    return torch.stack([correction.gain, correction.offset]).double().cpu().numpy()


def from_program(program: bytes, matrices: Sequence[StoredMatrix], name: str) -> nn.Module:
    """The model of a ``.pt2`` archive on arrays as recorded.

    Raises:
        InputError: the archive is not one that may be loaded, or its matrices are others.
    """
    module = program_module(load_exported(program, f"the program in {name}"))
    return _on_arrays(module, matrices)


def from_factory(
    factory: Factory, state: bytes, folded: bool, matrices: Sequence[StoredMatrix], name: str
) -> nn.Module:
    """The model of a factory with these weights, on arrays as recorded.

    Raises:
        InputError: the factory fails, or makes a model with other weights or matrices.
    """
    module = build_module(factory).eval()
    if folded:
        fold(module)
    weights = read_tensors(state, f"the weights in {name}")
    kinds = {key: value.dtype for key, value in weights.items()}
    for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if key in kinds:
            tensor.data = tensor.data.to(kinds[key])
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"the factory must make the model that was saved; {_first(error)}. "
            "Pass the factory that the file names, in the version of its code that was saved."
        ) from error
    return _on_arrays(module, matrices)


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def state_bytes(model: nn.Module) -> bytes:
    """The weights and buffers of a model as plain tensors."""
    buffer = io.BytesIO()
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    torch.save(state, buffer)
    return buffer.getvalue()


def _on_arrays(model: nn.Module, matrices: Sequence[StoredMatrix]) -> nn.Module:
    """Convert a model, and put each matrix on arrays as recorded; checked bit by bit."""
    configs: dict[str, ArrayConfig] = {}
    for stored in matrices:
        if not _inside_attention(model, stored.layer):
            configs.setdefault(stored.layer, stored.config)
    out = convert(model, configs).eval()
    by_name = {stored.name: stored for stored in matrices}
    converted = {matrix.name: matrix for _, matrix, _, _ in _matrices(out)}
    if set(converted) != set(by_name):
        more, less = sorted(set(converted) - set(by_name)), sorted(set(by_name) - set(converted))
        raise broken_rule(
            "the digital part must hold the weight matrices that stand on the arrays",
            f"it lacks {less[:4]} and has {more[:4]} instead",
            'Save the model with model="module:factory", which keeps its layers.',
        )
    layers = crossbar_layers(out)
    arrange([layers[stored.layer] for stored in sorted(matrices, key=lambda m: m.read or 0)])
    for name, matrix in converted.items():
        stored = by_name[name]
        if matrix.bias_line != stored.bias_line:
            raise broken_rule(
                "a bias must stand where it was saved",
                f"`{name}` with{'' if matrix.bias_line else 'out'} a bias line",
                "Save the model again.",
            )
        read = None if matrix.folded is None else matrix.folded.number
        if read != stored.read:
            raise broken_rule(
                "a matrix must be read as it was saved",
                f"`{name}` with read {read}, stored {stored.read}",
                "Save the model again.",
            )
        matrix.config, matrix.seed = stored.config, stored.seed
        matrix.transfer = stored.transfer
        if stored.conductances is not None:
            matrix.conductances = torch.from_numpy(stored.conductances)
    put_corrections(
        out,
        {
            stored.name: Correction(gain=torch.from_numpy(gain), offset=torch.from_numpy(offset))
            for stored in matrices
            if stored.correction is not None
            for gain, offset in [stored.correction]
        },
    )
    _place(out, matrices)
    check_arrays(out, matrices)
    return out


def _place(circuit: nn.Module, matrices: Sequence[StoredMatrix]) -> None:
    """Put the lines of arrays in their recorded order, and give arrays their recorded wires.

    Raises:
        InputError: there is no such array, or its lines cannot stand so, or wires do not fit.
    """
    orders = {(m.name, *tile): order for m in matrices for tile, order in m.orders.items()}
    wires = {(m.name, *tile): own for m in matrices for tile, own in m.wires.items()}
    if not orders and not wires:
        return
    names = {
        (tile.matrix, tile.group, tile.row, tile.col): array.name
        for array in arrays(circuit)
        for tile in array.tiles[:1]
    }
    unknown = sorted((set(orders) | set(wires)) - set(names))
    if unknown:
        raise broken_rule(
            "an order of lines, or wires, must be that of an array",
            unknown[:4],
            "Save the model again.",
        )
    place_lines(circuit, {names[tile]: order for tile, order in orders.items()})
    put_wires(circuit, {names[tile]: own for tile, own in wires.items()})


def _inside_attention(model: nn.Module, name: str) -> bool:
    """Whether a layer belongs to attention that is converted as one layer."""
    owners = {n for n, m in model.named_modules() if isinstance(m, nn.MultiheadAttention)}
    return any(name.startswith(f"{owner}." if owner else "") and name != owner for owner in owners)


def check_arrays(circuit: nn.Module, matrices: Sequence[StoredMatrix]) -> None:
    """Prove that a model's weights ask for the recorded conductances, bit by bit.

    Raises:
        InputError: names the first matrix that differs, and how.
    """
    by_name = {stored.name: stored.G for stored in matrices}
    for rebuilt in stored_matrices(circuit):
        expected = by_name[rebuilt.name]
        if rebuilt.G.shape != expected.shape:
            raise broken_rule(
                "the rebuilt arrays must equal the stored ones",
                f"`{rebuilt.name}` of shape {rebuilt.G.shape}, stored {expected.shape}",
                'Save the model with model="module:factory", which keeps its layers.',
            )
        same = np.array_equal(rebuilt.G.astype(np.float64), expected.astype(np.float64))
        if not same:
            differing = int((expected != rebuilt.G).sum())
            worst = float(np.abs(rebuilt.G.astype(np.float64) - expected).max())
            raise broken_rule(
                "the rebuilt arrays must equal the stored ones bit by bit",
                f"{differing} of {expected.size} devices of `{rebuilt.name}` that differ, by up to "
                f"{worst:.3g} S",
                "The file was changed, or was written by another version; save the model again.",
            )
