"""What a deployment file must hold: its schema, and the configuration of a matrix as a record."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from xbarspice import devices
from xbarspice.config.card import CalibrationCard, KeptCard
from xbarspice.core.crossbar_file import CardText
from xbarspice.core.errors import broken_rule
from xbarspice.core.schema import NotNegatives, Numbers, Part, Text, WholeNumber, WholeNumbers
from xbarspice.core.wires import Resistance, wires_of
from xbarspice.mapping import ArrayConfig
from xbarspice.variability import from_config, to_config

__all__ = [
    "KIND",
    "MADE_BY",
    "CardFile",
    "ConfigRecord",
    "DeploymentFile",
    "InputFile",
    "MatrixFile",
    "OriginFile",
    "WiresFile",
    "hash_of",
]

KIND = "deployment"
MADE_BY = "`xbarspice map MODEL --inputs x.npz --out FILE` or `xb.save`"


def _bytes(value: Any) -> bytes:
    array = np.asarray(value)
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError("must be a row of bytes")
    return array.tobytes()


Bytes = Annotated[bytes, BeforeValidator(_bytes)]


class DeviceRecord(Part):
    """A device model by name, with all its parameters."""

    name: str
    parameters: dict[str, float | int | None]


class ConfigRecord(Part):
    """An `ArrayConfig` in plain values; its own rules hold the ranges."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    layout: str = "tiled"
    tile_rows: int
    tile_cols: int
    G_min: float
    G_max: float
    V_read: float
    x_scale: float
    x_centre: float
    bias: str
    w_scale: str
    clip: float | None
    placement: str
    cells: int
    cell_code: str
    levels: int | list[float] | None
    R_wl: float
    R_bl: float
    R_driver: float
    R_sense: float
    device: DeviceRecord
    dac_bits: int | None
    adc_bits: int | None
    adc_range: float | None
    variation: list[dict[str, Any]] | None
    recompute: bool
    dtype: str

    @classmethod
    def of(cls, config: ArrayConfig) -> Self:
        """The record of a configuration.

        Raises:
            InputError: its device or variation cannot be found again by name.
        """
        values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
        for name, kind in cls.__annotations__.items():
            if kind.startswith("float") and values[name] is not None:
                values[name] = float(values[name])
        if isinstance(values["levels"], tuple):
            values["levels"] = list(values["levels"])
        values["device"] = _device_record(config.model)
        if config.variation is not None:
            values["variation"] = to_config(config.variation)
        return cls.model_validate(values)

    def config(self) -> ArrayConfig:
        """The configuration of a record.

        Raises:
            InputError: a value breaks the rules of `ArrayConfig`, or a name is unknown.
        """
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        parameters: Any = self.device.parameters
        values["device"] = devices.with_parameters(self.device.name, parameters)
        if self.variation is not None:
            values["variation"] = from_config(self.variation)
        return ArrayConfig(**values)


def _device_record(model: devices.Device) -> DeviceRecord:
    parameters = {
        f.name: _number(getattr(model, f.name))
        for f in dataclasses.fields(model)  # type: ignore[arg-type]
    }
    usual = devices.get(model.name) if model.name in devices.names() else None
    if type(usual) is not type(model) or any(
        not isinstance(v, float | int | None) for v in parameters.values()
    ):
        raise broken_rule(
            "the device of an array must be found by its name when it is loaded",
            f"{model.name!r}, a {type(model).__name__}",
            "Register it with xbarspice.devices.register, its parameters plain numbers.",
        )
    return DeviceRecord(name=model.name, parameters=parameters)


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def hash_of(conductances: np.ndarray) -> str:
    """SHA-256 of conductances in S as little-endian float64, row by row."""
    return hashlib.sha256(np.ascontiguousarray(conductances, "<f8").tobytes()).hexdigest()


class WiresFile(Part):
    """Wires of one array, as of `nn.put_wires`: group, row and column of its tile, and ohm."""

    tile: WholeNumbers
    R_wl: NotNegatives | None = None
    R_bl: NotNegatives | None = None
    R_driver: NotNegatives | None = None
    R_sense: NotNegatives | None = None

    @model_validator(mode="after")
    def _is_of_a_tile(self) -> Self:
        if len(self.tile) != 3 or not self.resistances:
            raise ValueError("wires need three numbers of a tile and a resistance")
        return self

    @property
    def resistances(self) -> dict[str, Resistance]:
        """Those that are given, by name."""
        return {name: R for name, R in wires_of(self).items() if R is not None}


