"""Read an ONNX file: checked, imported as a torch graph, with ONNX Runtime as its reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xbarspice.core.errors import InputError, broken_rule, first_line, missing_package
from xbarspice.importers.archive import hash_files
from xbarspice.importers.model import ImportedModel, TensorSpec, common_batch

__all__ = ["load_onnx"]

_OPSETS = range(7, 27)


def load_onnx(path: Path) -> ImportedModel:
    """Import an ONNX model; its original's outputs come from ONNX Runtime.

    Raises:
        PackageMissingError: onnx or onnxruntime is not installed.
        InputError: the file or its external data is damaged or lies elsewhere than beside it, or
            an operator cannot be imported.
    """
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    from xbarspice.importers.onnx_graph import GraphBuilder

    model, files = _read(path)
    inputs = _inputs(model)
    module = GraphBuilder(_inline(model)).build()
    session = _session(path)
    names = [spec.name for spec in inputs]

    def original(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        feed = {name: t.detach().numpy() for name, t in zip(names, tensors, strict=True)}
        try:
            outputs = session.run(None, feed)
        except Exception as error:  # the runtime raises many kinds for one fault
            raise _run_error(path, error) from error
        return tuple(torch.from_numpy(np.array(y)) for y in outputs)

    return ImportedModel(
        module=module,
        kind="onnx",
        sha256=hash_files(files),
        batch=common_batch(inputs),
        inputs=inputs,
        library=f"xbarspice, graph read by onnx {onnx.__version__}",
        original=original,
        original_library=f"ONNX Runtime {onnxruntime.__version__}",
    )


def _read(path: Path) -> tuple[Any, list[Path]]:
    """The model with its external data, and the files that it was read from."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises many kinds for one fault: no such message
        raise _damage_error(path, first_line(error)) from error
    if not model.graph.node or not model.graph.output or not model.ir_version:
        raise _damage_error(path, "it holds no graph")
    files = [path, *_external(model, path)]
    try:
        onnx.checker.check_model(str(path))
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx raises many kinds for one fault: a graph that breaks rules
        raise _damage_error(path, first_line(error)) from error
    versions = sorted({o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}})
    if len(versions) != 1 or versions[0] not in _OPSETS:
        raise broken_rule(
            f"an ONNX model must be of opset {_OPSETS[0]} to {_OPSETS[-1]}",
            versions or "none",
            "Export it again with opset_version=18.",
        )
    return model, files


def _damage_error(path: Path, reason: str) -> InputError:
    return InputError(
        f"`{path.name}` must be a whole ONNX model; reading it failed: {reason}. "
        "Copy or export the file again."
    )


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph: initializers, sparse ones, and those of attributes and subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Any) -> Iterator[Any]:
    for attribute in (a for node in nodes for a in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _tensors(graph)


def _external(model: Any, path: Path) -> list[Path]:
    """Files with external data, which must lie beside the model and be as long as it says."""
    bodies = (_tensors_of_nodes(function.node) for function in model.functions)
    files = set()
    for tensor in itertools.chain(_tensors(model.graph), *bodies):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries or tensor.data_location:
            files.add(_external_file(entries, path))
    return sorted(files)


def _external_file(entries: dict[str, str], path: Path) -> Path:
    folder, place = path.parent.resolve(), Path(entries.get("location", ""))
    file = (folder / place).resolve()
    inside = not place.is_absolute() and ".." not in place.parts and file.is_relative_to(folder)
    if not inside or (folder / place).is_symlink():
        raise broken_rule(
            "external data of an ONNX model must lie in its own folder",
            str(place),
            "Do not use the file, or export the model in one file.",
        )
    if not file.is_file():
        raise broken_rule(
            f"external data of `{path.name}` must lie beside it",
            f"no file {place}",
            "Copy it too, or export the model in one file.",
        )
    first, length = (entries.get(key) or "0" for key in ("offset", "length"))
    numbers = first.isdecimal() and length.isdecimal()
    if not numbers or int(first) + int(length) > file.stat().st_size:
        raise broken_rule(
            f"external data of `{path.name}` must be whole",
            f"{file.stat().st_size} bytes in {place} where {length} from {first} on are named",
            "Copy or export the files again.",
        )
    return file


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises many kinds for one fault: a model it refuses
        raise _run_error(path, error) from error


def _run_error(path: Path, error: Exception) -> InputError:
    import onnxruntime

    return InputError(
        f"`{path.name}` must be a model that ONNX Runtime {onnxruntime.__version__} can run, which "
        f"gives the outputs that the import is compared with; it failed: "
        f"{first_line(error)}. Check the inputs or export the model again."
    )


def _inline(model: Any) -> Any:
    """The model without functions of its own."""
    import onnx.inliner

    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _inputs(model: Any) -> tuple[TensorSpec, ...]:
    """Names, sizes and types of the inputs, which must be tensors."""
    from xbarspice.importers.onnx_nodes import torch_type

    constants = {tensor.name for tensor in model.graph.initializer}
    specs = []
    for value in model.graph.input:
        if value.name in constants:
            continue
        if not value.type.HasField("tensor_type"):
            raise broken_rule(
                f"the input `{value.name}` must be a tensor", "another type", "Export it again."
            )
        kind = value.type.tensor_type
        dims = [
            d.dim_value if d.HasField("dim_value") else d.dim_param or f"size_{k}"
            for k, d in enumerate(kind.shape.dim)
        ]
        dtype = torch_type(kind.elem_type, f"the input `{value.name}`")
        shape = tuple(
            n if not isinstance(n, int) or n > 0 else f"size_{k}" for k, n in enumerate(dims)
        )
        specs.append(TensorSpec(name=value.name, shape=shape, dtype=str(dtype).split(".")[1]))
    return tuple(specs)
