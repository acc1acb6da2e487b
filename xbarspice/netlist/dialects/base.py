"""What every dialect shares: order of the text, name rules, continuation lines, test benches."""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy.typing as npt

from xbarspice.core.array import Crossbar, End
from xbarspice.core.errors import broken_rule
from xbarspice.devices import Device
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.design import (
    DECK,
    Cell,
    Design,
    Element,
    deck_elements,
    g_hash,
    mem_model,
)
from xbarspice.netlist.dialects.ngspice import ABSTOL, ROUNDING, VNTOL
from xbarspice.netlist.records import Netlist, build, describe_device, steepest

__all__ = ["Bench", "Dialect", "Source", "bench"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A voltage source to ground: its name, its node, and its volts for every vector, (K,)."""

    name: str
    node: str
    volts: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A test bench: the design's file, what its pins are connected to, and the sources.

    Attributes:
        include: file name of the design, or "" if its text precedes the bench.
        instance: name of the instance.
        cell: name of the design's top cell; "" for a deck without an instance.
        nodes: node of every pin, in order; "0" for a pin that is grounded.
        drives: sources with a value for each vector.
        senses: sources of 0 V; their current is the reading.
        vectors: number of drive vectors K.
        model: name of the device model, whose library file a simulator may have to load.
        form: how devices are written.
        slope: largest conductance, S; with the voltages it says how tight tolerances can be.
        config: the design's configuration hash; "" for a deck.
    """

    include: str
    cell: str
    nodes: tuple[str, ...]
    drives: tuple[Source, ...]
    senses: tuple[Source, ...]
    vectors: int
    model: str
    form: str
    slope: float
    config: str = ""
    instance: str = "Xdut"

    @property
    def volts(self) -> float:
        """Largest voltage of the drives, V."""
        return max((abs(v) for s in self.drives for v in s.volts), default=0.0)

    @property
    def tolerances(self) -> tuple[float, float]:
        """Absolute tolerances (A, V) just above the rounding of currents and voltages.

        Those of `xbarspice.netlist.dialects.ngspice.tolerances`, rounded to three digits.
        """
        pair = (max(ABSTOL, ROUNDING * self.slope * self.volts), max(VNTOL, ROUNDING * self.volts))
        return float(f"{pair[0]:.3g}"), float(f"{pair[1]:.3g}")


def bench(
    design: Design,
    tile: int,
    crossbar: Crossbar,
    V_in: npt.ArrayLike,
    V_out: npt.ArrayLike | None = None,
    *,
    include: str = "",
) -> Bench:
    """The test bench that drives and senses one tile of a design; other tiles are grounded.

    Args:
        design: the design under test.
        tile: index of the tile.
        crossbar: the tile's array with the line ends of this pass.
        V_in, V_out: the drive, V, (..., rows) and (..., cols).
        include: file name of the design.

    Raises:
        InputError: the array is another one, its far ends are used, or its line ends have other
            resistances than the design's pins.
    """
    drawn = design.crossbars[tile]
    _refuse_other_array(drawn, crossbar)
    record = build(crossbar, V_in, V_out)
    several = len(design.crossbars) > 1
    pad = {f"WL<{r}>": ("wl", r) for r in range(drawn.rows)}
    pad |= {f"BL<{c}>": ("bl", c) for c in range(drawn.cols)}
    drives, senses = _pad_sources(record)
    used = {
        ("wl", int(s.node[3:-1])) if s.node[0] == "W" else ("bl", int(s.node[3:-1]))
        for s in (*drives, *senses)
    }
    nodes = []
    for pin in design.top.pins:
        local = pin.removeprefix(f"T{tile}_") if several else pin
        mine = local in pad and (not several or pin.startswith(f"T{tile}_"))
        floats = mine and pad[local] not in used
        nodes.append(f"open_{local}" if floats else local if mine else "0")
    return Bench(
        include=include,
        cell=design.top.name,
        nodes=tuple(nodes),
        drives=drives,
        senses=senses,
        vectors=record.vectors,
        model=design.model,
        form=design.form,
        slope=steepest(crossbar),
        config=design.config,
    )


def _refuse_other_array(drawn: Crossbar, crossbar: Crossbar) -> None:
    wires = [(getattr(drawn, f"R_{n}"), getattr(crossbar, f"R_{n}")) for n in ("wl", "bl")]
    if g_hash(drawn) != g_hash(crossbar) or any(a != b for a, b in wires):
        raise broken_rule(
            "a test bench must drive the array of its tile",
            repr(crossbar),
            f"The design holds {drawn!r}.",
        )
    for side, ends in (("right", crossbar.wl_ends[:, 1]), ("top", crossbar.bl_ends[:, 0])):
        if (ends != End.FLOATING).any():
            raise broken_rule(
                f"the {side} line ends of a design have no pins",
                crossbar.ends,
                "Drive and sense on the left and at the bottom.",
            )
    sides = (
        ("R_driver", drawn.R_driver, crossbar.wl_ends[:, 0]),
        ("R_sense", drawn.R_sense, crossbar.bl_ends[:, 1]),
    )
    for name, R, ends in sides:
        for end in ends:
            if end != End.FLOATING and crossbar.end_resistance(end) != R:
                raise broken_rule(
                    f"a read pass must meet the resistance of the design at its pins ({name})",
                    f"{crossbar.end_resistance(end):g} ohm at a {end} end, {R:g} ohm in the design",
                    "Where a read pass senses word lines, give it R_driver and R_sense exchanged.",
                )


def _pad_sources(record: Netlist) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Drives and senses of a record at the design's pins."""
    zero = (0.0,) * record.vectors
    drives, senses = [], []
    kinds = (
        ("WL", record.word_drives, record.word_senses),
        ("BL", record.bit_drives, record.bit_senses),
    )
    for line, driven, sensed in kinds:
        for name, k, volts in zip(driven.names, driven.lines, driven.volts.T, strict=True):
            drives.append(Source(name=name, node=f"{line}<{k}>", volts=tuple(volts.tolist())))
        for name, k in zip(sensed.names, sensed.lines, strict=True):
            senses.append(Source(name=name, node=f"{line}<{k}>", volts=zero))
    return tuple(drives), tuple(senses)


def deck_bench(record: Netlist) -> Bench:
    """The sources of a deck: its records already name their nodes."""
    zero = (0.0,) * record.vectors
    drives = tuple(
        Source(name=name, node=node, volts=tuple(volts.tolist()))
        for s in (record.word_drives, record.bit_drives)
        for name, node, volts in zip(s.names, s.nodes, s.volts.T, strict=True)
    )
    senses = tuple(
        Source(name=name, node=node, volts=zero)
        for s in (record.word_senses, record.bit_senses)
        for name, node in zip(s.names, s.nodes, strict=True)
    )
    return Bench(
        include="",
        cell="",
        nodes=(),
        drives=drives,
        senses=senses,
        vectors=record.vectors,
        model=mem_model(record.crossbar.device, "subcircuit"),
        form="subcircuit",
        slope=steepest(record.crossbar),
    )


class Dialect(abc.ABC):
    """One dialect: turns designs, test benches and whole decks into text.

    Sub-classes say how cells, elements, device bodies and analyses are spelt. All text is a
    function of its arguments alone: no date, no path.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    comment: ClassVar[str] = "*"
    width: ClassVar[int] = 100
    """Longest line; the strictest of the programs here reads 128 columns."""
    opening: ClassVar[tuple[str, ...]] = ()
    """Lines after the title, which is the first line of every file."""
    forms: ClassVar[tuple[str, ...]] = ("subcircuit", "resistor")
    remark: ClassVar[re.Pattern[str]] = re.compile(r"(?!)")
    """What opens a comment at the end of a line; nothing where programs do not agree on it."""
    factors: ClassVar[Mapping[str, int]] = {}
    """Factors of numbers in texts that are read, as powers of ten."""
    case_sensitive: ClassVar[bool] = False
    """Whether ``A`` and ``a`` are two names."""
    bus: ClassVar[str] = r"<\d+>"
    """Pattern of what follows the letters of a bus name; "" where names hold no brackets."""
    runs: ClassVar[bool] = True
    """Whether the dialect has analyses (CDL only describes)."""

    def write(self, netlist: Netlist) -> str:
        """A complete deck of one array and its drive: every line end, one level, no pins."""
        crossbar = netlist.crossbar
        lines = self._titled(deck_header(netlist, self.name))
        form = "resistor" if crossbar.device.linear else self.forms[0]
        lines += self._models(crossbar.device, form)
        for element in deck_elements(netlist, form):
            lines += self._wrapped(self.element(element))
        lines += self._bench_body(deck_bench(netlist))
        return "\n".join([*lines, *self.closing()]) + "\n"

    def design(self, design: Design) -> str:
        """The cells of a design, each before its use, without any source."""
        if design.form not in self.forms:
            raise broken_rule(
                f"{self.name} writes devices as {' or '.join(self.forms)}",
                repr(design.form),
                "Choose one of these forms, or another dialect.",
            )
        lines = self._titled(self.header(design))
        lines += self._models(design.device, design.form, design.scope)
        for cell in design.cells:
            lines += ["", *self._cell(cell, design.scope)]
        return "\n".join(lines) + "\n"

    def bench(self, bench: Bench) -> str:
        """A test bench that can be run with the design beside it.

        Raises:
            InputError: the dialect has no analyses.
        """
        if not self.runs:
            raise broken_rule(
                f"a test bench needs a simulator; {self.name} has none",
                self.name,
                "Take the bench of another dialect.",
            )
        lines = [
            *self._titled(bench_header(bench, self.name)),
            self.include(bench.include),
        ]
        dut = Element("X", bench.instance, bench.nodes, model=bench.cell)
        lines += self._wrapped(self.element(dut))
        lines += self._bench_body(bench)
        return "\n".join([*lines, *self.closing()]) + "\n"

    def header(self, design: Design) -> list[str]:
        """What the design is, with its hashes and the order of its pins."""
        from xbarspice import __version__

        lines = [
            f"xbarspice design {design.top.name}, {self.name} dialect, "
            + ("hierarchical" if design.hierarchical else "flat"),
            f"version: {__version__}",
            f"config: {design.config}",
            f"form: {design.form}",
            f"device: {describe_device(design.crossbars[0])}",
        ]
        for k, xb in enumerate(design.crossbars):
            lines += [
                f"tile {k}: {xb.rows} word lines x {xb.cols} bit lines, G sha256 {g_hash(xb)}",
                f"tile {k}: R_wl={decimal(xb.R_wl)} R_bl={decimal(xb.R_bl)} "
                f"R_driver={decimal(xb.R_driver)} R_sense={decimal(xb.R_sense)}",
            ]
        lines += [
            "pins: word lines from the top (WL 0 first), then bit lines from the left (BL 0 first)"
        ]
        return [*lines, SUBSTRATE] if "VSS" in design.top.pins else lines

    def node(self, name: str) -> str:
        """A node or pin name by the rules of the dialect."""
        return name

    @abc.abstractmethod
    def element(self, element: Element, scope: str = DECK) -> str:
        """One instance as one (long) line; `scope` precedes names that the text defines."""

    @abc.abstractmethod
    def open_cell(self, cell: Cell) -> Iterable[str]:
        """The lines that open a subcircuit (not wrapped yet)."""

    @abc.abstractmethod
    def close_cell(self, cell: Cell) -> str:
        """The line that closes it."""

    @abc.abstractmethod
    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        """What must precede instances of a device model; `scope` precedes its name."""

    @abc.abstractmethod
    def include(self, file: str) -> str:
        """The line that reads another file."""

    @abc.abstractmethod
    def sources(self, bench: Bench) -> list[str]:
        """Sources and analysis."""

    def closing(self) -> list[str]:
        """The last lines of a deck or bench."""
        return [".end"]

    def _bench_body(self, bench: Bench) -> list[str]:
        return [line for text in self.sources(bench) for line in self._wrapped(text)]

    def _models(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        texts = self.device_model(device, form, scope)
        return [line for text in texts for line in self._wrapped(text)]

    def _cell(self, cell: Cell, scope: str) -> list[str]:
        lines = [line for text in self.open_cell(cell) for line in self._wrapped(text)]
        for element in cell.elements:
            lines += self._wrapped(self.element(element, scope))
        return [*lines, self.close_cell(cell)]

    def _titled(self, lines: Sequence[str]) -> list[str]:
        title, *rest = (f"{self.comment} {line}" for line in lines)
        return [title, *self.opening, *rest]

    def _wrapped(self, text: str) -> list[str]:
        if len(text) <= self.width:
            return [text]
        return self.wrap(text)

    def wrap(self, text: str) -> list[str]:
        """A long line with the dialect's continuation lines."""
        parts = folded(text, self.width - 2)
        return [parts[0], *(f"+ {part}" for part in parts[1:])]


def folded(text: str, width: int) -> list[str]:
    """Cut a text at blanks into pieces of at most `width` columns (a longer word stays whole)."""
    out = [""]
    for word in text.split(" "):
        if out[-1] and len(out[-1]) + 1 + len(word) > width:
            out.append(word)
        else:
            out[-1] = f"{out[-1]} {word}" if out[-1] else word
    return out


SUBSTRATE = "and last VSS, the substrate, where the wires' capacitances end"


def bench_header(bench: Bench, dialect: str) -> list[str]:
    """What a test bench drives and reads."""
    lines = [
        f"xbarspice test bench of {bench.cell}, {dialect} dialect: {bench.vectors} vectors",
        f"config of the design: {bench.config}",
    ]
    if bench.senses:
        first, last = bench.senses[0].name, bench.senses[-1].name
        lines += [f"readings: the current into the + terminal of {first} to {last}, A"]
    return lines


def deck_header(netlist: Netlist, dialect: str) -> list[str]:
    """Header of a deck."""
    from xbarspice import __version__

    xb = netlist.crossbar
    return [
        f"xbarspice crossbar, {dialect} dialect, {xb.rows} word lines x {xb.cols} bit lines",
        f"version: {__version__}",
        f"config: {netlist.config}",
        f"device: {describe_device(xb)}",
        f"G sha256: {g_hash(xb)}",
        f"vectors: {netlist.vectors}",
    ]
