"""Work items: parameters with a content hash, and what became of them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

from xbarspice.core.errors import InputError, broken_rule

__all__ = ["Function", "Item", "Outcome", "content_hash", "execute", "flat", "function_name"]

Function = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes an item's parameters, gives arrays, numbers, words or None by name (may be nested)."""

_PLAIN = (bool, int, float, str, type(None))
_ARRAY_KINDS = "biufc"
_INT64 = 2**63


def _canonical(value: Any, where: str) -> Any:
    """JSON data that is equal for equal content; every container is tagged with its kind."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, enum.Enum):
        return {"enum": [type(value).__qualname__, value.name]}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (bytes, PurePath)):
        return {type(value).__name__ if isinstance(value, bytes) else "path": str(value)}
    if isinstance(value, np.ndarray):
        return _canonical_array(value, where)
    if isinstance(value, Mapping):
        if all(isinstance(name, str) for name in value):
            return {"map": {k: _canonical(v, f"{where}.{k}") for k, v in value.items()}}
    elif isinstance(value, (list, tuple)):
        return [_canonical(v, where) for v in value]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        inner = {k: _canonical(v, f"{where}.{k}") for k, v in parts.items()}
        return {"object": [type(value).__qualname__, inner]}
    raise broken_rule(
        "an item must consist of numbers, words, arrays, lists, dictionaries with words as keys "
        "and dataclasses, so that its content can be hashed",
        f"{type(value).__name__} at {where}",
        "Name an engine as a word; put what cannot be hashed into the function.",
    )


def _canonical_array(value: np.ndarray, where: str) -> Any:
    if value.dtype.kind == "O":
        return _canonical(value.tolist(), where)
    data = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False))
    return {
        "array": [data.dtype.str, list(value.shape), hashlib.sha256(data.tobytes()).hexdigest()]
    }


def content_hash(value: Any) -> str:
    """SHA-256 (64 hexadecimal digits) over canonical JSON and the bytes of the arrays in it.

    Args:
        value: numbers, words, None, arrays, enumerations, paths, and lists, dictionaries and
            dataclasses (such as `Crossbar`) of them.

    Raises:
        InputError: it contains something else.
    """
    text = json.dumps(_canonical(value, "item"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, eq=False)
class Item:
    """One piece of work; two items with equal parameters are the same work and are done once.

    Args:
        parameters: what the function is given; see `content_hash` for what it may contain.
            Its plain numbers and words are stored with the result.

    Attributes:
        key: `content_hash` of the parameters.
    """

    parameters: Mapping[str, Any]
    key: str = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, Mapping):
            raise broken_rule(
                "an item's parameters must be a dictionary",
                type(self.parameters).__name__,
                "Give every parameter a name.",
            )
        object.__setattr__(self, "key", content_hash(self.parameters))

    def settings(self) -> dict[str, Any]:
        """The parameters that are plain numbers, words or None."""
        out = {}
        for name, value in self.parameters.items():
            try:
                out |= flat({name: value}) if isinstance(value, (*_PLAIN, np.generic)) else {}
            except (TypeError, ValueError):
                continue  # it belongs to the hash, but HDF5 has no place for it
        return out


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one execution of the function gave: values, or the reason why there are none."""

    seconds: float
    values: dict[str, Any] | None = None
    error: str = ""
    text: str = ""


def execute(function: Function, parameters: Mapping[str, Any]) -> Outcome:
    """Call the function; whatever it raises becomes part of the outcome."""
    start = time.perf_counter()
    try:
        values = flat(function(parameters))
    except (Exception, SystemExit) as error:
        return failure_of(error, time.perf_counter() - start)
    return Outcome(values=values, seconds=time.perf_counter() - start)


def failure_of(error: BaseException, seconds: float = 0.0) -> Outcome:
    """The outcome of an execution that raised."""
    return Outcome(error=type(error).__name__, text=str(error), seconds=seconds)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested results as one dictionary with names like "a/b", checked for what HDF5 can hold.

    Raises:
        TypeError, ValueError: a name or value cannot be stored.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"the function must return a dictionary; it gave {type(values).__name__}")
    out: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str) or name in ("", ".") or {*name} & {"/", "\0"}:
            raise TypeError(f"result names must be words without '/'; received {name!r}")
        name.encode("utf-8")
        if isinstance(value, Mapping):
            out |= {f"{name}/{k}": v for k, v in flat(value).items()}
        else:
            out[name] = _storable(name, value)
    return out


def _storable(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, (list, tuple)):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _ARRAY_KINDS:
            raise TypeError(f"result {name!r} must be an array of numbers, not of {value.dtype}")
        return value
    if isinstance(value, str):
        value.encode("utf-8")
        if "\0" in value:
            raise ValueError(f"result {name!r} must not contain a NUL character")
        return str(value)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError(f"result {name!r} must fit in 64 bits; received {value}")
    if isinstance(value, complex):
        return np.asarray(value)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        raise TypeError(f"result {name!r} must be a number, word or array, not {type(value)}")
    return None


def function_name(function: Any) -> str:
    """What a campaign file remembers of its function: module, name and bound arguments.

    Raises:
        InputError: the function is not one that another process can import.
    """
    if isinstance(function, functools.partial):
        bound = content_hash([list(function.args), dict(function.keywords)])
        return f"{function_name(function.func)}({bound[:16]})"
    name = getattr(function, "__qualname__", None)
    if name is None and dataclasses.is_dataclass(function) and callable(function):
        return f"{function_name(type(function))}({content_hash(function)[:16]})"
    if not callable(function) or name is None or "<" in name:
        raise InputError(
            "a campaign's function must be defined at the top level of a module, so that other "
            f"processes can import it; received {function!r}. Move it there; give it fixed "
            "arguments with functools.partial."
        )
    return f"{function.__module__}:{name}"
