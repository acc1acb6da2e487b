"""Kinds of entries in HDF5 files, for schemas that pydantic checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from xbarspice.core.errors import StoreError
from xbarspice.core.values import (
    array_of,
    broken_entries,
    number_of,
    whole_number_of,
    whole_numbers_of,
)

__all__ = [
    "NotNegative",
    "NotNegatives",
    "Number",
    "Numbers",
    "Part",
    "Text",
    "WholeNumber",
    "WholeNumbers",
    "WholeTable",
    "validate",
]

REMEDY = "Make the file again."


def _whole_numbers(rank: int) -> BeforeValidator:
    return BeforeValidator(lambda v: whole_numbers_of("value", v, rank=rank, low=0, remedy=REMEDY))


def _number(low: float) -> BeforeValidator:
    return BeforeValidator(lambda v: number_of("value", v, low=low, remedy=REMEDY))


def _one_or_many(value: Any) -> float | np.ndarray:
    if isinstance(value, np.ndarray) and value.ndim:
        return array_of("value", value, low=0.0, remedy=REMEDY)
    return number_of("value", value, low=0.0, remedy=REMEDY)


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    value = value.decode() if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


Numbers = Annotated[np.ndarray, BeforeValidator(lambda v: array_of("value", v, remedy=REMEDY))]
"""Real numbers, an array of any shape."""
WholeNumbers = Annotated[np.ndarray, _whole_numbers(1)]
"""Whole numbers from 0 on, one axis."""
WholeTable = Annotated[np.ndarray, _whole_numbers(2)]
"""The same with two axes."""
WholeNumber = Annotated[
    int, BeforeValidator(lambda v: whole_number_of("value", v, low=0, remedy=REMEDY))
]
Number = Annotated[float, _number(-np.inf)]
NotNegative = Annotated[float, _number(0.0)]
NotNegatives = Annotated[float | np.ndarray, BeforeValidator(_one_or_many)]
"""One number >= 0, or an array of them."""
Text = Annotated[str, BeforeValidator(_text)]


class Part(BaseModel):
    """A group of a file: it holds its entries and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


Schema = TypeVar("Schema", bound=BaseModel)


def validate(schema: type[Schema], tree: Any, path: Path) -> Schema:
    """A file's tree as its schema.

    Raises:
        StoreError: names every entry that breaks it.
    """
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        entries = broken_entries(error, "file").replace(f" {REMEDY}", "").removesuffix(".")
        raise StoreError(f"`{path.name}` must follow the schema; {entries}. {REMEDY}") from None
