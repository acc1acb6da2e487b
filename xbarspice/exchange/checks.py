"""What programs that know one kind of array are not given."""

from __future__ import annotations

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ

__all__ = ["in_read_mode", "refuse_all_but_plain"]


def refuse_all_but_plain(crossbar: Crossbar, subject: str) -> None:
    """Refuse batches, line ends other than read mode, and devices that are not ohmic.

    Args:
        crossbar: the array.
        subject: that must be such an array, for messages.

    Raises:
        InputError: says what the other program cannot express.
    """
    if crossbar.batch:
        raise broken_rule(
            f"{subject} is one array", f"a batch {crossbar.batch}", "Write crossbar.array(k)."
        )
    if crossbar.device.name != "ohmic":
        raise broken_rule(
            f"{subject} has ohmic devices",
            crossbar.device.name,
            'Write the array at its read voltage: crossbar.replace(device="ohmic").',
        )
    if not in_read_mode(crossbar):
        raise broken_rule(
            f"{subject} is driven on the left and sensed at the bottom",
            crossbar.ends,
            "Write a netlist (`xbarspice netlist`).",
        )


def in_read_mode(crossbar: Crossbar) -> bool:
    """Whether word lines are driven on the left and bit lines sensed at the bottom, and no more."""
    return all(
        np.array_equal(a, b)
        for a, b in (
            (crossbar.wl_ends, READ.word_lines(crossbar.rows)),
            (crossbar.bl_ends, READ.bit_lines(crossbar.cols)),
        )
    )
