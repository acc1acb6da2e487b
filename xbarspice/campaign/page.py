"""The page of a campaign: written while it runs, and once more when it has ended."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from xbarspice.campaign import plots
from xbarspice.campaign.crew import Crew
from xbarspice.campaign.forecast import Forecast, History, forecast
from xbarspice.campaign.memory import memory_of_tree
from xbarspice.report.content import Bar, Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import html, write_files
from xbarspice.report.units import percent

__all__ = ["CampaignPage"]

RELOAD = 5
"""Seconds after which a browser reads the page of a running campaign again."""
SHARE = 0.01
"""Largest share of the time that goes into writing the page, once work has begun."""
SHORTEST = 2.0
"""Seconds between two pages, at least."""

State = Literal["running", "complete", "stopped"]


@dataclass(kw_only=True)
class CampaignPage:
    """What a campaign's page shows, and when it is written.

    Attributes:
        path: the page, .html; it is always whole.
        file: the campaign file.
        function: name of the campaign's function.
        crew: who works on it.
        total: items in all, without repeated ones; None while that is unknown.
        already: items that earlier runs had done.
        done, failed: of all items.
        reasons: how many items failed in this run, by the name of the error; with one text each.
    """

    path: Path
    file: Path
    function: str
    crew: Crew
    total: int | None = None
    already: int = 0
    done: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    history: History = field(default_factory=History)
    memory: int = 0
    start: float = field(default_factory=time.monotonic)
    next_page: float = 0.0

    def fail(self, error: str, text: str) -> None:
        """An item failed."""
        self.reasons[error] += 1
        self.texts.setdefault(error, text)

    def update(self) -> None:
        """Note what is done, and write the page if it is time to.

        Raises:
            StoreError: the page cannot be written.
        """
        now = time.monotonic()
        self.history.note(now - self.start, self.done - self.already)
        if now >= self.next_page:
            self.memory = max(self.memory, memory_of_tree(os.getpid()))
            self.write("running")
            end = time.monotonic()
            # the first page is written before any work, and loads what draws and writes pages
            wait = SHORTEST if self.next_page == 0 else max(SHORTEST, (end - now) / SHARE)
            self.next_page = end + wait

    def write(self, state: State, reason: str = "") -> None:
        """Write the page.

        Raises:
            StoreError: it cannot be written.
        """
        rest = None
        if state == "running" and self.total is not None:
            rest = forecast(self.history, self.total - self.already)
        sections = [Section(title="Progress", items=self._progress(state, rest))]
        if self.reasons:
            sections.append(Section(title="Failures", items=[self._failures()]))
        text = html(
            f"Campaign {self.file.name}",
            sections,
            verdict=self._verdict(state, rest, reason),
            subtitle=f"{self.function}, written {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
            reload=RELOAD if state == "running" else None,
        )
        write_files({self.path: text})

    def _verdict(self, state: State, rest: Forecast | None, reason: str) -> Verdict:
        of_all = "" if self.total is None else f" of {self.total}"
        verb = "is" if self.done == 1 else "are"
        text = f"{self.done}{of_all} {verb} done, {self.failed} failed."
        if state == "running":
            share = f" {percent(self.done / self.total)}" if self.total else ""
            left = f" {_remaining(rest)}" if rest else ""
            return Verdict(state="none", word=f"RUNNING{share}", text=text + left)
        if state == "stopped":
            text += f" {reason} Resume it: what is done is kept."
            return Verdict(state="none", word="STOPPED", text=text)
        failed = "fail" if self.failed else "pass"
        return Verdict(state=failed, word="FAILURES" if self.failed else "COMPLETE", text=text)

    def _progress(self, state: State, rest: Forecast | None) -> list[Item]:
        seconds = time.monotonic() - self.start
        ours = self.done - self.already
        rows = [
            ("items done", _of(self.done, self.total)),
            ("of them by earlier runs", str(self.already)),
            ("failed", str(self.failed)),
            ("begun again after a lost worker", str(self.crew.again)),
            ("workers", str(self.crew.workers) if self.crew.workers else "this process"),
            ("workers lost", str(self.crew.lost)),
            ("time of this run", _duration(seconds)),
            ("mean rate of this run", f"{ours / max(seconds, 1e-9):.3g} items/s"),
        ]
        if rest is not None:
            rows += [
                ("recent rate", f"{rest.rate:.3g} items/s"),
                ("remaining", f"{_duration(rest.seconds)} ({_interval(rest)})"),
            ]
        if self.memory:
            rows.append(("most memory of all processes here", f"{self.memory / 2**20:.0f} MiB"))
        rows.append(("campaign file", str(self.file)))
        items: list[Item] = []
        if self.total:
            items.append(Bar(share=self.done / self.total, label=_of(self.done, self.total)))
        if self.history.seconds:
            items.append(self._plot(rest))
        items.append(Table(caption="This run", head=("", "value"), rows=rows, left=(0,)))
        if state == "running":
            note = (
                f"The page reloads itself every {RELOAD} s. Where the time above stands still, the "
                "campaign does not run. The 95 % interval of the remaining time holds if the rate "
                "varies as it did in the later half of the time so far, and items to come are like "
                "those."
            )
            items.append(Text(text=note, note=True))
        return items

    def _plot(self, rest: Forecast | None) -> Plot:
        counts = [self.already + count for count in self.history.counts]
        expected = "" if rest is None else "; dashed: the rest at the recent rate"
        return Plot(
            draw=partial(plots.campaign, self.history.seconds, counts, total=self.total, rest=rest),
            alt="Items done against the time of this run",
            caption=f"Items done, those of earlier runs among them{expected}.",
            width=5.2,
            height=3.0,
        )

    def _failures(self) -> Table:
        rows = [(n, str(count), self.texts[n][:300]) for n, count in self.reasons.most_common()]
        return Table(
            caption="Items of this run that failed, by error",
            head=("error", "items", "the first of them says"),
            rows=rows,
            left=(0, 2),
        )


def _of(done: int, total: int | None) -> str:
    return str(done) if not total else f"{done} of {total} ({percent(done / total)})"


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _interval(rest: Forecast) -> str:
    if math.isinf(rest.high) and not rest.low:
        return "too few times with progress to say how sure that is"
    if math.isinf(rest.high):
        return f"more than {_duration(rest.low)}; the rate varies too much to say how much"
    return f"{_duration(rest.low)} to {_duration(rest.high)}"


def _remaining(rest: Forecast) -> str:
    return f"About {_duration(rest.seconds)} remain ({_interval(rest)})."
