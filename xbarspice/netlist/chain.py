"""A chain of layers on arrays as one ngspice deck: from the input voltages to the decision.

Every read of an array is a section of its own, so an array that is read in two read passes appears
twice. All names of nodes, elements and subcircuits begin with the name of the design, here ``n``,
so that several designs stand in one test bench; the index of the sweep belongs to the bench.
Between the sections stand ideal neurons:

==================  ===============================================================================
``n_x_<i>``         network input i, V: a `pwl` source over the index of the sweep, already scaled
``n_z<l>_<j>``      weighted sum j of stage l, 1 V for 1: F sources copy the currents of the sense
                    sources (virtual grounds), positive minus negative and all tiles together, into
                    the transimpedance; an I source adds the digital bias
``n_h<l>_<j>``      activation of that sum, 1 V for 1: a B source
``n_p<k>_in_<r>``   line driver of read k (``n_p<k>_out_<c>`` on a bit line): an E source, the
                    scaled input, activation or bias voltage of the line, with either sign
``n_best_<j>``      largest of the outputs 0 to j
``n_class``         the decision: index of the largest output, or 1 for a single sum above 0; none
                    for a single output behind an activation
==================  ===============================================================================

Every figure is the plain value of an E, F, I or R element or stands in a `pwl`, where ngspice keeps
all digits; the expressions of the B sources hold small integers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.devices import Ohmic
from xbarspice.devices.numbers import decimal
from xbarspice.mapping.chain import Chain, Pass, Stage
from xbarspice.netlist.design import name_of, refuse_name
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import Netlist, Resistors, Sources, build, noise_gain, steepest

__all__ = [
    "ChainNetlist",
    "build_chain",
    "chain_circuit",
    "chain_design",
    "chain_options",
    "replace_drive",
    "write_chain",
]


PIVREL = 0.1
"""Share of a column's largest entry that a pivot must have. At ngspice's default of 1e-3, 15 of 96
runs of small ohmic networks (46, KLU) broke Kirchhoff's law by 1e-9 to 6e-8 and 39 more missed the
nodal engine's sums by more than 1e-13; at 0.1 the worst of the 96 missed them by 8e-14."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainNetlist:
    """Records of a chain with its inputs.

    Attributes:
        name: of the design; all its names begin with it.
        chain: the layers on their arrays.
        x: inputs of the chain, (points, inputs).
        reads: records of each read of `chain.passes`, names prefixed, drivers named as E sources;
            their own drive is 0 V, because only the run finds the voltages of the deeper stages.
    """

    name: str
    chain: Chain
    x: Array
    reads: tuple[Netlist, ...]

    @property
    def points(self) -> int:
        """Number of input vectors: points of the sweep."""
        return len(self.x)

    def node(self, word: str) -> str:
        """A node of the design, such as ``z0_1``, by its whole name."""
        return f"{self.name}_{word}"

    @property
    def outputs(self) -> list[str]:
        """Nodes of the chain's outputs."""
        last = len(self.chain.stages) - 1
        word = "z" if self.chain.stages[last].activation is None else "h"
        return [self.node(f"{word}{last}_{j}") for j in range(self.chain.sizes[-1])]

    @property
    def neurons(self) -> list[str]:
        """Nodes of all weighted sums, of the outputs where they are others, and of the decision."""
        sizes = self.chain.sizes[1:]
        sums = [self.node(f"z{k}_{j}") for k, size in enumerate(sizes) for j in range(size)]
        decision = [self.node("class")] if self.chain.decides else []
        return list(dict.fromkeys([*sums, *self.outputs, *decision]))

    def sections(self, stage: Stage) -> Iterator[tuple[int, Pass, Netlist]]:
        """Number, read and records of every read of a stage."""
        for k, (part, netlist) in enumerate(zip(self.chain.passes, self.reads, strict=True)):
            if any(part is item for item in stage.passes):
                yield k, part, netlist


def write_chain(chain: Chain, x: npt.ArrayLike, *, name: str | None = None) -> str:
    """Write a chain of layers and its inputs as one deck that can be run by hand.

    Args:
        chain: the layers on their arrays, in any layout; see `nn.chain.chain_of`.
        x: inputs of the chain, (points, inputs); several points become one sweep.
        name: of the design, before all names; None for one that follows from the arrays.

    Returns:
        The text, the same for equal problems; it prints the weighted sums and the decisions.

    Raises:
        InputError: the inputs do not fit, the name is none, or the lines of a read cannot be driven
            or sensed.
        FloatingNodeError: a line has no path to any source.
    """
    net = build_chain(chain, x, name=name)
    lines = [
        *chain_circuit(net),
        chain_options(net, klu=True),
        *dialect.save_cards([f"v({node})" for node in net.neurons]),
        "* By hand: ngspice -b <this file>. optran keeps a failure from being papered over.",
        *dialect.control(net.points),
        ".end",
    ]
    return "\n".join(lines) + "\n"


