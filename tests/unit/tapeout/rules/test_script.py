"""The rules as a script: equal texts, both forms, and no text of a technology that is run."""

from __future__ import annotations

import pytest

import xbarspice as xb
from tests.unit.tapeout.rules.drawn import FAULTS, judge, layout_of, only_met1_needs_contact
from xbarspice.tapeout import load_technology
from xbarspice.tapeout.decks import decks_of, run_deck
from xbarspice.tapeout.rules import rule_script, rules_of, save_script
from xbarspice.tapeout.technology.loading import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_is_one_line_of_the_script(name):
    technology = load_technology(name)
    text = rule_script(technology)
    assert text == rule_script(load_technology(name))
    lines = [line for line in text.splitlines() if ".output(" in line]
    names = [line.rpartition('.output("')[2].partition('"')[0] for line in lines]
    assert names == [rule.name for rule in rules_of(technology)]
    assert len(set(names)) == len(names)


def test_the_plain_script_and_the_macro_say_the_same(tmp_path):
    technology, fault = only_met1_needs_contact(), FAULTS[0]
    layout_of(fault.parts).write(str(tmp_path / "a.gds"))
    items = [judge(tmp_path / "a.gds", "TOP", tmp_path, technology, s) for s in (".drc", ".lydrc")]
    assert items[0] == items[1]
    assert set(items[0]) == set(fault.rules)
    with pytest.raises(xb.errors.InputError, match=r"ends in \.drc or \.lydrc; received r\.txt"):
        save_script(technology, tmp_path / "r.txt")


def test_the_name_of_a_technology_is_no_program(tmp_path):
    values = only_met1_needs_contact().model_dump(mode="json")
    mark = tmp_path / "mark"
    name = f"a' + `touch {mark}` + '#{{`touch {mark}`}}\\\n`touch {mark}` </text>"
    technology = type(load_technology()).model_validate(values | {"name": name})
    layout_of(FAULTS[0].parts).write(str(tmp_path / "a.gds"))
    for suffix in (".drc", ".lydrc"):
        assert set(judge(tmp_path / "a.gds", "TOP", tmp_path, technology, suffix)) == {"met1.width"}
    assert not mark.exists()


def test_a_layout_whose_unit_does_not_divide_the_grid_gets_no_verdict(tmp_path):
    technology = only_met1_needs_contact()
    layout_of(FAULTS[0].parts, dbu=0.002).write(str(tmp_path / "a.gds"))
    save_script(technology, tmp_path / "rules.drc")
    deck = decks_of([tmp_path / "rules.drc"])[0]
    result = run_deck(deck, tmp_path / "a.gds", "TOP", tmp_path / "kept", schematics={})
    assert "the database unit of the layout must divide the grid of 0.005 um" in result.failure
