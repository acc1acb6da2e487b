"""Everything that a designer and a tester need, in one folder: netlists, layout, LVS, plan."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import xbarspice
from xbarspice import deployment
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import WIRES
from xbarspice.netlist import dialects
from xbarspice.netlist.cells import Wires
from xbarspice.netlist.design import refuse_name
from xbarspice.netlist.records import g_hash
from xbarspice.nn import arrays, copy_circuit, crossbar_layers, exact_products
from xbarspice.nn.drives import even_drives
from xbarspice.nn.origin import arguments_of, decisions_of, outputs_of
from xbarspice.tapeout import floorplan
from xbarspice.tapeout import layout as drawing
from xbarspice.tapeout.check import CIRCUIT, DRIVES, INPUTS, MANIFEST
from xbarspice.tapeout.lvs import SCOPE, LvsReport, cdl_of, compare_layout
from xbarspice.tapeout.netlists import netlists, reads_of, refuse_form, write_netlists
from xbarspice.tapeout.program import plan
from xbarspice.tapeout.sites import Site, described, drawn_array, layers_record, sites
from xbarspice.tapeout.technology import Technology

__all__ = ["add_file", "as_drawn", "save_manifest", "tapeout"]

Progress = Callable[[int, int], None]


def as_drawn(circuit: Any, wires: Mapping[str, Mapping[str, float]]) -> Any:
    """A copy of a model on arrays with the wires of a drawing.

    Args:
        circuit: a converted model.
        wires: by name of the matrix: R_wl, R_bl, R_driver (leads of the word lines) and R_sense (of
            the bit lines), ohm. Matrices that are not named keep theirs.
    """
    out = copy_circuit(circuit).eval()
    for layer in crossbar_layers(out).values():
        for matrix in layer.matrices.values():
            matrix.config = replace(matrix.config, **wires.get(matrix.name, {}))
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What one tapeout is asked for."""

    folder: Path
    technology: Technology
    names: list[str]
    form: str
    order: str
    progress: Progress


