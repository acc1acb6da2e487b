"""Every Python block of README and docs/ runs; those of one page in order, in one program."""

from __future__ import annotations

import pytest

from tests.docs.pages import PAGES, python_blocks

ONE_BY_ONE = {"extending.md"}
"""Pages whose blocks are programs of their own, run by another test."""
RUN = [page for page in PAGES if python_blocks(page) and page.name not in ONE_BY_ONE]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for number, block in enumerate(python_blocks(page)):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)  # noqa: S102


def test_the_pages_that_lead_in_have_examples():
    with_blocks = {page.name for page in RUN}
    assert {"README.md", "any-network.md", "arrays.md", "verify.md"} <= with_blocks
