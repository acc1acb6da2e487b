"""Twin of a measured die: from a table of resistances to stuck devices, spread and a crossbar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.tables import Options, Unit, read_grid, unit_of
from xbarspice.tables.units import find_units

__all__ = ["Die", "Thresholds", "find_read_voltage", "read_die"]


V_READ = re.compile(
    r"(?:v[_ ]?read|read(?:ing)?[_ ]*(?:voltage|bias)|lecture)(?P<rest>[^\r\n]*)", re.IGNORECASE
)
VOLTS = re.compile(r"(?P<number>[-+]?\d+(?:[.,]\d+)?)\s*(?P<unit>mV|V)?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From which conductance a device counts as stuck.

    A device that conducts better than ``above x G_max``, or worse than ``below x G_min``, cannot be
    brought into the range in which the network is programmed (see xbarspice.mapping).

    Args:
        G_min, G_max: range of the network, S.
        above, below: factors.
    """

    G_min: float
    G_max: float
    above: float = 1.1
    below: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.G_min < self.G_max or not 0 < self.below <= 1 <= self.above:
            raise broken_rule(
                "thresholds must satisfy 0 < G_min < G_max and 0 < below <= 1 <= above",
                (self.G_min, self.G_max, self.below, self.above),
                "Give conductances in S.",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Die:
    """One measured array.

    Attributes:
        G: conductance of every device, S, (rows, cols); 0 where no current was measurable.
        V_read: read voltage of the head, V, or None.
        unit: as the numbers stood in the file.
        settings: other entries of the head, such as pulses, as text.
        notices: what was guessed or assumed.
    """

    G: Array
    V_read: float | None
    unit: str
    settings: Mapping[str, str]
    notices: tuple[str, ...]

    def stuck(self, t: Thresholds) -> npt.NDArray[np.int8]:
        """-1: stuck at high ohm (low conductance); +1: stuck at low ohm; 0: neither."""
        low_ohm, high_ohm = t.above * t.G_max < self.G, t.below * t.G_min > self.G
        return (low_ohm.astype(np.int8) - high_ohm).astype(np.int8)

    def spread(self, t: Thresholds) -> dict[str, float]:
        """Figures of the devices that are not stuck: median and standard deviation, S and share."""
        healthy = self.G[self.stuck(t) == 0]
        if healthy.size < 2:
            return {"devices": float(healthy.size)}
        return {
            "devices": float(healthy.size),
            "median_S": float(np.median(healthy)),
            "mean_S": float(healthy.mean()),
            "std_S": float(healthy.std(ddof=1)),
            "relative_std": float(healthy.std(ddof=1) / healthy.mean()),
            "min_S": float(healthy.min()),
            "max_S": float(healthy.max()),
        }


def read_die(path: Path, unit: str | None = None, options: Options | None = None) -> Die:
    """Read a table of resistances or conductances, one row a word line.

    Lines above the table are its head: a read voltage ("V_read = 0.2 V"), a unit and settings of
    pulses are looked for there. The unit stands in brackets ("R [kohm]"), behind "in" or "unit", or
    alone in its line; one behind a number is a value. Missing values and overflows are devices
    without measurable current, and are counted in a notice each.

    Args:
        path: any file that `xbarspice.tables.read_grid` reads.
        unit: ohm or S with an SI prefix, as "kohm" or "uS"; None: as the head says, else guessed
            from the size of the numbers, with a notice.
        options: what the user says of the file.

    Raises:
        InputError: there is no table, it is not rectangular, the head names two units, or the unit
            cannot be guessed.
    """
    grid = read_grid(path, options)
    values = grid.values
    measured_unit, assumptions = _unit(values, grid.head, unit, path)
    finite = np.isfinite(values)
    resistance = measured_unit.dimension == "ohm"
    if (values[finite] < 0).any() or (resistance and (values[finite] == 0).any()):
        raise broken_rule(
            "resistances must be > 0 and conductances >= 0",
            f"{values[finite].min():g} {measured_unit.text}",
            "Correct the cell; a device without current is an empty cell.",
        )
    if not resistance and np.isinf(values).any():
        raise broken_rule(
            "a conductance must lie within the range of the instrument",
            f"{int(np.isinf(values).sum())} overflows ({', '.join(map(repr, grid.overflow))})",
            "Read these devices in another range, or leave the cells empty for open devices.",
        )
    scaled = np.where(finite, values * measured_unit.factor, np.inf if resistance else 0.0)
    G = 1.0 / scaled if resistance else scaled
    notices = [*grid.notices]
    V_read = find_read_voltage("\n".join(grid.head))
    if V_read is None:
        notices.append("the head names no read voltage: that of the device model is assumed")
    if not finite.all():
        notices.append(
            f"{int(np.isnan(values).sum())} missing values and {int(np.isinf(values).sum())} "
            "overflows count as open devices"
        )
    notices.append(
        "the values are taken as those of single devices: reads inside the array hold "
        "sneak currents and wires unless they were corrected for"
    )
    return Die(
        G=G,
        V_read=V_read,
        unit=measured_unit.text,
        settings=_settings(grid.head),
        notices=(*assumptions, *notices),
    )


def find_read_voltage(head: str) -> float | None:
    """Read voltage of the head, V; its unit stands behind the number or before it."""
    line = V_READ.search(head)
    match = VOLTS.search(line["rest"]) if line else None
    if line is None or match is None:
        return None
    before = line["rest"][: match.start()]
    milli = "mv" in (match["unit"] or before).lower()
    return abs(float(match["number"].replace(",", "."))) * (1e-3 if milli else 1.0)


def _unit(
    values: Array, head: Sequence[str], unit: str | None, path: Path
) -> tuple[Unit, tuple[str, ...]]:
    """The unit of a table, and what was assumed for it."""
    if unit is not None:
        measured_unit = unit_of(unit)
        if measured_unit.dimension not in ("ohm", "S"):
            raise broken_rule("a die is measured in ohm or S", repr(unit), "Use kohm, uS or such.")
        return measured_unit, ()
    units = [u for line in head for u in find_units(line, ("ohm", "S"))]
    if len({(u.dimension, u.factor) for u in units}) > 1:
        raise broken_rule(
            f"the head of `{path.name}` must name one unit",
            " and ".join(sorted({u.text for u in units})),
            "Pass --unit.",
        )
    if units:
        return units[0], ()
    middle = float(np.nanmedian(np.where((values > 0) & np.isfinite(values), values, np.nan)))
    word = "ohm" if middle >= 200.0 else "S" if middle <= 0.1 else None
    if word is None:
        raise broken_rule(
            f"`{path.name}` must say whether it holds ohm, kohm, S or uS",
            f"no unit in the head, and a median of {middle:g} that could be any",
            "Pass the unit.",
        )
    assumption = f"the head names no unit: a median of {middle:g} is taken for {word}"
    return unit_of(word), (assumption,)


def _settings(head: Sequence[str]) -> dict[str, str]:
    out = {}
    for line in head:
        match = re.match(r"\s*#?\s*([^:=;\t,]+?)\s*[:=;\t,]\s*(.+?)[;,\s]*$", line)
        if match:
            out[match[1].strip()] = match[2].strip()
    return out
