"""Everything that a designer and a tester need, in one folder: netlists, layout, LVS, plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import xbarspice
from xbarspice import deployment
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.netlist import dialects
from xbarspice.netlist.design import refuse_name
from xbarspice.netlist.records import g_hash
from xbarspice.nn import arrays
from xbarspice.nn.drives import even_drives
from xbarspice.nn.origin import arguments_of
from xbarspice.programming import plan
from xbarspice.programming.plan_files import write_plan
from xbarspice.programming.plans import refuse
from xbarspice.tapeout.circuit_sites import layers_record, sites, wires_record
from xbarspice.tapeout.drawings import draw_array, place_arrays
from xbarspice.tapeout.effect import as_drawn, wire_effect
from xbarspice.tapeout.extraction.networks import SheetCache
from xbarspice.tapeout.lvs import LvsReport
from xbarspice.tapeout.manifest import CIRCUIT, DRIVES, INPUTS, Record, file_record, save_manifest
from xbarspice.tapeout.netlists import array_texts, refuse_form, write_netlists
from xbarspice.tapeout.plans import Programming
from xbarspice.tapeout.rules.folder import check_drawings
from xbarspice.tapeout.signoff import sign_off
from xbarspice.tapeout.sites import Site, array_layers, array_record, drawn_array
from xbarspice.tapeout.technology import Technology

__all__ = ["tapeout"]

Progress = Callable[[int, int], None]
PROGRAMMING = Programming()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What one tapeout has to do.

    Attributes:
        folder: where all files go.
        technology: what to draw with.
        dialects: in which netlists are written.
        form: how devices are written.
        brackets: of the lines' names in layouts and netlists.
        programming: of the plans.
        arguments: inputs of the model, tensors.
        model: ``"module:factory"``, or None.
        notes: sentences to keep with the deployment.
        sites: the arrays with the assumed wires.
        progress: called with (steps done, steps).
    """

    folder: Path
    technology: Technology
    dialects: list[str]
    form: str
    brackets: str
    programming: Programming
    arguments: tuple[Any, ...]
    model: str | None
    notes: Sequence[str]
    sites: list[Site]
    progress: Progress

    @property
    def name(self) -> str:
        """Of the design."""
        return self.sites[0].cell.rpartition("_a")[0]

    def file(self, path: Path, kind: str, site: Site | None = None) -> Record:
        """What the manifest says of a file."""
        return file_record(self.folder, path, kind, None if site is None else site.array.name)

    def report_step(self, step: int) -> None:
        """Say how many steps are done: two an array, and the rest of the work."""
        self.progress(step, 2 * len(self.sites) + 1)


def tapeout(
    circuit: Any,
    x: Any,
    folder: Path,
    technology: Technology,
    *,
    y: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    form: str = "subcircuit",
    brackets: str = "<>",
    programming: Programming = PROGRAMMING,
    name: str | None = None,
    only: Sequence[str] | None = None,
    vectors: int = 8,
    model: str | None = None,
    notes: Sequence[str] = (),
    progress: Progress = lambda step, steps: None,
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
        brackets: of the lines' names in layouts and netlists, ``"<>"`` or ``"[]"``; dialects that
            know none write ``WL_0``.
        programming: order, scheme, start and channels of the plans.
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
        dialects=list(dialects.names() if names is None else names),
        form=form,
        brackets=brackets,
        programming=programming,
        arguments=_tensors(circuit, x),
        model=model,
        notes=notes,
        sites=sites(circuit, name, only),
        progress=progress,
    )
    dialects.get("cdl", brackets)  # refuses other brackets
    refuse_form(job.dialects, form, [site.array.crossbar.device for site in job.sites])
    refuse_name(f"{job.name}_floorplan")
    files = [job.file(p, "settings") for p in sorted(folder.iterdir()) if p.is_file()]
    for site in job.sites:
        refuse(**programming.arguments(site.array, technology))
    _save_circuit(job, circuit)  # refuses before anything is drawn
    reports, drawings = _draw(job)
    drawn = as_drawn(circuit, _collect_wires(job.sites, reports))
    drives, outputs = even_drives(drawn, job.arguments, vectors)
    volts = drives.volts()
    files += [*_save_circuit(job, drawn), *_save_drives(job, volts), *drawings]
    files += _write(job, sites(drawn, job.name, only), volts)
    signed, records = sign_off(
        drawn, sites(drawn, job.name, only), technology, volts, job.arguments, y, folder
    )
    files += [job.file(path, "sign-off", site) for site, path in records]
    layers = layers_record(drawn, drives.count)
    cell = f"{job.name}_floorplan"
    placed = place_arrays(folder, job.sites, technology, array_layers(layers), cell)
    verdicts, script = check_drawings(folder, _drawings(job.sites), technology)
    record = {
        **_settings_record(job, every=only is None),
        "vectors": vectors,
        "layers": layers,
        "arrays_of_model": len(arrays(drawn)),
        "arrays": [
            {**array_record(site), "lvs": report.record(), "place_um": place}
            for site, report, place in zip(job.sites, reports, placed.places, strict=True)
        ],
        "floorplan": placed.record,
        "rules": verdicts,
        "wires_assumed": wires_record(circuit),
        "effect_of_drawn_wires": wire_effect(circuit, job.arguments, outputs, y),
        "signoff": signed,
        "passed": all(
            [*(r.clean for r in reports), *(v["clean"] for v in verdicts), signed["passed"]]
        ),
        "files": [
            *files,
            *(job.file(path, "floorplan") for path in placed.files),
            job.file(script, "rules"),
        ],
    }
    save_manifest(record, folder)
    job.report_step(2 * len(job.sites) + 1)
    return record


