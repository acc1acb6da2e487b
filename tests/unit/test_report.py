import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from xbarspice import report, store
from xbarspice.errors import InputError, StoreError
from xbarspice.report import units
from xbarspice.report.records import load

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


def _layer(layer, worst, lines, cell):
    columns = [
        {"array": 0, "line": n, "worst": worst / (k + 1), "rms": worst / 7} for k, n in lines
    ]
    return {
        "layer": layer, "I_max": 5e-5, "worst": worst, "rms": worst / 5, "columns": columns,
        "worst_cell": cell,
    }  # fmt: skip


def _engine(name, worst, accuracy):
    cell = {
        "array": 0, "row": 1, "col": 2, "point": 3, "error": worst, "I_reference": 2.5e-6,
        "I_engine": 2.5e-6 * (1 + worst), "V_device": 0.0258,
    }  # fmt: skip
    lines = list(enumerate(["BL0", "BL1", "BL2"]))
    return {
        "engine": name, "method": "sparse LU", "seconds": 0.25, "accuracy": accuracy,
        "disagreements": 0, "kirchhoff": 1.25e-13, "notes": [],
        "layers": [_layer(0, worst, lines, cell)],
    }  # fmt: skip


def _record(worst=3.25e-8, limit=1e-6):
    return {
        "passed": worst <= limit, "reference": "ngspice", "points": 5, "software_accuracy": 0.975,
        "software_disagreements": 1, "title": "Cross-check of a test", "xbarspice": "0.1.0",
        "gates": [
            {"name": "nodal: worst current error", "value": worst, "limit": limit,
             "passed": worst <= limit},
            {"name": "nodal: predictions that differ", "value": 0, "limit": 0, "passed": True},
        ],
        "engines": [_engine("ngspice", 0.0, 0.8125), _engine("nodal", worst, 0.8375)],
        "config": {"seed": 7, "array": {"R_wl": 1.0}, "mapping": {"G_max": 5e-4}},
        "environment": {"ngspice": {"version": "46", "klu": True}, "numpy": "2.0"},
        "network": {"sizes": [2, 3], "activation": "sigmoid"},
        "arrays": [{"shape": [2, 3], "R_wl": 1.0, "device": "ohmic"}],
        "training": {"epochs": 5, "accuracy_test": 0.91}, "netlists": ["netlists/a.cir"],
        "seconds": {"train": 1.5, "crosscheck": 0.25},
    }  # fmt: skip


def _tree(worst=3.25e-8):
    """A 2x3 array, 5 inputs; the second engine is off by `worst` in row 1, column 2, input 3."""
    G = np.array([[1.0, 2, 0], [4, 5, 6]]) * 1e-4
    V_in = np.linspace(0.1, 0.2, 10).reshape(5, 2)
    V_wl = np.repeat(V_in[:, :, None], 3, axis=2) * np.array([1.0, 0.99, 0.97])
    I_device = G * V_wl
    other = I_device.copy()
    other[3, 1, 2] += worst * I_device.max()

    def block(device):
        return {
            "layer": 0, "array": 0, "reverse": False, "G": G, "V_in": V_in,
            "V_out": np.zeros((5, 3)), "V_wl": V_wl, "V_bl": np.zeros_like(V_wl),
            "I_device": device, "currents": device.sum(axis=1)[:, :, None],
        }  # fmt: skip

    grid = np.linspace(-1, 1, 9)
    z = grid[None, :] + grid[:, None]
    engines = {
        "ngspice": {"predictions": np.array([0, 1, 0, 1, 1]), "block0": block(I_device)},
        "nodal": {"predictions": np.array([0, 1, 0, 1, 1]), "block0": block(other)},
    }
    return {
        "reference": "ngspice", "engines": engines,
        "inputs": {"x": np.linspace(-1, 1, 10).reshape(5, 2), "y": np.array([0, 1, 1, 1, 1])},
        "boundary": {"x0": grid, "x1": grid, "software": z, "surrogate": z + 0.1},
    }  # fmt: skip


def _run(folder, record, tree=None):
    (folder / "report.json").write_text(json.dumps(record))
    if tree is not None:
        store.write_tree(folder / "results.h5", tree, "cross-check")
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = _run(tmp_path_factory.mktemp("run"), _record(), _tree())
    return {k: p.read_text() for k, p in report.write(folder).items()} | {"folder": folder}


def test_the_page_is_sound_and_holds_gates_and_figures(drawn):
    """Tags nest, ids are unique, and every plot has a text alternative."""
    page = Page(drawn["html"])
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("figure") == page.tags.count("figcaption") == 6
    assert [k for k, _ in page.attributes].count("role") >= 6
    for word in ("PASS", "nodal: worst current error", "3.25e-8", "Cross-check of a test"):
        assert any(word in w for w in page.words)
    for start in ("Scatter", "Histogram", "Error map", "Voltage-drop", "Conductance", "Decision"):
        assert sum(k == "aria-label" and v.startswith(start) for k, v in page.attributes) == 1


