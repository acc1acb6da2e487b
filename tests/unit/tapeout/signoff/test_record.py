"""What manifest and page of a tapeout say of its sign-off."""

from __future__ import annotations

import copy
import json

from tests.unit.tapeout.circuits import manifest_of
from xbarspice.tapeout import page
from xbarspice.tapeout.signoff.section import summary


def test_a_tapeout_holds_the_sign_off_of_every_array(folder):
    record = manifest_of(folder)
    signoff = record["signoff"]
    assert signoff["passed"]
    assert [a["array"] for a in signoff["arrays"]] == [a["array"] for a in record["arrays"]]
    for a in signoff["arrays"]:
        whole = json.loads((folder / a["file"]).read_text())
        assert a["largest_share"] == max(load["largest_share"] for load in whole["loads"])
        assert 0 < a["largest_share"] < 1
        assert a["settling_s"] > 0
        shape = next(x["shape"] for x in record["arrays"] if x["array"] == a["array"])
        assert [len(whole["drop"]), len(whole["drop"][0])] == shape
    assert [a["condition"].partition(",")[0] for a in signoff["answers"]][:3] == [
        "min",
        "typ",
        "max",
    ]
    text = (folder / "report.html").read_text()
    assert "Sign-off" in text
    assert "carries more than their limits" in text


def test_places_above_their_limit_stand_on_the_page_and_in_the_verdict(folder, tmp_path):
    record = copy.deepcopy(manifest_of(folder))
    record["passed"] = record["signoff"]["passed"] = False
    entry = record["signoff"]["arrays"][0]
    entry.update(passed=False, above=1, largest_share=1.36)
    whole = json.loads((folder / entry["file"]).read_text())
    place = {"place": "word line 3, segment after column 0", "x_um": 0.34, "y_um": 2.04}
    whole["loads"][0].update(count=1, places=[{**place, "current_A": 1.22e-3, "limit_A": 0.896e-3}])
    for a in record["signoff"]["arrays"]:
        path = tmp_path / a["file"]
        path.parent.mkdir(parents=True)
        path.write_text((folder / a["file"]).read_text())
    (tmp_path / entry["file"]).write_text(json.dumps(whole))
    for a in record["arrays"]:
        drawn = f"{a['folder']}/layout.oas"
        (tmp_path / drawn).write_bytes((folder / drawn).read_bytes())
    text = page.write(record, tmp_path, tmp_path / "report.html").read_text()
    assert "word line 3, segment after column 0" in text
    assert "1.220" in text
    assert "0.896" in text
    assert summary(record) in text
    assert summary(record).endswith(" is carried by 1 segment, cut, lead or pad.")
    assert "FAIL" in text
