"""The commands `import` and `export`: arrays of other programs, and arrays for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import Json
from xbarspice.cli.runs import output_file, run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.exchange import ImportedFile

__all__ = ["export", "import_", "register"]

FormOption = Annotated[
    str | None, typer.Option(help="matlab, crosssim, aihwkit or spice; by the suffix if left out.")
]


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="MATLAB file (.mat), CrossSim parameters (.json), state_dict of aihwkit (.pt), or "
            "a netlist (.sp, .cir, ...).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("imported"),
    form: FormOption = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Of CrossSim: the matrix, .npy of the shape (outputs, inputs), or .npz with "
            "weights, or with the conductances positive and negative (or matrix)."
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Of MATLAB: QUANTITY=VARIABLE, perhaps with :UNIT, for example G=gmap:uS, "
            "R_device=rmap:kohm or R_wl=Rw; repeatable."
        ),
    ] = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="Of MATLAB: rows of the matrix are bit lines.")
    ] = False,
    wires_below: Annotated[
        float | None,
        typer.Option(
            "--wires-below",
            help="Of a netlist: resistors below this many ohm are wires, all others devices; found "
            "from what gives a crossbar if left out.",
        ),
    ] = None,
    G_min: Annotated[
        float | None,
        typer.Option("--G-min", help="Of aihwkit: conductance of a weight of 0, S; the file's."),
    ] = None,
    G_max: Annotated[
        float | None,
        typer.Option("--G-max", help="Of aihwkit: that of the largest weight, S; the file's."),
    ] = None,
    json: Json = False,
) -> None:
    """Import the arrays in a file of another program, in this program's convention.

    The folder holds every array as .h5, which all commands for single arrays take, with the
    voltages and currents of the file, and import.json: what was assumed, what the file holds beside
    the arrays, and which weight every device stands for.
    """
    from xbarspice.exchange.forms import form_of

    form = form_of(file, form)
    stated = {
        "weights": weights,
        "name": name or None,
        "transpose": transpose or None,
        "wires_below": wires_below,
        "G_min": G_min,
        "G_max": G_max,
    }
    _refuse_useless(form, stated)
    with screens.waiting("reading the file", quiet=json):
        content = _read(file, form, stated)
    with run_folder(out) as folder:
        _write(content, folder)
    record = {"folder": str(out), "file": str(file), **content.record()}
    screens.show(record if json else _short(record), json, "Imported arrays")


_FORM_OF = {
    "weights": "crosssim",
    "name": "matlab",
    "transpose": "matlab",
    "wires_below": "spice",
    "G_min": "aihwkit",
    "G_max": "aihwkit",
}


def _refuse_useless(form: str, stated: Mapping[str, Any]) -> None:
    """Options that would change nothing."""
    for name, of in _FORM_OF.items():
        if stated[name] is not None and form != of:
            option = f"--{name.replace('_', '-')}"
            raise broken_rule(f"{option} is of the form {of}", f"the form {form}", "Leave it out.")


def _read(file: Path, form: str, stated: Mapping[str, Any]) -> ImportedFile:
    from xbarspice import exchange

    if form == "spice":
        return exchange.spice.read(file, wires_below=stated["wires_below"])
    if form == "aihwkit":
        return exchange.aihwkit.read(file, G_min=stated["G_min"], G_max=stated["G_max"])
    if form == "crosssim":
        matrix = stated["weights"]
        return exchange.crosssim.read(file, **(_matrix(matrix) if matrix else {}))
    words = stated["name"] or []
    if bad := [word for word in words if "=" not in word]:
        raise broken_rule("--name must be QUANTITY=VARIABLE", bad[0], "Write G=gmap.")
    names = dict(word.split("=", 1) for word in words)
    return exchange.matlab.read(file, names, transpose=bool(stated["transpose"]))


def _matrix(path: Path) -> dict[str, Any]:
    """Weights, or conductances as CrossSim has them, from a file."""
    from xbarspice.importers.archive import read_npy, read_npz

    if path.suffix == ".npy":
        return {"weights": read_npy(path)}
    arrays = read_npz(path)
    for names in (("weights",), ("positive", "negative"), ("matrix",)):
        if all(name in arrays for name in names):
            if names == ("weights",):
                return {"weights": arrays["weights"]}
            return {"conductances": [arrays[name] for name in names]}
    raise broken_rule(
        f"`{path.name}` must hold weights, or positive and negative, or matrix",
        ", ".join(arrays) or "nothing",
        "Rename them.",
    )


def _write(content: ImportedFile, folder: Path) -> None:
    """Arrays, their voltages and the record of an import."""
    import json as json_text

    from xbarspice.cli.settings import run_toml
    from xbarspice.config.arrays import array_settings
    from xbarspice.verification.array_file import ArrayFile, save_array

    for a in content.arrays:
        file = ArrayFile(crossbar=a.crossbar, V_in=a.V_in, V_out=a.V_out, I_out=a.I_out)
        save_array(folder / f"{a.name}.h5", file)
    text = json_text.dumps(content.record(), indent=1) + "\n"
    (folder / "import.json").write_text(text, encoding="utf-8")
    values = {"array": array_settings([array.crossbar for array in content.arrays])}
    (folder / "run.toml").write_text(run_toml(values), encoding="utf-8")


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """What a person wants to see of an import."""
    arrays = [
        f"{a['name']}.h5: {a['rows']} x {a['cols']}, {a['devices']} devices of "
        f"{a['G_least_S'] * 1e6:.6g} to {a['G_most_S'] * 1e6:.6g} uS"
        for a in record["arrays"]
    ]
    return {**record, "arrays": arrays, "notes": record["notes"] or "none"}


def export(
    array: Annotated[
        Path, typer.Argument(metavar="ARRAY", help="A single array (.npz, .h5, .mat with G).")
    ],
    out: Annotated[Path, typer.Option(help="File to write: .mat, .json or .pt.")],
    form: FormOption = None,
    json: Json = False,
) -> None:
    """Export one array in another program's form; what that form cannot express is refused.

    Of CrossSim the matrix lies beside the parameters, as .npz. Netlists are written by `xbarspice
    netlist`.
    """
    from xbarspice import exchange
    from xbarspice.core.wires import IDEAL
    from xbarspice.exchange.forms import FORMS, form_of
    from xbarspice.verification.array_file import load_array

    form = form_of(out, form)
    if form == "spice":
        raise broken_rule(
            "netlists are written by `xbarspice netlist`", str(out), "Use that command."
        )
    output_file(out, FORMS[form][0])
    file = load_array(array, {**IDEAL, "device": "ohmic"})
    if form == "matlab":
        notes = exchange.matlab.write(out, file.crossbar, file.V_in)
    elif form == "aihwkit":
        notes = exchange.aihwkit.write(out, file.crossbar)
    else:
        notes = exchange.crosssim.write(out, file.crossbar)
    taken = ("V_in",) if form == "matlab" else ()
    vectors = {"V_in": file.V_in, "V_out": file.V_out, "I_out": file.I_out}
    notes += [
        f"{name} of the array file is not written."
        for name, values in vectors.items()
        if values is not None and name not in taken
    ]
    record = {"file": str(out), "form": form, "notes": notes}
    screens.show(record if json else {**record, "notes": notes or "none"}, json, "Exported array")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        "import",
        epilog="Examples: xbarspice import die.mat --name G=gmap:uS --name R_wl=Rw\n\n"
        "xbarspice import crosssim.json --weights W.npy\n\nxbarspice import crossbar.cir\n\n"
        "xbarspice import analog.pt",
    )(import_)
    app.command(epilog="Example: xbarspice export array.npz --out array.mat")(export)
