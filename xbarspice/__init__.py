"""xbarspice: neural networks on passive memristor crossbars, with answers proven in ngspice."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xbarspice import errors

try:
    from xbarspice import devices, engines
    from xbarspice.array import READ, Crossbar, End, LineEnds
    from xbarspice.engines import solve
    from xbarspice.solution import Solution, Status, kirchhoff_residual
except ModuleNotFoundError as error:
    raise errors.missing_package(error) from error

if TYPE_CHECKING:
    from xbarspice import mapping, netlist, studies, variability
    from xbarspice.surrogate import nn
    from xbarspice.surrogate.dissection import effective_matrix

__version__ = "0.1.0"

__all__ = [
    "READ",
    "Crossbar",
    "End",
    "LineEnds",
    "Solution",
    "Status",
    "devices",
    "effective_matrix",
    "engines",
    "errors",
    "kirchhoff_residual",
    "mapping",
    "netlist",
    "nn",
    "solve",
    "studies",
    "variability",
]

_ON_FIRST_USE = {
    "mapping": "xbarspice.mapping",
    "netlist": "xbarspice.netlist",
    "nn": "xbarspice.surrogate.nn",
    "studies": "xbarspice.studies",
    "variability": "xbarspice.variability",
}


def __getattr__(name: str) -> Any:
    try:
        if name == "effective_matrix":
            return importlib.import_module("xbarspice.surrogate.dissection").effective_matrix
        if name in _ON_FIRST_USE:
            return importlib.import_module(_ON_FIRST_USE[name])
    except ModuleNotFoundError as error:
        raise errors.missing_package(error) from error
    raise AttributeError(f"module 'xbarspice' has no attribute {name!r}")
