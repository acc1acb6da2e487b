"""A whole mapped network as one ngspice deck: from the input voltages to the decision.

Every block (one reading pass of one array) is a section of its own; the names of its nodes and
elements carry the prefix ``p<block>_``, so an array that is read in two passes appears twice.
Between the sections stand ideal neurons:

=================  ================================================================================
``x_<i>``          network input i, V: a `pwl` source over the index of the sweep, already scaled
``z<l>_<j>``       weighted sum j of layer l, 1 V for 1: F sources copy the currents of the sense
                   sources (virtual grounds), positive minus negative and all tiles together, into
                   the transimpedance, 1/gain ohm; an I source adds the digital bias
``h<l>_<j>``       activation of that sum, 1 V for 1: a B source
``p<b>_in_<r>``    line driver (``p<b>_out_<c>`` on a bit line): an E source, the scaled input,
                   activation or bias voltage of the line, with either sign
``best_<j>``       largest of the logits 0 to j
``class``          the decision: index of the largest logit, or 1 for a single logit above 0
=================  ================================================================================

Every figure is the plain value of an E, F, I or R element or stands in a `pwl`, where ngspice keeps
all digits; the expressions of the B sources hold small integers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xbarspice import activations
from xbarspice.devices import Ohmic
from xbarspice.devices.numbers import decimal
from xbarspice.errors import broken_rule
from xbarspice.mapping import Block, MappedNetwork
from xbarspice.netlist import ngspice as dialect
from xbarspice.netlist.records import Netlist, Resistors, Sources, build, steepest

__all__ = [
    "NetworkNetlist", "build_network", "driven", "network_circuit", "network_options",
    "write_network",
]  # fmt: skip

Array = npt.NDArray[np.float64]

PIVREL = 0.1
"""Share of a column's largest entry that a pivot must have. At ngspice's default of 1e-3, 15 of 96
runs of small ohmic networks (46, KLU) broke Kirchhoff's law by 1e-9 to 6e-8 and 39 more missed the
nodal engine's sums by more than 1e-13; at 0.1 the worst of the 96 missed them by 8e-14."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkNetlist:
    """Records of a whole network.

    Attributes:
        mapped: the network on its arrays.
        x: network inputs, (points, inputs).
        blocks: records of each block, names prefixed, drivers named as E sources; their own drive
            is 0 V, because only the run finds the voltages of the deeper layers.
    """

    mapped: MappedNetwork
    x: Array
    blocks: tuple[Netlist, ...]

    @property
    def points(self) -> int:
        """Number of network inputs: points of the sweep."""
        return len(self.x)


def write_network(mapped: MappedNetwork, x: npt.ArrayLike) -> str:
    """Write a network and its inputs as one deck that can be run by hand.

    Args:
        mapped: the network on its arrays, in any layout.
        x: network inputs, (points, inputs); several points become one sweep.

    Returns:
        The text, the same for equal problems; it prints the weighted sums and the decisions.

    Raises:
        InputError: the inputs do not fit, or a block's lines cannot be driven or sensed.
        FloatingNodeError: a line has no path to any source.
    """
    net = build_network(mapped, x)
    lines = [
        *network_circuit(net),
        network_options(net, klu=True),
        *dialect.save_cards(_neurons(net)),
        "* By hand: ngspice -b <this file>. optran keeps a failure from being papered over.",
        ".control",
        "set numdgt=15",
        "optran 1 1 1 0 0 0",
        "op" if net.points == 1 else f"dc Vidx 0 {net.points - 1} 1",
        "print all",
        ".endc",
        ".end",
    ]
    return "\n".join(lines) + "\n"


def build_network(mapped: MappedNetwork, x: npt.ArrayLike) -> NetworkNetlist:
    """Turn a network and its inputs, (points, inputs), into records.

    Raises:
        InputError, FloatingNodeError: as `write_network`.
    """
    inputs = mapped.network.inputs(x)
    if not len(inputs):
        raise broken_rule("a netlist needs an input point", "none", "Pass at least one row.")
    blocks = []
    for k, block in enumerate(mapped.blocks):
        crossbar = mapped.crossbar(block)
        netlist = build(crossbar, np.zeros(crossbar.rows), np.zeros(crossbar.cols))
        _check_lines(k, block, netlist)
        blocks.append(_prefixed(netlist, f"p{k}_"))
    return NetworkNetlist(mapped=mapped, x=inputs, blocks=tuple(blocks))


def driven(netlist: Netlist, V_in: Array, V_out: Array) -> Netlist:
    """The same records with another drive, V, (vectors, rows) and (vectors, cols)."""
    word, bit = netlist.word_drives, netlist.bit_drives
    return replace(
        netlist,
        V_in=V_in,
        V_out=V_out,
        word_drives=replace(word, volts=V_in[:, word.lines]),
        bit_drives=replace(bit, volts=V_out[:, bit.lines]),
    )


