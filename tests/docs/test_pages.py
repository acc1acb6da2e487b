"""The pages of docs/: packages that exist, terms in order, links that lead somewhere."""

from __future__ import annotations

import importlib
import math
import re
from itertools import pairwise

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.unit.test_house import level
from xbarspice import devices
from xbarspice.devices import export

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")


def packages() -> set[str]:
    """Packages and modules of the first floor, without the doors."""
    entries = (ROOT / "xbarspice").iterdir()
    names = {p.stem for p in entries if p.suffix == ".py" or (p / "__init__.py").is_file()}
    return names - {"__init__", "__main__"}


def test_the_architecture_names_every_package_once_from_the_ground_up():
    rows = re.findall(r"^\| `(\w+)` \|", ARCHITECTURE, flags=re.M)
    assert sorted(rows) == sorted(packages())
    floors = [level(name) for name in rows]
    assert floors == sorted(floors)


def test_the_picture_has_every_package_once_and_no_arrow_upwards():
    (picture,) = re.findall(r"```text\n(.*?)```", ARCHITECTURE, flags=re.DOTALL)
    floors = [line[38:].split() for line in picture.splitlines() if re.match(r" {8}\w", line)]
    names = [name for floor in floors for name in floor]
    assert sorted(names) == sorted(packages())
    spans = [[level(name) for name in floor] for floor in floors]
    assert all(min(upper) >= max(lower) for upper, lower in pairwise(spans))


def test_terms_of_the_glossary_stand_once_and_in_order():
    terms = re.findall(r"^- \*\*(.*?)\*\*: [A-Z]", GLOSSARY, flags=re.M)
    assert len(terms) == GLOSSARY.count("\n- ")
    assert [t.lower() for t in terms] == sorted({t.lower() for t in terms})


def anchors(page) -> set[str]:
    """What GitHub calls the headings of a page in links."""
    heads = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r'\]\(([^)]+)\)|src="([^"]+)"', text):
        path, _, anchor = "".join(target).partition("#")
        if not path.startswith("http"):
            place = page.parent / path if path else page
            assert place.exists(), target
            assert not anchor or anchor in anchors(place), target
    rooms = "xbarspice|tests|docs|benchmarks|papers|examples|netlists|models"
    for target in re.findall(rf"`((?:{rooms})/[\w/.-]+)`", text):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_named_parts_of_the_package_exist(page):
    """Every `xb.name` and `xbarspice.name` in a sentence can be reached from the package."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for dotted in re.findall(r"`(?:xb|xbarspice)((?:\.\w+)+)[^`]*`", text):
        part = importlib.import_module("xbarspice")
        for name in dotted[1:].split("."):
            if not hasattr(part, name):
                importlib.import_module(f"{part.__name__}.{name}")
            part = getattr(part, name)


def test_targets_of_make_that_are_named_exist():
    """In the pages, and in what public CI runs."""
    targets = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), flags=re.M))
    texts = [page.read_text("utf-8") for page in PAGES]
    named = set(re.findall(r"^    make ([\w-]+)|`make ([\w-]+)", "\n".join(texts), flags=re.M))
    in_ci = re.findall(r"^make ([\w-]+)$", (ROOT / ".ci/run").read_text(), flags=re.M)
    assert {"check", "test", "demo"} <= set(in_ci)
    assert {*in_ci, *("".join(names) for names in named)} <= targets
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert re.findall(r"^ +run: (.*)$", workflow, flags=re.M)[-1] == ".ci/run"


def test_the_read_me_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def test_the_index_lists_every_page_once():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = re.findall(r"^\| .* \| \[([\w-]+\.md)\]\(\1\) \|$", index, flags=re.M)
    assert sorted([*pages, "README.md"]) == sorted(p.name for p in (ROOT / "docs").glob("*.md"))


def test_the_changelog_keeps_its_form():
    """Versions, and in each the kinds of keepachangelog.com once."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    title, *versions = re.split(r"^## ", text, flags=re.M)
    assert title.startswith("# Changelog\n")
    assert versions[0].startswith("[Unreleased]\n")
    for version in versions:
        kinds = re.findall(r"^### (.*)$", version, flags=re.M)
        order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        assert kinds == [kind for kind in order if kind in kinds]


def test_the_tests_that_hold_the_faults_exist():
    """Every `tests/...py::test_...` of the list of faults; `::test_...` is in the file before."""
    text, path = (ROOT / "tests/faults/README.md").read_text("utf-8"), ""
    for named, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        path = named or path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text("utf-8"), (path, test)


def test_the_table_of_devices_has_every_model_and_its_range():
    """Each shipped model once; conductances and voltages are those of the class."""
    text = (ROOT / "docs" / "arrays.md").read_text("utf-8")
    table = text.partition("## Devices")[2].partition("\n## ")[0]
    stated = {}
    for row in re.findall(r"^\| (`\w+`.*) \|$", table, flags=re.M):
        names, _, G, V, _ = (cell.strip() for cell in row.split("|"))
        ranges = G.split(", ") if "," in names else [G]
        for name, part in zip(re.findall(r"`(\w+)`", names), ranges, strict=True):
            stated[name] = part, V
    assert sorted(stated) == sorted(export.MODELS)
    for name, (G, V) in stated.items():
        low, high = (1e6 * g for g in devices.get(name).G_range())
        if G == "any":
            assert (low, high) == (0.0, math.inf)
        else:
            assert [float(g) for g in G.split(" to ")] == pytest.approx([low, high], rel=5e-3)
        assert ("any" if name == "ohmic" else f"{devices.get(name).V_max:g}") == V


def test_figures_of_other_programs_are_those_of_the_results():
    """Times and errors of the table, for every solver and size that the results have."""
    results = (ROOT / "benchmarks/RESULTS.md").read_text("utf-8").partition("bench_solvers`")[0]
    measured = {
        (size, solver): (times, error)
        for size, solver, times, error in re.findall(
            r"^\| (\d+x\d+), 1 vector \| ([^|]+?) \|[^|]*\|[^|]*\| ([^|]*?) \| ([^|]*?) \|",
            results,
            flags=re.M,
        )
    }
    table = (ROOT / "docs/peers.md").read_text("utf-8").partition("## Point by point")[0]
    head, _, *rows = (
        [cell.strip() for cell in row.split("|")]
        for row in re.findall(r"^\|(.*)\|$", table, flags=re.M)
    )
    sizes = head[1:-1]
    stated = {solver: (times, error) for solver, *times, error in rows}
    assert set(stated) == {solver for _, solver in measured}
    for solver, (times, error) in stated.items():
        assert times == [measured.get((size, solver), ("", ""))[0] for size in sizes]
        assert error == measured["64x64", solver][1]


def test_tests_that_the_comparison_names_exist():
    """Each command of the table selects tests or runs an example."""
    commands = re.findall(r"`python (.*?)`", (ROOT / "docs/peers.md").read_text("utf-8"))
    assert len(commands) > 5
    for command in commands:
        words, _, selected = command.removeprefix("-m pytest ").partition(" -k ")
        for path in words.split():
            assert (ROOT / path).exists(), command
            if selected:
                tests = re.findall(r"^def (test_\w+)", (ROOT / path).read_text("utf-8"), flags=re.M)
                assert any(selected in test for test in tests), command
