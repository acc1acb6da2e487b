"""Counts as a person reads them: one device, two devices."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, for example "1 device", "1,200 devices" or "0 gates".

    Args:
        number: how many; thousands are set off by commas.
        noun: what is counted, in the singular.
        plural: of the noun; empty: an ``s`` is added.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
