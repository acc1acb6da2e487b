"""The plots of a cross-check with their captions, and the one picture for a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.report import plots, units
from xbarspice.report.content import Plot
from xbarspice.report.records import CellMap, Currents, Run, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MAX_MAPS", "figure_pipeline", "network_plots"]

MAX_MAPS = 6  # maps of one kind on a page; the worst are drawn


def network_plots(run: Run) -> list[Plot]:
    """Every plot that the stored results allow, in the order of the page."""
    currents = run.currents()
    return [
        *_current_plots(run, currents),
        *_input_plot(run),
        *_error_maps(run),
        *_drop_maps(run),
        *_conductance_maps(run),
        *_boundary(run),
    ]


def _current_plots(run: Run, currents: Sequence[Currents]) -> list[Plot]:
    if not currents:
        return []
    engines = ", ".join(dict.fromkeys(c.engine for c in currents))
    worst = max(float(np.max(c.errors, initial=0.0)) for c in currents)
    parity = plots.new_figure()
    plots.parity(parity.add_subplot(), currents)
    errors = plots.new_figure()
    plots.histogram(errors.add_subplot(), currents, run.limit)
    gate = f" The gate is {units.error(run.limit)}." if run.limit else ""
    return [
        Plot(
            figure=parity,
            alt=f"Scatter plot: output currents of {engines} over those of {run.reference}. "
            f"The largest distance from the diagonal is {units.error(worst)} of full scale.",
            caption=f"Parity: every output current of {engines} over that of {run.reference}. "
            "Equal currents lie on the diagonal.",
        ),
        Plot(
            figure=errors,
            alt=f"Histogram of relative current errors of {engines}; worst {units.error(worst)}.",
            caption=f"Errors of the output currents against {run.reference}, relative to the "
            f"largest current of the layer.{gate}",
        ),
    ]


def _input_plot(run: Run) -> list[Plot]:
    errors, origins = run.input_errors()
    if errors.size < 2:
        return []
    figure = plots.new_figure()
    plots.by_input(figure.add_subplot(), errors, origins, run.limit)
    k = int(np.argmax(errors))
    words = f"worst {units.error(errors[k])} at input {k} ({origins[k]})"
    return [
        Plot(
            figure=figure,
            alt=f"Current error of {errors.size} inputs: {words}.",
            caption=f"Worst current error of every input over all engines and lines; {words}.",
        )
    ]


def _worst_first(maps: Sequence[CellMap], limit: int) -> tuple[list[CellMap], str]:
    kept = sorted(maps, key=lambda m: -m.worst)[:limit]
    left = len(maps) - len(kept)
    kept.sort(key=lambda m: (m.array, m.layer))
    return kept, f" The {len(kept)} worst of {len(maps)} maps are drawn." if left else ""


def _pixels(found: CellMap) -> str:
    rows, cols = found.values.shape
    return "" if max(rows, cols) <= 256 else " A pixel shows the largest of several cells."


def _error_maps(run: Run) -> list[Plot]:
    maps, remark = _worst_first(run.error_maps(), MAX_MAPS)
    out = []
    for m in maps:
        # One scale for all arrays of an engine, so that they can be compared.
        same = [n.values[n.values > 0] for n in maps if n.engine == m.engine]
        norm = plots.log_norm(np.concatenate(same))
        figure = plots.new_figure()
        plots.cells(
            figure, figure.add_subplot(), m, "device current error", log=True, norm=norm,
            cmap="magma_r", ring=True, numbers=False,
        )  # fmt: skip
        where = f"row {m.place[0]}, column {m.place[1]}" if m.worst > 0 else ""
        size = f"{m.values.shape[0]} x {m.values.shape[1]}"
        out.append(
            Plot(
                figure=figure,
                alt=f"Error map of array {m.array} ({size}), {m.engine}: "
                + (f"worst {units.error(m.worst)} at {where}." if where else "no difference."),
                caption=f"Error map, {m.engine}, array {m.array}: worst device-current error of "
                "each cell over all inputs, relative to the layer's largest device current. "
                + (
                    f"Framed: the worst, {where}. Grey: "
                    if where
                    else "No difference at all; grey: "
                )
                + f"exactly equal or no device.{_pixels(m)}{remark}",
            )
        )
    return out


def _drop_maps(run: Run) -> list[Plot]:
    maps, remark = _worst_first(run.drop_maps(), MAX_MAPS)
    out = []
    for m in maps:
        figure = plots.new_figure()
        plots.cells(
            figure, figure.add_subplot(), m, "voltage lost", unit="V", cmap="cividis", ring=True
        )
        worst = units.si(m.worst, "V", 3)
        out.append(
            Plot(
                figure=figure,
                alt=f"Voltage-drop map of array {m.array}, layer {m.layer}: at most {worst} lost, "
                f"at row {m.place[0]}, column {m.place[1]}.",
                caption=f"Voltage drop, layer {m.layer} on array {m.array}, at its worst input "
                f"(number {m.point}), by {m.engine}: drive voltage less device voltage; at most "
                f"{worst}.{_pixels(m)}{remark}",
            )
        )
    return out


def _conductance_maps(run: Run) -> list[Plot]:
    maps = run.conductances()
    remark = (
        f" The first {MAX_MAPS} of {len(maps)} arrays are drawn." if len(maps) > MAX_MAPS else ""
    )
    out = []
    for m in maps[:MAX_MAPS]:
        if not np.isfinite(m.values).any():
            continue
        figure = plots.new_figure()
        plots.cells(figure, figure.add_subplot(), m, "conductance", unit="S")
        low, high = units.si(float(np.nanmin(m.values)), "S"), units.si(m.worst, "S")
        absent = int(np.sum(np.isnan(m.values)))
        missing = f" Grey: {absent} absent devices." if absent else ""
        out.append(
            Plot(
                figure=figure,
                alt=f"Conductance map of array {m.array}, from {low} to {high}.{missing}",
                caption=f"Conductances of array {m.array}, from {low} to {high}.{missing}"
                f"{_pixels(m)}{remark}",
            )
        )
    return out


def _boundary(run: Run) -> list[Plot]:
    if not _has_boundary(run):
        return []
    figure = plots.new_figure()
    plots.boundary(figure.add_subplot(), run.tree["boundary"], run.inputs, _predictions(run))
    names = [k for k in run.tree["boundary"] if k not in {"x0", "x1"}]
    shown = ", ".join(names)
    return [
        Plot(
            figure=figure,
            alt=f"Decision boundary over the two inputs by {shown}, with the test points.",
            caption=f"Decision boundary by {shown}; the ground shows the software's classes. "
            f"Points that {run.reference} gets wrong are ringed.",
        )
    ]


def _has_boundary(run: Run) -> bool:
    grid = run.tree.get("boundary") or {}
    return {"x0", "x1"} <= grid.keys() and len(grid) > 2


def _predictions(run: Run) -> np.ndarray | None:
    group = (run.tree.get("engines") or {}).get(run.reference) or {}
    return group.get("predictions")


def figure_pipeline(folder: Path) -> Figure:
    """One compact picture of a run: decision boundary, conductances, current errors.

    Args:
        folder: a finished run; panels whose records are missing are left out.

    Returns:
        A white figure of 12 x 4 inch; save it with ``figure.savefig(path, dpi=100)``.
    """
    run = load(folder)
    currents, conductances = run.currents(), run.conductances()
    panels = [_has_boundary(run), bool(conductances), bool(currents)]
    figure = plots.new_figure(12, 4)
    axes = iter(np.ravel(figure.subplots(1, max(1, sum(panels)), squeeze=False)))
    if panels[0]:
        ax = next(axes)
        plots.boundary(ax, run.tree["boundary"], run.inputs, _predictions(run))
        ax.set_title("What it decides: software and circuit", fontsize=10)
    if panels[1]:
        ax = next(axes)
        plots.cells(figure, ax, conductances[0], "conductance", unit="S")
        ax.set_title(f"What is programmed: array {conductances[0].array}", fontsize=10)
    if panels[2]:
        ax = next(axes)
        plots.histogram(ax, currents, run.limit)
        ax.set_title(plots.escape(f"How exact: against {run.reference}"), fontsize=10)
    if not any(panels):
        next(axes).set_axis_off()
    return figure
