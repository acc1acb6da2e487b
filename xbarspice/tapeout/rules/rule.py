"""The rules that a drawing must keep, as a list that follows from the technology alone.

The check in Python and the script for KLayout's application both go through this list, so that
both know the same rules by the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xbarspice.tapeout.technology import Technology

__all__ = ["DEVICE", "OPENING", "Kind", "Rule", "drawing_layers", "known_layers", "rules_of"]

DEVICE, OPENING = "device", "pads.opening"
"""Names of the two drawing layers that are neither metal nor via."""

Kind = Literal[
    "grid",
    "width",
    "space",
    "wide space",
    "area",
    "contact",
    "largest density",
    "smallest density",
    "size",
    "enclosure",
    "one direction",
    "touching",
    "exclusion",
]
"""What a rule asks; each kind has one check and one form in the script."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: for example ``met1.width``.
        kind: what it asks.
        layer: name of the drawing layer that is checked.
        others: names of the drawing layers that it is held against.
        limit: um; um^2 of an area, a share of a density, a count of a contact.
        unit: of limit and measured value; empty for a share or count.
        above: um, width beyond which a metal is wide; side of the window of a density.
        step: um, by which the window of a density moves.
        words: what must hold, a sentence without its end.
    """

    name: str
    kind: Kind
    layer: str
    others: tuple[str, ...] = ()
    limit: float
    unit: str = "um"
    above: float = 0.0
    step: float = 0.0
    words: str


def drawing_layers(technology: Technology) -> dict[str, tuple[int, int]]:
    """Layers that rules speak of, by name: metals, vias, the device and the pads' opening."""
    layers = {part.name: part.layer for part in (*technology.metal, *technology.via)}
    layers[DEVICE] = technology.device.layer
    if technology.pads and technology.pads.opening:
        layers[OPENING] = technology.pads.opening.layer
    return layers


def known_layers(technology: Technology) -> set[tuple[int, int]]:
    """Every layer that the technology names: drawing, pins and labels."""
    marks = {layer for m in technology.metal for layer in (m.pin, m.label) if layer}
    return marks | set(drawing_layers(technology).values())


def rules_of(technology: Technology) -> tuple[Rule, ...]:
    """All rules of a technology: of the grid, the metals, the vias, the device, the pads."""
    return (
        *_grid(technology),
        *_metals(technology),
        *_vias(technology),
        *_device(technology),
        *_opening(technology),
    )


def _grid(t: Technology) -> Iterator[Rule]:
    for name in drawing_layers(t):
        yield Rule(
            name=f"{name}.grid",
            kind="grid",
            layer=name,
            limit=t.grid,
            words=f"every corner of {name} lies on the grid of {t.grid:g} um",
        )


def _metals(t: Technology) -> Iterator[Rule]:
    for m in t.metal:
        yield Rule(
            name=f"{m.name}.width",
            kind="width",
            layer=m.name,
            limit=m.width,
            words=f"{m.name} is at least {m.width:g} um wide",
        )
        yield Rule(
            name=f"{m.name}.space",
            kind="space",
            layer=m.name,
            limit=m.space,
            words=f"{m.name} is at least {m.space:g} um from {m.name}, also from itself",
        )
        if m.wide:
            yield Rule(
                name=f"{m.name}.wide.space",
                kind="wide space",
                layer=m.name,
                limit=m.wide.space,
                above=m.wide.above,
                words=f"{m.name} wider than {m.wide.above:g} um is at least {m.wide.space:g} um "
                f"from {m.name}",
            )
        if m.area:
            yield Rule(
                name=f"{m.name}.area",
                kind="area",
                layer=m.name,
                limit=m.area,
                unit="um^2",
                words=f"a shape of {m.name} covers at least {m.area:g} um^2",
            )
        if m.needs_contact:
            yield Rule(
                name=f"{m.name}.contact",
                kind="contact",
                layer=m.name,
                others=tuple(v.name for v in t.via if m.name in (v.lower, v.upper)),
                limit=1.0,
                unit="",
                words=f"a shape of {m.name} touches a via",
            )
        yield from _densities(t, m.name)


