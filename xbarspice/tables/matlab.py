"""MATLAB files of version 5: which variables are whole arrays, found before SciPy reads them.

SciPy's reader trusts sizes and types of a file, and ends the process at some damaged ones. Layout:
MathWorks, "MAT-File Format", chapter 1 (Level 5).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xbarspice.core.errors import InputError, first_line

__all__ = ["read_arrays"]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Bytes of a number by the type of its element."""
_NUMERIC = range(6, 16)
"""Classes of arrays of numbers, from double to uint64."""
_LARGEST = 1 << 30
"""Bytes that one variable may unpack to."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of real numbers by their names; variables of other classes are left out.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    from scipy.io import loadmat

    try:
        names = list(_names(path.read_bytes()))
        tree = loadmat(path, variable_names=names) if names else {}
        arrays = {name: np.asarray(tree[name]) for name in names}
    except Exception as error:  # damaged files raise errors of many kinds
        raise InputError(
            f"`{path.name}` must be a whole MATLAB file of version 5 or 7.3; {first_line(error)}. "
            "Save it anew."
        ) from error
    return arrays


def _names(data: bytes) -> Iterator[str]:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("its head names no byte order")
    for kind, content in _elements(data[_HEADER:], order, padded=False):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            whole = unpacker.decompress(content, _LARGEST)
            if not unpacker.eof:
                raise ValueError("a compressed variable is cut off")
            (kind, content), *more = _elements(whole, order, padded=False)
            if more:
                raise ValueError("a compressed variable holds two")
        if kind != _MATRIX:
            raise ValueError(f"an element has the type {kind}")
        name = _name_of_array(content, order)
        if name is not None:
            yield name


def _elements(data: bytes, order: str, *, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """Type and content of elements that fill the data; those inside an array fill whole words."""
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError("an element is cut off")
        kind, size = struct.unpack_from(f"{order}II", data, place)
        if kind >> 16:  # a small element: size and type in one word, four bytes of content
            kind, size, first, step = kind & 0xFFFF, kind >> 16, place + 4, 8
            if size > 4:
                raise ValueError("a small element is too large")
        else:
            first, step = place + 8, 8 + (-(-size // 8) * 8 if padded else size)
        if first + size > len(data):
            raise ValueError("an element is cut off")
        yield kind, data[first : first + size]
        place += step


def _name_of_array(content: bytes, order: str) -> str | None:
    """Name of an array of real numbers; None for other variables.

    Raises:
        ValueError: its numbers are not those of its shape.
    """
    parts = _elements(content, order)
    (_, flags), (_, dims), (_, name) = next(parts), next(parts), next(parts)
    word = struct.unpack_from(f"{order}I", flags)[0]
    if word & 0xFF not in _NUMERIC or word & 0x0800:  # a complex array is none of measured values
        return None
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    (kind, numbers), *more = parts
    if more or min(shape) < 0 or len(shape) < 2 or kind not in _WIDTHS:
        raise ValueError("an array has another form than its head says")
    if math.prod(shape) * _WIDTHS[kind] != len(numbers):
        raise ValueError("an array has more or fewer numbers than its shape")
    return name.decode("ascii")
