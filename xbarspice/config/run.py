"""The configuration of a run (pydantic <-> TOML)."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from xbarspice.config import listing
from xbarspice.config.array_sections import (
    ArraySection,
    LayerSection,
    MappingSection,
    changes_of,
)
from xbarspice.config.sections import (
    CalibrationNote,
    ConvertConfig,
    DataConfig,
    Gates,
    Section,
    SweepConfig,
    TrainConfig,
    VerifyConfig,
)
from xbarspice.core.errors import InputError
from xbarspice.core.files import read_toml
from xbarspice.core.values import broken_entries
from xbarspice.mapping.config import ArrayConfig
from xbarspice.variability import from_config

__all__ = ["RunConfig"]


def _suggestion(error: ValidationError) -> str:
    """The settings that are written nearly as those that do not exist, as a question."""
    known = [e.name for e in listing.entries(RunConfig)]
    sections = [name.partition(".")[0] for name in known]
    close: list[str] = []
    for entry in error.errors():
        if entry["type"] == "extra_forbidden":
            place = ".".join(str(part) for part in entry["loc"])
            last = [n for n in known if n.rpartition(".")[2] == place.rpartition(".")[2]]
            close += last[:1] or difflib.get_close_matches(place, {*known, *sections}, n=1)
    return f"Did you mean {', '.join(dict.fromkeys(close))}? " if close else ""


class RunConfig(Section):
    """The full configuration of a run; `run.toml` holds what of it the command read."""

    seed: int = Field(default=0, ge=0, description="of everything random in the run")
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    mapping: MappingSection = MappingSection()
    array: ArraySection = ArraySection()
    layers: dict[str, LayerSection] = Field(
        default={}, description="options by name or pattern of a layer; the first that fits counts"
    )
    convert: ConvertConfig = ConvertConfig()
    engines: tuple[str, ...] = Field(
        default=("nodal", "surrogate"), description="engines that are judged"
    )
    reference: str = Field(default="ngspice", description="engine that they are judged by")
    gates: Gates = Gates()
    verify: VerifyConfig = VerifyConfig()
    sweep: SweepConfig = SweepConfig()
    variability: tuple[dict[str, Any], ...] = Field(
        default=(), description="terms of `variability.from_config`; empty: the command's own"
    )
    calibration: CalibrationNote | None = Field(
        default=None, description="card that gave values; a command writes it, nobody sets it"
    )

    @model_validator(mode="after")
    def _makes_arrays(self) -> Self:
        if not self.array.awaits_device:
            self.layer_configs()
        return self

    def array_config(self) -> ArrayConfig:
        """The configuration of every layer that has none of its own.

        Raises:
            InputError: a value breaks a rule of `ArrayConfig`, or a name is not registered.
        """
        values = self.mapping.model_dump() | self.array.model_dump(exclude={"device", "parameters"})
        return ArrayConfig(
            **values,
            device=self.array.model(),
            variation=from_config(self.variability) if self.variability else None,
        )

    def layer_configs(self) -> dict[str, ArrayConfig]:
        """Configurations by pattern, the common one last, as `nn.convert` takes them.

        Raises:
            InputError: as `array_config`; names the pattern.
        """
        common = self.array_config()
        out = {}
        for pattern, section in self.layers.items():
            try:
                out[pattern] = dataclasses.replace(common, **changes_of(section, common.model))
            except InputError as error:
                raise InputError(f'layers."{pattern}": {error}') from None
        return {**out, "*": out.pop("*", common)}

    @classmethod
    def from_mapping(cls, values: dict[str, Any], origin: str = "configuration") -> RunConfig:
        """Build from nested dictionaries.

        Raises:
            InputError: names every wrong entry of `origin`.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(
                f"the {origin} must follow the schema: {broken_entries(error, origin)}. "
                f"{_suggestion(error)}See `xbarspice config` for names, units and defaults."
            ) from error

    @classmethod
    def from_toml(cls, path: Path) -> RunConfig:
        """Read a TOML file; missing values take their defaults."""
        return cls.from_mapping(read_toml(path), origin=path.name)

    def to_toml(self) -> str:
        """The configuration as TOML text; TOML has no null, so None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
