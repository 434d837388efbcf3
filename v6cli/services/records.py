"""What a line of a log says, whether a daemon wrote it as JSON or a program printed it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LONGEST = 2000  # lines joined into one record at most: a program that only ever prints indented lines must not fill the memory


class Line(Struct, frozen=True):
    """One record of a log: a message, with the stack trace that belongs to it below.

    ``at`` is in UTC. What a program prints carries no time: then ``at`` is the latest it can have been, the time of the next
    line that carries one or of the file's last change. ``level`` is one of LEVELS, ``source`` the name of the file.
    """

    at: datetime
    service: str
    level: str
    text: str
    source: str


class _Json(Struct):
    time: datetime
    message: str = ""
    level: str = "INFO"
    exception: str | None = None


_decoder = msgspec.json.Decoder(_Json)
_STAMP = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)\]?")
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL|CRIT)\b", re.IGNORECASE)
_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL", "CRIT": "CRITICAL", "TRACE": "DEBUG", "SUCCESS": "INFO", "NOTSET": "DEBUG"}
_TRACE = re.compile(r"\s*(\+ )?(Exception Group )?Traceback \(most recent call last\):")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(: .*)?")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


def level_name(name: str) -> str:
    """The level of LEVELS that a library's name for one means; INFO for a name that nobody knows."""
    upper = name.upper()
    return upper if upper in LEVELS else _NAMES.get(upper, "INFO")


def grouped(lines: Iterable[bytes]) -> Iterator[list[str]]:
    """Lines, newest first, as records, newest first; the lines within a record stand in their own order."""
    pending: list[str] = []
    current: str | None = None
    for raw in lines:
        older = raw.decode("utf-8", "replace").rstrip("\r")
        if current is not None:
            pending.append(current)
            if not continues(current, older) or len(pending) >= LONGEST:
                yield pending[::-1]
                pending = []
        current = older
    if current is not None:
        pending.append(current)
        yield pending[::-1]


def continues(line: str, older: str) -> bool:
    """Whether a line belongs to the record of the line before it, as the lines of a stack trace do."""
    if line.startswith("{"):
        return False
    if not line or line[0] in " \t" or line.startswith(_CHAINED):
        return True
    if _TRACE.match(line):
        return not older or bool(_STAMP.match(older))
    return bool(older) and older[0] in " \t" and bool(_RAISED.fullmatch(line))


def read_record(lines: list[str], latest: datetime, service: str, source: str) -> Line | None:
    """The record these lines make; ``latest`` is when it was written at the latest. None for nothing but empty lines."""
    first = lines[0]
    if first.startswith("{"):
        try:
            found = _decoder.decode(first)
        except msgspec.MsgspecError:
            pass
        else:
            text = "\n".join(part for part in (found.message, (found.exception or "").rstrip(), *lines[1:]) if part)
            return Line(_utc(found.time), service, level_name(found.level), text, source)
    text = "\n".join(lines).strip("\n")
    if not text.strip():
        return None
    stamp = _STAMP.match(first)
    at = _stamped(stamp[1]) if stamp else None
    return Line(at or latest, service, _printed_level(first[stamp.end() if stamp else 0 :], text, stamped=stamp is not None), text, source)


def _printed_level(head: str, text: str, *, stamped: bool) -> str:
    if stamped and (named := _LEVEL.search(head[:80])):
        return level_name(named[1])
    if "Traceback (most recent call last):" in text:
        return "ERROR"
    return level_name(named[1]) if (named := re.match(r"\W*(WARNING|ERROR|CRITICAL|FATAL)\b", head)) else "INFO"


def _stamped(text: str) -> datetime | None:
    try:
        return _utc(datetime.fromisoformat(text.replace(",", ".")))
    except ValueError:
        return None


def _utc(moment: datetime) -> datetime:
    """In UTC; a time without a zone is the machine's own, as the logging of other programs writes it."""
    return moment.astimezone(UTC)
