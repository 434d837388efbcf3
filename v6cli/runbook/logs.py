"""Logs as the operator asks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadInput
from v6cli.results import Column, Table
from v6cli.services import logs
from v6cli.services.backend import Backend
from v6cli.services.records import Line

COLUMNS = (Column("time", kind="time"), Column("service"), Column("level", kind="status"), Column("text", wraps=True))
_SPAN = re.compile(r"^(\d+)\s*([smhd])$")
_TIMES = "write 24h, 30m, 7d, today or 2026-11-24 09:30"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Choice(Struct, frozen=True):
    """Which lines: not before ``since`` (UTC), at ``level`` and above, matching ``grep``, the newest ``count``."""

    since: datetime | None
    level: str | None
    grep: str | None
    count: int


def since(text: str | None) -> datetime | None:
    """When ``back_to`` says, None for no text. Raises BadInput."""
    return None if text is None else back_to(text)


def back_to(text: str) -> datetime:
    """A span before now (24h, 30m, 7d), ``today``, or a time in New York. Raises BadInput."""
    if match := _SPAN.match(text.strip()):
        try:
            return clock.wall() - timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:
            raise BadInput(f"{text.strip()} ago is before all time", next_step=_TIMES) from None
    if text.strip().lower() == "today":
        return clock.wall().astimezone(clock.eastern()).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        return clock.read_moment(text)
    except BadInput as error:
        raise BadInput(error.message, next_step=_TIMES) from None


def sources(backend: Backend, names: Sequence[str]) -> list[Path]:
    """The log files of the services named, or of all. Raises UsageError for a service that is none."""
    return [path for state in backend.status(names) for path in backend.log_files(state.name)]


def table(files: Sequence[Path], choice: Choice) -> Table:
    """The lines, oldest first."""
    lines = logs.read(files, since=choice.since, level=choice.level, grep=choice.grep, limit=choice.count)
    rows = [(line.at, line.service, line.level.lower(), line.text) for line in lines]
    return Table("v6.logs/1", "logs", COLUMNS, list(rows), empty="no such lines")


def follow(files: Sequence[Path], choice: Choice) -> Iterator[str]:
    """New lines as they are written, for ever."""
    for line in logs.follow(files, level=choice.level, grep=choice.grep):
        yield _text(line)


def _text(line: Line) -> str:
    return f"{clock.show(line.at)}  {line.service}  {line.level.lower()}  {line.text}"
