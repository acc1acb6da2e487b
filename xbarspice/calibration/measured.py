"""A model on measured arrays: what their devices cost it, and what tuning can save.

A device that conducts beyond the thresholds is stuck: it keeps its measured conductance. The others
may be tuned to what the weights ask for. The partner of a stuck device, the other one of its pair,
can be tuned so that the difference of the pair stays, as far as the range allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from xbarspice.calibration.die import Die, Thresholds, read_die
from xbarspice.calibration.lines import compensate
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Flags
from xbarspice.nn import PhysicalArray, arrays, copy_circuit, put_conductances
from xbarspice.programming.circuits import compare
from xbarspice.variability import Compose, StuckDevices, Variation

__all__ = [
    "CASES",
    "MeasuredArray",
    "drawn_errors",
    "judge",
    "on_devices",
    "read_dies",
    "with_partners",
    "without_stuck",
]


CASES = ("as measured", "healthy devices on target", "healthy devices and partners on target")


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredArray:
    """A physical array of a model and the measured die that it is.

    Attributes:
        array: of the model, with the conductances that its weights ask for.
        die: what was measured.
        limits: from which conductance a device counts as stuck.
        file: name of the table.
    """

    array: PhysicalArray
    die: Die
    limits: Thresholds
    file: str

    @property
    def used(self) -> Flags:
        """Devices of lines that carry something, (rows, cols)."""
        out = np.zeros(self.array.crossbar.G.shape, bool)
        for tile in self.array.tiles:
            out = tile.read.put(True, out)
        return out

    @property
    def kept(self) -> Flags:
        """Devices that keep what was measured, (rows, cols): stuck ones, and those of spare lines.

        Devices that the weights leave out are not stuck.
        """
        stuck = (self.die.stuck(self.limits) != 0) & (self.array.crossbar.G > 0)
        return stuck | ~self.used


def read_dies(
    circuit: nn.Module,
    files: Sequence[tuple[str | None, Path]],
    *,
    unit: str | None = None,
    above: float = 1.1,
    below: float = 0.9,
) -> list[MeasuredArray]:
    """Read measured tables and say which physical array of a model each of them is.

    Args:
        circuit: a converted model.
        files: name of the array and its table; without names they are taken in the model's order,
            one for every array.
        unit: as of `read_die`.
        above, below: factors of `Thresholds`.

    Raises:
        InputError: a name is unknown or comes twice, tables and arrays differ in number or size, or
            a table cannot be read.
    """
    by_name = {array.name: array for array in arrays(circuit)}
    names = [name for name, _ in files if name is not None]
    if not names and len(files) == len(by_name):
        names = list(by_name)
    if len(names) != len(files) or len(set(names)) != len(names) or set(names) - set(by_name):
        raise broken_rule(
            "every measured table must name one array of the model, NAME=FILE, or there must be "
            "one table for every array, in the model's order",
            f"{len(files)} tables, names {names}",
            f"The model has {len(by_name)} arrays: {list(by_name)[:10]}.",
        )
    out = []
    for name, (_, path) in zip(names, files, strict=True):
        array, die = by_name[name], read_die(path, unit)
        shape = array.crossbar.G.shape
        if die.G.shape != shape:
            raise broken_rule(
                f"the table of {name} must be {shape[0]} x {shape[1]}",
                f"{die.G.shape[0]} x {die.G.shape[1]} in `{path.name}`",
                "Give the table of that array, or map the model onto arrays of that size.",
            )
        config = array.tiles[0].config
        limits = Thresholds(G_min=config.G_min, G_max=config.G_max, above=above, below=below)
        out.append(MeasuredArray(array=array, die=die, limits=limits, file=path.name))
    return out


def with_partners(measured: MeasuredArray) -> Array:
    """Targets with the partners of stuck devices moved so that pairs keep their differences, S."""
    array, fixed = measured.array, measured.kept
    config, reads = array.tiles[0].config, [tile.read for tile in array.tiles]
    limits = (config.G_min, config.G_max)
    target = compensate(reads, array.crossbar.G, fixed, measured.die.G, limits)
    return np.where(fixed, measured.die.G, target)


def judge(
    circuit: nn.Module,
    measured: Sequence[MeasuredArray],
    arguments: tuple[Any, ...],
    labels: Any,
    *,
    engine: str = "surrogate",
    errors: Variation | None = None,
    transfers: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> dict[str, Any]:
    """What measured devices cost a model.

    Args:
        circuit: a converted model.
        measured: its measured arrays; the others hold what the weights ask for.
        arguments: of the model.
        labels: classes, (points,), or None.
        engine: who solves the arrays.
        errors: of tuned devices; its stuck devices are left out, those of the dies stand for them.
        transfers: draws of these errors.
        seed: of the draws.
        progress: called with (forward passes done, in all).

    Returns:
        For every one of `CASES` what `program_circuit.compare` gives; with `transfers` also
        ``tuned``: for the last two cases mean and lowest accuracy (None without labels) and mean
        change of the outputs.
    """
    G = {
        CASES[0]: {m.array.name: m.die.G * (m.array.crossbar.G > 0) for m in measured},
        CASES[1]: {m.array.name: np.where(m.kept, m.die.G, m.array.crossbar.G) for m in measured},
        CASES[2]: {m.array.name: with_partners(m) for m in measured},
    }
    total, count = len(CASES) + 2 * transfers, 0
    out: dict[str, Any] = {"cases": {}, "tuned": {}, "transfers": transfers}
    for name in CASES:
        out["cases"][name] = _compare(circuit, G[name], arguments, labels, engine)
        progress(count := count + 1, total)
    if errors is None:
        return out
    for name in CASES[1:] if transfers else ():
        draws = []
        for k in range(transfers):
            drawn = drawn_errors(measured, G[name], without_stuck(errors), seed, k)
            draws.append(_compare(circuit, drawn, arguments, labels, engine))
            progress(count := count + 1, total)
        right = [s["accuracy"]["reached"] for s in draws]
        labelled = None not in right
        out["tuned"][name] = {
            "mean": float(np.mean(right)) if labelled else None,
            "lowest": min(right) if labelled else None,
            "output_change": float(np.mean([s["output_change"] for s in draws])),
        }
    return out


def _compare(
    circuit: nn.Module, G: Mapping[str, Array], arguments: tuple[Any, ...], labels: Any, engine: str
) -> dict[str, Any]:
    return compare(circuit, on_devices(circuit, G), arguments, labels, engine)


def on_devices(circuit: nn.Module, G: Mapping[str, Array]) -> Any:
    """A copy of a converted model whose arrays hold these conductances, S."""
    out = copy_circuit(circuit)
    put_conductances(out, G)
    return out


def without_stuck(errors: Variation) -> Compose:
    """Errors of devices that can be tuned."""
    parts = errors.parts if isinstance(errors, Compose) else (errors,)
    return Compose([part for part in parts if not isinstance(part, StuckDevices)])


def drawn_errors(
    measured: Sequence[MeasuredArray], G: Mapping[str, Array], errors: Compose, seed: int, k: int
) -> dict[str, Array]:
    """Conductances with one draw of the errors on all devices that are not stuck."""
    out = {}
    for m in measured:
        name = m.array.name
        tuned = errors.apply(G[name], child_rng(seed, f"{name}: tuning {k}"))
        out[name] = np.where(m.kept, m.die.G, tuned)
    return out
