"""The documentation site: it builds, its links lead somewhere, nothing comes from elsewhere."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from typer.main import get_command

import xbarspice as xb
from tests.docs.pages import ROOT
from tests.docs.test_notebooks import NOTEBOOKS
from tests.helpers import PATIENCE
from xbarspice.cli.app import app
from xbarspice.devices import export


class Page(HTMLParser):
    """The ids, links and loaded addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if "src" in values:
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") not in ("canonical", "edit"):
            self.loaded.append(values.get("href", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that `make docs` writes, built elsewhere, and its pages by path."""
    folder = tmp_path_factory.mktemp("site")
    process = subprocess.run(
        [
            "make",
            "-s",
            "-o",
            "setup",
            "docs",
            f"SITE={folder}",
            f"BIN={Path(sys.executable).parent}",
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,  # it runs the notebooks
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return folder, {path: Page(path) for path in folder.rglob("*.html")}


def test_a_warning_stops_the_build():
    """MkDocs counts only the warnings that it prints, so --quiet would let all of them pass."""
    (recipe,) = re.findall(r"mkdocs build(.*)", (ROOT / "Makefile").read_text("utf-8"))
    assert "--strict" in recipe
    assert not re.search(r" (-q|--quiet)\b", recipe)


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def test_every_link_leads_to_a_page_and_a_place_on_it(site):
    folder, pages = site
    broken, count = [], 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its addresses are those of the server's root
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if is_elsewhere(link) or link.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            count += 1
            if not target.is_file() or (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].ids
            ):
                broken.append((path.relative_to(folder).as_posix(), link))
    assert count > 1000
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site):
    folder, pages = site
    assert pages
    for path, page in pages.items():
        assert [address for address in page.loaded if is_elsewhere(address)] == [], path
    for sheet in folder.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text("utf-8")), (
            sheet
        )


def test_the_search_works_from_a_folder(site):
    """The index is a script that says what the JSON says, and the worker's stand-in is ours."""
    folder, _ = site
    index = (folder / "search" / "search_index.js").read_text("utf-8")
    documents = json.loads(index.removeprefix("var __index = "))["docs"]
    assert documents == json.loads((folder / "search" / "search_index.json").read_text())["docs"]
    assert len({entry["location"].partition("#")[0] for entry in documents}) > 40
    assert '<script src="javascripts/iframe-worker.js">' in text_of(site, "index.html")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium to search with")
def test_a_browser_finds_words_without_a_server(site):
    address = (site[0] / "start.html").as_uri() + "?q=ngspice"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    process = subprocess.run(
        ["chromium", *options, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    (count,) = re.findall(r'md-search-result__meta">(\d+) matching documents', process.stdout)
    assert int(count) > 10
    assert 'href="proof.html' in process.stdout.partition("md-search-result__meta")[2]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_is_a_page_with_what_it_printed_and_drew(site, path):
    text = text_of(site, f"notebooks/{path.stem}.html")
    pictures = re.findall(rf'src="({path.stem}_\w+\.svg)"', text)
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    assert len(pictures) == sum("xb.plot." in "".join(cell["source"]) for cell in cells)
    for picture in pictures:
        assert "<path" in (site[0] / "notebooks" / picture).read_text("utf-8")
    assert text.count("<pre") > len(cells)  # and outputs


def text_of(site, page: str) -> str:
    return (site[0] / page).read_text("utf-8")


def commands(command, path="xbarspice"):
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def test_every_command_and_option_stands_on_the_page_of_options(site):
    text = text_of(site, "command-help.html")
    every = list(commands(get_command(app)))
    assert len(every) > 20
    for path, command in every:
        assert f"<code>{path}</code>" in text, path
        options = [p for p in command.params if p.param_type_name == "option"]
        for option in options:
            assert any(word in text for word in option.opts), (path, option.opts)


def test_every_device_has_equation_source_range_and_curves(site):
    text = text_of(site, "devices.html")
    for name in export.MODELS:
        (section,) = re.findall(rf'<h2 id="{name}">.*?(?=<h2 |</article>)', text, flags=re.DOTALL)
        assert "source</td>" in section
        assert "reads</td>" in section
        assert f"xb_{name}" in re.sub(r"<[^>]+>", "", section)
        picture = (site[0] / "devices" / f"{name}.svg").read_text("utf-8")
        assert picture.count("<path") > 10


def public_places():
    """Module and name of every public class and function of the package and its rooms."""
    rooms = [getattr(xb, name) for name in xb.__all__]
    for room in [xb, *(room for room in rooms if inspect.ismodule(room))]:
        for name in getattr(room, "__all__", []):
            value = getattr(room, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield room.__name__, name


def test_every_public_name_stands_in_the_reference(site):
    places = list(public_places())
    assert len(places) > 200
    for room, name in places:
        page = f"api/{room.removeprefix('xbarspice.')}.html"
        assert f'<h2 id="{room}.{name}"' in text_of(site, page), (room, name)


def test_each_of_several_names_before_one_colon_has_its_own_entry_and_type(site):
    text = re.sub(r"<[^>]+>|\s", "", text_of(site, "api/xbarspice.html"))
    assert "tile_rows,tile_cols" not in text
    assert "tile_colsintastile_rows." in text
