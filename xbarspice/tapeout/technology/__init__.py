"""The technology of a passive crossbar: layers, rules, resistances, from a TOML file."""

from xbarspice.tapeout.technology.corners import CORNERS, Corner, Resistances
from xbarspice.tapeout.technology.loading import load_technology, packaged
from xbarspice.tapeout.technology.schema import Technology

__all__ = ["CORNERS", "Corner", "Resistances", "Technology", "load_technology", "packaged"]
