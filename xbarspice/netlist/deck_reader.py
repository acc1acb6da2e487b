"""Reads a netlist back, and proves element by element that it describes a given crossbar.

Read is the deck that our writer writes, and nothing else: a card, word or option that is not
understood completely is refused with its line. Circuits are compared and not names: only sources,
which say which line they are, must keep theirs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from xbarspice import devices
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import NetlistError, XbarspiceError
from xbarspice.core.line_ends import End, Ends, LineEnds, at_ends, places
from xbarspice.core.types import Array
from xbarspice.core.wires import EACH, WIRES, Resistance
from xbarspice.devices import Device, Ohmic
from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.netlist import dialects
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.deck import Deck, DeckElement
from xbarspice.netlist.deck_differences import refuse_differences
from xbarspice.netlist.dialects.base import Dialect
from xbarspice.netlist.graphs import Edge, Matching
from xbarspice.netlist.numbers import conductance, number
from xbarspice.netlist.records import SIDES, Netlist, Resistors, build, place

__all__ = ["ReadBack", "compare", "read"]


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
    V_in: Array
    V_out: Array
    version: str
    config: str
    untouched: bool


def read(text: str, *, device: Device | None = None, dialect: str = "ngspice") -> ReadBack:
    """Rebuild the crossbar and its drive from a netlist.

    Values come from the elements; the header supplies what elements cannot show (shape, line ends,
    a resistance that no element uses). The rebuilt crossbar is then written again, and the circuit
    of the text must be that circuit, with the same device model and the same analysis.

    Args:
        text: what `write` gave, possibly edited.
        device: the device model, if it is not a registered one.
        dialect: of the text; one whose `reads_decks` is true.

    Raises:
        InputError: decks of that dialect cannot be read.
        NetlistError: a line is not understood, or an element is missing, superfluous or wrongly
            connected.
    """
    spelling = dialects.get(dialect)
    deck = spelling.read_deck(text)
    try:
        crossbar = _crossbar(deck, device)
        V_in, V_out = _drive(deck, crossbar, spelling)
        expected = build(crossbar, V_in, V_out)
    except NetlistError:
        raise
    except (XbarspiceError, ArithmeticError) as error:
        raise NetlistError(f"the netlist does not describe a crossbar: {error}") from error
    refuse_differences(_write_and_read(expected, spelling), deck)
    return ReadBack(
        crossbar=crossbar,
        V_in=V_in,
        V_out=V_out,
        version=deck.header_text("version"),
        config=deck.header_text("config"),
        untouched=expected.config == deck.header_text("config"),
    )


def compare(
    crossbar: Crossbar,
    text: str,
    V_in: npt.ArrayLike | None = None,
    V_out: npt.ArrayLike | None = None,
    *,
    dialect: str = "ngspice",
) -> None:
    """Prove that a netlist describes exactly this crossbar.

    Args:
        crossbar: the single array that the text should describe.
        text: the netlist.
        V_in, V_out: the drive it should have, V; None for both accepts any drive.
        dialect: of the text; one whose `reads_decks` is true.

    Raises:
        InputError: decks of that dialect cannot be read.
        NetlistError: a line is not understood; or the first places where text and crossbar differ.
    """
    spelling = dialects.get(dialect)
    deck = spelling.read_deck(text)
    if V_in is None and V_out is None:
        shape = (int(deck.header_text("rows")), int(deck.header_text("cols")))
        if shape != (crossbar.rows, crossbar.cols):
            raise NetlistError(
                f"the netlist must describe the crossbar; it is {shape[0]} x {shape[1]}, the "
                f"crossbar {crossbar.rows} x {crossbar.cols}. Compare with the array it came from."
            )
        V_in, V_out = _drive(deck, crossbar, spelling)
    v_in = np.zeros(crossbar.rows) if V_in is None else V_in
    expected = _write_and_read(build(crossbar, v_in, V_out), spelling)
    refuse_differences(expected, deck)
    for key in (*WIRES, *SIDES, "rows", "cols", "vectors", "device", "config"):
        text = expected.header_text(key)
        if deck.header_text(key) != text:
            refuse(deck.header[key], f"the header line {key!r} must say {text!r}")


def _write_and_read(records: Netlist, dialect: Dialect) -> Deck:
    """The deck that the writer makes of records."""
    return dialect.read_deck(dialect.write(records))


def _crossbar(deck: Deck, device: Device | None) -> Crossbar:
    model = device if device is not None else _device(deck.header["device"])
    rows, cols = int(deck.header_text("rows")), int(deck.header_text("cols"))
    if rows + cols > len(deck.elements):
        raise NetlistError(
            f"an array of {rows} x {cols} must have more elements; received {len(deck.elements)}. "
            "Correct the header lines 'rows' and 'cols'."
        )
    ends = LineEnds(**{side: _words(deck.header_text(side)) for side in SIDES})
    R = _resistances(deck, ends, rows, cols)
    wl, bl, driver, sense = (R[key] for key in WIRES)
    full = Crossbar(
        np.ones((rows, cols)), R_wl=wl, R_bl=bl, R_driver=driver, R_sense=sense, ends=ends
    )
    G = np.zeros((rows, cols))
    for e, row, col in _place_devices(deck, model, full):
        G[row, col] = _conductance(e, model)
    return full.replace(G=G, device=model)


def _conductance(e: DeckElement, model: Device) -> float:
    if isinstance(model, Ohmic) != (e.name[0] == "r"):
        refuse(e.card, f"{e.name} ({place(e.name)}) is not a {model.name} device")
    if e.name[0] == "r":
        return conductance(str(e.values[0])) if e.values[0] else float("inf")
    params = dict(e.params)
    if CONDUCTANCE not in params:
        refuse(e.card, f"{e.name} ({place(e.name)}) has no parameter {CONDUCTANCE}")
    return float(params[CONDUCTANCE])


def _place_devices(
    deck: Deck, model: Device, full: Crossbar
) -> Iterator[tuple[DeckElement, int, int]]:
    """Every device with its row and column: by its nodes, or else by its name.

    Args:
        deck: the text.
        model: the device model.
        full: an array of that shape, those wires and line ends, with a device in every place.
    """
    records = build(full, np.zeros(full.rows))
    kind = "r" if isinstance(model, Ohmic) else "x"
    wires = [*_edges(records.ends), *_edges(records.wires)]
    resistors = [e for e in deck.elements.values() if e.name[0] == "r"]
    matching = Matching(wires, [e.edge for e in resistors], _anchors(records, deck))
    partner = matching.partner
    where: dict[tuple[str, str], tuple[int, int]] = {}
    lines = zip(records.wl.tolist(), records.bl.tolist(), strict=True)
    for r, nodes in enumerate(lines):
        for c, (word, bit) in enumerate(zip(*nodes, strict=True)):
            where[partner.get(word, ""), partner.get(bit, "")] = (r, c)
    complete = len(where) == full.rows * full.cols and not any("" in pair for pair in where)
    for e in deck.elements.values():
        if e.name[0] != kind:
            continue
        a, b = e.nodes
        if complete and (a, b) in where:
            yield e, *where[a, b]
        elif complete and kind == "r" and (b, a) in where:
            yield e, *where[b, a]
        elif not complete and e.name.startswith(f"{kind}d_"):
            yield e, *_cell(e, full.rows, full.cols)


def _edges(part: Resistors) -> Iterator[Edge]:
    for a, b, ohm in zip(part.a, part.b, part.ohm, strict=True):
        yield Edge(("r", Decimal(repr(float(ohm)))), a, b, symmetric=True)


def _anchors(records: Netlist, deck: Deck) -> dict[str, str]:
    """Node of every source of the records -> the node of the source of that name in the text."""
    nodes = {e.name: e.nodes[0] for e in deck.sources}
    out = {"0": "0"}
    groups = (records.word_drives, records.bit_drives, records.word_senses, records.bit_senses)
    for sources in groups:
        for name, node in zip(sources.names, sources.nodes, strict=True):
            plain = name.lower()
            partner = nodes.get(plain, nodes.get(f"b{plain[1:]}"))
            if partner is not None:
                out[node] = partner
    return out


def _cell(e: DeckElement, rows: int, cols: int) -> tuple[int, int]:
    at = re.fullmatch(r"[rx]d_(\d{1,7})_(\d{1,7})", e.name)
    if not at or int(at[1]) >= rows or int(at[2]) >= cols:
        refuse(e.card, f"{e.name} does not belong to a {rows} x {cols} array")
    return int(at[1]), int(at[2])


def _words(text: str) -> str | list[str]:
    words = text.split()
    return words[0] if len(words) == 1 else words


def _resistances(deck: Deck, ends: LineEnds, rows: int, cols: int) -> dict[str, Resistance]:
    """Value of the first element of each kind, or the header's where there is none.

    Where the header says that a kind has a value a place, each element's, and 0 where none is.
    """
    lines = ends.word_lines(rows), ends.bit_lines(cols)
    out: dict[str, Resistance] = {
        key: np.zeros(shape)
        for key, shape in places(lines).items()
        if deck.header_text(key) == EACH[key]
    }
    where = _resistance_of_element(lines)
    for name, e in deck.elements.items():
        if name in where:
            key, at = where[name]
            R = out.setdefault(key, float(e.values[0]))
            if isinstance(R, np.ndarray):
                R[at] = float(e.values[0])
    return {key: out[key] if key in out else number(deck.header_text(key)) for key in WIRES}


def _resistance_of_element(lines: tuple[Ends, Ends]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name of every segment and line end -> which of `WIRES` it is, and where in its array."""
    shapes = places(lines)
    out: dict[str, tuple[str, tuple[int, ...]]] = {}
    for kind, key in (("rw", "R_wl"), ("rb", "R_bl")):
        out |= {f"{kind}_{r}_{c}": (key, (r, c)) for r, c in np.ndindex(*shapes[key])}
    numbered = at_ends(lines, *(np.arange(shapes[key][0], dtype=float) for key in WIRES[2:]))
    names = (("rwl", "rwr"), ("rbt", "rbb"))
    for side, kinds, at in zip(names, lines, numbered, strict=True):
        for (line, k), end in np.ndenumerate(kinds):
            if end != End.FLOATING:
                key = "R_driver" if end == End.DRIVEN else "R_sense"
                out[f"{side[k]}_{line}"] = (key, (int(at[line, k]),))
    return out


