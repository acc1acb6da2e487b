"""The pulses of a programming run as one ngspice transient of the whole array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.devices import DynamicDevice, forms
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.programming.array_state import SCHEMES, WRITE, array_with_ends, bias, pulses_of

__all__ = ["replay_ngspice", "transient_deck"]


GAP = 20e-9
"""Rest between pulses, s; nothing moves at 0 V."""
EDGE_SHARE = 1e-4
"""Rise and fall time as a share of the width (at half height); the Python form has none."""
OPTIONS = ".options reltol=1e-5 abstol=1e-14 vntol=1e-8 gmin=1e-18 method=gear"


SWITCH = ".model xb_switch sw(ron=1e-3 roff=1e12 vt=0.5 vh=0)"
"""Drivers that let go of a floating line: a milliohm on, 1 Tohm off. Against devices of 1 kohm to
1 Mohm that is an error of 1e-6 of the device voltages and less."""


@dataclass(frozen=True)
class _Waves:
    """PWL of the source of each word and bit line, of its switch (empty: none), and the period."""

    sources: list[str]
    switches: list[str]
    period: float


def _waveforms(sequence: Array, shape: tuple[int, int], width: float, scheme: str) -> _Waves:
    """Sources and, where lines float, their switches: off from before a pulse until after it."""
    rows, cols = shape
    edge = EDGE_SHARE * width
    period = GAP + width + edge
    points: list[list[str]] = [["0 0"] for _ in range(rows + cols)]
    holds: list[list[str]] = [["0 1"] for _ in range(rows + cols)]
    for k, (row, col, V) in enumerate(sequence):
        b = bias(scheme, int(row), int(col), rows, cols)
        corners = k * period + np.array([GAP, GAP + edge, GAP + width, period])
        for line, share in zip(points, np.concatenate([b.V_in, b.V_out]), strict=True):
            v = float(V * share)
            if v != 0.0:
                volts = (0.0, v, v, 0.0)
                line += [
                    f"{t} {u}" for t, u in zip(decimals(corners), decimals(volts), strict=True)
                ]
        away = k * period + np.array([0.5, 0.5, 1.2, 1.2]) * GAP + [0.0, edge, width, width + edge]
        for number, line in enumerate(holds):
            if scheme == "floating" and number not in (row, rows + col):
                line += [f"{t} {u}" for t, u in zip(decimals(away), (1, 0, 0, 1), strict=True)]
    end = decimal(len(sequence) * period + GAP)
    return _Waves(
        [f"pwl({' '.join([*line, f'{end} 0'])})" for line in points],
        [f"pwl({' '.join([*line, f'{end} 1'])})" for line in holds if scheme == "floating"],
        period,
    )


def _drivers(crossbar: Crossbar, waves: _Waves, near: Callable[[str, int], str]) -> list[str]:
    """Source, driver resistance and switch of every line, up to its first node."""
    rows = crossbar.rows
    at_wl, at_bl = array_with_ends(crossbar, WRITE).end_resistances
    at_ends = [*at_wl[:, 0].tolist(), *at_bl[:, 1].tolist()]
    lines = [SWITCH] if waves.switches else []
    for number, wave in enumerate(waves.sources):
        kind, k = ("w", number) if number < rows else ("b", number - rows)
        node = target = near(kind, k)
        if waves.switches:
            node = f"s{kind}{k}"
            lines += [
                f"Vc{kind}{k} c{kind}{k} 0 {waves.switches[number]}",
                f"S{kind}{k} {node} {target} c{kind}{k} 0 xb_switch on",
            ]
        if at_ends[number] > 0:
            lines.append(f"Rd{kind}{k} d{kind}{k} {node} {decimal(at_ends[number])}")
            node = f"d{kind}{k}"
        lines.append(f"V{kind}{k} {node} 0 {wave}")
    return lines


def _line(name: str, nodes: list[str], segments: Array) -> list[str]:
    """Wire segments from node to node, ohm; none where they are 0, since the nodes are one."""
    wires = enumerate(zip(pairwise(nodes), segments.tolist(), strict=True))
    return [f"R{name}_{k} {a} {b} {decimal(R)}" for k, ((a, b), R) in wires if R > 0]


def _joined(segments: Array, axis: int) -> Indices:
    """Cell after which the node of every cell is named: the nearest one to the line's driver.

    Args:
        segments: ohm, (rows, cols - 1) along the word lines, or (rows - 1, cols).
        axis: 1 for word lines, whose first cell is next to the driver, 0 for bit lines.
    """
    along = segments if axis == 1 else segments[::-1].T
    first = np.pad(np.where(along > 0, np.arange(1, along.shape[1] + 1), 0), ((0, 0), (1, 0)))
    near = np.maximum.accumulate(first, axis=1)
    return near if axis == 1 else along.shape[1] - near.T[::-1]


def transient_deck(
    crossbar: Crossbar, sequence: npt.ArrayLike, *, width: float, scheme: str = "V/2"
) -> list[str]:
    """Lines of the circuit: PWL sources, wires, one dynamic subcircuit a device.

    Args:
        crossbar: wires, a dynamic device and the start conductances.
        sequence: rows of (row, col, V).
        width: length of every pulse, s.
        scheme: "V/2", "V/3" or "floating"; see `SWITCH` for what floating means here.

    Raises:
        InputError: the device has no differential equation, or there is no such scheme.
    """
    device = crossbar.device
    if not isinstance(device, DynamicDevice) or scheme not in SCHEMES:
        raise broken_rule(
            f"a transient needs a dynamic device and a scheme of {SCHEMES}",
            f"{device.name}, {scheme}",
            "Choose both; `xb.devices.names()` lists the models.",
        )
    subcircuit = forms.spice_dynamic(device)
    pulses = pulses_of(sequence)
    rows, cols = crossbar.G.shape
    waves = _waveforms(pulses, (rows, cols), width, scheme)
    lines = ["* xbarspice: programming pulses on a passive array", OPTIONS]
    if device.spice_options:  # of two cards the later one holds
        lines.append(f".options {device.spice_options}")

    wl, bl = crossbar.segment_resistances
    wl_node, bl_node = _joined(wl, 1), _joined(bl, 0)

    def word(i: int, j: int) -> str:
        return f"w{i}_{wl_node[i, j]}"

    def bit(i: int, j: int) -> str:
        return f"b{bl_node[i, j]}_{j}"

    def near(kind: str, k: int) -> str:
        return word(k, 0) if kind == "w" else bit(rows - 1, k)

    lines += _drivers(crossbar, waves, near)
    for i in range(rows):
        lines += _line(f"w{i}", [word(i, j) for j in range(cols)], wl[i])
    for j in range(cols):
        lines += _line(f"b{j}", [bit(i, j) for i in range(rows)], bl[:, j])
    x = np.asarray(device.state(crossbar.G))
    for i, j in np.argwhere(crossbar.G > 0):
        start = f"{forms.START}={decimal(x[i, j])}"
        lines.append(f"X{i}_{j} {word(i, j)} {bit(i, j)} xb_{device.name}_dyn {start}")
    return [*lines, *subcircuit.splitlines()]


def replay_ngspice(
    crossbar: Crossbar,
    sequence: npt.ArrayLike,
    *,
    width: float,
    scheme: str = "V/2",
    timeout: float = 600.0,
) -> Array:
    """Conductances in S after each pulse, by ngspice; compare with `program.replay`.

    Args:
        crossbar, sequence, width, scheme: as for `transient_deck`.
        timeout: wall-clock limit, s.

    Returns:
        Shape (pulses + 1, rows, cols); 0 where there is no device.

    Raises:
        EngineError: ngspice is missing or gave no trustworthy answer.
    """
    pulses = pulses_of(sequence)
    deck = transient_deck(crossbar, pulses, width=width, scheme=scheme)
    device = cast(DynamicDevice, crossbar.device)
    period = _waveforms(pulses, crossbar.G.shape, width, scheme).period
    cells = np.argwhere(crossbar.G > 0)
    nodes = [f"v(x{i}_{j}.x)" for i, j in cells]
    total = len(pulses) * period
    analysis = f"tran {decimal(period)} {decimal(total)} 0 {decimal(width / 100)} uic\nlinearize"
    saves = [f".save {' '.join(nodes[k : k + 20])}" for k in range(0, len(nodes), 20)]
    run = run_deck(
        [ngspice_info().path, "-n", "-b"],
        [*deck, *saves, *control_section(analysis)],
        points=len(pulses) + 1,
        klu=False,
        timeout=timeout,
    )
    x = run.raw.take(nodes) * device.spice_unit
    x = x.clip(*device.state_range)  # the soft limits of the subcircuit are passed by a step
    G = np.zeros((len(pulses) + 1, *crossbar.G.shape))
    G[:, cells[:, 0], cells[:, 1]] = device.conductance(x)
    return G