def network_circuit(net: NetworkNetlist) -> list[str]:
    """Header and elements of the whole network, without options, outputs and control section."""
    lines = [*_header(net), *_models(net), "", *_inputs(net)]
    for k in range(len(net.mapped.layers)):
        for number, block, netlist in _blocks(net, k):
            lines += ["", *_section(net, number, block, netlist)]
        lines += ["", *_sums(net, k)]
        lines += _activations(net, k) if k + 1 < len(net.mapped.layers) else _decision(net)
    return [*lines, ""]


def network_options(net: NetworkNetlist, *, klu: bool) -> str:
    """The `.options` card: `ngspice.tolerances`, whose noise a neuron shows times its 1/gain.

    Over 108 small networks the worst sum or current was 6e-12 of the largest away from runs layer
    by layer. An abstol of 1e-18 did not converge for some of them.
    """
    slope = max(steepest(array) for array in net.mapped.arrays)
    transimpedance = 1 / min(layer.gain for layer in net.mapped.layers)
    words = dialect.tolerances(slope, net.mapped.V_read, transimpedance)
    return f".options {words} pivrel={PIVREL}{' klu' if klu else ''}"


def _check_lines(k: int, block: Block, netlist: Netlist) -> None:
    drives, senses = _drives(block, netlist), _senses(block, netlist)
    other = netlist.word_drives if block.reverse else netlist.bit_drives
    undriven = set(block.lines_in.ravel().tolist()) - set(drives.lines)
    unsensed = set(block.lines_out.ravel().tolist()) - (set(senses.lines) - set(other.lines))
    for what, lines in (("driven", undriven), ("sensed, and not driven,", unsensed)):
        if lines:
            raise broken_rule(
                f"the {'input' if lines is undriven else 'output'} lines of a block must be {what}",
                f"line {min(lines)} of block {k}",
                "Correct `ends` of the block.",
            )


def _drives(block: Block, netlist: Netlist) -> Sources:
    return netlist.bit_drives if block.reverse else netlist.word_drives


def _senses(block: Block, netlist: Netlist) -> Sources:
    return netlist.word_senses if block.reverse else netlist.bit_senses


def _prefixed(netlist: Netlist, prefix: str) -> Netlist:
    def nodes(names: list[str]) -> list[str]:
        return [prefix + name for name in names]

    def resistors(part: Resistors) -> Resistors:
        names = [f"R{prefix}{name[1:]}" for name in part.names]
        return replace(part, names=names, a=nodes(part.a), b=nodes(part.b))

    def sources(part: Sources, kind: str) -> Sources:
        names = [f"{kind}{prefix}{name[1:]}" for name in part.names]
        return replace(part, names=names, nodes=nodes(part.nodes))

    d = netlist.devices
    return replace(
        netlist,
        wl=prefix + netlist.wl,
        bl=prefix + netlist.bl,
        wires=resistors(netlist.wires),
        ends=resistors(netlist.ends),
        devices=replace(d, names=nodes(d.names), a=nodes(d.a), b=nodes(d.b)),
        word_drives=sources(netlist.word_drives, "E"),
        bit_drives=sources(netlist.bit_drives, "E"),
        word_senses=sources(netlist.word_senses, "V"),
        bit_senses=sources(netlist.bit_senses, "V"),
    )


def _header(net: NetworkNetlist) -> list[str]:
    from xbarspice import __version__

    network = net.mapped.network
    lines = [
        f"* xbarspice network {'-'.join(map(str, network.sizes))}, {len(net.blocks)} array passes",
        f"* version: {__version__}",
        f"* activation: {network.activation}",
        f"* points: {net.points}",
    ]
    for k, (block, netlist) in enumerate(zip(net.mapped.blocks, net.blocks, strict=True)):
        xb = netlist.crossbar
        lines.append(
            f"* p{k}: layer {block.layer}, array {block.array}, {xb.rows} x {xb.cols}, "
            f"{xb.device.name}, config {netlist.config}"
        )
    return lines


def _models(net: NetworkNetlist) -> list[str]:
    """Each device model once."""
    models: dict[str, list[str]] = {}
    for netlist in net.blocks:
        if isinstance(netlist.crossbar.device, Ohmic):
            continue
        text = dialect.subcircuit(netlist)
        if models.setdefault(dialect.model_name(netlist), text) != text:
            raise broken_rule(
                "arrays of one network must share the parameters of their device model",
                f"two versions of {netlist.crossbar.device.name}",
                "Register one of them under another name.",
            )
    return [line for text in models.values() for line in ("", *text)]


