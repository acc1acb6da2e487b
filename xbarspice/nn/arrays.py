"""The physical arrays of a converted model: what is drawn, programmed, measured and simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.line_ends import READ, places
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of
from xbarspice.core.wires import WIRES, Resistance, resistances_of
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.mapping.reads import LineOrder
from xbarspice.mapping.tile import Tile
from xbarspice.nn.layers import crossbar_layers, matrices_of

__all__ = ["arrays", "place_lines", "put_conductances", "put_wires", "tiles"]


def tiles(circuit: nn.Module) -> list[Tile]:
    """All arrays of a converted model as programmed, once a matrix, in the model's order."""
    return [tile for layer in crossbar_layers(circuit).values() for tile in layer.tiles()]


def arrays(circuit: nn.Module) -> list[PhysicalArray]:
    """All physical arrays of a converted model, in the model's order."""
    by_name: dict[str, list[Tile]] = {}
    for tile in tiles(circuit):
        by_name.setdefault(tile.array, []).append(tile)
    for group in by_name.values():
        group.sort(key=lambda tile: tile.read.reverse)
    return [
        PhysicalArray(name=name, crossbar=group[0].crossbar, tiles=tuple(group))
        for name, group in by_name.items()
    ]


def put_conductances(circuit: nn.Module, G: Mapping[str, npt.ArrayLike] | None) -> None:
    """Let arrays hold these conductances in evaluation, whatever the weights say.

    For devices that were programmed or measured. Arrays that are not named keep what they hold.

    Args:
        circuit: a converted model; training draws are not changed.
        G: by name of the physical array, S, (rows, cols); None: what the weights say again.

    Raises:
        InputError: no array has that name, or a shape or value does not fit.
    """
    matrices = {matrix.name: matrix for matrix in matrices_of(circuit)}
    if G is None:
        for matrix in matrices.values():
            matrix.conductances = None
        return
    by_name = {array.name: array for array in arrays(circuit)}
    unknown = sorted(set(G) - set(by_name))
    if unknown:
        raise broken_rule(
            "conductances belong to arrays of the model",
            unknown,
            f"Its arrays are {list(by_name)[:10]}.",
        )
    checked = {
        name: _check_conductances(name, value, by_name[name].crossbar) for name, value in G.items()
    }
    changed: dict[str, Array] = {}
    for name, value in checked.items():
        first = by_name[name].tiles[0]
        order, place = first.read.order, (first.group, first.row, first.col)
        if order is not None and order.array is not None:
            held = replace(order.array, G=tuple(map(tuple, value.tolist())))
            matrix = matrices[first.matrix]
            matrix.orders = {**matrix.orders, place: replace(order, array=held)}
        for tile in by_name[name].tiles:
            if tile.matrix not in changed:
                changed[tile.matrix] = _whole(circuit, tile.matrix)
            part = np.s_[tile.group, slice(*tile.lines), slice(*tile.columns)]
            changed[tile.matrix][part] = tile.read.take(value)
    for name, value in changed.items():
        matrices[name].conductances = torch.from_numpy(value)


