"""Arrays of other programs: read into crossbars in our convention, and written in theirs.

Every import says what it assumed and names what the file holds beside the arrays; what no
`Crossbar` expresses is refused.
"""

from __future__ import annotations

from xbarspice.exchange import aihwkit, crosssim, matlab, spice
from xbarspice.exchange.records import ImportedArray, ImportedFile, WeightShare

__all__ = ["ImportedArray", "ImportedFile", "WeightShare", "aihwkit", "crosssim", "matlab", "spice"]