def build_chain(chain: Chain, x: npt.ArrayLike, *, name: str | None = None) -> ChainNetlist:
    """Turn a chain and its inputs, (points, inputs), into records.

    Raises:
        InputError, FloatingNodeError: as `write_chain`.
    """
    inputs = chain.points(x)
    if name is None:
        name = name_of([part.crossbar for part in chain.passes])
    refuse_name(name)
    reads = []
    for k, part in enumerate(chain.passes):
        rows, cols = part.crossbar.rows, part.crossbar.cols
        netlist = build(part.crossbar, np.zeros(rows), np.zeros(cols))
        _check_lines(part, netlist)
        reads.append(_add_prefix(netlist, f"{name}_p{k}_"))
    return ChainNetlist(name=name, chain=chain, x=inputs, reads=tuple(reads))


def replace_drive(netlist: Netlist, V_in: Array, V_out: Array) -> Netlist:
    """The same records with another drive, V, (vectors, rows) and (vectors, cols)."""
    word, bit = netlist.word_drives, netlist.bit_drives
    return replace(
        netlist,
        V_in=V_in,
        V_out=V_out,
        word_drives=replace(word, volts=V_in[:, word.lines]),
        bit_drives=replace(bit, volts=V_out[:, bit.lines]),
    )


def chain_circuit(net: ChainNetlist) -> list[str]:
    """Header, index of the sweep and `chain_design`, without options and control section."""
    sweep = [] if net.points == 1 else list(dialect.SWEEP)
    return [*_header(net), *sweep, *chain_design(net), ""]


def chain_design(net: ChainNetlist) -> list[str]:
    """Elements of the whole chain: what stands once for each design in a test bench."""
    lines = [*_models(net), "", *_inputs(net)]
    for k, stage in enumerate(net.chain.stages):
        for number, part, netlist in net.sections(stage):
            lines += ["", *_section(net, k, number, part, netlist)]
        lines += ["", *_sums(net, k), *_activations(net, k)]
    return [*lines, *(_decision(net) if net.chain.decides else [])]


def chain_options(net: ChainNetlist, *, klu: bool) -> str:
    """The `.options` card: `ngspice.tolerances`, whose noise a neuron shows times its 1/gain.

    Over 108 small networks the worst sum or current was 6e-12 of the largest away from runs layer
    by layer. An abstol of 1e-18 did not converge for some of them.
    """
    slope = max(steepest(part.crossbar) for part in net.chain.passes)
    gain = max(noise_gain(part.crossbar) for part in net.chain.passes)
    volts = max(stage.V_read for stage in net.chain.stages)
    transimpedance = max(float(stage.scale.max()) for stage in net.chain.stages)
    words = dialect.tolerances(slope, volts, noise_gain=gain, transimpedance=transimpedance)
    return f".options {words} pivrel={PIVREL}{' klu' if klu else ''}"


def _check_lines(part: Pass, netlist: Netlist) -> None:
    read = part.read
    drives_of_outputs = netlist.word_drives if read.reverse else netlist.bit_drives
    undriven = set(read.lines_in.ravel().tolist()) - set(_drives(part, netlist).lines)
    senses = set(_senses(part, netlist).lines) - set(drives_of_outputs.lines)
    unsensed = set(read.lines_out.ravel().tolist()) - senses
    for what, lines in (("replace_drive", undriven), ("sensed, and not driven,", unsensed)):
        if lines:
            raise broken_rule(
                f"the {'input' if lines is undriven else 'output'} lines of a read must be {what}",
                f"line {min(lines)} of {part.name}",
                "Correct `ends` of its crossbar.",
            )


def _drives(part: Pass, netlist: Netlist) -> Sources:
    return netlist.bit_drives if part.read.reverse else netlist.word_drives


def _senses(part: Pass, netlist: Netlist) -> Sources:
    return netlist.word_senses if part.read.reverse else netlist.bit_senses


def _add_prefix(netlist: Netlist, prefix: str) -> Netlist:
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


def _header(net: ChainNetlist) -> list[str]:
    from xbarspice import __version__

    sizes = "-".join(map(str, net.chain.sizes))
    lines = [
        f"* xbarspice network {sizes}, {len(net.reads)} array reads, design {net.name}",
        f"* version: {__version__}",
        f"* points: {net.points}",
    ]
    for k, (part, netlist) in enumerate(zip(net.chain.passes, net.reads, strict=True)):
        xb = netlist.crossbar
        lines.append(
            f"* p{k}: {part.name}, {xb.rows} x {xb.cols}, {xb.device.name}, config {netlist.config}"
        )
    return lines


def _model(net: ChainNetlist, netlist: Netlist) -> str:
    """Name of a device subcircuit in this design."""
    return net.node(dialect.model_name(netlist))


def _models(net: ChainNetlist) -> list[str]:
    """Each device model once."""
    models: dict[str, list[str]] = {}
    for netlist in net.reads:
        if isinstance(netlist.crossbar.device, Ohmic):
            continue
        model = _model(net, netlist)
        text = dialect.subcircuit(netlist, model)
        if models.setdefault(model, text) != text:
            raise broken_rule(
                "arrays of one network must share the parameters of their device model",
                f"two versions of {netlist.crossbar.device.name}",
                "Register one of them under another name.",
            )
    return [line for text in models.values() for line in ("", *text)]


