"""Devices of a drawing against those of an array: missing, surplus, double, size and place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xbarspice.core.counts import counted
from xbarspice.tapeout.extraction.extracted import Extracted, LineName
from xbarspice.tapeout.extraction.shapes import Integers
from xbarspice.tapeout.lvs.faults import Fault
from xbarspice.tapeout.lvs.lines import Lines

__all__ = ["device_faults", "places_of"]

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def places_of(extracted: Extracted, lines: Lines, shape: tuple[int, int]) -> Floats:
    """Where every crossing stands, um, (rows, cols, 2); NaN where nothing says so.

    Rows and columns are taken to follow each other along two directions, whichever these are.
    """
    held = (lines.row >= 0) & (lines.col >= 0)
    x, y = extracted.um(extracted.devices.boxes)
    out = np.full((*shape, 2), np.nan)
    if held.sum() < 3:
        return out
    r, c = lines.row[held], lines.col[held]
    at = np.stack([x[held], y[held]], axis=1)
    plane = np.stack([np.ones(len(r)), r, c], axis=1)
    fit, *_ = np.linalg.lstsq(plane, at, rcond=None)
    R, C = np.mgrid[: shape[0], : shape[1]]
    out = fit[0] + R[..., None] * fit[1] + C[..., None] * fit[2]
    out[r, c] = at
    return out


def device_faults(extracted: Extracted, lines: Lines, present: Flags) -> Iterator[Fault]:
    """Everything that is wrong with devices.

    Args:
        extracted: the drawing.
        lines: of the array in it.
        present: which devices the array has, (rows, cols).
    """
    places = places_of(extracted, lines, present.shape)
    held = (lines.row >= 0) & (lines.col >= 0)
    count = np.zeros(present.shape, dtype=np.int64)
    np.add.at(count, (lines.row[held], lines.col[held]), 1)
    strays = _stray_places(extracted, places, present & (count == 0))
    yield from _missing(lines, present, count, places, set(strays.values()))
    for k, (r, c) in strays.items():
        x, y = (float(v[k]) for v in extracted.um(extracted.devices.stray))
        words = "a device shape stands between no two electrodes"
        near = f", beside the crossing of row {r}, column {c}" if r >= 0 else ""
        number = {"row": r, "col": c} if r >= 0 else {}
        yield Fault(kind="device place", place=words + near, x=x, y=y, **number)
    yield from _surplus(extracted, lines, present, count)
    yield from _sizes(extracted, lines)


def _stray_places(
    extracted: Extracted, places: Floats, missing: Flags
) -> dict[int, tuple[int, int]]:
    """The nearest crossing of every device shape without electrodes, (-1, -1) far from all.

    A crossing that lacks its device is preferred.
    """
    out = {}
    reach = max(extracted.technology.array.pitch)
    flat = places.reshape(-1, 2)
    for k, at in enumerate(np.stack(extracted.um(extracted.devices.stray), axis=1)):
        far = np.hypot(*(flat - at).T)
        lacking = np.where(missing.ravel(), far, np.inf)
        if (lacking <= reach).any():
            far = lacking
        if not np.isfinite(far).any() or np.nanmin(far) > reach:
            out[k] = (-1, -1)
        else:
            r, c = np.unravel_index(int(np.nanargmin(far)), places.shape[:2])
            out[k] = int(r), int(c)
    return out


def _missing(
    lines: Lines, present: Flags, count: Integers, places: Floats, faulty: set[tuple[int, int]]
) -> Iterator[Fault]:
    """Devices that are not drawn; a line without any is one fault."""
    missing = present & (count == 0)
    for name in lines.unclear:
        missing[(name.number, slice(None)) if name.kind == "WL" else (slice(None), name.number)] = (
            False
        )
    for kind, axis in (("WL", 1), ("BL", 0)):
        whole = missing.any(axis=axis) & (missing == present).all(axis=axis)
        whole &= present.sum(axis=axis) > 1
        for k in np.flatnonzero(whole).tolist():
            row = (k, slice(None)) if kind == "WL" else (slice(None), k)
            missing[row] = False
            x, y = (float(v) for v in places[row].reshape(-1, 2).mean(axis=0))
            words = f"{LineName(kind, k)} reaches none of its devices"
            number = {"row": k} if kind == "WL" else {"col": k}
            yield Fault(kind="open", place=words, x=x, y=y, **number)
    for r, c in np.argwhere(missing).tolist():
        if (r, c) not in faulty:
            x, y = (float(v) for v in places[r, c])
            words = f"device at row {r}, column {c}"
            yield Fault(kind="missing device", place=words, x=x, y=y, row=r, col=c)


def _surplus(
    extracted: Extracted, lines: Lines, present: Flags, count: Integers
) -> Iterator[Fault]:
    """Devices that the array does not have."""
    x, y = extracted.um(extracted.devices.boxes)
    seen: set[tuple[int, int]] = set()
    for k in range(len(extracted.devices)):
        r, c, at = int(lines.row[k]), int(lines.col[k]), {"x": float(x[k]), "y": float(y[k])}
        if r < 0 and c < 0:
            continue
        if r < 0 or c < 0:
            if {
                int(extracted.devices.bottom_net[k]),
                int(extracted.devices.top_net[k]),
            } & lines.unclear_nets:
                continue
            line = LineName("WL", r) if c < 0 else LineName("BL", c)
            number = {"row": r} if c < 0 else {"col": c}
            words = f"device between {line} and a net that is no line of the array"
            yield Fault(kind="extra device", place=words, **at, **number)
        elif not present[r, c]:
            words = f"device at row {r}, column {c}"
            yield Fault(kind="extra device", place=words, **at, row=r, col=c)
        elif count[r, c] > 1:
            if (r, c) in seen:
                words = f"{counted(count[r, c], 'device')} at row {r}, column {c}"
                yield Fault(kind="duplicate device", place=words, **at, row=r, col=c)
            seen.add((r, c))
    yield from _repeated(extracted, lines)


def _repeated(extracted: Extracted, lines: Lines) -> Iterator[Fault]:
    """Places where the device layer is drawn more than once."""
    d = extracted.devices
    for box, x, y in zip(d.repeated, *extracted.um(d.repeated), strict=True):
        meets = np.flatnonzero(
            (d.boxes[:, 0] < box[2])
            & (d.boxes[:, 2] > box[0])
            & (d.boxes[:, 1] < box[3])
            & (d.boxes[:, 3] > box[1])
        )
        k = int(meets[0]) if len(meets) else -1
        words, number = "a device shape is drawn on another", {}
        if k >= 0 and lines.row[k] >= 0 and lines.col[k] >= 0:
            number = {"row": int(lines.row[k]), "col": int(lines.col[k])}
            words += f" at row {number['row']}, column {number['col']}"
        yield Fault(kind="duplicate device", place=words, x=float(x), y=float(y), **number)


def _sizes(extracted: Extracted, lines: Lines) -> Iterator[Fault]:
    """Devices whose drawn shape is not that of the technology, or is not between electrodes."""
    d, dbu = extracted.devices, extracted.dbu
    w, h = extracted.technology.device.size
    size = (d.drawn[:, 2:] - d.drawn[:, :2]) * dbu
    fits = np.isclose(size, (w, h), atol=dbu / 2, rtol=0).all(axis=1)
    fits |= np.isclose(size, (h, w), atol=dbu / 2, rtol=0).all(axis=1)
    fits &= np.isclose(d.drawn_area, w * h, atol=dbu**2, rtol=1e-9)
    covered = np.isclose(d.area, d.drawn_area, atol=dbu**2 / 2, rtol=1e-9)
    shared = np.bincount(d.shape, minlength=1)[d.shape] > 1 if len(d) else np.zeros(0, dtype=bool)
    x, y = extracted.um(d.boxes)
    for k in np.flatnonzero(~fits | ~covered).tolist():
        r, c = int(lines.row[k]), int(lines.col[k])
        inside = r >= 0 and c >= 0
        number = {"row": r, "col": c} if inside else {}
        device = f"device at row {r}, column {c}" if inside else "a device"
        at = {"x": float(x[k]), "y": float(y[k])}
        if shared[k]:
            words = f"{device}: its shape lies on more than one crossing"
            yield Fault(kind="device place", place=words, **at, **number)
        elif not covered[k]:
            share = f"{d.area[k]:.6g} of {d.drawn_area[k]:.6g} um^2"
            words = f"{device}: {share} lie between both electrodes"
            yield Fault(kind="device place", place=words, **at, **number)
        if not fits[k] and not shared[k]:
            drawn = f"{size[k, 0]:.6g} x {size[k, 1]:.6g} um"
            words = f"{device}: drawn {drawn}, {w:g} x {h:g} um in the technology"
            yield Fault(kind="device size", place=words, **at, **number)
