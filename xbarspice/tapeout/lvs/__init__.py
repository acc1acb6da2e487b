"""Layout versus schematic: the drawing's own nets and devices against the array, with places."""

from xbarspice.tapeout.lvs.compare import LvsReport, compare_layout, scope
from xbarspice.tapeout.lvs.faults import Fault

__all__ = ["Fault", "LvsReport", "compare_layout", "scope"]
