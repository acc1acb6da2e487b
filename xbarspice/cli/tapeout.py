"""The command `tapeout`: what the circuit designer and the test engineer take away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from xbarspice.cli import models, screens
from xbarspice.cli.options import (
    Activation,
    Array,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    Settings,
    Vectors,
)
from xbarspice.cli.program import (
    ChannelsOption,
    OrderOption,
    PulseOption,
    SchemeOption,
    StartOption,
    pulses_of,
    scheme_of,
)
from xbarspice.cli.runs import run_folder
from xbarspice.cli.tapeout_decks import (
    DeckTimeout,
    DeckVariables,
    Drc,
    Lvs,
    LvsDeck,
    Magic,
    add_decks,
    lines_of,
    run_on_folder,
)
from xbarspice.config import RunConfig
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.tapeout.plans import Programming

__all__ = ["register", "tapeout"]


SubjectOption = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Deployment (.h5), model (.pt2, .onnx, weights with --model) or perceptron (.npz, "
        ".pt); with --check the folder of an earlier tapeout.",
    ),
]
TechnologyOption = Annotated[
    str, typer.Option(help="'demo' (fictitious), 'sky130b', or a technology TOML file.")
]
DialectOption = Annotated[
    list[str] | None, typer.Option(help="Netlist dialect; repeatable; all by default.")
]
FormOption = Annotated[str, typer.Option(help="Devices as subcircuit, verilog_a or resistor.")]
BracketsOption = Annotated[
    str, typer.Option(help="Brackets of the lines' names in layouts and netlists: <> or [].")
]
NameOption = Annotated[
    str | None,
    typer.Option(help="Name before all cells and models; by default from the content."),
]
ComplianceOption = Annotated[
    float | None, typer.Option(help="Current that no write pulse should exceed, A, in the plans.")
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Hold a folder written earlier against its manifest.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: xbarspice tapeout net.h5 --inputs x.npz --technology demo\n\n"
        "xbarspice tapeout tapeout --check\n\n"
        "xbarspice tapeout tapeout --drc foundry.drc --lvs klayout --lvs-deck foundry.lvs"
    )(tapeout)


def tapeout(
    subject: SubjectOption,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("tapeout"),
    technology: TechnologyOption = "demo",
    array: Array = None,
    dialect: DialectOption = None,
    form: FormOption = "subcircuit",
    brackets: BracketsOption = "<>",
    order: OrderOption = "smallest",
    scheme: SchemeOption = "v/3",
    start: StartOption = None,
    pulse: PulseOption = None,
    compliance: ComplianceOption = None,
    channels: ChannelsOption = None,
    inputs: Inputs = None,
    vectors: Vectors = 8,
    model: Factory = None,
    activation: Activation = None,
    name: NameOption = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    drc: Drc = None,
    lvs: Lvs = None,
    lvs_deck: LvsDeck = None,
    magic: Magic = None,
    deck_variable: DeckVariables = None,
    deck_timeout: DeckTimeout = 600.0,
    check: CheckOption = False,
    json: Json = False,
) -> None:
    """Draw every array of a model, compare layout and netlists, plan the programming.

    Each array is a design of its own, in a folder of its own; floorplan.gds holds all of them as
    cells on a grid, without any routing between them. Every drawing is checked against the rules
    of its technology. Exit 1 if LVS fails or a rule is broken.

    With --drc and --lvs decks of yours are run on the drawings by klayout, magic and netgen, which
    must be installed; given a folder of an earlier tapeout, on that. Exit 1 if a deck finds
    something or gives no verdict.

    With --check nothing is written. Every file that changed, is missing or superfluous is named,
    and every netlist is proven against the deployment in the folder again (exit 1 if something is
    wrong).
    """
    from xbarspice.cli import steps
    from xbarspice.tapeout.decks import decks_of

    decks = decks_of(drc, lvs, lvs_deck, magic, deck_variable, deck_timeout)
    others = {
        "--check": check,
        "--inputs": inputs,
        "--config": config,
        "--set": settings,
        "--calibration": calibration,
    }
    if decks and (check or (subject / "manifest.json").is_file()):
        run_on_folder(subject, decks, others, json)
    if check:
        _refuse_beside_check(calibration, config, settings, inputs)
        _check(subject, model, json)
    steps.need("matplotlib", "jinja2")
    reads = models.reads_of(subject)
    run = steps.configuration(
        config, settings, reads=reads, calibration=calibration, mapped=subject
    )
    options = {
        "names": dialect,
        "form": form,
        "brackets": brackets,
        "programming": _programming(order, scheme, start, pulse, compliance, channels),
        "name": name,
        "only": array,
        "vectors": vectors,
        "decks": decks,
    }
    with run_folder(out) as folder:
        record = _write(
            subject, folder, technology, inputs, run, calibration, model, activation, options, json
        )
    screens.show(record if json else steps.name_card(_short(record, out), run), json, "Tapeout")
    raise typer.Exit(0 if record["passed"] else 1)


def _write(
    subject: Path,
    folder: Path,
    technology: str,
    inputs: Path | None,
    run: RunConfig,
    calibration: Path | None,
    model: str | None,
    activation: str | None,
    options: dict[str, Any],
    json: bool,
) -> dict[str, Any]:
    """Fill the folder; the record of its manifest."""
    from xbarspice.cli import steps
    from xbarspice.deployment.opening import open_model
    from xbarspice.tapeout import page as tapeout_page
    from xbarspice.tapeout.decks.folder import refuse_decks
    from xbarspice.tapeout.flow import tapeout as run_tapeout
    from xbarspice.tapeout.manifest import add_file, save_manifest
    from xbarspice.tapeout.technology import load_technology

    rules = load_technology(technology)
    decks = options.pop("decks")
    refuse_decks(decks, rules.model_dump(mode="json"))
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(subject, inputs, run, model, activation, calibration=calibration)
    values = models.about(opened, run)["config"]
    text = steps.run_toml(values)
    (folder / "run.toml").write_text(text, encoding="utf-8")
    with screens.progress("tapeout", quiet=json) as report:
        record = run_tapeout(
            opened.circuit,
            opened.arguments,
            folder,
            rules,
            y=opened.y,
            model=model,
            notes=opened.notes,
            progress=report,
            **options,
        )
    if run.calibration is not None:
        record = steps.name_card(record, run, values)
        save_manifest(record, folder)
    if decks:
        record = add_decks(folder, record, decks, json)
    page = tapeout_page.write(record, folder, folder / "report.html")
    add_file(record, folder, page, "report")
    return record


def _programming(
    order: str,
    scheme: str,
    start: float | None,
    pulse: list[str] | None,
    compliance: float | None,
    channels: Path | None,
) -> Programming:
    from xbarspice.programming import Channels
    from xbarspice.tapeout.plans import Programming

    return Programming(
        order=order,
        scheme=scheme_of(scheme),
        start=start,
        pulses=pulses_of(pulse) if pulse else None,
        compliance=compliance,
        channels=None if channels is None else Channels.load(channels),
    )


def _refuse_beside_check(
    calibration: Path | None, config: Path | None, settings: list[str] | None, inputs: Path | None
) -> None:
    """The check reads the folder alone."""
    if calibration is not None:
        raise broken_rule(
            "the check holds a folder against its own manifest, which names its card",
            str(calibration),
            "Leave --calibration out, or write the tapeout anew with it.",
        )
    if settings or config is not None:
        raise broken_rule(
            "the check holds a folder against its own manifest, which no setting changes",
            ", ".join(settings or []) or str(config),
            "Leave --set and --config out, or write the tapeout anew with them.",
        )
    if inputs is not None:
        raise broken_rule(
            "the check takes the inputs that the folder holds", str(inputs), "Leave --inputs out."
        )


def _check(folder: Path, factory: str | None, json: bool) -> NoReturn:
    """Show what `check_folder` says; the exit status is its verdict."""
    from xbarspice.tapeout.check import check_folder

    with screens.waiting("writing the netlists again", quiet=json):
        result = check_folder(folder, factory=factory)
    shown: dict[str, Any] = {
        "folder": str(folder),
        "files": result.files,
        "texts_compared": result.texts,
        "passed": result.passed,
        "problems": [{"file": name, "problem": words} for name, words in result.problems],
    }
    if not json:
        shown["problems"] = [f"{name} {words}" for name, words in result.problems] or "none"
    screens.show(shown, json, "Tapeout check")
    raise typer.Exit(0 if result.passed else 1)


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a person wants to see of the manifest."""
    from xbarspice.report.units import percent
    from xbarspice.tapeout.lvs.page import looked_at
    from xbarspice.tapeout.signoff.section import summary as signoff_summary

    arrays = record["arrays"]
    faults = [
        f"{a['array']}: {f['kind']}: {f['place']}" for a in arrays for f in a["lvs"]["faults"]
    ]
    scope = looked_at([(a["array"], a["lvs"]["looked_at"]) for a in arrays])
    effect, floorplan = record["effect_of_drawn_wires"], record["floorplan"]
    wires = [m["wires"] for layer in record["layers"] for m in layer["matrices"]]
    short: dict[str, Any] = {
        "folder": str(out),
        "files": len(record["files"]),
        "arrays": f"{len(arrays)} of {record['arrays_of_model']}",
        "devices": sum(a["devices"] for a in arrays),
        "LVS": faults or f"clean ({scope})",
        "rules": _rules(record),
        "sign-off": signoff_summary(record),
        **({"decks": lines_of(record)} if "decks" in record else {}),
        "floorplan": f"{floorplan['width_um']:.0f} x {floorplan['height_um']:.0f} um. "
        f"{floorplan['says']}",
        "wires_assumed_ohm": _ranges(list(record["wires_assumed"].values())),
        "wires_drawn_ohm": _ranges(wires),
        "points": effect["points"],
        "largest_output_change": f"{effect['largest_output_change']:.3g} of "
        f"{effect['largest_output']:.3g}",
    }
    for key in ("accuracy", "agreement_with_software"):
        if effect[key] is not None:
            short[key] = [f"{name} {percent(share)}" for name, share in effect[key].items()]
    if effect["decisions_changed"] is not None:
        short["decisions_changed"] = effect["decisions_changed"]
    return short


def _rules(record: dict[str, Any]) -> str | list[str]:
    """Rules that drawings break, with their number of places."""
    from xbarspice.tapeout.rules.folder import summary

    broken = [
        f"{v['drawing']}: {rule} at {counted(count, 'place')}"
        for v in record["rules"]
        for rule, count in v["broken"].items()
    ]
    return broken or summary(record)


def _ranges(wires: list[dict[str, Any]]) -> list[str]:
    """Each resistance, or its smallest and largest over the arrays of all matrices."""
    import numpy as np

    from xbarspice.core.wires import as_text

    out = []
    for name in wires[0]:
        each = [w[name] for w in wires]
        values = [v for R in each for v in (R.values() if isinstance(R, dict) else [R])]
        out.append(f"{name} {as_text(np.array(values))}")
    return out