def _device(header: Card) -> Device:
    name, *fields = header.text.split()
    if name not in devices.names():
        raise NetlistError(
            f"the device must be registered, one of {devices.names()}; received {name!r}. "
            "Pass `device=`, or register the model first."
        )
    try:
        values = {key: ast.literal_eval(v) for key, _, v in (f.partition("=") for f in fields)}
        if len(values) < len(fields):
            raise ValueError("a parameter occurs twice")
        return type(devices.get(name))(**values)
    except (
        ValueError,
        SyntaxError,
        TypeError,
        XbarspiceError,
        ArithmeticError,
        MemoryError,
        RecursionError,
    ) as error:
        raise NetlistError(
            f"line {header.at}: the header line 'device' must name the model's parameters; "
            f"received {header.text[:80]!r} ({error})."
        ) from error


def _drive(deck: Deck, crossbar: Crossbar, dialect: Dialect) -> tuple[Array, Array]:
    """Drive vectors from the source elements; lines without a driver stay at 0 V."""
    drivers: list[tuple[DeckElement, str, int, list[float]]] = []
    for e in deck.sources:
        kind, _, line = e.name[1:].partition("_")
        if kind in ("in", "out") and line.isdecimal() and len(line) < 8:
            drivers.append((e, kind, int(line), dialect.read_volts(e)))
    counts = {len(volts) for *_, volts in drivers} or {int(deck.header_text("vectors"))}
    if len(counts) > 1:
        raise NetlistError(f"all drivers must have as many vectors; received {sorted(counts)}.")
    K = counts.pop()
    if drivers and int(deck.header_text("vectors")) != K:
        refuse(deck.header["vectors"], f"the header line 'vectors' must say {K}")
    drive = {"in": np.zeros((K, crossbar.rows)), "out": np.zeros((K, crossbar.cols))}
    for e, kind, line, volts in drivers:
        if line >= drive[kind].shape[1]:
            refuse(e.card, f"{e.name} has no line")
        drive[kind][:, line] = volts
    return drive["in"], drive["out"]
