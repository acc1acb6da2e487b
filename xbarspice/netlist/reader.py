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
from xbarspice.core.array import Crossbar, LineEnds
from xbarspice.core.errors import NetlistError, XbarspiceError
from xbarspice.core.types import Array
from xbarspice.devices import Device, Ohmic
from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.dialects import ngspice
from xbarspice.netlist.dialects.ngspice_deck import WIRES, Deck, DeckElement, parse
from xbarspice.netlist.graphs import Edge, Matching, same
from xbarspice.netlist.numbers import conductance, number
from xbarspice.netlist.records import SIDES, Netlist, Resistors, build, place

__all__ = ["ReadBack", "compare", "read"]

_SHOWN = 5
"""Differences that an error names one by one."""

_LOOSER = 10.0
"""How many times the tolerances of a deck may exceed those of its array: what an edited value or
drive leaves behind does not move a current by more than the rounding of ten such steps."""


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


def read(text: str, *, device: Device | None = None) -> ReadBack:
    """Rebuild the crossbar and its drive from a netlist in the ngspice dialect.

    Values come from the elements; the header supplies what elements cannot show (shape, line ends,
    a resistance that no element uses). The rebuilt crossbar is then written again, and the circuit
    of the text must be that circuit, with the same device model and the same analysis.

    Args:
        text: what `write(..., dialect="ngspice")` gave, possibly edited.
        device: the device model, if it is not a registered one.

    Raises:
        NetlistError: a line is not understood, or an element is missing, superfluous or wrongly
            connected.
    """
    deck = parse(text)
    try:
        crossbar = _crossbar(deck, device)
        V_in, V_out = _drive(deck, crossbar)
        expected = build(crossbar, V_in, V_out)
    except NetlistError:
        raise
    except (XbarspiceError, ArithmeticError) as error:
        raise NetlistError(f"the netlist does not describe a crossbar: {error}") from error
    _refuse_differences(expected, deck)
    return ReadBack(
        crossbar=crossbar,
        V_in=V_in,
        V_out=V_out,
        version=deck.said("version"),
        config=deck.said("config"),
        untouched=expected.config == deck.said("config"),
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
        NetlistError: a line is not understood; or the first places where text and crossbar differ.
    """
    deck = parse(text)
    if V_in is None and V_out is None:
        shape = (int(deck.said("rows")), int(deck.said("cols")))
        if shape != (crossbar.rows, crossbar.cols):
            raise NetlistError(
                f"the netlist must describe the crossbar; it is {shape[0]} x {shape[1]}, the "
                f"crossbar {crossbar.rows} x {crossbar.cols}. Compare with the array it came from."
            )
        V_in, V_out = _drive(deck, crossbar)
    v_in = np.zeros(crossbar.rows) if V_in is None else V_in
    expected = build(crossbar, v_in, V_out)
    _refuse_differences(expected, deck)
    own = parse(ngspice.write(expected))
    for key in (*WIRES, *SIDES, "rows", "cols", "vectors", "device", "config"):
        if deck.said(key) != own.said(key):
            refuse(deck.header[key], f"the header line {key!r} must say {own.said(key)!r}")


def _crossbar(deck: Deck, device: Device | None) -> Crossbar:
    model = device if device is not None else _device(deck.header["device"])
    rows, cols = int(deck.said("rows")), int(deck.said("cols"))
    if rows + cols > len(deck.elements):
        raise NetlistError(
            f"an array of {rows} x {cols} must have more elements; received {len(deck.elements)}. "
            "Correct the header lines 'rows' and 'cols'."
        )
    ends = LineEnds(**{side: _words(deck.said(side)) for side in SIDES})
    R = _resistances(deck, ends, rows, cols)
    wl, bl, driver, sense = (R[key] for key in WIRES)
    full = Crossbar(
        np.ones((rows, cols)), R_wl=wl, R_bl=bl, R_driver=driver, R_sense=sense, ends=ends
    )
    G = np.zeros((rows, cols))
    for e, row, col in _placed(deck, model, full):
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


def _placed(deck: Deck, model: Device, full: Crossbar) -> Iterator[tuple[DeckElement, int, int]]:
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
            own = nodes.get(plain, nodes.get(f"b{plain[1:]}"))
            if own is not None:
                out[node] = own
    return out


def _cell(e: DeckElement, rows: int, cols: int) -> tuple[int, int]:
    at = re.fullmatch(r"[rx]d_(\d{1,7})_(\d{1,7})", e.name)
    if not at or int(at[1]) >= rows or int(at[2]) >= cols:
        refuse(e.card, f"{e.name} does not belong to a {rows} x {cols} array")
    return int(at[1]), int(at[2])


def _words(text: str) -> str | list[str]:
    words = text.split()
    return words[0] if len(words) == 1 else words


def _resistances(deck: Deck, ends: LineEnds, rows: int, cols: int) -> dict[str, float]:
    """Value of the first element of each kind, or the header's where there is none."""
    wl, bl = ends.word_lines(rows), ends.bit_lines(cols)
    sides = {"rwl": wl[:, 0], "rwr": wl[:, 1], "rbt": bl[:, 0], "rbb": bl[:, 1]}
    key_of = {"driven": "R_driver", "sensed": "R_sense"}
    out: dict[str, float] = {}
    for name, e in deck.elements.items():
        kind, _, line = name.partition("_")
        key = {"rw": "R_wl", "rb": "R_bl"}.get(kind)
        if kind in sides and line.isdecimal() and int(line) < len(sides[kind]):
            key = key_of.get(sides[kind][int(line)])
        if key is not None:
            out.setdefault(key, float(e.values[0]))
    return {key: out.get(key, number(deck.said(key))) for key in WIRES}


def _device(said: Card) -> Device:
    name, *fields = said.text.split()
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
            f"line {said.at}: the header line 'device' must name the model's parameters; received "
            f"{said.text[:80]!r} ({error})."
        ) from error