class MatrixFile(Part):
    """One weight matrix: its arrays and how it stands on them.

    `G` is (groups, lines, columns), S, what the weights ask for; the arrays are its parts between
    `row_edges` and `col_edges`. `conductances`, of the same shape, is what stands on the arrays
    instead where devices were programmed or measured; `conductances_sha256` is `hash_of` it. `read`
    numbers the reads of a folded array, which holds both of its matrices: 0 for the one on the
    upper word lines, 1 for the one below; None in the tiled layout. `orders` is the order of the
    lines of arrays where lines were placed, as JSON: group, row and column of the tile,
    word lines, bit lines, and on a larger array what its unused lines are ("driven" or "floating")
    and its conductances, S, by word line; `orders_sha256` is `hash_of` its bytes. `wires`, numbered
    from 0, are those of arrays with wires of their own. `correction`, (2, groups, outputs), has the
    gains and offsets of its sums. `config` is a `ConfigRecord` as JSON, in UTF-8.
    """

    name: Text
    layer: Text
    config: Bytes
    bias_line: StrictBool
    seed: Annotated[int, Field(strict=True, ge=0)]
    transfer: WholeNumber | None
    read: Annotated[int, Field(strict=True, ge=0, le=1)] | None = None
    G: Numbers
    row_edges: WholeNumbers
    col_edges: WholeNumbers
    conductances: Numbers | None = None
    conductances_sha256: Text = ""
    correction: Numbers | None = None
    orders: Bytes = b""
    orders_sha256: Text = ""
    wires: dict[str, WiresFile] = Field(default={})

    @model_validator(mode="after")
    def _orders_fit(self) -> Self:
        if self.orders and hash_of(np.frombuffer(self.orders, np.uint8)) != self.orders_sha256:
            raise ValueError("orders must have the hash that was written with them")
        return self

    @model_validator(mode="after")
    def _conductances_fit(self) -> Self:
        if self.conductances is None:
            if self.conductances_sha256:
                raise ValueError("a hash belongs to conductances")
            return self
        if self.conductances.shape != self.G.shape or (self.conductances < 0).any():
            raise ValueError("conductances must be numbers >= 0 in the shape of G")
        if hash_of(self.conductances) != self.conductances_sha256:
            raise ValueError("conductances must have the hash that was written with them")
        return self

    @model_validator(mode="after")
    def _correction_fits(self) -> Self:
        values = self.correction
        if values is not None and (values.ndim != 3 or len(values) != 2):
            raise ValueError("correction must have the shape (2, groups, outputs)")
        return self

    @model_validator(mode="after")
    def _edges_span(self) -> Self:
        if self.G.ndim != 3:
            raise ValueError("G must have the shape (groups, lines, columns)")
        for edges, size in ((self.row_edges, self.G.shape[1]), (self.col_edges, self.G.shape[2])):
            if len(edges) < 2 or edges[0] != 0 or edges[-1] != size or (np.diff(edges) <= 0).any():
                raise ValueError("edges must rise from 0 to the size of G")
        return self


class InputFile(Part):
    """One input of the model: its name, type and sizes as JSON (a text is a size that may vary)."""

    name: Text
    dtype: Text
    shape: Text


class OriginFile(Part):
    """The original: the hash of its weights, and its outputs for some inputs in float64.

    `inputs` and `outputs` are numbered from 0; none are kept where `note` says so.
    """

    weights_sha256: Text
    trained_since: StrictBool
    rounded: StrictBool = False
    inputs: dict[str, np.ndarray] = Field(default={})
    outputs: dict[str, np.ndarray] = Field(default={})
    note: Text = ""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for group in (self.inputs, self.outputs):
            if set(group) != {str(k) for k in range(len(group))}:
                raise ValueError("inputs and outputs must be numbered from 0 without a gap")
            if any(
                not isinstance(v, np.ndarray) or v.dtype.kind not in "fiub" for v in group.values()
            ):
                raise ValueError("inputs and outputs must be arrays of numbers")
        if bool(self.inputs) != bool(self.outputs):
            raise ValueError("inputs and outputs belong together")
        return self


class CardFile(CardText):
    """The calibration card of a deployment or crossbar file."""

    def card(self) -> KeptCard:
        """The card as a model carries it.

        Raises:
            InputError: it is no card.
        """
        CalibrationCard.from_text(self.text, "card of the file")
        return KeptCard(text=self.text, overruled=tuple(self.overruled.split()))


class DeploymentFile(Part):
    """A model on arrays.

    `how` says how the digital part is rebuilt: "program" (`program` holds a ``.pt2`` archive), or
    "factory" (`factory` names the code that makes the module, `program` holds its weights as
    ``.safetensors``).
    """

    xbarspice: Text
    how: Literal["program", "factory"]
    factory: Text = ""
    folded: StrictBool = False
    program: Bytes
    matrices: dict[str, MatrixFile]
    coverage: Bytes
    inputs: dict[str, InputFile] = Field(default={})
    origin: OriginFile | None = None
    card: CardFile | None = None
    notes: Bytes

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.matrices or set(self.matrices) != {str(k) for k in range(len(self.matrices))}:
            raise ValueError("matrices must be numbered from 0 without a gap")
        if set(self.inputs) != {str(k) for k in range(len(self.inputs))}:
            raise ValueError("inputs must be numbered from 0 without a gap")
        names = [m.name for m in self.matrices.values()]
        if len(set(names)) != len(names):
            raise ValueError("matrices must differ by name")
        if (self.how == "factory") != bool(self.factory):
            raise ValueError("a factory is named where it is needed and nowhere else")
        return self
