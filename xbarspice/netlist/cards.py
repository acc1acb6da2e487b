"""Text as cards: characters, comments and continuation lines by the rules of a dialect.

What simulators read in different ways is refused here, so that what follows sees cards that mean
the same to all of them: characters beyond plain ASCII, indented lines of the SPICE family (Xyce
takes them as comments), continuations after a comment or a blank line, comments that some programs
execute (``*#`` and ``*ng_script`` in ngspice, ``*.`` in CDL) and comments that end in a backslash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from xbarspice.core.errors import NetlistError

if TYPE_CHECKING:
    from xbarspice.netlist.dialects.base import Dialect

__all__ = ["Card", "Text", "refuse", "split"]

_SHOWN = 80
_ODD = re.compile(r"[^ -~\t]")
_PLAIN_COMMENT = re.compile(r"\*(?!ng_script)([ \t*=A-Za-z0-9-].*)?", re.IGNORECASE)


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
class Text:
    """The cards of a text, and the words of its comment lines without the mark."""

    cards: tuple[Card, ...]
    comments: tuple[Card, ...]


def refuse(card: Card, why: str) -> NoReturn:
    """Raise the error of one line.

    Raises:
        NetlistError: always; names the line and shows its text.
    """
    text = card.text if len(card.text) <= _SHOWN else card.text[: _SHOWN - 3] + "..."
    raise NetlistError(f"line {card.at}: {why}; received {text!r}.")


def split(text: str, dialect: Dialect) -> Text:
    """Take a text apart.

    Raises:
        NetlistError: a line is not understood completely.
    """
    cards: list[Card] = []
    comments: list[Card] = []
    joins = False  # whether the next line may or, after a backslash, must continue the last card
    spice = dialect.comment == "*"
    for at, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        _refuse_characters(at, line)
        body, remark = _without_remark(at, line, dialect)
        if remark and body and not spice and (joins or body.endswith("\\")):
            refuse(Card(at, line), "a broken line must hold no comment")
        words = " ".join(body.split())
        if spice:
            if body[:1] in (" ", "\t"):
                refuse(Card(at, line), "a line must not begin with a blank (Xyce skips it)")
            if body.startswith("+"):
                if not joins:
                    refuse(Card(at, line), "a continuation must follow the line that it continues")
                more = f"{cards[-1].text} {' '.join(body[1:].split())}"
                cards[-1] = Card(cards[-1].at, more, remark is not None)
            elif words:
                cards.append(Card(at, words, remark is not None))
            joins = bool(words) and remark is None
        else:
            if joins and not words:
                refuse(Card(at, line), "a broken line must go on in the next one")
            broken = body.endswith("\\")
            words = words.removesuffix("\\").rstrip()
            if joins:
                cards[-1] = Card(cards[-1].at, f"{cards[-1].text} {words}".strip())
            elif words:
                cards.append(Card(at, words))
            elif broken:
                refuse(Card(at, line), "a broken line must begin with words")
            joins = broken
        if remark is not None and not body:
            comments.append(Card(at, " ".join(remark.split())))
    if joins and not spice:
        refuse(cards[-1], "a broken line must go on in the next one")
    return Text(tuple(cards), tuple(comments))


def _refuse_characters(at: int, line: str) -> None:
    if odd := _ODD.search(line):
        refuse(Card(at, line), f"netlists hold plain ASCII only, not U+{ord(odd[0]):04X}")


def _without_remark(at: int, line: str, dialect: Dialect) -> tuple[str, str | None]:
    """A line without its comment, and the comment (None where there is none)."""
    mark = dialect.comment
    body: str
    remark: str | None
    if line.lstrip().startswith(mark) and not (line.startswith("*.") and dialect.name == "cdl"):
        if mark == "*" and not _PLAIN_COMMENT.fullmatch(line):
            refuse(Card(at, line), "this comment may be a command to a simulator")
        body, remark = "", line.lstrip()[len(mark) :]
    elif start := dialect.remark.search(line):
        body, remark = line[: start.start()].rstrip(), line[start.end() :]
        if not body:
            refuse(Card(at, line), f"a comment line must begin with {mark}")
    else:
        body, remark = line, None
        if line.rstrip() != line and line.rstrip().endswith("\\"):
            refuse(Card(at, line), "a backslash must end its line")
        body = line.rstrip()
    if remark is not None and remark.rstrip().endswith("\\"):
        refuse(Card(at, line), "a comment must not end in a backslash")
    return body, remark
