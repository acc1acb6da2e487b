"""Judging one engine's answers against the reference's: currents, devices, predictions, causes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from xbarspice.array import End
from xbarspice.mapping import MappedNetwork
from xbarspice.studies.inference import BlockAnswer, Inference, energies
from xbarspice.studies.verify.records import (
    ColumnRecord,
    EngineRecord,
    IdealRecord,
    LayerRecord,
    WorstCell,
)
from xbarspice.studies.verify.subject import SingleArray

__all__ = ["accuracy", "drive", "ideal_record", "judge", "point_errors", "scales"]

Array = npt.NDArray[np.float64]
Pairs = list[tuple[BlockAnswer, BlockAnswer]]

ROUNDING = 1e-9
"""Relative error below which two correct solvers differ in the order of their sums."""
SHOWN = 100
"""Differing predictions that are listed one by one."""


def accuracy(predictions: npt.ArrayLike, labels: npt.NDArray[np.intp] | None) -> float | None:
    """Share of right predictions among the points that have a class (>= 0); None without any."""
    if labels is None or not (labels >= 0).any():
        return None
    known = labels >= 0
    return float(np.mean(np.asarray(predictions)[known] == labels[known]))


def pairs(answer: Inference, golden: Inference, layer: int) -> Pairs:
    """Blocks of one layer: (engine's, reference's)."""
    both = zip(answer.blocks, golden.blocks, strict=True)
    return [(a, g) for a, g in both if a.block.layer == layer]


def _scale(found: Pairs) -> float:
    return max(float(np.max(np.abs(g.currents))) for _, g in found)


def scales(golden: Inference, layers: int) -> list[float]:
    """Largest reference output current of every layer, A."""
    return [_scale(pairs(golden, golden, k)) or 1.0 for k in range(layers)]


def point_errors(
    answer: Inference, golden: Inference, I_max: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Worst output-current error of every input, (points,).

    ``max over layers and lines of |I - I_reference| / I_max[layer]``; `I_max` in A, usually of
    `scales`.
    """
    worst = np.zeros(len(golden.predictions))
    for k, scale in enumerate(I_max):
        for a, g in pairs(answer, golden, k):
            error = np.abs(a.currents - g.currents).max(axis=(1, 2)) / scale
            worst = np.maximum(worst, error)
    return worst


def judge(
    mapped: MappedNetwork,
    answer: Inference,
    golden: Inference,
    labels: npt.NDArray[np.intp] | None,
    t_read: float,
) -> EngineRecord:
    """Everything about one engine's answers; `t_read` is the length of a read pass, s."""
    stats = [b.solution.stats for b in answer.blocks]
    I_max = scales(golden, len(mapped.layers))
    differs = answer.predictions != golden.predictions
    if isinstance(mapped, SingleArray):
        differs = np.zeros_like(differs)  # an array predicts nothing
    return EngineRecord(
        engine=answer.engine,
        method="; ".join(dict.fromkeys(s.method for s in stats)),
        seconds=answer.seconds,
        accuracy=accuracy(answer.predictions, labels),
        disagreements=int(differs.sum()),
        agreement=float(np.mean(~differs)),
        differing=tuple(int(k) for k in np.flatnonzero(differs)[:SHOWN]),
        kirchhoff=float(np.max([b.residual for b in answer.blocks])),  # NaN if none was looked at
        error_bound=float(
            np.max([b.solution.error_at_most / I_max[b.block.layer] for b in answer.blocks])
        ),
        notes=tuple(dict.fromkeys(note for s in stats for note in s.notes)),
        layers=tuple(
            _judge_layer(mapped, k, pairs(answer, golden, k)) for k in range(len(mapped.layers))
        ),
        errors=tuple(point_errors(answer, golden, I_max).tolist()),
        energy=tuple(energies(answer, t_read).tolist()),
    )


def _lines(answer: BlockAnswer) -> Iterator[tuple[tuple[int, int], str]]:
    kind = "WL" if answer.block.reverse else "BL"
    for (output, sign), line in np.ndenumerate(answer.block.lines_out):
        yield (output, sign), f"{kind}{line}"


def _judge_layer(mapped: MappedNetwork, layer: int, found: Pairs) -> LayerRecord:
    I_max = _scale(found)
    scale = I_max or 1.0
    columns, squares = [], []
    for a, g in found:
        error = np.abs(a.currents - g.currents) / scale
        squares.append(error.ravel() ** 2)
        columns += [
            ColumnRecord(
                array=a.block.array,
                line=line,
                worst=float(error[:, o, s].max()),
                rms=float(np.sqrt(np.mean(error[:, o, s] ** 2))),
            )
            for (o, s), line in _lines(a)
        ]
    return LayerRecord(
        layer=layer,
        I_max=I_max,
        worst=float(np.max([c.worst for c in columns])),
        rms=float(np.sqrt(np.mean(np.concatenate(squares)))),
        columns=tuple(columns),
        worst_cell=_worst_cell(mapped, found),
    )


