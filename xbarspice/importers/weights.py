"""Weights without code: ``.safetensors``, a ``state_dict`` or a checkpoint that holds one.

The module comes from a factory that the user names; naming it imports and runs that code, which
is the user's own decision, while the weights file never executes anything.
"""

from __future__ import annotations

import copy
import importlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from xbarspice.core.errors import InputError, broken_rule, first_line, missing_package
from xbarspice.importers.archive import open_archive
from xbarspice.importers.detect import refuse
from xbarspice.importers.model import ImportedModel, flat_tensors

__all__ = ["Factory", "build_module", "load_weights", "read_weights"]

State = dict[str, torch.Tensor]
Factory = str | Callable[[], torch.nn.Module]
"""The code that makes a module: ``"module:callable"``, or the callable itself."""

_PREFIXES = ("_orig_mod.", "module.")
_INTEGERS = {torch.int8, torch.uint8, torch.qint8, torch.quint8, torch.qint32}
_HALVES = {torch.float16: "float16", torch.bfloat16: "bfloat16"}


def load_weights(path: Path, sha256: str, kind: str, factory: Factory) -> ImportedModel:
    """Load weights into the module that a factory makes.

    Args:
        path: ``.safetensors``, ``.pt`` or ``.pth``.
        sha256: hash of the file.
        kind: "safetensors" or "state_dict".
        factory: ``"module:callable"``, which is imported and called without arguments, so its
            code is executed; or the callable itself.

    Raises:
        InputError: the file holds anything but tensors, the factory makes no module, or names
            and shapes do not match exactly.
    """
    state, notes = read_weights(path, kind)
    module = build_module(factory)
    notes += _load_strictly(module, state, path.name)
    module.eval()
    untouched = copy.deepcopy(module)
    name = factory if isinstance(factory, str) else getattr(factory, "__qualname__", "a callable")
    return ImportedModel(
        module=module,
        kind=kind,
        sha256=sha256,
        library=f"torch {torch.__version__} (weights), {name} (module)",
        notes=notes,
        original=_caller(untouched),
        original_library=f"torch {torch.__version__}, an untouched copy of the module",
    )


def _caller(module: torch.nn.Module) -> Callable[[tuple[torch.Tensor, ...]], Any]:
    def call(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return flat_tensors(module(*tensors))

    return call


def build_module(factory: Factory) -> torch.nn.Module:
    """Import and call the factory that the user named.

    Raises:
        InputError: it cannot be imported, raises, or returns no `torch.nn.Module`.
    """
    make: Any = factory
    if isinstance(factory, str):
        place, _, name = factory.partition(":")
        if not place or not name:
            raise broken_rule(
                "a factory must be named as module:callable",
                repr(factory),
                "For example my_package.models:build.",
            )
        try:
            make = importlib.import_module(place)
            for part in name.split("."):
                make = getattr(make, part)
        except Exception as error:  # the user's own code may raise anything
            raise InputError(
                f"the factory `{factory}` must be importable; {type(error).__name__}: {error}. "
                "Check the name and run from a folder where `import` finds it."
            ) from error
    if not callable(make):
        raise broken_rule("a factory must be callable", type(make).__name__, "Name a function.")
    try:
        module = make()
    except Exception as error:  # the user's own code may raise anything
        raise InputError(
            f"the factory must make a module without arguments; {type(error).__name__}: {error}. "
            "Write a function that passes them."
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise broken_rule(
            "a factory must return a torch.nn.Module",
            type(module).__name__,
            "Return the untrained model.",
        )
    return module


def read_weights(path: Path, kind: str) -> tuple[State, tuple[str, ...]]:
    """Tensors by name, prefixes of wrappers removed and half precision widened, with notes.

    Raises:
        PackageMissingError: safetensors is not installed.
        InputError: the file is damaged, holds anything but tensors, or quantised ones.
    """
    raw = _read_safetensors(path) if kind == "safetensors" else _read_torch(path)
    state, notes = _one_level_down(raw, path.name)
    state, prefix_notes = _without_prefixes(state)
    _refuse_quantised(state, path.name)
    state, half_notes = _widen(state)
    return state, (*notes, *prefix_notes, *half_notes)


def _read_safetensors(path: Path) -> State:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(
            f"`{path.name}` must be a whole .safetensors file; reading it failed: "
            f"{first_line(error)}. Copy or save the file again."
        ) from error


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped:
        with open_archive(path, path.name) as archive:
            _check_sums(archive, path.name)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fault: an unreadable file
        text = str(error)
        if "global" not in text.lower() and "torchscript" not in text.lower():
            raise InputError(
                f"`{path.name}` must be a whole state_dict; reading it failed: "
                f"{first_line(error)}. "
                "Copy or save the file again."
            ) from error
        raise refuse(path, _kind_of_pickle(path)) from error


def _check_sums(archive: zipfile.ZipFile, name: str) -> None:
    """Hold every member against its checksum, at which torch does not look."""
    try:
        damaged = archive.testzip()
    except Exception as error:  # a damaged archive raises errors of many kinds
        damaged = f"its table of contents ({error})"
    if damaged:
        raise broken_rule(f"`{name}` must be whole", f"damage in {damaged}", "Copy it again.")


def _kind_of_pickle(path: Path) -> str:
    content = path.read_bytes()
    if b"pytorch-lightning_version" in content or b"pytorch_lightning" in content:
        return "a PyTorch Lightning checkpoint with pickled hyper-parameters"
    return "a pickle of other objects than tensors, for example a whole torch module"


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())
    )


