"""aihwkit: arrays from the tiles of a saved model, and tiles from arrays of pairs.

A tile holds weights w (outputs, inputs); a pair of conductances follows as its converter makes it:
``G = g_min + (g_max - g_min) max(+-w, 0) / max|w|``, in uS there and in S here. Outputs are
multiplied by mapping scales, output scales and drift compensation. A tile has no layout but with
time-dependent IR drop (`TorchInferenceRPUConfigIRDropT`): there both cells of a pair meet a bit
line at one node, with `ir_drop_rs` from cell to cell and half of it at the end; even outputs are
sensed below the last input and odd ones above the first; inputs are padded with weights of 0 to
`max_input_size` on both sides. Word lines are ideal.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule, missing_package
from xbarspice.core.files import store_errors, whole_file
from xbarspice.core.line_ends import READ, End, LineEnds
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of, number_of
from xbarspice.core.wires import resistance_of
from xbarspice.exchange.aihwkit_file import StandIn, Tile, attribute, read_state
from xbarspice.exchange.pairs import interleave, pair_segment, pair_segments
from xbarspice.exchange.records import ImportedArray, ImportedFile, WeightShare

__all__ = ["read", "write"]

FORM = "aihwkit tiles"
_MICRO = 1e-6
_ZERO_CLIP = 1e-7
"""Largest weight that aihwkit takes at least, so that weights of 0 have a scale."""
_READ_VOLTS = 0.2
"""Of its circuit: inputs at 0.6, 0.4 and 0.2 V around the bit line's 0.4 V."""


def read(
    path: str | Path, *, G_min: float | None = None, G_max: float | None = None
) -> ImportedFile:
    """One array for every tile of a saved `state_dict`.

    Args:
        path: file of ``torch.save(model.state_dict(), path)``; aihwkit need not be installed.
        G_min, G_max: conductances of a weight of 0 and of the largest, S, in place of those of the
            file's converter.

    Returns:
        Arrays of pairs at one node: word lines ``2 i, 2 i + 1`` carry +V and -V of input i. Each
        layer is a matrix of its own (`ImportedFile.matrix`).

    Raises:
        InputError: the file holds no tiles or anything but tensors and aihwkit's objects, a tile
            has no conductances, or several pairs a weight. PackageMissingError: no torch.
    """
    path = Path(path)
    arrays: list[ImportedArray] = []
    notes: list[str] = []
    for layer, tiles in itertools.groupby(read_state(path), key=lambda tile: tile.layer):
        group = list(tiles)
        starts = _starts(group)
        for tile in group:
            limits = _limits(tile, G_min, G_max)
            arrays.append(_array(tile, starts, limits))
        notes += _notes(layer, group[0])
    return ImportedFile(form=FORM, arrays=tuple(arrays), notes=tuple(notes))


def _weights(tile: Tile) -> Array:
    W = tile.state.get("analog_tile_weights")
    return array_of(f"weights of {tile.name}", W, rank=2, remedy="Save the model anew.")


def _starts(tiles: list[Tile]) -> dict[tuple[int, int], tuple[int, int]]:
    """First input and first output of each tile of a layer."""
    sizes = {tile.place or (0, 0): _weights(tile).shape for tile in tiles}
    return {
        (i, j): (
            sum(sizes[k, j][1] for k in range(i)),
            sum(sizes[i, k][0] for k in range(j)),
        )
        for i, j in sizes
    }


def _limits(tile: Tile, G_min: float | None, G_max: float | None) -> tuple[float, float]:
    """Smallest and largest conductance of a tile, S."""
    converter = attribute(tile.state.get("rpu_config"), "noise_model.g_converter")
    kind = type(converter).__name__
    if isinstance(converter, StandIn) and kind != "SinglePairConductanceConverter":
        raise broken_rule(
            f"the weights of {tile.name} must stand on one pair of devices each "
            "(SinglePairConductanceConverter)",
            kind,
            "Several pairs are weighted after reading: import each set by itself.",
        )
    if not isinstance(converter, StandIn) and (G_min is None or G_max is None):
        raise broken_rule(
            f"{tile.name} must have conductances: a noise model with a converter",
            type(tile.state.get("rpu_config")).__name__,
            "State G_min and G_max.",
        )
    low = attribute(converter, "g_min", 0.0) * _MICRO if G_min is None else G_min
    high = attribute(converter, "g_max", 0.0) * _MICRO if G_max is None else G_max
    low, high = number_of("G_min", low, low=0.0), number_of("G_max", high, low=0.0)
    if low >= high:
        raise broken_rule("`G_max` must be > `G_min`", f"{high:g} and {low:g} S", "Exchange them.")
    return low, high


