"""What several dies and Kelvin monitors share, as a problem to fit; see `joint`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.measurements import Kelvin, Reads
from xbarspice.calibration.model import TIED, Model, Parameter
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.core.wires import WIRES

__all__ = ["ALPHAS", "LINES", "JointProblem", "MeasuredDie"]

ALPHAS = ("alpha_wire", "alpha_G")
"""Temperature coefficients, 1/K."""
LINES = {"wl": "R_wl", "bl": "R_bl"}
"""Resistances that monitors of word and bit lines measure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredDie:
    """One array and its reads.

    Attributes:
        name: of the die.
        crossbar: with starting values; what is not fitted stays.
        reads: what was measured; `Reads.T` where temperatures are known.
    """

    name: str
    crossbar: Crossbar
    reads: Reads


@dataclass(frozen=True, eq=False)
class _Part:
    """Reads of one die at one temperature, and their place among all points."""

    die: int
    model: Model
    dT: float
    points: Indices


class JointProblem:
    """A `Problem` of several sources; values are shares of the largest of their source."""

    def __init__(
        self,
        dies: Sequence[MeasuredDie],
        kelvin: Kelvin | None,
        free: tuple[str, ...],
        per_die: tuple[str, ...],
        T_ref: float | None,
    ) -> None:
        self.dies, self.kelvin, self.free = dies, kelvin, free
        self.per_die, self.T_ref = per_die, T_ref
        _check(dies, kelvin, free, per_die, T_ref)
        fitted = [n for name in free if name not in ALPHAS for n in TIED.get(name, (name,))]
        wires = ("R_wl", "R_bl") if "alpha_wire" in free else ()
        names = list(dict.fromkeys((*fitted, *wires, *(("G",) if "alpha_G" in free else ()))))
        self.parts: list[_Part] = []
        data, source, read, line, repeat, voltage, hot = ([] for _ in range(7))
        count = 0
        for k, die in enumerate(dies):
            T = die.reads.T
            groups = [None] if T is None or T_ref is None else np.unique(T).tolist()
            for value in groups:
                mask = np.ones(len(die.reads.V_in), bool) if value is None else value == T
                model = Model(die.crossbar, [die.reads.take(mask)], names)
                points = np.arange(count, count + len(model.data))
                dT = 0.0 if value is None or T_ref is None else value - T_ref
                self.parts.append(_Part(k, model, dT, points))
                count += len(points)
                data.append(model.data)
                source.append(np.full(len(points), k))
                read.append(np.flatnonzero(mask)[model.read_of_point] + _next(read))
                line.append(model.line_of_point + _next(line))
                repeat.append(model.repeat_of_point + _next(repeat))
                voltage.append(model.voltage_of_point)
                of_reads = np.full(len(mask), np.nan) if T is None else T
                hot.append(of_reads[np.flatnonzero(mask)[model.read_of_point]])
        if kelvin is not None:
            n = len(kelvin.R)
            data.append(kelvin.R)
            source.append(np.full(n, len(dies)))
            read.append(np.arange(n) + _next(read))
            kinds = np.array([name == "bl" for name in kelvin.line], dtype=np.intp)
            line.append(kinds + _next(line))
            key = np.stack([kinds, kelvin.segments, np.zeros(n) if kelvin.T is None else kelvin.T])
            group = np.unique(key, axis=1, return_inverse=True)[1].reshape(-1)
            repeat.append(group + _next(repeat))
            voltage.append(np.zeros(n))
            hot.append(np.full(n, np.nan) if kelvin.T is None else kelvin.T)
        self.source: Indices = np.concatenate(source)
        raw = np.concatenate(data)
        largest = [np.abs(raw[self.source == k]).max() for k in range(int(self.source.max()) + 1)]
        self.scales: Array = np.array(largest)[self.source]
        self.data: Array = raw / self.scales
        self.read_of_point: Indices = np.concatenate(read)
        self.line_of_point: Indices = np.concatenate(line)
        self.repeat_of_point: Indices = np.concatenate(repeat)
        self.voltage_of_point: Array = np.concatenate(voltage)
        self.T_of_point: Array = np.concatenate(hot)
        self.parameters: tuple[Parameter, ...] = tuple(self._parameters())
        self._index = {p.name: k for k, p in enumerate(self.parameters)}

    def _parameters(self) -> list[Parameter]:
        out = []
        first = {p.name: p for p in self.parts[0].model.parameters}
        for name in self.free:
            if name in ALPHAS:
                out.append(Parameter(name=name, unit="1/K", start=1e-3, low=-0.1, high=0.1))
                continue
            start = first[TIED.get(name, (name,))[0]]
            names = [f"{name}[{die.name}]" for die in self.dies] if name in self.per_die else [name]
            out += [dataclasses.replace(start, name=each) for each in names]
        return out

    def _place(self, name: str, die: int) -> int | None:
        """Number of the parameter that says a resistance or device field of a die."""
        for free in self.free:
            if free == name or name in TIED.get(free, ()):
                text = f"{free}[{self.dies[die].name}]" if free in self.per_die else free
                return self._index[text]
        return None

    def _values(self, part: _Part, theta: Array) -> tuple[Array, Array, list[int | None]]:
        """What `Model` takes, the values at T_ref, and which parameter says each of them."""
        at_reference, now, places = [], [], []
        crossbar = self.dies[part.die].crossbar
        alpha = {name: theta[self._index[name]] if name in self._index else 0.0 for name in ALPHAS}
        for p in part.model.parameters:
            place = self._place(p.name, part.die)
            if p.name.startswith("G["):
                value, factor = p.start, 1 + alpha["alpha_G"] * part.dT
            else:
                value = theta[place] if place is not None else getattr(crossbar, p.name)
                wire = p.name in ("R_wl", "R_bl")
                factor = 1 + alpha["alpha_wire"] * part.dT if wire else 1.0
            at_reference.append(value)
            now.append(value * factor)
            places.append(place)
        return np.array(now), np.array(at_reference), places

    def currents(self, theta: Array) -> Array:
        """Predictions of all points, shares of the largest value of their source, (points,)."""
        out = np.empty(len(self.data))
        for part in self.parts:
            out[part.points] = part.model.currents(self._values(part, theta)[0])
        if self.kelvin is not None:
            out[self.source == len(self.dies)] = self._lines(theta)[0]
        return out / self.scales

    def jacobian(self, theta: Array) -> Array:
        """d(prediction)/d(parameter), (points, parameters)."""
        out = np.zeros((len(self.data), len(self.parameters)))
        for part in self.parts:
            now, at_reference, places = self._values(part, theta)
            each = part.model.jacobian(now)
            for j, (p, place) in enumerate(zip(part.model.parameters, places, strict=True)):
                value = at_reference[j]
                factor = now[j] / value if value else 1.0
                if place is not None:
                    out[part.points, place] += each[:, j] * factor
                alpha = "alpha_G" if p.name.startswith("G[") else "alpha_wire"
                if alpha in self._index and (p.name[0] == "G" or p.name in ("R_wl", "R_bl")):
                    out[part.points, self._index[alpha]] += each[:, j] * value * part.dT
        if self.kelvin is not None:
            out[self.source == len(self.dies)] = self._lines(theta)[1]
        return out / self.scales[:, None]

    def _lines(self, theta: Array) -> tuple[Array, Array]:
        """Resistances of the monitors, ohm, (N,), and their derivatives, (N, parameters)."""
        kelvin = self.kelvin
        if kelvin is None:
            raise AssertionError("there are monitors")
        R, by = np.empty(len(kelvin.R)), np.zeros((len(kelvin.R), len(self.parameters)))
        alpha = theta[self._index["alpha_wire"]] if "alpha_wire" in self._index else 0.0
        for k, word in enumerate(kelvin.line):
            place = self._place(LINES[word], 0)
            if place is None:
                raise AssertionError("lines of monitors are fitted")
            dT = 0.0 if kelvin.T is None or self.T_ref is None else kelvin.T[k] - self.T_ref
            factor = kelvin.segments[k] * (1 + alpha * dT)
            R[k] = theta[place] * factor
            by[k, place] = factor
            if "alpha_wire" in self._index:
                by[k, self._index["alpha_wire"]] = kelvin.segments[k] * theta[place] * dT
        return R, by


