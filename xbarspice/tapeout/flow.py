"""Everything that a designer and a tester need, in one folder: netlists, layout, LVS, plan."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import xbarspice
from xbarspice import store
from xbarspice.array import READ, Crossbar
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.netlist.hierarchy import Wires, g_hash, name_of, refuse_name
from xbarspice.netlist.writers import dialects
from xbarspice.studies.inference import infer
from xbarspice.tapeout import layout as drawing
from xbarspice.tapeout.check import INPUTS, MANIFEST, NETWORK
from xbarspice.tapeout.lvs import SCOPE, LvsReport, cdl_of, compare_layout
from xbarspice.tapeout.netlists import refuse_form, write_netlists
from xbarspice.tapeout.program import plan
from xbarspice.tapeout.technology import Technology

__all__ = ["add_file", "as_drawn", "save_manifest", "tapeout"]

Progress = Callable[[int, int], None]


def as_drawn(mapped: MappedNetwork, wires: dict[str, float]) -> MappedNetwork:
    """The network on arrays with the wires of a drawing.

    Args:
        mapped: the network.
        wires: R_wl, R_bl, R_driver (leads of the word lines) and R_sense (of the bit lines), ohm;
            `MappedNetwork.crossbar` gives each pass the lead of the lines that it uses.
    """
    return replace(mapped, arrays=tuple(array.replace(**wires) for array in mapped.arrays))


def tapeout(
    mapped: MappedNetwork, x: npt.ArrayLike, folder: Path, technology: Technology, *,
    y: npt.ArrayLike | None = None, names: Sequence[str] | None = None,
    form: str = "subcircuit", order: str = "conductance", name: str | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """Draw, extract, compare, write and prove netlists, and plan the programming.

    The wires of all netlists and plans are those that were extracted from the drawing.

    Args:
        mapped: the network on its arrays, with assumed wires.
        x: network inputs for the test benches and the accuracy, (points, inputs).
        y: their classes, (points,); without them only the agreement with the software is known.
        folder: an existing folder; files that are already in it (settings) are listed, too.
        technology: what to draw with.
        names: dialects; None for all.
        form: how devices are written.
        order: write order of the plan.
        name: of the design: all cells of netlists and layouts begin with it, so that two designs
            can stand in one test bench or mask; None for one that follows from the content.
        progress: called with (steps done, steps).

    Returns:
        The record that ``manifest.json`` holds; `check_folder` holds the folder against it.
    """
    refuse_form(dialects() if names is None else names, form, mapped.arrays[0])
    name = name_of(mapped.arrays) if name is None else name
    refuse_name(name)
    refuse_name(_tile_name(name, len(mapped.arrays) - 1))
    total = 2 * len(mapped.arrays) + 2
    reports = []
    files = [_hashed(folder, p, "settings") for p in sorted(folder.iterdir()) if p.is_file()]
    for sub in ("layout", "plan", "network"):
        (folder / sub).mkdir()
    for k, array in enumerate(mapped.arrays):
        report, paths = _draw_tile(array, technology, folder / "layout", k, _tile_name(name, k))
        reports.append(report)
        files += [_hashed(folder, p, "layout") for p in paths]
        progress(k + 1, total)
    drawn = as_drawn(mapped, _wires(reports, mapped))
    files += _save_network(drawn, x, folder)
    for k, array in enumerate(drawn.arrays):
        paths = _plan_tile(array, mapped.V_read, order, folder / "plan", k)
        files += [_hashed(folder, p, "programming plan") for p in paths]
        progress(len(mapped.arrays) + k + 1, total)
    capacitances = Wires(**technology.capacitances())
    files += write_netlists(drawn, x, folder / "netlists", names=names, wires=capacitances,
                            form=form, name=name)  # fmt: skip
    progress(total - 1, total)
    record = {
        "xbarspice": xbarspice.__version__,
        "name": name,
        "form": form,
        "dialects": list(dialects() if names is None else names),
        "technology": technology.model_dump(mode="json"),
        "device": mapped.arrays[0].device.name,
        "tiles": [_tile_record(a, r) for a, r in zip(drawn.arrays, reports, strict=True)],
        "wires": {"assumed": _assumed(mapped), "drawn": {n: getattr(drawn.arrays[0], n)
                                                         for n in _WIRES}},
        "effect_of_drawn_wires": _effect(mapped, drawn, x, y),
        "passed": all(r.clean for r in reports),
        "files": files,
    }  # fmt: skip
    save_manifest(record, folder)
    progress(total, total)
    return record


_WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")


def _assumed(mapped: MappedNetwork) -> dict[str, float]:
    return {name: getattr(mapped.arrays[0], name) for name in _WIRES}


def _wires(reports: Sequence[LvsReport], mapped: MappedNetwork) -> dict[str, float]:
    """The extracted wires; a kind of segment that no tile has keeps its assumed value."""
    out = {}
    for name in _WIRES:
        values = [r.wires[name] for r in reports if r.wires[name] > 0]
        out[name] = values[0] if values else getattr(mapped.arrays[0], name)
    return out


def _save_network(drawn: MappedNetwork, x: npt.ArrayLike, folder: Path) -> list[dict[str, Any]]:
    """What the check writes the netlists from again: network as drawn, inputs of the benches."""
    store.save_mapped(folder / NETWORK, drawn)
    np.savez(folder / INPUTS, x=np.asarray(x, dtype=np.float64))
    return [
        _hashed(folder, folder / NETWORK, "mapped network"),
        _hashed(folder, folder / INPUTS, "inputs"),
    ]


def _tile_name(name: str, k: int) -> str:
    """Name of the cell of a tile's drawing."""
    return f"{name}_tile_{k}"


