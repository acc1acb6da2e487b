"""A matplotlib figure as SVG that can stand inside a page, several of them side by side."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["to_svg"]

_RASTER_DPI = 144  # of rasterized parts (large scatters): sharp enough on a phone's dense screen


def to_svg(figure: Figure, key: str) -> str:
    """An `<svg>` element: transparent, black turned into the page's text colour, no outside links.

    Args:
        figure: the figure; its legends lose their background.
        key: prefix of every id, unique on the page (two figures may not share an id).
    """
    import matplotlib as mpl
    from matplotlib.legend import Legend

    for legend in figure.findobj(Legend):
        cast("Legend", legend).get_frame().set_facecolor("none")
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # svg.fonttype "none" keeps text as text; the salt makes ids repeat from run to run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "xbarspice"}):
        figure.savefig(
            buffer, format="svg", dpi=_RASTER_DPI, transparent=True, metadata=no_metadata
        )
    return _embed(buffer.getvalue(), key)


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
