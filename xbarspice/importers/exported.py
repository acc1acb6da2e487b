"""Read a ``.pt2`` archive of `torch.export.save` so that nothing in it is executed.

`torch.export.load` unpickles payloads and evaluates texts of the file. Here the archive is read
by `zipfile`, its JSON is checked against a whitelist (`exported_check`), and only what passed is
written into a new archive in memory, which torch then loads: torch never sees the file itself.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.importers.archive import members, open_archive
from xbarspice.importers.exported_check import clean_payloads, clean_program
from xbarspice.importers.model import ImportedModel, TensorSpec, common_batch, flat_tensors

__all__ = [
    "inputs_of",
    "load_exported",
    "load_pt2",
    "program_module",
    "quiet_torch",
    "read_tensors",
]

_PROGRAM = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLES = "data/sample_inputs/model.pt"
_FIXED = {
    "archive_format",
    "archive_version",
    "byteorder",
    ".data/version",
    ".data/serialization_id",
    ".format_version",
    ".storage_alignment",
    "version",
    _PROGRAM,
    _WEIGHTS,
    _CONSTANTS,
    _SAMPLES,
}
_PAYLOAD = re.compile(r"data/(weights/weight_|constants/tensor_)[0-9]{1,9}")
_OBJECTS = ("data/constants/custom_obj", "data/constants/opaque_obj")
_EXTRA = re.compile(r"extra/[\w./-]{1,200}")
_LEGACY = {
    "version",
    "serialized_exported_program.json",
    "serialized_state_dict.pt",
    "serialized_constants.pt",
    "serialized_example_inputs.pt",
}


def load_exported(file: Path | bytes, name: str | None = None) -> torch.export.ExportedProgram:
    """Load an exported program without executing anything in its file.

    Args:
        file: a path, or the bytes of an archive (for one kept inside another file).
        name: what messages call it; None takes the path's own name.

    Returns:
        The program, without its guards: the caller checks shapes.

    Raises:
        InputError: the archive is damaged, of another kind, or holds pickled or custom objects,
            operators outside aten, or texts that loading would evaluate; or the model was
            exported in training mode or changes its own state as it runs.
    """
    name = name or (file.name if isinstance(file, Path) else "the archive")
    archive = open_archive(file if isinstance(file, Path) else io.BytesIO(file), name)
    with archive:
        table = members(archive)
        legacy = "serialized_exported_program.json" in table
        build = _rebuild_legacy if legacy else _rebuild
        try:
            program, clean = build(archive, table, name)
            _check_mode(program, name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise _damage_error(name, error) from error
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise broken_rule(
                f"the program in `{name}` must follow torch's own schema",
                f"another structure ({type(error).__name__}: {error})",
                "Export the model anew with torch.export.save.",
            ) from error
    with quiet_torch():
        try:
            return torch.export.load(clean)
        except Exception as error:  # torch raises many kinds for one fault: a program it refuses
            version = program.get("torch_version") or "an unnamed version"
            raise InputError(
                f"`{name}` must be a program that PyTorch {torch.__version__} can load; it was "
                f"written by {version} and loading it failed: {_last_line(error)}. "
                "Export the model anew with the installed PyTorch."
            ) from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def _damage_error(name: str, error: Exception) -> InputError:
    return InputError(
        f"`{name}` must be a whole .pt2 archive; reading it failed: {_last_line(error)}. "
        "Copy or export the file again."
    )


@contextmanager
def quiet_torch() -> Iterator[None]:
    """No warnings about the private parts of torch that its own loader goes through."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check_mode(program: dict[str, Any], name: str) -> None:
    if trained := _training_nodes(program):
        raise broken_rule(
            f"`{name}` must be exported in evaluation mode",
            f"{', '.join(trained)} in training mode",
            "Call model.eval() before torch.export.export.",
        )
    if written := _written_state(program):
        raise broken_rule(
            f"running `{name}` must not change the model",
            f"it writes to {', '.join(written[:3])}",
            "Pass that state in and out as inputs and outputs, and export the model anew.",
        )


