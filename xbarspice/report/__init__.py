"""Reports drawn from stored records: one-file HTML, Markdown, JUnit XML; nothing is solved again.

All are made of the same parts: `page` (or `html` and `markdown`) with `Section`s of `Text`, `Code`,
`Table` and `Plot`. Nothing here knows a subject: a page stands with what it is about.
"""

from __future__ import annotations

from xbarspice.report.content import Code, Draws, Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import html, markdown, page, write_files, write_report

__all__ = [
    "Code",
    "Draws",
    "Item",
    "Plot",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "html",
    "markdown",
    "page",
    "write_files",
    "write_report",
]
