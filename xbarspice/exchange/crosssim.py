"""CrossSim: arrays from its parameters and a matrix, and parameters and a matrix from arrays.

CrossSim holds a matrix W of the shape (outputs, inputs); conductances are shares of ``1 / Rmin``.
An input line ("row") begins with a segment of `Rp_row` at its driver and an output line ("col")
ends with one of `Rp_col` at its virtual ground, so that ``R_driver = Rp_row + Rp_row_terminal`` and
``R_sense = Rp_col + Rp_col_terminal``. Input 0 is the one that is furthest from the virtual ground,
output 0 the nearest to the drivers: the rows and columns of a `Crossbar`. A balanced core has two
arrays, or with `interleaved_posneg` one whose bit lines hold both cells of a pair at one node: two
word lines with +V and -V, and a segment of 0 ohm between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import read_text, store_errors, whole_files
from xbarspice.core.types import Array
from xbarspice.core.values import array_of, number_of
from xbarspice.core.wires import IDEAL, resistance_of
from xbarspice.exchange.checks import refuse_all_but_plain
from xbarspice.exchange.crosssim_parameters import (
    Leaves,
    defaults,
    leaves_of,
    left_out,
    refuse_others,
)
from xbarspice.exchange.pairs import interleave, pair_segment, pair_segments
from xbarspice.exchange.records import ImportedArray, ImportedFile, WeightShare

__all__ = ["as_parameters", "read", "write"]

FORM = "CrossSim parameters"
_STYLES = {"BALANCED": 1, "BITSLICED": 2, "OFFSET": 3}
_SIDES = {"ONE_SIDED": 1, "TWO_SIDED": 2}
_TERMINALS = (
    "CrossSim 3.1 adds Rp_row_terminal to the segments of its first input at every output, and not "
    "to the first segment of every input: its own solver does not compute the circuit that is "
    "meant, and imported here, unless it is 0."
)


def read(
    source: str | Path | Mapping[str, Any],
    weights: npt.ArrayLike | None = None,
    *,
    conductances: Sequence[npt.ArrayLike] | None = None,
) -> ImportedFile:
    """Arrays as CrossSim would place a matrix on them, or with conductances that it has made.

    Args:
        source: JSON file of `CrossSimParameters.to_json`, or `as_dict()`; what it leaves out has
            CrossSim's default.
        weights: the matrix W, (outputs, inputs), that `AnalogCore` would be given.
        conductances: instead of weights, as shares of ``1 / Rmin``, (outputs, inputs) each: those
            of the positive and of the negative devices, or one matrix with the style OFFSET.

    Returns:
        Arrays "positive" and "negative", "pairs" (interleaved), or "array" (OFFSET).

    Raises:
        InputError: a parameter is unknown, breaks its range, or describes a circuit that no
            `Crossbar` expresses; weights and conductances are both given, or neither.
    """
    leaves = leaves_of(_tree(source))
    refuse_others(leaves)
    if weights is not None and conductances is not None:
        raise broken_rule(
            "a matrix must come as weights or as conductances", "both", "Give one of them."
        )
    R_min = number_of("xbar.device.Rmin", leaves["xbar.device.Rmin"], positive=True)
    style = _choice("core.style", leaves["core.style"], _STYLES)
    if style == "BITSLICED":
        raise broken_rule(
            "`core.style` must be BALANCED or OFFSET: slices of a weight are added after reading",
            style,
            "Import every slice by itself.",
        )
    if style == "OFFSET":
        _refuse_unit_column(leaves)
    if weights is not None:
        shares, limit = _normal_conductances(leaves, weights, style)
        siemens = _range(leaves) / ((1 if style == "BALANCED" else 2) * limit * R_min)
    elif conductances is not None:
        shares, siemens = _stated(conductances, style), None
    else:
        raise broken_rule(
            "CrossSim's parameters hold no matrix: it must come as weights or as conductances",
            "none",
            "Give one of them, for example `--weights W.npy`.",
        )
    _refuse_several_cores(leaves, shares[0].shape)
    zero = _least(leaves) + _range(leaves) / 2 if style == "OFFSET" else 0.0
    arrays = _arrays(leaves, [share / R_min for share in shares], siemens, zero / R_min)
    return ImportedFile(form=FORM, arrays=arrays, notes=tuple(_notes(leaves)))


def as_parameters(crossbar: Crossbar) -> tuple[dict[str, Any], dict[str, Array], list[str]]:
    """A crossbar as CrossSim's parameters and conductances.

    Args:
        crossbar: single, ohmic, in read mode, with one resistance of each kind; or with pairs of
            word lines that share their nodes on the bit lines (interleaved).

    Returns:
        The parameters as `CrossSimParameters(**parameters)` takes them; matrices (outputs, inputs);
        and what to know about them. The matrices: "matrix", conductances as shares of ``1 / Rmin``,
        and "weights", for which ``AnalogCore(weights, parameters)`` makes just these; of pairs the
        conductances alone, "positive" and "negative".

    Raises:
        InputError: CrossSim cannot express the array; the message says what.
    """
    refuse_all_but_plain(crossbar, "CrossSim's array")
    pairs = pair_segment(crossbar)
    R_bl = crossbar.R_bl if pairs is None else pairs
    for name, R in {**crossbar.wires, "R_bl": R_bl}.items():
        if isinstance(R, np.ndarray):
            raise broken_rule(
                f"CrossSim has one number for `{name}`, or pairs of rows at one node",
                "values that differ from place to place",
                "Write it as .mat or as a netlist.",
            )
    tree = defaults()
    largest = float(crossbar.G.max())
    if not largest:
        raise broken_rule("an array for CrossSim must have a device", "none", "Give it one.")
    present = crossbar.G[crossbar.G > 0]
    device, parasitics = tree["xbar"]["device"], tree["xbar"]["array"]["parasitics"]
    device |= {"Rmin": 1 / largest, "Rmax": 1 / float(present.min())}
    device["infinite_on_off_ratio"] = bool(crossbar.G.min() in (0, largest))
    tree["core"]["balanced"]["interleaved_posneg"] = pairs is not None
    rows = _line(crossbar.R_wl, crossbar.R_driver, crossbar.cols > 1, "R_wl", "R_driver")
    positions = crossbar.rows if pairs is None else crossbar.rows // 2
    cols = _line(R_bl, crossbar.R_sense, positions > 1, "R_bl", "R_sense")
    parasitics |= {"Rp_row": rows[0], "Rp_row_terminal": rows[1]}
    parasitics |= {"Rp_col": cols[0], "Rp_col_terminal": cols[1]}
    parasitics["enable"] = any((*rows, *cols))
    G = crossbar.G.T / largest
    if pairs is None:
        tree["core"]["style"] = _STYLES["OFFSET"]
        tree["core"]["mapping"]["weights"] |= {"min": -1.0, "max": 1.0, "percentile": None}
        least = 0.0 if device["infinite_on_off_ratio"] else device["Rmin"] / device["Rmax"]
        matrices = {"matrix": G, "weights": 2 * (G - least) / (1 - least) - 1}
    else:
        matrices = {"positive": G[:, ::2], "negative": G[:, 1::2]}
    notes = [_TERMINALS] if rows[1] else []
    return tree, {name: np.ascontiguousarray(m) for name, m in matrices.items()}, notes


def write(path: str | Path, crossbar: Crossbar) -> list[str]:
    """Write what `as_parameters` gives: JSON, and the conductances beside it as `.npz`.

    Returns:
        What to know about them.

    Raises:
        InputError: CrossSim cannot express the array. StoreError: a file cannot be written.
    """
    path = Path(path)
    tree, matrices, notes = as_parameters(crossbar)
    files = [path, path.with_suffix(".npz")]
    with store_errors("the parameters", path), whole_files(files) as (text, table):
        text.write_text(json.dumps(tree, indent=4) + "\n", "utf-8")
        with table.open("wb") as file:
            np.savez(file, allow_pickle=False, **matrices)
    return notes


def _tree(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    source = Path(source)
    text = read_text(source, "the file of parameters", "JSON")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"`{source.name}` must be JSON; {error}. Mend that line.") from error


def _choice(name: str, value: Any, words: Mapping[str, int]) -> str:
    """An enumeration, by its number or its word."""
    for word, number in words.items():
        if not isinstance(value, bool) and value in (word, number):
            return word
    raise broken_rule(f"`{name}` must be one of {', '.join(words)}", repr(value), "Use one.")


def _least(leaves: Leaves) -> float:
    """Smallest conductance as a share of the largest."""
    if leaves["xbar.device.infinite_on_off_ratio"]:
        return 0.0
    R_min, R_max = (
        number_of(f"xbar.device.{name}", leaves[f"xbar.device.{name}"], positive=True)
        for name in ("Rmin", "Rmax")
    )
    if R_max <= R_min:
        raise broken_rule(
            "`xbar.device.Rmax` must be > Rmin", f"{R_max:g} and {R_min:g} ohm", "Exchange them."
        )
    return R_min / R_max


def _range(leaves: Leaves) -> float:
    return 1.0 - _least(leaves)


def _limit(leaves: Leaves, W: Array) -> float:
    """The weight that stands for the full range, as `AnalogCore` finds it."""
    group = "core.mapping.weights"
    percentile = leaves[f"{group}.percentile"]
    if percentile is None:
        low, high = (number_of(f"{group}.{n}", leaves[f"{group}.{n}"]) for n in ("min", "max"))
        if low != -high or high <= 0:
            raise broken_rule(
                f"`{group}` must have limits around 0", f"{low:g} to {high:g}", "Set min = -max."
            )
        return high
    share = number_of(f"{group}.percentile", percentile, positive=True)
    if share >= 1:
        limit = share * float(np.abs(W).max())
    else:
        limit = float(np.abs(np.percentile(W, [100 * share, 100 - 100 * share])).max())
    if not limit:
        raise broken_rule("the matrix must have a weight beside 0", "none", "Set min and max.")
    return limit


def _normal_conductances(
    leaves: Leaves, weights: npt.ArrayLike, style: str
) -> tuple[list[Array], float]:
    """Conductances as shares of ``1 / Rmin``, (outputs, inputs), and the largest weight."""
    W = array_of("weights", weights, rank=2, remedy="Pass W of the shape (outputs, inputs).")
    if leaves["xbar.device.cell_bits"]:
        raise broken_rule(
            "`xbar.device.cell_bits` must be 0 where conductances follow from weights",
            leaves["xbar.device.cell_bits"],
            "Pass the conductances that CrossSim has made.",
        )
    limit = _limit(leaves, W)
    if leaves["core.mapping.weights.clipping"]:
        W = W.clip(-limit, limit)
    elif (np.abs(W) > limit).any():
        raise broken_rule(
            "weights must lie within the limits where they are not clipped",
            f"{np.abs(W).max():g} beyond {limit:g}",
            "Set core.mapping.weights.clipping, or wider limits.",
        )
    least, span, w = _least(leaves), _range(leaves), W / limit
    if style == "OFFSET":
        return [span * (w / 2 + 0.5) + least], limit
    side = _choice("core.balanced.style", leaves["core.balanced.style"], _SIDES)
    if side == "ONE_SIDED":
        return [least + span * np.maximum(sign * w, 0) for sign in (1, -1)], limit
    return [least + span * (1 + sign * w) / 2 for sign in (1, -1)], limit


def _stated(conductances: Sequence[npt.ArrayLike], style: str) -> list[Array]:
    count = 2 if style == "BALANCED" else 1
    if len(conductances) != count:
        raise broken_rule(
            f"a core of the style {style} has {count} matrices of conductances",
            len(conductances),
            "Give the positive and the negative one." if count == 2 else "Give one.",
        )
    remedy = "Pass shares of 1 / Rmin, (outputs, inputs)."
    out = [array_of("conductances", G, rank=2, low=0.0, remedy=remedy) for G in conductances]
    if len({G.shape for G in out}) > 1:
        raise broken_rule(
            "both matrices of conductances must have one shape", [G.shape for G in out], remedy
        )
    return out


def _refuse_unit_column(leaves: Leaves) -> None:
    styles = {"DIGITAL_OFFSET": 1, "UNIT_COLUMN_SUBTRACTION": 2}
    style = _choice("core.offset.style", leaves["core.offset.style"], styles)
    if style != "DIGITAL_OFFSET":
        raise broken_rule(
            "`core.offset.style` must be DIGITAL_OFFSET: a unit column is subtracted after reading",
            style,
            "Import the matrix with a row of zeros above it as DIGITAL_OFFSET.",
        )


def _refuse_several_cores(leaves: Leaves, shape: tuple[int, ...]) -> None:
    for name, size in (("core.cols_max", shape[0]), ("core.rows_max", shape[1])):
        if leaves[name] and size > leaves[name]:
            raise broken_rule(
                f"the matrix must fit into one array (`{name}` = {leaves[name]})",
                f"the shape {shape}",
                "Import every part of it by itself.",
            )


def _wires(leaves: Leaves) -> dict[str, Any]:
    group = "xbar.array.parasitics"
    if not leaves[f"{group}.enable"]:
        return {**IDEAL}
    R = {
        name: resistance_of(f"{group}.{name}", leaves[f"{group}.{name}"])
        for name in ("Rp_row", "Rp_col", "Rp_row_terminal", "Rp_col_terminal")
    }
    return {
        "R_wl": R["Rp_row"],
        "R_bl": R["Rp_col"],
        "R_driver": R["Rp_row"] + R["Rp_row_terminal"],
        "R_sense": R["Rp_col"] + R["Rp_col_terminal"],
    }


def _arrays(
    leaves: Leaves, G: Sequence[Array], siemens: float | None, G_zero: float
) -> tuple[ImportedArray, ...]:
    """The arrays of conductances (outputs, inputs), S."""
    wires = _wires(leaves)
    outputs, inputs = G[0].shape

    def share(rows: Array, signs: Array, sign: float) -> WeightShare | None:
        if siemens is None:
            return None
        return WeightShare(
            inputs=rows.astype(np.intp),
            signs=signs,
            outputs=np.arange(outputs),
            siemens=np.full(outputs, sign * siemens),
            G_zero=G_zero,
        )

    rows = np.arange(inputs)
    if len(G) == 2 and leaves["core.balanced.interleaved_posneg"]:
        wires["R_bl"] = pair_segments(inputs, outputs, wires["R_bl"])
        crossbar = Crossbar(interleave(G[0].T, G[1].T), **wires)
        part = share(np.repeat(rows, 2), np.tile([1.0, -1.0], inputs), 1.0)
        return (ImportedArray(name="pairs", crossbar=crossbar, share=part),)
    names = ("positive", "negative") if len(G) == 2 else ("array",)
    return tuple(
        ImportedArray(
            name=name,
            crossbar=Crossbar(g.T, **wires),
            share=share(rows, np.ones(inputs), sign),
        )
        for name, g, sign in zip(names, G, (1.0, -1.0), strict=False)
    )


def _notes(leaves: Leaves) -> list[str]:
    notes = left_out(leaves)
    group = "xbar.array.parasitics"
    names = [f"{group}.Rp_{n}" for n in ("row", "col", "row_terminal", "col_terminal")]
    if not leaves[f"{group}.enable"]:
        notes += [
            f"{name} = {leaves[name]!r} is not in use, since {group}.enable is False."
            for name in names
            if leaves[name]
        ]
    elif leaves[names[2]]:
        notes.append(_TERMINALS)
    return notes


def _line(segment: Any, at_end: Any, segments: bool, names: str, end: str) -> tuple[float, float]:
    """CrossSim's resistance of a segment, and what a line's end has beyond one, ohm."""
    if not segments:
        return float(at_end), 0.0
    if at_end < segment:
        raise broken_rule(
            f"CrossSim's lines begin or end with a whole segment, so `{end}` must be >= `{names}`",
            f"{at_end:g} and {segment:g} ohm",
            f"Raise {end}, or write a netlist.",
        )
    return float(segment), float(at_end - segment)
