"""Files of lines read from their end: what is asked for is mostly new, and a log may hold 100 MB of older lines."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

BLOCK = 1 << 18  # bytes read at once


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file without their ends, newest first. A file that is gone has none; ``.gz`` is unpacked on the way."""
    try:
        file = _opened(path)
    except FileNotFoundError:
        return
    with file:
        end = file.seek(0, os.SEEK_END)
        tail: list[bytes] = []  # pieces of a line that began in a block not read yet, newest piece first
        newest = True
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            first, *lines = file.read(end - start).split(b"\n")
            end = start
            if not lines:
                tail.append(first)
                continue
            tail.append(lines.pop())
            line = b"".join(reversed(tail))
            if line or not newest:  # what follows the last line's end is no line
                yield line
            newest = False
            yield from reversed(lines)
            tail = [first]
        if tail:
            yield b"".join(reversed(tail))


def generations(path: Path) -> list[Path]:
    """A log file and what it was rotated into, newest first: ``x.log``, ``x.log.1``, ``x.2026-11-24_13-00-00_000000.log``, each also ``.gz``."""
    numbered = re.compile(re.escape(path.name) + r"\.(\d+)(\.gz)?")
    dated = re.compile(re.escape(path.stem) + r"\.(\d{4}-\d\d-\d\d_.*?)" + re.escape(path.suffix) + r"(\.gz)?")
    by_number: list[tuple[int, Path]] = []
    by_date: list[tuple[str, Path]] = []
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return []
    for name in names:
        if match := numbered.fullmatch(name):
            by_number.append((int(match[1]), path.with_name(name)))
        elif match := dated.fullmatch(name):
            by_date.append((match[1], path.with_name(name)))
    rotated = [file for _, file in sorted(by_number)] + [file for _, file in sorted(by_date, reverse=True)]
    return ([path] if path.name in names else []) + rotated


def _opened(path: Path) -> IO[bytes]:
    if path.suffix != ".gz":
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, unpacked, BLOCK)
    except BaseException:
        unpacked.close()
        raise
    return unpacked
