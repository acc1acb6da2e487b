"""Reads a netlist back, and proves element by element that it describes a given crossbar."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from xbarspice import devices
from xbarspice.array import Crossbar, LineEnds
from xbarspice.devices import Device, Ohmic
from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.errors import InputError, NetlistError, XbarspiceError
from xbarspice.netlist import ngspice
from xbarspice.netlist.numbers import conductance, number
from xbarspice.netlist.records import SIDES, Netlist, build, place

__all__ = ["ReadBack", "compare", "read"]

_HEADER = ("version", "config", "rows", "cols", "device", "vectors")
_SHOWN = 5
"""Differences that an error names one by one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadBack:
    """What a netlist text says.

    Attributes:
        crossbar: the array, rebuilt from the elements.
        V_in, V_out: the drive vectors, V, (K, rows) and (K, cols).
        version: the xbarspice that wrote the text.
        config: the configuration hash in its header.
        untouched: whether the elements still have that hash (nobody edited a value).
    """

    crossbar: Crossbar
    V_in: npt.NDArray[np.float64]
    V_out: npt.NDArray[np.float64]
    version: str
    config: str
    untouched: bool


@dataclass
class _Parsed:
    """Header fields and elements of a text; element names in lower case -> words of the line."""

    header: dict[str, str] = field(default_factory=dict)
    elements: dict[str, list[str]] = field(default_factory=dict)
    line: dict[str, int] = field(default_factory=dict)
    models: dict[str, list[str]] = field(default_factory=dict)


def read(text: str, *, device: Device | None = None) -> ReadBack:
    """Rebuild the crossbar and its drive from a netlist in the ngspice dialect.

    Values come from the elements; the header supplies what elements cannot show (the shape of
    absent rows, a resistance that no element uses). The rebuilt crossbar is then written again as
    records, and every element of the text must be there with the same nodes and value.

    Args:
        text: what `write(..., dialect="ngspice")` gave, possibly edited.
        device: the device model, if it is not a registered one.

    Raises:
        NetlistError: an element is missing, superfluous, wrongly connected or not understood.
    """
    parsed = _parse(text)
    try:
        crossbar = _crossbar(parsed, device)
        V_in, V_out = _drive(parsed, crossbar)
        expected = build(crossbar, V_in, V_out)
    except NetlistError:
        raise
    except InputError as error:
        raise NetlistError(f"the netlist does not describe a crossbar: {error}") from error
    _refuse_differences(expected, parsed)
    return ReadBack(
        crossbar=crossbar,
        V_in=V_in,
        V_out=V_out,
        version=parsed.header["version"],
        config=parsed.header["config"],
        untouched=expected.config == parsed.header["config"],
    )


def compare(
    crossbar: Crossbar,
    text: str,
    V_in: npt.ArrayLike | None = None,
    V_out: npt.ArrayLike | None = None,
) -> None:
    """Prove that a netlist in the ngspice dialect describes exactly this crossbar.

    Args:
        crossbar: the single array that the text should describe.
        text: the netlist.
        V_in, V_out: the drive it should have, V; None for both accepts any drive.

    Raises:
        NetlistError: names the first places where text and crossbar differ.
    """
    parsed = _parse(text)
    if V_in is None and V_out is None:
        shape = (int(parsed.header["rows"]), int(parsed.header["cols"]))
        if shape != (crossbar.rows, crossbar.cols):
            raise NetlistError(
                f"the netlist must describe the crossbar; it is {shape[0]} x {shape[1]}, the "
                f"crossbar {crossbar.rows} x {crossbar.cols}. Compare with the array it came from."
            )
        V_in, V_out = _drive(parsed, crossbar)
    v_in = np.zeros(crossbar.rows) if V_in is None else V_in
    _refuse_differences(build(crossbar, v_in, V_out), parsed)


def _parse(text: str) -> _Parsed:
    parsed = _Parsed()
    model: list[str] | None = None
    in_control = False
    for at, words in _cards(text):
        head = words[0].lower()
        if head.startswith("*"):
            _note_header(parsed, words)
        elif head in (".control", ".endc"):
            in_control = head == ".control"
        elif in_control:
            continue
        elif head == ".subckt":
            model = parsed.models.setdefault(words[1].lower() if len(words) > 1 else "", [])
            model.append(" ".join(words).lower())
        elif head == ".ends":
            model = None
        elif model is not None:
            model.append(" ".join(words))
        elif head == ".end":
            break
        elif head.startswith("."):
            if head not in (".options", ".option", ".save"):
                raise NetlistError(f"line {at}: the card {words[0]!r} is not one that we write.")
        else:
            _note_element(parsed, head, words, at)
    missing = {*_HEADER, *SIDES} - parsed.header.keys()
    if missing:
        raise NetlistError(
            f"the netlist must have xbarspice's header; the lines {sorted(missing)} are missing. "
            "Only netlists written by xbarspice can be read back."
        )
    return parsed


