"""A run's events, sent line by line through the log of another machine and put together again: no gap, no double.

A line names the moment at which it was sent, the byte of `metrics.jsonl` at which it begins, and a checksum of all
bytes before it. A log may break off, repeat lines or lose them; a run that goes on from a save repeats work. So the
receiver takes a line only where it belongs, and asks for the whole file if it cannot tell.
"""

import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from resnet_cifar import events
from resnet_cifar.events import Event
from resnet_cifar.runs.run_dir import LARGEST_METRICS, RunDir
from resnet_cifar.system import files

_LINE = re.compile(r"@event (\d{1,20}) (\d{1,12}) ([0-9a-f]{8}) (\{.*\})\s*")


@dataclass(frozen=True)
class Line:
    """One event as it was sent."""

    stamp: int
    """When it was sent, in nanoseconds; it rises with each line, from one machine to the next too."""
    offset: int
    """Byte of the file at which it begins."""
    before: int
    """Checksum of the bytes before it."""
    text: str
    event: Event

    @classmethod
    def parse(cls, text: str) -> "Line | None":
        """Read a line of a log; None if it is no event, or was damaged on its way."""
        found = _LINE.fullmatch(text)
        if found is None:
            return None
        stamp, offset, before, line = found.groups()
        try:
            event, _ = events.from_json(line)
        except ValueError:
            return None
        return cls(int(stamp), int(offset), int(before, 16), line, event)


class Sender:
    """Turns what is added to a run's `metrics.jsonl` into lines of a log."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._stamp = 0
        self._offset: int | None = None
        """Bytes that were sent; None before the first line, because resuming cuts the file first."""
        self._checksum = 0
        """Of these bytes."""

    def lines(self) -> Iterator[str]:
        """Yield the lines that were added since the last call; the first time only the last one."""
        new = _content(self._run, self._offset or 0)
        if self._offset is None:
            self._offset = new.rstrip(b"\n").rfind(b"\n") + 1
            self._checksum = zlib.crc32(new[: self._offset])
            new = new[self._offset :]
        for line in new.splitlines(keepends=True):
            self._stamp = max(self._stamp + 1, time.time_ns())
            text = line.decode(errors="replace").rstrip()
            yield f"@event {self._stamp} {self._offset} {self._checksum:08x} {text}"
            self._offset, self._checksum = self._offset + len(line), zlib.crc32(line, self._checksum)


class Receiver:
    """Writes a run's `metrics.jsonl` from the lines of a log. The caller holds the run's lock."""

    def __init__(self, run: RunDir, stamp: int = 0) -> None:
        """`stamp`: of the last line that an earlier receiver took."""
        self._run = run
        self.stamp = stamp
        self._content = _content(run)
        self._waiting: list[Line] = []
        """Lines behind a gap."""

    @property
    def lacks(self) -> bool:
        """Whether lines were lost, so that `fill` is needed."""
        return bool(self._waiting)

    def knows(self, line: Line) -> bool:
        """Whether a line was taken before: then the log repeats itself."""
        if line.stamp > self.stamp and self._content.startswith(line.text.encode() + b"\n", line.offset):
            self.stamp = line.stamp  # an earlier receiver took it, and ended before it could note that
        return line.stamp <= self.stamp

    def take(self, line: Line) -> list[Event]:
        """Take the next line, and return the events that are new with it: none if it was taken before, or is too early.

        Lines of work that is repeated replace those of before.
        """
        if self.knows(line):
            return []
        self.stamp = line.stamp
        return [line.event] if self._put_or_wait(line) else []

    def fill(self, whole: bytes) -> list[Event]:
        """Close a gap with the file as it is on the other machine; returns the events that are new with it.

        A file that does not reach over the gap yet changes nothing.
        """
        fitting = (place for place, line in enumerate(self._waiting) if _fits(line, whole))
        first = next(fitting, None)  # those before it are in the file, or of work that was repeated
        if first is None:
            return []
        return self._replace(whole, self._waiting[first:])

    def settle(self, whole: bytes) -> list[Event]:
        """Take over the file as the other machine left it, if it has more than the lines told."""
        self._waiting = []
        return [] if self._content.startswith(whole) else self._replace(whole, [])

    def _replace(self, whole: bytes, later: list[Line]) -> list[Event]:
        before, self._waiting = self._content, []
        with files.replacing(self._run.metrics_file) as draft:
            draft.write_bytes(whole)
        self._content = whole
        for line in later:
            if not whole.startswith(line.text.encode() + b"\n", line.offset):
                self._put_or_wait(line)
        return _parsed(self._content[_common(before, self._content) :])

    def _put_or_wait(self, line: Line) -> bool:
        """Write a line where it belongs; one behind a gap waits."""
        if self._waiting or not _fits(line, self._content):
            self._waiting.append(line)
            return False
        if line.offset < len(self._content):
            self._run.cut(line.offset)
        self._run.append_line(line.text)
        self._content = self._content[: line.offset] + line.text.encode() + b"\n"
        return True


def _fits(line: Line, content: bytes) -> bool:
    """Whether a line belongs behind, or into, this content."""
    return len(content) >= line.offset and zlib.crc32(content[: line.offset]) == line.before


def _parsed(content: bytes) -> list[Event]:
    found = []
    for line in content.splitlines():
        with suppress(ValueError):  # no event: torn, or of another version
            found.append(events.from_json(line.decode(errors="replace"))[0])
    return found


def _content(run: RunDir, start: int = 0) -> bytes:
    try:
        return files.read_bytes(run.metrics_file, LARGEST_METRICS, start)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise files.cannot_read(run.metrics_file, error) from error


def _common(one: bytes, other: bytes) -> int:
    """Bytes of the whole lines with which both begin."""
    shared = 0
    for mine, theirs in zip(one.splitlines(keepends=True), other.splitlines(keepends=True), strict=False):
        if mine != theirs:
            break
        shared += len(mine)
    return shared
