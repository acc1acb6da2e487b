"""docs/extending.md: each example is run as a module outside the package, with its kit."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.M)
}
KITS = {
    "A device": "check_device",
    "An engine": "check_engine",
    "A netlist dialect": "check_dialect",
    "A variation": "check_variation",
    "A torch layer": "check_layer",
}
LONGEST = 26
"""Lines of an example with its imports, data and kit, blank lines left out."""


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("title", EXAMPLES)
def test_example_runs_outside_the_package(title, tmp_path, monkeypatch):
    (code,) = EXAMPLES[title]
    name = "outside_" + re.sub(r"\W", "_", title.lower())
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        module = importlib.import_module(name)
    finally:
        sys.modules.pop(name, None)
    assert not str(module.__file__).startswith(str(Path(__file__).parents[2]))
    if title == "A detector":
        for file in ("report.html", "report.json"):
            page = (tmp_path / "verified" / file).read_text("utf-8")
            assert "Bit lines [2, 3] have one conductance" in page
    if title == "A page":
        page = (tmp_path / "die.html").read_text("utf-8")
        assert "PASS" in page
        assert "3 of 64" in page


@pytest.mark.parametrize("title", EXAMPLES)
def test_example_is_short_and_uses_public_names(title):
    (code,) = EXAMPLES[title]
    assert len([line for line in code.splitlines() if line.strip()]) <= LONGEST
    used = re.findall(r"(?:xbarspice|xb)[\w.]*\._(?!_)\w+|import _\w+", code)
    assert not used
    assert KITS.get(title, "") in code


def test_the_table_names_every_example_once_and_what_it_names_exists():
    rows = re.findall(r"^\| \[(.*?)\]\(#(.*?)\) \|", PAGE, flags=re.M)
    titles = [title.lower() for title in EXAMPLES]
    assert [(title, title.replace(" ", "-")) for title in titles] == rows
    for place in re.findall(r"`(xbarspice/[\w/]+(?:\.py)?/?)`", PAGE):
        assert (Path(__file__).parents[2] / place).exists(), place
