"""The commands `lvs` and `extract`: any drawing against its arrays, and what is drawn in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import Factory, Json, RunFolder
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.core.array import Crossbar

__all__ = ["extract", "lvs", "register"]

Layout = Annotated[
    Path, typer.Argument(metavar="LAYOUT", help="GDSII or OASIS file of any origin.")
]
TechnologyOption = Annotated[
    str, typer.Option(help="'demo' (fictitious), 'sky130b', or a technology TOML file.")
]
CellOption = Annotated[
    str | None, typer.Option(help="Cell that holds the array; the only top cell by default.")
]


def lvs(
    layout: Layout,
    mapped: Annotated[
        Path, typer.Argument(metavar="MAPPED", help="Deployment (.h5) or array file.")
    ],
    technology: TechnologyOption = "demo",
    array: Annotated[
        str | None, typer.Option(help="Array of the deployment, by its name in the model.")
    ] = None,
    cell: CellOption = None,
    model: Factory = None,
    wires: Annotated[
        bool, typer.Option(help="Extract resistances, too, and compare those that MAPPED states.")
    ] = True,
    out: RunFolder = Path("runs/lvs"),
    json: Json = False,
) -> None:
    """Compare a drawing with its arrays: lines as nets, labels, devices with size, resistances.

    The drawing may have been edited, merged, turned or flattened. Of a deployment with several
    arrays all are compared, each with the cell whose name ends with _a and its number, as a tapeout
    names them. Resistances are compared with the technology's, and with those of MAPPED where it
    states them place by place, as the deployment in a tapeout's folder does. The run folder has a
    page with the faults at their places. Exit 1 if something differs.
    """
    import xbarspice
    from xbarspice.cli import steps
    from xbarspice.tapeout.drawing import read
    from xbarspice.tapeout.lvs import compare_layout
    from xbarspice.tapeout.lvs.page import write
    from xbarspice.tapeout.technology import load_technology

    steps.need("jinja2")
    rules, drawing = load_technology(technology), read(layout)
    with screens.waiting("reading the arrays", quiet=json):
        crossbars = _crossbars(drawing, mapped, array, cell, model)
    arrays: list[dict[str, Any]] = []
    cache: dict[Any, Any] = {}
    values: dict[str, Any] = {
        "layout": str(layout.resolve()),
        "mapped": str(mapped.resolve()),
        "technology": technology,
        "array": array,
        "cell": cell,
        "wires": wires,
    }
    with run_folder(out) as folder, screens.progress("lvs", quiet=json) as report:
        for k, (name, crossbar, place) in enumerate(crossbars):
            verdict = compare_layout(
                drawing, crossbar, rules, cell=place, wires=wires, cache=cache
            ).record()
            arrays.append({"array": name, "cell": place, **verdict})
            report(k + 1, len(crossbars))
        record = {
            "layout": str(layout),
            "mapped": str(mapped),
            "technology": rules.name,
            "clean": all(one["clean"] for one in arrays),
            "arrays": arrays,
            "config": values,
            "xbarspice": xbarspice.__version__,
        }
        steps.save_run(folder, values, record)
        write(record, drawing, rules, folder / "report.html")
    screens.comparison(record, out, json)
    raise typer.Exit(0 if record["clean"] else 1)


def _crossbars(
    drawing: Any, mapped: Path, array: str | None, cell: str | None, model: str | None
) -> list[tuple[str, Crossbar, str | None]]:
    """Name, array, and the cell that holds it."""
    from xbarspice.core.wires import IDEAL
    from xbarspice.deployment.kinds import is_deployment
    from xbarspice.verification.array_file import load_array

    if not is_deployment(mapped):
        if array is not None:
            raise broken_rule("`--array` names one of a deployment", array, "Leave it out.")
        defaults = {**IDEAL, "device": "ohmic"}
        return [(mapped.name, load_array(mapped, defaults).crossbar, cell)]
    return _arrays_of_model(drawing, mapped, array, cell, model)


def _arrays_of_model(
    drawing: Any, mapped: Path, array: str | None, cell: str | None, model: str | None
) -> list[tuple[str, Crossbar, str | None]]:
    """As `_crossbars`, of a deployment."""
    from xbarspice import deployment
    from xbarspice.nn import arrays
    from xbarspice.tapeout.lvs.arrays import cells_of_arrays
    from xbarspice.tapeout.sites import drawn_array

    circuit = deployment.read(mapped, factory=model).circuit
    pairs = cells_of_arrays(drawing, arrays(circuit), array, cell)
    return [(one.name, drawn_array(one), place) for one, place in pairs]


def extract(
    layout: Layout,
    technology: TechnologyOption = "demo",
    cell: CellOption = None,
    conductance: Annotated[
        float, typer.Option(help="Conductance of every drawn device in drawn.h5, S.")
    ] = 1e-4,
    corner: Annotated[str, typer.Option(help="Of the resistances: min, typ or max.")] = "typ",
    out: RunFolder = Path("runs/extract"),
    json: Json = False,
) -> None:
    """Extract the array in a drawing: nets, devices with their size, resistances of every line.

    Rows and columns are those of the labels. Each line has its segments, the lead from its pad, and
    the parts of its metal. The run folder has all of it (report.json), a page, and, where the array
    is complete, drawn.h5: the array with its wires. Exit 1 if a line has no label, no pad, or a
    segment too few.
    """
    import xbarspice
    from xbarspice.cli import steps
    from xbarspice.core import crossbar_file
    from xbarspice.tapeout.drawing import read
    from xbarspice.tapeout.lvs.array_page import write
    from xbarspice.tapeout.lvs.arrays import extract_array
    from xbarspice.tapeout.technology import CORNERS, load_technology

    if corner not in CORNERS:
        raise broken_rule(f"`--corner` must be one of {', '.join(CORNERS)}", corner, "Use one.")
    steps.need("jinja2")
    rules, drawing = load_technology(technology), read(layout)
    values: dict[str, Any] = {
        "layout": str(layout.resolve()),
        "technology": technology,
        "cell": cell,
        "conductance": conductance,
        "corner": corner,
    }
    with run_folder(out) as folder, screens.waiting("extracting", quiet=json):
        array = extract_array(drawing, rules, cell=cell, corner=corner)  # type: ignore[arg-type]
        record = {
            "layout": str(layout),
            **array.record(),
            "config": values,
            "xbarspice": xbarspice.__version__,
        }
        steps.save_run(folder, values, record)
        if array.complete:
            crossbar_file.save(folder / "drawn.h5", array.crossbar(conductance))
        write(record, drawing, rules, cell, folder / "report.html")
    screens.show(record if json else _short(record, out), json, "Drawn array")
    raise typer.Exit(0 if array.complete else 1)


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a person wants to see of an extraction."""
    short = {"layout": record["layout"], "complete": record["complete"]}
    if "lines" in record:
        short |= {"size": f"{record['rows']} x {record['cols']}", "devices": len(record["devices"])}
        for kind, word in (("WL", "word lines"), ("BL", "bit lines")):
            lines = [x for x in record["lines"] if x["name"].startswith(kind)]
            for name, key in (("segments", "segments_ohm"), ("leads", "leads_ohm")):
                R = [v for line in lines for v in line[key] or () if v is not None]
                short[f"{name} of {word}, ohm"] = f"{min(R):.6g} to {max(R):.6g}" if R else "none"
    short["faults"] = [f"{f['kind']}: {f['place']}" for f in record["faults"][:20]] or "none"
    array = {"array with its wires": str(out / "drawn.h5")} if record["complete"] else {}
    return short | array | {"report": str(out / "report.html")}


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Example: xbarspice lvs chip.gds net.h5 --technology sky130b")(lvs)
    app.command(epilog="Example: xbarspice extract chip.gds --technology sky130b --out drawn")(
        extract
    )