def _cards(text: str) -> Iterator[tuple[int, list[str]]]:
    """Logical lines (continuations joined, trailing comments cut) as words, with line numbers."""
    pending: tuple[int, list[str]] | None = None
    for at, line in enumerate(text.splitlines(), start=1):
        if line.startswith("+"):
            if pending is None:
                raise NetlistError(f"line {at}: a continuation without a line before it.")
            pending[1].extend(line[1:].split())
            continue
        if pending is not None:
            yield pending
            pending = None
        if not line.startswith("*"):
            line = line.split(";")[0].split(" $")[0]
        if line.strip():
            pending = (at, line.split())
            if line.startswith("*"):
                yield pending
                pending = None
    if pending is not None:
        yield pending


def _note_header(parsed: _Parsed, words: list[str]) -> None:
    if len(words) > 2 and words[1].endswith(":"):
        parsed.header.setdefault(words[1][:-1], " ".join(words[2:]))


def _note_element(parsed: _Parsed, name: str, words: list[str], at: int) -> None:
    if name[0] not in "rxvb" or len(words) < 4:
        raise NetlistError(
            f"line {at}: {' '.join(words)[:80]!r} is not an element that we write (R, X, V, B)."
        )
    if name in parsed.elements:
        raise NetlistError(
            f"line {at}: {words[0]} ({place(name)}) occurs twice; "
            f"first in line {parsed.line[name]}."
        )
    parsed.elements[name] = words[1:]
    parsed.line[name] = at


def _crossbar(parsed: _Parsed, device: Device | None) -> Crossbar:
    header = parsed.header
    model = device if device is not None else _device(header["device"])
    rows, cols = (_count(header, key) for key in ("rows", "cols"))
    G = np.zeros((rows, cols))
    kind = "r" if isinstance(model, Ohmic) else "x"
    for name, words in parsed.elements.items():
        if name.startswith(("rd_", "xd_")):
            row, col = _cell(parsed, name, rows, cols)
            if name[0] != kind:
                _refuse(parsed, name, f"is not a {model.name} device")
            if kind == "r":
                G[row, col] = _value(parsed, name, conductance, words[2])
            else:
                G[row, col] = _value(
                    parsed, name, number, _parameters(words).get(CONDUCTANCE, "missing")
                )
    ends = LineEnds(**{side: _words(header[side]) for side in SIDES})
    R = {key: _resistance(parsed, key, prefix) for key, prefix in _RESISTANCES.items()}
    return Crossbar(G, **_end_resistances(parsed, ends, rows, cols, R), device=model, ends=ends)


_RESISTANCES = {"R_wl": "rw_", "R_bl": "rb_"}


def _count(header: dict[str, str], key: str) -> int:
    if not header[key].isdigit():
        raise NetlistError(f"the header line {key!r} must be a count; received {header[key]!r}.")
    return int(header[key])


def _cell(parsed: _Parsed, name: str, rows: int, cols: int) -> tuple[int, int]:
    parts = name.split("_")
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        row, col = int(parts[1]), int(parts[2])
        if row < rows and col < cols:
            return row, col
    return _refuse(parsed, name, f"does not belong to a {rows} x {cols} array")


def _words(text: str) -> str | list[str]:
    words = text.split()
    return words[0] if len(words) == 1 else words


def _resistance(parsed: _Parsed, key: str, prefix: str) -> float:
    """The value of the first element of its kind, or the header's where there is none."""
    for name, words in parsed.elements.items():
        if name.startswith(prefix):
            return _value(parsed, name, number, words[2])
    return number(parsed.header.get(key, "missing"))


def _end_resistances(
    parsed: _Parsed, ends: LineEnds, rows: int, cols: int, R: dict[str, float]
) -> dict[str, float]:
    """R_driver and R_sense from the first end element of each kind; the rest is compared later."""
    out = dict(R)
    wl, bl = ends.word_lines(rows), ends.bit_lines(cols)
    sides = {"rwl_": wl[:, 0], "rwr_": wl[:, 1], "rbt_": bl[:, 0], "rbb_": bl[:, 1]}
    for name, words in parsed.elements.items():
        side = sides.get(name[:4])
        if side is not None and name[4:].isdigit() and int(name[4:]) < len(side):
            key = {"driven": "R_driver", "sensed": "R_sense"}.get(side[int(name[4:])])
            if key is not None and key not in out:
                out[key] = _value(parsed, name, number, words[2])
    for key in ("R_driver", "R_sense"):
        out.setdefault(key, number(parsed.header.get(key, "missing")))
    return out


def _device(described: str) -> Device:
    name, *fields = described.split()
    if name not in devices.names():
        raise NetlistError(
            f"the device must be registered, one of {devices.names()}; received {name!r}. "
            "Pass `device=`, or register the model first."
        )
    try:
        values = {key: ast.literal_eval(v) for key, _, v in (f.partition("=") for f in fields)}
        return type(devices.get(name))(**values)
    except (ValueError, SyntaxError, TypeError, XbarspiceError) as error:
        raise NetlistError(
            f"the header line 'device' must name the model's parameters; received {described!r} "
            f"({error})."
        ) from error


