"""Options that a decorator adds to a command: one signature for typer, one call for the command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

__all__ = ["with_options"]

SUPPLIED = {"job": "Job", "table": "TableOptions"}
"""Arguments that a decorator supplies: no options, and types that a command imports for checks."""


def with_options(
    call: Callable[..., None],
    command: Callable[..., None],
    supplied: str,
    added: Mapping[str, tuple[Any, Any]],
) -> Callable[..., None]:
    """`call` in the place of a command, with its name, help and options.

    Args:
        call: takes the options of the command and the added ones.
        command: what it calls.
        supplied: argument of the command that `call` supplies; it is no option.
        added: (type, default) of further options by name.
    """
    types = dict.fromkeys(SUPPLIED.values(), object)
    hints = get_type_hints(command, localns=types, include_extras=True)
    parameters = [
        p.replace(annotation=hints.get(p.name, p.annotation))
        for p in inspect.signature(command).parameters.values()
        if p.name != supplied
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
        for name, (hint, default) in added.items()
    ]
    functools.update_wrapper(call, command)
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call