def place_lines(
    circuit: nn.Module,
    lines: Mapping[str, LineOrder | tuple[npt.ArrayLike, npt.ArrayLike]] | None,
) -> None:
    """Let other word and bit lines of arrays carry what stands on them.

    A line takes the place only of one that does the same in every read. On a tiled array the two
    bit lines of a pair stay neighbours, + before -. What the arrays hold moves with the lines:
    draws of `variation` are made anew for the place where a device stands, and conductances that
    were put stay with their weights; put measured ones after placing.

    Args:
        circuit: a converted model.
        lines: by name of the physical array (rows, cols): ``rows[i]`` is the word line that carries
            the row which line i carries where nothing is placed, (rows,), and ``cols`` likewise the
            bit lines, (cols,). A `LineOrder` with an `array` stands on more lines than it needs:
            all devices there are solved. On a side with spare lines any line may carry any other,
            whatever it is connected to. Errors of `variation` are then drawn as without placing.
            Arrays that are not named keep theirs. None: no line is placed.

    Raises:
        InputError: no array has that name, or an order does not fit.
    """
    matrices = {matrix.name: matrix for matrix in matrices_of(circuit)}
    if lines is None:
        for matrix in matrices.values():
            matrix.orders = {}
        return
    by_name = {array.name: array for array in arrays(circuit)}
    unknown = sorted(set(lines) - set(by_name))
    if unknown:
        raise broken_rule(
            "lines belong to arrays of the model", unknown, f"Its arrays are {list(by_name)[:10]}."
        )
    tile_of = {name: _place_of(by_name[name]) for name in lines}
    before = {name: matrices[matrix].orders for name, (matrix, _) in tile_of.items()}
    for matrix, place in tile_of.values():
        orders = matrices[matrix].orders
        matrices[matrix].orders = {at: order for at, order in orders.items() if at != place}
    try:
        plain = {array.name: array for array in arrays(circuit)}
        orders = {name: _order(plain[name], order) for name, order in lines.items()}
        for name, order in orders.items():
            _refuse_wires(name, order, matrices[tile_of[name][0]].wires.get(tile_of[name][1], {}))
    except InputError:
        for name, (matrix, _) in tile_of.items():
            matrices[matrix].orders = before[name]
        raise
    for name, (matrix, place) in tile_of.items():
        matrices[matrix].orders = {**matrices[matrix].orders, place: orders[name]}


def _place_of(array: PhysicalArray) -> tuple[str, tuple[int, int, int]]:
    """The matrix that is read first on an array, and its tile."""
    tile = array.tiles[0]
    return tile.matrix, (tile.group, tile.row, tile.col)


def _refuse_wires(name: str, order: LineOrder, wires: Mapping[str, Resistance]) -> None:
    """Raise if wires of an array cannot be those of the larger one."""
    shapes = {word: np.shape(R) for word, R in wires.items() if np.ndim(R)}
    if order.array is None or not shapes:
        return
    rows, cols = order.array.shape
    allowed = places((READ.word_lines(rows), READ.bit_lines(cols)))
    if any(shape != allowed[word] for word, shape in shapes.items()):
        raise broken_rule(
            f"wires of {name} must be those of the {rows} x {cols} array that it stands on",
            shapes,
            "Place its lines first, then put the wires of that array.",
        )


def put_wires(circuit: nn.Module, wires: Mapping[str, Mapping[str, npt.ArrayLike]] | None) -> None:
    """Give arrays wires of their own, such as those that were extracted from a drawing.

    They are those of the physical lines: where lines are placed, they do not move.

    Args:
        circuit: a converted model.
        wires: by name of the physical array (rows, cols) and of the resistance, ohm: one number, or
            ``R_wl`` (rows, cols - 1), ``R_bl`` (rows - 1, cols), ``R_driver`` (rows,), the leads of
            its word lines, and ``R_sense`` (cols,), those of its bit lines. Resistances that are
            not named are those of its configuration, arrays that are not named keep what they have.
            None: all arrays have those of their configuration.

    Raises:
        InputError: no array or resistance has that name, or a shape or value does not fit.
    """
    matrices = {matrix.name: matrix for matrix in matrices_of(circuit)}
    by_name = {array.name: array for array in arrays(circuit)}
    unknown = sorted(set(wires or ()) - set(by_name))
    if unknown:
        raise broken_rule(
            "wires belong to arrays of the model", unknown, f"Its arrays are {list(by_name)[:10]}."
        )
    checked = {name: _check_wires(by_name[name], R) for name, R in (wires or {}).items()}
    for matrix in matrices.values():
        matrix.forget()
        if wires is None:
            matrix.wires = {}
    for name, own in checked.items():
        tile = by_name[name].tiles[0]
        matrix, place = matrices[tile.matrix], (tile.group, tile.row, tile.col)
        kept = {at: R for at, R in matrix.wires.items() if at != place}
        matrix.wires = {**kept, **({place: own} if own else {})}


