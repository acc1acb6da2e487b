"""From a model on arrays to tapeout: proven netlists, layout, LVS and programming plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use
from xbarspice.tapeout.drawing import draw, save
from xbarspice.tapeout.drawing.pictures import picture
from xbarspice.tapeout.lvs import LvsReport, compare_layout
from xbarspice.tapeout.netlists import netlists, write_netlists
from xbarspice.tapeout.technology import Technology, load_technology

if TYPE_CHECKING:
    from xbarspice.tapeout.check import FolderCheck, check_folder
    from xbarspice.tapeout.effect import as_drawn
    from xbarspice.tapeout.flow import tapeout

__all__ = [
    "FolderCheck",
    "LvsReport",
    "Technology",
    "as_drawn",
    "check_folder",
    "compare_layout",
    "draw",
    "load_technology",
    "netlists",
    "picture",
    "save",
    "tapeout",
    "write_netlists",
]

__getattr__ = names_on_first_use(
    __name__,
    {
        "FolderCheck": "xbarspice.tapeout.check",
        "as_drawn": "xbarspice.tapeout.effect",
        "check_folder": "xbarspice.tapeout.check",
        "tapeout": "xbarspice.tapeout.flow",
    },
)
"""Single arrays need no torch."""


def __dir__() -> list[str]:
    return sorted(__all__)
