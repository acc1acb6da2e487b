"""The command `drc`: a layout against the rules of a technology."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import Json, RunFolder
from xbarspice.cli.runs import output_file, run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.tapeout.technology import Technology

__all__ = ["drc", "register"]


def drc(
    layout: Annotated[
        Path | None, typer.Argument(metavar="LAYOUT", help="GDSII or OASIS file of any origin.")
    ] = None,
    technology: Annotated[
        str, typer.Option(help="'demo' (fictitious), 'sky130b', or a technology TOML file.")
    ] = "demo",
    cell: Annotated[
        str | None, typer.Option(help="Cell to check; all top cells by default.")
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            help="Also write the rules as a script for KLayout's application, .lydrc or .drc."
        ),
    ] = None,
    out: RunFolder = Path("runs/drc"),
    json: Json = False,
) -> None:
    """Check a layout against every rule of a technology, each violation with its place.

    Checked are grid, widths, spaces, enclosures, areas, cuts, contacts, densities and devices as
    the technology file states them; not antennas, latch-up, or layers that it does not name. With
    --script alone the rules are only written. The run folder has a page with the places drawn in
    the layout. Exit 1 if a rule is broken.
    """
    from xbarspice.cli import steps
    from xbarspice.tapeout.rules import save_script
    from xbarspice.tapeout.rules.script import refuse_ending
    from xbarspice.tapeout.technology import load_technology

    if layout is None and script is None:
        raise broken_rule(
            "the command checks a layout, or writes a script", "neither", "Name one of them."
        )
    if layout is None and cell is not None:
        raise broken_rule("`--cell` is one of a layout", cell, "Name the layout, too.")
    rules = load_technology(technology)
    if script is not None:
        refuse_ending(script)
        output_file(script, script.suffix)
    record = None
    if layout is not None:
        steps.need("jinja2")
        record = _check(layout, rules, technology, cell, out, json)
    if script is not None:
        save_script(rules, script)
    if record is None:
        screens.show({"script": str(script)}, json, "Rules as a script")
        return
    screens.rules(record, out, json)
    raise typer.Exit(0 if record["clean"] else 1)


def _check(
    layout: Path, rules: Technology, technology: str, cell: str | None, out: Path, json: bool
) -> dict[str, Any]:
    """Check the layout, and leave the run folder; the record of the check."""
    import xbarspice
    from xbarspice.cli import steps
    from xbarspice.tapeout.drawing import read
    from xbarspice.tapeout.rules import check_layout
    from xbarspice.tapeout.rules.page import write

    values = {"layout": str(layout.resolve()), "technology": technology, "cell": cell}
    drawing = read(layout)
    with run_folder(out) as folder, screens.waiting("checking the rules", quiet=json):
        record = {
            "layout": str(layout),
            **check_layout(drawing, rules, cell).record(),
            "config": values,
            "xbarspice": xbarspice.__version__,
        }
        steps.save_run(folder, values, record)
        write(record, drawing, rules, folder / "report.html")
    return record


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: xbarspice drc chip.gds --technology sky130b")(drc)
