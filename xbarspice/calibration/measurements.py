"""What was measured: currents of arrays, I-V sweeps, pulse trains and programming records."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ, LineEnds
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.values import array_of, whole_numbers_of

__all__ = ["Kelvin", "Programming", "PulseTrains", "Reads", "Repeats", "sweeps"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reads:
    """Currents of one or more arrays under known line voltages, N reads.

    Attributes:
        V_in: word-line voltages, V, (N, rows).
        I_out: currents into the bit-line ends, A, (N, cols); NaN where not measured.
        V_out: bit-line voltages, V, (N, cols); None for 0 V.
        I_in: currents from the word-line ends, A, (N, rows), NaN where not measured; or None.
        array: which array (of the crossbar that is fitted) each read belongs to, (N,); None: all
            belong to the first.
        ends: what the line ends were connected to.
        labels: names of the arrays, for messages; may be empty.
        notices: how a file was read.
        T: temperature of each read, K, (N,); None where unknown.
    """

    V_in: Array
    I_out: Array
    V_out: Array | None = None
    I_in: Array | None = None
    array: Indices | None = None
    ends: LineEnds = READ
    labels: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    T: Array | None = None

    def __post_init__(self) -> None:
        count = len(self.V_in)
        for name in ("V_in", "I_out", "V_out", "I_in"):
            value = getattr(self, name)
            if value is None:
                continue
            value = array_of(name, value, finite=False)
            object.__setattr__(self, name, value)
            if value.ndim != 2 or len(value) != count:
                raise broken_rule(
                    f"`{name}` must have one row a read ({count})",
                    value.shape,
                    "Pass arrays of shape (reads, lines).",
                )
            if name.startswith("V") and not np.isfinite(value).all():
                raise broken_rule(f"`{name}` must be finite", "NaN or infinity", "Give volts.")
        if self.T is not None:
            T = array_of("T", self.T, rank=1, low=0.0, remedy="Give K.")
            object.__setattr__(self, "T", T)
            if len(T) != count:
                raise broken_rule(
                    f"`T` must have one value a read ({count})", len(T), "Give K, (reads,)."
                )
        index = np.zeros(count, np.intp) if self.array is None else self.array
        checked = whole_numbers_of("array", index, shape=(count,), low=0)
        object.__setattr__(self, "array", checked)
        if not np.isfinite(self.currents()).any():
            raise broken_rule("reads must hold at least one current", "none", "Check the file.")

    @property
    def rows(self) -> int:
        """Word lines."""
        return self.V_in.shape[1]

    @property
    def cols(self) -> int:
        """Bit lines."""
        return self.I_out.shape[1]

    def take(self, keep: Flags, notice: str | None = None) -> Reads:
        """Some of the reads, (N,) of which to keep; what is left out is noted."""
        parts = {n: getattr(self, n) for n in ("V_in", "I_out", "V_out", "I_in", "array", "T")}
        reads = {n: None if value is None else value[keep] for n, value in parts.items()}
        notices = self.notices if notice is None else (*self.notices, notice)
        return dataclasses.replace(self, **reads, notices=notices)

    def currents(self) -> Array:
        """All measured currents of each read, A, (N, cols) or (N, cols + rows); NaN: not there."""
        return self.I_out if self.I_in is None else np.hstack([self.I_out, self.I_in])


@dataclass(frozen=True, kw_only=True, eq=False)
class Kelvin:
    """Four-terminal resistances of lines, N measurements.

    Attributes:
        line: "wl" or "bl" of each, (N,).
        segments: number of wire segments between the taps, (N,).
        R: ohm, (N,).
        T: K, (N,); None where unknown.
        relative: scatter, a share of the value.
        notices: how a file was read.
    """

    line: tuple[Literal["wl", "bl"], ...]
    segments: Array
    R: Array
    T: Array | None = None
    relative: float = 0.01
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.line)
        ok = all(np.shape(v) == (count,) for v in (self.segments, self.R))
        if not count or not ok or set(self.line) - {"wl", "bl"}:
            raise broken_rule(
                "Kelvin monitors must name wl or bl, segments and R, one each",
                f"{count} lines {sorted(set(self.line))}",
                "Correct the table.",
            )
        if not ((self.segments > 0) & (self.R > 0) & np.isfinite(self.R)).all():
            raise broken_rule(
                "segments and resistances of Kelvin monitors must be > 0",
                f"{self.segments.min():g} segments, {self.R.min():g} ohm",
                "Correct the table.",
            )
        if not self.relative > 0:
            raise broken_rule("their scatter must be > 0", self.relative, "0.01 is one percent.")


def sweeps(
    device: npt.ArrayLike,
    V: npt.ArrayLike,
    I: npt.ArrayLike,  # noqa: E741
    *,
    notices: tuple[str, ...] = (),
) -> Reads:
    """I-V sweeps of single devices, as reads of 1x1 arrays.

    Args:
        device: a label a point, (N,); the arrays stand in the order of first appearance.
        V: applied voltage, V, (N,).
        I: current, A, (N,); positive in the direction of the voltage.
        notices: how a file was read.
    """
    texts = np.asarray(device).astype(str).tolist()
    names = {name: k for k, name in enumerate(dict.fromkeys(texts))}
    index = [names[name] for name in texts]
    column = [array_of(n, x, rank=1, finite=False)[:, None] for n, x in (("V", V), ("I", I))]
    return Reads(
        V_in=column[0],
        I_out=column[1],
        array=np.array(index, dtype=np.intp),
        labels=tuple(names),
        notices=notices,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PulseTrains:
    """Conductances of devices, read after every pulse; points in order, N in all.

    Attributes:
        device: number of the device of each point, (N,).
        V: pulse voltage on the device, V, (N,); 0 for a read without a pulse (the first point of
            each device must be one: its conductance is where the train starts).
        width: duration of the pulse, s, (N,).
        G: conductance read afterwards, S, (N,); NaN where it was not read, which the first point of
            each device must be.
        labels: names of the devices.
        notices: how a file was read.
    """

    device: Indices
    V: Array
    width: Array
    G: Array
    labels: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        first = np.unique(self.device, return_index=True)[1]
        if np.any(self.V[first] != 0):
            raise broken_rule(
                "the first point of each device must be a read without a pulse (V = 0)",
                f"{self.V[first][self.V[first] != 0][0]:g} V",
                "Add its starting conductance.",
            )
        if not (np.all(self.G[first] > 0) and np.all(~(self.G <= 0)) and np.all(self.width >= 0)):
            raise broken_rule(
                "pulse trains must have G > 0 S, measured at the first point of each device, and "
                "widths >= 0 s",
                f"G of the first points from {self.G[first].min():g}, of all from "
                f"{np.fmin.reduce(self.G):g}, width from {self.width.min():g}",
                "Check the units.",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Programming:
    """Repeated programming: what was wanted and what was read, N writes.

    Attributes:
        device: number of the device, (N,).
        target: wanted conductance, S, (N,).
        G: conductance when the device was left, S, (N,).
        G_end: conductance when the whole array was finished, S, (N,); NaN where unknown.
        later_writes: devices written between the two, (N,).
        notices: how a file was read.
    """

    device: Indices
    target: Array
    G: Array
    G_end: Array
    later_writes: Indices
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeats:
    """Reads of single devices that nobody wrote to in between, N reads.

    Attributes:
        device: number of the device, (N,).
        G: conductance, S, (N,).
        t: time since the device was programmed, s, (N,); NaN where unknown.
        notices: how a file was read.
    """

    device: Indices
    G: Array
    t: Array
    notices: tuple[str, ...] = ()
