"""Where fits start: the array that was measured, with conductances that the data suggest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xbarspice.calibration.die import read_die
from xbarspice.calibration.measurements import Reads
from xbarspice.config import RunConfig
from xbarspice.config.arrays import with_stated_array
from xbarspice.core import hdf5
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.deployment import refuse_old
from xbarspice.deployment.kinds import is_deployment
from xbarspice.verification.array_file import KINDS, load_array

__all__ = ["crossbar_of_reads", "crossbar_of_sweeps"]


def crossbar_of_sweeps(measured: Reads, run: RunConfig) -> Crossbar:
    """Single devices with the mean slope of their sweeps, G (devices, 1, 1).

    Args:
        measured: sweeps of single devices.
        run: its `[array]` is what they stand in.

    Raises:
        InputError: a device's current is not in the direction of its voltage.
    """
    V, current = measured.V_in[:, 0], measured.I_out[:, 0]
    index, G = np.asarray(measured.array), []
    for k, name in enumerate(measured.labels):
        part = (index == k) & (np.abs(V) > 0)
        slope = (V * current)[part].sum() / max((V[part] ** 2).sum(), 1e-300)
        if not slope > 0:
            raise broken_rule(
                f"the sweep of device {name} must carry a current in the direction of its voltage",
                f"{slope:g} S",
                "Check the units, or change its sign with --flip-current.",
            )
        G.append(slope)
    return Crossbar(np.array(G)[:, None, None], **run.array.arguments())


def crossbar_of_reads(
    path: Path | None, run: RunConfig, shape: tuple[int, int], free: list[str]
) -> Crossbar:
    """The array that was measured, with starting values.

    Args:
        path: its conductances (.csv), a crossbar, or a deployment of one array (.h5); None: all
            devices start in the middle of the range.
        run: the configuration.
        shape: rows and columns of the data.
        free: what is fitted.

    Raises:
        InputError: conductances that are neither known nor fitted, or more than one array.
    """
    if path is None:
        if "G" not in free:
            raise broken_rule(
                "the conductances must be known or fitted",
                "neither --array nor G in --free",
                "Give --array, or add G to --free.",
            )
        middle = (max(run.mapping.G_min, 1e-3 * run.mapping.G_max) * run.mapping.G_max) ** 0.5
        return Crossbar(np.full(shape, middle), **run.array.arguments())
    if path.suffix != ".h5":
        return Crossbar(read_die(path).G, **run.array.arguments())
    if hdf5.kind_of(path) in KINDS:
        return with_stated_array(load_array(path, {}).crossbar, run)
    return _crossbar_of_model(path, run)


def _crossbar_of_model(path: Path, run: RunConfig) -> Crossbar:
    """The only array of a model."""
    from xbarspice.deployment.opening import deployed_circuit, open_model
    from xbarspice.nn import arrays

    refuse_old(path)
    run.array.refuse_converters()
    if is_deployment(path):
        circuit = deployed_circuit(path, run)
    else:
        circuit = open_model(path, None, run, None, None, random=1).circuit
    physical = [array.crossbar for array in arrays(circuit)]
    if len(physical) != 1:
        raise broken_rule(
            "what was measured must stand on one array",
            f"{len(physical)} arrays",
            "Give the conductances of the measured array as a .csv.",
        )
    return physical[0]
