"""Device models: one file a model, found by name."""

from xbarspice.devices.base import Device, get, names, register
from xbarspice.devices.cubic import CubicAl2O3TiO2
from xbarspice.devices.ohmic import Ohmic
from xbarspice.devices.sinh import B_SETS, SinhTiO2

__all__ = ["B_SETS", "CubicAl2O3TiO2", "Device", "Ohmic", "SinhTiO2", "get", "names", "register"]
