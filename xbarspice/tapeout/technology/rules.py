"""What the entries of a technology demand of each other, each with the name of its rule.

A drawing follows from the technology alone, so everything that a rule check of the drawing would
refuse is refused here: grid, widths, spaces, enclosures, areas, landings that do not fit between
two lines, ends that do not cover the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from xbarspice.tapeout.technology.landing import land, pad_cuts

if TYPE_CHECKING:
    from xbarspice.tapeout.technology.layers import Metal, Via
    from xbarspice.tapeout.technology.schema import Line, Technology

__all__ = ["broken_rules"]

_CLOSE = 1e-9


def broken_rules(technology: Technology) -> Iterator[str]:
    """Every rule that a technology breaks: ``name: what must hold``.

    Names that point nowhere and lengths off the grid are told alone: all else follows from them.
    """
    for first in ((*_names(technology), *_references(technology)), tuple(_grid(technology))):
        if first:
            yield from first
            return
    yield from _metals(technology)
    yield from _lines(technology)
    yield from _device(technology)
    broken = list(_landings(technology))
    yield from broken
    if not broken:
        yield from _pads(technology)
    yield from _die(technology)


def _below(value: float, limit: float) -> bool:
    return value < limit - _CLOSE


def _names(t: Technology) -> Iterator[str]:
    """Names and drawing layers are used once."""
    names = [*(part.name for part in (*t.metal, *t.via)), "device"]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"name: {name} must name one metal or via, or the device"
    parts = {part.name: part.layer for part in (*t.metal, *t.via)} | {"device": t.device.layer}
    if t.pads and t.pads.opening:
        parts["pads.opening"] = t.pads.opening.layer
    layers: dict[tuple[int, int], str] = {}
    for name, layer in parts.items():
        if layer in layers:
            yield f"layer: {name} and {layers[layer]} must have different drawing layers"
        layers.setdefault(layer, name)


def _references(t: Technology) -> Iterator[str]:
    """Whatever is named exists, and stands where it must in the stack."""
    order = {metal.name: k for k, metal in enumerate(t.metal)}
    vias = {via.name: via for via in t.via}
    for via in t.via:
        if order.get(via.upper, -1) != order.get(via.lower, -9) + 1:
            yield (
                f"{via.name}.stack: lower and upper must be two neighbouring metals, the lower one "
                f"first (received {via.lower}, {via.upper})"
            )
    bottom, top = t.device.bottom, t.device.top
    if order.get(top, -1) != order.get(bottom, -9) + 1:
        yield (
            "device.stack: bottom and top must be two neighbouring metals, the lower one first "
            f"(received {bottom}, {top})"
        )
    electrodes = {t.array.word_line.metal, t.array.bit_line.metal}
    if electrodes != {bottom, top}:
        yield "array.electrodes: word_line.metal and bit_line.metal must be the two electrodes"
    extracted = t.device.extracted_pins
    if extracted is not None and set(extracted) != set(t.device.pins or ()):
        yield f"device.extracted_pins: {extracted} must be device.pins in some order"
    if t.device.bottom_pin not in (None, *(t.device.pins or ())):
        yield f"device.bottom_pin: {t.device.bottom_pin} must be one of device.pins"
    for name in t.device.excludes:
        if name not in vias:
            yield f"device.excludes: {name} is no via"
    for coupling in t.coupling:
        if not order.get(coupling.lower, 99) < order.get(coupling.upper, -1):
            yield "coupling: lower and upper must be two metals, the lower one first"
    if t.pads and t.pads.metal not in order:
        yield f"pads.metal: {t.pads.metal} is no metal"
    yield from _stacks(t, vias)


def _stacks(t: Technology, vias: dict[str, Via]) -> Iterator[str]:
    """A landing goes from its line up, metal and via in turn, to the metal of the pads."""
    for kind, line in (("word_line", t.array.word_line), ("bit_line", t.array.bit_line)):
        steps = getattr(t.array.landing, kind)
        rule, metals, cuts = f"array.landing.{kind}", steps[::2], steps[1::2]
        joins = [(vias[c].lower, vias[c].upper) if c in vias else None for c in cuts]
        if len(steps) % 2 == 0 or joins != list(pairwise(metals)):
            yield f"{rule}: metals and the vias that join them must stand in turn, from the bottom"
        elif metals[0] != line.metal:
            yield f"{rule}: it must begin at {line.metal}, the metal of the line"
        elif t.pads and metals[-1] != t.pads.metal:
            yield f"{rule}: it must end at {t.pads.metal}, the metal of the pads"
    if t.pads and t.pads.stack:
        metals, cuts = t.pads.stack[::2], t.pads.stack[1::2]
        joins = [(vias[c].lower, vias[c].upper) if c in vias else None for c in cuts]
        if len(t.pads.stack) % 2 == 0 or joins != list(pairwise(metals)):
            yield "pads.stack: metals and the vias that join them must stand in turn"
        elif metals[0] != t.pads.metal:
            yield f"pads.stack: it must begin at {t.pads.metal}, the metal of the pads"


def _grid(t: Technology) -> Iterator[str]:
    """Every length is a multiple of the grid, every width that is centred one of twice the grid."""
    steps = t.grid / t.dbu
    if steps < 1 - 1e-6 or abs(steps - round(steps)) > 1e-6:
        yield f"grid: {t.grid:g} um must be a multiple of dbu"
        return
    for name, value in _lengths(t):
        yield from _multiple(name, value, t.grid)
    for name, value in _centred_lengths(t):
        yield from _multiple(name, value, 2 * t.grid)


def _multiple(name: str, value: float, step: float) -> Iterator[str]:
    count = value / step
    if abs(count - round(count)) > 1e-6:
        yield f"grid: {name} = {value:g} um must be a multiple of {step:g} um"


def _lengths(t: Technology) -> Iterator[tuple[str, float]]:
    for metal in t.metal:
        yield f"{metal.name}.space", metal.space
        if metal.wide:
            yield f"{metal.name}.wide.space", metal.wide.space
        if metal.density:
            yield f"{metal.name}.density.window", metal.density.window
            yield f"{metal.name}.density.step", metal.density.step
    for via in t.via:
        yield f"{via.name}.space", via.space
        for side, enclosure in (("lower", via.enclosure.lower), ("upper", via.enclosure.upper)):
            yield f"{via.name}.enclosure.{side}.all", enclosure.all
            yield f"{via.name}.enclosure.{side}.two", enclosure.along
    for axis, pitch in zip("xy", t.array.pitch, strict=True):
        yield f"array.pitch.{axis}", pitch
    yield "array.word_line.extension", t.array.word_line.extension
    yield "array.bit_line.extension", t.array.bit_line.extension
    yield "device.overhang", t.device.overhang
    yield "device.space", t.device.space
    if t.pads:
        yield "pads.pitch", t.pads.pitch
        if t.pads.opening:
            yield "pads.opening.enclosure", t.pads.opening.enclosure
    if t.lead.width is not None:
        yield "lead.width", t.lead.width
    yield "die.spacing", t.array_spacing


def _centred_lengths(t: Technology) -> Iterator[tuple[str, float]]:
    for metal in t.metal:
        yield f"{metal.name}.width", metal.width
        if metal.wide:
            yield f"{metal.name}.wide.above", metal.wide.above
    for via in t.via:
        yield f"{via.name}.size", via.size
    for axis, size in zip("xy", t.device.size, strict=True):
        yield f"device.size.{axis}", size
    yield "array.word_line.width", t.array.word_line.width
    yield "array.bit_line.width", t.array.bit_line.width
    if t.pads:
        yield "pads.size", t.pads.size
    yield "die.marks", t.die.marks


def _metals(t: Technology) -> Iterator[str]:
    for metal in t.metal:
        if metal.wide and (metal.wide.above < metal.width or metal.wide.space < metal.space):
            yield f"{metal.name}.wide: `above` and `space` must not be below width and space"
        density = metal.density
        if density and not (density.min <= density.max and density.step <= density.window):
            yield f"{metal.name}.density: min <= max and step <= window must hold"
    for via in t.via:
        for side, enclosure in (("lower", via.enclosure.lower), ("upper", via.enclosure.upper)):
            if _below(enclosure.along, enclosure.all):
                yield f"{via.name}.enclosure.{side}: `two` must not be below `all`"


def _lines(t: Technology) -> Iterator[str]:
    """Lines are as wide and as far apart as their metal asks for."""
    for kind, line, pitch in _directions(t):
        metal = t.metals[line.metal]
        if _below(line.width, metal.width):
            yield (
                f"{metal.name}.width: array.{kind}.width = {line.width:g} um must be at least "
                f"{metal.width:g} um"
            )
        gap, space = pitch - line.width, metal.space_of(line.width)
        if _below(gap, space):
            yield (
                f"{metal.name}.space: {gap:.6g} um between two lines of array.{kind} must be at "
                f"least {space:g} um (pitch less width)"
            )


def _directions(t: Technology) -> tuple[tuple[str, Line, float], ...]:
    """Both kinds of lines with the pitch at which they stand."""
    x, y = t.array.pitch
    return ("word_line", t.array.word_line, y), ("bit_line", t.array.bit_line, x)


def _device(t: Technology) -> Iterator[str]:
    device, (x, y) = t.device, t.device.size
    if _below(min(x, y), device.min_size):
        yield f"device.width: device.size must be at least {device.min_size:g} um"
    for axis, pitch, size in zip("xy", t.array.pitch, device.size, strict=True):
        gap = pitch - size
        if _below(gap, device.space) or (not device.touching and gap <= _CLOSE):
            yield (
                f"device.space: {gap:.6g} um between two devices in {axis} must be at least "
                f"{device.space:g} um" + ("" if device.touching else ", and they must not touch")
            )
    across = {"word_line": y, "bit_line": x}
    for kind, line, _ in _directions(t):
        beyond = (line.width - across[kind]) / 2
        if _below(beyond, 0.0):
            yield (
                f"device.enclosure: device.size must not exceed array.{kind}.width = "
                f"{line.width:g} um"
            )
        if _below(max(beyond, line.extension), device.overhang):
            yield (
                f"device.overhang: array.{kind} must reach beyond the last device by "
                f"{device.overhang:g} um in one direction (extension {line.extension:g} um, "
                f"{max(beyond, 0):g} um across)"
            )


def _landings(t: Technology) -> Iterator[str]:
    """Landings of neighbouring lines keep their space; their metals are large enough."""
    for kind, line, pitch in _directions(t):
        result = land(t, kind)
        for plate in result.plates:
            metal = t.metals[plate.metal]
            gap = pitch - plate.across
            if _below(gap, metal.space):
                yield (
                    f"{metal.name}.space: {gap:.6g} um between two landings of array.landing.{kind}"
                    f" must be at least {metal.space:g} um; {plate.across:g} um are needed around "
                    "the cuts"
                )
        for name, cuts, most in result.lacking:
            yield (
                f"{name}.current: {cuts} cuts on a line of array.{kind} are needed, {most} fit; "
                "lower lead.current or raise lead.resistance"
            )
        yield from _carries(t, kind, line)


def _carries(t: Technology, kind: str, line: Line) -> Iterator[str]:
    """The line itself must carry what the lead is asked to."""
    metal: Metal = t.metals[line.metal]
    if metal.current and t.lead.current > metal.current * line.width * (1 + _CLOSE):
        yield (
            f"{metal.name}.current: lead.current = {t.lead.current:g} A is more than array.{kind} "
            f"of {line.width:g} um carries ({metal.current * line.width:.4g} A)"
        )


def _pads(t: Technology) -> Iterator[str]:
    pads = t.pads
    if pads is None:
        return
    for metal in (t.metals[name] for name in pads.metals):
        if _below(pads.size, metal.width):
            yield f"{metal.name}.width: pads.size must be at least {metal.width:g} um"
        gap, space = pads.pitch - pads.size, metal.space_of(pads.size)
        if _below(gap, space):
            yield f"{metal.name}.space: pads.pitch must exceed pads.size by at least {space:g} um"
    for via in (t.vias[name] for name in pads.stack[1::2]):
        side = pad_cuts(t, via)
        around = max(via.enclosure.lower.along, via.enclosure.upper.along)
        extent = side * (via.size + via.space) - via.space + 2 * around
        if _below(pads.size, extent):
            yield f"{via.name}.enclosure: {side} x {side} cuts in a pad need {extent:g} um"
    metal = t.metals[pads.metal]
    if pads.opening and pads.size <= 2 * pads.opening.enclosure:
        yield "pads.opening: nothing is left of pads.size within the enclosure"
    widest = math.inf if t.lead.width is None else t.lead.width
    if _below(widest, metal.width):
        yield f"{metal.name}.width: lead.width must be at least {metal.width:g} um"


def _die(t: Technology) -> Iterator[str]:
    if t.die.monitors and not t.pads:
        yield "die.monitors: they need [pads]"
    if _below(t.array_spacing, t.widest_space):
        yield (
            f"die.spacing: {t.array_spacing:g} um must not be below {t.widest_space:g} um, the "
            "largest space of a metal"
        )
