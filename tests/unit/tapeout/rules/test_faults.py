"""Faults of every kind of rule, each named with its place, here and in KLayout's application."""

from __future__ import annotations

import klayout.db as kdb
import pytest

from tests.unit.tapeout.rules.drawn import (
    FAULTS,
    clean,
    insert,
    judge,
    layout_of,
    only_met1_needs_contact,
)
from xbarspice.tapeout.rules import check_layout, rules_of

SKY = only_met1_needs_contact()


def test_the_drawing_without_a_fault_is_clean():
    report = check_layout(layout_of(clean()), SKY)
    assert report.clean
    assert report.broken == {}
    shapes = {"met1": 3, "met2": 6, "met3": 6, "via": 3, "via2": 6, "device": 9}
    assert report.shapes == dict.fromkeys(report.shapes, 0) | shapes
    assert set(report.counts) == {rule.name for rule in rules_of(SKY)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_fault_is_named_with_its_place_and_nothing_else_is(fault):
    report = check_layout(layout_of(fault.parts), SKY)
    assert set(report.broken) == set(fault.rules)
    for rule in fault.rules:
        places = [v.box for v in report.violations if v.rule == rule]
        assert min(_distance(box, fault.at) for box in places) <= 0.2, (rule, places)


def _distance(box, point):
    """From a point to a box, um."""
    left, bottom, right, top = box
    x, y = point
    return max(left - x, x - right, bottom - y, y - top, 0.0)


def test_faults_of_every_kind_are_seeded():
    """All kinds but the densities and the opening, which have tests of their own."""
    seeded = {rule for fault in FAULTS for rule in fault.rules}
    kinds = {rule.name: rule.kind for rule in rules_of(SKY)}
    assert {kinds[name] for name in seeded} == {k for k in kinds.values() if "density" not in k}


def test_the_script_gives_the_same_verdicts_in_the_application(tmp_path):
    """All faults side by side in one cell, and a clean drawing beside them."""
    layout = kdb.Layout()
    layout.dbu = 0.001
    top = layout.create_cell("MUSEUM")
    for k, fault in enumerate(FAULTS):
        insert(top, fault.parts, shift=20.0 * k)
    insert(top, clean(), shift=20.0 * len(FAULTS))
    layout.write(str(tmp_path / "museum.gds"))
    report = check_layout(layout, SKY)
    items = judge(tmp_path / "museum.gds", "MUSEUM", tmp_path, SKY)
    assert set(items) == set(report.broken)
    for rule, item in items.items():
        assert item.count == report.counts[rule], rule
        boxes = [v.box for v in report.violations if v.rule == rule]
        for place in item.places:
            x, y = place.box[0], place.box[1]
            assert min(_distance(box, (x, y)) for box in boxes) <= 0.0011, (rule, place)
    layout_of(clean()).write(str(tmp_path / "clean.gds"))
    assert judge(tmp_path / "clean.gds", "TOP", tmp_path, SKY) == {}
