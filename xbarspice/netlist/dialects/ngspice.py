"""Netlist text for ngspice, runnable by hand with ``ngspice -b``.

One drive vector is an operating point with plain voltage sources. Several are one `.dc` sweep of a
dummy source whose value k selects the vector: every driven line is a behavioural source
``pwl(v(idx), ...)`` that is constant around each k. Its slope at the sweep points is then exactly
0, so no product slope * k has to cancel: measured on ngspice 39 and 46, the voltages come out
within 4e-16 of what was written, for 20 000 vectors as for 3 and for microvolts next to volts
(breakpoints at the k themselves: 2e-12 of the largest voltage). Literals keep all their digits in
`pwl`; only expressions inside subcircuits are reprinted with 11 digits, so devices take parameters.
`Ridx` matters: without it 6 % of the sweeps over nonlinear arrays failed to converge to these
tolerances with KLU, with it none. So does `Bidx`: ngspice writes the iterate before the last, and
where a vector is that before it but for less than its tolerances, Newton would end with the drive
of the vector before written (of 20 sweeps with such vectors, 17 were off by 1e-14 to 2e-13 V).
`nint` has no slope, so node `at` moves by 1 V one iteration late, which asks for one iteration more
exactly then and costs nothing elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from xbarspice.devices import Device, Ohmic
from xbarspice.devices.forms import default_parameters, instance_parameters, spice_body
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.cards import refuse
from xbarspice.netlist.cells import DECK, Element, mem_model
from xbarspice.netlist.deck import Deck, DeckElement
from xbarspice.netlist.dialects.ngspice_deck import parse
from xbarspice.netlist.dialects.spice import SpiceDialect
from xbarspice.netlist.numbers import resistances
from xbarspice.netlist.records import (
    SIDES,
    Netlist,
    Sources,
    describe_device,
    noise_gain,
    steepest,
    wire_text,
)
from xbarspice.netlist.tolerances import current_tolerance, voltage_tolerance

__all__ = [
    "INDEX",
    "PLATEAU",
    "SWEEP",
    "Ngspice",
    "abstol",
    "analysis",
    "circuit",
    "control",
    "drive_name",
    "elements",
    "options",
    "passive",
    "plateaus",
    "save_cards",
    "subcircuit",
    "tolerances",
    "write_deck",
]

RELTOL = "reltol=1e-12"
GMIN = "gmin=1e-20"

PLATEAU = 0.25
"""Half width of the constant part around each index of the sweep."""

INDEX = "idx"
"""Node whose voltage is the index of the vector."""

SWEEP = (f"Vidx {INDEX} 0 0", f"Ridx {INDEX} 0 1", f"Bidx at 0 v=nint(v({INDEX}))")
"""The source whose value is the index of the vector, and what its node needs; see above."""

_PAIRS_A_LINE = 4
_NAMES_A_LINE = 8


def write_deck(netlist: Netlist) -> str:
    """The complete deck: header, elements, and a control section that prints what is saved.

    Saved are the currents of all sources and the voltages of the driven nodes.
    """
    lines = [
        *circuit(netlist),
        f".options {options(netlist)} klu",
        *saves(netlist),
        "* By hand: ngspice -b <this file>. Without aids a floating node or a failure to converge",
        "* would be papered over; optran keeps only gmin and source stepping.",
        *control(netlist.vectors),
        ".end",
    ]
    return "\n".join(lines) + "\n"


def analysis(vectors: int) -> str:
    """The command that solves all vectors."""
    return "op" if vectors == 1 else f"dc Vidx 0 {vectors - 1} 1"


def control(vectors: int, *, osdi: Sequence[str] = ()) -> list[str]:
    """The control section that solves all vectors and prints what is saved.

    Args:
        vectors: their number.
        osdi: files of compiled Verilog-A models to be loaded.
    """
    return [
        ".control",
        *(f"pre_osdi {file}" for file in osdi),
        "set numdgt=15",
        "optran 1 1 1 0 0 0",
        analysis(vectors),
        "print all",
        ".endc",
    ]


def tolerances(
    slope: float, volts: float, *, noise_gain: float, transimpedance: float = 0.0
) -> str:
    """Words of an `.options` card: as tight as the rounding of the circuit lets Newton come.

    Args:
        slope: largest conductance of the circuit, S.
        volts: largest voltage of its sources, V.
        noise_gain: `records.noise_gain` of the array.
        transimpedance: what turns the noise of a current into a node voltage, ohm; 0 where no
            amplifier does.
    """
    abstol = current_tolerance(slope, volts)
    vntol = voltage_tolerance(slope, volts, noise_gain=noise_gain, transimpedance=transimpedance)
    return f"{RELTOL} abstol={abstol:.3g} vntol={vntol:.3g} {GMIN}"


def options(netlist: Netlist) -> str:
    """`tolerances` of one array and the largest voltage of its vectors."""
    crossbar = netlist.crossbar
    return tolerances(steepest(crossbar), _volts(netlist), noise_gain=noise_gain(crossbar))


def abstol(netlist: Netlist) -> float:
    """Absolute tolerance of the currents alone, A; see `xbarspice.netlist.tolerances`."""
    return current_tolerance(steepest(netlist.crossbar), _volts(netlist))


def _volts(netlist: Netlist) -> float:
    return max(float(np.max(np.abs(v))) for v in (netlist.V_in, netlist.V_out))


def circuit(netlist: Netlist) -> list[str]:
    """Header and elements, without options, outputs and control section."""
    lines = [*header(netlist), *_model(netlist), "", "* drivers", *drives(netlist)]
    lines += ["* sense nodes at 0 V; the current of each source is the reading"]
    for sources in (netlist.word_senses, netlist.bit_senses):
        pairs = zip(sources.names, sources.nodes, strict=True)
        lines += [f"{name} {node} 0 0" for name, node in pairs]
    return [*lines, *elements(netlist), ""]


def passive(netlist: Netlist) -> list[str]:
    """Device model and elements without any source."""
    return [*_model(netlist), *elements(netlist)]


def _model(netlist: Netlist) -> list[str]:
    ohmic = isinstance(netlist.crossbar.device, Ohmic)
    return [] if ohmic else ["", *subcircuit(netlist)]


def elements(netlist: Netlist, model: str | None = None) -> list[str]:
    """Line ends, wire segments and devices, without the device model and the sources.

    `model` names the device subcircuit; None stands for `model_name`.
    """
    lines: list[str] = []
    for title, part in (("line ends", netlist.ends), ("wire segments", netlist.wires)):
        lines.append(f"* {title}")
        rows = zip(part.names, part.a, part.b, part.ohm, strict=True)
        lines += [f"{name} {a} {b} {decimal(ohm)}" for name, a, b, ohm in rows]
    return [*lines, "* devices, word line to bit line", *devices(netlist, model)]


def header(netlist: Netlist) -> list[str]:
    """Title line and what a reader needs; no date, so equal problems give equal text."""
    from xbarspice import __version__

    xb = netlist.crossbar
    words = zip(SIDES, [*xb.wl_ends.T, *xb.bl_ends.T], strict=True)
    ends = [f"* {side}: {_shortest([str(e) for e in line_ends])}" for side, line_ends in words]
    return [
        f"* xbarspice crossbar, {xb.rows} word lines x {xb.cols} bit lines, {xb.device.name}",
        f"* version: {__version__}",
        f"* config: {netlist.config}",
        f"* rows: {xb.rows}",
        f"* cols: {xb.cols}",
        *(f"* {name}: {wire_text(name, R)}" for name, R in xb.wires.items()),
        *ends,
        f"* device: {describe_device(xb)}",
        f"* vectors: {netlist.vectors}",
    ]


def _shortest(words: list[str]) -> str:
    return words[0] if len(set(words)) == 1 else " ".join(words)


def subcircuit(netlist: Netlist, model: str | None = None) -> list[str]:
    """The device model; `xb_g` is the conductance that the other parameters come from.

    `model` names the device subcircuit; None stands for `model_name`.
    """
    device = netlist.crossbar.device
    head = f".subckt {model or model_name(netlist)} p n {default_parameters(device)}"
    return [head, *spice_body(device), ".ends"]


def model_name(netlist: Netlist) -> str:
    """Name of the device subcircuit."""
    return f"xb_{netlist.crossbar.device.name}"


def devices(netlist: Netlist, model: str | None = None) -> list[str]:
    """One line a device: a resistor of 1/G, or an instance of the subcircuit."""
    d = netlist.devices
    device = netlist.crossbar.device
    if isinstance(device, Ohmic):
        rows = zip(d.names, d.a, d.b, resistances(d.G), strict=True)
        return [f"R{name} {a} {b} {R}" for name, a, b, R in rows]
    columns = instance_parameters(device, d.G)
    texts = [[f"{key}={text}" for text in column] for key, column in columns.items()]
    model = model or model_name(netlist)
    values = [" ".join(t) for t in zip(*texts, strict=True)] if d.names else []
    rows = zip(d.names, d.a, d.b, values, strict=True)
    return [f"X{name} {a} {b} {model} {value}" for name, a, b, value in rows]


def drive_name(netlist: Netlist, name: str) -> str:
    """Element name of a driver: a V source for one vector, a B source for a sweep.

    An E source, which follows another node of a larger circuit, keeps its name.
    """
    return name if netlist.vectors == 1 or name.startswith("E") else f"B{name[1:]}"


def drives(netlist: Netlist) -> list[str]:
    """The driven line ends: constant sources, or plateaus over the index of the sweep."""
    lines = [] if netlist.vectors == 1 else [*SWEEP]
    for sources in (netlist.word_drives, netlist.bit_drives):
        for name, node, volts in zip(sources.names, sources.nodes, sources.volts.T, strict=True):
            if netlist.vectors == 1:
                lines.append(f"{name} {node} 0 {decimal(volts[0])}")
            else:
                lines += [f"{drive_name(netlist, name)} {node} 0 v=pwl(v(idx)"]
                lines += plateaus(volts.tolist())
    return lines


def plateaus(volts: list[float]) -> list[str]:
    """Rest of a `pwl(v(idx)` source as continuation lines: constant around every index."""
    pairs = [f",{k - PLATEAU!r},{v},{k + PLATEAU!r},{v}" for k, v in enumerate(decimals(volts))]
    lines = [
        "+" + "".join(pairs[k : k + _PAIRS_A_LINE]) for k in range(0, len(pairs), _PAIRS_A_LINE)
    ]
    lines[-1] += ")"
    return lines


def saves(netlist: Netlist) -> list[str]:
    """`.save` cards: the currents of all sources and the voltages of the driven nodes."""
    names = [f"i({drive_name(netlist, n)})" for s in _drivers(netlist) for n in s.names]
    names += [f"i({n})" for s in (netlist.word_senses, netlist.bit_senses) for n in s.names]
    volts = [n for s in _drivers(netlist) for n in s.nodes]
    names += [f"v({n})" for n in dict.fromkeys(volts)]
    return save_cards(names)


def save_cards(names: Sequence[str]) -> list[str]:
    """`.save` cards of some vectors, ``i(...)`` or ``v(...)``."""
    return [
        ".save " + " ".join(names[k : k + _NAMES_A_LINE])
        for k in range(0, len(names), _NAMES_A_LINE)
    ]


def _drivers(netlist: Netlist) -> Iterable[Sources]:
    return (netlist.word_drives, netlist.bit_drives)


class Ngspice(SpiceDialect):
    """ngspice 42 or later: `B` sources, Verilog-A through OSDI (``N`` elements)."""

    name = "ngspice"
    suffix = ".cir"
    remark = re.compile(r";|\s//|\s\$(?=\s|$)")
    forms = ("subcircuit", "verilog_a", "resistor")
    module_kind = "N"
    reads_decks = True

    def write(self, netlist: Netlist) -> str:
        return write_deck(netlist)

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        name = mem_model(device, form, scope)
        if form == "verilog_a":
            return [f".model {name} {name}"]
        if form == "resistor":
            return []
        head = f".subckt {name} p n {default_parameters(device)}"
        return [head, *spice_body(device), f".ends {name}"]

    def element(self, element: Element, scope: str = DECK) -> str:
        text = super().element(element, scope)
        return f"N{text[1:]}" if element.kind == "N" else text

    def sources(self, bench: Bench) -> list[str]:
        if bench.vectors == 1:
            drives, kind = self.constants(bench), "V"
        else:
            drives, kind = [*SWEEP], "B"
            for s in bench.drives:
                drives += [f"B{s.name[1:]} {self.node(s.node)} 0 v=pwl(v({INDEX})"]
                drives += plateaus(list(s.volts))
        names = [f"i({kind}{s.name[1:]})" for s in bench.drives]
        names += [f"i({s.name})" for s in bench.senses]
        return [
            *drives,
            *self.senses(bench),
            f".options {tolerances(bench.slope, bench.volts, noise_gain=bench.noise_gain)} klu",
            *save_cards(names),
            *control(
                bench.vectors, osdi=[f"{bench.model}.osdi"] if bench.form == "verilog_a" else []
            ),
        ]

    def read_deck(self, text: str) -> Deck:
        return parse(self.split(text))

    def read_volts(self, source: DeckElement) -> list[float]:
        volts = super().read_volts(source)
        if source.name[0] == "v":
            return volts
        index = np.arange(len(volts) // 4)
        edges = np.array(volts[0::2]) if len(volts) % 4 == 0 else np.empty(0)
        plateau_edges = np.stack([index - PLATEAU, index + PLATEAU], axis=1).ravel()
        if not np.array_equal(edges, plateau_edges) or volts[1::4] != volts[3::4]:
            name = source.name
            refuse(source.card, f"{name} is not constant around every index 0, 1, ... of the sweep")
        return volts[1::4]
