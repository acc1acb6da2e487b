"""Magic: the rule check of a technology, and the extraction that netgen compares."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from xbarspice.core.counts import counted
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.engines.process import Finished
from xbarspice.tapeout.decks.records import MOST_PLACES, Deck, DeckReport, Item, Place
from xbarspice.tapeout.decks.tools import quote, run_tool

__all__ = ["extract", "run_drc", "warnings"]

_OPEN = """set out [open result.txt w]
gds read layout.gds
if {{[lsearch -exact [cellname list allcells] {{{cell}}}] < 0}} {{
  puts $out "missing"
  close $out
  quit -noprompt
}}
load {{{cell}}}
select top cell
expand
select area
puts $out "layers\t[lindex [what -list] 0]"
select top cell
"""
_CHECK = """drc euclidean on
if {[lsearch -exact [drc listall style] {drc(full)}] >= 0} {drc style drc(full)}
drc rulestats
drc check
drc catchup
puts $out "style\t[drc list style]"
puts $out "scale\t[cif scale output]"
foreach {rule boxes} [drc listall why] {
  puts $out "rule\t$rule"
  foreach box $boxes {puts $out "at\t$box"}
}
"""
_EXTRACT = """set cell {CELL}
foreach child [cellname list children $cell] {
  if {[string match "${cell}__*" $child]} {
    load $child
    box values -10000000 -10000000 10000000 10000000
    erase labels
  }
}
load {CELL}
flatten xbarspice_flat
load xbarspice_flat
cellname delete {CELL}
cellname rename xbarspice_flat {CELL}
select top cell
if {[port first] < 0} {port makeall}
extract do local
extract all
ext2spice lvs
ext2spice -o extracted.spice
"""
_CLOSE = """puts $out "end"
close $out
quit -noprompt
"""
"""An array is extracted at one level, as its schematic stands: a device whose metals belong to the
cell above has no terminals in its own cell. Labels become pins only where the technology has made
none."""


def run_drc(deck: Deck, layout: Path, cell: str, directory: Path, version: str) -> DeckReport:
    """Check a layout with the rules of a technology, in the style ``drc(full)`` where it has one.

    Raises:
        EngineError: Magic did not reach its end, cannot use the technology, or has no rule.
    """
    run = _run(deck.file, layout, cell, _CHECK, directory, deck.timeout)
    lines = _result(directory, cell, run)
    scale, style = float(lines["scale"][0]), lines["style"][0]
    match = re.search(r"Total number of rules specif(?:i)?ed in tech file: (\d+)", run.stdout)
    rules = int(match[1]) - 1 if match else 0  # Magic counts one more than the file has
    if not rules:
        raise EngineError(f"Magic's technology must have rules; {deck.file.name} states none.")
    return DeckReport(
        deck=deck,
        version=version,
        looked_at=f"cell {cell}, {counted(rules, 'rule')}, style {style}",
        items=tuple(_items(directory / "result.txt", cell, scale)),
        notes=warnings(run),
        seconds=run.seconds,
        files=(directory / "magic.log",),
    )


def extract(deck: Deck, layout: Path, cell: str, directory: Path) -> tuple[Path, Finished]:
    """The netlist that Magic extracts from a layout for netgen.

    Raises:
        EngineError: Magic did not reach its end, cannot use the technology, or wrote no netlist.
    """
    if deck.extraction is None:
        raise AssertionError("a deck of netgen has Magic's technology")  # decks_of refuses
    work = _EXTRACT.replace("{CELL}", f"{{{cell}}}")
    run = _run(deck.extraction, layout, cell, work, directory, deck.timeout)
    _result(directory, cell, run)
    netlist = directory / "extracted.spice"
    if not netlist.is_file():
        raise EngineError(f"Magic must extract {cell}; it wrote no netlist. {quote(run)}")
    return netlist, run


def _run(
    technology: Path, layout: Path, cell: str, work: str, directory: Path, timeout: float
) -> Finished:
    """Run a script on a cell of a layout."""
    if layout.suffix != ".gds":
        raise broken_rule("Magic reads GDS layouts", layout.name, "Save the layout as GDS.")
    if re.search(r"[{}\\\s]", cell):
        raise broken_rule("Magic takes no braces or blanks in a cell", cell, "Rename the cell.")
    shutil.copyfile(layout, directory / "layout.gds")
    script = directory / "run.tcl"
    script.write_text(_OPEN.format(cell=cell) + work + _CLOSE, encoding="utf-8")
    start = "-T" if technology.suffix == ".tech" else "-rcfile"
    command = ["-dnull", "-noconsole", start, str(technology), script.name]
    return run_tool("magic", command, directory, timeout)


def _result(directory: Path, cell: str, run: Finished) -> dict[str, list[str]]:
    """Lines of the result by their first words.

    Raises:
        EngineError: Magic did not reach the end of the script, or the cell holds nothing.
    """
    lines: dict[str, list[str]] = {}
    path = directory / "result.txt"
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        word, _, rest = line.partition("\t")
        lines.setdefault(word, []).append(rest)
    if "missing" in lines:
        raise EngineError(f"the layout must hold the cell {cell}; Magic does not see it.")
    if run.status or "end" not in lines:
        raise EngineError(
            f"Magic must run to its end; exit status {run.status}, last line "
            f"{'' if 'end' in lines else 'not '}reached. {quote(run)}"
        )
    broken = [x for x in run.stderr.splitlines() if re.search(r"\.tech: line \d+", x)]
    if broken:
        raise EngineError(f"Magic must understand its technology; {quote(run)}")
    if not lines["layers"][0].strip():
        raise EngineError(
            f"Magic must see shapes in {cell}; it sees none, so the technology has other layers."
        )
    return lines


def _items(path: Path, cell: str, scale: float) -> list[Item]:
    """What was found, a rule each; boxes from Magic's units to um."""
    by_rule: dict[str, list[Place]] = {}
    rule = ""
    for line in path.read_text("utf-8").splitlines():
        word, _, rest = line.partition("\t")
        if word == "rule":
            rule = rest
            by_rule.setdefault(rule, [])
        elif word == "at":
            box = tuple(round(float(v) * scale, 4) for v in rest.split())
            by_rule[rule].append(Place(cell=cell, box=box))  # type: ignore[arg-type]
    return [
        Item(rule=name, text=name, count=len(places), places=tuple(places[:MOST_PLACES]))
        for name, places in by_rule.items()
    ]


def warnings(run: Finished) -> tuple[str, ...]:
    """What Magic left out: layers that its technology does not have, and its own warnings."""
    text = run.stdout + "\n" + run.stderr
    layers = re.findall(r"[Uu]nknown layer/datatype[^,]*, layer=(\d+) type=(\d+)", text)
    notes = [f"Magic left out layer {a}/{b}" for a, b in dict.fromkeys(layers)]
    return tuple(notes)