def _inputs(net: ChainNetlist) -> list[str]:
    first, one = net.chain.stages[0], net.node("one")
    volts = net.x * (first.V_read / first.x_scale)
    lines = [f"* design {net.name}: inputs in volts, and a reference of 1 V", f"V{one} {one} 0 1"]
    for i, column in enumerate(volts.T):
        node = net.node(f"x_{i}")
        if net.points == 1:
            lines.append(f"V{node} {node} 0 {decimal(column[0])}")
        else:
            lines += [f"B{node} {node} 0 v=pwl(v({dialect.INDEX})"]
            lines += dialect.plateaus(column.tolist())
    return lines


def _section(net: ChainNetlist, k: int, number: int, part: Pass, netlist: Netlist) -> Iterator[str]:
    """One read: drivers, sense sources, elements."""
    yield f"* p{number}: {part.name}; drivers"
    signals, one = _signals(net, k, part), net.node("one")
    for sources in (netlist.word_drives, netlist.bit_drives):
        carries = sources is _drives(part, netlist)
        for name, node, line in zip(sources.names, sources.nodes, sources.lines, strict=True):
            source, gain = signals.get(line, (one, 0.0)) if carries else (one, 0.0)
            yield f"{name} {node} 0 {source} 0 {decimal(gain)}"
    yield "* virtual grounds"
    for sources in (netlist.word_senses, netlist.bit_senses):
        for name, node in zip(sources.names, sources.nodes, strict=True):
            yield f"{name} {node} 0 0"
    yield from dialect.elements(netlist, _model(net, netlist))


def _signals(net: ChainNetlist, k: int, part: Pass) -> dict[int, tuple[str, float]]:
    """What each input line of a read follows, and how much of it: line -> (node, gain)."""
    stage, signals = net.chain.stages[k], {}
    for number, lines in zip(range(*part.lines), part.read.lines_in.tolist(), strict=True):
        if number == stage.inputs:
            source, gain = net.node("one"), stage.V_bias or 0.0
        elif k == 0:
            source, gain = net.node(f"x_{number}"), 1.0
        else:
            before = net.chain.stages[k - 1].activation
            word = "z" if before is None else "h"
            source, gain = net.node(f"{word}{k - 1}_{number}"), stage.V_read / stage.x_scale
        for line, sign in zip(lines, (1.0, -1.0), strict=False):
            signals[line] = (source, float(sign * gain))
    return signals


def _sums(net: ChainNetlist, k: int) -> Iterator[str]:
    """Transimpedance amplifiers and differences: v(z) is the weighted sum."""
    stage = net.chain.stages[k]
    yield f"* neurons of stage {k}, {stage.name}"
    scales = zip(stage.scale.tolist(), stage.digital.tolist(), strict=True)
    for j, (scale, bias) in enumerate(scales):
        node = net.node(f"z{k}_{j}")
        yield f"R{node} {node} 0 {decimal(scale)}"
        if bias:
            yield f"I{node} 0 {node} {decimal(bias / scale)}"
    for number, part, netlist in net.sections(stage):
        senses = _senses(part, netlist)
        names = dict(zip(senses.lines, senses.names, strict=True))
        outputs = zip(part.outputs.tolist(), part.weights.tolist(), strict=True)
        for (j, weight), lines in zip(outputs, part.read.lines_out.tolist(), strict=True):
            for line, sign in zip(lines, (1.0, -1.0), strict=False):
                element, node = net.node(f"p{number}_{line}"), net.node(f"z{k}_{j}")
                yield f"F{element} 0 {node} {names[line]} {decimal(sign * weight)}"


def _activations(net: ChainNetlist, k: int) -> Iterator[str]:
    stage = net.chain.stages[k]
    if stage.activation is None:
        return
    for j in range(stage.outputs):
        h, z = net.node(f"h{k}_{j}"), net.node(f"z{k}_{j}")
        yield f"B{h} {h} 0 v={stage.activation.expression(f'v({z})')}"


def _decision(net: ChainNetlist) -> Iterator[str]:
    """The class as a voltage: comparators from the first output to the last; a tie goes first."""
    outputs, decision = net.outputs, net.node("class")
    yield "* decision"
    if len(outputs) == 1:
        yield f"B{decision} {decision} 0 v=v({outputs[0]}) > 0 ? 1 : 0"
        return
    best, index = outputs[0], "0"
    for j, output in enumerate(outputs[1:], start=1):
        node = decision if j == len(outputs) - 1 else net.node(f"class_{j}")
        larger = net.node(f"best_{j}")
        yield f"B{larger} {larger} 0 v=max(v({best}),v({output}))"
        yield f"B{node} {node} 0 v=v({output}) > v({best}) ? {j} : {index}"
        best, index = larger, f"v({node})"
