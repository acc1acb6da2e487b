"""Run configurations (pydantic <-> TOML), and one seed that makes named child generators."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_type_hints

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from xbarspice import devices
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import read_toml
from xbarspice.core.values import broken_entries
from xbarspice.core.wires import WIRES
from xbarspice.mapping import activations
from xbarspice.mapping.config import ArrayConfig
from xbarspice.variability import from_config

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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        """TOML has lists only; beyond that no type stands for another: true is no 1, "1" no 1."""
        return tuple(value) if isinstance(value, list) else value


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
    activation: str = Field(default="sigmoid", description="one of `activations.names()`")
    epochs: int = Field(default=800, ge=1)
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    patience: int = Field(default=200, ge=1, description="epochs without a better validation loss")

    @model_validator(mode="after")
    def _activation_is_known(self) -> Self:
        activations.get(self.activation)
        return self


class _MappingOptions(_Section):
    """How weights become conductances."""

    @model_validator(mode="after")
    def _follows_the_rules(self) -> Self:
        ArrayConfig(**self.model_dump())
        return self


class _ArrayOptions(_Section):
    """Wires, device and converters, which may differ between arrays of one mapping."""

    def model(self) -> devices.Device:
        """The device with these parameters.

        Raises:
            InputError: the device is not registered, or has no such parameter.
        """
        return devices.with_parameters(self.device, self.parameters)  # type: ignore[attr-defined]

    def arguments(self) -> dict[str, Any]:
        """Wires and device, as keyword arguments of `Crossbar`.

        Raises:
            InputError: something else is stated, which a single array does not have.
        """
        self.refuse_converters()
        return {**self.model_dump(include=set(WIRES)), "device": self.model()}

    def refuse_converters(self) -> None:
        """Raise an InputError for what a single array does not have."""
        other = self.model_dump(exclude_defaults=True, exclude={*WIRES, "device", "parameters"})
        if other:
            raise broken_rule(
                "an array without a model has wires and a device",
                ", ".join(f"array.{name} = {value}" for name, value in other.items()),
                "Leave it out.",
            )


class _CommonArrayOptions(_ArrayOptions):
    @model_validator(mode="after")
    def _follows_the_rules(self) -> Self:
        ArrayConfig(**self.model_dump(exclude={"device", "parameters"}))
        if not self.awaits_device:
            self.model()
        return self

    @property
    def awaits_device(self) -> bool:
        """Whether only parameters are stated: they go over those of a device in a file."""
        return bool(self.parameters) and "device" not in self.model_fields_set  # type: ignore[attr-defined]


class _LayerOptions(_ArrayOptions):
    """Options that go over the common ones, with which alone they must make sense."""

    @model_serializer(mode="wrap")
    def _only_stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in handler(self).items() if k in self.model_fields_set}


ARRAY = (*WIRES, "device", "dac_bits", "adc_bits", "adc_range", "recompute", "dtype")
"""Options of `ArrayConfig` in `[array]`; `variation` is `variability`, all others `[mapping]`."""
_FORMS: dict[str, Any] = {
    "device": str,
    "dtype": Literal["float64", "float32"],
    "levels": int | tuple[float, ...] | None,
}
"""Types that a TOML file has no form of, in its own types."""


def _options(names: Iterable[str]) -> dict[str, Any]:
    """Fields of a section from those of `ArrayConfig`: types, defaults and descriptions."""
    kinds, told = get_type_hints(ArrayConfig), _descriptions(ArrayConfig)
    defaults = {field.name: field.default for field in dataclasses.fields(ArrayConfig)}
    return {
        name: (
            _FORMS.get(name, kinds[name]),
            Field(default=defaults[name], description=told.get(name)),
        )
        for name in names
    }


def _descriptions(cls: type) -> dict[str, str]:
    """What the docstring of a class says of each attribute, with its unit."""
    _, _, text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w[\w, ]*): (.+(?:\n {8,}.+)*)", text, flags=re.MULTILINE)
    return {
        name.strip(): " ".join(told.split()) for names, told in entries for name in names.split(",")
    }


_PARAMETERS: Any = (
    dict[str, float],
    Field(default={}, description="fields of the device that differ from its defaults"),
)
_MAPPING = [
    field.name
    for field in dataclasses.fields(ArrayConfig)
    if field.name not in {*ARRAY, "variation"}
]

if TYPE_CHECKING:

    class MappingSection(_MappingOptions):
        """`[mapping]`: how weights become conductances."""

        def __getattr__(self, name: str) -> Any: ...

    class ArraySection(_CommonArrayOptions):
        """`[array]`: wires, device and converters of every array."""

        def __getattr__(self, name: str) -> Any: ...

    class LayerSection(_LayerOptions):
        """`[layers."PATTERN"]`: options of both sections that these layers have of their own."""

        def __getattr__(self, name: str) -> Any: ...

else:
    MappingSection = create_model("MappingSection", __base__=_MappingOptions, **_options(_MAPPING))
    ArraySection = create_model(
        "ArraySection", __base__=_CommonArrayOptions, **_options(ARRAY), parameters=_PARAMETERS
    )
    LayerSection = create_model(
        "LayerSection",
        __base__=_LayerOptions,
        **_options((*_MAPPING, *ARRAY)),
        parameters=_PARAMETERS,
    )


class ConvertConfig(_Section):
    """How `nn.convert` puts a model on arrays, beyond the arrays themselves."""

    exclude: tuple[str, ...] = Field(default=(), description="names or patterns of ideal layers")
    quantile: float = Field(
        default=1.0, ge=0.5, le=1, description="share of a layer's inputs within its range"
    )
    fold_batchnorm: bool = Field(
        default=False, description="fold batch normalisation into the layer before it"
    )


class CalibrationNote(_Section):
    """Which calibration card a configuration was overlaid with; see `xbarspice.config.card`."""

    title: str
    data_sha256: str
    card_sha256: str
    applied: tuple[str, ...]
    overridden: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The card's title and digests in one line, as every report names it."""
        out = f"{self.title} (data {self.data_sha256[:12]}, card {self.card_sha256[:12]})"
        if self.overridden:
            out += f"; overridden by hand: {', '.join(self.overridden)}"
        return out


