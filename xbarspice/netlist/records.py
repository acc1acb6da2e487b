"""The crossbar as plain element records: names, nodes and numbers, before any text is written.

A node is named after its cell, `w_<row>_<col>` on a word line and `b_<row>_<col>` on a bit line.
Nodes joined by a resistance of exactly 0 are one node: a line of ideal wire is `w_<row>` or
`b_<col>`, and a line end without resistance is the node of its source. Sources: `in_<row>` and
`out_<col>` are driven, `ws_<row>` and `bs_<col>` are sense nodes at 0 V. Absent devices have no
record. The order is fixed, so equal problems give equal records.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Indices
from xbarspice.core.wires import EACH, Resistance, smallest_of
from xbarspice.devices.numbers import decimal

__all__ = [
    "Devices",
    "Netlist",
    "Resistors",
    "Sources",
    "build",
    "config_hash",
    "describe_device",
    "g_hash",
    "matrix_hash",
    "noise_gain",
    "place",
    "steepest",
    "wire_text",
]


SIDES = ("wl_left", "wl_right", "bl_top", "bl_bottom")


@dataclass(frozen=True, kw_only=True)
class Resistors:
    """Wire segments and line ends, column by column: names, two nodes, resistance in ohm."""

    names: list[str]
    a: list[str]
    b: list[str]
    ohm: list[float]


@dataclass(frozen=True, kw_only=True)
class Devices:
    """Present devices from word line `a` to bit line `b`, row by row; G in S, all of length D."""

    names: list[str]
    a: list[str]
    b: list[str]
    row: Indices
    col: Indices
    G: Array


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Voltage sources to ground: names, positive nodes, line numbers, volts (vectors, sources)."""

    names: list[str]
    nodes: list[str]
    lines: list[int]
    volts: Array


@dataclass(frozen=True, kw_only=True)
class Netlist:
    """All records of one array and its K drive vectors.

    Attributes:
        crossbar: the single array that the records describe.
        V_in, V_out: the drive, V, (K, rows) and (K, cols).
        wl, bl: node name of every cell, (rows, cols).
        wires, ends: wire segments; resistances between line ends and their sources.
        devices: the devices that are present.
        word_drives, bit_drives: sources of the driven lines.
        word_senses, bit_senses: sources of 0 V at the sense nodes; their current is the reading.
        config: sha256 of G, wires, ends and device, in hexadecimal.
    """

    crossbar: Crossbar
    V_in: Array
    V_out: Array
    wl: npt.NDArray[np.object_]
    bl: npt.NDArray[np.object_]
    wires: Resistors
    ends: Resistors
    devices: Devices
    word_drives: Sources
    bit_drives: Sources
    word_senses: Sources
    bit_senses: Sources
    config: str

    @property
    def vectors(self) -> int:
        """Number of drive vectors."""
        return len(self.V_in)

    @property
    def nodes(self) -> list[str]:
        """Names of all nodes of the cells, each once, word lines first."""
        return list(dict.fromkeys([*self.wl.ravel().tolist(), *self.bl.ravel().tolist()]))


def config_hash(crossbar: Crossbar) -> str:
    """Sha256 (hexadecimal) of everything that defines the array: G, wires, ends, device."""
    head = {
        "shape": crossbar.G.shape,
        "R": _hashed_wires(crossbar),
        "wl_ends": crossbar.wl_ends.ravel().tolist(),
        "bl_ends": crossbar.bl_ends.ravel().tolist(),
        "device": describe_device(crossbar),
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(crossbar.G, dtype="<f8").tobytes())
    return digest.hexdigest()


def wire_text(name: str, R: Resistance) -> str:
    """A resistance as headers have it: exact, or the word of `EACH`."""
    return EACH[name] if isinstance(R, np.ndarray) else decimal(R)


def _hashed_wires(crossbar: Crossbar) -> list[str]:
    """The four resistances as `config_hash` takes them: numbers, or hashes of arrays.

    Of arrays of line ends it takes what ends of that role have.
    """
    out: list[str] = []
    kinds = (crossbar.wl_ends, crossbar.bl_ends)
    for name, R in crossbar.wires.items():
        if not isinstance(R, np.ndarray):
            out.append(repr(R))
        elif name in ("R_wl", "R_bl"):
            out.append(matrix_hash(R))
        else:
            end = End.DRIVEN if name == "R_driver" else End.SENSED
            at_ends = zip(kinds, crossbar.end_resistances, strict=True)
            out.append(" ".join(matrix_hash(np.where(k == end, at, 0.0)) for k, at in at_ends))
    return out


def g_hash(crossbar: Crossbar) -> str:
    """`matrix_hash` of an array's `G`."""
    return matrix_hash(crossbar.G)


