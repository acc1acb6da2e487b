"""From a model on arrays to tapeout: proven netlists, layout, LVS and programming plans."""

from xbarspice.tapeout.check import FolderCheck, check_folder
from xbarspice.tapeout.drawing import draw, save
from xbarspice.tapeout.drawing.pictures import picture
from xbarspice.tapeout.flow import as_drawn, tapeout
from xbarspice.tapeout.lvs import LvsReport, compare_layout
from xbarspice.tapeout.netlists import netlists, write_netlists
from xbarspice.tapeout.technology import Technology, load_technology

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
