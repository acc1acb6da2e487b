"""The notebooks of examples/ as pages: each is run while the site is built."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor

__all__ = ["PAGE_OF", "pages"]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "notebooks"
SECONDS = 300
"""That a cell may take on a busy machine; whole notebooks take less than ten of one core."""
PLOTS = ["--InlineBackend.figure_formats={'svg'}"]
"""Sharp on every screen and on paper."""
PAGE_OF = {
    f"examples/notebooks/{path.name}": f"notebooks/{path.stem}.md"
    for path in sorted(FOLDER.glob("*.ipynb"))
}
"""Page of the site behind each notebook, by its path in the repository."""


def pages() -> dict[str, str | bytes]:
    """Every page and its pictures, by place on the site; a cell that fails stops the build."""
    out: dict[str, str | bytes] = {}
    for source, page in PAGE_OF.items():
        text, pictures = _page(ROOT / source)
        out[page] = text
        out |= {f"notebooks/{name}": content for name, content in pictures.items()}
    return out


def _page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Markdown of a notebook after it was run in its folder, and the pictures that it drew."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}, "unique_key": path.stem}
    ExecutePreprocessor(
        timeout=SECONDS, startup_timeout=SECONDS, coalesce_streams=True, extra_arguments=PLOTS
    ).preprocess(notebook, resources)
    text, made = MarkdownExporter().from_notebook_node(notebook, resources)
    title, _, body = text.lstrip().partition("\n")
    where = path.relative_to(ROOT).as_posix()
    return f"{title}\n\n*The notebook `{where}`, as it ran for this page.*\n{body}", made["outputs"]
