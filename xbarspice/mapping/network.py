"""Weights <-> conductance pairs, and where each layer of a network stands on passive arrays.

A weight w becomes two devices, ``G_pos - G_neg = (G_max - G_min) w / w_scale``, the smaller of
them at `G_min` (Drolet et al. 2023, arXiv:2305.18495). The pair stands either in two output lines
that are subtracted (`pair="outputs"`) or in two input lines that are driven with +V and -V
(`pair="inputs"`). A bias is one more input, driven with a constant voltage.

Layouts:
    tiled: every layer on arrays of its own, cut evenly to at most `tile_rows` x `tile_cols`; inputs
        on the word lines, pairs in neighbouring bit lines (even +, odd -).
    folded: a two-layer network on one array, read in two passes. Word lines ``2 i, 2 i + 1`` carry
        +V and -V of input i (then of the bias) and the bit lines are the hidden neurons; below
        them two word lines an output are sensed while the hidden values drive the bit lines.
        The paper's 2-8-1 network fills one 8x8 array this way: 2 (16 + 8 + 8) devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xbarspice.array import READ, Crossbar, End, LineEnds
from xbarspice.devices import Device
from xbarspice.errors import broken_rule
from xbarspice.mapping.tiling import edges
from xbarspice.network import Network
from xbarspice.values import array_of, number_of, whole_number_of

__all__ = [
    "Block", "Layer", "MappedNetwork", "layer_scales", "map_network", "mapping_settings",
    "pair_conductances", "pair_weights", "with_range",
]  # fmt: skip

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


def pair_conductances(W: Any, w_scale: Any, G_min: float, G_max: float) -> tuple[Any, Any]:
    """Conductances (S) of the positive and negative device of each weight; any array or tensor.

    Args:
        W: weights; |W| <= w_scale.
        w_scale: weight that corresponds to the full conductance range.
        G_min, G_max: conductance range of the devices, S.
    """
    span = (G_max - G_min) / w_scale
    return G_min + span * W.clip(min=0), G_min + span * (-W).clip(min=0)


def pair_weights(G_pos: Any, G_neg: Any, w_scale: Any, G_min: float, G_max: float) -> Any:
    """Weights that a pair of conductances (S) stands for: the inverse of `pair_conductances`."""
    return (G_pos - G_neg) * (w_scale / (G_max - G_min))


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How one layer's numbers become volts and amperes.

    Attributes:
        w_scale, b_scale: weight and bias that correspond to the full conductance range.
        x_scale: layer input that corresponds to `V_read`.
        V_bias: voltage that drives the bias line, V (0 without a bias line).
        gain: current difference that stands for a weighted sum of 1, A.
        digital_bias: added to the weighted sum after reading; (outputs,).
    """

    w_scale: float
    b_scale: float
    x_scale: float
    V_bias: float
    gain: float
    digital_bias: Array


