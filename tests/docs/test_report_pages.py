"""What holds for the page of every command: headline, plots, tables, units, plurals, print."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.docs.command_files import write_all
from xbarspice.cli.app import app

PAGES = {
    "verify model": "verify net.h5 --inputs x.npz --worst-case",
    "verify array": "verify array.npz --engine surrogate --engine nodal --reference nodal",
    "verify, a broken gate": "verify array.npz --engine surrogate --reference nodal "
    "--set gates.ideal=1e-9",
    "program": "program net.h5 --inputs x.npz --device o921c_4k --pulse max_pulses=3 "
    "--set mapping.G_min=102e-6 --set mapping.G_max=350e-6",
    "program --log": "program plan.json --log log.csv",
    "transfer": "transfer net.h5 --inputs x.npz --transfers 3 --layers 2 --budget 3 "
    "--remedy offset",
    "designs": "designs net.h5 --inputs x.npz --transfers 3 --choice placement",
    "tapeout": "tapeout net.h5 --inputs x.npz",
    "drc": "drc neck.gds --technology sky130b",
    "drc, no broken rule": "drc array.gds",
    "lvs": "lvs short.gds G.npz --technology sky130b",
    "lvs, no fault": "lvs array.gds G.npz",
    "extract": "extract array.gds",
    "extract, incomplete": "extract short.gds --technology sky130b",
    "calibrate sweeps": "calibrate sweeps iv.csv --device ohmic",
    "calibrate reads": "calibrate reads reads.csv --array G.csv --free R_wire",
    "calibrate pulses": "calibrate pulses pulses.csv --set array.device=o921c_4k --free A_p,A_n",
    "calibrate joint": "calibrate joint die1.csv=G1.csv die2.csv=G2.csv --kelvin monitors.csv "
    "--free R_wl,R_bl",
    "calibrate spread": "calibrate spread writes.csv",
    "calibrate noise": "calibrate noise repeats.csv",
    "calibrate drift": "calibrate drift before.csv --after 16=after.csv",
    "calibrate curves": "calibrate curves curves.csv",
    "calibrate tuning": "calibrate tuning tuning.csv",
    "calibrate retention": "calibrate retention bake.csv",
    "calibrate cycling": "calibrate cycling cycles.csv",
    "calibrate die": "calibrate die measured.csv",
    "calibrate die, a model": "calibrate die measured.csv --network net.h5 --inputs x.npz "
    "--array fc1[0,0,0] --transfers 2 --trials 2",
    "calibrate arrays": "calibrate arrays net.h5 --inputs x.npz --measured fc1[0,0,0]=a.csv "
    "--transfers 2",
}
"""Command lines of every page that a command writes."""
OTHER = {"demo", "train", "map", "solve", "config", "doctor", "campaign", "netlist", "import"}
OTHER |= {"export"}
"""Commands without a page of their own; the demo leaves that of its verification."""
FIRST = 2
"""Blocks (texts, tables, plots) after the headline by which the first plot has come."""
SIMULATED = {"verify model", "program", "transfer", "calibrate die, a model", "calibrate arrays"}
"""Pages whose numbers come from a simulation, so that no badge may say MEASURED."""
MANY = 7
"""Columns that no telephone shows side by side."""
VOID = {"meta", "link", "br", "img", "hr", "input"}


@dataclass
class Page(HTMLParser):
    """What the rules ask of a page.

    Attributes:
        text: all words that a reader sees, outside of plots.
        headline, badge: of the verdict.
        blocks: class or tag of each block after the headline, in order.
        loose: tables outside a container that scrolls.
        silent: captions of tables of many columns that do not say that they scroll.
        unfolded: titles of sections whose tables or code are not folded.
    """

    source: str
    text: str = ""
    headline: str = ""
    badge: str = ""
    blocks: list[str] = field(default_factory=list)
    loose: int = 0
    silent: list[str] = field(default_factory=list)
    unfolded: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.title = self.caption = ""
        self.columns = 0
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        kind = dict(attrs).get("class") or ""
        if self.open and self.open[-1][1] == "flow":
            self.blocks.append(kind or tag)
        if tag == "table" and not any(k.startswith("scroll") for _, k in self.open):
            self.loose += 1
        if tag in ("table", "pre") and not self.inside("details"):
            self.unfolded.add(self.title)
        if tag == "h2":
            self.title = ""
        if kind == "caption":
            self.caption = ""
        if tag == "thead":
            self.columns = 0
        if tag == "th" and self.inside("thead"):
            self.columns += 1
        if tag not in VOID:
            self.open.append((tag, kind))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag == "thead" and self.columns >= MANY and "scroll sideways" not in self.caption:
            self.silent.append(self.caption)

    def inside(self, tag):
        return any(name == tag for name, _ in self.open)

    def handle_data(self, data):
        if self.inside("svg") or self.inside("style"):
            return
        if self.inside("h2"):
            self.title += data
        if any(kind == "caption" for _, kind in self.open):
            self.caption += data
        if self.open and self.open[-1][0] == "span" and self.inside("header"):
            self.headline += data
        if self.inside("strong"):
            self.badge += data
        self.text += f"{data} "


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    write_all(folder)
    return folder


@pytest.fixture(scope="module", params=PAGES)
def page(request, files, tmp_path_factory):
    """Each page, by its name, with the name."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(files, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(app, [*PAGES[request.param].split(), "--out", "out"])
    path = folder / "out" / "report.html"
    assert path.exists(), (done.output, done.exception)
    return request.param, Page(path.read_text("utf-8"))


