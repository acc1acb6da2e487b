"""`pytest --xbarspice`: the verifications that a project states in `xbarspice.toml` run as tests.

pytest loads this module at every start, in projects that never ask for it, too. It therefore stands
outside of the package and imports nothing of it until a file of verifications is collected.
"""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["pytest_addoption", "pytest_collect_file", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line."""
    group = parser.getgroup("xbarspice", "verification of models on crossbars")
    group.addoption(
        "--xbarspice",
        action="store_true",
        help="Also run the verifications of xbarspice.toml and *.xbarspice.toml, each as a test.",
    )
    group.addoption(
        "--xbarspice-out",
        metavar="FOLDER",
        help="Where each verification leaves its run folder (default: in pytest's cache).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of these tests, for `-m xbarspice`."""
    config.addinivalue_line("markers", "xbarspice: a verification stated in an xbarspice.toml")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a file of verifications where they were asked for."""
    name = file_path.name
    if not parent.config.getoption("xbarspice"):
        return None
    if name != "xbarspice.toml" and not name.endswith(".xbarspice.toml"):
        return None
    from pytest_xbarspice.verifications import VerificationFile

    return VerificationFile.from_parent(parent, path=file_path)
