"""Sentences on what the arrays of a model hold other than its configuration and weights say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import nn

from xbarspice.core.wires import WIRES, as_text
from xbarspice.nn import arrays, copy_circuit, crossbar_layers, put_conductances

__all__ = ["correction_notes", "device_notes", "own_wires", "wire_notes", "without_array_notes"]

_REMEDIES = (
    "xb.nn.put_conductances(circuit, None) takes them away.",
    "xb.nn.put_wires(circuit, None) takes them away.",
    "xb.nn.put_corrections(circuit, None) takes them away.",
)


def device_notes(circuit: nn.Module) -> tuple[str, ...]:
    """The note on conductances that were put on the arrays; none where none were."""
    layers = crossbar_layers(circuit).values()
    if all(m.conductances is None for layer in layers for m in layer.matrices.values()):
        return ()
    holds, nominal = arrays(circuit), copy_circuit(circuit)
    put_conductances(nominal, None)
    pairs = zip(holds, arrays(nominal), strict=True)
    changed = sum(not np.array_equal(a.crossbar.G, b.crossbar.G) for a, b in pairs)
    return (
        f"{changed} of {len(holds)} arrays hold devices as programmed or measured, not what the "
        f"weights ask for; {_REMEDIES[0]}",
    )


def wire_notes(circuit: nn.Module) -> tuple[str, ...]:
    """The note on arrays with wires of their own, with their range; none where there are none."""
    layers = crossbar_layers(circuit).values()
    each = [w for layer in layers for m in layer.matrices.values() for w in m.wires.values()]
    if not each:
        return ()
    values = {name: [np.ravel(w[name]) for w in each if name in w] for name in WIRES}
    ranges = (f"{name} {as_text(np.concatenate(R))}" for name, R in values.items() if R)
    return (
        f"{len(each)} of {len(arrays(circuit))} arrays have wires of their own, not those of the "
        f"configuration: {', '.join(ranges)} ohm; {_REMEDIES[1]}",
    )


def correction_notes(circuit: nn.Module) -> tuple[str, ...]:
    """The note on sums that are corrected after reading; none where none are."""
    layers = crossbar_layers(circuit).values()
    matrices = [m for layer in layers for m in layer.matrices.values()]
    corrected = sum(m.correction is not None for m in matrices)
    if not corrected:
        return ()
    return (
        f"the sums of {corrected} of {len(matrices)} matrices have digital gains and offsets, "
        f"which no device holds; {_REMEDIES[2]}",
    )


def own_wires(circuit: nn.Module) -> dict[str, set[str]]:
    """Names of the resistances that arrays of a matrix have of their own, by name of the matrix."""
    layers = crossbar_layers(circuit).values()
    matrices = {m.name: m for layer in layers for m in layer.matrices.values()}
    out: dict[str, set[str]] = {}
    if not any(m.wires for m in matrices.values()):
        return out
    for array in arrays(circuit):
        first = array.tiles[0]
        wires = matrices[first.matrix].wires.get((first.group, first.row, first.col), {})
        for tile in array.tiles:
            out.setdefault(tile.matrix, set()).update(wires)
    return out


def without_array_notes(notes: Iterable[str]) -> list[str]:
    """Notes to keep with a file: without those that follow from what its arrays hold."""
    return [note for note in notes if not note.endswith(_REMEDIES)]