@dataclass(frozen=True, kw_only=True)
class Block:
    """One rectangle of a layer on one array.

    Attributes:
        layer: index of the layer.
        array: index into `MappedNetwork.arrays`.
        inputs: layer inputs in this block, (k,); index `n_inputs` is the bias.
        outputs: layer outputs in this block, (o,).
        lines_in: line number of each input, (k, 2) for +V and -V; (k, 1) if undivided.
        lines_out: line number of each output, (o, 2) for + and -; (o, 1) if undivided.
        reverse: inputs drive the bit lines and the word lines are sensed.
        ends: line ends while this block is read.
    """

    layer: int
    array: int
    inputs: Index
    outputs: Index
    lines_in: Index
    lines_out: Index
    reverse: bool = False
    ends: LineEnds = READ


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedNetwork:
    """A network on its arrays: everything that an engine and a tester need to know.

    Attributes:
        network, arrays, layers, blocks: the network and where it stands.
        G_min, G_max: conductance range, S.
        V_read: voltage of a full-scale input, V.
        card: text of the calibration card (see `xbarspice.card`) whose wires and device the arrays
            have; "": none.
        overruled: calibrated values that were set by hand instead, such as "array.R_wl".
    """

    network: Network
    arrays: tuple[Crossbar, ...]
    layers: tuple[Layer, ...]
    blocks: tuple[Block, ...]
    G_min: float
    G_max: float
    V_read: float
    card: str = ""
    overruled: tuple[str, ...] = ()

    def blocks_of(self, layer: int) -> list[Block]:
        """The blocks of one layer, in order."""
        return [block for block in self.blocks if block.layer == layer]

    def crossbar(self, block: Block) -> Crossbar:
        """The array of a block with the line ends of its reading pass.

        A line end has one lead, whichever way it is used: the arrays' `R_driver` is that of the
        word lines, `R_sense` that of the bit lines. A reverse pass drives bit lines and senses word
        lines, so the two change places in it.
        """
        array = self.arrays[block.array]
        if block.reverse and array.R_driver != array.R_sense:
            leads = {"R_driver": array.R_sense, "R_sense": array.R_driver}
            return array.replace(ends=_word_lines_at_0_V(block.ends, array.rows), **leads)
        return array if array.ends == block.ends else array.replace(ends=block.ends)

    def voltages(self, block: Block, x: Array) -> tuple[Array, Array]:
        """Line voltages (V_in, V_out) in V that present layer inputs x, (points, inputs)."""
        layer, array = self.layers[block.layer], self.arrays[block.array]
        volts = np.empty((len(x), block.inputs.size))
        is_bias = block.inputs == x.shape[1]
        volts[:, ~is_bias] = x[:, block.inputs[~is_bias]] * (self.V_read / layer.x_scale)
        volts[:, is_bias] = layer.V_bias
        V_in, V_out = np.zeros((len(x), array.rows)), np.zeros((len(x), array.cols))
        lines = V_out if block.reverse else V_in
        for sign, column in zip((1.0, -1.0), block.lines_in.T, strict=False):
            lines[:, column] = sign * volts
        return V_in, V_out

    def currents(self, block: Block, I_in: Array, I_out: Array) -> Array:
        """Current into the sense nodes of the block's output lines, A, (points, o, 1 or 2)."""
        return -I_in[:, block.lines_out] if block.reverse else I_out[:, block.lines_out]

    def partial_sums(self, block: Block, currents: Array) -> Array:
        """Weighted sums (without digital bias) that a block's currents stand for, (points, o)."""
        signed = (
            currents[..., 0] - currents[..., 1] if currents.shape[-1] == 2 else currents[..., 0]
        )
        return signed / self.layers[block.layer].gain

    def with_conductances(self, G: tuple[Array, ...]) -> MappedNetwork:
        """The same network on arrays with other conductances, S: one (rows, cols) an array."""
        arrays = tuple(a.replace(G=g) for a, g in zip(self.arrays, G, strict=True))
        return MappedNetwork(**{**self.__dict__, "arrays": arrays})


def _word_lines_at_0_V(ends: LineEnds, rows: int) -> LineEnds:
    """Line ends of a reverse pass whose word lines are all called sensed.

    No word line carries an input then: one that is held at 0 V beside the sensed ones is the same
    circuit, and sensed it meets the lead of the word lines.
    """
    left, right = (
        tuple(End.SENSED if end == End.DRIVEN else end for end in side)
        for side in ends.word_lines(rows).T
    )
    return LineEnds(**{**ends.__dict__, "wl_left": left, "wl_right": right})


def layer_scales(
    W: Array, b: Array | None, x_scale: float, G_min: float, G_max: float, V_read: float
) -> Layer:
    """Scales of one layer; `b` is None if the bias is added digitally (fill it in afterwards).

    Weights and biases are scaled by their own largest magnitude. Where the bias line would need
    more than `V_read`, the weight scale grows until it needs just that.
    """
    w_scale = float(np.max(np.abs(W))) or 1.0
    b_scale = float(np.max(np.abs(b))) if b is not None else 0.0
    w_scale = max(w_scale, b_scale / x_scale)
    return Layer(
        w_scale=w_scale,
        b_scale=b_scale,
        x_scale=x_scale,
        V_bias=V_read * b_scale / (w_scale * x_scale),
        gain=V_read * (G_max - G_min) / (w_scale * x_scale),
        digital_bias=np.zeros(W.shape[1]),
    )


