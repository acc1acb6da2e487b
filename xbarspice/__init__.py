"""xbarspice: neural networks on passive memristor crossbars, with answers proven in ngspice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core import errors
from xbarspice.core.lazy import names_on_first_use

try:
    from xbarspice import devices, engines
    from xbarspice.core.array import Crossbar
    from xbarspice.core.line_ends import READ, End, LineEnds
    from xbarspice.core.solution import Solution, Status, kirchhoff_residual
    from xbarspice.engines import solve
except ModuleNotFoundError as error:
    raise errors.missing_package(error) from error

if TYPE_CHECKING:
    from xbarspice import (
        calibration,
        campaign,
        config,
        exchange,
        mapping,
        netlist,
        nn,
        plot,
        programming,
        tapeout,
        testing,
        training,
        transfer,
        variability,
        verification,
    )
    from xbarspice.deployment import load, save
    from xbarspice.mapping import ArrayConfig
    from xbarspice.surrogate.dissection.matrix import effective_matrix, effective_matrix_error
    from xbarspice.verification import verify, verify_array

__version__ = "0.1.0"

for _name, _entry in {
    "ngspice": "xbarspice.engines.ngspice:NgspiceEngine",
    "pyspice": "xbarspice.engines.pyspice:PySpiceEngine",
    "surrogate": "xbarspice.surrogate.engine:SurrogateEngine",
    "ideal": "xbarspice.surrogate.levels:IdealEngine",
    "linear": "xbarspice.surrogate.levels:LinearEngine",
    "float32": "xbarspice.surrogate.levels:SinglePrecisionEngine",
}.items():
    engines.registry.add(_name, _entry)

__all__ = [
    "READ",
    "ArrayConfig",
    "Crossbar",
    "End",
    "LineEnds",
    "Solution",
    "Status",
    "calibration",
    "campaign",
    "config",
    "devices",
    "effective_matrix",
    "effective_matrix_error",
    "engines",
    "errors",
    "exchange",
    "kirchhoff_residual",
    "load",
    "mapping",
    "netlist",
    "nn",
    "plot",
    "programming",
    "save",
    "solve",
    "tapeout",
    "testing",
    "training",
    "transfer",
    "variability",
    "verification",
    "verify",
    "verify_array",
]

_ON_FIRST_USE = {
    "ArrayConfig": "xbarspice.mapping",
    "load": "xbarspice.deployment",
    "save": "xbarspice.deployment",
    "verify": "xbarspice.verification",
    "verify_array": "xbarspice.verification",
    "effective_matrix": "xbarspice.surrogate.dissection.matrix",
    "effective_matrix_error": "xbarspice.surrogate.dissection.matrix",
    **{
        name: f"xbarspice.{name}"
        for name in (
            "calibration",
            "campaign",
            "config",
            "exchange",
            "mapping",
            "netlist",
            "nn",
            "plot",
            "programming",
            "tapeout",
            "testing",
            "training",
            "transfer",
            "variability",
            "verification",
        )
    },
}
"""Modules of names that are loaded when they are used; a module stands for itself."""

__getattr__ = names_on_first_use(__name__, _ON_FIRST_USE)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
