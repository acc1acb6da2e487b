"""What commands read: run configurations and calibration cards, as TOML."""

from xbarspice.config.array_sections import (
    ARRAY,
    ArraySection,
    LayerSection,
    MappingSection,
    changes_of,
)
from xbarspice.config.run import RunConfig
from xbarspice.config.sections import (
    CalibrationNote,
    ConvertConfig,
    DataConfig,
    Gates,
    SweepConfig,
    TrainConfig,
    VerifyConfig,
)

__all__ = [
    "ARRAY",
    "ArraySection",
    "CalibrationNote",
    "ConvertConfig",
    "DataConfig",
    "Gates",
    "LayerSection",
    "MappingSection",
    "RunConfig",
    "SweepConfig",
    "TrainConfig",
    "VerifyConfig",
    "changes_of",
]