def _inputs(net: NetworkNetlist) -> list[str]:
    volts = net.x * (net.mapped.V_read / net.mapped.layers[0].x_scale)
    lines = ["* network inputs in volts, and a reference of 1 V", "Vone one 0 1"]
    lines += [] if net.points == 1 else dialect.SWEEP
    for i, column in enumerate(volts.T):
        if net.points == 1:
            lines.append(f"Vx_{i} x_{i} 0 {decimal(column[0])}")
        else:
            lines += [f"Bx_{i} x_{i} 0 v=pwl(v(idx)", *dialect.plateaus(column.tolist())]
    return lines


def _blocks(net: NetworkNetlist, layer: int) -> Iterator[tuple[int, Block, Netlist]]:
    for k, (block, netlist) in enumerate(zip(net.mapped.blocks, net.blocks, strict=True)):
        if block.layer == layer:
            yield k, block, netlist


def _section(net: NetworkNetlist, k: int, block: Block, netlist: Netlist) -> Iterator[str]:
    """One block: drivers, sense sources, elements."""
    yield f"* p{k}: layer {block.layer}, array {block.array}; drivers"
    signals = _signals(net, block)
    for sources in (netlist.word_drives, netlist.bit_drives):
        carries = sources is _drives(block, netlist)
        for name, node, line in zip(sources.names, sources.nodes, sources.lines, strict=True):
            source, gain = signals.get(line, ("one", 0.0)) if carries else ("one", 0.0)
            yield f"{name} {node} 0 {source} 0 {decimal(gain)}"
    yield "* virtual grounds"
    for sources in (netlist.word_senses, netlist.bit_senses):
        for name, node in zip(sources.names, sources.nodes, strict=True):
            yield f"{name} {node} 0 0"
    yield from dialect.elements(netlist)


def _signals(net: NetworkNetlist, block: Block) -> dict[int, tuple[str, float]]:
    """What each input line of a block follows, and how much of it: line -> (node, gain)."""
    mapped, layer = net.mapped, net.mapped.layers[block.layer]
    width = mapped.network.sizes[block.layer]
    signals = {}
    for number, lines in zip(block.inputs.tolist(), block.lines_in.tolist(), strict=True):
        if number == width:
            source, gain = "one", layer.V_bias
        elif block.layer == 0:
            source, gain = f"x_{number}", 1.0
        else:
            source, gain = f"h{block.layer - 1}_{number}", mapped.V_read / layer.x_scale
        for line, sign in zip(lines, (1.0, -1.0), strict=False):
            signals[line] = (source, float(sign * gain))
    return signals


def _sums(net: NetworkNetlist, layer: int) -> Iterator[str]:
    """Transimpedance amplifiers and differences: v(z) is the weighted sum."""
    scales = net.mapped.layers[layer]
    gain = float(scales.gain)
    yield f"* neurons of layer {layer}"
    for j, bias in enumerate(scales.digital_bias.tolist()):
        yield f"Rz{layer}_{j} z{layer}_{j} 0 {decimal(1 / gain)}"
        if bias:
            yield f"Iz{layer}_{j} 0 z{layer}_{j} {decimal(bias * gain)}"
    for k, block, netlist in _blocks(net, layer):
        senses = _senses(block, netlist)
        names = dict(zip(senses.lines, senses.names, strict=True))
        for j, lines in zip(block.outputs.tolist(), block.lines_out.tolist(), strict=True):
            for line, sign in zip(lines, (1, -1), strict=False):
                yield f"Fp{k}_{line} 0 z{layer}_{j} {names[line]} {sign}"


def _activations(net: NetworkNetlist, layer: int) -> Iterator[str]:
    activation = activations.get(net.mapped.network.activation)
    for j in range(net.mapped.network.sizes[layer + 1]):
        yield f"Bh{layer}_{j} h{layer}_{j} 0 v={activation.expression(f'v(z{layer}_{j})')}"


def _decision(net: NetworkNetlist) -> Iterator[str]:
    """The class as a voltage: comparators from the first logit to the last; a tie goes first."""
    last, count = len(net.mapped.layers) - 1, net.mapped.network.sizes[-1]
    yield "* decision"
    if count == 1:
        yield f"Bclass class 0 v=v(z{last}_0) > 0 ? 1 : 0"
        return
    best, index = f"z{last}_0", "0"
    for j in range(1, count):
        z, node = f"z{last}_{j}", "class" if j == count - 1 else f"class_{j}"
        yield f"Bbest_{j} best_{j} 0 v=max(v({best}),v({z}))"
        yield f"B{node} {node} 0 v=v({z}) > v({best}) ? {j} : {index}"
        best, index = f"best_{j}", f"v({node})"


def _neurons(net: NetworkNetlist) -> list[str]:
    sizes = net.mapped.network.sizes[1:]
    sums = [f"v(z{k}_{j})" for k, size in enumerate(sizes) for j in range(size)]
    return [*sums, "v(class)"]