class Gates(_Section):
    """What a verification must meet to pass; every value is a largest allowed one, None judges not.

    Errors of currents are relative to the largest output current of the array by the reference.
    """

    current: float = Field(
        default=1e-6,
        gt=0,
        description="worst error of an output current beyond the error bounds of both engines",
    )
    rms: float | None = Field(
        default=None, gt=0, description="rms error of an array's output currents, beyond the same"
    )
    device: float | None = Field(
        default=None, gt=0, description="worst device current over the array's largest one"
    )
    kirchhoff: float | None = Field(
        default=None, gt=0, description="Kirchhoff residual over the largest current"
    )
    decisions: int | None = Field(
        default=0, ge=0, description="decisions of engine and reference that may differ"
    )
    output: float | None = Field(
        default=None, gt=0, description="error of a model's output over the largest exact one"
    )
    accuracy_loss: float | None = Field(
        default=None, ge=0, le=1, description="accuracy with exact products less the circuit's"
    )
    ideal: float | None = Field(
        default=None, gt=0, description="worst output current of the ideal product V G, reference"
    )
    drop: float | None = Field(
        default=None, gt=0, description="largest voltage lost in wires over the largest drive"
    )
    energy: float | None = Field(
        default=None, gt=0, description="J, of a model's inference on average, of an array's read"
    )
    given: float | None = Field(
        default=1e-3, gt=0, description="worst error of the currents that came with an array"
    )
    beyond: int | None = Field(
        default=None, ge=0, description="input values beyond the range of their matrix"
    )
    findings: int | None = Field(
        default=None, ge=0, description="findings of the detectors of common mistakes"
    )


