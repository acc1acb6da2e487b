"""Device models: one file a model, found by name; static ones read, dynamic ones can be written."""

from xbarspice.core.device import (
    Device,
    get,
    names,
    register,
    registry,
    with_parameters,
    within,
)
from xbarspice.devices.cubic import CubicAl2O3TiO2
from xbarspice.devices.data_driven import MT2021, N1257R, O921C, O921C4K, DataDrivenQuadratic
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.files import load_toml
from xbarspice.devices.messaris import DataDriven2018
from xbarspice.devices.nili import NiliPulseMap
from xbarspice.devices.ohmic import Ohmic
from xbarspice.devices.pickett import Pickett
from xbarspice.devices.sinh import B_SETS, SinhTiO2
from xbarspice.devices.sky130 import Sky130Reram

__all__ = [
    "B_SETS",
    "MT2021",
    "N1257R",
    "O921C",
    "O921C4K",
    "CubicAl2O3TiO2",
    "DataDriven2018",
    "DataDrivenQuadratic",
    "Device",
    "DynamicDevice",
    "NiliPulseMap",
    "Ohmic",
    "Pickett",
    "SinhTiO2",
    "Sky130Reram",
    "get",
    "load_toml",
    "names",
    "register",
    "registry",
    "with_parameters",
    "within",
]
