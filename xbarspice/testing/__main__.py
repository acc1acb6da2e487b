"""The acid test as a command: `python -m xbarspice.testing SOLVER`; exit 1 if a problem fails."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from rich.console import Console

from xbarspice.core.errors import XbarspiceError, broken_rule, first_line
from xbarspice.core.files import whole_file
from xbarspice.testing.acid import Solver, acid_test
from xbarspice.testing.scorecard import Scorecard

__all__ = ["main"]


def _solver(text: str) -> str | Solver:
    """An engine's name, or the function that ``module:name`` stands for."""
    module, colon, attribute = text.partition(":")
    if not colon:
        return text
    try:
        solver = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise broken_rule(
            "SOLVER must be an engine's name or MODULE:FUNCTION that can be imported",
            f"{text} ({first_line(error)})",
            "Check the spelling, and that the module is in the folder or installed.",
        ) from None
    if not callable(solver):
        raise broken_rule(
            "SOLVER must be a function of an AcidCase",
            f"{text}, a {type(solver).__name__}",
            "Name the function.",
        )
    return solver  # type: ignore[return-value]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m xbarspice.testing",
        description="Hold a crossbar solver against published golden answers.",
        epilog="Exit status: 0 no problem failed and one passed, 1 otherwise, 2 wrong input.",
    )
    parser.add_argument(
        "solver", help="engine of xbarspice, or MODULE:FUNCTION of an AcidCase (docs/acid-test.md)"
    )
    parser.add_argument("--case", action="append", help="only this problem; repeatable")
    parser.add_argument(
        "--tolerance", type=float, help="largest share that passes, in place of each problem's own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--markdown", type=Path, help="write the scorecard to this file, too")
    return parser


def _show(card: Scorecard, as_json: bool, markdown: Path | None) -> None:
    if as_json:
        sys.stdout.write(card.json() + "\n")
    else:
        Console(highlight=False, markup=False).print(card.table())
    if markdown is not None:
        with whole_file(markdown) as partial:
            partial.write_text(card.markdown(), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    try:
        sys.path.insert(0, str(Path.cwd()))
        solver, name = _solver(options.solver), options.solver
        card = acid_test(solver, name=name, cases=options.case, tolerance=options.tolerance)
        _show(card, options.json, options.markdown)
    except XbarspiceError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0 if card.passed else 1


if __name__ == "__main__":
    sys.exit(main())
