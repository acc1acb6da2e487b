"""The technology of a passive crossbar: layers, dimensions, resistances, from a TOML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from xbarspice.config.sections import Section
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import parse_toml, read_toml
from xbarspice.core.values import broken_entries

__all__ = ["DevicePart", "Line", "Pad", "Technology", "Via", "load"]

LayerPair = tuple[int, int]


class Line(Section):
    """Metal of one direction: GDSII layers, width in um, sheet resistance, capacitances."""

    layer: LayerPair
    label: LayerPair
    width: float = Field(gt=0, description="um")
    sheet: float = Field(gt=0, description="ohm a square")
    C_area: float = Field(default=0.0, ge=0, description="F/um^2")
    C_fringe: float = Field(default=0.0, ge=0, description="F/um of one edge")


class DevicePart(Section):
    """The switching layer at a crossing: a square of `size` um."""

    layer: LayerPair
    size: float = Field(gt=0, description="um")


class Pad(Section):
    """Connection land of `size` um; `lead` um from its edge to the centre of the first cell."""

    layer: LayerPair
    size: float = Field(gt=0, description="um")
    lead: float = Field(gt=0, description="um")


class Via(Section):
    """`count` x `count` cuts of `size` um at `pitch` um in every pad, each of `resistance` ohm."""

    layer: LayerPair
    size: float = Field(gt=0, description="um")
    pitch: float = Field(gt=0, description="um")
    count: int = Field(ge=1)
    resistance: float = Field(ge=0, description="ohm a cut")


class Technology(Section):
    """Everything that the drawing and its resistances depend on. Lengths in um.

    From the geometry follow one segment's ``sheet * pitch / width`` (centre to centre of two
    cells), and between pad and first cell ``sheet * lead / width + resistance / count^2``.
    """

    name: str
    dbu: float = Field(default=0.001, gt=0, description="um")
    pitch: float = Field(gt=0, description="um")
    spacing: float | None = Field(
        default=None, gt=0, description="um between the outlines of two arrays; none: one pitch"
    )
    word_line: Line
    bit_line: Line
    device: DevicePart
    pad: Pad
    via: Via

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        widest = max(self.word_line.width, self.bit_line.width, self.pad.size)
        if widest >= self.pitch:
            raise ValueError("pitch must exceed both widths and the pad size")
        if self.device.size > min(self.word_line.width, self.bit_line.width):
            raise ValueError("device.size must fit into both lines")
        cuts = self.via.pitch * (self.via.count - 1) + self.via.size
        if cuts > self.pad.size or self.via.size >= self.via.pitch:
            raise ValueError("the cuts of via must fit into pad.size without touching")
        if self.pad.lead <= self.pitch / 2:
            raise ValueError("pad.lead must exceed half the pitch")
        closest = self.pitch - min(self.word_line.width, self.bit_line.width, self.pad.size)
        if self.array_spacing < closest:
            raise ValueError(f"spacing must not be below {closest:g} um, the gap of lines and pads")
        for name, value in self._lengths().items():
            steps = value / (2 * self.dbu)
            if abs(steps - round(steps)) > 1e-6:
                raise ValueError(f"{name} must be a multiple of {2 * self.dbu:g} um")
        return self

    @property
    def array_spacing(self) -> float:
        """Distance between the outlines of two arrays, um; lines in an array are never closer."""
        return self.pitch if self.spacing is None else self.spacing

    def _lengths(self) -> dict[str, float]:
        return {
            "pitch": self.pitch,
            "spacing": self.array_spacing,
            "word_line.width": self.word_line.width,
            "bit_line.width": self.bit_line.width,
            "device.size": self.device.size,
            "pad.size": self.pad.size,
            "pad.lead": self.pad.lead,
            "via.size": self.via.size,
            "via.pitch": self.via.pitch,
        }

    def wires(self) -> dict[str, float]:
        """Resistances in ohm that the geometry gives: R_wl, R_bl, R_driver, R_sense."""
        via = self.via.resistance / self.via.count**2
        wl, bl = (line.sheet / line.width for line in (self.word_line, self.bit_line))
        return {
            "R_wl": wl * self.pitch,
            "R_bl": bl * self.pitch,
            "R_driver": wl * self.pad.lead + via,
            "R_sense": bl * self.pad.lead + via,
        }

    def capacitances(self) -> dict[str, float]:
        """Capacitance of one segment to the substrate in F: C_wl, C_bl."""
        lines = {"C_wl": self.word_line, "C_bl": self.bit_line}
        return {
            name: (line.C_area * line.width + 2 * line.C_fringe) * self.pitch
            for name, line in lines.items()
        }


def load(technology: str | Path = "demo") -> Technology:
    """Read a technology: the packaged ``"demo"``, or a TOML file of the same form.

    Raises:
        InputError: there is no such file, or an entry is missing, unknown or impossible.
    """
    if str(technology) == "demo":
        text = resources.files("xbarspice.tapeout").joinpath("data/demo.toml").read_text("utf-8")
        values = parse_toml(text, "demo")
    else:
        path = Path(technology)
        if not path.is_file():
            raise broken_rule("a technology is 'demo' or a TOML file", str(path), "Check the path.")
        values = read_toml(path, "a technology")
    try:
        return Technology.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"the technology must be complete and consistent; {broken_entries(error, 'file')}."
        ) from error
