"""Metals and vias of a technology file with their rules and numbers; lengths in um."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from xbarspice.config.sections import Section

__all__ = [
    "Areal",
    "Celsius",
    "Coefficient",
    "Coupling",
    "Current",
    "Density",
    "Enclosure",
    "Enclosures",
    "Gap",
    "Layer",
    "Length",
    "Linear",
    "Metal",
    "Name",
    "Spread",
    "Via",
    "Wide",
]

Layer = tuple[Annotated[int, Field(ge=0, le=32767)], Annotated[int, Field(ge=0, le=32767)]]
"""GDSII layer and datatype."""
Length = Annotated[float, Field(ge=1e-6, le=1e6, description="um")]
Gap = Annotated[float, Field(ge=0, le=1e6, description="um")]
Current = Annotated[float, Field(ge=1e-15, le=1e3)]
Coefficient = Annotated[float, Field(ge=-1, le=1, description="1/K")]
Areal = Annotated[float, Field(ge=0, le=1e12, description="F/um^2")]
Linear = Annotated[float, Field(ge=0, le=1e12, description="F/um of one edge")]
Celsius = Annotated[float, Field(gt=-273.15, le=1e4)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Spread(Section):
    """A number at the three corners."""

    min: float = Field(ge=0, le=1e9)
    typ: float = Field(ge=0, le=1e9)
    max: float = Field(ge=0, le=1e9)

    @model_validator(mode="after")
    def _corners_rise(self) -> Self:
        if not self.min <= self.typ <= self.max:
            raise ValueError("min <= typ <= max must hold")
        return self


Resistance = Annotated[float, Field(ge=0, le=1e9)] | Spread
"""Ohm; one number stands for all corners."""


class Wide(Section):
    """Larger space that metal wider than `above` keeps to its neighbours, um."""

    above: Length
    space: Length


class Density(Section):
    """Share of a window that metal may cover; the window moves by `step`, um."""

    window: Length
    step: Length
    min: float = Field(default=0.0, ge=0, le=1)
    max: float = Field(default=1.0, ge=0, le=1)


class Metal(Section):
    """One metal.

    `sheet` in ohm a square, `current` in A per um of width, `tc` the temperature coefficient of
    `sheet` in 1/K, capacitances to the substrate in F/um^2 and F per um of one edge. With
    `needs_contact` a shape that touches no via is a violation.
    """

    name: Name
    layer: Layer
    pin: Layer | None = None
    label: Layer | None = None
    width: Length
    space: Length
    wide: Wide | None = None
    area: float = Field(default=0.0, ge=0, le=1e12, description="um^2")
    sheet: Resistance
    current: Current | None = Field(default=None, description="A per um of width")
    tc: Coefficient = 0.0
    C_area: Areal = 0.0
    C_fringe: Linear = 0.0
    needs_contact: bool = False
    density: Density | None = None

    def space_of(self, width: float) -> float:
        """Space that a shape of a width keeps, um."""
        return self.wide.space if self.wide and width > self.wide.above else self.space


class Enclosure(Section):
    """Metal around a cut, um: `all` sides, and `two` on two opposite sides."""

    all: Gap
    two: Gap | None = None

    @property
    def along(self) -> float:
        """On the two sides with more metal, um."""
        return self.all if self.two is None else self.two


class Enclosures(Section):
    """By the metals that a via joins."""

    lower: Enclosure
    upper: Enclosure


class Via(Section):
    """Square cuts of exactly `size` between two neighbouring metals; `resistance` a cut, ohm."""

    name: Name
    lower: Name
    upper: Name
    layer: Layer
    size: Length
    space: Length
    enclosure: Enclosures
    resistance: Resistance
    current: Current | None = Field(default=None, description="A a cut")
    tc: Coefficient = 0.0


class Coupling(Section):
    """Capacitance between two metals where they cross, F/um^2 of overlap and F/um of its edge."""

    lower: Name
    upper: Name
    C_area: Areal
    C_edge: Linear = 0.0
