"""Layout versus schematic: KLayout compares drawing and CDL netlist; faults get a place."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError
from xbarspice.netlist import dialects
from xbarspice.netlist.design import design
from xbarspice.netlist.records import place
from xbarspice.tapeout.extract import Extracted, Fault, extract
from xbarspice.tapeout.layout import Grid, klayout_db
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["SCOPE", "TOLERANCE", "LvsReport", "cdl_of", "compare_layout"]

SCOPE = "lines and devices compared; pads, vias and sizes not looked at"
"""What `compare_layout` looks at; every verdict that is shown says it."""

TOLERANCE = 1e-9
"""Relative difference of a segment's resistance that counts as another value."""


@dataclass(frozen=True, kw_only=True)
class LvsReport:
    """The verdict on one drawing.

    Attributes:
        clean: KLayout's comparison matched every net, pin and device, and no place is wrong; of the
            drawing, that is what `SCOPE` says.
        matched: KLayout's own verdict.
        faults: what is wrong, and where.
        wires: R_wl, R_bl, R_driver, R_sense in ohm as extracted (0 where there is no segment).
        devices, segments: how many were extracted.
    """

    clean: bool
    matched: bool
    faults: tuple[Fault, ...]
    wires: dict[str, float]
    devices: int
    segments: int

    def record(self) -> dict[str, Any]:
        """The verdict for JSON."""
        return {
            "clean": self.clean,
            "looked_at": SCOPE,
            "netlists_match": self.matched,
            "devices": self.devices,
            "segments": self.segments,
            "extracted_ohm": self.wires,
            "faults": [
                {
                    "kind": f.kind,
                    "place": f.place,
                    "x_um": f.x if math.isfinite(f.x) else None,
                    "y_um": f.y if math.isfinite(f.y) else None,
                }
                for f in self.faults
            ],
        }


def cdl_of(crossbar: Crossbar, name: str = "crossbar") -> str:
    """The CDL netlist that a drawing is compared with: devices as resistors of class RMEM."""
    return dialects.get("cdl").design(design([crossbar], form="resistor", name=name))


def compare_layout(
    layout: kdb.Layout, crossbar: Crossbar, technology: Technology, cdl: str | None = None
) -> LvsReport:
    """Extract a drawing and compare it with the netlist of its array.

    Args:
        layout: the drawing.
        crossbar: the array, with the wires that the technology gives.
        technology: the technology of the drawing.
        cdl: the netlist; None writes it from the array.
    """
    grid = Grid(crossbar.rows, crossbar.cols, technology)
    drawn = extract(layout, grid)
    reference = _reference(cdl_of(crossbar) if cdl is None else cdl)
    mismatches = _find_mismatches(drawn.netlist, reference)
    faults = [*drawn.faults, *_element_faults(drawn, reference, grid), *_label_faults(drawn)]
    if mismatches and not faults:
        faults = [Fault(kind="mismatch", place=m) for m in mismatches]
    return LvsReport(
        clean=not mismatches and not faults,
        matched=not mismatches,
        faults=tuple(faults),
        wires=_wires(drawn),
        devices=sum(R is None for R in drawn.devices.values()),
        segments=sum(R is not None for R in drawn.devices.values()),
    )


def _reference(cdl: str) -> kdb.Netlist:
    """The CDL text as KLayout's own reader understands it, at one level."""
    kdb = klayout_db()
    netlist = kdb.Netlist()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "design.cdl"
        path.write_text(cdl, encoding="utf-8")
        try:
            netlist.read(str(path), kdb.NetlistSpiceReader())
        except RuntimeError as error:
            raise EngineError(f"KLayout cannot read the CDL netlist: {error}.") from error
    for device_class in netlist.each_device_class():
        device_class.name = device_class.name.removeprefix("$[").removesuffix("]")
    netlist.flatten()
    return netlist


def _top(netlist: kdb.Netlist) -> kdb.Circuit:
    return next(iter(netlist.each_circuit_top_down()))