def _worst_cell(mapped: MappedNetwork, found: Pairs) -> WorstCell:
    scale = max(float(np.max(np.abs(g.solution.I_device))) for _, g in found) or 1.0
    cells: list[WorstCell] = []
    for a, g in found:
        error = np.abs(a.solution.I_device - g.solution.I_device) / scale
        at = tuple(int(k) for k in np.unravel_index(np.argmax(error), error.shape))
        point, row, col = at
        V_device = float(g.solution.V_wl[at] - g.solution.V_bl[at])
        V_drive = float(g.V_in[point, row] - g.V_out[point, col])
        cell = WorstCell(
            array=a.block.array, row=row, col=col, point=point, error=float(error[at]),
            I_reference=float(g.solution.I_device[at]), I_engine=float(a.solution.I_device[at]),
            V_device=V_device, V_drive=V_drive, drop=V_drive - V_device,
            G=float(g.crossbar.G[row, col]),
        )  # fmt: skip
        cells.append(WorstCell(**{**cell.__dict__, "why": _why(mapped, g, cell)}))
    return max(cells, key=lambda cell: cell.error)


def _why(mapped: MappedNetwork, golden: BlockAnswer, cell: WorstCell) -> tuple[str, ...]:
    """What is special about a device: size of the error, wire drop, saturation, curvature."""
    device = golden.crossbar.device
    out = []
    if cell.error < ROUNDING:
        out.append("The error is rounding: both solve the same equations here.")
    if cell.V_drive != 0:
        share = cell.drop / cell.V_drive
        out.append(f"Wires and line ends take {100 * share:.3g} % of its {cell.V_drive:.4g} V.")
    for name, limit in (("G_max", mapped.G_max), ("G_min", mapped.G_min)):
        if cell.G > 0 and abs(cell.G / limit - 1 if limit else 1) < 1e-9:
            out.append(f"It is saturated: programmed to {name} ({limit * 1e6:.4g} uS).")
            break
    if abs(cell.V_device) > device.V_max:
        out.append(
            f"Its {cell.V_device:.3g} V lie beyond the {device.V_max:g} V up to which "
            f"{device.name} is valid."
        )
    linear = cell.G * cell.V_device
    if not device.linear and linear:
        bend = cell.I_reference / linear - 1
        out.append(f"Its curve deviates {100 * bend:+.3g} % from G V at this voltage.")
    return tuple(out)


def drive(answer: BlockAnswer) -> Array:
    """Voltage that the sources put across every device if wires were ideal, V.

    ``V_in[i] - V_out[j]`` with sensed lines at 0 V, (points, rows, cols); NaN on floating lines.
    """
    wl, bl = answer.V_in.copy(), answer.V_out.copy()
    for volts, ends in ((wl, answer.crossbar.wl_ends), (bl, answer.crossbar.bl_ends)):
        volts[:, (ends == End.FLOATING).all(axis=1)] = np.nan
    return wl[:, :, None] - bl[:, None, :]


def _without_wires(answer: BlockAnswer, V: Array, *, linear: bool) -> Array:
    """Output currents without any wire, A, (points, outputs, 1 or 2); device law or ``G V``."""
    G, device = answer.crossbar.G, answer.crossbar.device
    held = np.nan_to_num(V)
    current = G * held if linear else np.where(G > 0, device.current(held, G), 0.0)
    if answer.block.reverse:
        return -current.sum(axis=2)[:, answer.block.lines_out]
    return current.sum(axis=1)[:, answer.block.lines_out]


def ideal_record(golden: Inference, layer: int) -> IdealRecord:
    """How far one layer is from the ideal product of its own input voltages, and through what."""
    blocks = [b for b in golden.blocks if b.block.layer == layer]
    scale = max(float(np.max(np.abs(b.currents))) for b in blocks) or 1.0
    found, squares = [], []
    for b in blocks:
        V = drive(b)
        ideal, bent = (_without_wires(b, V, linear=flag) for flag in (True, False))
        error = (b.currents - ideal) / scale
        squares.append(error.ravel() ** 2)
        at = np.unravel_index(np.argmax(np.abs(error)), error.shape)
        names = dict(_lines(b))
        lost = np.abs(V - (b.solution.V_wl - b.solution.V_bl))
        lost = np.where((b.crossbar.G > 0) & np.isfinite(V), lost, 0.0)
        _, row, col = (int(k) for k in np.unravel_index(np.argmax(lost), lost.shape))
        found.append(
            IdealRecord(
                layer=layer, array=b.block.array, line=names[(int(at[1]), int(at[2]))],
                point=int(at[0]), worst=float(abs(error[at])), rms=0.0,
                device=float(((bent - ideal) / scale)[at]),
                wires=float(((b.currents - bent) / scale)[at]),
                drop=float(lost.max()), drive=float(np.nanmax(np.abs(V), initial=0.0)),
                drop_array=b.block.array, drop_row=row, drop_col=col,
            )
        )  # fmt: skip
    worst = max(found, key=lambda r: r.worst)
    deepest = max(found, key=lambda r: r.drop)
    return IdealRecord(
        **{
            **worst.__dict__,
            "rms": float(np.sqrt(np.mean(np.concatenate(squares)))),
            **{k: v for k, v in deepest.__dict__.items() if k.startswith("drop")},
            "drive": max(r.drive for r in found),
        }
    )
