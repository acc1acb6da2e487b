"""Test benches as records: what the pins of a design are connected to, and the sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import End
from xbarspice.netlist.cells import mem_model
from xbarspice.netlist.design import Design
from xbarspice.netlist.records import Netlist, build, g_hash, noise_gain, steepest
from xbarspice.netlist.tolerances import current_tolerance, voltage_tolerance

__all__ = ["Bench", "Source", "bench", "deck_bench"]


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
        noise_gain: `records.noise_gain` of the array; as `slope`.
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
    noise_gain: float
    config: str = ""
    instance: str = "Xdut"

    @property
    def volts(self) -> float:
        """Largest voltage of the drives, V."""
        return max((abs(v) for s in self.drives for v in s.volts), default=0.0)

    @property
    def tolerances(self) -> tuple[float, float]:
        """Absolute tolerances (A, V) just above the rounding of currents and voltages.

        Three digits each; see `xbarspice.netlist.tolerances`.
        """
        amperes = current_tolerance(self.slope, self.volts)
        volts = voltage_tolerance(self.slope, self.volts, noise_gain=self.noise_gain)
        return float(f"{amperes:.3g}"), float(f"{volts:.3g}")


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
        if local not in pad or (several and not pin.startswith(f"T{tile}_")):
            nodes.append("0")
        else:
            nodes.append(local if pad[local] in used else f"open_{local}")
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
        noise_gain=noise_gain(crossbar),
        config=design.config,
    )


def _refuse_other_array(drawn: Crossbar, crossbar: Crossbar) -> None:
    wires = zip(drawn.segment_resistances, crossbar.segment_resistances, strict=True)
    if g_hash(drawn) != g_hash(crossbar) or not all(np.array_equal(a, b) for a, b in wires):
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
    at_wl, at_bl = crossbar.end_resistances
    pins = drawn.end_resistances
    sides = (
        ("R_driver", pins[0][:, 0], crossbar.wl_ends[:, 0], at_wl[:, 0]),
        ("R_sense", pins[1][:, 1], crossbar.bl_ends[:, 1], at_bl[:, 1]),
    )
    for name, at_pin, ends, at_end in sides:
        for R, end, R_end in zip(at_pin, ends, at_end, strict=True):
            if end != End.FLOATING and R_end != R:
                raise broken_rule(
                    f"a read pass must meet the resistance of the design at its pins ({name})",
                    f"{R_end:g} ohm at a {end} end, {R:g} ohm in the design",
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
        noise_gain=noise_gain(record.crossbar),
    )