def _next(parts: Sequence[Indices]) -> int:
    """The first number that is not taken."""
    return max((int(p.max()) + 1 for p in parts if len(p)), default=0)


def _check(
    dies: Sequence[MeasuredDie],
    kelvin: Kelvin | None,
    free: tuple[str, ...],
    per_die: tuple[str, ...],
    T_ref: float | None,
) -> None:
    """Raise unless names and temperatures go together."""
    names = [die.name for die in dies]
    if not dies or len(set(names)) != len(names) or "Kelvin" in names:
        raise broken_rule("dies must have names, each once", names, "Give NAME=READS.")
    fields = [n for n in free if n.startswith("device.")]
    allowed = {*WIRES, *TIED, *fields, *ALPHAS}
    wrong = sorted(set(free) - allowed)
    if wrong or not free or len(set(free)) != len(free):
        names_to_fit = [*TIED, *WIRES, "device.<field>", *ALPHAS]
        raise broken_rule(
            f"a joint fit takes {names_to_fit}, each once", wrong or list(free), "Name them."
        )
    shared_wires = {*TIED, "R_wl", "R_bl"} | set(ALPHAS)
    strange = [n for n in per_die if n not in free or (kelvin is not None and n in shared_wires)]
    if strange or set(per_die) & set(ALPHAS):
        raise broken_rule(
            "what dies have for themselves must be fitted, and be no wire with Kelvin monitors and "
            "no temperature coefficient",
            strange or list(per_die),
            "For example per_die=['R_driver'].",
        )
    wires = {wire for name in free for wire in TIED.get(name, (name,))}
    missing = {LINES[word] for word in (kelvin.line if kelvin else ())} - wires
    if missing:
        raise broken_rule(
            "the lines of Kelvin monitors must be fitted", sorted(missing), "Add them to the names."
        )
    temperatures = [die.reads.T is not None for die in dies]
    if kelvin is not None:
        temperatures.append(kelvin.T is not None)
    if bool(set(free) & set(ALPHAS)) != (T_ref is not None) or (
        T_ref is not None and not all(temperatures)
    ):
        raise broken_rule(
            "temperature coefficients need a reference temperature, and one of every measurement",
            f"T_ref {T_ref}, temperatures of {sum(temperatures)} of {len(temperatures)} sources",
            "Give T_ref in K and a column T [K], and fit alpha_wire or alpha_G.",
        )