def map_network(
    network: Network,
    *,
    layout: Literal["tiled", "folded"] = "tiled",
    tile_rows: int = 64,
    tile_cols: int = 64,
    G_min: float = 100e-6,
    G_max: float = 500e-6,
    V_read: float = 0.2,
    bias: Literal["array", "hidden", "digital"] = "hidden",
    x_scale: tuple[float, ...] | None = None,
    R_wl: float = 1.0,
    R_bl: float = 1.0,
    R_driver: float = 0.0,
    R_sense: float = 0.0,
    device: str | Device = "ohmic",
) -> MappedNetwork:
    """Map a network's weights to conductance pairs on passive arrays.

    Args:
        network: the trained network.
        layout: "tiled" or "folded"; see the module text.
        tile_rows, tile_cols: largest array that may be built.
        G_min, G_max: conductance range of the devices, S; 0 <= G_min < G_max.
        V_read: voltage that stands for a full-scale input, V.
        bias: which biases are devices: all, those of the hidden layers, or none.
        x_scale: largest |input| of each layer; None means 1 everywhere (inputs and activations
            within [-1, 1]); see `calibrate_inputs` for networks with other ranges.
        R_wl, R_bl, device: as in `Crossbar`.
        R_driver, R_sense: leads of the word lines' and of the bit lines' ends, ohm; see
            `MappedNetwork.crossbar` for passes in the other direction.

    Raises:
        InputError: the range is empty, the network does not fit the layout, or a wire or device
            argument breaks a rule of `Crossbar`.
    """
    G_min, G_max = number_of("G_min", G_min), number_of("G_max", G_max)
    V_read = number_of("V_read", V_read)
    tile_rows, tile_cols = (
        whole_number_of(name, count, low=1, remedy="Count the lines of one array.")
        for name, count in (("tile_rows", tile_rows), ("tile_cols", tile_cols))
    )
    _check_range(G_min, G_max, V_read, tile_rows, tile_cols)
    scales = _input_scales(network, x_scale)
    last = len(network.W) - 1
    layers, pairs = [], []
    for k, (W, b) in enumerate(zip(network.W, network.b, strict=True)):
        on_array = (bias == "array" or (bias == "hidden" and k < last)) and bool(np.any(b))
        layer = layer_scales(W, b if on_array else None, scales[k], G_min, G_max, V_read)
        if not on_array:
            layer = Layer(**{**layer.__dict__, "digital_bias": np.array(b)})
        pos, neg = pair_conductances(W, layer.w_scale, G_min, G_max)
        if on_array:
            extra = pair_conductances(b[None, :], layer.b_scale, G_min, G_max)
            pos, neg = np.vstack([pos, extra[0]]), np.vstack([neg, extra[1]])
        layers.append(layer)
        pairs.append((pos, neg))
    place = {"tiled": _place_tiled, "folded": _place_folded}.get(layout)
    if place is None:
        raise broken_rule("`layout` must be 'tiled' or 'folded'", repr(layout), "Use one of them.")
    G, blocks = place(pairs, tile_rows, tile_cols)
    wires: dict[str, Any] = {"R_wl": R_wl, "R_bl": R_bl, "R_driver": R_driver, "R_sense": R_sense}
    return MappedNetwork(
        network=network,
        arrays=tuple(Crossbar(g, **wires, device=device) for g in G),
        layers=tuple(layers),
        blocks=tuple(blocks),
        G_min=G_min,
        G_max=G_max,
        V_read=V_read,
    )


def mapping_settings(mapped: MappedNetwork) -> dict[str, Any]:
    """Arguments of `map_network` that place and scale a network as this one is: its `[mapping]`."""
    last = len(mapped.layers) - 1
    on_array = {b.layer for b in mapped.blocks if mapped.network.W[b.layer].shape[0] in b.inputs}
    hidden = any(np.any(b) for b in mapped.network.b[:-1])
    return {
        "layout": "folded" if any(b.reverse for b in mapped.blocks) else "tiled",
        "tile_rows": max(a.rows for a in mapped.arrays),
        "tile_cols": max(2, *(a.cols for a in mapped.arrays)),
        "G_min": mapped.G_min,
        "G_max": mapped.G_max,
        "V_read": mapped.V_read,
        "bias": "array" if last in on_array else "hidden" if on_array or not hidden else "digital",
        "x_scale": tuple(layer.x_scale for layer in mapped.layers),
    }


def with_range(mapped: MappedNetwork, G_min: float, G_max: float) -> MappedNetwork:
    """The same network in another conductance range, S; absent devices stay absent.

    The mapping is affine in the conductances, so this is the network mapped into that range.
    """
    old, new = mapped.G_max - mapped.G_min, G_max - G_min
    arrays = tuple(
        a.replace(G=(G_min + (a.G - mapped.G_min) * (new / old)).clip(min=0) * (a.G > 0))
        for a in mapped.arrays
    )
    layers = tuple(
        Layer(**{**layer.__dict__, "gain": layer.gain * (new / old)}) for layer in mapped.layers
    )
    changes = {"arrays": arrays, "layers": layers, "G_min": G_min, "G_max": G_max}
    return MappedNetwork(**{**mapped.__dict__, **changes})