def tapeout(
    circuit: Any,
    x: Any,
    folder: Path,
    technology: Technology,
    *,
    y: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    form: str = "subcircuit",
    order: str = "conductance",
    name: str | None = None,
    only: Sequence[str] | None = None,
    vectors: int = 8,
    model: str | None = None,
    notes: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Draw, extract, compare, write and prove netlists, and plan the programming of every array.

    Each physical array is a design of its own with a folder of its own. The wires of all netlists
    and plans are those that were extracted from the drawings; the folder also holds the model as
    drawn, a deployment. One array is worked on at a time.

    Args:
        circuit: a converted model, with assumed wires.
        x: its inputs, a tensor or array, or a tuple of its arguments: for the drive of the test
            benches and for the effect of the wires.
        folder: an existing folder; files that are already in it (settings) are listed, too.
        technology: what to draw with.
        y: classes of the points, (points,); without them only the agreement with the software is
            known.
        names: dialects; None for all.
        form: how devices are written.
        order: write order of the plans.
        name: of the design: all cells of netlists and layouts begin with it, so that two designs
            can stand in one test bench or mask; None for one that follows from the content.
        only: names of the arrays to draw; None for all.
        vectors: of the drives that the inputs cause on an array, how many its benches hold.
        model: ``"module:factory"`` of a model that cannot be exported, as of `xb.save`.
        notes: sentences to keep with the deployment.
        progress: called with (steps done, steps).

    Returns:
        The record that ``manifest.json`` holds; `check_folder` holds the folder against it.

    Raises:
        InputError: an argument breaks a rule, or the model cannot be written as a deployment;
            before anything is drawn.
    """
    if vectors < 1:
        raise broken_rule("`vectors` must be >= 1", vectors, "A few show how a bench is driven.")
    job = _Job(
        folder=folder,
        technology=technology,
        form=form,
        order=order,
        progress=progress,
        names=list(dialects.names() if names is None else names),
    )
    arguments = _tensors(circuit, x)
    chosen = sites(circuit, name, only)
    refuse_form(job.names, form, [site.array.crossbar.device for site in chosen])
    title = chosen[0].cell.rpartition("_a")[0]
    refuse_name(f"{title}_floorplan")
    files = [_hashed(folder, p, "settings") for p in sorted(folder.iterdir()) if p.is_file()]
    _save_circuit(job, circuit, arguments, model, notes)  # refuses before anything is drawn
    reports, drawings = _draw(job, chosen)
    drawn = as_drawn(circuit, _wires(chosen, reports))
    drives, outputs = even_drives(drawn, arguments, vectors)
    volts = drives.volts()
    files += [*_save_circuit(job, drawn, arguments, model, notes), *_save_drives(job, volts)]
    files += [*drawings, *_write(job, sites(drawn, title, only), volts)]
    layers = layers_record(drawn, drives.count)
    placed, pictures = _floorplan(job, chosen, layers, title)
    record = {
        "xbarspice": xbarspice.__version__,
        "name": title,
        "form": form,
        "dialects": job.names,
        "technology": technology.model_dump(mode="json"),
        "only": None if only is None else [site.array.name for site in chosen],
        "factory": model,
        "vectors": vectors,
        "layers": layers,
        "arrays_of_model": len(arrays(drawn)),
        "arrays": [
            {**described(site), "lvs": _lvs_record(report), "place_um": place}
            for site, report, place in zip(chosen, reports, placed["places"], strict=True)
        ],
        "floorplan": {k: v for k, v in placed.items() if k != "places"},
        "wires_assumed": _assumed(circuit),
        "effect_of_drawn_wires": _effect(circuit, arguments, outputs, y),
        "passed": all(report.clean for report in reports),
        "files": [*files, *pictures],
    }
    save_manifest(record, folder)
    progress(*_steps(len(chosen), 2 * len(chosen) + 1))
    return record


def _tensors(circuit: Any, x: Any) -> tuple[Any, ...]:
    """Arguments of the model; the folder keeps tensors only."""
    arguments = arguments_of(circuit, x)
    for argument in arguments:
        if not hasattr(argument, "detach"):
            raise broken_rule(
                "inputs of a tapeout must be tensors or arrays",
                type(argument).__name__,
                "Wrap the model in a module that takes tensors only.",
            )
    return arguments


def _steps(count: int, done: int) -> tuple[int, int]:
    return done, 2 * count + 1


def _assumed(circuit: Any) -> dict[str, dict[str, float]]:
    return {
        matrix.name: matrix.config.wires
        for layer in crossbar_layers(circuit).values()
        for matrix in layer.matrices.values()
    }


def _wires(chosen: Sequence[Site], reports: Sequence[LvsReport]) -> dict[str, dict[str, float]]:
    """The extracted wires of every matrix; a kind of segment that none of its arrays has is out."""
    out: dict[str, dict[str, float]] = {}
    for site, report in zip(chosen, reports, strict=True):
        for tile in site.array.tiles:
            for wire in WIRES:
                if report.wires[wire] > 0:
                    out.setdefault(tile.matrix, {}).setdefault(wire, report.wires[wire])
    return out


def _save_circuit(
    job: _Job, circuit: Any, arguments: tuple[Any, ...], model: str | None, notes: Sequence[str]
) -> list[dict[str, Any]]:
    """What the check writes the netlists from again: the model on arrays, and its inputs."""
    path = job.folder / CIRCUIT
    path.parent.mkdir(exist_ok=True)
    deployment.save(path, circuit, inputs=arguments, model=model, notes=notes)
    values = [a.detach().cpu() for a in arguments]
    plain = [a.float() if a.is_floating_point() and a.element_size() < 4 else a for a in values]
    np.savez(job.folder / INPUTS, **{str(k): a.numpy() for k, a in enumerate(plain)})  # type: ignore[arg-type]
    return [
        _hashed(job.folder, path, "deployment as drawn"),
        _hashed(job.folder, job.folder / INPUTS, "inputs"),
    ]


def _save_drives(job: _Job, volts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The drive of the benches, in the order of the matrices' names."""
    names = {f"volts_{k}": volts[name] for k, name in enumerate(sorted(volts))}
    np.savez(job.folder / DRIVES, names=np.array(sorted(volts), dtype=str), **names)
    return [_hashed(job.folder, job.folder / DRIVES, "drives of the benches")]


def _draw(job: _Job, chosen: Sequence[Site]) -> tuple[list[LvsReport], list[dict[str, Any]]]:
    """Draw every array, read the file again and compare it with its CDL netlist."""
    reports, files = [], []
    for k, site in enumerate(chosen):
        folder = job.folder / site.folder
        folder.mkdir(parents=True)
        report, paths = _draw_array(drawn_array(site.array), job.technology, folder, site.cell)
        reports.append(report)
        files += [_hashed(job.folder, p, "layout", site) for p in paths]
        job.progress(*_steps(len(chosen), k + 1))
    return reports, files


def _draw_array(
    array: Crossbar, technology: Technology, folder: Path, cell: str
) -> tuple[LvsReport, list[Path]]:
    tile = array.replace(**technology.wires())
    drawn = drawing.draw(tile, technology, cell)
    paths = drawing.save(drawn, folder, "layout")
    again = drawing.read(paths[0])  # what is compared is the file that is handed over
    cdl = cdl_of(tile, cell)
    report = compare_layout(again, tile, technology, cdl)
    lvs = json.dumps(_lvs_record(report), indent=2, allow_nan=False) + "\n"
    for file, text in (("layout.cdl", cdl), ("lvs.json", lvs)):
        paths.append(folder / file)
        paths[-1].write_text(text, encoding="utf-8")
    if array.rows * array.cols <= drawing.LARGEST_PICTURE:
        paths.append(folder / "layout.png")
        drawing.picture(drawn, technology, paths[-1])
    return report, paths


def _lvs_record(report: LvsReport) -> dict[str, Any]:
    return {
        "clean": report.clean,
        "looked_at": SCOPE,
        "netlists_match": report.matched,
        "devices": report.devices,
        "segments": report.segments,
        "extracted_ohm": report.wires,
        "faults": [
            {
                "kind": f.kind,
                "place": f.place,
                "x_um": f.x if np.isfinite(f.x) else None,
                "y_um": f.y if np.isfinite(f.y) else None,
            }
            for f in report.faults
        ],
    }


def _write(job: _Job, drawn: Sequence[Site], volts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Plan and netlists of every array."""
    capacitances = Wires(**job.technology.capacitances())
    files = []
    for k, site in enumerate(drawn):
        folder = job.folder / site.folder
        paths = _plan_array(drawn_array(site.array), site.array.V_read, job.order, folder)
        files += [_hashed(job.folder, p, "programming plan", site) for p in paths]
        texts = netlists(
            drawn_array(site.array),
            reads_of(site.array, volts),
            names=job.names,
            wires=capacitances,
            form=job.form,
            name=site.cell,
        )
        for record in write_netlists(texts, folder / "netlists"):
            file = f"{site.folder}/netlists/{record.pop('file')}"
            files.append({"file": file, "array": site.array.name, **record})
        job.progress(*_steps(len(drawn), len(drawn) + k + 1))
    return files


def _plan_array(array: Crossbar, V_read: float, order: str, folder: Path) -> list[Path]:
    made = plan(array, V_read=V_read, order=order)
    csv_path, json_path = folder / "plan.csv", folder / "plan.json"
    csv_path.write_text(made.to_csv(), encoding="utf-8")
    record = {"G_sha256": g_hash(array), **made.record()}
    json_path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    _refuse_unequal(csv_path, array)
    return [csv_path, json_path]


def _refuse_unequal(path: Path, array: Crossbar) -> None:
    """What a tester reads from the file must be G, bit by bit."""
    G = np.zeros(array.G.shape)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            G[int(row["row"]), int(row["col"])] = float(row["G_target_S"])
    if not np.array_equal(G, array.G):
        raise broken_rule("the plan must hold G exactly", path.name, "This is a defect; report it.")


def _floorplan(
    job: _Job, chosen: Sequence[Site], layers: Sequence[dict[str, Any]], title: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Place all drawings as cells of one layout, and draw their outlines."""
    drawings = [job.folder / site.folder / "layout.gds" for site in chosen]
    cells = [site.cell for site in chosen]
    made, places = floorplan.compose(drawings, cells, job.technology, f"{title}_floorplan")
    paths = drawing.save(made, job.folder, "floorplan")
    layer_of = {
        tile["array"]: layer["layer"]
        for layer in layers
        for matrix in layer["matrices"]
        for tile in matrix["tiles"]
    }
    outlines = [
        {"number": site.number, **asdict(place)} for site, place in zip(chosen, places, strict=True)
    ]
    paths.append(job.folder / "floorplan.png")
    of = [layer_of[site.array.name] for site in chosen]
    floorplan.figure(outlines, of).savefig(paths[-1])
    box = made.cell(f"{title}_floorplan").bbox()
    um = job.technology.dbu
    placed = {
        "cell": f"{title}_floorplan",
        "says": floorplan.SCOPE,
        "arrays": len(places),
        "width_um": box.width() * um,
        "height_um": box.height() * um,
        "spacing_um": job.technology.array_spacing,
        "places": [asdict(place) for place in places],
    }
    return placed, [_hashed(job.folder, path, "floorplan") for path in paths]


def _effect(
    circuit: Any, arguments: tuple[Any, ...], drawn: tuple[Any, ...], y: npt.ArrayLike | None
) -> dict[str, Any]:
    """How the outputs change from assumed to drawn wires, solved by the surrogate."""
    with exact_products():
        exact = outputs_of(circuit, arguments)
    both = {"assumed": outputs_of(circuit, arguments), "drawn": drawn}
    largest = max((float(t.abs().max()) for t in exact if t.numel()), default=0.0)
    decided = {name: decisions_of(out) for name, out in {"software": exact, **both}.items()}

    def shares(classes: Any, of: Sequence[str]) -> dict[str, float] | None:
        if classes is None or any(decided[name] is None for name in of):
            return None
        return {name: float(np.mean(decided[name] == np.asarray(classes))) for name in of}

    changed = None
    if decided["drawn"] is not None:
        changed = int(np.sum(decided["assumed"] != decided["drawn"]))
    return {
        "points": len(arguments[0]) if arguments[0].ndim else 1,
        "engine": "surrogate",
        "accuracy": None if y is None else shares(y, ("software", "assumed", "drawn")),
        "agreement_with_software": shares(decided["software"], ("assumed", "drawn")),
        "decisions_changed": changed,
        "largest_output": largest,
        "largest_output_change": _difference(both["assumed"], drawn),
        "error_against_software": {n: _difference(out, exact) for n, out in both.items()},
    }


def _difference(a: tuple[Any, ...], b: tuple[Any, ...]) -> float:
    """Largest difference of two models' outputs."""
    return max(
        (float((p - q).abs().max()) for p, q in zip(a, b, strict=True) if p.numel()), default=0.0
    )


def add_file(record: dict[str, Any], folder: Path, path: Path, kind: str) -> None:
    """Name one more file in the manifest of a folder."""
    record["files"].append(_hashed(folder, path, kind))
    save_manifest(record, folder)


def save_manifest(record: dict[str, Any], folder: Path) -> None:
    """Write a record as the folder's ``manifest.json``."""
    (folder / MANIFEST).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _hashed(folder: Path, path: Path, kind: str, site: Site | None = None) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    out = {"file": path.relative_to(folder).as_posix(), "kind": kind, "sha256": digest}
    return out if site is None else out | {"array": site.array.name}