def _scale(tile: Tile, outputs: int) -> Array:
    """What multiplies every output, (outputs,)."""
    out = np.ones(outputs)
    compensated = attribute(tile.state.get("rpu_config"), "drift_compensation") is not None
    for name, value in tile.scales.items():
        if name == "alpha" and not compensated:
            continue  # aihwkit keeps the number and does not use it
        factor = np.ravel(array_of(name, value, remedy="Save the model anew."))
        if factor.size not in (1, outputs):
            raise broken_rule(
                f"{name} of {tile.name} must be one number or one an output",
                factor.shape,
                "Save the model anew.",
            )
        out = out * factor
    return out


def _array(
    tile: Tile, starts: dict[tuple[int, int], tuple[int, int]], limits: tuple[float, float]
) -> ImportedArray:
    W, (low, high) = _weights(tile), limits
    outputs, inputs = W.shape
    ratio = (high - low) / max(float(np.abs(W).max()), _ZERO_CLIP)
    above, below, R = _layout(tile, inputs)
    padded = np.pad(W.T * ratio, ((above, below), (0, 0)))
    G = interleave(np.maximum(padded, 0) + low, np.maximum(-padded, 0) + low)
    first_input, first_output = starts[tile.place or (0, 0)]
    rows: Indices = np.full(above + inputs + below, -1, dtype=np.intp)
    rows[above : above + inputs] = first_input + np.arange(inputs)
    scale = _scale(tile, outputs)
    if not scale.all():
        raise broken_rule(f"scales of {tile.name} must not be 0", "0", "Save the model anew.")
    share = WeightShare(
        matrix=tile.layer,
        inputs=np.repeat(rows, 2),
        signs=np.tile([1.0, -1.0], len(rows)),
        outputs=first_output + np.arange(outputs),
        siemens=ratio / scale,
    )
    crossbar = Crossbar(
        G,
        R_wl=0.0,
        R_bl=pair_segments(len(rows), outputs, R),
        R_sense=R / 2,
        ends=READ if R == 0 else _both_sides(outputs),
    )
    return ImportedArray(name=tile.name, crossbar=crossbar, share=share)


def _both_sides(outputs: int) -> LineEnds:
    """Even bit lines sensed at the bottom, odd ones at the top."""
    odd = [k % 2 == 1 for k in range(outputs)]
    return LineEnds(
        bl_top=[End.SENSED if top else End.FLOATING for top in odd],
        bl_bottom=[End.FLOATING if top else End.SENSED for top in odd],
    )


def _layout(tile: Tile, inputs: int) -> tuple[int, int, float]:
    """Padded inputs above and below, and the resistance from cell to cell, ohm."""
    config = tile.state.get("rpu_config")
    forward = attribute(config, "forward")
    if type(forward).__name__ != "IOParametersIRDropT" or attribute(forward, "is_perfect", False):
        return 0, 0, 0.0
    scale = number_of("forward.ir_drop", attribute(forward, "ir_drop", 1.0), low=0.0)
    R = resistance_of("forward.ir_drop_rs", scale * attribute(forward, "ir_drop_rs", 0.15))
    size = int(attribute(config, "mapping.max_input_size", 0) or inputs)
    if size < inputs:
        raise broken_rule(
            f"`mapping.max_input_size` of {tile.name} must hold its inputs",
            f"{size} for {inputs}",
            "Save the model anew.",
        )
    above = (size - inputs) // 2 if R else 0
    return above, size - inputs - above if R else 0, R


