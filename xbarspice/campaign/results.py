"""Reads a campaign's results, at any time: finished, running or killed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.campaign import row_files
from xbarspice.campaign.items import Item
from xbarspice.campaign.journal import folder_of, segments_of
from xbarspice.core.errors import InputError, StoreError, broken_rule

__all__ = ["Failure", "Results", "load"]

_READS = 20


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an item has no result: the exception's type and text, and how often it was tried."""

    error: str
    text: str
    attempts: int
    seconds: float


class Results(Mapping[str, dict[str, Any]]):
    """Values of every finished item by its key, in the order of the campaign's items.

    ``results[item]`` and ``results[item.key]`` give the dictionary that the function returned,
    flattened ("a/b" for nested names).

    Attributes:
        function: name of the campaign's function.
        failures: `Failure` of every item that failed, by key.
    """

    def __init__(self, sources: list[row_files.Contents]) -> None:
        self.function = sources[-1].header.function
        self._tables = [table for contents in sources for table in contents.tables]
        places: dict[str, tuple[int, int, int]] = {}
        for number, table in enumerate(self._tables):
            for row, (key, index) in enumerate(zip(table.keys, table.index.tolist(), strict=True)):
                places.setdefault(key.tobytes().hex(), (index, number, row))
        self._places = dict(sorted(places.items(), key=lambda entry: entry[1]))
        failed: dict[bytes, row_files.Row] = {}
        for contents in (sources[-1], *sources[:-1]):  # the merged file is the oldest
            failed |= contents.failures
        self.failures = {
            key.hex(): Failure(error=r.error, text=r.text, attempts=r.attempts, seconds=r.seconds)
            for key, r in sorted(failed.items(), key=lambda entry: entry[1].index)
            if key.hex() not in self._places
        }

    def _cells(self, item: str | Item, part: str) -> dict[str, Any]:
        key = item.key if isinstance(item, Item) else item
        _, number, row = self._places[key]
        table = self._tables[number]
        out = {}
        for name, kind, _ in table.schema:
            if name.startswith(part):
                value = table.columns[name][row]
                plain = isinstance(value, np.generic) and not _is_array(kind)
                out[name.removeprefix(part)] = (
                    value.item() if plain else np.asarray(value) if _is_array(kind) else value
                )
        return out

    def __getitem__(self, item: str | Item) -> dict[str, Any]:
        return self._cells(item, "values/")

    def __contains__(self, item: object) -> bool:
        return (item.key if isinstance(item, Item) else item) in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def settings(self, item: str | Item) -> dict[str, Any]:
        """The plain numbers and words among the parameters of a finished item."""
        return self._cells(item, "settings/")

    def seconds(self) -> np.ndarray:
        """What each finished item took, s, (items,)."""
        return np.array([self._tables[n].seconds[row] for _, n, row in self._places.values()])

    def column(self, name: str, items: Iterable[str | Item] | None = None) -> np.ndarray:
        """One value of many items as an array, (items, ...).

        Args:
            name: name of the value.
            items: which, in this order; None for all finished items.

        Raises:
            InputError: an item is unfinished or has no such value, or the shapes differ.
        """
        cells = []
        for item in self if items is None else items:
            if item not in self:
                key = item.key if isinstance(item, Item) else item
                why = self.failures.get(key)
                raise broken_rule(
                    "a column needs finished items",
                    f"item {key[:12]}, which "
                    + (f"failed ({why.error}: {why.text})" if why else "is not done"),
                    "Resume the campaign, or pass `items` without it.",
                )
            values = self[item]
            if name not in values:
                raise broken_rule("an item must have that value", name, f"One of {sorted(values)}.")
            cells.append(values[name])
        shapes = {np.shape(cell) for cell in cells}
        if len(shapes) > 1:
            raise broken_rule(
                f"the {name!r} of all items must have one shape",
                sorted(shapes),
                "Pass the `items` of one shape.",
            )
        return np.array(cells)


def _is_array(kind: str) -> bool:
    return kind not in ("none", "bool", "int", "float", "str")


def load(path: str | os.PathLike[str]) -> Results:
    """Read a campaign file and the segments beside it; needs no lock.

    Raises:
        InputError: there is no such campaign.
        StoreError: a file is damaged.
    """
    path = Path(path)
    for _ in range(_READS):
        try:
            return Results(_read(path))
        except FileNotFoundError:
            continue  # segments were merged meanwhile; look again
    raise StoreError(
        f"the segments of {path} must not change all the time. Read it when the campaign ended."
    )


def _read(path: Path) -> list[row_files.Contents]:
    # Segments first, the merged file last: what is merged in between is then seen twice, not never.
    sources = []
    for segment in segments_of(path):
        if not segment.whole():
            raise StoreError(
                f"segment {segment.path.name} of {folder_of(path)} must be as it was written; it "
                "is damaged. Resume the campaign: its items are then solved again."
            )
        sources.append(row_files.read(segment.path))
    if not path.is_file():
        if sources:
            raise StoreError(
                f"the campaign file must lie beside its segments; {path} is missing. "
                "Bring it back, or move the segments away."
            )
        raise InputError(f"the campaign file must exist; received {path}. Check the path.")
    return [*sources, row_files.read(path)]
