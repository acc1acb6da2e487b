"""Settings, arrays and versions as tables, drawn from a stored record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xbarspice.report import units
from xbarspice.report.content import Item, Section, Table

__all__ = ["config_section", "environment_section"]

_LONG = 16  # rows above which a table waits folded
_UNITS = {"R": "ohm", "G": "S", "V": "V", "I": "A"}


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _with_unit(name: str, value: Any) -> str:
    unit = _UNITS.get(name.rpartition(".")[2].partition("_")[0])
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return units.si(value, unit, 6) if unit and number else units.plain(value)


def config_section(record: dict[str, Any]) -> Section | None:
    """Network, arrays and the settings that were read."""
    items: list[Item] = []
    if network := record.get("network"):
        rows = [(name, units.plain(v)) for name, v in _flat(network)]
        items.append(Table(caption="Network", head=("", "Value"), rows=rows, left=(0, 1)))
    if arrays := record.get("arrays"):
        items.append(_array_table(arrays))
    if config := record.get("config"):
        rows = [(name, _with_unit(name, v)) for name, v in _flat(config)]
        items.append(
            Table(
                caption="Every setting that was read (run.toml)", head=("Name", "Value"),
                rows=rows, left=(0, 1), collapse=len(rows) > _LONG,
            )
        )  # fmt: skip
    return Section(title="Configuration", items=items) if items else None


def _array_table(arrays: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(k for a in arrays for k in a if k != "shape"))
    rows = [
        [str(k), " x ".join(str(n) for n in a.get("shape") or ()) or "-"]
        + [_with_unit(name, a.get(name)) for name in names]
        for k, a in enumerate(arrays)
    ]
    return Table(
        caption="Arrays", head=["Array", "Cells", *names], rows=rows, collapse=len(rows) > _LONG
    )


def environment_section(record: dict[str, Any]) -> Section | None:
    """Versions of everything that took part."""
    found = dict(_flat(record.get("environment") or {}))
    if version := record.get("xbarspice"):
        found = {"xbarspice": version, **found}
    if not found:
        return None
    rows = [(name, units.plain(v)) for name, v in found.items()]
    table = Table(caption="Programs and packages", head=("Name", "Value"), rows=rows, left=(0, 1))
    return Section(title="Environment", items=[table])
