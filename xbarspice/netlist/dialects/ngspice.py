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

from collections.abc import Iterable, Sequence

import numpy as np

from xbarspice.devices import Ohmic
from xbarspice.devices.forms import default_parameters, instance_parameters, spice_body
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.netlist.numbers import resistances
from xbarspice.netlist.records import SIDES, Netlist, Sources, describe_device, steepest

__all__ = [
    "INDEX",
    "PLATEAU",
    "SWEEP",
    "abstol",
    "circuit",
    "drive_name",
    "elements",
    "options",
    "passive",
    "plateaus",
    "save_cards",
    "subcircuit",
    "tolerances",
    "write",
]

RELTOL = "reltol=1e-12"
GMIN = "gmin=1e-20"

ROUNDING = 4e-15
"""Share of slope * volts by which a current may still move (18 eps)."""

NODE_ROUNDING = 1e-14
"""Share of volts by which a node may still move (45 eps); 4e-15 left 1 of 1125 arrays behind."""

ABSTOL = 1e-18
VNTOL = 1e-15
"""Smallest absolute tolerances, A and V, however small the voltages and conductances are."""

PLATEAU = 0.25
"""Half width of the constant part around each index of the sweep."""

INDEX = "idx"
"""Node whose voltage is the index of the vector."""

SWEEP = (f"Vidx {INDEX} 0 0", f"Ridx {INDEX} 0 1", f"Bidx at 0 v=nint(v({INDEX}))")
"""The source whose value is the index of the vector, and what its node needs; see above."""

_PAIRS_A_LINE = 4
_NAMES_A_LINE = 8


def write(netlist: Netlist) -> str:
    """The complete deck: header, elements, and a control section that prints what is saved.

    Saved are the currents of all sources and the voltages of the driven nodes.
    """
    lines = [*circuit(netlist), f".options {options(netlist)} klu", *saves(netlist)]
    run = "op" if netlist.vectors == 1 else f"dc Vidx 0 {netlist.vectors - 1} 1"
    lines += [
        "* By hand: ngspice -b <this file>. Without aids a floating node or a failure to converge",
        "* would be papered over; optran keeps only gmin and source stepping.",
        ".control",
        "set numdgt=15",
        "optran 1 1 1 0 0 0",
        run,
        "print all",
        ".endc",
        ".end",
    ]
    return "\n".join(lines) + "\n"


def tolerances(slope: float, volts: float, transimpedance: float | None = None) -> str:
    """Words of an `.options` card: as tight as the rounding of the circuit lets Newton come.

    A node voltage is known to some eps * volts, so a current through a wire of conductance
    g_wire = 1/R, and the balance of the currents that meet in its node, to some eps * g_wire *
    volts, whatever the devices do. Newton's steps never become smaller than that noise, and an
    abstol below it makes ngspice give up: with a fixed abstol of 1e-18 A 22 of 1125
    arrays (wires of 0, 0.01, 0.1, 1 and 10 ohm) did not converge; with 1e-15, 2e-15 and 4e-15 for
    `ROUNDING` 3, 1 and none of them, and none of 3438 others, with errors of at most 5.5e-15 *
    slope * volts or, where that is more, 5e-12 of the largest current. ngspice's own defaults
    (reltol 1e-3, abstol 1e-12) give 6e-8.

    Args:
        slope: largest conductance of the circuit, S.
        volts: largest voltage of its sources, V.
        transimpedance: what turns that noise of a current into a node voltage, ohm; None where no
            amplifier does.
    """
    amperes = max(ABSTOL, ROUNDING * slope * volts)
    vntol = max(VNTOL, NODE_ROUNDING * volts, amperes * (transimpedance or 0.0))
    return f"{RELTOL} abstol={amperes:.3g} vntol={vntol:.3g} {GMIN}"


def options(netlist: Netlist) -> str:
    """`tolerances` of one array and the largest voltage of its vectors."""
    return tolerances(steepest(netlist.crossbar), _volts(netlist))


def abstol(netlist: Netlist) -> float:
    """Absolute tolerance of the currents alone, A; see `tolerances`."""
    return max(ABSTOL, ROUNDING * steepest(netlist.crossbar) * _volts(netlist))


def _volts(netlist: Netlist) -> float:
    return max(float(np.max(np.abs(v))) for v in (netlist.V_in, netlist.V_out))


def circuit(netlist: Netlist) -> list[str]:
    """Header and elements, without options, outputs and control section."""
    model, rest = _model(netlist), elements(netlist)
    lines = [*header(netlist), *model, "", "* drivers", *drives(netlist)]
    lines += ["* sense nodes at 0 V; the current of each source is the reading"]
    for sources in (netlist.word_senses, netlist.bit_senses):
        pairs = zip(sources.names, sources.nodes, strict=True)
        lines += [f"{name} {node} 0 0" for name, node in pairs]
    return [*lines, *rest, ""]


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
        f"* R_wl: {decimal(xb.R_wl)}",
        f"* R_bl: {decimal(xb.R_bl)}",
        f"* R_driver: {decimal(xb.R_driver)}",
        f"* R_sense: {decimal(xb.R_sense)}",
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
    names = [f"i({drive_name(netlist, n)})" for s in _driven(netlist) for n in s.names]
    names += [f"i({n})" for s in (netlist.word_senses, netlist.bit_senses) for n in s.names]
    volts = [n for s in _driven(netlist) for n in s.nodes]
    names += [f"v({n})" for n in dict.fromkeys(volts)]
    return save_cards(names)


def save_cards(names: Sequence[str]) -> list[str]:
    """`.save` cards of some vectors, ``i(...)`` or ``v(...)``."""
    return [
        ".save " + " ".join(names[k : k + _NAMES_A_LINE])
        for k in range(0, len(names), _NAMES_A_LINE)
    ]


def _driven(netlist: Netlist) -> Iterable[Sources]:
    return (netlist.word_drives, netlist.bit_drives)
