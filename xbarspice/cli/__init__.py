"""The command line."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; a package that it needs and that is missing is one sentence."""
    from xbarspice.core.errors import PackageMissingError, missing_package

    try:
        from xbarspice.cli.app import main as run
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if not isinstance(missing, PackageMissingError):
            raise
        sys.stderr.write(f"error: {missing}\n")
        sys.exit(3)
    run()
