"""What commands read: run configurations and calibration cards, as TOML."""

from xbarspice.config.run import (
    ARRAY,
    ArraySection,
    CalibrationNote,
    ConvertConfig,
    DataConfig,
    Gates,
    LayerSection,
    MappingSection,
    RunConfig,
    SweepConfig,
    TrainConfig,
    VerifyConfig,
    changes_of,
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