class VerifyConfig(_Section):
    """How `xbarspice verify` reads, and how it looks for the worst input."""

    t_read: float = Field(default=100e-9, gt=0, description="length of one read pass, s")
    starts: int = Field(default=8, ge=1, description="starting points of the search")
    steps: int = Field(default=30, ge=1, description="projected gradient steps from each")
    rounds: int = Field(default=3, ge=1, description="rounds of the search between engines")
    low: float | None = Field(
        default=None, description="smallest input of the search; None: of the given inputs, or 0"
    )
    high: float | None = Field(
        default=None, description="largest; None: of the given inputs, or full scale"
    )
    trust_error: float = Field(
        default=5e-2, gt=0, description="error up to which the map calls a level trusted"
    )

    @model_validator(mode="after")
    def _box_is_not_empty(self) -> Self:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError("low must be smaller than high")
        return self


class SweepConfig(_Section):
    """What `xbarspice verify --map` sweeps; every axis rises."""

    sizes: tuple[int, ...] = Field(default=(4, 8, 16, 32, 64), description="rows = columns")
    R_wire: tuple[float, ...] = Field(
        default=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0), description="ohm a segment, R_wl = R_bl"
    )
    G_max: tuple[float, ...] = Field(default=(10e-6, 100e-6, 500e-6), description="S")
    G_ratio: float = Field(default=5.0, ge=1, description="G_max over G_min")
    V_read: tuple[float, ...] = Field(default=(0.1, 0.2, 0.4), description="V")
    devices: tuple[str, ...] = ("ohmic", "sinh_tio2", "cubic_al2o3_tio2")
    vectors: int = Field(default=3, ge=1, description="random inputs of each kind")

    @model_validator(mode="after")
    def _axes_rise(self) -> Self:
        for name in ("sizes", "R_wire", "G_max", "V_read"):
            axis = getattr(self, name)
            if not axis or axis[0] <= 0 or any(b <= a for a, b in pairwise(axis)):
                raise ValueError(f"{name} must hold rising numbers > 0")
        if not self.devices:
            raise ValueError("devices must name at least one device")
        return self


class RunConfig(_Section):
    """The full configuration of a run; `run.toml` holds what of it the command read."""

    seed: int = Field(default=0, ge=0)
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    mapping: MappingSection = MappingSection()
    array: ArraySection = ArraySection()
    layers: dict[str, LayerSection] = Field(
        default={}, description="options by name or pattern of a layer; the first that fits counts"
    )
    convert: ConvertConfig = ConvertConfig()
    engines: tuple[str, ...] = ("nodal", "surrogate")
    reference: str = "ngspice"
    gates: Gates = Gates()
    verify: VerifyConfig = VerifyConfig()
    sweep: SweepConfig = SweepConfig()
    variability: tuple[dict[str, Any], ...] = Field(
        default=(), description="terms of `variability.from_config`; empty: the command's own"
    )
    calibration: CalibrationNote | None = None

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
                "See `xbarspice demo --help` and the run.toml of any run for names and units."
            ) from error

    @classmethod
    def from_toml(cls, path: Path) -> RunConfig:
        """Read a TOML file; missing values take their defaults."""
        return cls.from_mapping(read_toml(path), origin=path.name)

    def to_toml(self) -> str:
        """The configuration as TOML text; TOML has no null, so None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def changes_of(section: ArraySection | LayerSection, device: devices.Device) -> dict[str, Any]:
    """What a section states, as fields of an `ArrayConfig`.

    Args:
        section: the section; what was not stated in it changes nothing.
        device: that the arrays have without it; parameters alone go over its own.
    """
    out = section.model_dump(exclude_unset=True)
    parameters = out.pop("parameters", {})
    if "device" in out:
        out["device"] = section.model()
    elif parameters:
        out["device"] = devices.with_parameters(device, parameters)
    return out
