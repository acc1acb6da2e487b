"""What plots of all pages have in common: size, colours, markers. Needs matplotlib."""

from __future__ import annotations

from matplotlib.figure import Figure

__all__ = ["ABSENT", "BLACK", "COLOURS", "FRAME", "MARKERS", "escape", "new_figure"]

# Middle tones: at least 3:1 against the white and against the dark page.
COLOURS = ("#2f7fd0", "#d1651f", "#2f9c63", "#b155c4", "#9a8411", "#d0487b")
MARKERS = ("o", "s", "^", "D", "v", "P")
ABSENT = "#8f979e"
FRAME = "#00b4dc"  # not a colour of the maps
BLACK = "#010101"  # not the pure black that the page turns into its text colour


def new_figure(width: float = 4.2, height: float = 3.3) -> Figure:
    """A figure without pyplot's global state; inches, read at about 80 points an inch."""
    return Figure(figsize=(width, height), layout="constrained")


def escape(text: str) -> str:
    """Text in which matplotlib reads no formula."""
    return text.replace("$", r"\$")
