"""Netlists of one array in several dialects: designs, test benches, device models, and decks.

A design is the array with pins; a test bench beside it drives and senses them. A deck is one file
that runs by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.devices import Device, Ohmic
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.netlist import dialects, write
from xbarspice.netlist.bench import bench
from xbarspice.netlist.cells import FORMS, Wires, mem_model
from xbarspice.netlist.design import Design, design
from xbarspice.netlist.design_reader import prove
from xbarspice.netlist.module import module
from xbarspice.netlist.records import g_hash

__all__ = [
    "NetlistFile",
    "Read",
    "decks",
    "netlists",
    "reads_of",
    "refuse_form",
    "write_netlists",
]


@dataclass(frozen=True, kw_only=True)
class NetlistFile:
    """One text of an array.

    Attributes:
        dialect: its dialect.
        file: name in the folder of the dialect.
        kind: "design", "test bench", "device model" or "deck".
        text: what it holds.
        design: what a design describes.
        brackets: of its bus names.
    """

    dialect: str
    file: str
    kind: str
    text: str
    design: Design | None = None
    brackets: str = "<>"


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """One way in which an array is driven: its line ends, and the line voltages, V."""

    crossbar: Crossbar
    V_in: Array
    V_out: Array


def reads_of(array: PhysicalArray, volts: Mapping[str, Array]) -> list[Read | None]:
    """The reads of an array, one a tile; None where the inputs do not reach its matrix.

    Args:
        array: the array.
        volts: line voltages of every matrix, V, (vectors, groups, lines).
    """
    out: list[Read | None] = []
    for tile in array.tiles:
        if tile.matrix not in volts:
            out.append(None)
            continue
        V_in, V_out = tile.drive(volts[tile.matrix][:, tile.group, slice(*tile.lines)])
        out.append(Read(crossbar=tile.crossbar, V_in=V_in, V_out=V_out))
    return out


def netlists(
    crossbar: Crossbar,
    reads: Sequence[Read | None],
    *,
    names: Sequence[str] | None = None,
    wires: Wires | None = None,
    form: str = "subcircuit",
    name: str | None = None,
    brackets: str = "<>",
) -> Iterator[NetlistFile]:
    """Hierarchical and flat design and the test benches in several dialects, each design proven.

    Args:
        crossbar: the array, with its pins on the left and at the bottom (`READ`).
        reads: each gets a test bench; None leaves its number free.
        names: dialects; None for all.
        wires: capacitances.
        form: "subcircuit", "verilog_a" or "resistor". CDL is always written with resistors (what
            LVS reads), VACASK with Verilog-A if "subcircuit" is asked for.
        name: of the design, before all its cells and models; None for one that follows from the
            content.
        brackets: of bus names, ``"<>"`` or ``"[]"``.

    Raises:
        InputError: a dialect does not know the form, or the array has other line ends.
        NetlistError: a text does not describe the array (nothing that is wrong stays unseen).
    """
    names = dialects.names() if names is None else names
    refuse_form(names, form, [crossbar.device])
    spellings = [dialects.get(word, brackets) for word in names]
    designs = {
        written: [
            design([crossbar], hierarchical=hierarchical, form=written, wires=wires, name=name)
            for hierarchical in (True, False)
        ]
        for written in {dialect.design_form(form) for dialect in spellings}
    }
    for word, dialect in zip(names, spellings, strict=True):
        written = dialect.design_form(form)
        whole, flat = designs[written]
        top = f"array{dialect.suffix}"
        for file, content in ((top, whole), (f"array_flat{dialect.suffix}", flat)):
            text = dialect.design(content)
            prove(text, word, content, brackets=brackets)
            yield NetlistFile(
                dialect=word, file=file, kind="design", text=text, design=content, brackets=brackets
            )
        for k, read in enumerate(reads if dialect.runs else ()):
            if read is not None:
                around = bench(whole, 0, read.crossbar, read.V_in, read.V_out, include=top)
                file, text = f"bench_{k}{dialect.suffix}", dialect.bench(around)
                yield NetlistFile(dialect=word, file=file, kind="test bench", text=text)
        if written == "verilog_a" and not crossbar.device.linear:
            file, text = f"{whole.model}.va", module(whole.device, whole.model)
            yield NetlistFile(dialect=word, file=file, kind="device model", text=text)


def decks(reads: Sequence[Read | None], dialect: str) -> Iterator[NetlistFile]:
    """One deck a read, which runs by itself, and what it loads beside it.

    Raises:
        InputError: the dialect has no analyses, so that nothing could run.
    """
    words = dialects.get(dialect)
    if not words.runs:
        raise broken_rule(
            f"a deck needs a simulator; {dialect} has none", dialect, "Write a design instead."
        )
    models: dict[str, str] = {}
    for k, read in enumerate(reads):
        if read is None:
            continue
        text = write(read.crossbar, read.V_in, read.V_out, dialect=dialect)
        yield NetlistFile(dialect=dialect, file=f"deck_{k}{words.suffix}", kind="deck", text=text)
        if words.forms[0] == "verilog_a" and not read.crossbar.device.linear:
            model = mem_model(read.crossbar.device, "verilog_a")
            models[f"{model}.va"] = module(read.crossbar.device, model)
    for file, text in models.items():
        yield NetlistFile(dialect=dialect, file=file, kind="device model", text=text)


def write_netlists(files: Iterable[NetlistFile], folder: Path) -> list[dict[str, Any]]:
    """Write what `netlists` gives, a sub-folder a dialect.

    Returns:
        One record a file for the manifest, its name relative to the folder.

    Raises:
        NetlistError: as `netlists`.
    """
    records = []
    for netlist in files:
        path = folder / netlist.dialect / netlist.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(netlist.text, encoding="utf-8")
        records.append(
            {
                "file": f"{netlist.dialect}/{netlist.file}",
                "dialect": netlist.dialect,
                "kind": netlist.kind,
                **(_design_record(netlist.design, netlist) if netlist.design else {}),
                "sha256": hashlib.sha256(netlist.text.encode()).hexdigest(),
            }
        )
    return records


def refuse_form(names: Sequence[str], form: str, models: Iterable[Device]) -> None:
    """Say before any work which dialects cannot write the form.

    Raises:
        InputError: the form is unknown, or a dialect cannot write it.
    """
    if form not in FORMS:
        raise broken_rule(f"`form` must be one of {list(FORMS)}", repr(form), "Use one of them.")
    spellings = {name: dialects.get(name) for name in names}
    lacking = [n for n, d in spellings.items() if d.design_form(form) not in d.forms]
    if lacking and not all(isinstance(device, Ohmic) for device in models):
        able = [n for n in dialects.names() if n not in lacking]
        raise broken_rule(
            f"every dialect must know devices as {form!r}",
            f"{', '.join(lacking)}, which do not",
            f"Choose among {', '.join(able)} (--dialect), or another form.",
        )


def _design_record(whole: Design, netlist: NetlistFile) -> dict[str, Any]:
    node = dialects.get(netlist.dialect, netlist.brackets).node
    return {
        "top": whole.top.name,
        "hierarchical": whole.hierarchical,
        "form": whole.form,
        "ports": [node(pin) for pin in whole.top.pins],
        "G_sha256": [g_hash(array) for array in whole.crossbars],
        "config": whole.config,
        "proven": "read back; every element, G, wires and ports equal",
    }
