"""KLayout's Python package, and layouts as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.errors import broken_rule, first_line, missing_package

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["klayout_db", "read", "save"]


def klayout_db() -> Any:
    """The module `klayout.db`, loaded on first use.

    Raises:
        PackageMissingError: it is not installed.
    """
    try:
        import klayout.db
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    return klayout.db


def save(layout: kdb.Layout, folder: Path, stem: str) -> list[Path]:
    """Write GDSII and OASIS without dates, so that equal drawings are equal files."""
    kdb = klayout_db()
    paths = []
    for suffix, form in ((".gds", "GDS2"), (".oas", "OASIS")):
        options = kdb.SaveLayoutOptions()
        options.format = form
        options.gds2_write_timestamps = False
        paths.append(folder / f"{stem}{suffix}")
        layout.write(str(paths[-1]), options)
    return paths


def read(path: Path) -> kdb.Layout:
    """Read a GDSII or OASIS file.

    Raises:
        InputError: it cannot be read.
    """
    layout = klayout_db().Layout()
    try:
        layout.read(str(path))
        _read_names(layout)
    except (RuntimeError, UnicodeDecodeError) as error:  # its text may hold bytes of the file
        raise broken_rule(
            "a layout must be a GDSII or OASIS file",
            f"{path}: {first_line(error)}",
            "Check the file.",
        ) from error
    return layout


def _read_names(layout: kdb.Layout) -> None:
    """Read every name and text once: KLayout keeps bytes, which may be no UTF-8.

    Raises:
        RuntimeError, UnicodeDecodeError: one of them is not.
    """
    texts = klayout_db().Shapes.STexts
    for layer in layout.layer_infos():
        _ = layer.name
    for cell in layout.each_cell():
        _ = cell.name
        for index in layout.layer_indexes():
            for shape in cell.shapes(index).each(texts):
                _ = shape.text_string
