"""Decks of our own run through KLayout, Magic and netgen: verdicts, places, and no false ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import xbarspice as xb
from tests.helpers import LIMITS, is_running, wait_until
from tests.unit.tapeout.decks.drawn import draw, schematic
from xbarspice.tapeout.decks import decks_of, programs_of, run_deck, tools

FILES = Path(__file__).parent / "files"
RULES, COMPARE, SETUP, TECH = (
    FILES / name for name in ("rules.drc", "compare.lvs", "setup.tcl", "small.tech")
)


def deck(kind, tool, file=None, **options):
    """One deck as the command makes it."""
    if kind == "drc":
        files = {"klayout": RULES, "magic": TECH}
        return decks_of([file or files[tool]], **options)[0]
    magic = TECH if tool == "netgen" else None
    files = {"klayout": COMPARE, "netgen": SETUP}
    return decks_of(None, tool, file or files[tool], options.pop("magic", magic), **options)[0]


def judge(chosen, layout, folder, *, cell="xb", **of_schematic):
    path = schematic(folder / "schematic.spice", **{"cell": cell, **of_schematic})
    both = {"cdl": path, "spice": path}
    return run_deck(chosen, layout, cell, folder / "kept", schematics=both)


EVERY = [("drc", "klayout"), ("drc", "magic"), ("lvs", "klayout"), ("lvs", "netgen")]


@pytest.mark.parametrize(("kind", "tool"), EVERY)
def test_a_good_drawing_is_clean_and_the_report_says_what_was_looked_at(kind, tool, tmp_path):
    report = judge(deck(kind, tool), draw(tmp_path / "array.gds"), tmp_path)
    assert report.failure == ""
    assert report.state == "clean"
    rules = {"klayout": "6 rules", "magic": "3 rules"}[tool] if kind == "drc" else ""
    assert report.looked_at.startswith("cell xb, ")
    assert (rules or "6 devices and 5 nets") in report.looked_at
    names = [path.name for path in report.files]
    assert any(name.endswith(".log") for name in names)
    assert all(name.startswith(f"{kind}_{tool}_") for name in names)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(names)
    record = report.record()
    assert (record["state"], record["tool"], len(record["sha256"])) == ("clean", tool, 64)


@pytest.mark.parametrize(("kind", "tool"), EVERY)
def test_names_of_folders_may_have_any_letters(kind, tool, tmp_path, monkeypatch):
    """Of the drawing, of the deck, of what is kept and of temporary files."""
    folder = tmp_path / "é 漢"
    shutil.copytree(FILES, folder)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    usual = deck(kind, tool)
    copied = deck(kind, tool, folder / usual.file.name)
    report = judge(copied, draw(folder / "array.gds"), folder)
    assert (report.failure, report.state) == ("", "clean")


@pytest.mark.parametrize("tool", ["klayout", "magic"])
def test_a_narrow_line_is_named_with_its_place(tool, tmp_path):
    report = judge(deck("drc", tool), draw(tmp_path / "a.gds", width=0.1), tmp_path)
    assert report.state == "items"
    item = next(i for i in report.items if "narrower" in i.text)
    boxes = [place.box for place in item.places]
    assert {place.cell for place in item.places} == {"xb"}
    assert min(box[0] for box in boxes) == -1.5
    assert max(box[2] for box in boxes) == 1.55
    middles = {round((box[1] + box[3]) / 2, 2) for box in boxes}
    assert middles <= {0.0, 0.68, 0.07, 0.75}  # Magic leaves out what a device covers
    assert item.count >= 2


@pytest.mark.parametrize("tool", ["klayout", "netgen"])
def test_a_missing_device_is_a_difference(tool, tmp_path):
    report = judge(deck("lvs", tool), draw(tmp_path / "a.gds", absent={(0, 1)}), tmp_path)
    assert report.state == "items"
    assert any("device" in item.rule for item in report.items)
    if tool == "klayout":
        assert {i.text for i in report.items} >= {
            "nothing in the layout, D_0_1 in the schematic",
            "WL<0> in the layout, WL<0> in the schematic",
        }
        line = next(i for i in report.items if i.text.startswith("WL<0>"))
        assert line.places[0].box == (-1.5, 0.52, 1.55, 0.84)


@pytest.mark.parametrize("tool", ["klayout", "netgen"])
def test_a_device_of_another_size_is_a_difference(tool, tmp_path):
    report = judge(deck("lvs", tool), draw(tmp_path / "a.gds", size=0.13), tmp_path)
    assert report.state == "items"
    assert sum(item.count for item in report.items) >= 6


@pytest.mark.parametrize("tool", ["klayout", "netgen"])
def test_a_line_with_another_name_is_a_difference_although_the_tools_match_it(tool, tmp_path):
    """Netgen prints "Circuits match uniquely." here, and KLayout "netlists match"."""
    layout = draw(tmp_path / "a.gds", names={"WL<1>": "WL<7>"})
    report = judge(deck("lvs", tool), layout, tmp_path)
    assert report.state == "items"
    assert any("WL<7> in the layout, WL<1> in the schematic" in i.text for i in report.items)


def test_lines_without_names_are_told(tmp_path):
    """Without labels every word line is like the others: a swap would match."""
    layout = draw(tmp_path / "a.gds", labels=False)
    report = judge(deck("lvs", "klayout"), layout, tmp_path)
    assert report.state == "clean"
    assert report.looked_at.endswith("6 devices and 5 nets, 0 names")
    assert "5 of 5" in report.notes[0]
    assert "matched by their connections alone" in report.notes[0]
    # Magic extracts a cell without pins as no cell at all
    assert judge(deck("lvs", "netgen"), layout, tmp_path).state == "failed"


def script(tmp_path, text, name="own.drc"):
    path = tmp_path / name
    path.write_text(text)
    return path


HEAD = 'source($input, $top_cell)\nreport("own", $report)\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "no_such_word(1)\n", "KLayout must run own.drc to its end"),
        ("source($input, $top_cell)\n", "no .lyrdb files were written"),
        (HEAD, "own.drc stated no rule"),
        (HEAD + "exit 3\n", "own.drc to its end; exit status 3"),
        (
            "source($input, $top_cell)\n"
            "RBA::ReportDatabase::new('x').tap { |r| r.top_cell_name = 'yb'; r.save($report) }\n"
            "exit 0\n",
            "its report is on yb",
        ),
    ],
)
def test_a_drc_script_without_a_verdict_is_a_failure(text, words, tmp_path):
    report = judge(
        deck("drc", "klayout", script(tmp_path, text)), draw(tmp_path / "a.gds"), tmp_path
    )
    assert (report.state, report.items) == ("failed", ())
    assert words in report.failure
    assert "drc_klayout_own_klayout.log" in [path.name for path in report.files]


def test_an_lvs_script_that_compares_nothing_is_a_failure(tmp_path):
    text = COMPARE.read_text()
    layout = draw(tmp_path / "a.gds")
    short = script(tmp_path, text.removesuffix("compare\n"), "own.lvs")
    report = judge(deck("lvs", "klayout", short), layout, tmp_path)
    assert "no .lvsdb files were written" in report.failure
    empty = draw(tmp_path / "b.gds", absent={(r, c) for r in range(2) for c in range(3)})
    path = schematic(tmp_path / "schematic.spice")
    path.write_text(".subckt xb WL<0> BL<0>\n.ends\n")
    report = run_deck(deck("lvs", "klayout"), empty, "xb", tmp_path, schematics={"cdl": path})
    assert "must compare devices" in report.failure
    report = run_deck(deck("lvs", "netgen"), empty, "xb", tmp_path, schematics={"spice": path})
    assert report.state == "failed"


def test_a_comparison_with_another_cell_is_a_failure(tmp_path):
    layout = draw(tmp_path / "a.gds")
    path = schematic(tmp_path / "other.spice", cell="yb")
    for tool, form in (("klayout", "cdl"), ("netgen", "spice")):
        report = run_deck(deck("lvs", tool), layout, "xb", tmp_path, schematics={form: path})
        assert report.state == "failed", tool
    report = judge(deck("drc", "magic"), layout, tmp_path, cell="zz")
    assert "must hold the cell zz" in report.failure


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((" width m1,v1 14", " width no_such_layer 14"), "must understand its technology"),
        (("68 20", "168 20"), ""),
        (("\ndrc\n style drc\n", "\ndrc\n style other\n"), ""),
    ],
)
def test_magic_with_a_technology_that_does_not_fit(change, words, tmp_path):
    tech = script(tmp_path, TECH.read_text().replace(*change), "own.tech")
    report = judge(deck("drc", "magic", tech), draw(tmp_path / "a.gds"), tmp_path)
    if words:
        assert words in report.failure
    elif "168" in change[1]:
        assert report.notes == ("Magic left out layer 68/20",)
    else:
        assert "style other" in report.looked_at


def test_magic_that_sees_nothing_or_has_no_rules_gives_no_verdict(tmp_path):
    layout = draw(tmp_path / "a.gds")
    blind = TECH.read_text()
    for pair in ("68 20", "69 20", "201 20", "68 5", "69 5"):
        blind = blind.replace(f" {pair}\n", f" 99 {pair.split()[1]}\n")
    report = judge(deck("drc", "magic", script(tmp_path, blind, "blind.tech")), layout, tmp_path)
    assert "it sees none" in report.failure
    start, _, rest = TECH.read_text().partition("\ndrc\n")
    rules, _, end = rest.partition("\nend\n")
    bare = f"{start}\ndrc\n{rules.partition('cifstyle gds')[0]}cifstyle gds\nend\n{end}"
    report = judge(deck("drc", "magic", script(tmp_path, bare, "bare.tech")), layout, tmp_path)
    assert "bare.tech states none" in report.failure


def test_a_deck_ends_at_its_time_limit_with_all_its_processes(tmp_path):
    pid = tmp_path / "pid"
    text = f"pid = spawn('sleep 3600')\nFile.write('{pid}', pid.to_s)\nsleep 3600\n"
    file, layout = script(tmp_path, text), draw(tmp_path / "a.gds")
    for limit in LIMITS:
        report = judge(deck("drc", "klayout", file, timeout=limit), layout, tmp_path)
        assert f"klayout must end within {limit:g} s; it was killed" in report.failure
        if pid.exists():
            break
    child = int(pid.read_text())
    wait_until(lambda: not is_running(child))


def test_variables_reach_the_script_and_name_what_it_is_given(tmp_path):
    layout = draw(tmp_path / "a.gds")
    fine = deck("drc", "klayout", variables=["grid=0.005"])
    report = judge(fine, layout, tmp_path)
    assert (report.state, "7 rules" in report.looked_at) == ("clean", True)
    coarse = judge(deck("drc", "klayout", variables=["grid=0.5"]), layout, tmp_path)
    assert [item.rule for item in coarse.items] == ["met1.grid"]
    named = script(tmp_path, RULES.read_text().replace("$report", "$to").replace("$input", "$of"))
    report = judge(
        deck("drc", "klayout", named, variables=["to={report}", "of={layout}"]), layout, tmp_path
    )
    assert report.state == "clean"


def test_a_missing_tool_says_how_to_install_it(tmp_path, monkeypatch):
    layout = draw(tmp_path / "a.gds")
    monkeypatch.setenv("PATH", str(tmp_path))
    for (kind, tool), package in zip(EVERY, ("klayout", "magic", "klayout", "magic"), strict=True):
        with pytest.raises(xb.errors.EngineMissingError, match=f"apt-get install {package}"):
            judge(deck(kind, tool), layout, tmp_path)
    stranger = tmp_path / "netgen"
    stranger.write_text("#!/bin/sh\necho a mesh generator\n")
    stranger.chmod(0o755)
    with pytest.raises(xb.errors.EngineMissingError, match="netgen is another program"):
        tools.version_of("netgen")
    assert programs_of([]) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"drc": [Path("rules.txt")]}, "a deck must exist"),
        ({"drc": [SETUP]}, "a DRC deck ends in"),
        ({"drc": [RULES, RULES]}, "different names"),
        ({"drc": [RULES], "timeout": 0.0}, "time limit"),
        ({"drc": [RULES], "variables": ["feol"]}, "NAME=VALUE"),
        ({"drc": [TECH], "variables": ["feol=1"]}, "variables are those of KLayout"),
        ({"drc": None, "lvs": "calibre"}, "klayout or netgen"),
        ({"drc": None, "lvs": "klayout"}, "needs a deck that ends in .lvs or .lylvs"),
        ({"drc": None, "lvs": "netgen", "lvs_deck": COMPARE}, "ends in .tcl"),
        ({"drc": None, "lvs": "netgen", "lvs_deck": SETUP}, "Add --magic"),
        ({"drc": None, "lvs": "klayout", "lvs_deck": COMPARE, "magic": TECH}, "leave it out"),
        ({"drc": None, "lvs": "netgen", "lvs_deck": SETUP, "magic": RULES}, ".tech or .magicrc"),
        ({"drc": None, "lvs_deck": COMPARE}, "needs its tool"),
    ],
)
def test_decks_that_cannot_be_run_are_refused_before_any_work(arguments, words):
    with pytest.raises(xb.errors.InputError, match=words):
        decks_of(**arguments)


def test_lvs_needs_a_schematic(tmp_path):
    layout = draw(tmp_path / "a.gds")
    with pytest.raises(xb.errors.InputError, match="needs a schematic netlist"):
        run_deck(deck("lvs", "klayout"), layout, "xb", tmp_path, schematics={})
