"""Which pad of the die and which channel of the tester each line of an array is connected to."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xbarspice.core.errors import broken_rule
from xbarspice.core.files import read_text

__all__ = ["Channels"]

_LINE = re.compile(r"(WL|BL)\s*[<\[(]?(\d+)[>\])]?", re.IGNORECASE | re.ASCII)
REMEDY = "Give a CSV with the head line,pad,channel and one row a line, such as WL<0>,1,0."


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Pad and channel of every line.

    Attributes:
        word_lines, bit_lines: (pad, channel) of each, from the top and from the left.
    """

    word_lines: tuple[tuple[int, int], ...]
    bit_lines: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for k, kind in enumerate(("pad", "channel")):
            numbers = [line[k] for line in (*self.word_lines, *self.bit_lines)]
            twice = sorted({n for n in numbers if numbers.count(n) > 1})
            if twice:
                raise broken_rule(
                    f"every line must have a {kind} of its own", f"{twice} twice", REMEDY
                )

    @classmethod
    def numbered(cls, rows: int, cols: int) -> Channels:
        """Pads from 1 and channels from 0: word lines from the top, then bit lines from the left.

        Up to 32 x 32 lines the channels are those of an ArC TWO with its 32 x 32 socket: word
        lines on 0 to 15 and 32 to 47, bit lines on 16 to 31 and 48 to 63.
        """
        word, bit = list(range(rows)), list(range(rows, rows + cols))
        if max(rows, cols) <= 32:
            word = [*range(16), *range(32, 48)][:rows]
            bit = [*range(16, 32), *range(48, 64)][:cols]
        return cls(
            word_lines=tuple((1 + k, n) for k, n in enumerate(word)),
            bit_lines=tuple((1 + rows + k, n) for k, n in enumerate(bit)),
        )

    @classmethod
    def load(cls, path: Path) -> Channels:
        """Read a CSV with the columns line (WL<0>, BL<3>), pad and channel, one row a line.

        Raises:
            InputError: it is no such file, a line is missing before the last one or named twice, or
                two lines share a pad or a channel.
        """
        channels: dict[str, dict[int, tuple[int, int]]] = {"WL": {}, "BL": {}}
        for kind, k, numbers in _rows(path):
            if k in channels[kind]:
                raise broken_rule("a line must be named once", f"{kind}<{k}> in {path}", REMEDY)
            channels[kind][k] = numbers
        for kind, lines in channels.items():
            gap = next((k for k in range(max(lines, default=0) + 1) if k not in lines), None)
            if gap is not None:
                raise broken_rule(
                    f"{path} must name word and bit lines from 0 on", f"no {kind}<{gap}>", REMEDY
                )
        word, bit = (
            [channels[kind][k] for k in range(len(channels[kind]))] for kind in ("WL", "BL")
        )
        return cls(word_lines=tuple(word), bit_lines=tuple(bit))

    def part(self, rows: int, cols: int) -> Channels:
        """The first word and bit lines, for an array of that size.

        Raises:
            InputError: there are fewer.
        """
        if len(self.word_lines) < rows or len(self.bit_lines) < cols:
            raise broken_rule(
                f"an array of {rows} x {cols} needs a channel for each line",
                f"{len(self.word_lines)} word lines and {len(self.bit_lines)} bit lines",
                REMEDY,
            )
        return Channels(word_lines=self.word_lines[:rows], bit_lines=self.bit_lines[:cols])

    def record(self) -> list[dict[str, str | int]]:
        """One entry a line: line, pad, channel."""
        return [
            {"line": f"{kind}<{k}>", "pad": pad, "channel": channel}
            for kind, lines in (("WL", self.word_lines), ("BL", self.bit_lines))
            for k, (pad, channel) in enumerate(lines)
        ]


def _rows(path: Path) -> Iterator[tuple[str, int, tuple[int, int]]]:
    reader = csv.DictReader(read_text(path, "a channel map").splitlines())
    if sorted(reader.fieldnames or ()) != ["channel", "line", "pad"]:
        raise broken_rule(f"{path} must be a channel map", f"{reader.fieldnames}", REMEDY)
    for row in reader:
        name = _LINE.fullmatch(str(row["line"]).strip())
        numbers = [str(row[key]).strip() for key in ("pad", "channel")]
        if name is None or not all(re.fullmatch(r"\d+", n, re.ASCII) for n in numbers):
            raise broken_rule(
                f"a row of {path} must be a line with its pad and channel numbers",
                ",".join(str(v) for v in row.values()),
                REMEDY,
            )
        yield name[1].upper(), int(name[2]), (int(numbers[0]), int(numbers[1]))
