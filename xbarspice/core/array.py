"""The problem: a passive crossbar, its line ends and its drive. The sign conventions live here.

====================  =====================================================================
rows, columns         word lines (inputs; row 0 on top), bit lines (outputs; column 0 left)
``G``                 chord conductance of each device at the read voltage, S, (..., rows, cols)
``V_in``              voltage of the word-line drivers, V, (..., rows)
``V_out``             voltage of the bit-line drivers, V, (..., cols); 0 in read mode
``I_in``              current from the word-line ends into the array, A, (..., rows)
``I_out``             current from the array into the bit-line ends, A, (..., cols)
``R_wl``, ``R_bl``    one wire segment between neighbouring cells, ohm; 0 is exact; one number,
                      or (..., rows, cols - 1) and (..., rows - 1, cols)
``R_driver``          between a source and the first node of the line it drives, ohm; 0 is exact
``R_sense``           between the last node of a line and its sense node (0 V), ohm; 0 is exact
``V_wl``, ``V_bl``    node voltages, V, (..., rows, cols)
``I_device``          current through each device from word line to bit line, A, (..., rows, cols)
====================  =====================================================================

In the ideal limit ``I_out = V_in @ G``. Every line has two ends; each is *driven* (a voltage
through `R_driver`), *sensed* (0 V through `R_sense`) or *floating*. Read mode drives the word
lines on the left and senses the bit lines at the bottom. An array of `R_driver` (..., n) has one
number for each line of every side on which some end is driven, sides in the order wl_left,
wl_right, bl_top, bl_bottom: in read mode (..., rows). `R_sense` is the same for sensed ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.device import Device
from xbarspice.core.device import get as device_of
from xbarspice.core.errors import FloatingNodeError, broken_rule
from xbarspice.core.line_ends import READ, LineEnds, along, at_ends, places, voltage_loop
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.values import array_of
from xbarspice.core.wires import (
    WIRES,
    Resistance,
    as_text,
    resistances_of,
    section_of,
    wires_of,
)

__all__ = ["G_HIGH", "Crossbar", "Drive"]


G_HIGH = 1e15
"""Largest conductance, S: solves multiply, square and invert such numbers, and nothing of that
overflows."""
_ONE_ARRAY = np.zeros(1, dtype=np.intp)


@dataclass(frozen=True)
class Drive:
    """Checked and broadcast voltages of one solve, flattened over the batch.

    Attributes:
        batch: shape of the leading axes of every result.
        array: index of the array (in `Crossbar.G_flat`) that each of the N solves belongs to, (N,).
        V_in: word-line driver voltages, V, (N, rows); 0 for lines without a driven end.
        V_out: bit-line driver voltages, V, (N, cols); 0 for lines without a driven end.
        start: node voltages to start from, V_wl and V_bl, V, (N, rows, cols) each; None: nothing is
            known. They lie between the voltages of the sources but may break Kirchhoff's law. They
            change how long a solve takes, not its answer, and an engine may ignore them.
    """

    batch: tuple[int, ...]
    array: Indices
    V_in: Array
    V_out: Array
    start: tuple[Array, Array] | None = None


def _readonly(values: Any) -> Array:
    out = np.array(values, dtype=np.float64, copy=True, order="C")
    out.setflags(write=False)
    return out


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Crossbar:
    """One passive crossbar, or a batch of crossbars that share line ends and device model.

    Args:
        G: chord conductance of each device at the read voltage, S, (..., rows, cols);
            from 0 to `G_HIGH`, where 0 means that the device is absent. A short is a conductance
            far above those around it: with 1e6 S currents are within 5e-7 of the largest of those
            of a true short, with 1e8 S within 5e-9 (8x4, ends of 1 ohm). The nodal engine solves
            any of them; the surrogate loses digits, with wires of up to 1 ohm 1e-9 at 1e6 S, 1e-6
            at 1e9 S and 1e-3 at 1e12 S, and its error bound says so.
        R_wl: wire resistance of one word-line segment between neighbouring cells, ohm: one number
            for all segments, or (..., rows, cols - 1); leading axes broadcast to those of `G`.
        R_bl: the same along a bit line, ohm, (..., rows - 1, cols).
        R_driver: resistance between each source and the line end it drives, ohm: one number, or
            (..., n) for the n lines of the sides on which some end is driven (see the module); what
            stands for an end of another role is checked and not used.
        R_sense: resistance between each sensed line end and its sense node at 0 V, ohm; the same.
        device: a registered device name (`xb.devices.names()`) or a `Device`.
        ends: what every line end is connected to; the default is read mode.

    Every resistance may be exactly 0; another one lies between `wires.R_LOW` and `wires.R_HIGH`.
    The object is frozen and its arrays are read-only.

    Raises:
        InputError: a value breaks one of the rules above, or a line without any resistance
            would connect a driver to a sense node.
    """

    G: Array
    R_wl: Resistance
    R_bl: Resistance
    R_driver: Resistance
    R_sense: Resistance
    device: Device
    ends: LineEnds
    wl_ends: npt.NDArray[np.object_] = field()
    bl_ends: npt.NDArray[np.object_] = field()
    _held: tuple[Flags, Flags] = field()
    _all_held: bool = field()
    _undriven: tuple[Flags, Flags] = field()

    def __init__(
        self,
        G: npt.ArrayLike,
        *,
        R_wl: npt.ArrayLike = 1.0,
        R_bl: npt.ArrayLike = 1.0,
        R_driver: npt.ArrayLike = 0.0,
        R_sense: npt.ArrayLike = 0.0,
        device: str | Device = "ohmic",
        ends: LineEnds = READ,
    ) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("G", _check_conductances(G))
        put("device", device_of(device))
        put("ends", ends)
        put("wl_ends", ends.word_lines(self.rows))
        put("bl_ends", ends.bit_lines(self.cols))
        lines = (self.wl_ends, self.bl_ends)  # looked at in every solve: found out once
        put("_held", tuple((e != "floating").any(axis=1) for e in lines))
        put("_all_held", all(held.all() for held in self._held))
        put("_undriven", tuple(~(e == "driven").any(axis=1) for e in lines))
        self._put_wires(dict(zip(WIRES, (R_wl, R_bl, R_driver, R_sense), strict=True)))
        self._refuse_voltage_loops()

    def _put_wires(self, values: dict[str, npt.ArrayLike]) -> None:
        numbers = all(type(value) is float or type(value) is int for value in values.values())
        shapes = {} if numbers else places((self.wl_ends, self.bl_ends))
        for name, value in values.items():
            R = resistances_of(name, value, shapes.get(name, ()), self.batch)
            object.__setattr__(self, name, R)

    def __repr__(self) -> str:
        wires = ", ".join(f"{name}={as_text(R)}" for name, R in self.wires.items())
        return f"Crossbar(G={self.G.shape}, {wires}, device={self.device.name!r})"

    @property
    def rows(self) -> int:
        """Number of word lines."""
        return self.G.shape[-2]

    @property
    def cols(self) -> int:
        """Number of bit lines."""
        return self.G.shape[-1]

    @property
    def wires(self) -> dict[str, Resistance]:
        """The four resistances by name, ohm, as keyword arguments of `Crossbar`."""
        return wires_of(self)

    @cached_property
    def uniform(self) -> bool:
        """Whether each of the four resistances is one number."""
        return not any(isinstance(R, np.ndarray) for R in self.wires.values())

    @property
    def wires_shared(self) -> bool:
        """Whether all arrays of the batch have the same resistances because one set was given."""
        if self.uniform:
            return True
        parts = (*self.segment_resistances, *self.end_resistances)
        return all(math.prod(R.shape[:-2]) == 1 for R in parts)

    @cached_property
    def segment_resistances(self) -> tuple[Array, Array]:
        """Of all segments of word and of bit lines, ohm.

        Shapes (..., rows, cols - 1) and (..., rows - 1, cols); leading axes broadcast to those of
        `G`, and there are none where one number or matrix stands for all arrays.
        """
        return along((self.wl_ends, self.bl_ends), self.R_wl, self.R_bl)

    @cached_property
    def end_resistances(self) -> tuple[Array, Array]:
        """Between both end nodes of every line and their sources, ohm, (..., lines, 2) each.

        The left and right ends of the word lines and the top and bottom ends of the bit lines; inf
        where floating. Leading axes as in `segment_resistances`.
        """
        return at_ends((self.wl_ends, self.bl_ends), self.R_driver, self.R_sense)

    @property
    def held(self) -> tuple[Flags, Flags]:
        """Which word lines and which bit lines have a driven or sensed end, (rows,) and (cols,)."""
        return self._held

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the leading axes: () for a single array."""
        return self.G.shape[:-2]

    @property
    def G_flat(self) -> Array:
        """All arrays of the batch in one axis, S, (arrays, rows, cols)."""
        return self.G.reshape(-1, self.rows, self.cols)

    def array(self, k: int) -> Crossbar:
        """Array k of the batch, counted as in `G_flat`, with its own wires.

        Raises:
            IndexError: there are not so many arrays.
        """
        G = self.G_flat[k]
        if not self.batch:
            return self
        if self.uniform:
            return self._with(G=G)
        at = tuple(int(n) for n in np.unravel_index(range(len(self.G_flat))[k], self.batch))
        wires = zip(self.wires.items(), (2, 2, 1, 1), strict=True)
        return self._with(G=G, **{name: section_of(R, axes, at) for (name, R), axes in wires})

    def _with(self, **values: Any) -> Crossbar:
        """A copy with other values that need no check."""
        out = object.__new__(Crossbar)
        out.__dict__.update(self.__dict__, **values)
        if values.keys() != {"G"}:
            for name in ("segment_resistances", "end_resistances"):
                out.__dict__.pop(name, None)
        return out

    def replace(self, **changes: Any) -> Crossbar:
        """A copy with some arguments of the constructor changed; other conductances cost least."""
        if changes.keys() == {"G"}:
            G = _check_conductances(changes["G"])
            alike = self.uniform or G.shape == self.G.shape
            if alike and G.shape[-2:] == self.G.shape[-2:]:  # wires and ends stay as checked
                return self._with(G=G)
        now = {"G": self.G, **self.wires, "device": self.device, "ends": self.ends}
        return Crossbar(**(now | changes))

    def drive(self, V_in: npt.ArrayLike, V_out: npt.ArrayLike | None = None) -> Drive:
        """Check the voltages of a solve and broadcast them against the batch of arrays.

        Args:
            V_in: word-line voltages, V, (..., rows).
            V_out: bit-line voltages, V, (..., cols); None means 0 V everywhere.

        Raises:
            InputError: a shape does not fit, a value is not finite, or a line without a driven
                end is given a voltage other than 0.
        """
        v_in = _check_voltages("V_in", "row", V_in, self.rows, self.G.shape)
        v_out = (
            np.zeros(self.cols)
            if V_out is None
            else _check_voltages("V_out", "column", V_out, self.cols, self.G.shape)
        )
        voltages = (("V_in", v_in), ("V_out", None if V_out is None else v_out))
        for (name, volts), idle in zip(voltages, self._undriven, strict=True):
            if volts is not None and idle.any() and np.any(volts[..., idle]):
                raise broken_rule(
                    f"`{name}` must be 0 on a line that has no driven end",
                    f"a voltage on line {int(np.flatnonzero(idle)[0])}",
                    "Set it to 0, or declare an end of that line as driven in `ends`.",
                )
        if self.G.ndim == 2 and v_in.ndim == v_out.ndim == 1:  # the common case, kept short
            return Drive(batch=(), array=_ONE_ARRAY, V_in=v_in[None], V_out=v_out[None])
        try:
            batch = np.broadcast_shapes(self.batch, v_in.shape[:-1], v_out.shape[:-1])
        except ValueError:
            raise broken_rule(
                "the batch axes of `G`, `V_in` and `V_out` must broadcast",
                f"{self.batch}, {v_in.shape[:-1]}, {v_out.shape[:-1]}",
                "Use leading axes that are equal or 1.",
            ) from None
        index = np.arange(math.prod(self.batch)).reshape(self.batch)
        return Drive(
            batch=batch,
            array=np.broadcast_to(index, batch).reshape(-1),
            V_in=np.broadcast_to(v_in, (*batch, self.rows)).reshape(-1, self.rows),
            V_out=np.broadcast_to(v_out, (*batch, self.cols)).reshape(-1, self.cols),
        )

    def refuse_floating(self) -> None:
        """Raise unless every line has a path (wires, devices) to some driven or sensed end.

        Raises:
            FloatingNodeError: names the first line whose voltage would be undefined.
        """
        if self._all_held:
            return
        wl_held, bl_held = self._held
        present = self.G_flat > 0
        wl, bl = (np.broadcast_to(h, (len(present), h.size)).copy() for h in (wl_held, bl_held))
        for _ in range(self.rows + self.cols):
            new_bl = bl | (present & wl[:, :, None]).any(axis=1)
            new_wl = wl | (present & new_bl[:, None, :]).any(axis=2)
            if (new_bl == bl).all() and (new_wl == wl).all():
                break
            wl, bl = new_wl, new_bl
        for kind, held in (("word", wl), ("bit", bl)):
            if not held.all():
                array, line = (int(k) for k in np.argwhere(~held)[0])
                raise FloatingNodeError(
                    f"every line needs a path to a driven or sensed end; {kind} line {line} of "
                    f"array {array} floats (its ends are floating and no device connects it). "
                    "Drive or sense one of its ends, or give it a device."
                )

    def _refuse_voltage_loops(self) -> None:
        if self.uniform:  # the common case, kept short
            at_ends = self.R_driver + self.R_sense
            least = min(self.R_wl * (self.cols - 1), self.R_bl * (self.rows - 1))
            if at_ends + least > 0:
                return
        along_wl, along_bl = self.segment_resistances
        segments = along_wl, np.swapaxes(along_bl, -1, -2)
        for kind, ends in enumerate((self.wl_ends, self.bl_ends)):
            line = voltage_loop(ends, self.end_resistances[kind], segments[kind])
            if line is not None:
                raise broken_rule(
                    "a driver and a sense node must not be joined without any resistance",
                    f"{('word', 'bit')[kind]} line {line} driven and sensed through 0 ohm",
                    "Give R_driver, R_sense or the wire a resistance, or float one end.",
                )