def _draw_tile(
    array: Crossbar, technology: Technology, folder: Path, k: int, cell: str
) -> tuple[LvsReport, list[Path]]:
    tile = array.replace(ends=READ, **technology.wires())
    name = f"tile_{k}"
    drawn = drawing.draw(tile, technology, cell)
    paths = drawing.save(drawn, folder, name)
    again = drawing.read(paths[0])  # what is compared is the file that is handed over
    cdl = cdl_of(tile, cell)
    report = compare_layout(again, tile, technology, cdl)
    for suffix, text in (
        (".cdl", cdl),
        (".lvs.json", json.dumps(_lvs_record(report), indent=2, allow_nan=False) + "\n"),
    ):
        paths.append(folder / f"{name}{suffix}")
        paths[-1].write_text(text, encoding="utf-8")
    if array.rows * array.cols <= drawing.LARGEST_PICTURE:
        paths.append(folder / f"{name}.png")
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
            {"kind": f.kind, "place": f.place, "x_um": f.x if np.isfinite(f.x) else None,
             "y_um": f.y if np.isfinite(f.y) else None}
            for f in report.faults
        ],
    }  # fmt: skip


def _plan_tile(array: Crossbar, V_read: float, order: str, folder: Path, k: int) -> list[Path]:
    made = plan(array, V_read=V_read, order=order)
    csv_path, json_path = folder / f"tile_{k}.csv", folder / f"tile_{k}.json"
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


def _tile_record(array: Crossbar, report: LvsReport) -> dict[str, Any]:
    return {
        "shape": [array.rows, array.cols],
        "devices": int(np.count_nonzero(array.G)),
        "G_sha256": g_hash(array),
        "lvs": _lvs_record(report),
    }


def _effect(
    mapped: MappedNetwork, drawn: MappedNetwork, x: npt.ArrayLike, y: npt.ArrayLike | None
) -> dict[str, Any]:
    """How the answers change from assumed to drawn wires."""
    before, after = infer(mapped, x, "surrogate"), infer(drawn, x, "surrogate")

    def shares(classes: npt.ArrayLike) -> dict[str, float]:
        both = {"assumed": before, "drawn": after}
        return {n: float(np.mean(a.predictions == np.asarray(classes))) for n, a in both.items()}

    return {
        "points": len(before.predictions),
        "accuracy": None if y is None else shares(y),
        "agreement_with_software": shares(mapped.network.predict(mapped.network.forward(x)[-1])),
        "predictions_changed": int(np.sum(before.predictions != after.predictions)),
        "largest_logit_change": float(np.max(np.abs(before.sums[-1] - after.sums[-1]))),
        "largest_logit": float(np.max(np.abs(before.sums[-1]))),
    }


def add_file(record: dict[str, Any], folder: Path, path: Path, kind: str) -> None:
    """Name one more file in the manifest of a folder."""
    record["files"].append(_hashed(folder, path, kind))
    save_manifest(record, folder)


def save_manifest(record: dict[str, Any], folder: Path) -> None:
    """Write a record as the folder's ``manifest.json``."""
    (folder / MANIFEST).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _hashed(folder: Path, path: Path, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.relative_to(folder).as_posix(), "kind": kind, "sha256": digest}
