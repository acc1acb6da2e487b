"""What a technology file holds: layers with their rules and numbers, and how an array is drawn.

Lengths in um, all else in SI units. Every entry is checked alone here and against the others in
`xbarspice.tapeout.technology.rules`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xbarspice.config.sections import Section
from xbarspice.tapeout.technology.corners import Corner, Resistances, resistances_at
from xbarspice.tapeout.technology.layers import (
    Areal,
    Celsius,
    Coupling,
    Gap,
    Layer,
    Length,
    Metal,
    Name,
    Via,
)
from xbarspice.tapeout.technology.rules import broken_rules

__all__ = [
    "Array",
    "Cell",
    "Device",
    "Die",
    "Landing",
    "Lead",
    "Line",
    "Monitors",
    "Opening",
    "Pads",
    "Sides",
    "Technology",
    "Temperature",
]


class Cell(Section):
    """A foundry's own layout of the device: a file, and the name of the cell in it."""

    file: str
    name: Name


class Device(Section):
    """The switching layer at a crossing.

    `overhang` is by how much each electrode reaches beyond it in at least one direction;
    `excludes` names vias that must not lie on it outside a foundry cell. `subckt`, `pins` and
    `area_parameter` say how a schematic netlist names it: pins in the order of the foundry's card,
    of which `bottom_pin` (the first one if it is not named) is the lower metal's. An
    extraction may write the pins in another order, `extracted_pins`, and the area in um^2,
    `extracted_area`; the schematic that netgen compares follows it. `C_area` is the capacitance of
    the oxide.
    """

    model: str | None = None
    layer: Layer
    size: tuple[Length, Length]
    min_size: Length
    space: Gap
    touching: bool = False
    bottom: Name
    top: Name
    overhang: Gap = 0.0
    excludes: tuple[Name, ...] = ()
    cell: Cell | None = None
    subckt: Name | None = None
    pins: tuple[Name, Name] | None = None
    bottom_pin: Name | None = None
    area_parameter: Name | None = None
    extracted_pins: tuple[Name, Name] | None = None
    extracted_area: Literal["m2", "um2"] = "m2"
    C_area: Areal = 0.0


class Line(Section):
    """Metal of one direction; `extension` is its end beyond the last device's edge."""

    metal: Name
    width: Length
    extension: Gap


class Landing(Section):
    """Metals and vias in turn from a line up to the metal of the leads."""

    word_line: tuple[Name, ...] = Field(min_length=1)
    bit_line: tuple[Name, ...] = Field(min_length=1)


class Array(Section):
    """How an array is drawn; pitch in x (between bit lines) and in y (between word lines)."""

    pitch: tuple[Length, Length]
    word_line: Line
    bit_line: Line
    landing: Landing
    dummies: int = Field(default=0, ge=0, le=16, description="lines on each side, without devices")


class Lead(Section):
    """What a line and its lead to the pad must carry and may cost.

    `current`: largest current of one line, A; widths and cuts follow from it and the limits of the
    metals. `resistance`: largest resistance of metal and cuts between line and pad, ohm, typical (a
    quarter of it is for the cuts); without it the widths are those with the least resistance.
    """

    current: float = Field(default=0.0, ge=0, le=1e3, description="A")
    resistance: float | None = Field(default=None, ge=1e-6, le=1e9, description="ohm")
    width: Length | None = Field(default=None, description="um, largest")


class Opening(Section):
    """Hole in the passivation, smaller than the pad by `enclosure` on each side."""

    layer: Layer
    enclosure: Gap


class Sides(Section):
    """Sides of the die with pads: of word lines left and top, of bit lines bottom and right.

    The leads cannot cross, so word lines leave to the left and may turn up as well, bit lines leave
    at the bottom and may turn right as well: left and bottom stand first.
    """

    word_line: tuple[Literal["left", "top"], ...] = ("left",)
    bit_line: tuple[Literal["bottom", "right"], ...] = ("bottom",)

    @model_validator(mode="after")
    def _are_named_once(self) -> Self:
        for name, first in (("word_line", "left"), ("bit_line", "bottom")):
            sides = getattr(self, name)
            if sides[:1] != (first,) or len(set(sides)) != len(sides):
                raise ValueError(f"{name} must name {first}, and at most one more side")
        return self


class Pads(Section):
    """Square pads at the pitch of the probe card, in the metal of the leads.

    `stack` leads from that metal up to the one that is touched, metals and vias in turn, with at
    least `cuts` cuts of each via; `opening` lies in the uppermost metal.
    """

    metal: Name
    size: Length
    pitch: Length
    stack: tuple[Name, ...] = ()
    cuts: int = Field(default=9, ge=1, le=10000)
    sides: Sides = Sides()
    opening: Opening | None = None

    @property
    def metals(self) -> tuple[str, ...]:
        """Metals of a pad, bottom first."""
        return self.stack[::2] or (self.metal,)

    @property
    def top(self) -> str:
        """The metal that a needle touches; pins and labels stand on it."""
        return self.metals[-1]


