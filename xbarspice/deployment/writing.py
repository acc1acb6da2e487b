"""Write a deployment: only what can be read back to the same arrays and answers is written."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice import __version__
from xbarspice.config.card import CalibrationCard, KeptCard, card_of
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError, XbarspiceError, broken_rule, first_line
from xbarspice.deployment.notes import without_array_notes
from xbarspice.deployment.rebuild import (
    StoredMatrix,
    from_factory,
    from_program,
    state_bytes,
    stored_matrices,
)
from xbarspice.deployment.schema import KIND, ConfigRecord, hash_of
from xbarspice.importers.exported import inputs_of, load_exported, quiet_torch
from xbarspice.importers.model import fixed_batch, pad_group
from xbarspice.mapping.reads import LineOrder
from xbarspice.mapping.tiling import edges
from xbarspice.nn import CrossbarLayer, coverage, exact_products, to_torch
from xbarspice.nn.arguments import as_arguments
from xbarspice.nn.origin import Origin, origin_of, outputs_in_float64, weights_hash

__all__ = ["save"]

SIZE_LIMIT = 4 << 20
"""Bytes of the original's inputs and outputs that a file holds at most."""
POINTS_COMPARED = 16
"""Points on which the rebuilt model is compared with the saved one."""
SAME = 1e-9
"""Largest difference of their exact outputs over the largest one, in float64."""

FACTORY = 'Pass model="module:factory" to keep the weights and the name of the code that makes it.'


def save(
    path: str | Path,
    circuit: nn.Module,
    *,
    inputs: Any = None,
    model: str | None = None,
    notes: Sequence[str] = (),
    card: CalibrationCard | None = None,
) -> None:
    """Write a model on arrays as one file, its deployment.

    The digital part is exported by `torch.export` with a batch axis of any size where the model
    allows it. Before anything is written the model is rebuilt from what the file will hold, and its
    arrays (bit by bit) and exact answers are compared with those of `circuit`. Conductances
    that were put on it (`nn.put_conductances`) are kept beside those that its weights ask for.

    Args:
        path: file to write, ``.h5``.
        circuit: from `nn.convert`.
        inputs: arguments to export the model with, a tensor or tuple; None takes those that it was
            calibrated on.
        model: for a model that cannot be exported: ``"module:factory"``, the code that makes the
            untrained module. It is imported and run here, and by `load` if that is given the same
            name.
        notes: sentences to keep with the file; those that follow from its arrays are left out.
        card: calibration card that the arrays have their wires and device from; None is that which
            the circuit carries, if any.

    Raises:
        InputError: nothing is on arrays, the model cannot be exported or rebuilt, or a device or
            variation has no name. StoreError: the file cannot be written.
    """
    path = Path(path)
    _check_circuit(circuit, exported=model is None)
    arguments = _arguments(circuit, inputs)
    matrices = stored_matrices(circuit)
    plain = to_torch(circuit).eval()
    if model is None:
        digital = _program(plain, arguments)
        rebuilt = from_program(digital["program"], matrices, path.name)
    else:
        digital = _state(plain, model)
        rebuilt = from_factory(model, digital["program"], digital["folded"], matrices, path.name)
    if arguments is not None:
        _prove(circuit, rebuilt, arguments)
    tree: dict[str, Any] = {
        "xbarspice": __version__,
        **digital,
        "program": np.frombuffer(digital["program"], np.uint8),
        "matrices": {str(k): _matrix(m) for k, m in enumerate(matrices)},
        "coverage": _text(coverage(circuit).record()),
        "notes": _text(without_array_notes(notes)),
    }
    stored_card = card_of(circuit) if card is None else KeptCard(text=card.to_toml())
    if stored_card is not None:
        tree["card"] = {"text": stored_card.text, "overruled": " ".join(stored_card.overruled)}
    origin = origin_of(circuit)
    if origin is not None:
        tree["origin"] = _origin(origin, circuit, plain)
    hdf5.write_tree(path, tree, KIND)


def _check_circuit(circuit: object, *, exported: bool) -> None:
    """Refuse what is no model on arrays, and a single layer where the model is exported."""
    if not isinstance(circuit, nn.Module) or not any(
        isinstance(m, CrossbarLayer) for m in circuit.modules()
    ):
        raise broken_rule(
            "a deployment must be a model on arrays",
            type(circuit).__name__,
            "Convert it first: xb.nn.convert(model, config, calibrate=x).",
        )
    if exported and isinstance(circuit, CrossbarLayer):
        raise broken_rule(
            "the layers of an exported model need names",
            f"a single {type(circuit).__name__}",
            "Convert torch.nn.Sequential(layer).",
        )


