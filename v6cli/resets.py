"""When IB resets its servers: every night, and longer on weekends. The link of a gateway may be lost for a part of it.

A window is told by the wall clock of IB's region: ``00:15 - 01:45`` is every night's, ``Sat 23:00 - Sun 03:00`` a week's. Where
that clock shows an edge of a window twice, or not at all because the clocks change, the longer reading counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from v6cli import clock

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EDGE = re.compile(rf"(?:({'|'.join(DAYS)}) +)?([01]\d|2[0-3]):([0-5]\d)")
LONGEST = timedelta(hours=12)  # what lasts longer is no reset


class Window(NamedTuple):
    """A window that recurs: ``weekday`` 0 is Monday, None every day. It ends ``days`` after the day on which it begins."""

    weekday: int | None
    begins: time
    days: int
    ends: time


def parse(text: str) -> Window:
    """``[day] HH:MM - [day] HH:MM``; without an end's day the next such time. Raises ValueError saying what is wrong."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError("it has no end")
    weekday, begins = _edge(first)
    last_weekday, ends = _edge(last)
    days = 0 if ends > begins else 1
    if last_weekday is not None:
        if weekday is None:
            raise ValueError("its end has a day and its begin has none")
        days = (last_weekday - weekday) % 7 or (0 if ends > begins else 7)
    lasts = datetime.combine(date.min + timedelta(days), ends) - datetime.combine(date.min, begins)
    if lasts > LONGEST:
        raise ValueError(
            f"it lasts {clock.show_age(lasts.total_seconds())}, and none is longer than {clock.show_age(LONGEST.total_seconds())}"
        )
    return Window(weekday, begins, days, ends)


def _edge(text: str) -> tuple[int | None, time]:
    match = _EDGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no time like 23:00 or Sat 23:00")
    day, hour, minute = match.groups()
    return (DAYS.index(day) if day else None), time(int(hour), int(minute))


def end_of_reset(windows: Sequence[str], zone: str, moment: datetime) -> datetime | None:
    """When the window that holds ``moment`` ends, in UTC; the latest end where several hold it, None where none does."""
    from zoneinfo import ZoneInfo

    place = ZoneInfo(zone)
    spans = [span for text in windows for span in _around(parse(text), place, moment)]
    return max((end for begin, end in spans if begin <= moment < end), default=None)


def _around(window: Window, zone: ZoneInfo, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The window's turns that could hold the moment: where midnight is skipped, one of tomorrow may begin today."""
    today = moment.astimezone(zone).date()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        if window.weekday is None or day.weekday() == window.weekday:
            yield min(_moments(day, window.begins, zone)), max(_moments(day + timedelta(window.days), window.ends, zone))


def _moments(day: date, at: time, zone: ZoneInfo) -> list[datetime]:
    return [datetime.combine(day, at, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
