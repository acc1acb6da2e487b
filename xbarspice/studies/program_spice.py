"""The pulses of a programming run as one ngspice transient of the whole array."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar
from xbarspice.devices import DynamicDevice
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.errors import broken_rule
from xbarspice.studies.program_array import bias

__all__ = ["replay_ngspice", "transient_deck"]

Array = npt.NDArray[np.float64]

GAP = 20e-9
"""Rest between pulses, s; nothing moves at 0 V."""
EDGE_SHARE = 1e-4
"""Rise and fall time as a share of the width (at half height); the Python form has none."""
OPTIONS = ".options reltol=1e-5 abstol=1e-14 vntol=1e-8 gmin=1e-18 method=gear"


def _waveforms(
    sequence: Array, shape: tuple[int, int], width: float, scheme: str
) -> tuple[list[str], list[str], float]:
    """PWL sources of the word and bit lines, and the period of the pulses in s."""
    rows, cols = shape
    edge = EDGE_SHARE * width
    period = GAP + width + edge
    points: list[list[str]] = [["0 0"] for _ in range(rows + cols)]
    for k, (row, col, V) in enumerate(sequence):
        b = bias(scheme, int(row), int(col), rows, cols)
        corners = k * period + np.array([GAP, GAP + edge, GAP + width, period])
        for line, share in zip(points, np.concatenate([b.V_in, b.V_out]), strict=True):
            v = float(V * share)
            if v != 0.0:
                volts = (0.0, v, v, 0.0)
                line += [f"{t!r} {u!r}" for t, u in zip(corners.tolist(), volts, strict=True)]
    ends = f"{len(sequence) * period + GAP!r} 0"
    made = [f"pwl({' '.join([*line, ends])})" for line in points]
    return made[:rows], made[rows:], period


def _line(name: str, nodes: list[str], R: float) -> list[str]:
    """Wire segments from node to node; none where R is 0, since the nodes are one."""
    pairs = enumerate(pairwise(nodes)) if R > 0 else ()
    return [f"R{name}_{k} {a} {b} {R!r}" for k, (a, b) in pairs]


def transient_deck(
    crossbar: Crossbar, sequence: npt.ArrayLike, *, width: float, scheme: str = "V/2"
) -> list[str]:
    """Lines of the circuit: PWL sources, wires, one dynamic subcircuit a device.

    Args:
        crossbar: wires, a dynamic device and the start conductances.
        sequence: rows of (row, col, V).
        width: length of every pulse, s.
        scheme: "V/2" or "V/3".

    Raises:
        InputError: the device has no differential equation, or the scheme leaves lines floating.
    """
    device = crossbar.device
    if scheme == "floating" or not isinstance(device, DynamicDevice):
        raise broken_rule(
            "a transient needs a dynamic device and driven lines",
            f"{device.name}, {scheme}",
            'Use "V/2" or "V/3".',
        )
    subcircuit = device.spice_dynamic()
    pulses = np.asarray(sequence, dtype=np.float64).reshape(-1, 3)
    rows, cols = crossbar.G.shape
    wl, bl, _ = _waveforms(pulses, (rows, cols), width, scheme)
    lines = ["* xbarspice: programming pulses on a passive array", OPTIONS]

    def word(i: int, j: int) -> str:
        return f"w{i}_{j if crossbar.R_wl > 0 else 0}"

    def bit(i: int, j: int) -> str:
        return f"b{i if crossbar.R_bl > 0 else rows - 1}_{j}"

    for kind, waves, near in (
        ("w", wl, lambda i: word(i, 0)), ("b", bl, lambda j: bit(rows - 1, j)),
    ):  # fmt: skip
        for k, wave in enumerate(waves):
            node = f"d{kind}{k}" if crossbar.R_driver > 0 else near(k)
            lines.append(f"V{kind}{k} {node} 0 {wave}")
            if crossbar.R_driver > 0:
                lines.append(f"Rd{kind}{k} {node} {near(k)} {crossbar.R_driver!r}")
    for i in range(rows):
        lines += _line(f"w{i}", [word(i, j) for j in range(cols)], crossbar.R_wl)
    for j in range(cols):
        lines += _line(f"b{j}", [bit(i, j) for i in range(rows)], crossbar.R_bl)
    x = np.asarray(device.state(crossbar.G))
    for i, j in np.argwhere(crossbar.G > 0):
        start = float(x[i, j])
        lines.append(f"X{i}_{j} {word(i, j)} {bit(i, j)} xb_{device.name}_dyn x0={start!r}")
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
    pulses = np.asarray(sequence, dtype=np.float64).reshape(-1, 3)
    deck = transient_deck(crossbar, pulses, width=width, scheme=scheme)
    device = cast(DynamicDevice, crossbar.device)
    period = _waveforms(pulses, crossbar.G.shape, width, scheme)[2]
    cells = np.argwhere(crossbar.G > 0)
    nodes = [f"v(x{i}_{j}.x)" for i, j in cells]
    total = len(pulses) * period
    analysis = f"tran {period!r} {total!r} 0 {width / 100!r} uic\nlinearize"
    saves = [f".save {' '.join(nodes[k : k + 20])}" for k in range(0, len(nodes), 20)]
    done = run_deck(
        [ngspice_info().path, "-n", "-b"], [*deck, *saves, *control_section(analysis)],
        points=len(pulses) + 1, klu=False, timeout=timeout,
    )  # fmt: skip
    x = done.raw.take(nodes) * device.spice_unit
    G = np.zeros((len(pulses) + 1, *crossbar.G.shape))
    G[:, cells[:, 0], cells[:, 1]] = device.conductance(x)
    return G