def test_every_command_is_here():
    """A new command has its page here, or is one of those without."""
    group = get_command(app)
    fits = {f"calibrate {name}" for name in group.commands["calibrate"].commands}
    commands = (set(group.commands) - {"calibrate"}) | fits
    lines = {" ".join(line.split()[: 1 + line.startswith("calibrate")]) for line in PAGES.values()}
    assert commands == lines | OTHER


def test_the_headline_is_a_decision_and_its_number(page):
    name, drawn = page
    assert drawn.badge.isupper()
    assert re.search(r"\d", drawn.headline), drawn.headline
    assert len(drawn.headline) < 320
    if name in SIMULATED:
        assert "MEASURED" not in drawn.badge


def test_the_first_plot_stands_near_the_top(page):
    _, drawn = page
    plots = [k for k, kind in enumerate(drawn.blocks) if kind.startswith("plots")]
    assert plots[0] < FIRST, drawn.blocks


def test_tables_scroll_and_wide_ones_say_so(page):
    _, drawn = page
    assert drawn.loose == 0
    assert drawn.silent == []


def test_units_have_one_spelling(page):
    """Prefixes as letters; ohm in the singular; no power of ten before a unit."""
    _, drawn = page
    assert not re.findall(r"[µμΩ]|\b[kM]?ohms\b|\bOhm\b|\d micro", drawn.text)
    assert not re.findall(r"\d e-?\d+ ?(?:S|A|V|ohm)\b|\de-\d+ (?:S|A|V|ohm)\b", drawn.text)


def test_one_thing_has_no_plural(page):
    """Of a count of 1: "1 device", never "1 devices"."""
    _, drawn = page
    ones = re.findall(r"(?<![\w.,\[:-])(?<!\d )1 (?!ohm)([a-z]{3,}s)\b", drawn.text)
    assert [word for word in ones if word not in {"has", "was"} and word[-2:] != "ss"] == []


def test_ratios_are_in_percent(page):
    """No ratio from 0.01 % upwards is written as a fraction beside others in percent."""
    _, drawn = page
    assert not re.findall(r"(?<![\d.])0\.\d+ of the largest", drawn.text)


def test_settings_are_folded(page):
    name, drawn = page
    assert drawn.unfolded.isdisjoint({"Configuration", "Calibration card"})
    assert "Configuration" in drawn.text or name in ("program --log", "tapeout")


def test_the_page_prints_and_follows_the_dark_scheme(page):
    """And needs nothing from outside, no script among it."""
    _, drawn = page
    for rule in ("@media print", "@page", "prefers-color-scheme: dark", "default-src 'none'"):
        assert rule in drawn.source, rule
    assert not re.search(
        r"<script|<link|@import|url\((?!#)|(?:src|href)=\"(?!#|data:)", drawn.source
    )
