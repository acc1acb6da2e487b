"""What the HDF5 files of crossbars and mapped networks must hold: one schema a kind, and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    ValidationError,
    model_validator,
)

from xbarspice.array import Crossbar
from xbarspice.errors import StoreError
from xbarspice.mapping import Block, MappedNetwork
from xbarspice.network import Network
from xbarspice.values import array_of, broken_entries, number_of, whole_number_of, whole_numbers_of

__all__ = ["CrossbarFile", "MappedFile", "check_places", "validated"]

REMEDY = "Make the file again."


def _arrays(rank: int | None) -> BeforeValidator:
    return BeforeValidator(lambda v: array_of("value", v, rank=rank, remedy=REMEDY))


def _indices(rank: int) -> BeforeValidator:
    return BeforeValidator(lambda v: whole_numbers_of("value", v, rank=rank, low=0, remedy=REMEDY))


def _number(positive: bool, low: float) -> BeforeValidator:
    return BeforeValidator(
        lambda v: number_of("value", v, positive=positive, low=low, remedy=REMEDY)
    )


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    value = value.decode() if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


Array = Annotated[np.ndarray, _arrays(None)]
Vector = Annotated[np.ndarray, _arrays(1)]
Indices = Annotated[np.ndarray, _indices(1)]
IndexTable = Annotated[np.ndarray, _indices(2)]
Number = Annotated[float, _number(False, -np.inf)]
NotNegative = Annotated[float, _number(False, 0.0)]
Positive = Annotated[float, _number(True, -np.inf)]
Text = Annotated[str, BeforeValidator(_text)]
Count = Annotated[int, BeforeValidator(lambda v: whole_number_of("value", v, low=0, remedy=REMEDY))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class EndsFile(_Part):
    """Codes of both ends of every line, (lines, 2)."""

    word_lines: IndexTable
    bit_lines: IndexTable

    @model_validator(mode="after")
    def _are_codes(self) -> Self:
        for codes in (self.word_lines, self.bit_lines):
            if codes.shape[1] != 2 or codes.max() > 2:
                raise ValueError("ends must be codes 0, 1 or 2, two a line")
        return self


class CrossbarFile(_Part):
    """An array with its wires, device and line ends; the ranges are those of `Crossbar`."""

    G: Array
    R_wl: NotNegative
    R_bl: NotNegative
    R_driver: NotNegative
    R_sense: NotNegative
    device: Text
    device_parameters: dict[str, Number] = {}
    ends: EndsFile


class LayerFile(_Part):
    """Scales of one layer; see `mapping.Layer`."""

    w_scale: Positive
    b_scale: NotNegative
    x_scale: Positive
    V_bias: Number
    gain: Positive
    digital_bias: Vector


class BlockFile(_Part):
    """Place of one block; see `mapping.Block`."""

    layer: Count
    array: Count
    inputs: Indices
    outputs: Indices
    lines_in: IndexTable
    lines_out: IndexTable
    reverse: StrictBool
    ends: EndsFile


class CardFile(_Part):
    """The calibration card of a mapped network, as text, and what was set by hand instead."""

    card: Text = ""
    overruled: Text = ""


class MappedFile(_Part):
    """A mapped network; its groups are numbered from 0 without a gap."""

    activation: Text
    G_min: NotNegative
    G_max: Positive
    V_read: Positive
    network: dict[str, Array]
    arrays: dict[str, CrossbarFile]
    layers: dict[str, LayerFile]
    blocks: dict[str, BlockFile]
    calibration: CardFile = CardFile()

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in ("arrays", "layers", "blocks"):
            group = getattr(self, name)
            if not group or set(group) != {str(k) for k in range(len(group))}:
                raise ValueError(f"{name} must be numbered from 0 without a gap")
        names = {f"{s}{k}" for s in "Wb" for k in range(len(self.layers))}
        if set(self.network) != names:
            raise ValueError(f"network must hold {sorted(names)}")
        if not self.G_min < self.G_max:
            raise ValueError("G_min must be smaller than G_max")
        return self


def validated(schema: type[Any], tree: Any, path: Path) -> Any:
    """A file's tree as its schema.

    Raises:
        StoreError: names every entry that breaks it.
    """
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        entries = broken_entries(error, "file").replace(f" {REMEDY}", "").removesuffix(".")
        raise StoreError(f"`{path.name}` must follow the schema; {entries}. {REMEDY}") from None


def check_places(mapped: MappedNetwork) -> None:
    """Refuse a mapped network whose blocks do not put every weight on a device pair exactly once.

    Raises:
        ValueError: names the first block or layer that breaks a rule.
    """
    network = mapped.network
    covered = [np.zeros((w.shape[0] + 1, w.shape[1]), int) for w in network.W]
    for k, block in enumerate(mapped.blocks):
        if block.layer >= len(network.W) or block.array >= len(mapped.arrays):
            raise ValueError(f"block {k} names layer {block.layer}, array {block.array}")
        _check_block(k, block, network, mapped.arrays[block.array])
        np.add.at(covered[block.layer], np.ix_(block.inputs, block.outputs), 1)
    for k, (times, layer, b) in enumerate(zip(covered, mapped.layers, network.b, strict=True)):
        if (times[:-1] != 1).any() or len(set(times[-1])) != 1 or times[-1, 0] > 1:
            raise ValueError(f"the blocks of layer {k} must hold every weight exactly once")
        if layer.digital_bias.shape != b.shape:
            raise ValueError(f"layer {k} must have one digital bias an output")


def _check_block(k: int, block: Block, network: Network, array: Crossbar) -> None:
    if array.batch:
        raise ValueError(f"array {block.array} must have the shape (rows, cols)")
    inputs, outputs = network.W[block.layer].shape
    if block.inputs.max() > inputs or block.outputs.max() >= outputs:
        raise ValueError(f"block {k} holds inputs or outputs that layer {block.layer} has not")
    lines = (array.cols, array.rows) if block.reverse else (array.rows, array.cols)
    sides = (("lines_in", block.inputs, lines[0]), ("lines_out", block.outputs, lines[1]))
    widths = []
    for name, numbers, count in sides:
        value = getattr(block, name)
        if len(value) != len(numbers) or value.max() >= count:
            raise ValueError(f"{name} of block {k} must name one of {count} lines each")
        if len(np.unique(value)) != value.size:
            raise ValueError(f"{name} of block {k} must differ")
        widths.append(value.shape[1])
    if sorted(widths) != [1, 2]:
        raise ValueError(f"block {k} must have pairs on one side")
    try:
        block.ends.word_lines(array.rows)
        block.ends.bit_lines(array.cols)
    except ValueError as error:
        raise ValueError(f"block {k}: {error}") from None
