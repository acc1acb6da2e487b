"""What the HDF5 files of crossbars must hold: a schema with its ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)

from xbarspice.core.errors import StoreError
from xbarspice.core.values import (
    array_of,
    broken_entries,
    number_of,
    whole_number_of,
    whole_numbers_of,
)

__all__ = ["CrossbarFile", "EndsFile", "validated"]

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