def matrix_hash(G: Array) -> str:
    """Sha256 (hexadecimal) of a matrix alone: shape and little-endian float64 values."""
    digest = hashlib.sha256(json.dumps(G.shape).encode())
    digest.update(np.ascontiguousarray(G, dtype="<f8").tobytes())
    return digest.hexdigest()


def describe_device(crossbar: Crossbar) -> str:
    """Name and parameters of the device model, for example ``sinh_tio2 b=2.7 V_read=0.2``."""
    device = crossbar.device
    fields = dataclasses.fields(device) if dataclasses.is_dataclass(device) else ()
    return " ".join([device.name, *(f"{f.name}={_shown(getattr(device, f.name))}" for f in fields)])


def _shown(value: object) -> str:
    """A field of a device: a number as in netlists, anything else as Python writes it."""
    return repr(value) if isinstance(value, (str, bool)) else decimal(value)


def steepest(crossbar: Crossbar) -> float:
    """Largest conductance of an array, wires and line ends included, S."""
    ohms = (smallest_of(R) for R in crossbar.wires.values())
    return max(*(1 / R for R in ohms), float(crossbar.G.max()))


def noise_gain(crossbar: Crossbar) -> float:
    """How much more a node of a line may move than by its own rounding: conductance times R.

    The rounding of the current in a wire segment leaves the line through its ends, or through its
    devices and the crossing lines; the node moves by that current times their resistance. Larger of
    both kinds of lines; their own wires are left out.
    """
    ends = [R.reshape(-1, *R.shape[-2:])[0] for R in crossbar.end_resistances]
    G = crossbar.G_flat[0]
    with np.errstate(divide="ignore"):
        at_ends = [(1 / R).sum(axis=-1) for R in ends]
        devices = [G.sum(axis=1), G.sum(axis=0)]
        beyond = [(1 / (at_ends[k] + devices[k])).max() for k in (1, 0)]
        lines = zip(at_ends, devices, beyond, strict=True)
        ohm = [(1 / (end + 1 / (1 / device + far))).max() for end, device, far in lines]
    wires = (smallest_of(crossbar.R_wl), smallest_of(crossbar.R_bl))
    return float(max(R / wire for R, wire in zip(ohm, wires, strict=True)))


def build(crossbar: Crossbar, V_in: npt.ArrayLike, V_out: npt.ArrayLike | None = None) -> Netlist:
    """Turn one array and its drive into element records.

    Args:
        crossbar: a single array (no batch axes, or batch axes of length 1).
        V_in: word-line voltages, V, (..., rows); leading axes are flattened into K vectors.
        V_out: bit-line voltages, V, (..., cols); None for 0 V.

    Raises:
        InputError: the crossbar is a batch of several arrays, or the drive does not fit it.
        FloatingNodeError: a line has no path to any source.
    """
    if len(crossbar.G_flat) != 1:
        raise broken_rule(
            "a netlist describes one array",
            f"a batch of shape {crossbar.batch}",
            "Write each array by itself, for example crossbar.array(0).",
        )
    single = crossbar.array(0)
    single.refuse_floating()
    drive = crossbar.drive(V_in, V_out)
    if not len(drive.V_in):
        raise broken_rule("a netlist needs a drive vector", "an empty batch", "Pass at least one.")
    wl = _nodes("w", single.wl_ends, single, "in", "ws")
    bl = _nodes("b", single.bl_ends, single, "out", "bs").T
    driven, sensed = (
        [np.flatnonzero((e == kind).any(axis=1)) for e in (single.wl_ends, single.bl_ends)]
        for kind in (End.DRIVEN, End.SENSED)
    )
    return Netlist(
        crossbar=single,
        V_in=drive.V_in,
        V_out=drive.V_out,
        wl=wl,
        bl=bl,
        wires=_wires(single, wl, bl),
        ends=_end_resistors(single, wl, bl),
        devices=_devices(single, wl, bl),
        word_drives=_sources("in", driven[0], drive.V_in),
        bit_drives=_sources("out", driven[1], drive.V_out),
        word_senses=_sources("ws", sensed[0], np.zeros_like(drive.V_in)),
        bit_senses=_sources("bs", sensed[1], np.zeros_like(drive.V_out)),
        config=config_hash(single),
    )


def _nodes(
    kind: str, ends: npt.NDArray[np.object_], crossbar: Crossbar, driver: str, sense: str
) -> npt.NDArray[np.object_]:
    """Node names (lines, cells), merged where segments or ends have no resistance."""
    word = kind == "w"
    R = crossbar.R_wl if word else crossbar.R_bl
    segments = crossbar.segment_resistances[0] if word else crossbar.segment_resistances[1].T
    at_end = crossbar.end_resistances[0 if word else 1]
    lines, cells = len(ends), segments.shape[1] + 1
    out = np.empty((lines, cells), dtype=object)
    for line in range(lines):
        first = np.flatnonzero(np.append(True, segments[line] > 0))
        if len(first) == 1 and (cells > 1 or smallest_of(R) == np.inf):
            out[line] = f"{kind}_{line}"
        else:
            names = [f"w_{line}_{c}" if word else f"b_{c}_{line}" for c in first]
            out[line] = np.repeat(np.array(names, object), np.diff(first, append=cells))
        for k, end in enumerate(ends[line]):
            if at_end[line, k] == 0:
                merged = out[line] == out[line, -k]
                out[line, merged] = f"{driver if end == End.DRIVEN else sense}_{line}"
    return out


