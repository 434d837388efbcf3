"""When the market is open: the sessions of the New York exchanges, and the hours that a contract itself states.

Sessions are for schedules: "an hour before the open", "the last seven sessions". They come from ``calendar.toml``, which is
generated from exchange_calendars and ends two years after it was. Whether an order may be sent is asked of the contract's own
hours, as IB states them: index options and their underlyings keep other hours than the stock exchanges.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple

from v6cli import clock
from v6cli.errors import BadConfiguration, BadInput

CALENDAR = Path(__file__).with_name("calendar.toml")

_AT = re.compile(r"(open|close)((?:[+-](?:\d+h)?(?:\d+m)?)?)")
_RANGE = re.compile(r"(?:(\d{8}):)?(\d{4})-(?:(\d{8}):)?(\d{4})")


class Session(NamedTuple):
    """One trading day. ``opens`` and ``closes`` are in UTC."""

    day: date
    opens: datetime
    closes: datetime


class Hours(NamedTuple):
    """The hours a contract states: open from each start (included) to its end (excluded), in UTC, in order.

    They speak of the time from ``since`` to ``until`` only, about a week: what is outside is unknown. Where sessions run
    through the night, an evening before the first or after the last of them may belong to one that is not stated.
    """

    ranges: tuple[tuple[datetime, datetime], ...]
    since: datetime
    until: datetime


class _Calendar(NamedTuple):
    first: date
    last: date
    opens: time
    closes: time
    holidays: frozenset[date]
    early_closes: dict[date, time]


def session(day: date) -> Session | None:
    """The session of a day, or None where the market stays closed. Raises BadConfiguration beyond the calendar."""
    calendar = _calendar()
    if not calendar.first <= day <= calendar.last:
        raise BadConfiguration(f"the market calendar covers {calendar.first} to {calendar.last}, not {day}", next_step="install a newer v6")
    if day.weekday() >= 5 or day in calendar.holidays:
        return None
    return Session(day, _eastern(day, calendar.opens), _eastern(day, calendar.early_closes.get(day, calendar.closes)))


def sessions(first: date, last: date) -> list[Session]:
    """The sessions from ``first`` to ``last``, both included. Raises BadConfiguration beyond the calendar."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [found for day in days if (found := session(day))]


def previous(day: date) -> Session:
    """The last session before ``day``. Raises BadConfiguration beyond the calendar."""
    return next(_from(day, -1))


def following(day: date) -> Session:
    """The first session after ``day``. Raises BadConfiguration beyond the calendar."""
    return next(_from(day, 1))


def last_sessions(count: int, day: date) -> list[Session]:
    """The last ``count`` sessions up to ``day``, itself included, in order. Raises BadConfiguration beyond the calendar."""
    backwards = _from(day + timedelta(days=1), -1)
    return [next(backwards) for _ in range(count)][::-1]


def is_open(moment: datetime) -> bool:
    """Whether the stock exchanges are in their regular session. Raises BadConfiguration beyond the calendar."""
    found = session(moment.astimezone(clock.eastern()).date())
    return found is not None and found.opens <= moment < found.closes


def resolve(text: str, day: date) -> datetime | None:
    """When ``open-60m``, ``close+1h30m`` or ``16:30`` (New York) is on a day; None where that day has no session.

    An early close moves what is said of the close. Raises BadInput for a text that names no time, BadConfiguration beyond the
    calendar.
    """
    found = session(day)
    if match := _AT.fullmatch(text):
        offset = _offset(match[2], text)
        return None if found is None else (found.opens if match[1] == "open" else found.closes) + offset
    if not re.fullmatch(r"\d\d:\d\d", text):
        raise _no_time(text)
    try:
        at = time.fromisoformat(text)
    except ValueError:
        raise _no_time(text) from None
    return None if found is None else _eastern(day, at)


def parse_hours(text: str, zone: str) -> Hours | None:
    """A contract's tradingHours or liquidHours: ``20261124:0930-20261124:1600;20261125:CLOSED``, in the zone IB names beside it.

    None, that is unknown, where the zone is not known for certain or the text says nothing that can be relied on.
    """
    where = _zone(zone)
    if where is None:
        return None
    stated: list[tuple[date, list[tuple[datetime, datetime]]]] = []
    try:
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, _, said = part.partition(":")
            day = _day(name)
            stated.append((day, [] if said == "CLOSED" else [_range(piece, day, where) for piece in said.split(",")]))
    except ValueError:
        return None
    if not stated:
        return None
    ranges = tuple(sorted(each for _, of_day in stated for each in of_day))
    stated.sort()
    since, until = (datetime.combine(day, time(), where).astimezone(UTC) for day in (stated[0][0], stated[-1][0] + timedelta(days=1)))
    if any(start.astimezone(where).date() != (end - timedelta(seconds=1)).astimezone(where).date() for start, end in ranges):
        since, until = (ranges[0][0] if stated[0][1] else since), ranges[-1][1]
    return Hours(ranges, since, until)


