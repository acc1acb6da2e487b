"""How weight matrices stand on arrays: the one configuration of every layer, in Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from xbarspice import devices
from xbarspice.core.errors import broken_rule
from xbarspice.core.values import number_of, whole_number_of
from xbarspice.core.wires import IDEAL, WIRES, resistance_of, wires_of

__all__ = ["ArrayConfig"]

PLAIN = ("G_min", "G_max", "V_read", "x_scale", "x_centre")
"""Options that are one number."""
DTYPES = ("float64", "float32")


@dataclass(frozen=True, kw_only=True)
class ArrayConfig:
    """How a weight matrix stands on passive arrays.

    A weight w of the matrix is a value ``v = w / w_scale`` between -1 and 1 and becomes one pair of
    devices (or `cells` pairs) with ``G_pos - G_neg = (G_max - G_min) v``.

    Attributes:
        layout: "tiled" (every matrix on arrays of its own; pairs in neighbouring bit lines) or
            "folded" (two Linear layers on one array that is read in two read passes: word lines
            ``2 i, 2 i + 1`` carry +V and -V of input i, then of the bias, and the bit lines are the
            hidden neurons; below them two word lines an output are sensed while the hidden values
            drive the bit lines. The bias of the second layer is added after reading).
        tile_rows, tile_cols: largest array that may be built. In the tiled layout a pair takes two
            columns; a matrix that needs several arrays is cut evenly, so that none of them is much
            smaller.
        G_min, G_max: conductance range of the devices, S.
        V_read: voltage that stands for a full-scale input, V.
        x_scale: layer input, less `x_centre`, that corresponds to `V_read`; `nn.convert` sets it
            for every layer from the data it is given.
        x_centre: layer input that stands for 0 V; its share of the sums is added after reading.
        bias: "array" (one more word line, driven with a constant voltage) or "digital" (added
            after reading).
        w_scale: "matrix" (one scale for all weights of a matrix) or "output" (one an output).
        clip: percentile of |w| that stands for the full range, 50 to 100; larger weights are cut.
        placement: where a pair stands in the range: the smaller device at `G_min` ("low"), the
            larger at `G_max` ("high"), or both around the middle ("middle").
        cells: pairs that share one weight.
        cell_code: "average" (all hold the weight) or "slices" (digits of its magnitude to the base
            `levels`, most significant first, weighted after reading).
        levels: conductances that can be programmed: their number, evenly over the range, or the
            values themselves in S, rising; None for any.
        R_wl: resistance of a segment of a word line, ohm.
        R_bl: resistance of a segment of a bit line, ohm.
        R_driver: resistance between driver and line, ohm.
        R_sense: resistance between line and sense amplifier, ohm.
        device: device model; an "ohmic" matrix costs one effective matrix, then a plain product.
        dac_bits: resolution of the inputs over [-x_scale, x_scale]; None is ideal.
        adc_bits: resolution of each array's current differences; None is ideal.
        adc_range: current difference at full scale, A; None: the largest that the array's weights
            can give for inputs within their range.
        variation: errors of the programmed conductances (`xbarspice.variability`), drawn for each
            array with its own write order.
        recompute: keep no factors for the backward pass; it repeats the elimination instead.
        dtype: "float64" or "float32" (or torch's): precision of the circuit. float32 is faster with
            a relative error of about 1e-6.
    """

    layout: Literal["tiled", "folded"] = "tiled"
    tile_rows: int = 64
    tile_cols: int = 64
    G_min: float = 100e-6
    G_max: float = 500e-6
    V_read: float = 0.2
    x_scale: float = 1.0
    x_centre: float = 0.0
    bias: Literal["array", "digital"] = "array"
    w_scale: Literal["matrix", "output"] = "matrix"
    clip: float | None = None
    placement: Literal["low", "high", "middle"] = "low"
    cells: int = 1
    cell_code: Literal["average", "slices"] = "average"
    levels: int | Sequence[float] | None = None
    R_wl: float = 1.0
    R_bl: float = 1.0
    R_driver: float = 0.0
    R_sense: float = 0.0
    device: str | devices.Device = "ohmic"
    dac_bits: int | None = None
    adc_bits: int | None = None
    adc_range: float | None = None
    variation: Any = None
    recompute: bool = False
    dtype: Any = "float64"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", str(self.dtype).removeprefix("torch."))
        if isinstance(self.levels, Sequence):
            object.__setattr__(self, "levels", tuple(float(g) for g in self.levels))
        self._take_plain_numbers()
        self._check_array()
        self._check_numbers()
        self._check_words()
        self._check_levels()
        self._check_layout()
        self._check_variation()
        devices.get(self.device)

    def _check_variation(self) -> None:
        if self.variation is not None and not callable(getattr(self.variation, "apply", None)):
            raise broken_rule(
                "`variation` must be a variation with `apply(G, rng)`, or None",
                f"{type(self.variation).__name__} {str(self.variation)[:60]}",
                "Make one of dictionaries with xb.variability.from_config([...]).",
            )

    def _take_plain_numbers(self) -> None:
        """Let every number be a float or an int, whatever stands for one (NumPy, 0-d tensors)."""
        plain = ("G_min", "G_max", "V_read", "x_scale", "x_centre", *WIRES)
        optional = ("adc_range", "clip")
        for name in (*plain, *optional):
            value = getattr(self, name)
            if value is not None or name in plain:
                object.__setattr__(self, name, number_of(name, value))
        for name in ("tile_rows", "tile_cols", "cells"):
            count = whole_number_of(name, getattr(self, name), low=0, remedy="Count them.")
            object.__setattr__(self, name, count)

    def _check_array(self) -> None:
        if self.tile_rows < 1 or self.tile_cols < 2:
            raise broken_rule(
                "an array needs at least 1 row and 2 columns for a pair",
                f"{self.tile_rows} x {self.tile_cols}",
                "Raise tile_rows or tile_cols.",
            )
        if not 0 <= self.G_min < self.G_max < math.inf:
            raise broken_rule(
                "the conductance range must satisfy 0 <= G_min < G_max",
                f"{self.G_min:g} and {self.G_max:g} S",
                "Give both in S.",
            )
        for name in WIRES:
            if not 0 <= getattr(self, name) < math.inf:
                raise broken_rule(f"`{name}` must be >= 0 ohm", getattr(self, name), "0 is ideal.")
            resistance_of(name, getattr(self, name))

    def _check_numbers(self) -> None:
        for name in ("V_read", "x_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise broken_rule(f"`{name}` must be > 0", getattr(self, name), "Use SI units.")
        if not math.isfinite(self.x_centre):
            raise broken_rule("`x_centre` must be finite", self.x_centre, "0 is the usual value.")
        for name in ("dac_bits", "adc_bits"):
            bits = getattr(self, name)
            if bits is not None and (not isinstance(bits, int) or bits < 2):
                raise broken_rule(f"`{name}` must be an integer >= 2", bits, "None is ideal.")
        if self.adc_range is not None and not 0 < self.adc_range < math.inf:
            raise broken_rule(
                "`adc_range` must be > 0 A", self.adc_range, "None takes the weights."
            )
        if self.clip is not None and not 50 <= self.clip <= 100:
            raise broken_rule("`clip` must be a percentile of 50 to 100", self.clip, "Try 99.9.")
        if self.cells < 1:
            raise broken_rule("`cells` must be an integer >= 1", self.cells, "1 is one pair.")

    def _check_words(self) -> None:
        for name, words in (
            ("layout", ("tiled", "folded")),
            ("bias", ("array", "digital")),
            ("w_scale", ("matrix", "output")),
            ("placement", ("low", "high", "middle")),
            ("cell_code", ("average", "slices")),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in words:
                raise broken_rule(
                    f"`{name}` must be one of {words}", getattr(self, name), "Use one of them."
                )

    def _check_levels(self) -> None:
        if isinstance(self.levels, tuple):
            steps = zip(self.levels, self.levels[1:], strict=False)
            inside = all(self.G_min <= g <= self.G_max for g in self.levels)
            if len(self.levels) < 2 or not inside or any(not low < high for low, high in steps):
                raise broken_rule(
                    "`levels` must be at least 2 rising conductances within the range",
                    f"{len(self.levels)} values",
                    "Give them in S, from G_min to G_max.",
                )
        elif self.levels is not None and (not isinstance(self.levels, int) or self.levels < 2):
            raise broken_rule("`levels` must be an integer >= 2", self.levels, "None is any.")
        if self.cell_code == "slices" and not (isinstance(self.levels, int) and self.cells > 1):
            raise broken_rule(
                "slices need `cells` > 1 and a number of `levels`, the base of the digits",
                f"cells={self.cells}, levels={self.levels}",
                'For example cells=2, levels=16, or cell_code="average".',
            )

    def _check_layout(self) -> None:
        if self.layout == "folded" and (self.cells > 1 or self.recompute):
            raise broken_rule(
                "a folded array holds one pair a weight and is reduced once",
                f"cells={self.cells}, recompute={self.recompute}",
                'Leave both out, or use layout="tiled".',
            )

    @property
    def wires(self) -> dict[str, Any]:
        """The four resistances, ohm, as keyword arguments of `Crossbar`."""
        return wires_of(self)

    @property
    def model(self) -> devices.Device:
        """The device model."""
        return devices.get(self.device)

    def lossless(self) -> ArrayConfig:
        """The same mapping in float64 and without rounding.

        No converters, levels, cut weights or variation.
        """
        exact = self.without_converters().without_levels()
        return replace(exact, variation=None, dtype="float64")

    def without_wires(self) -> ArrayConfig:
        """The same arrays with ideal wires and line ends."""
        return replace(self, **IDEAL)

    def without_curves(self) -> ArrayConfig:
        """The same arrays of ohmic devices."""
        return replace(self, device="ohmic")

    def without_converters(self) -> ArrayConfig:
        """The same arrays with exact voltages and currents."""
        return replace(self, dac_bits=None, adc_bits=None)

    def without_levels(self) -> ArrayConfig:
        """The same arrays with any conductance in the range, and no weight cut."""
        code: Any = "average" if self.cell_code == "slices" else self.cell_code
        return replace(self, levels=None, clip=None, cell_code=code)