def test_the_page_needs_nothing_from_outside(drawn):
    """No script, and every reference stays in the file."""
    page = Page(drawn["html"])
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    links = [v for k, v in page.attributes if k.endswith(("src", "href"))]
    assert links
    assert all(v.startswith(("#", "data:image/png;base64,")) for v in links)
    assert not re.search(r"@import|url\((?!#)", drawn["html"])
    targets = {v[1:] for v in links if v.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", drawn["html"]))
    assert targets <= set(page.ids)


def test_markdown_holds_the_numbers_of_the_record(drawn):
    """Gates, accuracies and line errors read back equal to the JSON, to the digits shown."""
    cells = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in drawn["md"].splitlines()
        if line.startswith("|")
    ]
    gate = next(c for c in cells if c[0] == "nodal: worst current error")
    assert (float(gate[1]), float(gate[2]), gate[3]) == (3.25e-8, 1e-6, "PASS")
    assert next(c for c in cells if c[0] == "Accuracy")[1:] == ["97.5 %", "81.25 %", "83.75 %"]
    assert float(next(c for c in cells if c[0] == "Worst current error")[3]) == 3.25e-8
    lines = {c[1]: c[2:] for c in cells if c[1:] and c[1].startswith("BL")}
    columns = _record()["engines"][1]["layers"][0]["columns"]
    assert lines.keys() == {c["line"] for c in columns}
    for column in columns:
        shown = [float(v) for v in lines[column["line"]]]
        np.testing.assert_allclose(shown, [column["worst"], column["rms"]], rtol=5e-3)
    assert ["mapping.G_max", "500 uS"] in cells


def test_junit_holds_the_exact_numbers(drawn):
    """One case a gate with value and limit as properties."""
    suite = ET.fromstring(drawn["junit"]).find("testsuite")  # noqa: S314 - our own file
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("2", "0", "1.750")
    for case, gate in zip(suite.findall("testcase"), _record()["gates"], strict=True):
        found = {p.get("name"): float(p.get("value")) for p in case.iter("property")}
        assert (case.get("name"), found) == (
            gate["name"], {"value": gate["value"], "limit": gate["limit"]},
        )  # fmt: skip
        assert case.find("failure") is None


def test_a_broken_gate_shows_everywhere(tmp_path):
    """FAIL in the page, the Markdown and as a JUnit failure with value and limit."""
    paths = report.write(_run(tmp_path, _record(worst=0.03125), _tree(worst=0.03125)))
    page = Page(paths["html"].read_text())
    assert page.words.count("FAIL") == 2
    assert page.words.count("PASS") == 1
    text = paths["md"].read_text()
    assert "**FAIL**" in text
    assert "above the gate of 1e-6" in text
    failure = ET.parse(paths["junit"]).find(".//failure")  # noqa: S314 - our own file
    assert failure.get("message") == "value 0.03125 exceeds the limit 1e-06"