def open_at(hours: Hours | None, moment: datetime) -> bool | None:
    """Whether a contract trades at a moment; None where its hours are unknown or do not speak of that time."""
    if hours is None or not hours.since <= moment < hours.until:
        return None
    return any(start <= moment < end for start, end in hours.ranges)


def next_open(hours: Hours | None, moment: datetime) -> datetime | None:
    """When a contract opens next: ``moment`` itself where it is open. None where its hours do not say."""
    if hours is None or moment < hours.since:
        return None
    return next((max(start, moment) for start, end in hours.ranges if moment < end), None)


def _from(day: date, step: int) -> Iterator[Session]:
    """The sessions beyond ``day``, one way or the other."""
    while True:
        day += timedelta(days=step)
        if found := session(day):
            yield found


@functools.cache
def _calendar() -> _Calendar:
    import tomllib

    try:
        found = tomllib.loads(CALENDAR.read_text("utf-8"))
        return _Calendar(
            first=found["first"],
            last=found["last"],
            opens=time.fromisoformat(found["opens"]),
            closes=time.fromisoformat(found["closes"]),
            holidays=frozenset(found["holidays"]),
            early_closes={date.fromisoformat(day): time.fromisoformat(at) for day, at in found["early_closes"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadConfiguration(f"the market calendar {CALENDAR} cannot be read: {error}", next_step="install v6 again") from error


def _eastern(day: date, at: time) -> datetime:
    return datetime.combine(day, at, clock.eastern()).astimezone(UTC)


def _offset(text: str, whole: str) -> timedelta:
    if not text:
        return timedelta()
    match = re.fullmatch(r"([+-])(?:(\d+)h)?(?:(\d+)m)?", text)
    if match is None or not (match[2] or match[3]):
        raise _no_time(whole)
    size = timedelta(hours=int(match[2] or 0), minutes=int(match[3] or 0))
    return -size if match[1] == "-" else size


def _no_time(text: str) -> BadInput:
    return BadInput(f"{text!r} is not a time of a session", next_step="write open, open-60m, close+30m or 16:30 (New York)")


def _day(text: str) -> date:
    if not re.fullmatch(r"\d{8}", text):
        raise ValueError(text)
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _range(text: str, day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """``0930-20261124:1600`` of a day or, as older gateways write it, ``0930-1600``, where an end before the start is the next day's.

    A session that began the evening before is stated with its own start: ``20261122:1700-20261123:1600``.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    start = _moment(_day(match[1]) if match[1] else day, match[2], zone)
    end = _moment(_day(match[3]) if match[3] else day, match[4], zone)
    if end <= start and not match[3]:
        end = _moment(day + timedelta(days=1), match[4], zone)
    if end <= start:
        raise ValueError(text)
    return start, end


def _moment(day: date, clock_time: str, zone: tzinfo) -> datetime:
    hour, minute = int(clock_time[:2]), int(clock_time[2:])
    if (hour, minute) == (24, 0):
        day, hour = day + timedelta(days=1), 0
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)


# What gateways of earlier years call zones. An abbreviation that several zones share, or that zoneinfo takes for a fixed offset
# without daylight saving, is known only as IB uses it or not at all.
_CALLED: dict[str, str | None] = {
    "EST (Eastern Standard Time)": "America/New_York",
    "EDT (Eastern Daylight Time)": "America/New_York",
    "EST": "America/New_York",
    "CST (Central Standard Time)": "America/Chicago",
    "CDT (Central Daylight Time)": "America/Chicago",
    "PST (Pacific Standard Time)": "America/Los_Angeles",
    "MST (Mountain Standard Time)": None,  # Denver or Phoenix
    "GMT (Greenwich Mean Time)": "Europe/London",
    "JST (Japan Standard Time)": "Asia/Tokyo",
    "MST": None,
    "HST": None,
    "MET": "Europe/Berlin",
}


def _zone(name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    known = _CALLED.get(name.strip(), name.strip())
    if not known:
        return None
    try:
        return ZoneInfo(known)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