def _check_conductances(G: npt.ArrayLike) -> Array:
    remedy = "Pass conductances in S, for example of shape (64, 32)."
    out = array_of("G", G, finite=False, remedy=remedy)
    if out.ndim < 2 or 0 in out.shape:
        raise broken_rule(
            "`G` must have the shape (..., rows, cols) with no empty axis", out.shape, remedy
        )
    if not np.isfinite(out).all():
        raise broken_rule(
            "`G` must be finite",
            f"{int((~np.isfinite(out)).sum())} NaN or infinite values",
            "Use 0 for an absent device and 1e6 S for a short (see `Crossbar`).",
        )
    if (out < 0).any():
        raise broken_rule(
            "`G` must be >= 0",
            f"a smallest value of {out.min():g} S",
            "Map signed weights to conductance pairs first (xb.mapping).",
        )
    if (out > G_HIGH).any():
        raise broken_rule(
            f"`G` must be <= {G_HIGH:g} S",
            f"a largest value of {out.max():g} S",
            "Give conductances in S: 100 uS is 100e-6.",
        )
    return _readonly(out)


def _check_voltages(
    name: str, axis: str, value: npt.ArrayLike, size: int, shape: tuple[int, ...]
) -> Array:
    out = array_of(name, value, finite=False, remedy="Pass volts.")
    if out.ndim < 1 or out.shape[-1] != size:
        raise broken_rule(
            f"`{name}` must end in the {axis} axis",
            f"{name} {out.shape} for G {shape}",
            f"Pass {name} as (..., {size}).",
        )
    if not np.isfinite(out).all():
        raise broken_rule(f"`{name}` must be finite", "NaN or infinity", "Pass voltages in V.")
    return out