class Monitors(Section):
    """Test structures beside the arrays, each with pads of its own.

    Single devices, a line of each direction with four pads (Kelvin), a chain of every via.
    """

    devices: int = Field(default=2, ge=0, le=64)
    lines: bool = True
    chains: bool = True


class Die(Section):
    """What stands beside the arrays.

    `spacing` is their distance (None: the pads' pitch, or the array's). Where there are pads,
    `text` is written on the die (None: the design's name), and alignment marks of `marks` um stand
    at its corners (0: none).
    """

    spacing: Length | None = None
    text: str | None = Field(default=None, max_length=80, pattern=r"^[\x20-\x7e]*$")
    text_height: Length = 20.0
    marks: Gap = 50.0
    monitors: Monitors | None = None


class Temperature(Section):
    """Degrees Celsius at which resistances are stated, and at which current limits are."""

    resistance: Celsius = 27.0
    current: Celsius = 90.0


class Technology(Section):
    """Everything that a drawing, its rules and its resistances depend on.

    Metals and vias stand in the order of the stack, bottom first. Every length is a multiple of
    `grid`, which is a multiple of the database unit `dbu`, um.
    """

    name: str = Field(min_length=1)
    source: str = ""
    dbu: Length = 0.001
    grid: Length
    temperature: Temperature = Temperature()
    metal: tuple[Metal, ...] = Field(min_length=2)
    via: tuple[Via, ...] = ()
    coupling: tuple[Coupling, ...] = ()
    device: Device
    array: Array
    lead: Lead = Lead()
    pads: Pads | None = None
    die: Die = Die()

    @model_validator(mode="after")
    def _obeys_its_own_rules(self) -> Self:
        broken = list(broken_rules(self))
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @property
    def metals(self) -> dict[str, Metal]:
        """Metals by name."""
        return {metal.name: metal for metal in self.metal}

    @property
    def vias(self) -> dict[str, Via]:
        """Vias by name."""
        return {via.name: via for via in self.via}

    @property
    def array_spacing(self) -> float:
        """Distance between the outlines of two arrays, um."""
        if self.die.spacing is not None:
            return self.die.spacing
        return self.pads.pitch if self.pads else max(*self.array.pitch, self.widest_space)

    @property
    def widest_space(self) -> float:
        """The largest space that any metal asks for, um."""
        return max(metal.wide.space if metal.wide else metal.space for metal in self.metal)

    def at(self, corner: Corner = "typ", temperature: float | None = None) -> Resistances:
        """Resistances of metals and vias at a corner and a temperature in degrees Celsius.

        Raises:
            InputError: as `resistances_at`.
        """
        return resistances_at(self, corner, temperature)

    def segments(
        self, corner: Corner = "typ", temperature: float | None = None
    ) -> dict[str, float]:
        """Resistance of the line between two neighbouring cells, ohm: R_wl, R_bl.

        ``sheet * pitch / width``, centre to centre.
        """
        sheet, (x, y) = self.at(corner, temperature).sheet, self.array.pitch
        wl, bl = self.array.word_line, self.array.bit_line
        return {
            "R_wl": sheet[wl.metal] * x / wl.width,
            "R_bl": sheet[bl.metal] * y / bl.width,
        }

    def capacitances(self) -> dict[str, float]:
        """Capacitances of an array, F: C_wl, C_bl, C_cross, C_device.

        Of one segment to the substrate; between both lines where they cross; and what a device adds
        there, whose oxide takes the place of the dielectric between the metals.
        """
        x, y = self.array.pitch
        parts = {"C_wl": (self.array.word_line, x), "C_bl": (self.array.bit_line, y)}
        out = {}
        for name, (line, pitch) in parts.items():
            metal = self.metals[line.metal]
            out[name] = (metal.C_area * line.width + 2 * metal.C_fringe) * pitch
        return out | self._crossing()

    def _crossing(self) -> dict[str, float]:
        """Capacitance between the lines of one crossing without a device, and what one adds, F."""
        widths = self.array.word_line.width, self.array.bit_line.width
        pair = {self.device.bottom, self.device.top}
        between = next((c for c in self.coupling if {c.lower, c.upper} == pair), None)
        C_area, C_edge = (between.C_area, between.C_edge) if between else (0.0, 0.0)
        area = self.device.size[0] * self.device.size[1]
        return {
            "C_cross": C_area * widths[0] * widths[1] + 2 * C_edge * sum(widths),
            "C_device": max(self.device.C_area - C_area, 0.0) * area,
        }