def _parameters(words: list[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words[3:])
    return {key.lower(): value for key, _, value in pairs}


def _refuse(parsed: _Parsed, name: str, why: str) -> NoReturn:
    raise NetlistError(f"line {parsed.line[name]}: {name} ({place(name)}) {why}.")


def _value(parsed: _Parsed, name: str, convert, text: str) -> float:
    try:
        return convert(text)
    except (NetlistError, ZeroDivisionError) as error:
        _refuse(parsed, name, f"has no readable value: {error}")


def _drive(
    parsed: _Parsed, crossbar: Crossbar
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Drive vectors from the source elements; lines without a driver stay at 0 V."""
    found: list[tuple[str, int, list[float]]] = []
    for name, words in parsed.elements.items():
        kind, _, line = name[1:].partition("_")
        if name[0] in "vb" and kind in ("in", "out") and line.isdigit():
            volts = _volts(parsed, name, words)
            found.append((kind, int(line), volts))
    counts = {len(volts) for *_, volts in found} or {_count(parsed.header, "vectors")}
    if len(counts) > 1:
        raise NetlistError(f"all drivers must have as many vectors; received {sorted(counts)}.")
    K = counts.pop()
    drive = {"in": np.zeros((K, crossbar.rows)), "out": np.zeros((K, crossbar.cols))}
    for kind, line, volts in found:
        if line >= drive[kind].shape[1]:
            _refuse(parsed, f"v{kind}_{line}" if K == 1 else f"b{kind}_{line}", "has no line")
        drive[kind][:, line] = volts
    return drive["in"], drive["out"]


def _volts(parsed: _Parsed, name: str, words: list[str]) -> list[float]:
    if name[0] == "v":
        return [_value(parsed, name, number, words[2])]
    text = "".join(words[2:])
    if not (text.startswith("v=pwl(v(idx),") and text.endswith(")")):
        _refuse(parsed, name, "is not a piecewise-constant drive")
    values = [_value(parsed, name, number, t) for t in text[len("v=pwl(v(idx),") : -1].split(",")]
    index = np.arange(len(values) // 4)
    edges = np.array(values[0::2]) if len(values) % 4 == 0 else np.empty(0)
    wanted = np.stack([index - ngspice.PLATEAU, index + ngspice.PLATEAU], axis=1).ravel()
    if not np.array_equal(edges, wanted) or values[1::4] != values[3::4]:
        _refuse(parsed, name, "is not constant around every index 0, 1, ... of the sweep")
    return values[1::4]


def _refuse_differences(expected: Netlist, parsed: _Parsed) -> None:
    """Hold every element of the text against the records, in the order of the records."""
    problems: list[str] = []
    wanted = _parse_wanted(expected)
    for name, words in wanted.elements.items():
        found = parsed.elements.get(name)
        if found is None:
            problems.append(f"{place(name)}: {name} is missing")
        elif found != words and _normal(found) != _normal(words):
            line = parsed.line[name]
            problems.append(f"{place(name)}: line {line} {_difference(name, words, found)}")
    problems += [
        f"line {parsed.line[name]}: {name} ({place(name)}) has no place in the crossbar"
        for name in parsed.elements
        if name not in wanted.elements
    ]
    if wanted.models != parsed.models:
        problems.append("device model: the subcircuit differs from the model's own text")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NetlistError(
            f"the netlist must describe the crossbar, and {_count_words(len(problems))}: "
            f"{'; '.join(problems[:_SHOWN])}{more}. "
            "Write it again, or read it to see what it holds."
        )


def _count_words(count: int) -> str:
    return "1 place differs" if count == 1 else f"{count} places differ"


def _parse_wanted(expected: Netlist) -> _Parsed:
    """The elements that the records stand for, in the form that the reader gives them."""
    return _parse("\n".join(ngspice.circuit(expected)))


def _normal(words: list[str]) -> tuple[list[str], str]:
    """Nodes in lower case, and the rest with its spaces and the spelling of numbers taken out."""
    rest = []
    for word in words[2:]:
        key, equals, value = word.rpartition("=")
        try:
            value = repr(number(value))
        except NetlistError:
            value = value.lower()
        rest.append(key.lower() + equals + value)
    return [w.lower() for w in words[:2]], "".join(rest)


def _difference(name: str, wanted: list[str], found: list[str]) -> str:
    nodes, other = _normal(wanted)[0], _normal(found)[0]
    if nodes != other:
        return f"connects {name} to {'-'.join(other)} instead of {'-'.join(nodes)}"
    shown = [" ".join(w[2:]) for w in (found, wanted)]
    short = [s if len(s) <= 60 else s[:57] + "..." for s in shown]
    return f"gives {name} the value {short[0]} instead of {short[1]}"
