"""A plot as SVG that can stand inside a page, several of them side by side."""

from __future__ import annotations

import importlib.util
import io
import re
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.errors import install_command
from xbarspice.report.content import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NO_PLOTS", "can_draw", "to_svg"]

NO_PLOTS = f"Plots need matplotlib, which is not installed: {install_command('matplotlib')}."
"""What stands in place of the plots of a page."""
_MANY = 2000
"""Points of one curve, scatter or group of shapes from which it becomes a picture."""
_RASTER_DPI = 144  # of rasterized parts (large scatters): sharp enough on a phone's dense screen


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    try:
        return importlib.util.find_spec("matplotlib") is not None
    except (ModuleNotFoundError, ValueError):
        return False


def to_svg(plot: Plot, key: str) -> str:
    """An `<svg>` element: transparent, black turned into the page's text colour, no outside links.

    It is drawn in matplotlib's default style, whatever the user's is.

    Args:
        plot: what is drawn.
        key: prefix of every id, unique on the page (two plots may not share an id).
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # svg.fonttype "none" keeps text as text; the salt makes ids repeat from run to run.
    svg = {"svg.fonttype": "none", "svg.hashsalt": "xbarspice", "legend.framealpha": 0.0}
    with style.context(["default", svg]):
        figure = Figure(figsize=(plot.width, plot.height), layout="constrained")
        plot.draw(ax=figure.add_subplot())
        _rasterise(figure)
        figure.savefig(
            buffer, format="svg", dpi=_RASTER_DPI, transparent=True, metadata=no_metadata
        )
    return _embed(buffer.getvalue(), key)


def _rasterise(figure: Figure) -> None:
    """Draw curves and scatters of very many points as pictures: a page stays small."""
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D

    for artist in figure.findobj():
        count = 0
        if isinstance(artist, Line2D):
            count = np.size(artist.get_xydata()) // 2
        elif isinstance(artist, Collection):
            shapes = sum(np.size(path.vertices) // 2 for path in artist.get_paths())
            count = max(shapes, np.size(artist.get_offsets()) // 2)
        if count > _MANY:
            artist.set_rasterized(True)


def _embed(text: str, key: str) -> str:
    text = text[text.index("<svg") :]
    head, _, body = text.partition(">")
    box = head.partition('viewBox="')[2].partition('"')[0]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'\bid="', f'id="{key}', body)
    body = re.sub(r'href="#', f'href="#{key}', body)
    body = re.sub(r"url\(#", f"url(#{key}", body)
    body = body.replace("stroke: #000000", "stroke: currentColor")
    body = body.replace("fill: #000000", "fill: currentColor")
    body = re.sub(r"\n\s*", "\n", body).strip()
    return f'<svg viewBox="{box}" aria-hidden="true" focusable="false">{body}'
