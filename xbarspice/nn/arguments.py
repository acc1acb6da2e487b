"""How a model is called: its arguments by position and by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["Arguments", "as_arguments", "map_tensors", "points_of", "tensors_in"]


class Arguments(tuple[Any, ...]):
    """Arguments of a model by position, with those by name in `keywords`."""

    keywords: dict[str, Any]

    def __new__(cls, values: Any = (), keywords: Mapping[str, Any] | None = None) -> Arguments:
        out = super().__new__(cls, values)
        out.keywords = dict(keywords or {})
        return out

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self), self.keywords


def as_arguments(x: Any) -> Arguments:
    """Arguments from what `convert(calibrate=...)` and `xb.verify` take.

    Args:
        x: one argument; a tuple of arguments by position; a dictionary of arguments by name; or
            both, as ``(tuple, dict)``. A dictionary that is itself the one argument: ``(dict,)``.
    """
    if isinstance(x, Arguments):
        return x
    if isinstance(x, dict):
        return Arguments((), x)
    if not isinstance(x, tuple):
        return Arguments((x,))
    if len(x) == 2 and isinstance(x[0], tuple) and isinstance(x[1], dict):
        return Arguments(x[0], x[1])
    return Arguments(x)


def map_tensors(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value of any form with a function applied to everything in it that is no container."""
    if isinstance(value, Arguments):
        keywords = {k: map_tensors(v, change) for k, v in value.keywords.items()}
        return Arguments((map_tensors(v, change) for v in value), keywords)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(v, change) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(v, change) for v in value)
    if isinstance(value, dict):
        return {k: map_tensors(v, change) for k, v in value.items()}
    return change(value)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in arguments of any form, in order."""
    out: list[Tensor] = []
    map_tensors(value, lambda v: out.append(v) if isinstance(v, Tensor) else None)
    yield from out


def points_of(arguments: Any) -> int:
    """First size of the first tensor that has axes; 1 without any."""
    return next((len(t) for t in tensors_in(arguments) if t.ndim), 1)