def _one_level_down(raw: Any, name: str) -> tuple[State, tuple[str, ...]]:
    """The state_dict itself, or the only one that a checkpoint holds."""
    if _is_state(raw):
        return dict(raw), ()
    if not isinstance(raw, Mapping):
        raise broken_rule(
            f"`{name}` must hold a state_dict",
            type(raw).__name__,
            "Save it with torch.save(model.state_dict(), path).",
        )
    inner = [str(key) for key, value in raw.items() if _is_state(value)]
    if len(inner) != 1:
        raise broken_rule(
            f"`{name}` must hold one state_dict",
            f"{' and '.join(map(repr, inner)) or 'none'} among {sorted(map(str, raw))[:8]}",
            "Save that of the model alone with torch.save(model.state_dict(), path).",
        )
    return dict(raw[inner[0]]), (f"The weights were read from `{inner[0]}` of the checkpoint.",)


def _without_prefixes(state: State) -> tuple[State, tuple[str, ...]]:
    """Remove what DataParallel and torch.compile put before every name."""
    removed = []
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in state)), None):
        state = {key[len(prefix) :]: value for key, value in state.items()}
        removed.append(prefix)
    notes = (f"The prefix `{''.join(removed)}` of every name was removed.",) if removed else ()
    return state, notes


def _refuse_quantised(state: State, name: str) -> None:
    quantised = [
        key
        for key, value in state.items()
        if value.is_quantized
        or key.endswith(("qweight", "qzeros", "_packed_params", "weight_scale_inv"))
        or (value.dtype in _INTEGERS and key.endswith("weight"))
    ]
    if quantised:
        raise broken_rule(
            "the weights of a model must be real numbers",
            f"`{name}`, whose {', '.join(quantised[:3])} are quantised integers",
            "Save the model before its quantisation.",
        )


def _widen(state: State) -> tuple[State, tuple[str, ...]]:
    halves = sorted({_HALVES[v.dtype] for v in state.values() if v.dtype in _HALVES})
    wide = {k: v.float() if v.dtype in _HALVES else v for k, v in state.items()}
    notes = (f"Weights of type {' and '.join(halves)} were widened to float32.",) if halves else ()
    return wide, notes


def _load_strictly(module: torch.nn.Module, state: State, name: str) -> tuple[str, ...]:
    """Load by exact names and shapes, in the file's types; tied weights stay tied."""
    parameters = module.state_dict(keep_vars=True)
    stored = {id(parameters[key]) for key in state if key in parameters}
    missing = sorted(
        key for key in set(parameters) - set(state) if id(parameters[key]) not in stored
    )
    unexpected = sorted(set(state) - set(parameters))
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file and {tuple(value.shape)} in the module"
        for key, value in parameters.items()
        if key in state and value.shape != state[key].shape
    ]
    if missing or unexpected or shapes:
        parts = [
            f"{label}{_list_names(keys)}"
            for label, keys in (("missing: ", missing), ("unexpected: ", unexpected), ("", shapes))
            if keys
        ]
        raise broken_rule(
            f"the weights of `{name}` must fit the factory's module by name and shape",
            "; ".join(parts),
            "Let the factory make the model that was trained.",
        )
    changed = sorted({f"{v.dtype}" for k, v in state.items() if parameters[k].dtype != v.dtype})
    for key, value in state.items():
        parameters[key].data = parameters[key].data.to(value.dtype)
    module.load_state_dict(state, strict=False)
    _check_ties(module, state, name)
    return (f"Parameters keep the file's type ({', '.join(changed)}).",) if changed else ()


def _check_ties(module: torch.nn.Module, state: State, name: str) -> None:
    """Every loaded value must be the file's: a weight under two names has one value."""
    loaded = module.state_dict()
    differing = [k for k, v in state.items() if not torch.equal(loaded[k], v.to(loaded[k].device))]
    if differing:
        raise broken_rule(
            f"`{name}` must give a weight that the module shares one value",
            f"other values for {_list_names(differing)}",
            "Check the factory.",
        )


def _list_names(keys: list[str], most: int = 8) -> str:
    remaining = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {remaining} more" if remaining > 0 else "")
