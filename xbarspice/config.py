"""Run configurations (pydantic <-> TOML), and one seed that makes named child generators."""

from __future__ import annotations

import tomllib
import zlib
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xbarspice.errors import InputError, broken_rule

__all__ = [
    "ArrayConfig", "DataConfig", "GateConfig", "MappingConfig", "RunConfig", "TrainConfig",
    "child_rng", "child_seed", "read_toml",
]  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
    """The half-moons data, split without overlap; features are scaled by the training points."""

    name: Literal["half_moons"] = "half_moons"
    points: int = Field(default=1000, ge=20)
    noise: float = Field(default=0.2, ge=0)
    test: int = Field(default=200, ge=1)
    validation: int = Field(default=125, ge=1)
    seed: int = 42

    @model_validator(mode="after")
    def _leaves_training_points(self) -> Self:
        if self.test + self.validation >= self.points:
            raise ValueError("test + validation must leave points to train on")
        return self


class TrainConfig(_Section):
    """Plain training: Adam on the cross-entropy, the best validation loss is kept."""

    hidden: tuple[int, ...] = (8,)
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    epochs: int = Field(default=800, ge=1)
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    patience: int = Field(default=200, ge=1, description="epochs without a better validation loss")


class MappingConfig(_Section):
    """How weights become conductances; see `xbarspice.mapping.map_network`."""

    layout: Literal["tiled", "folded"] = "folded"
    tile_rows: int = Field(default=8, ge=1)
    tile_cols: int = Field(default=8, ge=2)
    G_min: float = Field(default=100e-6, ge=0, description="S")
    G_max: float = Field(default=500e-6, gt=0, description="S")
    V_read: float = Field(default=0.2, gt=0, description="V")
    bias: Literal["array", "hidden", "digital"] = "hidden"
    x_scale: tuple[float, ...] | None = Field(
        default=None, description="largest |input| of every layer; None: 1 everywhere"
    )

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if not self.G_min < self.G_max:
            raise ValueError("G_min must be smaller than G_max")
        return self


class ArrayConfig(_Section):
    """Wires and device of every array."""

    R_wl: float = Field(default=1.0, ge=0, description="ohm a word-line segment")
    R_bl: float = Field(default=1.0, ge=0, description="ohm a bit-line segment")
    R_driver: float = Field(default=0.0, ge=0, description="ohm")
    R_sense: float = Field(default=0.0, ge=0, description="ohm")
    device: str = "sinh_tio2"


class GateConfig(_Section):
    """What a cross-check must meet to pass."""

    current: float = Field(
        default=1e-6, gt=0, description="largest current error over the largest reference current"
    )
    predictions: int = Field(default=0, ge=0, description="predictions that may differ")


class RunConfig(_Section):
    """The full configuration of a run; `run.toml` holds every value, defaults too."""

    seed: int = Field(default=0, ge=0)
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    mapping: MappingConfig = MappingConfig()
    array: ArrayConfig = ArrayConfig()
    engines: tuple[str, ...] = ("nodal", "surrogate")
    reference: str = "ngspice"
    gates: GateConfig = GateConfig()

    @classmethod
    def from_mapping(cls, values: dict[str, Any], origin: str = "configuration") -> RunConfig:
        """Build from nested dictionaries.

        Raises:
            InputError: names every wrong entry of `origin`.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            found = "; ".join(
                f"{'.'.join(str(p) for p in e['loc']) or origin}: {e['msg']} "
                f"(received {_short(e.get('input'))})"
                for e in error.errors()
            )
            raise InputError(
                f"the {origin} must follow the schema: {found}. "
                "See `xbarspice demo --help` and the run.toml of any run for names and units."
            ) from error

    @classmethod
    def from_toml(cls, path: Path) -> RunConfig:
        """Read a TOML file; missing values take their defaults."""
        return cls.from_mapping(read_toml(path), origin=path.name)

    def to_toml(self) -> str:
        """The configuration as TOML text; TOML has no null, so None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file, or raise an InputError that names it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise broken_rule("the file must exist", str(path), "Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"`{path.name}` must be TOML; {error}. Mend that line.") from error


def child_seed(seed: int, name: str) -> int:
    """A 63-bit seed that depends on the run's seed and on a name, and on nothing else."""
    state = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def child_rng(seed: int, name: str) -> np.random.Generator:
    """Named child generator of a run's seed."""
    return np.random.default_rng(child_seed(seed, name))