def _densities(t: Technology, metal: str) -> Iterator[Rule]:
    density = t.metals[metal].density
    if density is None:
        return
    window = f"of a window of {density.window:g} um"
    if density.max < 1:
        yield Rule(
            name=f"{metal}.density.max",
            kind="largest density",
            layer=metal,
            limit=density.max,
            unit="",
            above=density.window,
            step=density.step,
            words=f"{metal} covers at most {100 * density.max:g} % {window}",
        )
    if density.min > 0:
        yield Rule(
            name=f"{metal}.density.min",
            kind="smallest density",
            layer=metal,
            limit=density.min,
            unit="",
            above=density.window,
            step=density.step,
            words=f"{metal} covers at least {100 * density.min:g} % {window}",
        )


def _vias(t: Technology) -> Iterator[Rule]:
    for v in t.via:
        yield Rule(
            name=f"{v.name}.size",
            kind="size",
            layer=v.name,
            limit=v.size,
            words=f"{v.name} is a square of exactly {v.size:g} um",
        )
        yield Rule(
            name=f"{v.name}.space",
            kind="space",
            layer=v.name,
            limit=v.space,
            words=f"{v.name} is at least {v.space:g} um from {v.name}",
        )
        for metal, enclosure in ((v.lower, v.enclosure.lower), (v.upper, v.enclosure.upper)):
            yield Rule(
                name=f"{v.name}.enclosure.{metal}",
                kind="enclosure",
                layer=v.name,
                others=(metal,),
                limit=enclosure.all,
                words=f"{metal} reaches at least {enclosure.all:g} um beyond {v.name} on all sides",
            )
            if enclosure.along > enclosure.all:
                yield Rule(
                    name=f"{v.name}.enclosure.{metal}.two",
                    kind="one direction",
                    layer=v.name,
                    others=(metal,),
                    limit=enclosure.along,
                    words=f"{metal} reaches at least {enclosure.along:g} um beyond {v.name} on two "
                    "opposite sides",
                )


def _device(t: Technology) -> Iterator[Rule]:
    d = t.device
    yield Rule(
        name="device.width",
        kind="width",
        layer=DEVICE,
        limit=d.min_size,
        words=f"a device is at least {d.min_size:g} um wide",
    )
    if d.space:
        yield Rule(
            name="device.space",
            kind="space",
            layer=DEVICE,
            limit=d.space,
            words=f"a device is at least {d.space:g} um from the next",
        )
    if not d.touching:
        yield Rule(
            name="device.touching",
            kind="touching",
            layer=DEVICE,
            limit=1.0,
            unit="",
            words="a device is one shape that touches and overlaps no other",
        )
    for metal in (d.bottom, d.top):
        yield Rule(
            name=f"device.overhang.{metal}",
            kind="one direction",
            layer=DEVICE,
            others=(metal,),
            limit=d.overhang,
            words=f"{metal} covers a device and reaches {d.overhang:g} um beyond it in at least "
            "one direction",
        )
    for via in d.excludes:
        yield Rule(
            name=f"device.excludes.{via}",
            kind="exclusion",
            layer=DEVICE,
            others=(via,),
            limit=0.0,
            words=f"{via} does not lie on a device"
            + (f" outside the cell {d.cell.name}" if d.cell else ""),
        )


def _opening(t: Technology) -> Iterator[Rule]:
    if t.pads and t.pads.opening:
        limit = t.pads.opening.enclosure
        yield Rule(
            name="pads.opening.enclosure",
            kind="enclosure",
            layer=OPENING,
            others=(t.pads.top,),
            limit=limit,
            words=f"{t.pads.top} reaches at least {limit:g} um beyond an opening of the "
            "passivation",
        )
