"""Sections of a run configuration that state their own entries."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xbarspice.mapping import activations

__all__ = [
    "CalibrationNote",
    "ConvertConfig",
    "DataConfig",
    "Gates",
    "Section",
    "SweepConfig",
    "TrainConfig",
    "ValidRange",
    "VerifyConfig",
]


class Section(BaseModel):
    """A table of a configuration: it holds its entries and no others, each of its own type."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        """TOML has lists only; beyond that no type stands for another: true is no 1, "1" no 1."""
        return tuple(value) if isinstance(value, list) else value


class DataConfig(Section):
    """The half-moons data, split without overlap; features are scaled by the training points."""

    name: Literal["half_moons"] = Field(default="half_moons", description="what is drawn")
    points: int = Field(default=1000, ge=20, description="points in all")
    noise: float = Field(
        default=0.2, ge=0, description="standard deviation around the moons, whose radius is 1"
    )
    test: int = Field(default=200, ge=1, description="points that no training sees")
    validation: int = Field(default=125, ge=1, description="points that choose the best epoch")
    seed: int = Field(default=42, description="of the points and of their split")

    @model_validator(mode="after")
    def _leaves_training_points(self) -> Self:
        if self.test + self.validation >= self.points:
            raise ValueError("test + validation must leave points to train on")
        return self


class TrainConfig(Section):
    """Plain training: Adam on the cross-entropy, the best validation loss is kept."""

    hidden: tuple[int, ...] = Field(default=(8,), description="neurons of every hidden layer")
    activation: str = Field(
        default="sigmoid", description=f"one of {', '.join(activations.names())}"
    )
    epochs: int = Field(default=800, ge=1, description="passes over the training points at most")
    batch: int = Field(default=256, ge=1, description="points a step")
    learning_rate: float = Field(default=0.1, gt=0, description="of Adam")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 coefficient of the weights")
    patience: int = Field(default=200, ge=1, description="epochs without a better validation loss")

    @model_validator(mode="after")
    def _activation_is_known(self) -> Self:
        activations.get(self.activation)
        return self


class ConvertConfig(Section):
    """How `nn.convert` puts a model on arrays, beyond the arrays themselves."""

    exclude: tuple[str, ...] = Field(default=(), description="names or patterns of ideal layers")
    quantile: float = Field(
        default=1.0, ge=0.5, le=1, description="share of a layer's inputs within its range"
    )
    fold_batchnorm: bool = Field(
        default=False, description="fold batch normalisation into the layer before it"
    )


class ValidRange(Section):
    """What the data of a calibration card covered; None where that is not known."""

    V_low: float | None = Field(default=None, description="line voltages, V")
    V_high: float | None = None
    G_low: float | None = Field(default=None, description="conductances of the devices, S")
    G_high: float | None = None
    T_low: float | None = Field(default=None, description="temperatures, deg C")
    T_high: float | None = None

    def of(self, name: str) -> tuple[float, float] | None:
        """Lowest and highest V, G or T; None where they are not known."""
        low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
        return None if low is None or high is None else (low, high)


class CalibrationNote(Section):
    """Which calibration card a configuration was overlaid with; see `xbarspice.config.card`."""

    title: str
    data_sha256: str
    card_sha256: str
    applied: tuple[str, ...]
    overridden: tuple[str, ...] = ()
    date: str | None = None
    valid: ValidRange | None = None

    @property
    def text(self) -> str:
        """The card's title and digests in one line, as every report names it."""
        out = f"{self.title} (data {self.data_sha256[:12]}, card {self.card_sha256[:12]})"
        if self.overridden:
            out += f"; overridden by hand: {', '.join(self.overridden)}"
        return out


class Gates(Section):
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


class VerifyConfig(Section):
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


class SweepConfig(Section):
    """What `xbarspice verify --map` sweeps; every axis rises."""

    sizes: tuple[int, ...] = Field(
        default=(4, 8, 16, 32, 64, 128, 256), description="rows = columns"
    )
    reference_up_to: int = Field(
        default=64,
        ge=0,
        description="largest size at which the reference solves every point; above it one point a "
        "device, and the surrogate within its error bound the others",
    )
    R_wire: tuple[float, ...] = Field(
        default=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0), description="R_wl = R_bl, ohm a segment"
    )
    G_max: tuple[float, ...] = Field(default=(10e-6, 100e-6, 500e-6), description="conductance, S")
    G_ratio: float = Field(default=5.0, ge=1, description="G_max over G_min")
    V_read: tuple[float, ...] = Field(default=(0.1, 0.2, 0.4), description="line voltage, V")
    devices: tuple[str, ...] = Field(
        default=("ohmic", "sinh_tio2", "cubic_al2o3_tio2"), description="names of device models"
    )
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