def _drive(deck: Deck, crossbar: Crossbar) -> tuple[Array, Array]:
    """Drive vectors from the source elements; lines without a driver stay at 0 V."""
    drivers: list[tuple[DeckElement, str, int, list[float]]] = []
    for e in deck.sources:
        kind, _, line = e.name[1:].partition("_")
        if kind in ("in", "out") and line.isdecimal() and len(line) < 8:
            drivers.append((e, kind, int(line), _volts(e)))
    counts = {len(volts) for *_, volts in drivers} or {int(deck.said("vectors"))}
    if len(counts) > 1:
        raise NetlistError(f"all drivers must have as many vectors; received {sorted(counts)}.")
    K = counts.pop()
    if drivers and int(deck.said("vectors")) != K:
        refuse(deck.header["vectors"], f"the header line 'vectors' must say {K}")
    drive = {"in": np.zeros((K, crossbar.rows)), "out": np.zeros((K, crossbar.cols))}
    for e, kind, line, volts in drivers:
        if line >= drive[kind].shape[1]:
            refuse(e.card, f"{e.name} has no line")
        drive[kind][:, line] = volts
    return drive["in"], drive["out"]


def _volts(e: DeckElement) -> list[float]:
    """Volts of every vector."""
    values = [float(value) for value in e.values]
    if e.name[0] == "v":
        return values
    index = np.arange(len(values) // 4)
    edges = np.array(values[0::2]) if len(values) % 4 == 0 else np.empty(0)
    wanted = np.stack([index - ngspice.PLATEAU, index + ngspice.PLATEAU], axis=1).ravel()
    if not np.array_equal(edges, wanted) or values[1::4] != values[3::4]:
        refuse(e.card, f"{e.name} is not constant around every index 0, 1, ... of the sweep")
    return values[1::4]


def _refuse_differences(expected: Netlist, deck: Deck) -> None:
    """Hold the circuit, model, options and analysis of a text against the records."""
    own = parse(ngspice.write(expected))
    problems: list[str] = []
    if not same(own.edges, deck.edges, _all_anchors(own, deck)):
        named = list(_differences(own, deck))
        problems += named or ["the connections are others than those of the crossbar"]
    problems += _other_cards("device model", own.models, deck.models)
    problems += _other_cards("analysis", own.control, deck.control)
    problems += _other_options(own, deck)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NetlistError(
            f"the netlist must describe the crossbar, and {_count_words(len(problems))}: "
            f"{'; '.join(problems[:_SHOWN])}{more}. "
            "Write it again, or read it to see what it holds."
        )
    deck.refuse_saves()


def _all_anchors(own: Deck, deck: Deck) -> dict[str, str]:
    """Nodes of sources, which keep their names."""
    anchors = {"0": "0"}
    for e in own.sources:
        if e.name in deck.elements:
            anchors |= dict(zip(e.nodes, deck.elements[e.name].nodes, strict=True))
    return anchors


def _differences(own: Deck, deck: Deck) -> Iterator[str]:
    """What differs, place by place, as far as elements have the names that we write."""
    for name, e in own.elements.items():
        other = deck.elements.get(name)
        if other is None:
            yield f"{place(name)}: {name} is missing"
        elif other.edge != e.edge:
            yield f"{place(name)}: line {other.card.at} {_difference(e, other)}"
    for name, e in deck.elements.items():
        if name not in own.elements:
            yield f"line {e.card.at}: {name} ({place(name)}) has no place in the crossbar"


def _difference(e: DeckElement, other: DeckElement) -> str:
    if e.nodes != other.nodes:
        return f"connects {e.name} to {'-'.join(other.nodes)} instead of {'-'.join(e.nodes)}"
    shown = [" ".join(item.card.words[3:]) for item in (other, e)]
    short = [s if len(s) <= 60 else s[:57] + "..." for s in shown]
    return f"gives {e.name} the value {short[0]} instead of {short[1]}"


def _other_cards(what: str, own: list[Card], cards: list[Card]) -> Iterator[str]:
    """The first card of a section that is not the writer's."""
    for a, b in zip(cards, own, strict=False):
        if a.text != b.text:
            yield f"{what}: line {a.at} is {a.text[:60]!r} instead of {b.text[:60]!r}"
            return
    if len(cards) > len(own):
        yield f"{what}: line {cards[len(own)].at} is too much: {cards[len(own)].text[:60]!r}"
    elif len(cards) < len(own):
        yield f"{what}: {own[len(cards)].text[:60]!r} is missing"


def _other_options(own: Deck, deck: Deck) -> Iterator[str]:
    """Options that are none of ours, or tolerances that are much looser than the array's."""
    if len(deck.options) != 1:
        lines = ", ".join(str(card.at) for card in deck.options) or "none"
        yield f"there must be one .options card (in lines: {lines})"
        return
    card = deck.options[0]
    wanted, said = _options(own.options[0]), _options(card)
    if wanted.keys() != said.keys():
        other = sorted(wanted.keys() ^ said.keys())
        yield f"line {card.at}: the options must be those that we write, not {other} otherwise"
        return
    for key, value in wanted.items():
        text = said[key]
        if value is None or text is None:
            if value != text:
                yield f"line {card.at}: the option {key} has another form"
        elif not 0 < text <= value * (_LOOSER if key in ("abstol", "vntol") else 1.0):
            yield f"line {card.at}: {key}={text:g} is looser than {value:g}"


def _options(card: Card) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for word in card.words[1:]:
        key, equals, value = word.lower().partition("=")
        if key in out:
            refuse(card, f"the option {key} occurs twice")
        out[key] = number(value) if equals else None
    return out


def _count_words(count: int) -> str:
    return "1 place differs" if count == 1 else f"{count} places differ"
