"""The engines of a verification, by name."""

from __future__ import annotations

from collections.abc import Sequence

from xbarspice import engines as engine_room
from xbarspice.core.errors import broken_rule

__all__ = ["check_engines"]


def check_engines(reference: str, judged: Sequence[str]) -> tuple[str, ...]:
    """Names of the judged engines without the reference.

    Raises:
        InputError: a name is unknown, or no other engine is left.
    """
    for name in (reference, *judged):
        if not isinstance(name, str) or name not in engine_room.names():
            raise broken_rule(
                f"engines must be among {engine_room.names()}", repr(name), "Use their names."
            )
    names = tuple(dict.fromkeys(name for name in judged if name != reference))
    if not names:
        raise broken_rule(
            "an engine other than the reference must be judged",
            f"engines {list(judged)}, reference {reference!r}",
            'For example engines=("surrogate",), reference="ngspice".',
        )
    return names
