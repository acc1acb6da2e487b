"""The pages that a reader may follow, and the code and command lines that stand in them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["PAGES", "ROOT", "command_lines", "python_blocks"]

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def python_blocks(page: Path) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


def command_lines(page: Path) -> list[str]:
    """The lines of a page that call `xbarspice`, indented or in a console block, in order."""
    text = re.sub(r"```python\n.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"^(?: {4}|\$ )(xbarspice .*)$", text, flags=re.M)
