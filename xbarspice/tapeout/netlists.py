"""Netlists of a mapped network in several dialects: designs, test benches and device models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from xbarspice.array import READ, Crossbar
from xbarspice.devices import Ohmic
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.netlist.design_reader import prove
from xbarspice.netlist.dialect import bench
from xbarspice.netlist.hierarchy import FORMS, Design, Wires, design, g_hash
from xbarspice.netlist.module import module
from xbarspice.netlist.writers import design_dialect, dialects
from xbarspice.studies.inference import infer

__all__ = ["NetlistFile", "netlists", "refuse_form", "write_netlists"]


@dataclass(frozen=True, kw_only=True)
class NetlistFile:
    """One text of a network.

    Attributes:
        dialect: its dialect.
        file: name in the folder of the dialect.
        kind: "design", "test bench" or "device model".
        text: what it holds.
        design: what a design describes.
    """

    dialect: str
    file: str
    kind: str
    text: str
    design: Design | None = None


def netlists(
    mapped: MappedNetwork, x: npt.ArrayLike, *, names: Sequence[str] | None = None,
    wires: Wires | None = None, form: str = "subcircuit", name: str | None = None,
) -> list[NetlistFile]:  # fmt: skip
    """Hierarchical and flat design and the test benches in several dialects, each design proven.

    Args:
        mapped: the network.
        x: network inputs of the test benches, (points, inputs).
        names: dialects; None for all.
        wires: capacitances.
        form: "subcircuit", "verilog_a" or "resistor". CDL is always written with resistors (what
            LVS reads), VACASK with Verilog-A if "subcircuit" is asked for.
        name: of the design, before all its cells and models; None for one that follows from the
            content.

    Raises:
        NetlistError: a text does not describe the arrays (nothing that is wrong stays unseen).
    """
    names = dialects() if names is None else names
    refuse_form(names, form, mapped.arrays[0])
    answers = infer(mapped, x, "surrogate").blocks
    arrays = [array.replace(ends=READ) for array in mapped.arrays]
    out = []
    for word in names:
        dialect = design_dialect(word)
        own = _own_form(word, form)
        whole, flat = (
            design(arrays, hierarchical=hierarchical, form=own, wires=wires, name=name)
            for hierarchical in (True, False)
        )
        top = f"network{dialect.suffix}"
        for file, it in ((top, whole), (f"network_flat{dialect.suffix}", flat)):
            text = dialect.design(it)
            prove(text, word, it)
            out.append(NetlistFile(dialect=word, file=file, kind="design", text=text, design=it))
        for k, answer in enumerate(answers if dialect.runs else ()):
            tb = bench(
                whole, answer.block.array, answer.crossbar, answer.V_in, answer.V_out, include=top
            )
            file, text = f"bench_block{k}{dialect.suffix}", dialect.bench(tb)
            out.append(NetlistFile(dialect=word, file=file, kind="test bench", text=text))
        if own == "verilog_a" and not arrays[0].device.linear:
            file, text = f"{whole.model}.va", module(whole.device, whole.model)
            out.append(NetlistFile(dialect=word, file=file, kind="device model", text=text))
    return out


def write_netlists(
    mapped: MappedNetwork, x: npt.ArrayLike, folder: Path, *,
    names: Sequence[str] | None = None, wires: Wires | None = None, form: str = "subcircuit",
    name: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Write what `netlists` gives, a sub-folder a dialect.

    Returns:
        One record a file for the manifest.

    Raises:
        NetlistError: as `netlists`.
    """
    records = []
    for netlist in netlists(mapped, x, names=names, wires=wires, form=form, name=name):
        path = folder / netlist.dialect / netlist.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(netlist.text, encoding="utf-8")
        records.append(
            {
                "file": f"{folder.name}/{netlist.dialect}/{netlist.file}",
                "dialect": netlist.dialect,
                "kind": netlist.kind,
                **(_described(netlist.design, netlist.dialect) if netlist.design else {}),
                "sha256": hashlib.sha256(netlist.text.encode()).hexdigest(),
            }
        )
    return records


def _own_form(dialect: str, form: str) -> str:
    """The form that a dialect writes when one is asked for."""
    return {("vacask", "subcircuit"): "verilog_a"}.get(
        (dialect, form), "resistor" if dialect == "cdl" else form
    )


def refuse_form(names: Sequence[str], form: str, array: Crossbar) -> None:
    """Say before any work which dialects cannot write the form."""
    if form not in FORMS:
        raise broken_rule(f"`form` must be one of {list(FORMS)}", repr(form), "Use one of them.")
    lacking = [n for n in names if _own_form(n, form) not in design_dialect(n).forms]
    if lacking and not isinstance(array.device, Ohmic):
        able = [n for n in dialects() if n not in lacking]
        raise broken_rule(
            f"every dialect must know devices as {form!r}", f"{', '.join(lacking)}, which do not",
            f"Choose among {', '.join(able)} (--dialect), or another form.",
        )  # fmt: skip


def _described(it: Design, dialect: str) -> dict[str, Any]:
    spelt = design_dialect(dialect).node
    return {
        "top": it.top.name,
        "hierarchical": it.hierarchical,
        "form": it.form,
        "ports": [spelt(pin) for pin in it.top.pins],
        "G_sha256": [g_hash(array) for array in it.crossbars],
        "config": it.config,
        "proven": "read back; every element, G, wires and ports equal",
    }
