"""A whole network in ngspice: one process from the input voltages to the decision, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.engines.ngspice.checks import check_currents, check_drives, line_currents
from xbarspice.engines.ngspice.plan import longest_sweep, vectors_a_point
from xbarspice.engines.ngspice.probe import NgspiceInfo, ngspice_info
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.engines.ngspice.runner import Run, control_section, run_deck
from xbarspice.mapping.chain import Chain
from xbarspice.netlist.chain import (
    ChainNetlist,
    build_chain,
    chain_circuit,
    chain_options,
    replace_drive,
)

__all__ = ["NetworkAnswer", "solve_network"]


NEURON_TOLERANCE = 1e-10
"""Sums, and the voltages that activations drive, must be those of the neurons' equations within
this share of the largest (measured: 1e-15 for the sums, 6e-13 for the voltages)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkAnswer:
    """A whole network's answers from one sweep.

    Attributes:
        sums: weighted sums of every stage, (points, outputs).
        outputs: of the network: the last sums, behind their activation if they have one.
        predictions: class of each point, as decided in the circuit, (points,); None for a single
            output behind an activation.
        currents: current into the sense nodes of each read, A, (points, sums, 1 or 2).
        residual: largest relative Kirchhoff residual of any read.
        seconds: time spent inside ngspice.
        version: version of ngspice.
        notes: remarks of the runs, such as convergence aids that ngspice used.
    """

    sums: tuple[Array, ...]
    outputs: Array
    predictions: Indices | None
    currents: tuple[Array, ...]
    residual: float
    seconds: float
    version: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """What was read and checked of one run."""

    sums: list[Array]
    outputs: Array
    classes: Indices | None
    currents: list[Array]
    residual: float


def solve_network(
    chain: Chain,
    x: npt.ArrayLike,
    *,
    executable: str | os.PathLike[str] | None = None,
    timeout: float = 600.0,
    keep: bool = False,
    directory: str | os.PathLike[str] | None = None,
) -> NetworkAnswer:
    """Solve a network with its neurons in ngspice: one netlist, one process, one sweep.

    Long batches become several sweeps. Besides everything that `run_deck` refuses, a run must give,
    at every point, the line voltages and sums that the equations of the neurons ask for, currents
    that obey Kirchhoff's law at every node of every read, and a decision that its outputs support.
    No point is added to those asked for.

    Args:
        chain: the network on its arrays, in any layout; see `nn.chain.chain_of`.
        x: network inputs, (points, inputs).
        executable: name or path of ngspice; None looks for it on PATH.
        timeout: wall-clock limit of each process in seconds.
        keep: keep the run directories; their names are in `notes`.
        directory: where the run directories are made; None for the temporary directory.

    Raises:
        InputError, FloatingNodeError: as `xb.netlist.write_chain`.
        EngineMissingError: ngspice is not installed.
        ConvergenceError: ngspice found no operating point.
        EngineError: anything else that makes an answer untrustworthy.
    """
    if not timeout > 0:
        raise broken_rule("`timeout` must be > 0 s", timeout, "Give a limit in seconds.")
    net = build_chain(chain, x)
    info = ngspice_info(executable, timeout=min(timeout, 20.0))
    numbers = sum(vectors_a_point(read.crossbar) for read in net.reads)
    pieces = np.array_split(net.x, -(-net.points // longest_sweep(numbers)))
    parts, runs = [], []
    for piece in pieces:
        some = replace(net, x=piece)
        part, run = _run(some, info, timeout, keep, directory)
        parts.append(part)
        runs.append(run)
    return NetworkAnswer(
        sums=tuple(np.concatenate(z) for z in zip(*(p.sums for p in parts), strict=True)),
        outputs=np.concatenate([p.outputs for p in parts]),
        predictions=np.concatenate([p.classes for p in parts if p.classes is not None])
        if chain.decides
        else None,
        currents=tuple(np.concatenate(c) for c in zip(*(p.currents for p in parts), strict=True)),
        residual=float(np.max([p.residual for p in parts])),
        seconds=sum(run.seconds for run in runs),
        version=info.version,
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )


def _run(
    net: ChainNetlist,
    info: NgspiceInfo,
    timeout: float,
    keep: bool,
    directory: str | os.PathLike[str] | None,
) -> tuple[_Part, Run]:
    parts: list[_Part] = []
    lines = [
        *chain_circuit(net),
        chain_options(net, klu=info.klu),
        ".save all",
        *control_section("op" if net.points == 1 else f"dc Vidx 0 {net.points - 1} 1"),
    ]
    run = run_deck(
        [info.path, "-n", "-b"],
        lines,
        points=net.points,
        klu=info.klu,
        timeout=timeout,
        keep=keep,
        parent=directory,
        accept=lambda raw: parts.append(_read_run(net, raw)),
    )
    return parts[0], run


def _read_run(net: ChainNetlist, raw: RawFile) -> _Part:
    """Read one run, stage by stage; raises where a neuron or an array breaks its equations."""
    sums: list[Array] = []
    currents: list[Array] = []
    residuals = [0.0]
    values = net.x
    for k, stage in enumerate(net.chain.stages):
        z = raw.take([f"v({net.node(f'z{k}_{j}')})" for j in range(stage.outputs)])
        volts = stage.voltages(values)
        read_currents = []
        for _, part, netlist in net.sections(stage):
            section = replace_drive(netlist, *part.drive(volts))
            check_drives(section, raw, tolerance=NEURON_TOLERANCE)
            I_in, I_out = line_currents(section, raw)
            residuals.append(check_currents(section, raw, I_in, I_out, keep=None).residual)
            read_currents.append(part.read.currents(I_in, I_out))
        _check_values(
            f"the neurons of stage {k} must add up the currents", z, stage.sums(read_currents)
        )
        currents += read_currents
        sums.append(z)
        values = stage.activate(z)
    outputs = raw.take([f"v({node})" for node in net.outputs])
    _check_values("the outputs must be the activation of the last sums", outputs, values)
    classes = None
    if net.chain.decides:
        classes = _read_classes(net.chain, outputs, raw.take([f"v({net.node('class')})"])[:, 0])
    return _Part(sums, outputs, classes, currents, float(np.max(residuals)))


def _check_values(rule: str, values: Array, expected: Array) -> None:
    error = float(np.max(np.abs(values - expected)))
    if not error <= NEURON_TOLERANCE * float(np.max(np.abs(expected))):
        raise EngineError(f"{rule}; the largest error is {error:.3g}.")


def _read_classes(chain: Chain, outputs: Array, volts: Array) -> Indices:
    """Classes that the circuit decided for; they must be those of its outputs, ties apart."""
    classes = np.rint(volts).astype(np.intp)
    width = outputs.shape[1]
    wrong = ~(np.abs(volts - classes) <= NEURON_TOLERANCE) | (classes < 0)
    wrong |= classes >= max(width, 2)
    if not wrong.any():
        if width == 1:
            lead = np.where(classes == 1, outputs[:, 0], -outputs[:, 0])
        else:
            lead = np.take_along_axis(outputs, classes[:, None], 1)[:, 0] - outputs.max(axis=1)
        wrong = ~(lead >= -NEURON_TOLERANCE * float(np.max(np.abs(outputs))))
    if wrong.any():
        point = int(np.flatnonzero(wrong)[0])
        raise EngineError(
            f"the circuit must decide for its largest output; at point {point} it decided "
            f"{volts[point]:g}, where the outputs say {chain.decide(outputs)[point]}."
        )
    return classes