def _check_wires(array: PhysicalArray, wires: Mapping[str, npt.ArrayLike]) -> dict[str, Resistance]:
    """The resistances of an array, checked."""
    unknown = sorted(set(wires) - set(WIRES))
    if unknown:
        raise broken_rule(f"wires of {array.name} are among {WIRES}", unknown, "Use these names.")
    shape = array.crossbar.G.shape
    shapes = places((READ.word_lines(shape[0]), READ.bit_lines(shape[1])))
    try:
        return {name: resistances_of(name, R, shapes[name], ()) for name, R in wires.items()}
    except InputError as error:
        raise InputError(f"{array.name}: {error}") from None


def _order(
    array: PhysicalArray, lines: LineOrder | tuple[npt.ArrayLike, npt.ArrayLike]
) -> LineOrder:
    """The checked order of an array's lines; no line of the array is placed yet."""
    larger = lines.array if isinstance(lines, LineOrder) else None
    sides = (lines.rows, lines.cols) if isinstance(lines, LineOrder) else lines
    available = array.crossbar.G.shape if larger is None else larger.shape
    out = []
    for side, order, groups, most in zip(
        ("rows", "cols"), sides, array.like_lines, available, strict=True
    ):
        numbers = np.asarray(order)
        count = sum(len(group) for group in groups)
        if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
            raise broken_rule(
                f"{side} of {array.name} must be {count} numbers of lines",
                f"shape {numbers.shape}, {numbers.dtype}",
                "Give one line for each.",
            )
        if most > count:
            _check_some(f"{side} of {array.name}", numbers, most)
        elif any(sorted(numbers[group].tolist()) != group.tolist() for group in groups):
            raise broken_rule(
                f"{side} of {array.name} must permute lines that do the same in every read",
                numbers.tolist()[:20],
                f"Its groups are {[group.tolist()[:20] for group in groups]}.",
            )
        out.append(tuple(numbers.tolist()))
    if array.bit_lines_in_pairs and any(
        a % 2 or b != a + 1 for a, b in zip(out[1][::2], out[1][1::2], strict=True)
    ):
        raise broken_rule(
            f"the pairs of bit lines of {array.name} must stay together, + before -",
            list(out[1][:20]),
            "Move pairs (0, 1), (2, 3), ... as wholes.",
        )
    return LineOrder(rows=out[0], cols=out[1], array=larger)


def _check_some(name: str, lines: Indices, count: int) -> None:
    """Raise unless these are some of the lines of an array, each once."""
    if len(set(lines.tolist())) != len(lines) or lines.min() < 0 or lines.max() >= count:
        raise broken_rule(
            f"{name} must be lines 0 to {count - 1} of the larger array, each once",
            lines.tolist()[:20],
            "Give every line another place.",
        )


def _check_conductances(name: str, value: npt.ArrayLike, crossbar: Crossbar) -> Array:
    out = array_of(f"G of {name}", value, rank=2, remedy="Give conductances in S, 0 for none.")
    if out.shape != crossbar.G.shape or (out < 0).any():
        raise broken_rule(
            f"G of {name} must be {crossbar.rows} x {crossbar.cols} numbers >= 0",
            f"shape {out.shape}, smallest {out.min() if out.size else 0:g}",
            "Give conductances in S, 0 for none.",
        )
    return out


def _whole(circuit: nn.Module, name: str) -> Array:
    """Conductances of a whole matrix as they stand, S, (groups, lines, columns)."""
    for layer in crossbar_layers(circuit).values():
        for matrix, weight, bias in layer.weight_matrices():
            if layer.matrices[matrix].name == name:
                with torch.no_grad():
                    G = layer.matrices[matrix].program(weight, bias, training=False).G
                return G.double().cpu().numpy().copy()
    raise AssertionError(f"no matrix {name}")