def _drawings(sites: Sequence[Site]) -> dict[str, str]:
    """Files of all drawings by the name of the array, and of the floorplan."""
    arrays = {site.array.name: f"{site.folder}/layout.gds" for site in sites}
    return arrays | {"floorplan": "floorplan.gds"}


def _settings_record(job: _Job, *, every: bool) -> Record:
    """What the manifest says of the job; the check writes the netlists again from it."""
    return {
        "xbarspice": xbarspice.__version__,
        "name": job.name,
        "form": job.form,
        "brackets": job.brackets,
        "dialects": job.dialects,
        "technology": job.technology.model_dump(mode="json"),
        "only": None if every else [site.array.name for site in job.sites],
        "factory": job.model,
    }


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


def _collect_wires(
    sites: Sequence[Site], reports: Sequence[LvsReport]
) -> dict[str, dict[str, Array]]:
    """The extracted wires of every array that was drawn, line by line."""
    return {
        site.array.name: report.wires.arrays()
        for site, report in zip(sites, reports, strict=True)
        if report.wires is not None and report.wires.complete
    }


def _save_circuit(job: _Job, circuit: Any) -> list[Record]:
    """What the check writes the netlists from again: the model on arrays, and its inputs."""
    path = job.folder / CIRCUIT
    path.parent.mkdir(exist_ok=True)
    deployment.save(path, circuit, inputs=job.arguments, model=job.model, notes=job.notes)
    values = [a.detach().cpu() for a in job.arguments]
    plain = [a.float() if a.is_floating_point() and a.element_size() < 4 else a for a in values]
    np.savez(job.folder / INPUTS, **{str(k): a.numpy() for k, a in enumerate(plain)})  # type: ignore[arg-type]
    return [job.file(path, "deployment as drawn"), job.file(job.folder / INPUTS, "inputs")]


def _save_drives(job: _Job, volts: Mapping[str, Array]) -> list[Record]:
    """The drive of the benches, in the order of the matrices' names."""
    names = {f"volts_{k}": volts[name] for k, name in enumerate(sorted(volts))}
    np.savez(job.folder / DRIVES, names=np.array(sorted(volts), dtype=str), **names)  # type: ignore[arg-type]
    return [job.file(job.folder / DRIVES, "drives of the benches")]


def _draw(job: _Job) -> tuple[list[LvsReport], list[Record]]:
    """Draw every array, read the file again and compare it with the array."""
    reports, files = [], []
    cache: SheetCache = {}
    for k, site in enumerate(job.sites):
        folder = job.folder / site.folder
        folder.mkdir(parents=True)
        report, paths = draw_array(
            drawn_array(site.array), job.technology, folder, site.cell, cache, job.brackets
        )
        reports.append(report)
        files += [job.file(p, "layout", site) for p in paths]
        job.report_step(k + 1)
    return reports, files


def _write(job: _Job, drawn: Sequence[Site], volts: Mapping[str, Array]) -> list[Record]:
    """Plan and netlists of every array with the wires as drawn."""
    files = []
    for k, site in enumerate(drawn):
        folder = job.folder / site.folder
        planned = plan(**job.programming.arguments(site.array, job.technology))
        paths = write_plan(planned, folder, {"G_sha256": g_hash(drawn_array(site.array))})
        files += [job.file(p, "programming plan", site) for p in paths]
        texts = array_texts(
            site,
            job.technology,
            volts,
            names=job.dialects,
            form=job.form,
            brackets=job.brackets,
        )
        for record in write_netlists(texts, folder / "netlists"):
            file = f"{site.folder}/netlists/{record.pop('file')}"
            files.append({"file": file, "array": site.array.name, **record})
        job.report_step(len(drawn) + k + 1)
    return files
