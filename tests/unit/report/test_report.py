import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice import report
from xbarspice.core.counts import counted
from xbarspice.core.errors import StoreError
from xbarspice.core.wires import as_record
from xbarspice.report import units
from xbarspice.report.sections import gates_verdict
from xbarspice.verification import Gates, Search

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = '<script>alert("x")</script> & | $x$ `y`'


class Page(HTMLParser):
    """Collects what a test asks for, and fails on tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.ids, self.attributes = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def subjects():
    """A verified model of two matrices and a verified array, by the nodal engine."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x = torch.rand(5, 3, dtype=torch.float64)
    config = xb.ArrayConfig(device="sinh_tio2", R_wl=2.0)
    gates = Gates(device=1e-6, findings=9)
    plan = Search(steps=1, rounds=1, starts=2)
    of_model = xb.verify(
        model,
        x,
        np.array([0, 1, 0, 1, 1]),
        config=config,
        reference="nodal",
        gates=gates,
        worst_case=plan,
        corners=True,
        title="A model of a test",
    )
    crossbar = xb.Crossbar(np.array([[1.0, 2, 0], [4, 5, 6]]) * 1e-4, R_wl=2.0, R_bl=1.0)
    V = np.linspace(0.1, 0.2, 10).reshape(5, 2)
    of_array = xb.verify_array(
        crossbar,
        V,
        I_out=V @ crossbar.G,
        engines=("surrogate",),
        reference="nodal",
        title="An array of a test",
    )
    return {"model": of_model, "array": of_array}


ABOUT = {
    "config": {"seed": 7, "array": {"R_wl": 1.0}, "mapping": {"G_max": 5e-4}},
    "environment": {"ngspice": {"version": "46"}, "numpy": "2.0"},
    "notes": ["trained for 5 epochs"],
    "calibration": "a card",
}


@pytest.fixture(scope="module", params=["model", "array"])
def drawn(subjects, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    report_ = subjects[request.param]
    report_.save(folder, ABOUT)
    names = {"html": "report.html", "md": "report.md", "junit": "junit.xml", "json": "report.json"}
    return {k: (folder / n).read_text() for k, n in names.items()} | {"report": report_}


def test_the_page_is_sound_and_holds_verdict_gates_and_settings(drawn):
    """Tags nest, ids are unique."""
    page = Page(drawn["html"])
    assert len(page.ids) == len(set(page.ids))
    verdict = "PASS" if drawn["report"].passed else "FAIL"
    words = [verdict, drawn["report"].title, "trained for 5 epochs", "array.R_wl", "2.0"]
    words += [gate.name for gate in drawn["report"].gates]
    for word in words:
        assert any(word in w for w in page.words), word


def test_the_page_needs_nothing_from_outside(drawn):
    """No script, and every reference stays in the file."""
    page = Page(drawn["html"])
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    links = [v for k, v in page.attributes if k.endswith(("src", "href"))]
    assert all(v.startswith(("#", "data:image/png;base64,")) for v in links)
    assert not re.search(r"@import|url\((?!#)", drawn["html"])


def test_markdown_holds_the_numbers_of_the_record(drawn):
    """Gates and settings read back equal to the JSON, to the digits shown."""
    cells = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in drawn["md"].splitlines()
        if line.startswith("|")
    ]
    record = json.loads(drawn["json"])
    for gate in record["gates"]:
        row = next(c for c in cells if c[0] == gate["name"])
        assert number_of(row[1]) == pytest.approx(gate["value"], rel=5e-3)
        assert (number_of(row[2]), row[3] == "PASS") == (gate["limit"], gate["passed"])
    assert ["mapping.G_max", "500 uS"] in cells


def number_of(text):
    """A ratio as it is written: in percent or as a plain number."""
    value, _, unit = text.partition(" ")
    assert unit in ("", "%")
    return float(value) / (100 if unit else 1)


def test_junit_holds_the_exact_numbers(drawn):
    """One case a gate with value and limit as properties; the card as one of the suite."""
    suite = ET.fromstring(drawn["junit"]).find("testsuite")  # noqa: S314 - our own file
    gates = drawn["report"].gates
    failures = sum(not gate.passed for gate in gates)
    assert (suite.get("tests"), suite.get("failures")) == (str(len(gates)), str(failures))
    assert suite.find("properties/property").get("value") == "a card"
    for case, gate in zip(suite.findall("testcase"), gates, strict=True):
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        assert properties.pop("unit", "") == gate.unit
        numbers = {name: float(value) for name, value in properties.items()}
        assert case.get("classname") == "xbarspice.verify"
        assert case.get("name") == gate.name
        assert numbers == {"value": gate.value, "limit": gate.limit}
        assert (case.find("failure") is None) == gate.passed


