"""The newest part of each log file, read forward in lines: what a supporter wants of logs that may hold gigabytes."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from msgspec import Struct

from v6cli.services.records import read_record

LONGEST_FILE = 10_000_000  # bytes of one file that are read, the newest
LONGEST_LINE = 32_768  # bytes
_CUT_TAIL = 256  # bytes before a cut that are dropped with it: half a name would not be known for one
_NO_TIME = datetime.min.replace(tzinfo=UTC)


class LogFile(Struct, frozen=True):
    """One file of the logs folder; ``problem`` says why it is not read."""

    path: Path
    changed: datetime
    size: int
    problem: str = ""


def found(folder: Path) -> list[LogFile]:
    """Every log file there and what it was rotated into, the newest first. Raises OSError."""
    files = [_described(path) for path in sorted(folder.iterdir()) if ".log" in path.name]
    return sorted(files, key=lambda file: file.changed, reverse=True)


def end_of(file: LogFile, since: datetime) -> tuple[list[bytes], str]:
    """The lines of the file from the first record at or after ``since``, and what was cut off before, if its size made that necessary.

    Raises OSError, EOFError, zlib.error.
    """
    with _opened(file.path) as content:
        size = content.seek(0, os.SEEK_END)
        start = max(0, size - LONGEST_FILE)
        content.seek(start)
        lines = list(_lines(content, size, whole=start == 0))
    cut = f"the newest {LONGEST_FILE:,} of {size:,} bytes" if start else ""
    return lines[_first_since(lines, since) :], cut


def _described(path: Path) -> LogFile:
    facts = path.lstat()
    kind = facts.st_mode
    problem = "" if stat.S_ISREG(kind) else "a link: it may lead anywhere" if stat.S_ISLNK(kind) else "no file"
    return LogFile(path, datetime.fromtimestamp(facts.st_mtime, UTC), facts.st_size, problem)


def _opened(path: Path) -> IO[bytes]:
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if path.suffix != ".gz":
        return file
    with file, gzip.open(file) as packed:
        before = end = b""
        while piece := packed.read(LONGEST_FILE):
            before, end = end, piece
    return io.BytesIO((before + end)[-LONGEST_FILE:])


def _lines(content: IO[bytes], end: int, *, whole: bool) -> Iterator[bytes]:
    """Lines up to where the file ended when it was opened. Of a line that is too long, its beginning; where the first is not whole, not that."""
    while content.tell() < end and (line := content.readline(LONGEST_LINE)):
        cut = False
        while not line.endswith(b"\n") and content.tell() < end and (more := content.readline(LONGEST_LINE)):
            cut = True
            if more.endswith(b"\n"):
                break
        if whole:
            yield line[:-_CUT_TAIL] + b" (cut: the line is too long)" if cut else line.rstrip(b"\r\n")
        whole = True


def _first_since(lines: list[bytes], since: datetime) -> int:
    """Where the records from ``since`` on begin. Lines that carry no time belong to the last one that did."""
    last = 0
    for number, line in enumerate(lines):
        record = read_record([line.decode("utf-8", "replace")], _NO_TIME, "", "")
        if record is None or record.at == _NO_TIME:
            continue
        if record.at >= since:
            return number
        last = number
    return last


UNREADABLE = (OSError, EOFError, zlib.error)
