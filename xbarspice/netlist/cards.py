"""Text as cards: the lines of a netlist without comments, and errors that name a line.

What simulators read in different ways is refused here and in the families of dialects, so that what
follows sees cards that mean the same to all of them: characters beyond plain ASCII, indented lines
of the SPICE family (Xyce takes them as comments), continuations after a comment or a blank line,
comments that some programs execute (``*#`` and ``*ng_script`` in ngspice, ``*.`` in CDL) and
comments that end in a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from xbarspice.core.errors import NetlistError

__all__ = ["Card", "Line", "Text", "number_lines", "refuse"]

_SHOWN = 80
_ODD = re.compile(r"[^ -~\t]")


@dataclass(frozen=True, slots=True)
class Card:
    """One logical line: the number of its first line, and its words with one blank between.

    `remark` says that a comment stood at the end of one of its lines.
    """

    at: int
    text: str
    remark: bool = False

    @property
    def words(self) -> list[str]:
        """The words between blanks."""
        return self.text.split(" ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text, taken apart.

    Attributes:
        card: the whole line with its number.
        body: what precedes a comment; blanks at the start are kept.
        comment: what follows the mark of a comment; None where there is none.
    """

    card: Card
    body: str
    comment: str | None = None

    @property
    def words(self) -> str:
        """The body with one blank between its words."""
        return " ".join(self.body.split())

    @property
    def comment_card(self) -> Card | None:
        """The comment of a line that holds nothing else."""
        if self.comment is None or self.body:
            return None
        return Card(self.card.at, " ".join(self.comment.split()))


@dataclass(frozen=True, slots=True)
class Text:
    """The cards of a text, and the words of its comment lines without the mark."""

    cards: tuple[Card, ...]
    comments: tuple[Card, ...]


def refuse(card: Card, reason: str) -> NoReturn:
    """Raise the error of one line.

    Raises:
        NetlistError: always; names the line and shows its text.
    """
    text = card.text if len(card.text) <= _SHOWN else card.text[: _SHOWN - 3] + "..."
    raise NetlistError(f"line {card.at}: {reason}; received {text!r}.")


def number_lines(text: str) -> Iterator[Card]:
    """Every line of a text as a card, numbered from 1, without its end.

    Raises:
        NetlistError: a line holds other characters than those of plain ASCII.
    """
    for at, line in enumerate(text.split("\n"), start=1):
        card = Card(at, line.removesuffix("\r"))
        if odd := _ODD.search(card.text):
            refuse(card, f"netlists hold plain ASCII only, not U+{ord(odd[0]):04X}")
        yield card