def test_the_page_of_a_model_says_what_was_done(subjects, tmp_path):
    """Import, arrays, ideal product, trust map, outputs, searches, costs, corners."""
    text = subjects["model"].save(tmp_path).with_suffix(".md").read_text()
    for title in (
        "Gates",
        "Findings",
        "What of the model is on arrays",
        "Arrays",
        "The circuit and the ideal product",
        "Outputs",
        "Worst inputs",
        "What each part costs",
        "Corners",
        "Errors and what they cost",
    ):
        assert f"## {title}\n" in text
    assert "devices that differ most" in text
    assert "| nonlinear |" in text


def test_the_page_of_an_array_judges_its_given_currents(subjects, tmp_path):
    """They are those of ideal wires: the gate breaks, and the page says by how much and where."""
    array = subjects["array"]
    assert [g.name for g in array.gates if not g.passed] == ["given currents against nodal"]
    text = array.save(tmp_path).with_suffix(".md").read_text()
    stated = array.given
    assert f"differ from nodal by {units.error(stated.worst)} of the largest" in text
    assert f"on {stated.line} at vector {stated.vector}" in text
    assert "**FAIL**" in text


def test_hostile_text_stays_text(subjects, tmp_path):
    """Titles, gate names and settings cannot open a tag or break a table."""
    array = subjects["array"]
    gates = (replace(array.gates[0], name=HOSTILE + "\x07"), *array.gates[1:])
    page = replace(array, title=HOSTILE, gates=gates).save(tmp_path, {"config": {HOSTILE: HOSTILE}})
    text = page.read_text()
    assert "<script" not in text
    assert any(HOSTILE in w for w in Page(text).words)
    lines = page.with_suffix(".md").read_text().splitlines()
    row = next(r for r in lines if r.startswith("| &lt;script"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    case = ET.parse(tmp_path / "junit.xml").find(".//testcase")  # noqa: S314 - our own file
    assert case.get("name") == HOSTILE + " "


def test_many_lines_are_cut_and_the_table_says_so(tmp_path):
    crossbar = xb.Crossbar(np.full((2, 40), 1e-4))
    report_ = xb.verify_array(crossbar, engines=("surrogate",), reference="nodal")
    assert "and 10 more (report.json)" in report_.save(tmp_path).read_text()


def test_files_appear_together_or_not_at_all(subjects, tmp_path):
    """A target that cannot be written leaves the other two as they were."""
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "junit.xml.partial").mkdir()
    with pytest.raises(StoreError, match="must be writable"):
        subjects["array"].save(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert not (tmp_path / "report.md").exists()


def test_other_studies_build_pages_from_the_same_parts(tmp_path):
    """`page` takes text, code, tables and figures, and follows the page's text colour."""

    def draw(*, ax):
        ax.plot([1, 2], label="a")
        ax.legend()

    items = [
        report.Text(text="words"),
        report.Code(text="a\nb"),
        report.Table(caption="t", head=("a", "b"), rows=[("x", "1")], collapse=True),
        report.Plot(draw=draw, alt="a line", caption="rising"),
    ]
    sections = [report.Section(title="One", items=items)]
    text = report.page("Study", sections, tmp_path / "p.html").read_text()
    assert {"details", "pre", "svg", "table"} <= set(Page(text).tags)
    assert text.index('<p class="caption">t</p>') < text.index('<div class="scroll')
    assert "<summary>" not in text.partition("<pre>")[0]
    long = report.Section(title="One", items=[report.Code(text="a\nb", collapse="card.toml")])
    shown = report.page("Study", [long], tmp_path / "c.html").read_text()
    assert shown.index("<summary>card.toml (2 lines)</summary>") < shown.index("<pre>")
    assert "stroke: currentColor" in text
    assert "#000000" not in text
    assert not (tmp_path / "p.html.partial").exists()
    assert "- rising" in report.markdown("Study", sections)


def test_a_page_stays_small_however_many_points_it_shows(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 100_000))

    def draw(*, ax):
        ax.plot(*x, ".", rasterized=False)
        ax.scatter(*x)
        ax.fill_between(np.arange(100_000), x[0], x[1])

    plot = report.Plot(draw=draw, alt="points", caption="Many points.")
    path = report.page("Study", [report.Section(title="One", items=[plot])], tmp_path / "p.html")
    assert "data:image/png;base64," in path.read_text()
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.7132791e-5, "57.13 uA"),
        (0.0, "0 A"),
        (-9.8e-5, "-98 uA"),
        (999.96e-3, "1 A"),
        (1e-21, "0.001 aA"),
        (None, "-"),
        (float("nan"), "not checked"),
        (2.5e3, "2.5 kA"),
    ],
)
def test_quantities_have_si_prefixes(value, text):
    assert units.si(value, "A") == text


