"""What a page is made of: verdict, sections, and in them text, tables, code and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Bar", "Code", "Draws", "Item", "Plot", "Section", "Table", "Text", "Verdict"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer at the head of a page.

    Attributes:
        state: "pass", "fail" or "none" (nothing was judged); sets the colour.
        word: the answer in a word or two, for example "PASS".
        text: the decision and its number, in a sentence or two.
        detail: what it rests on, in smaller type below; may be empty.
    """

    state: Literal["pass", "fail", "none"]
    word: str
    text: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Text:
    """One paragraph; `note` sets it apart as a remark."""

    text: str
    note: bool = False


@dataclass(frozen=True, kw_only=True)
class Code:
    """Lines to type or to read as they are.

    Attributes:
        text: the lines.
        collapse: their title, which alone is shown until the reader opens it; empty: shown at once.
    """

    text: str
    collapse: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of ready text; the first column heads each row.

    Attributes:
        caption: says what the table holds.
        head: column titles.
        rows: texts, as many a row as there are titles. PASS and FAIL are shown as badges.
        left: columns of words, set flush left; the rest are numbers.
        collapse: show only the caption until the reader opens it.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)
    collapse: bool = False


@dataclass(frozen=True, kw_only=True)
class Bar:
    """How much of something is done.

    Attributes:
        share: from 0 to 1.
        label: the same in words; read aloud in place of the bar.
    """

    share: float
    label: str


class Draws(Protocol):
    """What draws on axes; `functools.partial` makes one of any function of `xb.plot`."""

    def __call__(self, *, ax: Axes) -> object:
        """Draw on `ax`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Plot:
    """Something drawn, with its text alternative and caption.

    It is drawn when the page is: where matplotlib is not installed, the page says so in its place.
    Leave text, ticks and frames in matplotlib's default black: on the page they take the colour of
    the page's text, so that they can be read on light and on dark ground.

    Attributes:
        draw: called with the axes of an empty figure, ``draw(ax=axes)``; for example
            ``partial(xb.plot.errors, fast, golden)``.
        alt: what it shows, for who does not see it.
        caption: below it.
        width, height: of the figure, inches; read at about 80 points an inch.
    """

    draw: Draws = field(repr=False)
    alt: str
    caption: str
    width: float = 4.6
    height: float = 3.4


Item = Text | Code | Table | Plot | Bar


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A heading and what stands below it."""

    title: str
    items: Sequence[Item]
