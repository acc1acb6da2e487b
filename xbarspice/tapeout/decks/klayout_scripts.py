"""KLayout's DRC and LVS scripts, run by the application in batch mode, and its result files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.counts import counted
from xbarspice.core.errors import EngineError, missing_package
from xbarspice.engines.process import Finished
from xbarspice.tapeout.decks.records import MOST_PLACES, Deck, DeckReport, Item, Place
from xbarspice.tapeout.decks.tools import quote, run_tool

if TYPE_CHECKING:
    import klayout.db as kdb
    import klayout.rdb as rdb

__all__ = ["VARIABLES", "read_lvs", "read_report", "run_drc", "run_lvs"]

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "layout": ("input", "in_gds", "gds_file"),
    "cell": ("topcell", "top_cell", "cell"),
    "report": ("report", "report_file", "output"),
    "schematic": ("schematic", "schematic_file", "cdl_file", "netlist"),
}
"""Names under which scripts look for what they need; each is given under all of its names."""


def run_drc(deck: Deck, layout: Path, cell: str, directory: Path, version: str) -> DeckReport:
    """Run a DRC script.

    Raises:
        EngineError: the script ended with an error, wrote no report, or that of another cell.
    """
    variables = {"layout": layout, "cell": cell, "report": directory / "report.lyrdb"}
    run = _run(deck, variables, directory)
    path = _result(directory, variables["report"], ".lyrdb", run)
    rules, items = read_report(path, cell)
    if not rules:
        raise EngineError(
            f"a DRC script must check something; {deck.file.name} stated no rule. Some ask for "
            f"parts of theirs by a variable: --deck-variable feol=1. {quote(run)}"
        )
    return DeckReport(
        deck=deck,
        version=version,
        looked_at=f"cell {cell}, {counted(rules, 'rule')}",
        items=tuple(items),
        notes=_warnings(run),
        seconds=run.seconds,
        files=(path, directory / "klayout.log"),
    )


def run_lvs(
    deck: Deck, layout: Path, cell: str, schematic: Path, directory: Path, version: str
) -> DeckReport:
    """Run an LVS script on a layout and a schematic.

    Raises:
        EngineError: the script ended with an error, wrote no result, or compared nothing.
    """
    variables = {
        "layout": layout,
        "cell": cell,
        "report": directory / "report.lvsdb",
        "schematic": schematic,
    }
    run = _run(deck, variables, directory)
    path = _result(directory, variables["report"], ".lvsdb", run)
    looked_at, items, notes = read_lvs(path, cell)
    return DeckReport(
        deck=deck,
        version=version,
        looked_at=looked_at,
        items=tuple(items),
        notes=(*notes, *_warnings(run)),
        seconds=run.seconds,
        files=(path, directory / "klayout.log"),
    )


def _run(deck: Deck, roles: Mapping[str, Any], directory: Path) -> Finished:
    """Run the script with its variables."""
    values = {name: str(value) for role, value in roles.items() for name in VARIABLES[role]}
    words = {role: str(value) for role, value in roles.items()}
    values |= {name: _fill(text, words) for name, text in deck.variables.items()}
    arguments = [word for name, value in values.items() for word in ("-rd", f"{name}={value}")]
    command = ["-b", "-r", str(deck.file), *arguments]
    run = run_tool("klayout", command, directory, deck.timeout)
    if run.status or re.search(r"^ERROR:", run.stderr, re.MULTILINE):
        raise EngineError(
            f"KLayout must run {deck.file.name} to its end; exit status {run.status}. {quote(run)}"
        )
    return run


def _fill(text: str, words: Mapping[str, str]) -> str:
    """A variable's text with its placeholders replaced."""
    return re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), text)


