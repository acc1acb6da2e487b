"""Other programs: badcrossbar, CrossSim's solver and aihwkit's IR-drop layer.

`CROSSSIM` is the path of a checkout of github.com/sandialabs/cross-sim (it is not on PyPI);
aihwkit is used where it is installed.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable

import numpy as np

import xbarspice as xb

VARIABLE = "CROSSSIM"
VERR = 1e-8
"""Device voltages, as a share of the drive, at which CrossSim stops (its default is 1e-3)."""
GAMMAS = (0.9, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.03, 0.02, 0.01)
MOST_ITERATIONS = 1000
LARGEST_SEARCH = 64
"""Lines up to which CrossSim's own search is waited for."""


def badcrossbar() -> types.ModuleType:
    """The package, loaded without the parts that only its plots need."""
    try:
        import cairo  # noqa: F401
    except ImportError:
        sys.modules["cairo"] = types.ModuleType("cairo")
        sys.modules["cairo"].Context = object
    import logging

    import badcrossbar as peer

    if not hasattr(peer, "compute"):
        raise ImportError("badcrossbar lacks a package of its own")
    logging.disable(logging.INFO)
    return peer


def crosssim_array(crossbar: xb.Crossbar, gamma: float | None, verr: float = VERR):
    """CrossSim's array for the same circuit, and its normalised conductances.

    Its lines begin and end with a segment; what an end has beyond that is its terminal resistance.
    """
    if VARIABLE not in os.environ:
        raise ImportError(f"CrossSim is not there: ${VARIABLE} names no checkout of it")
    sys.path.append(os.environ[VARIABLE])
    from simulator import CrossSimParameters
    from simulator.backend import ComputeBackend
    from simulator.circuits.array import NoninterleavedInputSourceArray

    ComputeBackend(use_gpu=False)
    parameters = CrossSimParameters()
    largest = crossbar.G.max()
    parameters.xbar.device.Rmin = 1 / largest
    parasitics = parameters.xbar.array.parasitics
    parasitics.enable, parasitics.Rp_row, parasitics.Rp_col = True, crossbar.R_wl, crossbar.R_bl
    parasitics.Rp_row_terminal = crossbar.R_driver - crossbar.R_wl
    parasitics.Rp_col_terminal = crossbar.R_sense - crossbar.R_bl
    parameters.simulation.Verr_th_mvm = verr
    parameters.simulation.Niters_max_parasitics = MOST_ITERATIONS
    parameters.simulation.hide_convergence_msg = True
    array = NoninterleavedInputSourceArray(parameters)
    if gamma is not None:
        array.gamma = gamma
    return array, np.ascontiguousarray(crossbar.G.T / largest), largest


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    with np.errstate(all="ignore"):
        call()
    return time.perf_counter() - begun


def crosssim_best(crossbar: xb.Crossbar, V: np.ndarray) -> Callable[[], np.ndarray]:
    """CrossSim with the relaxation factor that is fastest for this array, found beforehand."""
    tried = {}
    for gamma in GAMMAS:
        array, matrix, _ = crosssim_array(crossbar, gamma)
        try:
            tried[gamma] = _seconds(lambda a=array, m=matrix: a.solve_mvm(V, m))
        except RuntimeError:  # it did not converge
            continue
    array, matrix, largest = crosssim_array(crossbar, min(tried, key=tried.__getitem__))
    return lambda: array.solve_mvm(V, matrix) * largest


def crosssim_search(crossbar: xb.Crossbar, V: np.ndarray) -> Callable[[], np.ndarray]:
    """CrossSim as it comes: it lowers its relaxation factor until it converges."""

    def call() -> np.ndarray:
        array, matrix, largest = crosssim_array(crossbar, None)
        with np.errstate(all="ignore"):
            return array.iterative_solve(matrix, V) * largest

    if crossbar.rows > LARGEST_SEARCH:
        raise ImportError(f"not begun beyond {LARGEST_SEARCH} lines")
    return call


def aihwkit_layer(crossbar: xb.Crossbar, V: np.ndarray) -> Callable[[], np.ndarray]:
    """aihwkit's layer with IR drop, one vector: pairs of columns, bit-line wires, input pulses."""
    import torch
    from aihwkit.nn import AnalogLinear
    from aihwkit.simulator.configs import TorchInferenceRPUConfigIRDropT

    config = TorchInferenceRPUConfigIRDropT()
    config.mapping.max_input_size = crossbar.rows
    config.forward.ir_drop_rs = crossbar.R_bl
    layer = AnalogLinear(crossbar.rows, crossbar.cols, bias=False, rpu_config=config).eval()
    x = torch.tensor(V[None], dtype=torch.float32)

    @torch.no_grad()
    def call() -> np.ndarray:
        return layer(x).numpy()[0].astype(float)

    return call
