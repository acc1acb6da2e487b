"""Reads a design back in any dialect and proves it equal to the arrays, place by place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar
from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.errors import InputError, NetlistError
from xbarspice.netlist.hierarchy import Cell, Design, Element, design, expand
from xbarspice.netlist.numbers import conductance, number
from xbarspice.netlist.records import place
from xbarspice.netlist.writers import design_dialect

__all__ = ["ReadDesign", "prove", "read_design"]

_SHOWN = 5
_BUS = re.compile(r"((?:T\d+_)?(?:WL|BL|W|B))_(\d+)")
_TILE = re.compile(r"([A-Za-z])t(\d+)_(.*)")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadDesign:
    """What a design's text says.

    Attributes:
        cells: the subcircuits in the order of the text.
        models: lines of the device models, in their own words.
        elements: every R, C and device at one level: (tile, name) -> element with global nodes.
        G: conductances by tile, S, (rows, cols) as large as the pins say; NaN where the text holds
            only parameters from which G cannot be found.
        pins: pins of the top cell.
    """

    cells: tuple[Cell, ...]
    models: tuple[str, ...]
    elements: dict[tuple[int, str], Element]
    G: tuple[npt.NDArray[np.float64], ...]
    pins: tuple[str, ...]


def read_design(text: str, dialect: str) -> ReadDesign:
    """Read a design in one of the dialects.

    Raises:
        NetlistError: a line is not understood, or a cell is called with the wrong pins.
    """
    cells, models = _cells(text, dialect)
    if not cells:
        raise NetlistError("a design must define a subcircuit; received none. Check the file.")
    try:
        flat = expand(cells)
    except InputError as error:
        raise NetlistError(str(error)) from error
    elements: dict[tuple[int, str], Element] = {}
    owner: dict[str, str] = {}
    for path, e in flat:
        tile, name = _tile_of(path, e.name)
        nodes = tuple(_canonical(tile, n, owner) for n in e.nodes)
        key = (tile, name.lower())
        if key in elements:
            raise NetlistError(f"{_where(*key)}: {name} occurs twice. Write the netlist again.")
        elements[key] = Element(e.kind, name, nodes, e.value, e.model, e.params)
    pins = cells[-1].pins
    return ReadDesign(
        cells=tuple(cells), models=tuple(models), elements=elements,
        G=_conductances(elements, pins), pins=pins,
    )  # fmt: skip


def prove(text: str, dialect: str, intended: Design) -> ReadDesign:
    """Prove that a text describes exactly the arrays of a design.

    The elements at one level, whatever the hierarchy of the text, are held against those of the
    records; then G is rebuilt and compared bit by bit, and the pins in their order.

    Raises:
        NetlistError: names the places that differ (changed device, swapped column, missing
            segment, superfluous element, other pins, other device model).
    """
    found = read_design(text, dialect)
    flat = design(
        intended.crossbars, hierarchical=False, form=intended.form, wires=intended.wires,
        name=intended.top.name,
    )  # fmt: skip
    wanted = {}
    for e in flat.top.elements:
        tile, name = _tile_of("", e.name)
        several = len(intended.crossbars) > 1
        nodes = tuple(
            _canonical(tile, n.removeprefix(f"t{tile}_") if several else n, {}) for n in e.nodes
        )
        wanted[(tile, name.lower())] = Element(e.kind, name, nodes, e.value, e.model, e.params)
    problems = list(_differences(wanted, found.elements))
    if found.cells[-1].name.lower() != intended.top.name.lower():
        problems.append(f"the top cell is {found.cells[-1].name} instead of {intended.top.name}")
    if [p.lower() for p in found.pins] != [p.lower() for p in flat.top.pins]:
        problems.append(f"pins {_first_other(found.pins, flat.top.pins)}")
    if _models_text(found.models) != _models_text(_expected_models(intended, dialect)):
        problems.append("device model: the text differs from the model's own")
    if not problems:
        problems += _wrong_conductances(found, intended.crossbars)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NetlistError(
            f"the {dialect} design must describe its arrays, and {len(problems)} places differ: "
            f"{'; '.join(problems[:_SHOWN])}{more}. Write it again."
        )
    return found


def _differences(
    wanted: dict[tuple[int, str], Element], found: dict[tuple[int, str], Element]
) -> Iterator[str]:
    for key, e in wanted.items():
        got = found.get(key)
        if got is None:
            yield f"{_where(*key)}: {e.name} is missing"
        elif [n.lower() for n in got.nodes] != [n.lower() for n in e.nodes]:
            yield (
                f"{_where(*key)}: {e.name} connects {'-'.join(got.nodes)} "
                f"instead of {'-'.join(e.nodes)}"
            )
        elif _value(got) != _value(e):
            yield f"{_where(*key)}: {e.name} has the value {_shown(got)} instead of {_shown(e)}"
    for key, e in found.items():
        if key not in wanted:
            yield f"{_where(*key)}: {e.name} has no place in the design"


def _wrong_conductances(found: ReadDesign, crossbars: Sequence[Crossbar]) -> Iterator[str]:
    for tile, (G, crossbar) in enumerate(zip(found.G, crossbars, strict=True)):
        known = ~np.isnan(G)
        for r, c in np.argwhere(known & (np.where(known, G, 0) != crossbar.G)).tolist():
            yield f"tile {tile}, row {r}, column {c}: G {G[r, c]!r} S is not {crossbar.G[r, c]!r} S"


def _where(tile: int, name: str) -> str:
    return f"tile {tile}, {place(name)}"


def _value(e: Element) -> tuple[object, ...]:
    parts = [e.value] if e.value else []
    return (*(number(p) for p in parts), *((k.lower(), number(v)) for k, v in e.params))


def _shown(e: Element) -> str:
    return e.value or " ".join(f"{k}={v}" for k, v in e.params)


def _first_other(found: Sequence[str], wanted: Sequence[str]) -> str:
    for k, (a, b) in enumerate(zip(found, wanted, strict=False)):
        if a.lower() != b.lower():
            return f"differ: pin {k} is {a} instead of {b}"
    return f"are {len(found)} instead of {len(wanted)}"


def _tile_of(path: str, name: str) -> tuple[int, str]:
    """Tile number and plain element name: from ``Xt1_tile.`` paths or ``Rt1_w_0_0`` names."""
    if found := _TILE.match(path):
        return int(found[2]), name
    if found := _TILE.fullmatch(name):
        return int(found[2]), found[1] + found[3]
    return 0, name


def _canonical(tile: int, node: str, owner: dict[str, str]) -> str:
    """The node's name without its path; the same name on two paths is a broken connection."""
    leaf = node.rpartition(".")[2]
    if found := _TILE.fullmatch("x" + leaf):
        leaf = found[3]
    plain = f"t{tile}.{leaf}" if not leaf.startswith(("T", "VSS", "0")) else leaf
    first = owner.setdefault(plain, node)
    return plain if first == node else f"{plain} (of {node})"


