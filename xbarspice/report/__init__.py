"""Reports drawn from stored records: one-file HTML, Markdown, JUnit XML; nothing is solved again.

All are made of the same parts: `page` (or `html` and `markdown`) with `Section`s of `Text`, `Code`,
`Table` and `Plot`. Nothing here knows a subject: a page stands with what it is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.report.content import Code, Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import html, markdown, page, write_files, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Code",
    "Item",
    "Plot",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "html",
    "markdown",
    "new_figure",
    "page",
    "write_files",
    "write_report",
]


def new_figure(width: float = 4.2, height: float = 3.3) -> Figure:
    """An empty figure (inches) in the size of the report's plots, without pyplot."""
    from xbarspice.report import plots

    return plots.new_figure(width, height)