def _nodes(program: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(operator, its arguments by name) of every node."""
    return [
        (node["target"], {entry["name"]: entry["arg"] for entry in node["inputs"]})
        for node in program["graph_module"]["graph"]["nodes"]
    ]


def _training_nodes(program: dict[str, Any]) -> list[str]:
    """Operators that were exported in training mode: dropout that drops, batch statistics."""
    return sorted(
        {
            target.removeprefix("torch.ops.aten.")
            for target, arguments in _nodes(program)
            for key in ("train", "training")
            if arguments.get(key, {}).get("as_bool") is True
        }
    )


def _written_state(program: dict[str, Any]) -> list[str]:
    """Names of parameters and buffers that running the program would change."""
    state = {}
    for spec in program["graph_module"]["signature"]["input_specs"]:
        for kind, entry in spec.items():
            if kind in {"parameter", "buffer", "tensor_constant"}:
                state[entry["arg"]["name"]] = entry[f"{kind}_name"]
    changed = set()
    for target, arguments in _nodes(program):
        if not target.startswith("torch.ops.aten."):
            continue
        name, overload = target.split(".")[3:5]
        schema = getattr(getattr(torch.ops.aten, name), overload)._schema
        for argument in schema.arguments:
            if argument.is_write:
                tensor = arguments.get(argument.name, {}).get("as_tensor", {}).get("name")
                changed |= {state[tensor]} if tensor in state else set()
    return sorted(changed)


def _rebuild(
    archive: zipfile.ZipFile, table: dict[str, str], name: str
) -> tuple[dict[str, Any], io.BytesIO]:
    """The checked program, and an archive with it and its plain tensors alone."""
    unknown = sorted(
        m
        for m in table
        if m not in _FIXED and not _PAYLOAD.fullmatch(m) and not _EXTRA.fullmatch(m)
    )
    objects = [m for m in unknown if m.startswith(_OBJECTS)]
    if unknown:
        raise broken_rule(
            f"`{name}` may hold one exported program named `model` and its tensors",
            f"custom or opaque objects in {', '.join(objects[:3])}"
            if objects
            else f"the members {', '.join(unknown[:3])}",
            "Export the model alone with torch.export.save(program, path).",
        )
    missing = sorted({_PROGRAM, _WEIGHTS, _CONSTANTS} - set(table))
    if missing:
        raise broken_rule(
            f"`{name}` must hold an exported program",
            f"no {', '.join(missing)}",
            "Export the model with torch.export.save(program, path).",
        )
    if "byteorder" in table and archive.read(table["byteorder"]) != b"little":
        raise broken_rule(f"`{name}` must be little-endian", "another byte order", "Export anew.")
    if _SAMPLES in table:
        read_tensors(archive.read(table[_SAMPLES]), f"{name}: {_SAMPLES}")
    program = clean_program(archive.read(table[_PROGRAM]))
    configs = {
        _WEIGHTS: clean_payloads(archive.read(table[_WEIGHTS]), _WEIGHTS, "weight_"),
        _CONSTANTS: clean_payloads(archive.read(table[_CONSTANTS]), _CONSTANTS, "tensor_"),
    }
    parts = {_PROGRAM: json.dumps(program).encode(), _SAMPLES: b"", "byteorder": b"little"}
    for config, payloads in configs.items():
        parts[config] = json.dumps(payloads).encode()
        for entry in payloads["config"].values():
            member = f"{config.rsplit('/', 1)[0]}/{entry['path_name']}"
            if member not in table:
                raise broken_rule(f"`{name}` must be whole", f"no {member}", "Export it again.")
            parts[member] = archive.read(table[member])
    parts |= {"archive_format": b"pt2", "archive_version": b"0", ".data/version": b"6\n"}
    return program, _pack({f"model/{member}": data for member, data in parts.items()})


def _rebuild_legacy(
    archive: zipfile.ZipFile, table: dict[str, str], name: str
) -> tuple[dict[str, Any], io.BytesIO]:
    """The same for the form that PyTorch wrote until 2.7: tensors as one state_dict."""
    unknown = sorted(m for m in table if m not in _LEGACY and not m.startswith("extra_files/"))
    if unknown:
        raise broken_rule(
            f"`{name}` may hold one exported program and its tensors",
            f"the members {', '.join(unknown[:3])}",
            "Export the model alone with torch.export.save(program, path).",
        )
    program = clean_program(archive.read(table["serialized_exported_program.json"]))
    parts = {
        "version": archive.read(table["version"]) if "version" in table else b"",
        "serialized_exported_program.json": json.dumps(program).encode(),
        "serialized_example_inputs.pt": b"",
    }
    for member in ("serialized_state_dict.pt", "serialized_constants.pt"):
        payload = archive.read(table[member]) if member in table else b""
        tensors = read_tensors(payload, f"{name}: {member}") or {}
        plain = isinstance(tensors, dict) and all(
            isinstance(value, torch.Tensor) for value in tensors.values()
        )
        if not plain:
            raise broken_rule(
                f"`{member}` of `{name}` must hold tensors by name",
                "other objects",
                "Export the model anew with the installed PyTorch.",
            )
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        parts[member] = buffer.getvalue()
    return program, _pack(parts)


def read_tensors(payload: bytes, name: str) -> Any:
    """Unpickle tensors with torch's restricted reader, which executes nothing; None for no bytes.

    Raises:
        InputError: the payload holds anything but plain tensors and containers of them.
    """
    if not payload:
        return None
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fault: not plain tensors
        raise InputError(
            f"`{name}` must hold plain tensors; it holds other pickled objects, which are not "
            "executed. Export the model anew with plain tensors as weights and example inputs."
        ) from error


def _pack(parts: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for member, data in parts.items():
            archive.writestr(member, data)
    buffer.seek(0)
    return buffer


def program_module(program: torch.export.ExportedProgram) -> torch.nn.Module:
    """The program as a module in evaluation mode that runs its graph."""
    module = program.module(check_guards=False)
    for name in ("train", "eval"):  # torch puts refusals here; the program has no such modes
        module.__dict__.pop(name, None)
    return module.train(False)


def load_pt2(path: Path, sha256: str) -> ImportedModel:
    """Import a ``.pt2`` file; see `load_exported` for what is refused.

    Dropout and batch normalisation stay as they were exported, so a model in training mode is
    refused. The module's parameters keep the original's names and types.
    """
    program = load_exported(path)
    inputs = inputs_of(program, path.name)
    module = program_module(program)
    with quiet_torch():
        untouched = copy.deepcopy(module)

    def original(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return flat_tensors(untouched(*tensors))

    return ImportedModel(
        module=module,
        kind="pt2",
        sha256=sha256,
        batch=common_batch(inputs),
        inputs=inputs,
        library=f"torch {torch.__version__} (torch.export)",
        original=original,
        original_library=f"torch {torch.__version__} (torch.export)",
    )


def _children(spec: Any) -> list[Any]:
    return list(spec.children() if hasattr(spec, "children") else spec.children_specs)


def inputs_of(program: torch.export.ExportedProgram, name: str) -> tuple[TensorSpec, ...]:
    """Names, sizes and types of the inputs, which must be tensors in a row.

    Raises:
        InputError: an input is nested, named or a constant.
    """
    positional, keywords = _children(program.call_spec.in_spec)
    nested = any(not child.is_leaf() for child in _children(positional)) or _children(keywords)
    values = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"
    }
    users = [str(user) for user in program.graph_signature.user_inputs]
    plain = all(isinstance(values.get(user), torch.Tensor) for user in users)
    if nested or not plain or not users:
        raise broken_rule(
            f"the inputs of `{name}` must be tensors, passed by position",
            "nested, named or constant inputs",
            "Wrap the model so that it takes its tensors one after the other, and export it anew.",
        )
    return tuple(
        TensorSpec(
            name=user,
            shape=tuple(n if isinstance(n, int) else str(n) for n in values[user].shape),
            dtype=str(values[user].dtype).removeprefix("torch."),
        )
        for user in users
    )