def test_hostile_text_stays_text(tmp_path):
    """Titles, gate names and engine names cannot open a tag or break a table."""
    record = json.loads(json.dumps(_record()).replace("nodal", "no$da_l^"))
    record["title"] = record["gates"][0]["name"] = HOSTILE + "\x07"
    record["config"][HOSTILE] = HOSTILE
    tree = _tree()
    tree["engines"]["no$da_l^"] = tree["engines"].pop("nodal")
    paths = report.write(_run(tmp_path, record, tree))
    text = paths["html"].read_text()
    assert "<script" not in text
    assert any(HOSTILE in w for w in Page(text).words)
    row = next(r for r in paths["md"].read_text().splitlines() if r.startswith("| &lt;script"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    case = ET.parse(paths["junit"]).find(".//testcase")  # noqa: S314 - our own file
    assert case.get("name") == HOSTILE + " "


@pytest.mark.parametrize("kept", [(), ("gates",), ("engines", "reference")])
def test_missing_keys_are_left_out(tmp_path, kept):
    """A record with few keys and no results still gives all three files."""
    record = {k: _record()[k] for k in kept}
    paths = report.write(_run(tmp_path, record))
    page = Page(paths["html"].read_text())
    assert any("no results.h5" in w for w in page.words)
    assert ("NO GATES" in page.words) == ("gates" not in kept)
    assert len(ET.parse(paths["junit"]).findall(".//testcase")) == 2 * ("gates" in kept)  # noqa: S314


def test_missing_labels_boundary_and_voltages(tmp_path):
    """No classes, no boundary, no inner quantities: their numbers and plots are left out."""
    record, tree = _record(), _tree()
    record["software_accuracy"] = None
    for engine in record["engines"]:
        engine["accuracy"] = None
    del tree["boundary"], tree["inputs"]["y"]
    for group in tree["engines"].values():
        for name in ("V_wl", "V_bl", "I_device"):
            del group["block0"][name]
    paths = report.write(_run(tmp_path, record, tree))
    assert Page(paths["html"].read_text()).tags.count("figure") == 3
    assert "| Accuracy | - | - | - |" in paths["md"].read_text()


def test_maps_are_read_off_the_records(drawn):
    """Error, drop and conductance maps against numbers found by hand."""
    run = load(drawn["folder"])
    (error,) = run.error_maps()
    assert error.place == (1, 2)
    np.testing.assert_allclose(error.worst, 3.25e-8, rtol=1e-6)
    assert np.isnan(error.values[0, 2])  # no device there
    (drop,) = run.drop_maps()
    assert (drop.point, drop.place) == (4, (1, 2))
    np.testing.assert_allclose(drop.worst, 0.2 * 0.03)
    (G,) = run.conductances()
    np.testing.assert_allclose(G.values, [[1e-4, 2e-4, np.nan], [4e-4, 5e-4, 6e-4]], rtol=1e-14)
    (currents,) = run.currents()
    # column 1 at the last input, 0.1889 and 0.2 V: 2e-4 and 5e-4 S at 99 % of the drive
    np.testing.assert_allclose(currents.I_max, 0.99 * (2e-4 * 1.7 / 9 + 5e-4 * 0.2))
    assert np.count_nonzero(currents.errors > 1e-12) == 1


def test_a_floating_line_has_no_voltage_drop(tmp_path):
    """Its currents cancel for every input, so there is no drive to compare with."""
    tree = _tree()
    for group in tree["engines"].values():
        group["block0"]["I_device"][:, 0, :] = [1e-6, -1e-6, 0]
    (drop,) = load(_run(tmp_path, _record(), tree)).drop_maps()
    assert np.isnan(drop.values[0]).all()
    assert np.isfinite(drop.values[1]).all()


def test_many_lines_fold_and_are_capped(tmp_path):
    """Above 400 output lines the worst are listed, and the caption says so."""
    record = _record()
    for engine in record["engines"]:
        columns = engine["layers"][0]["columns"]
        engine["layers"][0]["columns"] = [
            {**columns[0], "array": k // 100, "line": f"BL{k}", "worst": k * 1e-12}
            for k in range(500)
        ]
    paths = report.write(_run(tmp_path, record))
    page = Page(paths["html"].read_text())
    assert page.tags.count("details") == 1
    assert any("400 worst of 500 output lines" in w for w in page.words)
    assert "| BL499 |" in paths["md"].read_text()
    assert "| BL99 |" not in paths["md"].read_text()


def test_files_appear_together_or_not_at_all(tmp_path):
    """A target that cannot be written leaves the other two as they were."""
    folder = _run(tmp_path, _record())
    (folder / "report.html").write_text("old")
    (folder / "junit.xml.partial").mkdir()
    with pytest.raises(StoreError, match="must be writable"):
        report.write(folder)
    assert (folder / "report.html").read_text() == "old"
    assert not (folder / "report.md").exists()


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"report\.json"):
        report.write(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(StoreError, match="must be JSON"):
        report.write(tmp_path)


def test_the_readme_picture_is_drawn_from_the_records(drawn, tmp_path):
    """Three panels on 1200 x 400 pixels; panels without records are left out."""
    figure = report.figure_pipeline(drawn["folder"])
    figure.savefig(tmp_path / "a.png", dpi=100)
    assert tuple(figure.get_size_inches() * 100) == (1200, 400)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert len(titles) == 3
    tree = _tree()
    del tree["boundary"]
    rest = report.figure_pipeline(_run(tmp_path, _record(), tree))
    assert [ax.get_title() for ax in rest.axes if ax.get_title()] == titles[1:]


def test_other_studies_build_pages_from_the_same_parts(tmp_path):
    """`page` takes text, code, tables and figures, and follows the page's text colour."""
    figure = report.new_figure()
    figure.add_subplot().plot([1, 2], label="a")
    figure.axes[0].legend()
    items = [
        report.Text(text="words"),
        report.Code(text="a\nb"),
        report.Table(caption="t", head=("a", "b"), rows=[("x", "1")], collapse=True),
        report.Plot(figure=figure, alt="a line", caption="rising"),
    ]
    sections = [report.Section(title="One", items=items)]
    text = report.page("Study", sections, tmp_path / "p.html").read_text()
    assert {"details", "pre", "svg", "table"} <= set(Page(text).tags)
    assert "stroke: currentColor" in text
    assert "#000000" not in text
    assert not (tmp_path / "p.html.partial").exists()
    assert "- rising" in report.markdown("Study", sections)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.7132791e-5, "57.13 uA"), (0.0, "0 A"), (-9.8e-5, "-98 uA"), (999.96e-3, "1 A"),
        (1e-21, "0.001 aA"), (None, "-"), (float("nan"), "not checked"), (2.5e3, "2.5 kA"),
    ],
)  # fmt: skip
def test_quantities_have_si_prefixes(value, text):
    assert units.si(value, "A") == text


def test_errors_are_short():
    assert [units.error(v) for v in (1.234e-9, 0, 0.03125, None)] == ["1.23e-9", "0", "0.0312", "-"]