def calibrate_inputs(network: Network, x: npt.ArrayLike) -> tuple[float, ...]:
    """Largest |input| of every layer over some data, for `map_network(x_scale=...)`."""
    sums = network.forward(x)
    inputs = [network.inputs(x), *(network.activate(z) for z in sums[:-1])]
    return tuple(float(np.max(np.abs(h))) or 1.0 for h in inputs)


def _check_range(G_min: float, G_max: float, V_read: float, rows: int, cols: int) -> None:
    if not (0 <= G_min < G_max < np.inf):
        raise broken_rule(
            "the conductance range must satisfy 0 <= G_min < G_max", f"{G_min:g} and {G_max:g} S",
            "Give both in S, for example 100e-6 and 500e-6.",
        )  # fmt: skip
    if not 0 < V_read < np.inf:
        raise broken_rule("`V_read` must be > 0 V", V_read, "A usual value is 0.2.")
    if rows < 1 or cols < 2:
        raise broken_rule(
            "an array needs at least 1 row and 2 columns for a pair", f"{rows} x {cols}",
            "Raise tile_rows or tile_cols.",
        )  # fmt: skip


def _input_scales(network: Network, x_scale: tuple[float, ...] | None) -> tuple[float, ...]:
    scales = (1.0,) * len(network.W)
    if x_scale is not None:
        scales = tuple(array_of("x_scale", x_scale, rank=1, finite=False).tolist())
    if len(scales) != len(network.W) or not all(0 < s < np.inf for s in scales):
        raise broken_rule(
            f"`x_scale` must hold {len(network.W)} numbers > 0", scales,
            "Use mapping.calibrate_inputs on training data.",
        )  # fmt: skip
    return scales


Pairs = list[tuple[Array, Array]]


def _place_tiled(pairs: Pairs, tile_rows: int, tile_cols: int) -> tuple[list[Array], list[Block]]:
    G: list[Array] = []
    blocks = []
    for layer, (pos, neg) in enumerate(pairs):
        down, across = edges(pos.shape[0], tile_rows), edges(pos.shape[1], tile_cols // 2)
        for top, bottom in pairwise(down):
            for left, right in pairwise(across):
                part = np.s_[top:bottom, left:right]
                inputs = np.arange(pos.shape[0])[part[0]]
                outputs = np.arange(pos.shape[1])[part[1]]
                both = np.stack([pos[part], neg[part]], axis=-1)
                G.append(both.reshape(inputs.size, -1))
                blocks.append(
                    Block(
                        layer=layer,
                        array=len(G) - 1,
                        inputs=inputs,
                        outputs=outputs,
                        lines_in=np.arange(inputs.size)[:, None],
                        lines_out=np.arange(2 * outputs.size).reshape(-1, 2),
                    )
                )
    return G, blocks


def _place_folded(pairs: Pairs, tile_rows: int, tile_cols: int) -> tuple[list[Array], list[Block]]:
    need_rows = 2 * pairs[0][0].shape[0] + 2 * pairs[-1][0].shape[1]
    need_cols = pairs[0][0].shape[1]
    plain = len(pairs) == 2 and pairs[1][0].shape[0] == need_cols
    if not plain or need_rows > tile_rows or need_cols > tile_cols:
        raise broken_rule(
            "the folded layout needs two layers, no bias device in the second, and room for "
            f"{need_rows} x {need_cols} devices",
            f"{len(pairs)} layers on {tile_rows} x {tile_cols}",
            "Use layout='tiled', or a larger array.",
        )
    (pos0, neg0), (pos1, neg1) = pairs
    upper = np.stack([pos0, neg0], axis=1).reshape(-1, need_cols)
    lower = np.stack([pos1.T, neg1.T], axis=1).reshape(-1, need_cols)
    k = upper.shape[0]
    hidden, outputs = np.arange(need_cols), np.arange(pos1.shape[1])
    sensed = [End.DRIVEN] * k + [End.SENSED] * lower.shape[0]
    first = Block(
        layer=0,
        array=0,
        inputs=np.arange(pos0.shape[0]),
        outputs=hidden,
        lines_in=np.arange(k).reshape(-1, 2),
        lines_out=hidden[:, None],
    )
    second = Block(
        layer=1,
        array=0,
        inputs=hidden,
        outputs=outputs,
        lines_in=hidden[:, None],
        lines_out=k + np.arange(lower.shape[0]).reshape(-1, 2),
        reverse=True,
        ends=LineEnds(wl_left=tuple(sensed), bl_bottom=End.DRIVEN),
    )
    return [np.vstack([upper, lower])], [first, second]
