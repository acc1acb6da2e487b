"""Parameters of CrossSim: what an array takes from them, what refuses them, what is left out.

Names and defaults are those of CrossSim 3.1 (simulator/parameters, sandialabs/cross-sim at
0a2eb1e, April 2026), in the form that its `to_json` writes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from xbarspice.core.errors import broken_rule

__all__ = ["Leaves", "defaults", "leaves_of", "left_out", "refuse_others"]

Leaves = dict[str, Any]
"""Parameters by their dotted path, as "xbar.device.Rmin"."""

_MATRIX = {"clipping": False, "min": -1.0, "max": 1.0, "percentile": None}
_ERROR = {"enable": False, "model": "IdealDevice", "magnitude": 0}
_ADC = {
    "model": "IdealADC",
    "bits": 0,
    "signed": True,
    "stochastic_rounding": False,
    "adc_per_ibit": False,
    "calibrated_range": [],
    "adc_range_option": 1,
}
_DAC = {
    "model": "IdealDAC",
    "bits": 0,
    "input_bitslicing": False,
    "signed": True,
    "slice_size": 1,
}


def _paired(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"_match": True, "mvm": part, "vmm": part}


_DEFAULTS: dict[str, Any] = {
    "core": {
        "style": 1,
        "rows_max": 0,
        "cols_max": 0,
        "weight_bits": 0,
        "complex_matrix": False,
        "complex_input": False,
        "output_dtype": 1,
        "balanced": {"style": 1, "interleaved_posneg": False, "subtract_current_in_xbar": True},
        "bit_sliced": {"style": 1, "num_slices": 2},
        "offset": {"style": 1},
        "mapping": {
            "weights": {
                "clipping": True,
                "min": None,
                "max": None,
                "percentile": 1.0,
                "row_partition_priority": [],
                "col_partition_priority": [],
                "row_partition_strategy": 2,
                "col_partition_strategy": 2,
            },
            "inputs": _paired(_MATRIX),
        },
    },
    "simulation": {
        "convolution": {"is_conv_core": False, "x_par": 1, "y_par": 1, "Nwindows": 1},
        "analytics": {"profile_xbar_inputs": False, "profile_adc_inputs": False, "ntest": 0},
        "useGPU": False,
        "gpu_id": 0,
        "Niters_max_parasitics": 100,
        "Verr_th_mvm": 1e-3,
        "Verr_matmul_criterion": "max_max",
        "relaxation_gamma": 1,
        "disable_fast_balanced": False,
        "disable_fast_matmul": False,
        "disable_fast_nonlinear_IV": False,
        "hide_convergence_msg": False,
    },
    "xbar": {
        "device": {
            "cell_bits": 0,
            "Rmin": 1000,
            "Rmax": 10000,
            "Vread": 0.1,
            "time": 0,
            "infinite_on_off_ratio": False,
            "clip_conductance": False,
            "read_noise": _ERROR,
            "programming_error": _ERROR,
            "drift_error": _ERROR,
            "nonlinear_IV": _ERROR,
        },
        "array": {
            "Icol_max": 0,
            "parasitics": {
                "enable": False,
                "Rp_row": 0,
                "Rp_col": 0,
                "Rp_row_terminal": 0,
                "Rp_col_terminal": 0,
                "current_from_input": True,
                "selected_rows": "top",
            },
        },
        "adc": _paired(_ADC),
        "dac": _paired(_DAC),
    },
}
_USED = (
    "core.style",
    "core.balanced.style",
    "core.balanced.interleaved_posneg",
    "core.mapping.weights.clipping",
    "core.mapping.weights.min",
    "core.mapping.weights.max",
    "core.mapping.weights.percentile",
    "core.rows_max",
    "core.cols_max",
    "xbar.device.Rmin",
    "xbar.device.Rmax",
    "xbar.device.infinite_on_off_ratio",
    "xbar.array.parasitics.enable",
    "xbar.array.parasitics.Rp_row",
    "xbar.array.parasitics.Rp_col",
    "xbar.array.parasitics.Rp_row_terminal",
    "xbar.array.parasitics.Rp_col_terminal",
)
_ALWAYS_REFUSED = {
    "core.complex_matrix": "complex weights stand on four quadrants",
    "core.complex_input": "complex inputs stand on four quadrants",
    "xbar.device.nonlinear_IV.enable": "its law of currents has no name here",
    "simulation.convolution.x_par": "copies of the matrix share one array",
    "simulation.convolution.y_par": "copies of the matrix share one array",
}
"""Parameters that change the circuit and that no `Crossbar` expresses, with the reason."""
_OPEN = ("xbar.adc.mvm", "xbar.adc.vmm")
"""Groups that have further names for some models."""


def defaults() -> dict[str, Any]:
    """All parameters with their defaults, as CrossSim's `to_json` writes them."""
    return copy.deepcopy(_DEFAULTS)


def leaves_of(tree: Mapping[str, Any]) -> Leaves:
    """All parameters by their paths; those that a file leaves out have their defaults.

    Raises:
        InputError: a name is none of CrossSim's, or a group is no group.
    """
    out = dict(_walk(_DEFAULTS, ""))
    _take(tree, _DEFAULTS, "", out)
    return out


def _walk(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _take(tree: Any, known: Mapping[str, Any], path: str, out: Leaves) -> None:
    if not isinstance(tree, Mapping):
        raise broken_rule(
            f"`{path.rstrip('.') or 'the file'}` must be a group of parameters",
            type(tree).__name__,
            "Write the file with CrossSimParameters.to_json.",
        )
    for name, value in tree.items():
        if name not in known and path.rstrip(".") not in _OPEN:
            raise broken_rule(
                "every parameter must be one of CrossSim 3.1",
                f"`{path}{name}`",
                "Remove it if it says nothing of the array.",
            )
        if isinstance(known.get(name), Mapping):
            if value is not None:  # CrossSim takes None for a group of defaults
                _take(value, known[name], f"{path}{name}.", out)
        else:
            out[f"{path}{name}"] = value


def refuse_others(leaves: Leaves) -> None:
    """Refuse parameters that change the circuit in a way that no `Crossbar` expresses.

    Raises:
        InputError: names the first of them.
    """
    usual = dict(_walk(_DEFAULTS, ""))
    for name, why in _ALWAYS_REFUSED.items():
        if leaves[name] != usual[name]:
            raise broken_rule(
                f"`{name}` must be {usual[name]}: {why}", leaves[name], "Import another array."
            )
    enabled = leaves["xbar.array.parasitics.enable"]
    if enabled and not leaves["xbar.array.parasitics.current_from_input"]:
        raise broken_rule(
            "`xbar.array.parasitics.current_from_input` must be True: cells between two parallel "
            "lines, gated by a third, are no crossbar of two-terminal devices",
            leaves["xbar.array.parasitics.current_from_input"],
            "Import another array.",
        )


def left_out(leaves: Leaves) -> list[str]:
    """A sentence for every parameter beside its default that says nothing of an array."""
    usual = dict(_walk(_DEFAULTS, ""))
    return [
        f"{name} = {value!r} is not part of an array and is left out."
        for name, value in leaves.items()
        if name not in _USED
        and name not in _ALWAYS_REFUSED
        and (name not in usual or value != usual[name])
    ]
