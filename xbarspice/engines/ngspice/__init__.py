"""The golden engine: ngspice, run so that it cannot fail in silence."""

from xbarspice.engines.ngspice.engine import NgspiceEngine
from xbarspice.engines.ngspice.gradient import golden_difference, golden_gradient
from xbarspice.engines.ngspice.probe import NgspiceInfo, ngspice_info
from xbarspice.engines.ngspice.pyspice_probe import pyspice_info
from xbarspice.engines.ngspice.transient import TransientRead, transient_read

__all__ = [
    "NgspiceEngine",
    "NgspiceInfo",
    "TransientRead",
    "golden_difference",
    "golden_gradient",
    "ngspice_info",
    "pyspice_info",
    "transient_read",
]