def _result(directory: Path, path: Path, ending: str, run: Finished) -> Path:
    """The result file, also where a script chose its name."""
    others = [p for p in directory.rglob(f"*{ending}") if p != path]
    if path.is_file() or len(others) == 1:
        return path if path.is_file() else others[0]
    raise EngineError(
        f"a script must write its result to the path in $report; {len(others) or 'no'} {ending} "
        "files were written. If it reads another variable: --deck-variable NAME={report}. "
        f"{quote(run)}"
    )


def _warnings(run: Finished) -> tuple[str, ...]:
    lines = [*run.stdout.splitlines(), *run.stderr.splitlines()]
    return tuple(dict.fromkeys(x.strip() for x in lines if x.lower().startswith("warning")))[:20]


def _package(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"klayout.{name}")
    except ModuleNotFoundError as error:
        raise missing_package(error) from error


# -- DRC: a report database


def read_report(path: Path, cell: str) -> tuple[int, list[Item]]:
    """Number of rules of a report (.lyrdb), and what was found against them.

    Raises:
        EngineError: the file cannot be read, or is the report on another cell.
    """
    database = _package("rdb").ReportDatabase("")
    try:
        database.load(str(path))
    except RuntimeError as error:
        raise EngineError(f"KLayout's report cannot be read: {error}.") from error
    if database.top_cell_name != cell:
        raise EngineError(
            f"the script must check the cell {cell}; its report is on "
            f"{database.top_cell_name or 'no cell'}. Let it read the path in $input."
        )
    rules = list(_leaves(database.each_category()))
    items = [
        Item(
            rule=rule.path().replace("'", ""),
            text=rule.description,
            count=rule.num_items(),
            places=tuple(_places(database, rule)),
        )
        for rule in rules
        if rule.num_items()
    ]
    return len(rules), items


def _leaves(categories: Any) -> Iterator[rdb.RdbCategory]:
    """Categories that hold items or have no parts."""
    for category in categories:
        parts = list(category.each_sub_category())
        inside = sum(part.num_items() for part in parts)
        if not parts or category.num_items() > inside:
            yield category
        yield from _leaves(parts)


def _places(database: rdb.ReportDatabase, rule: rdb.RdbCategory) -> Iterator[Place]:
    for k, item in enumerate(database.each_item_per_category(rule.rdb_id())):
        if k == MOST_PLACES:
            return
        box = _box_of(item)
        if box is not None:
            name = database.cell_by_id(item.cell_id()).name()
            yield Place(cell=name, box=_corners(box))


def _box_of(item: rdb.RdbItem) -> kdb.DBox | None:
    """The box around all geometry of an item."""
    box = _package("db").DBox()
    for value in item.each_value():
        if value.is_edge_pair():
            pair = value.edge_pair()
            box = box + pair.first.bbox() + pair.second.bbox()
        for kind in ("polygon", "box", "edge", "path", "text"):
            if getattr(value, f"is_{kind}")():
                part = getattr(value, kind)()
                box = box + (part if kind == "box" else part.bbox())
    return None if box.empty() else box


def _corners(box: kdb.DBox) -> tuple[float, float, float, float]:
    return tuple(round(v, 6) for v in (box.left, box.bottom, box.right, box.top))  # type: ignore[return-value]


# -- LVS: two netlists and how they were matched


