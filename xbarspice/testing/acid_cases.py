"""The acid test's problems with their golden answers: one published HDF5 file, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from xbarspice.core.array import Crossbar
from xbarspice.core.crossbar_file import CrossbarFile, crossbar_of
from xbarspice.core.hdf5 import read_tree
from xbarspice.core.line_ends import End
from xbarspice.core.schema import NotNegative, Numbers, Part, Text, validate
from xbarspice.core.types import Array

__all__ = [
    "FEATURES",
    "FILE",
    "GRADIENTS",
    "KIND",
    "QUANTITIES",
    "AcidCase",
    "AcidFile",
    "NotSupported",
    "acid_file",
]

KIND = "acid test"
FILE = Path(__file__).with_name("acid_arrays.h5")
"""The published arrays; `python -m tests.acid_arrays` of the source tree writes them."""
GRADIENTS = ("dI_dG", "dI_dV")
QUANTITIES = ("I_out", "I_in", "I_device", "V_wl", "V_bl", *GRADIENTS)
FEATURES = {
    "batches": "several arrays or input vectors in one call",
    "driven bit lines": "voltages on bit lines",
    "two ends": "a line that is driven or sensed at both of its ends",
    "other ends": "ends other than word lines driven left and bit lines sensed at the bottom",
    "floating lines": "a line without a source or sense node",
    "ideal segments": "wire segments of 0 ohm",
    "ideal ends": "drivers or sense nodes of 0 ohm",
    "uneven segments": "segments that differ from place to place",
    "uneven ends": "drivers or sense nodes that differ from line to line",
    "R_wl unlike R_bl": "word lines and bit lines with segments of two resistances",
    "ends unlike segments": "drivers or sense nodes with another resistance than the segments",
    "absent devices": "devices of 0 S",
    "nonlinear devices": "currents that are not proportional to the voltage",
    "gradients": "derivatives of the output currents by conductances and input voltages",
}
"""What a problem may ask of a solver, by name."""


class NotSupported(Exception):  # noqa: N818 - it declines, nothing went wrong
    """A solver raises it for a problem that it does not claim to solve; its text is shown."""


class _CaseFile(Part):
    """One problem and its answers as the file holds them."""

    name: Text
    teaches: Text
    tolerance: NotNegative
    crossbar: CrossbarFile
    V_in: Numbers
    V_out: Numbers | None
    golden: dict[str, Numbers]
    golden_from: Text
    ngspice: dict[str, Numbers] = Field(default={})

    @model_validator(mode="after")
    def _are_quantities(self) -> Self:
        if not {*self.golden, *self.ngspice} <= {*QUANTITIES} or "I_out" not in self.golden:
            raise ValueError(f"answers must be of {', '.join(QUANTITIES)}, I_out among them")
        return self


class _WholeFile(Part):
    made_by: Text
    ngspice: Text
    cases: dict[str, _CaseFile]


@dataclass(frozen=True, kw_only=True, eq=False)
class AcidCase:
    """One problem with golden answers.

    Attributes:
        name: of the case.
        teaches: which mistake it finds, in words.
        tolerance: largest error that passes, as a share of the largest golden value (currents: of
            the largest golden current).
        crossbar: the array or batch of arrays; shapes, units and signs as in `xbarspice.Crossbar`.
        V_in: voltages of the word-line drivers, V, (..., rows).
        V_out: voltages of the bit-line drivers, V, (..., cols); None: 0 V.
        golden: right answers by name: `I_out`, `I_in`, `I_device` (A), `V_wl`, `V_bl` (V); with
            gradients `dI_dG` (V, (cols, rows, cols): of each output by each conductance) and
            `dI_dV` (S, (cols, rows): of each output by each input voltage).
        golden_from: how they were computed.
        ngspice: answers of ngspice under the same names, where it has any.
    """

    name: str
    teaches: str
    tolerance: float
    crossbar: Crossbar
    V_in: Array
    V_out: Array | None
    golden: dict[str, Array]
    golden_from: str
    ngspice: dict[str, Array]

    @cached_property
    def features(self) -> frozenset[str]:
        """Those of `FEATURES` that the problem has, found from its numbers."""
        c = self.crossbar
        vectors = max(self.V_in.ndim, 1 if self.V_out is None else self.V_out.ndim)
        has = {
            "batches": c.G.ndim > 2 or vectors > 1,
            "driven bit lines": bool((c.bl_ends == End.DRIVEN).any()),
            "absent devices": bool((c.G == 0).any()),
            "nonlinear devices": c.device.name != "ohmic",
            "gradients": "dI_dG" in self.golden,
            **_features_of_ends(c),
            **_features_of_wires(c),
        }
        return frozenset(name for name, present in has.items() if present)

    def need_only(self, supported: frozenset[str] | set[str]) -> None:
        """Decline a problem that asks for more than some features; for adapters of solvers.

        Raises:
            NotSupported: names the features that the problem has besides these.
        """
        beyond = [name for name in FEATURES if name in self.features - supported]
        if beyond:
            raise NotSupported(", ".join(beyond))


def _features_of_ends(c: Crossbar) -> dict[str, bool]:
    ends = (c.wl_ends, c.bl_ends)
    read = bool(
        (c.wl_ends == [End.DRIVEN, End.FLOATING]).all()
        and (c.bl_ends == [End.FLOATING, End.SENSED]).all()
    )
    return {
        "other ends": not read,
        "two ends": any((e != End.FLOATING).all(axis=1).any() for e in ends),
        "floating lines": any((e == End.FLOATING).all(axis=1).any() for e in ends),
    }


def _features_of_wires(c: Crossbar) -> dict[str, bool]:
    segments = [R for R in (c.R_wl, c.R_bl) if np.size(R)]
    at_ends = (c.R_driver, c.R_sense)
    wl, bl = (np.unique(R) for R in (c.R_wl, c.R_bl))
    return {
        "ideal segments": any(np.any(np.equal(R, 0)) for R in segments),
        "ideal ends": any(np.any(np.equal(R, 0)) for R in at_ends),
        "uneven segments": wl.size > 1 or bl.size > 1,
        "uneven ends": any(np.unique(R).size > 1 for R in at_ends),
        "R_wl unlike R_bl": not np.array_equal(wl, bl),
        "ends unlike segments": any(not np.array_equal(np.unique(R), wl) for R in at_ends),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class AcidFile:
    """Problems with golden answers.

    Attributes:
        origin: who wrote the file and with which ngspice, in words.
        cases: the problems in their order.
    """

    origin: str
    cases: tuple[AcidCase, ...]


def acid_file(path: Path = FILE) -> AcidFile:
    """Read the problems of the acid test with their golden answers.

    Args:
        path: the file; by default the published one.

    Raises:
        StoreError: it is damaged, of another kind, or an entry is missing or breaks its range.
        InputError: there is no such file.
    """
    file = validate(_WholeFile, read_tree(path, KIND, made_by="python -m tests.acid_arrays"), path)
    return AcidFile(
        origin=f"Golden answers: {path.name}, by {file.made_by}, and {file.ngspice}.",
        cases=tuple(_case(file.cases[key]) for key in sorted(file.cases)),
    )


def _case(entry: _CaseFile) -> AcidCase:
    names = ("name", "teaches", "tolerance", "V_in", "V_out", "golden", "golden_from", "ngspice")
    values = {name: getattr(entry, name) for name in names}
    return AcidCase(crossbar=crossbar_of(entry.crossbar), **values)
