"""The command `netlist`: arrays of a model, or one array, as text for simulators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    Random,
    Settings,
    Vectors,
)
from xbarspice.cli.runs import run_folder
from xbarspice.cli.whole import write_whole
from xbarspice.config import RunConfig
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.core.array import Crossbar
    from xbarspice.deployment.opening import Opened
    from xbarspice.tapeout.netlists import Read

__all__ = ["netlist", "register"]


SubjectOption = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Deployment (.h5), model (.pt2, .onnx, weights with --model), perceptron (.npz, "
        ".pt), or a single array (.npz, .h5, .mat with G and V_in).",
    ),
]
DialectOption = Annotated[
    list[str] | None, typer.Option(help="Netlist dialect; repeatable; ngspice by default.")
]
FormOption = Annotated[
    str | None,
    typer.Option(
        help="Write designs with pins and their test benches, devices as subcircuit, verilog_a "
        "or resistor; without it decks that run by themselves (CDL: always a design)."
    ),
]
WholeOption = Annotated[
    bool,
    typer.Option(
        "--whole",
        help="Instead network.cir, for ngspice: all array reads and neurons of a model that is "
        "a chain of Linear layers and activations.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        help="Name before the cells of designs and all names of a whole network; by default "
        "from the content."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: xbarspice netlist net.h5 --inputs x.npz --array 'fc1[0,0,1]'\n\n"
        "xbarspice netlist net.h5 --inputs x.npz --dialect spectre --form subcircuit"
    )(netlist)


def netlist(
    subject: SubjectOption,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("netlists"),
    array: Array = None,
    dialect: DialectOption = None,
    form: FormOption = None,
    whole: WholeOption = False,
    name: NameOption = None,
    inputs: Inputs = None,
    random: Random = 2,
    vectors: Vectors = 8,
    model: Factory = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Write netlists of the arrays of a model, driven as the inputs drive them.

    Each array has a folder, with one deck a read, or with --form the design and its benches. What
    a text loads lies beside it (VACASK: the Verilog-A module of the device).
    """
    from xbarspice.cli import steps
    from xbarspice.verification.array_file import is_array_file

    words = list(dialect or ["ngspice"])
    _refuse_useless(words, form, name, whole, array)
    single = subject.is_file() and is_array_file(subject)
    reads = _reads(subject, single=single, drawn=inputs is None)
    run = steps.configuration(
        config, settings, reads=reads, calibration=calibration, mapped=subject
    )
    with run_folder(out) as folder:
        if single:
            record, values = _write_array(subject, inputs, run, folder, words, form, name)
        else:
            from xbarspice.deployment.opening import open_model

            drawn = None if whole else random
            with screens.waiting("reading the model", quiet=json):
                opened = open_model(
                    subject, inputs, run, model, activation, random=drawn, calibration=calibration
                )
            values = models.about(opened, run)["config"]
            if whole:
                record = write_whole(opened, words[0], name, folder)
            else:
                with screens.progress("netlists", quiet=json) as report:
                    record = _write(opened, folder, words, form, name, array, vectors, report)
        (folder / "run.toml").write_text(steps.run_toml(values), encoding="utf-8")
    record = {"folder": str(out), **record}
    if not json and "arrays" in record:
        record["arrays"] = [f"{a['array']} in {a['folder']}" for a in record["arrays"]]
        record["netlists"] = f"{counted(len(record['netlists']), 'file')}"
    screens.show(steps.name_card(record, run), json, "Netlists")


def _reads(path: Path, *, single: bool, drawn: bool) -> tuple[str, ...]:
    """Settings that the command reads, of a single array or a model with random inputs or none."""
    if single:
        return ("array",)
    return (*models.reads_of(path, calibrated=not drawn), *(("seed",) if drawn else ()))


def _refuse_useless(
    words: Sequence[str],
    form: str | None,
    name: str | None,
    whole: bool,
    array: Sequence[str] | None,
) -> None:
    """Options that would change nothing."""
    from xbarspice.netlist import dialects

    ran = [word for word in words if dialects.get(word).runs]
    if name is not None and form is None and ran and not whole:
        raise broken_rule(
            f"--name names cells, and the decks of {', '.join(ran)} have none",
            repr(name),
            "Leave it out, or write designs with --form.",
        )
    beside = [o for o, v in (("--form", form), ("--array", array)) if v is not None]
    if whole and (beside or len(words) > 1):
        raise broken_rule(
            "--whole writes one deck of the whole model",
            ", ".join(beside) or f"{len(words)} dialects",
            "Leave them out, or --whole.",
        )


def _write(
    opened: Opened,
    folder: Path,
    words: Sequence[str],
    form: str | None,
    name: str | None,
    only: list[str] | None,
    vectors: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """A folder for every array; what the command says of them."""
    from xbarspice.nn.drives import even_drives
    from xbarspice.tapeout.circuit_sites import sites
    from xbarspice.tapeout.netlists import reads_of, refuse_form, write_netlists
    from xbarspice.tapeout.sites import array_record, drawn_array

    places = sites(opened.circuit, name, only)
    refuse_form(words, form or "resistor", [site.array.crossbar.device for site in places])
    drives, _ = even_drives(opened.circuit, opened.arguments, vectors)
    volts = drives.volts()
    files, arrays = [], []
    for k, site in enumerate(places):
        reads = reads_of(site.array, volts)
        texts = _texts(drawn_array(site.array), reads, words, form, site.cell)
        place = site.folder.rpartition("/")[2]
        files += [f"{place}/{r['file']}" for r in write_netlists(texts, folder / place)]
        arrays.append(array_record(site) | {"folder": place})
        progress(k + 1, len(places))
    return {"points": opened.points, "arrays": arrays, "netlists": files}


def _texts(
    crossbar: Crossbar,
    reads: Sequence[Read | None],
    words: Sequence[str],
    form: str | None,
    name: str | None,
) -> Iterator[Any]:
    """Decks, or designs with their benches, of one array in some dialects."""
    from xbarspice.netlist import dialects
    from xbarspice.tapeout.netlists import decks, netlists

    for word in words:
        if form is None and dialects.get(word).runs:
            yield from decks(reads, word)
        else:
            yield from netlists(crossbar, reads, names=[word], form=form or "resistor", name=name)


def _write_array(
    path: Path,
    inputs: Path | None,
    run: RunConfig,
    folder: Path,
    words: Sequence[str],
    form: str | None,
    name: str | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Netlists of an array file with the voltages in it, or rows of x in the inputs, V."""
    import numpy as np

    from xbarspice.config.arrays import array_settings, with_stated_array
    from xbarspice.importers.inputs import read_inputs
    from xbarspice.tapeout.netlists import Read, write_netlists
    from xbarspice.verification.array_file import load_array

    file = load_array(path, run.array.arguments())
    crossbar = with_stated_array(file.crossbar, run)
    V_in, V_out = file.V_in, file.V_out
    if inputs is not None:
        V_in, V_out = read_inputs(inputs, ())[0], None
    if V_in is None:
        raise broken_rule(
            "an array needs the voltages of its lines",
            f"`{path.name}` without V_in, and no --inputs",
            "Put V_in (vectors, rows) into it, or pass --inputs x.npz with x in V.",
        )
    drive = crossbar.drive(np.atleast_2d(V_in), V_out)
    read = Read(crossbar=crossbar, V_in=drive.V_in, V_out=drive.V_out)
    records = write_netlists(_texts(crossbar, [read], words, form, name), folder)
    values = {"array": array_settings([crossbar])}
    return {"points": len(drive.V_in), "netlists": [r["file"] for r in records]}, values
