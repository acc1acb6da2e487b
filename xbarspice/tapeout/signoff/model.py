"""Sign-off of a whole model: its answers at the corners of the wires, and all of its arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.types import Array
from xbarspice.nn import exact_products
from xbarspice.nn.origin import decisions_of, outputs_of
from xbarspice.tapeout.effect import as_drawn
from xbarspice.tapeout.signoff.arrays import sign_off_array
from xbarspice.tapeout.signoff.corners import conditions, wires_at
from xbarspice.tapeout.sites import Site, drawn_array
from xbarspice.tapeout.technology import Technology

__all__ = ["FILE", "answers_at_corners", "sign_off"]

FILE = "signoff.json"
"""Record of one array, in its folder."""


def sign_off(
    circuit: Any,
    sites: Sequence[Site],
    technology: Technology,
    volts: Mapping[str, Array],
    arguments: tuple[Any, ...],
    y: npt.ArrayLike | None,
    folder: Path,
) -> tuple[dict[str, Any], list[tuple[Site, Path]]]:
    """Sign off every array, and the answers of the model.

    Args:
        circuit: the model with its wires as drawn.
        sites: its arrays.
        technology: of the drawings.
        volts: line voltages of every matrix, V.
        arguments: inputs of the model, tensors.
        y: classes of the points, or None.
        folder: of the tapeout; the whole record of an array is written into its folder.

    Returns:
        The record for the manifest, and the files that were written.
    """
    entries, files = [], []
    for site in sites:
        record = sign_off_array(site.array, technology, volts)
        path = folder / site.folder / FILE
        path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        files.append((site, path))
        entries.append(
            {
                "array": site.array.name,
                "file": f"{site.folder}/{FILE}",
                "passed": record["passed"],
                "largest_share": _worst(record["loads"]),
                "above": sum(load["count"] for load in record["loads"]),
                "settling_s": max(s["time_s"] for s in record["settling"]),
                "largest_drop": max(map(max, record["drop"])),
            }
        )
    return {
        "passed": all(entry["passed"] for entry in entries),
        "limits_at_C": technology.temperature.current,
        "answers": answers_at_corners(circuit, sites, technology, arguments, y),
        "arrays": entries,
    }, files


def _worst(loads: list[dict[str, Any]]) -> float | None:
    return max((load["largest_share"] for load in loads), default=None)


def answers_at_corners(
    circuit: Any,
    sites: Sequence[Site],
    technology: Technology,
    arguments: tuple[Any, ...],
    y: npt.ArrayLike | None,
) -> list[dict[str, Any]]:
    """What the model answers with the wires of every corner, solved by the surrogate.

    Args:
        circuit: the model with its wires as drawn, typical.
        sites: its arrays that were drawn; the wires of others stay as they are.
        technology: of the drawings.
        arguments: inputs of the model, tensors.
        y: classes of the points, or None.

    Returns:
        One record a corner: ``condition``, ``agreement`` with the software's decisions and
        ``accuracy`` (None where there are no decisions or classes), and the largest error of an
        output against the software, of the largest output.
    """
    with exact_products():
        software = outputs_of(circuit, arguments)
    reference = decisions_of(software)
    largest = max((float(t.abs().max()) for t in software if t.numel()), default=0.0) or 1.0
    out = []
    for condition in conditions(technology):
        wires = {
            site.array.name: wires_at(technology, drawn_array(site.array).wires, condition)
            for site in sites
        }
        outputs = outputs_of(as_drawn(circuit, wires), arguments)
        decisions = decisions_of(outputs)
        errors = [
            float((a - b).abs().max()) for a, b in zip(outputs, software, strict=True) if a.numel()
        ]
        known = decisions is not None and reference is not None
        out.append(
            {
                "condition": condition.name,
                "agreement": float(np.mean(decisions == reference)) if known else None,
                "accuracy": float(np.mean(decisions == np.asarray(y)))
                if known and y is not None
                else None,
                "largest_error": max(errors, default=0.0) / largest,
            }
        )
    return out