def _text(value: object) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _arguments(circuit: nn.Module, inputs: object) -> tuple[Any, ...] | None:
    if inputs is not None:
        return as_arguments(inputs)
    origin = origin_of(circuit)
    return None if origin is None else origin.inputs


def _matrix(matrix: StoredMatrix) -> dict[str, Any]:
    config = matrix.config
    rows, columns = [0, matrix.G.shape[1]], [0, matrix.G.shape[2]]
    if matrix.read is None:
        rows = edges(matrix.G.shape[1], config.tile_rows)
        columns = [2 * k for k in edges(matrix.G.shape[2] // 2, config.tile_cols // 2)]
    put, sums = matrix.conductances, matrix.correction
    orders = [_order(tile, order) for tile, order in sorted(matrix.orders.items())]
    moved = {"orders": _text(orders), "orders_sha256": hash_of(_text(orders))} if orders else {}
    wires = {
        str(k): {"tile": np.array(tile), **own}
        for k, (tile, own) in enumerate(sorted(matrix.wires.items()))
    }
    return {
        **moved,
        **({"wires": wires} if wires else {}),
        **({} if put is None else {"conductances": put, "conductances_sha256": hash_of(put)}),
        **({} if sums is None else {"correction": sums}),
        "name": matrix.name,
        "layer": matrix.layer,
        "config": np.frombuffer(ConfigRecord.of(config).model_dump_json().encode(), np.uint8),
        "bias_line": matrix.bias_line,
        "seed": matrix.seed,
        "transfer": matrix.transfer,
        "read": matrix.read,
        "G": matrix.G,
        "row_edges": np.asarray(rows),
        "col_edges": np.asarray(columns),
    }


def _order(tile: tuple[int, int, int], order: LineOrder) -> list[object]:
    """An order of lines as JSON; see `MatrixFile`."""
    on = order.array
    return [*tile, order.rows, order.cols, *([] if on is None else [on.unused, on.G])]


def _state(plain: nn.Module, factory: str) -> dict[str, Any]:
    """Weights of a model that a factory makes, and whether batch normalisation is folded in it."""
    from xbarspice.importers.weights import build_module

    names = set(build_module(factory).state_dict())
    return {
        "how": "factory",
        "factory": factory,
        "folded": names != set(plain.state_dict()),
        "program": state_bytes(plain),
    }


def _program(plain: nn.Module, arguments: tuple[Any, ...] | None) -> dict[str, Any]:
    """The exported model and its inputs."""
    if arguments is None:
        raise broken_rule(
            "exporting a model needs inputs of it",
            "none, and none from a calibration",
            "Pass inputs=x, or convert with calibrate=x.",
        )
    names = list(getattr(arguments, "keywords", {}))
    if not arguments or names or not all(isinstance(a, Tensor) for a in arguments):
        raise broken_rule(
            "the inputs of an exported model must be tensors, passed by position",
            [*(type(a).__name__ for a in arguments), *(f"{name}=" for name in names)],
            FACTORY,
        )
    program = _export(plain, tuple(arguments))  # torch.export knows no subclass of tuple
    buffer = io.BytesIO()
    with quiet_torch():
        torch.export.save(program, buffer)
    data = buffer.getvalue()
    specs = inputs_of(load_exported(data, "the exported model"), "the model")
    inputs = {
        str(k): {"name": s.name, "dtype": s.dtype, "shape": json.dumps(s.shape)}
        for k, s in enumerate(specs)
    }
    return {"how": "program", "program": data, "inputs": inputs}


def _export(plain: nn.Module, arguments: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """The program with first axes of any size, or of the given one where they cannot vary."""
    auto = torch.export.Dim.AUTO  # type: ignore[attr-defined]
    batch = fixed_batch(plain)
    if batch is not None:
        arguments = tuple(pad_group(a[:batch], batch) if a.ndim else a for a in arguments)
    points = {len(a) for a in arguments if a.ndim} if batch is None else set()
    pair = tuple(torch.cat([a, a]) if a.ndim else a for a in arguments) if points == {1} else ()
    free = tuple({0: auto} if a.ndim else None for a in arguments)
    attempts: list[Any] = [(pair or arguments, free)] if points else []
    attempts.append((arguments, None))
    problem = Exception("no attempt")
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for example, shapes in attempts:
            try:
                # torch prints the graph that it gives up
                with quiet_torch(), torch.no_grad(), redirect_stderr(io.StringIO()):
                    return torch.export.export(plain, example, dynamic_shapes=shapes)
            except Exception as error:  # torch raises many kinds for one fault: not exportable
                problem = error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    raise InputError(
        f"a deployment must be a model that torch.export can export; {type(problem).__name__}: "
        f"{first_line(problem)}. {FACTORY}"
    ) from problem


def _first_points(arguments: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """The first points of arguments that all hold the same number of them; else the arguments."""
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    sizes = {len(a) if a.ndim else 0 for a in tensors}
    if len(tensors) != len(arguments) or len(sizes) != 1 or sizes <= {0}:
        return arguments
    return tuple(a[:count] for a in arguments)


def _prove(circuit: nn.Module, rebuilt: nn.Module, arguments: tuple[Any, ...]) -> None:
    """The rebuilt model must answer as the saved one does, with exact products in float64.

    Raises:
        InputError: it does not, or it cannot run.
    """
    few = _first_points(arguments, POINTS_COMPARED)
    try:
        expected = _exact(circuit, few)
        answers = _exact(rebuilt, few)
    except XbarspiceError:
        raise
    except RuntimeError:  # a fixed batch takes no fewer points
        expected, answers = _exact(circuit, arguments), _exact(rebuilt, arguments)
    largest = (
        max((float(t.double().abs().max()) for t in expected if t.numel()), default=0.0) or 1.0
    )
    worst = float("inf")
    if [t.shape for t in expected] == [t.shape for t in answers]:
        worst = max(
            (
                float((a.double() - b.double()).abs().max())
                for a, b in zip(answers, expected, strict=True)
                if b.numel()
            ),
            default=0.0,
        )
    if not worst <= SAME * largest:
        raise broken_rule(
            "the exported model must answer as the model that is saved",
            f"outputs that differ by {worst / largest:.2g} of the largest",
            "Its forward depends on what torch.export fixes (values, sizes or random numbers). "
            + FACTORY,
        )


def _exact(circuit: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor, ...]:
    with exact_products(), quiet_torch():
        return outputs_in_float64(circuit, arguments)


def _origin(origin: Origin, circuit: nn.Module, plain: nn.Module) -> dict[str, Any]:
    """What the import gate needs of the original, bounded in size."""
    inputs, outputs, note = _limit_size(origin, plain)
    return {
        "weights_sha256": origin.weights_sha256,
        "trained_since": origin.converted_sha256 != weights_hash(circuit),
        "rounded": origin.rounded,
        "inputs": {str(k): t.detach().cpu().numpy() for k, t in enumerate(inputs)},
        "outputs": {str(k): t.detach().cpu().numpy() for k, t in enumerate(outputs)},
        "note": note,
    }


def _limit_size(
    origin: Origin, plain: nn.Module
) -> tuple[tuple[Any, ...], tuple[Tensor, ...], str]:
    """Inputs and outputs that fit the file, and what was left out.

    Points can be left out only where outputs are one row a point and do not see other points, which
    the plain model shows.
    """
    inputs, outputs = origin.inputs, origin.outputs
    plain_inputs = all(isinstance(a, Tensor) and a.dtype != torch.bfloat16 for a in inputs)
    if not plain_inputs or getattr(inputs, "keywords", None):
        return (), (), "The original's answers are left out: its inputs are no plain tensors."
    size = sum(t.numel() * t.element_size() for t in (*inputs, *outputs))
    if size <= SIZE_LIMIT:
        return inputs, outputs, ""
    points = {len(t) if t.ndim else 0 for t in (*inputs, *outputs)}
    count = points.pop() if len(points) == 1 else 0
    count_stored = int(count * SIZE_LIMIT / size)
    if count_stored:
        few = tuple(a[:count_stored] for a in inputs)
        try:
            alone, among = outputs_in_float64(plain, few), outputs_in_float64(plain, inputs)
        except RuntimeError:  # a fixed batch takes no fewer points
            alone, among = (), ()
        if alone and all(
            torch.allclose(a, b[:count_stored], rtol=1e-12, atol=1e-12 * float(b.abs().max()))
            for a, b in zip(*([t.double() for t in part] for part in (alone, among)), strict=True)
        ):
            note = (
                f"The original's answers are kept for the first {count_stored} of {count} points."
            )
            return few, tuple(t[:count_stored] for t in outputs), note
    return (), (), f"The original's answers are left out: {size} bytes that cannot be cut by point."
