"""Reads a technology: a packaged one by its name, or a TOML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import parse_toml, read_toml
from xbarspice.core.values import broken_entries
from xbarspice.tapeout.technology.schema import Technology

__all__ = ["NAMES", "load_technology", "packaged"]

NAMES = ("demo", "sky130b")
"""Technologies that the package holds: a fictitious one, and an open process with its sources."""


def packaged(name: str) -> str:
    """The TOML text of a packaged technology."""
    return (
        resources.files("xbarspice.tapeout.technology")
        .joinpath(f"data/{name}.toml")
        .read_text("utf-8")
    )


def load_technology(technology: str | Path = "demo") -> Technology:
    """Read a technology: a packaged one of `NAMES`, or a TOML file of the same form.

    A foundry cell that a file names is looked for beside the file.

    Raises:
        InputError: there is no such file, or an entry is missing, unknown, or breaks a rule of the
            technology itself.
    """
    if str(technology) in NAMES:
        values = parse_toml(packaged(str(technology)), str(technology))
    else:
        path = Path(technology)
        if not path.is_file():
            raise broken_rule(
                f"a technology is one of {', '.join(NAMES)} or a TOML file",
                str(path),
                "Check the path.",
            )
        values = read_toml(path, "a technology")
        _find_cell(values, path.parent)
    try:
        return Technology.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"the technology {technology} must be complete and consistent; "
            f"{broken_entries(error, 'file')}."
        ) from error


def _find_cell(values: dict[str, Any], folder: Path) -> None:
    """Make the path of a foundry cell one from here; it must be a file."""
    device = values.get("device")
    cell = device.get("cell") if isinstance(device, dict) else None
    file = cell.get("file") if isinstance(cell, dict) else None
    if not isinstance(cell, dict) or not isinstance(file, str):
        return  # the schema says what is wrong
    path = folder / file
    if not path.is_file():
        raise broken_rule(
            "device.cell.file must be a GDSII or OASIS file beside the technology",
            str(path),
            "Put the foundry's file there, or leave device.cell out: the device is drawn as boxes.",
        )
    cell["file"] = str(path.resolve())