def read_lvs(path: Path, cell: str) -> tuple[str, list[Item], list[str]]:
    """What a result file (.lvsdb) compared, in words, the differences, and what was not compared.

    Beside what KLayout calls a mismatch, nets that it matched although both have names, and other
    ones, are differences: the labels of an array are its pins.

    Raises:
        EngineError: the file cannot be read, the script did not compare, or compared no device of
            the cell.
    """
    result = _package("db").LayoutVsSchematic()
    try:
        result.read(str(path))
    except RuntimeError as error:
        raise EngineError(f"KLayout's result cannot be read: {error}.") from error
    xref = result.xref()
    pairs = [] if xref is None else list(xref.each_circuit_pair())
    if xref is None or not pairs:
        raise EngineError("an LVS script must compare two netlists; this one did not.")
    names = [c.name for pair in pairs if (c := pair.second()) is not None]
    if cell.lower() not in map(str.lower, names):
        raise EngineError(
            f"the script must compare the cell {cell}; the schematic has {', '.join(names)}. "
            "Let it read the path in $schematic."
        )
    devices = sum(_count(xref.each_device_pair(pair)) for pair in pairs)
    nets = sum(_count(xref.each_net_pair(pair)) for pair in pairs)
    if not devices:
        raise EngineError(f"an LVS script must compare devices; {cell} has none in its result.")
    items = [item for pair in pairs for item in _differences(result, pair)]
    top = next(
        p for p in pairs if p.second() is not None and p.second().name.lower() == cell.lower()
    )
    names, nameless = _names(xref, top)
    notes = []
    if nameless:
        notes.append(
            f"{nameless} of {counted(names + nameless, 'line')} have no name in the layout as "
            "the script "
            "reads it: they were matched by their connections alone, which many lines share"
        )
    seen = f"{counted(devices, 'device')} and {counted(nets, 'net')}, {names} names"
    return f"cell {cell}, {seen}", items, notes


def _names(xref: Any, pair: Any) -> tuple[int, int]:
    """Nets of the schematic's pins whose partners have a name, and those whose have none."""
    pins = {p.name().lower() for p in pair.second().each_pin()}
    partners = [
        first is not None and bool(first.name)
        for one in xref.each_net_pair(pair)
        for first, second in [(one.first(), one.second())]
        if second is not None and second.name.lower() in pins
    ]
    return sum(partners), len(partners) - sum(partners)


def _count(pairs: Any) -> int:
    return sum(1 for _ in pairs)


def _differences(result: kdb.LayoutVsSchematic, pair: Any) -> Iterator[Item]:
    """All differences of one circuit, one item each."""
    xref = result.xref()
    kinds = (
        ("device", xref.each_device_pair(pair)),
        ("net", xref.each_net_pair(pair)),
        ("pin", xref.each_pin_pair(pair)),
        ("subcircuit", xref.each_subcircuit_pair(pair)),
    )
    good = {xref.Match, xref.MatchWithWarning}
    count = 0
    for kind, pairs in kinds:
        for one in pairs:
            first, second = one.first(), one.second()
            words = f"{_name(first, 'nothing')} in the layout, {_name(second, 'nothing')} in the "
            if one.status() not in good:
                rule = f"{kind} differs"
            elif kind == "net" and _renamed(first, second):
                rule = "net has another name"
            else:
                continue
            count += 1
            places = (
                _net_place(result, first, pair.first().name)
                if kind == "net" and first is not None
                else ()
            )
            yield Item(rule=rule, text=f"{words}schematic", count=1, places=places)
    if pair.status() not in good and not count:
        words = f"{_name(pair.first(), 'nothing')} and {_name(pair.second(), 'nothing')}"
        yield Item(rule="circuit differs", text=words, count=1)


def _renamed(first: Any, second: Any) -> bool:
    """Whether two matched nets have names, and other ones."""
    names = [net.name for net in (first, second) if net is not None and net.name]
    return len(names) == 2 and names[0].lower() != names[1].lower()


def _name(item: Any, otherwise: str) -> str:
    if item is None:
        return otherwise
    return str(item.expanded_name() if hasattr(item, "expanded_name") else item.name)


def _net_place(result: kdb.LayoutVsSchematic, net: Any, cell: str) -> tuple[Place, ...]:
    """The box around the shapes of a net of the layout, in its cell."""
    box = _package("db").Box()
    for name in result.layer_names():
        box += result.shapes_of_net(net, result.layer_by_name(name), True).bbox()
    if box.empty():
        return ()
    scaled = box.to_dtype(result.internal_layout().dbu)
    return (Place(cell=cell, box=_corners(scaled)),)
