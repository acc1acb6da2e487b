"""What a deck is, and what its run says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xbarspice.core.errors import broken_rule
from xbarspice.core.files import check_file

__all__ = ["Deck", "DeckReport", "Item", "Place", "decks_of"]

SUFFIXES = {
    ("drc", "klayout"): (".drc", ".lydrc"),
    ("drc", "magic"): (".tech", ".magicrc"),
    ("lvs", "klayout"): (".lvs", ".lylvs"),
    ("lvs", "netgen"): (".tcl",),
}
"""Files that each tool takes, by kind of check."""
MOST_PLACES = 100
"""Places of a rule that are kept; the count is that of all."""


@dataclass(frozen=True, kw_only=True)
class Deck:
    """A designer's own rule or comparison file, and the program that runs it.

    Attributes:
        kind: "drc" or "lvs".
        tool: "klayout", "magic" or "netgen".
        file: the deck; it stays where it is, the manifest holds its name and hash.
        variables: what a KLayout script finds under ``$name``, beside the names that it is always
            given; ``{layout}``, ``{cell}``, ``{report}`` and ``{schematic}`` are replaced.
        extraction: Magic's technology or start-up file, which extracts the layout for netgen.
        timeout: wall-clock limit of each program, s.
    """

    kind: str
    tool: str
    file: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    extraction: Path | None = None
    timeout: float = 600.0

    @property
    def name(self) -> str:
        """Of its files in a tapeout folder."""
        return f"{self.kind}_{self.tool}_{re.sub(r'[^A-Za-z0-9]+', '_', self.file.stem)}"

    @property
    def programs(self) -> tuple[str, ...]:
        """The tools that a run needs."""
        return ("magic", "netgen") if self.tool == "netgen" else (self.tool,)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an item stands: its box in um, in the coordinates of a cell."""

    cell: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Item:
    """Everything that a deck found against one rule.

    Attributes:
        rule: the deck's name of the rule, or the kind of an LVS difference.
        text: what the deck says of it.
        count: how often.
        places: the first ones, at most `MOST_PLACES`; none where a tool gives none.
    """

    rule: str
    text: str
    count: int
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DeckReport:
    """The verdict of one deck on one layout.

    Attributes:
        deck: the deck.
        version: of the tool that gave the verdict.
        looked_at: what the tool looked at, in words.
        items: what it found.
        notes: what the tool left out or warned of.
        failure: why there is no verdict; "" where there is one.
        seconds: wall-clock time of the programs.
        files: kept logs, reports and netlists.
    """

    deck: Deck
    version: str
    looked_at: str = ""
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""
    seconds: float = 0.0
    files: tuple[Path, ...] = ()

    @property
    def state(self) -> str:
        """One of "clean", "items", or "failed" where the deck gave no verdict."""
        return "failed" if self.failure else "items" if self.items else "clean"

    def record(self) -> dict[str, Any]:
        """The verdict for JSON, without its files."""
        return {
            "deck": self.deck.file.name,
            "sha256": hashlib.sha256(self.deck.file.read_bytes()).hexdigest(),
            "name": self.deck.name,
            "kind": self.deck.kind,
            "tool": self.deck.tool,
            "version": self.version,
            "state": self.state,
            "looked_at": self.looked_at,
            "items": [_item_record(item) for item in self.items],
            "notes": list(self.notes),
            "failure": self.failure,
            "seconds": round(self.seconds, 2),
        }


def _item_record(item: Item) -> dict[str, Any]:
    places = [{"cell": p.cell, "box_um": list(p.box)} for p in item.places]
    return {"rule": item.rule, "text": item.text, "count": item.count, "places": places}


def decks_of(
    drc: list[Path] | None,
    lvs: str | None = None,
    lvs_deck: Path | None = None,
    magic: Path | None = None,
    variables: list[str] | None = None,
    timeout: float = 600.0,
) -> list[Deck]:
    """The decks that a command line asks for.

    Args:
        drc: rule files; their endings say the tool.
        lvs: "klayout" or "netgen"; None for no comparison.
        lvs_deck: KLayout's script, or netgen's setup.
        magic: what Magic extracts the layout with for netgen.
        variables: ``NAME=VALUE`` for KLayout's scripts.
        timeout: wall-clock limit of each program, s.

    Raises:
        InputError: an option is missing, superfluous or no file, or an ending is not known.
    """
    pairs = dict(_variable(text) for text in variables or [])
    if not 0 < timeout < float("inf"):
        raise broken_rule("the time limit of a deck must be > 0 s", timeout, "Give it in s.")
    decks = [
        Deck(kind="drc", tool=_drc_tool(file), file=file, variables=pairs, timeout=timeout)
        for file in map(_file, drc or [])
    ]
    if lvs is not None:
        decks.append(_lvs(lvs, lvs_deck, magic, pairs, timeout))
    elif lvs_deck or magic:
        raise broken_rule(
            "an LVS deck needs its tool", str(lvs_deck or magic), "Add --lvs klayout or netgen."
        )
    names = [deck.name for deck in decks]
    if len(set(names)) < len(names):
        raise broken_rule("decks of one tool must have different names", names, "Rename one.")
    if pairs and not any(deck.tool == "klayout" for deck in decks):
        raise broken_rule(
            "variables are those of KLayout's scripts", ", ".join(pairs), "Leave them out."
        )
    return decks


def _lvs(
    tool: str, deck: Path | None, magic: Path | None, variables: dict[str, str], timeout: float
) -> Deck:
    """The deck of a comparison."""
    if ("lvs", tool) not in SUFFIXES:
        raise broken_rule("LVS is run by klayout or netgen", repr(tool), "Name one of them.")
    endings = SUFFIXES["lvs", tool]
    if deck is None or deck.suffix not in endings:
        raise broken_rule(
            f"--lvs {tool} needs a deck that ends in {' or '.join(endings)}",
            str(deck or "none"),
            "Add it with --lvs-deck.",
        )
    if (magic is None) == (tool == "netgen"):
        raise broken_rule(
            "netgen, and no other tool, compares what Magic extracted with a technology",
            str(magic or "none"),
            "Add --magic with Magic's .tech or .magicrc file, or leave it out for klayout.",
        )
    if magic is not None and magic.suffix not in SUFFIXES["drc", "magic"] + ("",):
        raise broken_rule(
            "Magic's file must end in .tech or .magicrc", str(magic), "Pass one of them."
        )
    extraction = None if magic is None else _file(magic)
    return Deck(
        kind="lvs",
        tool=tool,
        file=_file(deck),
        variables=variables,
        extraction=extraction,
        timeout=timeout,
    )


def _drc_tool(file: Path) -> str:
    """The tool that takes a rule file; ``.magicrc`` alone is a name without ending."""
    ending = file.suffix or file.name
    for (kind, tool), endings in SUFFIXES.items():
        if kind == "drc" and ending in endings:
            return tool
    raise broken_rule(
        "a DRC deck ends in .drc or .lydrc (KLayout), or .tech or .magicrc (Magic)",
        str(file),
        "Pass such a file.",
    )


def _file(path: Path) -> Path:
    check_file(path, "a deck")
    if path.stat().st_size == 0:
        raise broken_rule("a deck must state what is checked", f"{path}, empty", "Check the file.")
    return path.resolve()


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise broken_rule("a variable is given as NAME=VALUE", repr(text), "For example feol=1.")
    return name, value
