"""MATLAB's `.mat`: conductances and resistances under any names, of version 5 and 7.3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.core import hdf5
from xbarspice.core.array import Crossbar
from xbarspice.core.crossbar_file import EndsFile, line_ends, to_tree
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import check_file, store_errors, whole_file
from xbarspice.core.line_ends import READ
from xbarspice.core.types import Array
from xbarspice.core.values import array_of
from xbarspice.core.wires import WIRES
from xbarspice.exchange.checks import in_read_mode
from xbarspice.exchange.records import ImportedArray, ImportedFile
from xbarspice.tables.matlab import read_arrays
from xbarspice.tables.units import unit_of

__all__ = ["QUANTITIES", "read", "write"]

FORM = "MATLAB file"
QUANTITIES = {
    "G": "S",
    "R_device": "ohm",
    **dict.fromkeys(WIRES, "ohm"),
    "V_in": "V",
    "V_out": "V",
    "I_out": "A",
    "word_line_ends": "",
    "bit_line_ends": "",
}
"""What may be read, with its unit; `R_device` are resistances of the devices in place of `G`, ends
are codes (lines, 2): 0 floating, 1 driven, 2 sensed."""


def read(
    path: str | Path, names: Mapping[str, str] | None = None, *, transpose: bool = False
) -> ImportedFile:
    """The array in a MATLAB file.

    Args:
        path: the file, of version 5 to 7 or 7.3.
        names: quantity (of `QUANTITIES`) -> the variable that holds it, perhaps with its unit
            behind a colon: ``{"G": "gmap:uS"}``; one that is not named is looked for under its own
            name. Resistances that the file leaves out are 0.
        transpose: rows of the matrix are bit lines; `R_wl` and `R_bl`, too, have the shape of the
            file's own rows and columns.

    Returns:
        One array, with `V_in`, `V_out` and `I_out` as far as they are there; variables that were
        not read stand in the notes.

    Raises:
        InputError: a variable is missing, is no numbers, or does not fit the others.
        StoreError: the file is damaged.
    """
    path, names = Path(path), dict(names or {})
    if unknown := names.keys() - QUANTITIES.keys():
        raise broken_rule(
            f"a name must be of one of {', '.join(QUANTITIES)}", sorted(unknown), "Use these words."
        )
    arrays, others = _variables(path)
    values = {}
    taken = set()
    for quantity in QUANTITIES:
        variable, _, unit = names.get(quantity, quantity).partition(":")
        if variable in arrays:
            values[quantity] = _factor(quantity, unit) * arrays[variable]
            taken.add(variable)
        elif quantity in names:
            raise broken_rule(
                f"`{path.name}` must hold `{variable}`, named as {quantity}",
                ", ".join([*arrays, *others]) or "no variables",
                "Name one of these.",
            )
    try:
        array = _array(values, transpose=transpose)
    except InputError as error:
        raise InputError(f"`{path.name}`: {error}") from None
    notes = [f"`{name}` is not read." for name in [*arrays, *others] if name not in taken]
    notes += [f"{name} is not in the file: 0 ohm." for name in WIRES if name not in values]
    return ImportedFile(form=FORM, arrays=(array,), notes=tuple(notes))


def write(path: str | Path, crossbar: Crossbar, V_in: Array | None = None) -> list[str]:
    """Write an array as a MATLAB file of version 5, which MATLAB and Octave load.

    Args:
        path: the file.
        crossbar: single and ohmic; line ends beside read mode are written as codes.
        V_in: voltages to go with it, V, (vectors, rows); None for none.

    Returns:
        What to know about it (nothing).

    Raises:
        InputError: it is a batch, or its devices are not ohmic. StoreError: it cannot be written.
    """
    from scipy.io import savemat

    path = Path(path)
    if crossbar.batch or crossbar.device.name != "ohmic":
        raise broken_rule(
            "a MATLAB file holds one array of conductances",
            f"a batch {crossbar.batch}" if crossbar.batch else crossbar.device.name,
            "Write crossbar.array(k)."
            if crossbar.batch
            else 'Write the array at its read voltage: crossbar.replace(device="ohmic").',
        )
    values: dict[str, Any] = {"G": crossbar.G, **crossbar.wires}
    ends = to_tree(crossbar)["ends"]
    if not in_read_mode(crossbar):
        values |= {"word_line_ends": ends["word_lines"], "bit_line_ends": ends["bit_lines"]}
    if V_in is not None:
        values["V_in"] = crossbar.drive(np.atleast_2d(V_in)).V_in
    with (
        store_errors("the MATLAB file", path),
        whole_file(path) as partial,
        partial.open("wb") as f,
    ):
        savemat(f, {name: np.asarray(value) for name, value in values.items()})
    return []


def _variables(path: Path) -> tuple[dict[str, Array], list[str]]:
    """Arrays of numbers by their names, and the names of all else."""
    check_file(path, "the MATLAB file")
    if hdf5.is_hdf5(path):
        tree = hdf5.read_plain(path)
        numbers = {
            str(name): np.asarray(value, dtype=np.float64)
            for name, value in tree.items()
            if not isinstance(value, (dict, str, bytes))
            and value is not None
            and np.asarray(value).dtype.kind in "fiu"
        }
        return numbers, [str(name) for name in tree if str(name) not in numbers]
    from scipy.io import whosmat

    numbers = {name: a for name, a in read_arrays(path).items() if a.dtype.kind in "fiu"}
    return numbers, [name for name, _, _ in whosmat(path) if name not in numbers]


def _factor(quantity: str, unit: str) -> float:
    if not unit:
        return 1.0
    try:
        return unit_of(unit, QUANTITIES[quantity] or None).factor
    except InputError:
        raise broken_rule(
            f"{quantity} must have a unit of {QUANTITIES[quantity] or 'nothing'}",
            repr(unit),
            f"Write {quantity}=NAME:UNIT, for example G=gmap:uS.",
        ) from None


def _array(values: Mapping[str, Array], *, transpose: bool) -> ImportedArray:
    """The array of named values in SI units."""
    G = _conductances(values)
    turned = ("R_wl", "R_bl")
    if transpose:
        G = G.T
        values = {k: v.T if k in turned else v for k, v in values.items()}
    wires: dict[str, Any] = dict.fromkeys(WIRES, 0.0)
    for name in WIRES:
        if name in values:
            R = values[name]
            wires[name] = R if name in turned and R.size > 1 else np.ravel(R)
            wires[name] = float(R.flat[0]) if R.size == 1 else wires[name]
    ends = READ
    if "word_line_ends" in values or "bit_line_ends" in values:
        codes = {f"{kind}_lines": values.get(f"{kind}_line_ends") for kind in ("word", "bit")}
        if any(code is None for code in codes.values()):
            raise broken_rule("ends must be given of both kinds of lines", "one", "Give both.")
        ends = line_ends(EndsFile(**codes))  # type: ignore[arg-type]
    crossbar = Crossbar(G, **wires, ends=ends)
    sizes = {"V_in": crossbar.rows, "V_out": crossbar.cols, "I_out": crossbar.cols}
    vectors = {k: _vectors(k, values[k], n) for k, n in sizes.items() if k in values}
    if len({len(v) for v in vectors.values()}) > 1:
        raise broken_rule(
            "V_in, V_out and I_out must have as many vectors as one another",
            {k: len(v) for k, v in vectors.items()},
            "Give one row a vector.",
        )
    V_in, V_out, I_out = (vectors.get(name) for name in sizes)
    return ImportedArray(name="array", crossbar=crossbar, V_in=V_in, V_out=V_out, I_out=I_out)


def _conductances(values: Mapping[str, Array]) -> Array:
    if ("G" in values) == ("R_device" in values):
        raise broken_rule(
            "the file must hold conductances (G) or resistances (R_device) of the devices",
            "both" if "G" in values else "neither",
            "Name the variable: G=gmap:uS, or R_device=rmap:kohm.",
        )
    if "G" in values:
        return array_of("G", values["G"], rank=2, remedy="Give one matrix.")
    R = array_of("R_device", values["R_device"], rank=2, finite=False, remedy="Give one matrix.")
    if not (R > 0).all():  # NaN, too, is not above 0
        raise broken_rule(
            "`R_device` must be > 0 ohm", f"{R.min():g}", "An absent device has infinity."
        )
    return 1.0 / R


def _vectors(name: str, values: Array, lines: int) -> Array:
    """Rows of one value a line; a single column that fits is one vector."""
    out = np.atleast_2d(values)
    if out.shape == (lines, 1) and lines > 1:
        out = out.T
    if out.ndim != 2 or out.shape[1] != lines:
        raise broken_rule(
            f"`{name}` must have the shape (vectors, {lines})", values.shape, "Turn it."
        )
    return array_of(name, out, remedy="Correct the file.")
