"""The rules of a tapeout's drawings, in its manifest, folder, page and verdict."""

from __future__ import annotations

import klayout.db as kdb

from tests.unit.tapeout.circuits import circuit_of, manifest_of, points
from xbarspice.tapeout import drawings, load_technology, page, tapeout
from xbarspice.tapeout.rules import rules_of, save_script


def test_every_drawing_has_its_verdict_in_manifest_and_page(folder, tmp_path):
    record, demo = manifest_of(folder), load_technology("demo")
    verdicts = {v["drawing"]: v for v in record["rules"]}
    assert list(verdicts) == [*(a["array"] for a in record["arrays"]), "floorplan"]
    for verdict in verdicts.values():
        assert verdict["clean"]
        assert verdict["rules"] == len(rules_of(demo))
        assert verdict["shapes"]["device"] > 0
    assert verdicts["floorplan"]["cells"] == [record["floorplan"]["cell"]]
    save_script(demo, tmp_path / "rules.lydrc")
    assert (folder / "rules.lydrc").read_bytes() == (tmp_path / "rules.lydrc").read_bytes()
    (kind,) = [f["kind"] for f in record["files"] if f["file"] == "rules.lydrc"]
    assert kind == "rules"
    text = (folder / "report.html").read_text("utf-8")
    assert f"All {len(verdicts)} drawings keep the {len(rules_of(demo))} rules" in text


def test_a_drawing_that_breaks_a_rule_is_no_pass(tmp_path, monkeypatch):
    """A sliver on no net: LVS has nothing to say, the verdict is that of the rules."""
    draw = drawings.draw

    def with_sliver(*arguments, **options):
        layout = draw(*arguments, **options)
        m2 = layout.layer(*load_technology("demo").metals["m2"].layer)
        layout.top_cell().shapes(m2).insert(kdb.DBox(-200, -200, -150, -199.9))
        return layout

    monkeypatch.setattr(drawings, "draw", with_sliver)
    record = tapeout(circuit_of(), points(), tmp_path, load_technology("demo"), names=["cdl"])
    assert not record["passed"]
    for verdict in record["rules"]:
        assert not verdict["clean"]
        assert set(verdict["broken"]) == {"m2.width"}
        for place in verdict["violations"]:
            assert (place["rule"], place["measured"]) == ("m2.width", 0.1)
    array = record["rules"][0]["violations"]
    assert [place["box"] for place in array] == [[-200, -200, -150, -199.9]]
    text = page.write(record, tmp_path, tmp_path / "report.html").read_text("utf-8")
    assert "FAIL" in text
    assert "3 of 3 drawings break rules of the technology, at 4 places." in text
    assert "-200, -200 to -150, -199.9" in text
