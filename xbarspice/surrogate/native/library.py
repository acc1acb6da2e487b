"""Loads the compiled kernels and calls them: arrays become pointers, records become C structs.

The best instruction set that the processor has is taken; the environment variable
``XBARSPICE_KERNELS`` (v2, v3, v4) takes another one. A kernel is declared where it is used::

    settle = function("settle", F64, INT, INT, NUMBER, F64, result=NUMBER)
    square = settle(F, *F.shape, R, ends)

Calls release the GIL. Arrays must be C-ordered and of the declared dtype; nothing is copied.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import KernelsMissingError, broken_rule
from xbarspice.surrogate.native import build

__all__ = [
    "F32",
    "F64",
    "INT",
    "INTS",
    "NUMBER",
    "Record",
    "aligned",
    "function",
    "lanes",
    "level",
]

INT, NUMBER = ctypes.c_int64, ctypes.c_double
REMEDY = (
    "Run `make setup` in a checkout (or `python xbarspice/surrogate/native/build.py`), "
    "or install xbarspice again with a C++ compiler at hand."
)


def _address(array: npt.NDArray[Any]) -> int:
    """Where the numbers of an array begin."""
    if array.flags.writeable and array.size:
        view = ctypes.c_char.from_buffer(array)  # type: ignore[arg-type]
        return ctypes.addressof(view)  # faster than the other
    return array.ctypes.data


class _Pointer(ctypes.c_void_p):
    """A pointer to the numbers of a C-ordered array of one dtype."""

    dtype: ClassVar[np.dtype[Any]]

    @classmethod
    def from_param(cls, array: npt.NDArray[Any] | None) -> _Pointer:
        """The argument that a kernel takes for an array; null for None.

        Raises:
            TypeError: the array is of another type, or not C-ordered.
        """
        if array is None:
            return cls(None)
        if array.dtype != cls.dtype or not array.flags.c_contiguous:
            raise TypeError(
                f"a kernel takes a C-ordered array of {cls.dtype}, not {array.dtype} with strides "
                f"{array.strides}"
            )
        return cls(_address(array))


class F64(_Pointer):
    """Pointer to float64 numbers."""

    dtype = np.dtype(np.float64)


class F32(_Pointer):
    """Pointer to float32 numbers."""

    dtype = np.dtype(np.float32)


class INTS(_Pointer):
    """Pointer to int64 numbers."""

    dtype = np.dtype(np.int64)


class Record(ctypes.Structure):
    """A C struct that is filled by keywords; it keeps the arrays to which it points."""

    kinds: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls.kinds = dict(cls._fields_)  # type: ignore[arg-type]

    def __init__(self, **values: Any) -> None:
        kinds = self.kinds
        if values.keys() != kinds.keys():
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(kinds)}")
        self.values = values
        super().__init__(
            *[
                kinds[name].from_param(values[name])
                if type(values[name]) is np.ndarray
                else values[name]
                for name in kinds
            ]
        )


def function(name: str, *arguments: Any, result: Any = None) -> Callable[..., Any]:
    """A kernel by its name in the sources, with the types of its arguments and of its result.

    Raises:
        KernelsMissingError: there are no kernels, or they are older than their sources.
    """
    kernel = getattr(_load(), name)
    kernel.argtypes, kernel.restype = arguments, result
    return kernel


@cache
def lanes(dtype: npt.DTypeLike) -> int:
    """Numbers of a dtype that the kernels take side by side."""
    return function("lanes_f32" if np.dtype(dtype) == np.float32 else "lanes_f64", result=INT)()


def aligned(*shape: int) -> npt.NDArray[np.float64]:
    """Zeros that start on a line of the caches."""
    count, line = math.prod(shape), 64
    memory = np.zeros(8 * count + line, np.uint8)
    first = -memory.ctypes.data % line
    return memory[first : first + 8 * count].view(np.float64).reshape(shape)


@cache
def level() -> str:
    """The instruction set in use: the best one of the processor, or what the user names.

    Raises:
        InputError: ``XBARSPICE_KERNELS`` names an instruction set that is not there.
        KernelsMissingError: there are no kernels.
    """
    known = build.levels()
    best = _open(known[0]).processor_level()
    usable = known[: max(1, best - 1)]
    chosen = os.environ.get("XBARSPICE_KERNELS") or usable[-1]
    if chosen not in usable:
        raise broken_rule(
            f"XBARSPICE_KERNELS must be one of {', '.join(usable)} on this processor",
            chosen,
            "Unset it to take the best one.",
        )
    return chosen


@cache
def _load() -> ctypes.CDLL:
    return _open(level())


@cache
def _open(level: str) -> ctypes.CDLL:
    path = build.library_path(level)
    if not path.is_file():
        raise KernelsMissingError(f"the compiled kernels must be there: no {path}. {REMEDY}")
    library = ctypes.CDLL(str(path))
    library.sources.restype = ctypes.c_char_p
    if Path(build.FOLDER, "simd.hpp").is_file() and (
        library.sources().decode() != build.source_hash()
    ):
        raise KernelsMissingError(
            f"the compiled kernels must be those of their sources: {path} is of others. {REMEDY}"
        )
    return library