def _conductances(
    elements: dict[tuple[int, str], Element], pins: Sequence[str]
) -> tuple[npt.NDArray[np.float64], ...]:
    sizes: dict[int, list[int]] = {}
    for pin in pins:
        if found := re.fullmatch(r"(?:T(\d+)_)?(WL|BL)<(\d+)>", pin):
            size = sizes.setdefault(int(found[1] or 0), [0, 0])
            axis = 0 if found[2] == "WL" else 1
            size[axis] = max(size[axis], int(found[3]) + 1)
    G = {tile: np.zeros(size) for tile, size in sizes.items()}
    for (tile, name), e in elements.items():
        at = re.fullmatch(r"[rx]d_(\d+)_(\d+)", name)
        if at and tile in G and int(at[1]) < G[tile].shape[0] and int(at[2]) < G[tile].shape[1]:
            values = dict(e.params)
            known = conductance(e.value) if e.value else float(values.get(CONDUCTANCE, "nan"))
            G[tile][int(at[1]), int(at[2])] = known
    return tuple(G[k] for k in sorted(G))


def _models_text(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split()).lower()


def _expected_models(intended: Design, dialect: str) -> list[str]:
    return _cells(design_dialect(dialect).design(intended), dialect)[1]


def _lines(text: str, dialect: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first line; comments are gone."""
    at, whole = 0, ""
    spectre = dialect in ("spectre", "vacask")
    for k, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("//" if spectre else "*"):
            continue
        if spectre and whole.endswith("\\"):
            whole = whole[:-1].rstrip() + " " + line
        elif not spectre and line.startswith("+"):
            whole += " " + line[1:].strip()
        else:
            if whole:
                yield at, whole
            at, whole = k, line
    if whole:
        yield at, whole


def _cells(text: str, dialect: str) -> tuple[list[Cell], list[str]]:
    """Cells of the design, and the lines of the device models and directives."""
    cells: list[Cell] = []
    models: list[str] = []
    name, pins, elements = "", (), []
    in_model = False
    for at, line in _lines(text, dialect):
        words = line.replace("(", " ( ").replace(")", " ) ").split()
        head = words[0].lower().lstrip(".")
        if head == "subckt":
            in_model = words[1].lower().startswith("xb_")
            name, elements = words[1], []
            pins = tuple(_plain(w, dialect) for w in words[2:] if w not in "()")
            if in_model:
                models.append(line)
        elif in_model or not name:
            models.append(line)
            in_model = in_model and head != "ends"
            name = name if in_model else ""
        elif head == "ends":
            cells.append(Cell(name, pins, tuple(elements)))
            name = ""
        else:
            elements.append(_element(at, words, dialect))
    if name:
        raise NetlistError(f"the subcircuit {name} must end with ends; the text is cut off.")
    return cells, models


def _plain(name: str, dialect: str) -> str:
    """The design's own node name behind a dialect's spelling."""
    if dialect == "spectre":
        return name.replace("\\", "")
    if dialect in ("ltspice", "vacask") and (found := _BUS.fullmatch(name)):
        return f"{found[1]}<{found[2]}>"
    return name


def _element(at: int, words: list[str], dialect: str) -> Element:
    name, rest = words[0], [w for w in words[1:] if w not in ("(", ")")]
    params = [w for w in rest if "=" in w]
    plain = [w for w in rest if "=" not in w and w.lower() != "params:"]
    model = ""
    if plain and plain[-1].startswith("$["):
        model = plain.pop()[2:-1]
    kind = name[0].upper()
    pairs = tuple((k, v) for k, _, v in (p.partition("=") for p in params))
    try:
        for _, value in pairs:
            number(value)
        if kind in "RC" and dialect in ("spectre", "vacask"):
            (node_a, node_b, _), ((_, value),) = plain, pairs
            return Element(kind, name, _both(node_a, node_b, dialect), value, model)
        if kind in "RC":
            node_a, node_b, value = plain
            number(value)
            return Element(kind, name, _both(node_a, node_b, dialect), value, model)
        if kind in "XN":
            nodes = tuple(_plain(n, dialect) for n in plain[:-1])
            master = plain[-1].removesuffix("_model")
            return Element("D" if pairs else "X", f"X{name[1:]}", nodes, "", master, pairs)
    except ValueError as error:
        raise NetlistError(f"line {at} must be an element: {' '.join(words)} ({error}).") from error
    raise NetlistError(f"line {at} must be R, C, X or N; received {' '.join(words)!r}.")


def _both(a: str, b: str, dialect: str) -> tuple[str, str]:
    return _plain(a, dialect), _plain(b, dialect)