def _find_mismatches(drawn: kdb.Netlist, reference: kdb.Netlist) -> list[str]:
    """What has no partner in the other netlist; one sentence where KLayout does not say what."""
    kdb = klayout_db()
    mismatches: list[str] = []
    for netlist in (drawn, reference):
        for device_class in netlist.each_device_class():
            device_class.equal_parameters = _rule(device_class)
    top, reference_top = _top(drawn), _top(reference)
    top.name = reference_top.name

    class Log(kdb.GenericNetlistCompareLogger):
        def device_mismatch(self, a: Any, b: Any, message: str = "") -> None:
            mismatches.append(f"device {(a or b).expanded_name()} has no partner")

        def net_mismatch(self, a: Any, b: Any, message: str = "") -> None:
            mismatches.append(f"net {(a or b).expanded_name()} has no partner")

        def pin_mismatch(self, a: Any, b: Any, message: str = "") -> None:
            mismatches.append(f"pin {(a or b).expanded_name()} has no partner")

    drawn.make_top_level_pins()
    log = Log()  # the comparer does not keep it alive
    comparer = kdb.NetlistComparer(log)
    nets = {net.name: net for net in top.each_net() if net.name}
    for pin in reference_top.each_pin():
        net = reference_top.net_for_pin(pin.id())
        if net is not None and pin.name() in nets:
            comparer.same_nets(nets[pin.name()], net, True)
        else:
            mismatches.append(f"pin {pin.name()} has no label in the layout")
    matched = comparer.compare(drawn, reference)
    return mismatches if matched or mismatches else ["the netlists differ"]


def _rule(device_class: kdb.DeviceClass) -> kdb.EqualDeviceParameters:
    """Wires must agree in R; what a device was programmed to cannot be drawn."""
    equal, R = klayout_db().EqualDeviceParameters, device_class.parameter_id("R")
    return equal.ignore(R) if device_class.name == "RMEM" else equal(R, 0.0, TOLERANCE)


def _element_faults(drawn: Extracted, reference: kdb.Netlist, grid: Grid) -> Iterator[Fault]:
    """Elements of the netlist that the drawing lacks, has too much, or has with another value."""
    resistances: dict[str, float | None] = {}
    for device in _top(reference).each_device():
        name = device.expanded_name().rpartition(".")[2].lower()
        resistances[name] = None if name.startswith("d_") else device.parameter("R")
    for name, R in resistances.items():
        at = _where(name, grid)
        words = place(name if name.startswith("d_") else f"r{name}")
        if name not in drawn.devices:
            kind = "missing device" if R is None else "open"
            yield Fault(kind=kind, place=words, **at)
            continue
        R_drawn = drawn.devices[name] or 0.0
        if R is not None and not math.isclose(R_drawn, R, rel_tol=TOLERANCE):
            text = f"{words}: {R_drawn:.6g} ohm drawn, {R:.6g} ohm in the netlist"
            yield Fault(kind="value", place=text, **at)
    for name in drawn.devices:
        if name not in resistances:
            words = place(name if name.startswith("d_") else f"r{name}")
            yield Fault(kind="extra device", place=words, **_where(name, grid))


def _where(name: str, grid: Grid) -> dict[str, float]:
    """Centre of an element in um."""
    dbu, pitch = grid.technology.dbu, grid.technology.pitch
    kind, *at = name.split("_")
    k = [int(a) for a in at]
    if kind in ("wl", "bb"):
        x, y = grid.pad("WL" if kind == "wl" else "BL", k[0])
        return {"x": x * dbu, "y": y * dbu}
    x, y = grid.x(k[1]) * dbu, grid.y(k[0]) * dbu
    return {"x": x + (pitch / 2 if kind == "w" else 0), "y": y - (pitch / 2 if kind == "b" else 0)}


def _label_faults(drawn: Extracted) -> Iterator[Fault]:
    for label, pad in drawn.labels:
        if label != pad:
            yield Fault(kind="label", place=f"label {label} stands on {pad or 'no pad'}")


def _wires(drawn: Extracted) -> dict[str, float]:
    """Mean resistance of each kind of segment."""
    kinds = {"R_wl": "w", "R_bl": "b", "R_driver": "wl", "R_sense": "bb"}
    out = {}
    for name, kind in kinds.items():
        values = [R for n, R in drawn.devices.items() if n.split("_")[0] == kind and R is not None]
        same = values and max(values) - min(values) <= TOLERANCE * max(values)
        out[name] = values[0] if same else math.fsum(values) / len(values) if values else 0.0
    return out