@pytest.mark.parametrize(
    ("name", "R", "text"),
    [
        ("R_wl", 1.3, "1.3 ohm"),
        ("R_wl", np.array([[0.9, 1.3]]), "0.9 to 1.3 ohm per segment"),
        ("R_driver", np.array([0.0, 1300.0]), "0 to 1.3 kohm per end"),
        ("R_bl", np.full((2, 3), 1e-3), "1 mohm per segment"),
        ("R_bl", np.zeros((0, 3)), "0 ohm per segment"),
    ],
)
def test_resistances_that_differ_are_a_range(name, R, text):
    record = json.loads(json.dumps(as_record(R)))
    assert units.resistance(name, record) == text


def test_a_ratio_is_in_percent_and_a_tiny_one_a_power_of_ten():
    ratios = (1.234e-9, 0.0, 9.99e-5, 1e-4, 0.03125, -0.5, None, float("nan"), float("inf"))
    texts = ["1.23e-9", "0", "9.99e-5", "0.01 %", "3.12 %", "-50 %", "-", "not checked", "infinite"]
    assert [units.error(v) for v in ratios] == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8667, "86.7 %"),
        (1.0, "100.0 %"),
        (0.0, "0.0 %"),
        (4999 / 5000, "99.98 %"),
        (2e-6, "0.0002 %"),
        (1 - 1e-16, "100.0 %"),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_a_share_says_100_percent_only_of_all_and_0_only_of_none(value, text):
    assert units.percent(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.9714e-4, "S", "197.14 uS"),
        (2.7169, "", "2.7169"),
        (0.5, "1/V", "0.5 1/V"),
        (float("inf"), "ohm", "inf ohm"),
        (None, "ohm", "-"),
    ],
)
def test_a_quantity_takes_a_prefix_where_its_unit_does(value, unit, text):
    assert units.quantity(value, unit) == text


def test_one_thing_has_no_plural():
    counts = [counted(n, "device") for n in (0, 1, 2, 1200)]
    assert counts == ["0 devices", "1 device", "2 devices", "1,200 devices"]
    assert counted(2, "process", "processes") == "2 processes"


@pytest.mark.parametrize(("cells", "hint"), [(2, False), (8, True)])
def test_a_wide_table_says_on_a_telephone_that_it_scrolls(cells, hint):
    """Long cells wrap, so that two columns of any length fit; eight of numbers do not."""
    table = report.Table(
        caption="t",
        head=[f"c{k}" for k in range(cells)],
        rows=[["x" * 30, *["1.234e-9"] * (cells - 1)]],
    )
    text = report.html("T", [report.Section(title="S", items=[table])])
    assert ("scroll sideways" in text) == hint


def test_the_verdict_says_its_number_and_below_what_it_rests_on():
    verdict = report.Verdict(state="pass", word="PASS", text="3 gates hold.", detail="By ngspice.")
    text = report.html("T", [], verdict=verdict)
    assert "<span>3 gates hold.</span><small>By ngspice.</small>" in text
    assert "By ngspice." in report.markdown("T", [], verdict=verdict)


GATE = {"name": "a", "value": 0.5, "limit": 0.1, "unit": "", "passed": False}


@pytest.mark.parametrize(
    ("gates", "text"),
    [
        ([GATE], "a: 50 %, limit 10 %. R"),
        ([GATE, GATE], "a: 50 %, limit 10 %. 1 other gate of 2 broken, too. R"),
        ([GATE | {"unit": "count", "value": 3, "limit": 2}], "a: 3, limit 2. R"),
        ([GATE | {"unit": "J", "value": 2e-12, "limit": 1e-12}], "a: 2 pJ, limit 1 pJ. R"),
        ([GATE | {"passed": True}], "The only gate holds. R"),
        ([GATE | {"passed": True}] * 2, "2 gates hold. R"),
    ],
)
def test_the_verdict_names_the_first_broken_gate_with_its_number(gates, text):
    verdict = gates_verdict({"gates": gates, "unjudged": ["x"]}, "R", "C.")
    assert (verdict.text, verdict.detail) == (text, "C. Not judged: x.")


def test_parts_of_pages_know_no_subject():
    """The package imports nothing but itself and core, at any place in its modules."""
    for path in Path(report.__file__).parent.glob("*.py"):
        imports = re.findall(r"(?:from|import) (xbarspice[\w.]*)", path.read_text())
        for name in imports:
            assert name.startswith(("xbarspice.report", "xbarspice.core")), (path.name, name)
