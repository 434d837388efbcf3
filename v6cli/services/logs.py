"""The logs of services, as files: read newest first, merged by time, followed across rotation, summarised for a checklist."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadInput
from v6cli.services.backwards import generations, lines_backwards
from v6cli.services.records import LEVELS, Line, continues, grouped, read_record

POLL = 0.25  # wall seconds between two looks at a followed file
STEP = timedelta(minutes=5)  # by how much a clock may be set back within a log before older records are taken for what they seem


class Repeated(Struct, frozen=True):
    """A message that was logged ``count`` times; where its numbers and ids differed, ``text`` has # in their place."""

    count: int
    level: str
    last_at: datetime
    text: str


def read(
    sources: Sequence[Path],
    since: datetime | None = None,
    level: str | None = None,
    grep: str | None = None,
    limit: int | None = None,
) -> list[Line]:
    """The newest ``limit`` records at or after ``since`` and at or above ``level`` that match ``grep``, oldest first.

    ``sources`` are files as they are written now; what they were rotated into is read as far as needed. ``grep`` is a regular
    expression, its case ignored. Only the part of a file that is asked for is read. Raises BadInput for a level or an
    expression that is none.
    """
    wanted = _filter(level, grep)
    files = (records_backwards(source, since) for source in sources)
    newest = heapq.merge(*files, key=lambda line: line.at, reverse=True)
    lines = list(itertools.islice(filter(wanted, newest), limit))
    lines.reverse()  # before they are sorted: records of one instant keep the order in which they were written
    lines.sort(key=lambda line: line.at)
    return lines


def records_backwards(source: Path, since: datetime | None = None) -> Iterator[Line]:
    """The records of a log file and its rotated predecessors, newest first, down to ``since``."""
    service = service_of(source)
    latest = clock.wall()
    for path in generations(source):
        try:
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if since is not None and changed < since:
                return
            latest = min(latest, changed)
            for lines in grouped(lines_backwards(path)):
                record = read_record(lines, latest, service, path.name)
                if record is None:
                    continue
                latest = min(latest, record.at)
                if since is None or record.at >= since:
                    yield record
                elif record.at < since - STEP:
                    return
        except FileNotFoundError:  # rotated away while we read
            continue
        except (OSError, EOFError, zlib.error) as error:
            yield Line(latest, service, "ERROR", f"{path.name} cannot be read: {error}", path.name)


def last_line(sources: Sequence[Path]) -> str:
    """The newest record of these files, as one line: of a stack trace its last, which says what happened. Empty where there is none."""
    newest = max(
        (line for source in sources for line in itertools.islice(records_backwards(source), 1)), key=lambda line: line.at, default=None
    )
    return newest.text.splitlines()[-1].strip() if newest else ""


def follow(
    sources: Sequence[Path],
    level: str | None = None,
    grep: str | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Iterator[Line]:
    """Records as they are written from now on, across rotation, until ``ended`` says so. Raises BadInput as `read` does.

    A file that does not exist yet is read from its beginning once it does. A record is given out when the next one begins or
    nothing was added to it for one poll, so that a stack trace arrives whole.
    """
    wanted = _filter(level, grep)
    with contextlib.ExitStack() as stack:
        followed = [stack.enter_context(contextlib.closing(_Followed(source))) for source in sources]
        while True:
            last = ended()  # asked before the files are, so that what was written before the end is not missed
            found = sorted((line for file in followed for line in file.news()), key=lambda line: line.at)
            yield from filter(wanted, found)
            if last and not any(file.holds for file in followed):
                return
            if not found:
                clock.pause_blocking(POLL)


def summarise(lines: Iterable[Line]) -> list[Repeated]:
    """Records grouped by what they say, the gravest and then the most frequent first."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.level, _template(_headline(line))), []).append(line)
    repeated = []
    for (level, template), members in groups.items():
        said = {_headline(line) for line in members}
        text = said.pop() if len(said) == 1 else template
        repeated.append(Repeated(len(members), level, max(line.at for line in members), text))
    return sorted(repeated, key=lambda group: (-LEVELS.index(group.level), -group.count, group.text))


def service_of(path: Path) -> str:
    """The service that writes a log file, from its name: ``v6-trading`` of ``v6-trading.out.log``."""
    return path.name.split(".", 1)[0]


class _Followed:
    """One file that grows and is rotated: what was added since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _opened(path)
        self._rest = b""  # a line whose end is not written yet
        self._lines: list[str] = []  # a record that may go on
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_END)

    @property
    def holds(self) -> bool:
        """Whether a record is held back because it may go on."""
        return bool(self._lines)

    def news(self) -> list[Line]:
        added = self._added()
        if self._rotated():
            added += self._added()  # what came between the last look and the rotation
            self.close()
            self._descriptor = _opened(self.path)
            added += self._added()
        *lines, self._rest = (self._rest + added).split(b"\n")
        found = [] if lines else [self._take()]
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            if self._lines and not continues(line, self._lines[-1]):
                found.append(self._take())
            self._lines.append(line)
        return [record for record in found if record is not None]

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _added(self) -> bytes:
        if self._descriptor is None:
            return b""
        if os.fstat(self._descriptor).st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR):
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # emptied in place
        pieces = []
        while piece := os.read(self._descriptor, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)

    def _rotated(self) -> bool:
        """Whether the name now belongs to another file than the one that is open."""
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        if self._descriptor is None:
            return True
        opened = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino)

    def _take(self) -> Line | None:
        lines, self._lines = self._lines, []
        return read_record(lines, clock.wall(), service_of(self.path), self.path.name) if lines else None


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _filter(level: str | None, grep: str | None) -> Callable[[Line], bool]:
    if level is not None and level.upper() not in LEVELS:
        raise BadInput(f"{level!r} is not a level", next_step=f"use one of {', '.join(LEVELS).lower()}")
    accepted = frozenset(LEVELS[LEVELS.index(level.upper()) :] if level else LEVELS)
    try:
        expression = re.compile(grep, re.IGNORECASE) if grep else None
    except re.error as error:
        raise BadInput(f"{grep!r} is not a regular expression: {error}") from None
    return lambda line: line.level in accepted and (expression is None or expression.search(line.text) is not None)


def _headline(line: Line) -> str:
    """What a record says in one line: its message, and of a bare stack trace the exception."""
    lines = line.text.splitlines()
    return lines[-1].strip() if lines[0].startswith("Traceback") else lines[0].strip()


_VARYING = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # uuid
    r"|\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b"  # address, digest
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"  # moment
    r"|[-+]?\d+(?:[.,:]\d+)*",  # number, clock time
    re.IGNORECASE,
)


def _template(text: str) -> str:
    return _VARYING.sub("#", text)
