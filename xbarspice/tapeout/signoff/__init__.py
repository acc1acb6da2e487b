"""Sign-off: currents against limits, voltage drop, settling, energy and answers, at all corners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use
from xbarspice.tapeout.signoff.arrays import sign_off_array
from xbarspice.tapeout.signoff.settling import Settling, settle

if TYPE_CHECKING:
    from xbarspice.tapeout.signoff.model import answers_at_corners, sign_off

__all__ = ["Settling", "answers_at_corners", "settle", "sign_off", "sign_off_array"]

__getattr__ = names_on_first_use(
    __name__,
    {
        "answers_at_corners": "xbarspice.tapeout.signoff.model",
        "sign_off": "xbarspice.tapeout.signoff.model",
    },
)
"""Single arrays need no torch."""


def __dir__() -> list[str]:
    return sorted(__all__)
