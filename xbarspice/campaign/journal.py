"""What a campaign has on disk, and how it gets there so that nothing can lose it.

HDF5 files that are open for writing do not survive a crash. Here none ever is: results are
collected for a moment and committed as a *segment*, a complete small HDF5 file that is made in
memory, written under another name, synchronised to the disk and then renamed. ::

    sweep.h5                                  all results, when the campaign ended
    sweep.h5.journal/000000004-000000004-1c291ca3.h5    segment 4; the last part is its CRC-32
    sweep.h5.lock                             held while a campaign writes

The segments are merged into the file when the campaign ends (also by Ctrl-C), by writing a new
file, synchronising and swapping; many small segments are merged into one of a range
("000000000-000000063-...") on the way. `xbarspice.campaign.load` reads the file and its
segments at any time, also while the campaign runs or after it was killed.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xbarspice.campaign import row_files
from xbarspice.campaign.row_files import Header, Row
from xbarspice.core.errors import InputError, StoreError
from xbarspice.core.files import partial_name, replace_whole, write_whole

__all__ = ["Journal", "Segment", "folder_of", "segments_of"]

FAN = 64
"""So many segments of one size are merged into one of the next."""
_NAME = re.compile(r"(\d{9,})-(\d{9,})-([0-9a-f]{8})\.h5")


@dataclass(frozen=True, order=True)
class Segment:
    """A committed file that holds the commits `first` to `last`."""

    first: int
    last: int
    crc: int
    path: Path

    @property
    def span(self) -> int:
        """How many commits it holds."""
        return self.last - self.first + 1

    def whole(self) -> bool:
        """Whether its bytes are those that were committed."""
        return _crc(self.path) == self.crc


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            value = zlib.crc32(data, value)
    return value


def folder_of(path: Path) -> Path:
    """Where the segments of a campaign file lie."""
    return path.with_name(path.name + ".journal")


def segments_of(path: Path) -> list[Segment]:
    """The segments beside a campaign file, oldest first."""
    segments = []
    with contextlib.suppress(FileNotFoundError):
        for entry in folder_of(path).iterdir():
            if match := _NAME.fullmatch(entry.name):
                first, last, crc = match.groups()
                segments.append(Segment(int(first), int(last), int(crc, 16), entry))
    return sorted(segments)


class Journal:
    """The results of one campaign on disk; only for the holder of its lock.

    Args:
        path: the campaign file; must end in ".h5".
        function: name of the function, which must not change within a file.
        resume: go on with an existing file instead of refusing it.

    Attributes:
        finished: keys of the items that have a result.
        failures: the last failure of every item that has none.
        damaged: segments that were not what was committed (a defect of the disk); they are set
            aside as ``*.damaged`` and their items are unfinished.

    Raises:
        InputError: the file exists and `resume` is false, or belongs to another function.
        StoreError: the file is damaged, or cannot be written.
    """

    def __init__(self, path: Path, function: str, *, resume: bool) -> None:
        self.path = path
        self.finished: set[bytes] = set()
        self.failures: dict[bytes, Row] = {}
        self.damaged: list[Path] = []
        self._function = function
        self._segments: list[Segment] = []
        self._merged = 0
        old = path.exists() or any(segments_of(path))
        if old and not resume:
            raise InputError(
                f"the campaign file must be new; {path} holds results. "
                "Go on with it by resume=True (--resume), or choose another path."
            )
        with _report_failure(path):
            folder_of(path).mkdir(exist_ok=True)
            if path.exists():
                self._recover()
            else:
                write_whole({path: row_files.image([], self._header(0))})
            self._sort_out()

    def _header(self, merged: int) -> Header:
        return Header(function=self._function, merged=merged)

    def _recover(self) -> None:
        contents = row_files.read(self.path, columns=False)
        if contents.header.function != self._function:
            raise InputError(
                f"a campaign file belongs to one function; {self.path.name} holds results of "
                f"{contents.header.function}, received {self._function}. Choose another path."
            )
        self._merged = contents.header.merged
        self._note(contents)

    def _note(self, contents: row_files.Contents) -> None:
        self.failures |= contents.failures
        for table in contents.tables:
            self.finished.update(key.tobytes() for key in table.keys)
        for key in self.failures.keys() & self.finished:
            del self.failures[key]

    def _sort_out(self) -> None:
        """Remove what a crash left over, set damaged segments aside, take the others in."""
        for partial in folder_of(self.path).glob("*.partial"):
            partial.unlink()
        partial_name(self.path).unlink(missing_ok=True)
        held: list[Segment] = []
        for segment in sorted(segments_of(self.path), key=lambda s: -s.span):
            if segment.last < self._merged or any(
                h.first <= segment.first and segment.last <= h.last for h in held
            ):
                segment.path.unlink()  # a merged file holds it already
            elif segment.whole():
                held.append(segment)
            else:
                aside = segment.path.with_name(segment.path.name + ".damaged")
                self.damaged.append(segment.path.replace(aside))
        self._segments = sorted(held)
        for segment in self._segments:
            self._note(row_files.read(segment.path, columns=False))

    @property
    def _next(self) -> int:
        return max([self._merged, *(s.last + 1 for s in self._segments)])

    def commit(self, rows: Sequence[Row]) -> None:
        """Put rows on the disk: after this call they survive anything.

        Raises:
            StoreError: they could not be written; what was committed before is unharmed.
        """
        if not rows:
            return
        number = self._next
        data = row_files.image(rows, self._header(0))
        with _report_failure(self.path):
            target = self._segment(number, number, zlib.crc32(data))
            write_whole({target.path: data})
        self._segments.append(target)
        for row in rows:
            if row.values is None:
                self.failures[row.key] = row
            else:
                self.finished.add(row.key)
                self.failures.pop(row.key, None)
        self._compact()

    def finish(self) -> None:
        """Merge all segments into the campaign file.

        Raises:
            StoreError: it could not be written; the segments stay, and nothing is lost.
        """
        if self._segments:
            header = self._header(self._next)
            self._merge([self.path, *(s.path for s in self._segments)], header, lambda _: self.path)
            self._merged = header.merged
            self._drop(self._segments)
        with contextlib.suppress(OSError):  # it stays where damaged segments lie in it
            folder_of(self.path).rmdir()

    def _segment(self, first: int, last: int, crc: int) -> Segment:
        name = f"{first:09d}-{last:09d}-{crc:08x}.h5"
        return Segment(first, last, crc, folder_of(self.path) / name)

    def _compact(self) -> None:
        """Keep the number of segments small: FAN of one size become one of the next."""
        size = 1
        while size <= max(s.span for s in self._segments):
            run = [s for s in self._segments if size <= s.span < size * FAN]
            if len(run) >= FAN:
                first, last = run[0].first, run[-1].last

                def path_of(crc: int, first: int = first, last: int = last) -> Path:
                    return self._segment(first, last, crc).path

                target = self._merge([s.path for s in run], self._header(0), path_of)
                merged = Segment(first, last, int(target.stem[-8:], 16), target)
                self._drop(run)
                self._segments = sorted([*self._segments, merged])
            size *= FAN

    def _drop(self, segments: Sequence[Segment]) -> None:
        gone = set(segments)
        self._segments = [s for s in self._segments if s not in gone]
        for segment in gone:
            segment.path.unlink(missing_ok=True)

    def _merge(self, sources: list[Path], header: Header, name: Callable[[int], Path]) -> Path:
        partial = _partial(self.path)
        with _report_failure(self.path):
            try:
                row_files.merge(sources, partial, header)
                target = name(_crc(partial))
                replace_whole(partial, target)
            finally:
                partial.unlink(missing_ok=True)
        return target


def _partial(path: Path) -> Path:
    return folder_of(path) / "merged.partial"


@contextlib.contextmanager
def _report_failure(path: Path):
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise StoreError(
            f"campaign results must be written; {path}: {error}. What was committed before is "
            "safe. Check the folder, its permissions and the free space, then resume."
        ) from error