def _wires(
    crossbar: Crossbar, wl: npt.NDArray[np.object_], bl: npt.NDArray[np.object_]
) -> Resistors:
    names: list[str] = []
    a: list[str] = []
    b: list[str] = []
    ohm: list[float] = []
    sides = (("Rw", wl[:, :-1], wl[:, 1:]), ("Rb", bl[:-1], bl[1:]))
    for (kind, first, second), R in zip(sides, crossbar.segment_resistances, strict=True):
        row, col = np.nonzero(R > 0)
        cells = zip(row.tolist(), col.tolist(), strict=True)
        names += [f"{kind}_{r}_{c}" for r, c in cells]
        a += first[row, col].tolist()
        b += second[row, col].tolist()
        ohm += R[row, col].tolist()
    return Resistors(names=names, a=a, b=b, ohm=ohm)


def _end_resistors(
    crossbar: Crossbar, wl: npt.NDArray[np.object_], bl: npt.NDArray[np.object_]
) -> Resistors:
    records: list[tuple[str, str, str, float]] = []
    at_wl, at_bl = crossbar.end_resistances
    sides = (
        ("Rwl", crossbar.wl_ends[:, 0], at_wl[:, 0], wl[:, 0], "in", "ws"),
        ("Rwr", crossbar.wl_ends[:, 1], at_wl[:, 1], wl[:, -1], "in", "ws"),
        ("Rbt", crossbar.bl_ends[:, 0], at_bl[:, 0], bl[0], "out", "bs"),
        ("Rbb", crossbar.bl_ends[:, 1], at_bl[:, 1], bl[-1], "out", "bs"),
    )
    for name, ends, at_end, nodes, driver, sense in sides:
        for line, (end, R) in enumerate(zip(ends, at_end.tolist(), strict=True)):
            if 0 < R < np.inf:
                source = driver if end == End.DRIVEN else sense
                records.append((f"{name}_{line}", f"{source}_{line}", nodes[line], R))
    names, a, b, ohm = ([r[k] for r in records] for k in range(4))
    return Resistors(names=names, a=a, b=b, ohm=ohm)  # type: ignore[arg-type]


def _devices(
    crossbar: Crossbar, wl: npt.NDArray[np.object_], bl: npt.NDArray[np.object_]
) -> Devices:
    row, col = np.nonzero(crossbar.G > 0)
    cells = zip(row.tolist(), col.tolist(), strict=True)
    return Devices(
        names=[f"d_{r}_{c}" for r, c in cells],
        a=wl[row, col].tolist(),
        b=bl[row, col].tolist(),
        row=row,
        col=col,
        G=crossbar.G[row, col],
    )


def _sources(prefix: str, lines: Indices, volts: Array) -> Sources:
    names = [f"{prefix}_{line}" for line in lines.tolist()]
    return Sources(
        names=[f"V{name}" for name in names],
        nodes=names,
        lines=lines.tolist(),
        volts=volts[:, lines],
    )


_PLACES = (
    (r"[rx]?d_(\d+)_(\d+)", "device at row {0}, column {1}"),
    (r"cx_(\d+)_(\d+)", "capacitance of the crossing at row {0}, column {1}"),
    (r"rw_(\d+)_(\d+)", "word line {0}, wire segment after column {1}"),
    (r"rb_(\d+)_(\d+)", "bit line {1}, wire segment after row {0}"),
    (r"rwl_(\d+)", "left end of word line {0}"),
    (r"rwr_(\d+)", "right end of word line {0}"),
    (r"rbt_(\d+)", "top end of bit line {0}"),
    (r"rbb_(\d+)", "bottom end of bit line {0}"),
    (r"[vb]in_(\d+)", "driver of word line {0}"),
    (r"[vb]out_(\d+)", "driver of bit line {0}"),
    (r"vws_(\d+)", "sense source of word line {0}"),
    (r"vbs_(\d+)", "sense source of bit line {0}"),
)


def place(name: str) -> str:
    """Where in the array an element sits, in words; the name itself if it is none of ours."""
    for pattern, words in _PLACES:
        match = re.fullmatch(pattern, name, re.IGNORECASE)
        if match:
            return words.format(*match.groups())
    return name
