"""The scorecard of an acid test: what each problem teaches and what a solver made of it."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Score", "Scorecard", "Verdict"]

HEAD = ("case", "what it teaches", "error", "tolerance", "verdict", "compared, or the reason")


class Verdict(enum.StrEnum):
    """What became of one problem."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One problem of the acid test.

    Attributes:
        case, teaches: its name and which mistake it finds.
        verdict: pass: every compared quantity is within the tolerance.
        tolerance: largest error that passes.
        error: largest error of the compared quantities, each as a share of the largest golden value
            of its kind (currents: of the largest golden current; 1 uA or 1 V where all are 0); None
            where none was compared.
        errors: the same for each compared quantity.
        text: why it was not supported, or what an answer lacked; else empty.
    """

    case: str
    teaches: str
    verdict: Verdict
    tolerance: float
    error: float | None = None
    errors: dict[str, float] = dataclasses.field(default_factory=dict)
    text: str = ""

    def cells(self) -> tuple[str, ...]:
        """The score as texts, in the order of a scorecard's columns."""
        error = "" if self.error is None else f"{self.error:.1e}"
        compared = "; ".join(filter(None, (", ".join(self.errors), self.text)))
        tolerance = f"{self.tolerance:.0e}"
        return (self.case, self.teaches, error, tolerance, self.verdict.value, compared)


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """What a solver made of every problem.

    Attributes:
        solver: its name.
        golden: which file of golden answers, by who wrote it and with which ngspice.
        scores: one a problem, in the order of the file.
        problems: in the file.
        tolerance: that was stated in place of each problem's own; None: none.
    """

    solver: str
    golden: str
    scores: tuple[Score, ...]
    problems: int
    tolerance: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many problems have each verdict, by its name."""
        count = Counter(score.verdict.value for score in self.scores)
        return {verdict.value: count[verdict.value] for verdict in Verdict}

    @property
    def passed(self) -> bool:
        """Whether no problem failed and at least one passed; declined ones count as neither."""
        return not self.counts["fail"] and self.counts["pass"] > 0

    @property
    def headline(self) -> str:
        """The counts in one sentence, and what was chosen or stated beside the file."""
        c, count = self.counts, len(self.scores)
        text = (
            f"{self.solver}: {c['pass']} of {count} problems pass, "
            f"{c['fail']} fail, {c['not supported']} are not supported."
        )
        if count < self.problems:
            text += f" {self.problems - count} of the file's {self.problems} were not asked for."
        if self.tolerance is not None:
            text += f" Tolerance of all: {self.tolerance:.0e}, in place of their own."
        return text

    def table(self) -> Table:
        """The scorecard for a terminal."""
        from rich.table import Table

        table = Table(title=self.headline, title_justify="left", caption=self.golden)
        for name in HEAD:
            table.add_column(name, justify="right" if name in HEAD[2:4] else "left")
        colours = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.NOT_SUPPORTED: "yellow"}
        for score in self.scores:
            table.add_row(*score.cells(), style=colours[score.verdict])
        return table

    def markdown(self) -> str:
        """The scorecard as a Markdown table under its headline."""
        rows = (
            HEAD,
            ("---", "---", "---:", "---:", "---", "---"),
            *(s.cells() for s in self.scores),
        )
        lines = ("| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows)
        return "\n".join([self.headline, "", *lines, "", self.golden, ""])

    def to_dict(self) -> dict[str, Any]:
        """The scorecard as plain values; errors that are not finite are None, with their text."""
        scores = []
        for score in self.scores:
            entry = dataclasses.asdict(score)
            entry["error"] = _finite(score.error)
            entry["errors"] = {name: _finite(value) for name, value in score.errors.items()}
            scores.append(entry)
        names = ("solver", "golden", "passed", "problems", "tolerance")
        head = {name: getattr(self, name) for name in names}
        return {**head, "counts": self.counts, "scores": scores}

    def json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