def _notes(layer: str, tile: Tile) -> list[str]:
    config = tile.state.get("rpu_config")
    forward = attribute(config, "forward")
    if attribute(config, "mapping.digital_bias", True):
        notes = [f"{layer}: a bias, if any, is added after reading and not on the array."]
    else:
        notes = [f"{layer}: if it has a bias, its last input is the constant 1 for it."]
    if attribute(config, "pre_post.input_range.enable", False):
        notes.append(f"{layer}: clipping to the input range is left out.")
    if not isinstance(forward, StandIn):
        return notes
    if type(forward).__name__ == "IOParametersIRDropT":
        if not attribute(forward, "is_perfect", False):
            notes.append(
                f"{layer}: aihwkit applies {_READ_VOLTS} V in pulses as wide as the input, sums "
                f"over time, lumps {attribute(forward, 'ir_drop_segments')} segments (unless its "
                "extension is built) and reads at ir_drop_v_read = "
                f"{attribute(forward, 'ir_drop_v_read')} V instead of 0.4 V. The array is its "
                "circuit cell by cell, with sense nodes at rest."
            )
    elif attribute(forward, "ir_drop", 0.0):
        notes.append(
            f"{layer}: forward.ir_drop = {attribute(forward, 'ir_drop')} is a formula in aihwkit, "
            "not a circuit; wires are ideal here."
        )
    names = ", ".join(n for n in vars(forward) if not n.startswith("ir_drop") and n != "values")
    notes.append(f"{layer}: converters and noise of reads are left out (forward: {names}).")
    model = attribute(config, "noise_model")
    if isinstance(model, StandIn):
        names = ", ".join(n for n in vars(model) if n not in ("g_converter", "g_max", "values"))
        notes.append(
            f"{layer}: weights stand as they were saved; programming noise and drift of "
            f"{type(model).__name__} are not drawn ({names})."
        )
    return notes


def write(path: str | Path, crossbar: Crossbar) -> list[str]:
    """Write an array of pairs as weights and numbers for an aihwkit layer, with `torch.save`.

    Args:
        path: the file. It holds ``weight`` (outputs, inputs) between -1 and 1, ``g_min`` and
            ``g_max`` (uS), ``ir_drop_rs`` (ohm) and ``max_input_size``, for
            ``AnalogLinear(..., bias=False, rpu_config=...)`` and its ``set_weights``.
        crossbar: word lines ``2 i, 2 i + 1`` for +V and -V at one node of each bit line, with one
            device of each pair at the smallest conductance; wires as `read` gives them.

    Returns:
        What to know about it.

    Raises:
        InputError: aihwkit cannot express the array; says what. StoreError: the file cannot be
            written. PackageMissingError: no torch.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise missing_package(error) from None
    path = Path(path)
    R = _pair_wires(crossbar)
    positive, negative = crossbar.G[::2], crossbar.G[1::2]
    low, high = float(crossbar.G.min()), float(crossbar.G.max())
    if (np.minimum(positive, negative) > low).any():
        raise broken_rule(
            "aihwkit keeps one device of each pair at the smallest conductance",
            f"pairs above {low:g} S with both devices",
            "Write it as .mat.",
        )
    if high == low:
        raise broken_rule("an array for aihwkit must hold weights", "equal devices", "Write .mat.")
    W = ((positive - negative) / (high - low)).T
    content = {
        "weight": torch.from_numpy(np.ascontiguousarray(W)),
        "g_min": low / _MICRO,
        "g_max": high / _MICRO,
        "ir_drop_rs": R,
        "max_input_size": len(positive),
    }
    with store_errors("the weights", path), whole_file(path) as partial:
        torch.save(content, partial)
    return [
        "aihwkit makes these conductances of the weights with SinglePairConductanceConverter("
        "g_max=..., g_min=...), in single precision."
    ]


def _pair_wires(crossbar: Crossbar) -> float:
    """Resistance from cell to cell of an array as aihwkit has it, ohm."""
    if crossbar.batch or crossbar.device.name != "ohmic" or crossbar.rows % 2:
        raise broken_rule(
            "aihwkit's tile is one array of ohmic devices in pairs of rows",
            repr(crossbar),
            "Write a netlist (`xbarspice netlist`).",
        )
    R = pair_segment(crossbar) if np.any(crossbar.R_bl) else 0.0
    ends = READ if not R else _both_sides(crossbar.cols)
    kinds = ends.word_lines(crossbar.rows), ends.bit_lines(crossbar.cols)
    same = np.array_equal(kinds[0], crossbar.wl_ends) and np.array_equal(kinds[1], crossbar.bl_ends)
    ideal = not any(np.any(crossbar.wires[name]) for name in ("R_wl", "R_driver"))
    if R is None or not same or not ideal or np.any(crossbar.R_sense != R / 2):
        raise broken_rule(
            "aihwkit's tile has ideal word lines, pairs at one node, one resistance from cell to "
            "cell and half of it at the end: even bit lines sensed at the bottom, odd at the top "
            "(all at the bottom without resistance)",
            repr(crossbar),
            "Write it as .mat, or as a netlist.",
        )
    return float(R)
