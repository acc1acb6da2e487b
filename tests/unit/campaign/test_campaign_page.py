"""The page that follows a campaign."""

from __future__ import annotations

import re
import sys

import pytest

from tests import campaign_work as work
from tests.helpers import figures_of, headline_of
from xbarspice import campaign
from xbarspice.campaign.crew import Crew
from xbarspice.campaign.page import CampaignPage
from xbarspice.core.errors import InputError

RELOAD = 'http-equiv="refresh"'


@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_written_while_the_campaign_runs_and_stays(tmp_path, workers):
    path, page = tmp_path / "c.h5", tmp_path / "c.html"
    seen = []

    def look(done, total):
        seen.append((headline_of(page), RELOAD in page.read_text()))

    done = campaign.run(
        work.items(9, seconds=0.1), work.square, path, workers=workers, page=page, progress=look
    )
    assert done.finished == 9
    assert seen[0][0][0].startswith("RUNNING")
    assert all(reload for _, reload in seen)
    assert headline_of(page) == ("COMPLETE", "9 of 9 are done, 0 failed.")
    text = page.read_text()
    assert RELOAD not in text
    assert '<progress max="1" value="1.0"' in text
    figures = figures_of(page)
    assert figures["items done"] == "9 of 9 (100.0 %)"
    assert figures["workers"] == ("this process" if workers == 0 else "2")
    assert figures["workers lost"] == "0"
    assert {p.name for p in tmp_path.iterdir()} == {"c.h5", "c.html"}


def test_failures_stand_on_it_with_their_reasons(tmp_path):
    page = tmp_path / "c.html"
    items = [{"how": how} for how in ("fine", "slash", "big", "a<b", "list")]
    campaign.run(items, work.misbehaves, tmp_path / "c.h5", workers=0, page=page)
    assert headline_of(page) == ("FAILURES", "5 of 5 are done, 3 failed.")
    text = page.read_text()
    counts = dict(re.findall(r">(\w+Error)</th><td[^>]*>(\d+)</td>", text))
    assert counts == {"TypeError": "2", "ValueError": "1"}
    assert "must fit in 64 bits" in text


def test_it_says_how_long_the_rest_takes_and_100_percent_only_of_all(tmp_path):
    page = CampaignPage(
        path=tmp_path / "c.html", file=tmp_path / "c.h5", function="f", crew=Crew(workers=3)
    )
    page.total, page.already, page.done = 100_000, 10_000, 99_999
    for second in range(101):
        page.history.note(float(second), 9 * second)
    page.history.note(101.0, 89_999)
    page.write("running")
    word, text = headline_of(page.path)
    assert word == "RUNNING 99.999 %"
    assert "remain (" in text
    drawn = page.path.read_text()
    assert "forecast" in drawn
    assert "95 % interval</text>" in drawn
    page.write("complete")
    assert "95 % interval</text>" not in page.path.read_text()
    page.history = type(page.history)()
    for second in range(0, 1001, 10):
        page.history.note(float(second), 10 * second)
    page.done = 20_000
    page.write("running")
    assert headline_of(page.path)[1].endswith("About 133 min remain (133 min to 133 min).") or (
        headline_of(page.path)[1].endswith("About 2 h 13 min remain (2 h 13 min to 2 h 13 min).")
    )
    assert figures_of(page.path)["recent rate"] == "10 items/s"


def test_a_page_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    for page in (tmp_path / "c.txt", tmp_path / "none" / "c.html"):
        with pytest.raises(InputError, match=r"\.html"):
            campaign.run(work.items(2), work.square, tmp_path / "c.h5", workers=0, page=page)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_number_of_items_has_no_share(tmp_path):
    page = tmp_path / "c.html"
    items = iter(work.items(3))
    campaign.run(items, work.square, tmp_path / "c.h5", workers=0, page=page)
    assert headline_of(page) == ("COMPLETE", "3 are done, 0 failed.")
    assert "<progress" not in page.read_text()


def test_without_matplotlib_the_page_says_so_in_place_of_its_plot(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = tmp_path / "c.html"
    campaign.run(work.items(3), work.square, tmp_path / "c.h5", workers=0, page=page)
    assert headline_of(page) == ("COMPLETE", "3 of 3 are done, 0 failed.")
    assert "Plots need matplotlib, which is not installed" in page.read_text()


def test_the_page_stays_small_however_long_the_campaign(tmp_path):
    page = CampaignPage(
        path=tmp_path / "c.html", file=tmp_path / "c.h5", function="f", crew=Crew(workers=3)
    )
    page.total = 1_000_000
    sizes = []
    for seconds in (10, 20_000):
        for second in range(seconds):
            page.history.note(float(second), 3 * second)
        page.done = page.history.counts[-1]
        page.write("running")
        sizes.append(page.path.stat().st_size)
    assert sizes[1] < sizes[0] + 10_000
