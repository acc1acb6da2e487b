"""The arrays of a converted model in a tapeout: their names, and where each weight stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import WIRES, as_record
from xbarspice.netlist.design import name_of, refuse_name
from xbarspice.nn import arrays, crossbar_layers, tiles
from xbarspice.tapeout.sites import ARRAYS, Site, drawn_array

__all__ = ["layers_record", "sites", "wires_record"]

_LONGEST = 40


def sites(circuit: Any, name: str | None = None, only: Sequence[str] | None = None) -> list[Site]:
    """The arrays of a converted model with their names in a tapeout.

    Names of layers may hold any character, so a folder is the array's number and what its name has
    of letters and digits. Numbers are those in the whole model, whatever is chosen.

    Args:
        circuit: a converted model.
        name: of the design; None for one that follows from the content of all arrays.
        only: names of the arrays that are wanted; None for all.

    Raises:
        InputError: nothing is on arrays, no array has that name, or the name breaks the rule of
            `refuse_name`.
    """
    every = arrays(circuit)
    if not every:
        raise broken_rule(
            "a model on arrays is needed", type(circuit).__name__, "Convert it: xb.nn.convert."
        )
    names = [array.name for array in every]
    unknown = sorted(set(only or ()) - set(names))
    if unknown or (only is not None and not only):
        raise broken_rule(
            "an array is chosen by its name in the model",
            ", ".join(unknown) or "no name",
            f"It has {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}.",
        )
    if name is None:
        name = name_of([drawn_array(array) for array in every])
    refuse_name(name)
    width = len(str(len(every) - 1))
    refuse_name(f"{name}_a{'0' * width}")
    return [
        Site(
            array=array,
            cell=f"{name}_a{k:0{width}d}",
            folder=f"{ARRAYS}/{f'{k:0{width}d}_{_slug(array.name)}'.strip('_')}",
        )
        for k, array in enumerate(every)
        if only is None or array.name in only
    ]


def _slug(name: str) -> str:
    """Letters and digits of a name, the last ones if it is long: there stands the tile."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[-_LONGEST:].strip("_")


def layers_record(circuit: Any, count: dict[str, int]) -> list[dict[str, Any]]:
    """From every layer on arrays to its matrices, their tiles and the arrays of these.

    Args:
        circuit: with the wires as drawn.
        count: reads of every matrix that the inputs cause.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    wires = wires_record(circuit)
    for tile in tiles(circuit):
        parts.setdefault(tile.matrix, []).append(
            {
                "tile": tile.name,
                "group": tile.group,
                "row": tile.row,
                "col": tile.col,
                "lines": list(tile.lines),
                "columns": list(tile.columns),
                "array": tile.array,
            }
        )
    return [
        {
            "layer": name,
            "matrices": [
                {
                    "matrix": matrix.name,
                    "V_read": matrix.config.V_read,
                    "wires": wires[matrix.name],
                    "reads": count.get(matrix.name, 0),
                    "tiles": parts[matrix.name],
                }
                for matrix in layer.matrices.values()
            ],
        }
        for name, layer in crossbar_layers(circuit).items()
        if layer.matrices
    ]


def wires_record(circuit: Any) -> dict[str, dict[str, float | dict[str, float]]]:
    """Resistances of the arrays of every matrix, ohm: a number, or the smallest and largest."""
    of_arrays: dict[str, list[dict[str, Any]]] = {}
    for tile in tiles(circuit):
        wires = tile.read.wires(tile.crossbar.wires)
        of_arrays.setdefault(tile.matrix, []).append(wires)
    return {
        matrix: {name: as_record(*(wires[name] for wires in each)) for name in WIRES}
        for matrix, each in of_arrays.items()
    }
