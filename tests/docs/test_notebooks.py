"""The notebooks of examples/: stored without outputs, claims that are asserted, links that lead."""

from __future__ import annotations

import re

import nbformat
import pytest

from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    it = nbformat.read(request.param, as_version=4)
    nbformat.validate(it)
    return it


def test_there_are_three_stories_which_the_page_of_examples_names():
    page = (ROOT / "docs" / "examples.md").read_text("utf-8")
    named = re.findall(r"\]\(\.\./examples/notebooks/([\w.]+)\)", page)
    assert named == [
        "model_to_array.ipynb",
        "calibrating_a_die.ipynb",
        "open_process_tapeout.ipynb",
    ]
    assert sorted(named) == [path.name for path in NOTEBOOKS]


def test_nothing_is_stored_but_what_was_written(notebook):
    """Outputs come from running: `tests/docs/test_site.py` looks at those."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert not cell.metadata
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_claims_are_asserted(notebook):
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(source.count("assert") for source in code) >= 6
    assert sum("xb.plot." in source for source in code) >= 2
    assert notebook.cells[0].source.startswith("# ")


def test_links_lead_somewhere(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    for link in links:
        assert (NOTEBOOKS[0].parent / link).is_file(), link
    for path in re.findall(r"`(examples/[\w/.]+)`", text):
        assert (ROOT / path).is_file(), path
