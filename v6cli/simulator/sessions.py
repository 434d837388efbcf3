"""When a contract trades: the exchange's day, its sessions in IB's notation, and the last moment prices moved.

A calendar is any function from a day to that day's Hours, or None when the exchange stays closed: ``new_york_exchanges`` knows
holidays and early closes, ``weekdays`` does not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

from v6cli import clock
from v6cli import sessions as exchange_days
from v6cli.errors import BadConfiguration
from v6cli.models import Contract

ZONE_NAME = "US/Eastern"  # IB's spelling of New York


class Hours(Struct, frozen=True):
    """The regular session of a day, New York time."""

    opens: time = time(9, 30)
    closes: time = time(16)


Calendar = Callable[[date], Hours | None]
Span = tuple[datetime, datetime]


def weekdays(day: date) -> Hours | None:
    """Monday to Friday, without holidays."""
    return Hours() if day.weekday() < 5 else None


@functools.lru_cache(maxsize=1024)  # each quote and each step of the floor asks for the same few days
def new_york_exchanges(day: date) -> Hours | None:
    """The sessions that the rest of v6 goes by; beyond the end of its calendar, weekdays."""
    try:
        found = exchange_days.session(day)
    except BadConfiguration:
        return weekdays(day)
    return Hours(_clock_face(found.opens), _clock_face(found.closes)) if found else None


def _clock_face(moment: datetime) -> time:
    return moment.astimezone(clock.eastern()).time()


@functools.lru_cache(maxsize=1024)  # the same few opening and closing times are asked for at every quote
def new_york(day: date, at: time) -> datetime:
    """The UTC moment at which clocks in New York show ``at``."""
    return datetime.combine(day, at, tzinfo=clock.eastern()).astimezone(UTC)


def day_of(moment: datetime) -> date:
    """New York's date."""
    return moment.astimezone(clock.eastern()).date()


class Exchange:
    """Opening hours of everything the simulator lists. ``always`` keeps it open around the clock, every day."""

    def __init__(self, *, always: bool, calendar: Calendar = weekdays) -> None:
        self.always = always
        self.calendar = calendar
        self._current: dict[tuple[str, str, str, date | None, bool], Span] = {}

    def session_before(self, day: date) -> date:
        """The last day with a session that is earlier than ``day``."""
        for back in range(1, 15):
            earlier = day - timedelta(days=back)
            if self.calendar(earlier):
                return earlier
        return day - timedelta(days=1)

    def session_on_or_before(self, day: date) -> date:
        """``day`` when it has a session, else the last one before it."""
        return day if self.calendar(day) else self.session_before(day)

    def close_of(self, day: date) -> datetime:
        """The end of a day's regular session; 16:00 on a day without one."""
        return new_york(day, (self.calendar(day) or Hours()).closes)

    def previous_close(self, moment: datetime) -> datetime:
        """The close that today's changes are measured from: that of the last session before today."""
        return self.close_of(self.session_before(day_of(moment)))

    def spans(self, contract: Contract, day: date, *, liquid: bool = False) -> list[Span]:
        """The sessions of a contract that belong to ``day``, in order; ``liquid`` leaves out the thin hours."""
        if self.always:
            return self._whole_day(contract, day)
        hours = self.calendar(day)
        if hours is None:
            return []
        return list(_spans(contract, day, hours, liquid=liquid))

    def _whole_day(self, contract: Contract, day: date) -> list[Span]:
        if contract.expiry is not None and (day > contract.expiry or (day == contract.expiry and _settles_in_the_morning(contract))):
            return []
        ends = self.close_of(day) if contract.expiry == day else new_york(day + timedelta(days=1), time(0))
        return [(new_york(day, time(0)), ends)]

    def is_open(self, contract: Contract, moment: datetime, *, liquid: bool = False) -> bool:
        """Whether the contract trades now; ``liquid`` leaves out the thin hours."""
        span = self.session_at(contract, moment, liquid=liquid)
        return span is not None and span[0] <= moment

    def session_at(self, contract: Contract, moment: datetime, *, liquid: bool = False) -> Span | None:
        """The session that the contract is in, or else its next one; None when it trades no more."""
        key = (contract.kind, contract.symbol, contract.trading_class, contract.expiry, liquid)
        current = self._current.get(key)
        if current is None or not current[0] <= moment < current[1]:
            current = self._next_session(contract, moment, liquid=liquid)
            if current is None:
                return None
            self._current[key] = current  # holds for as long as moments lie within it
        return current

    def _next_session(self, contract: Contract, moment: datetime, *, liquid: bool) -> Span | None:
        today = day_of(moment)
        # The night session of index products begins on the evening before its day.
        for ahead in range(15):
            for span in self.spans(contract, today + timedelta(days=ahead), liquid=liquid):
                if moment < span[1]:
                    return span
        return None

    def last_moment(self, contract: Contract) -> datetime | None:
        """When an option trades for the last time; None for what does not expire."""
        if contract.expiry is None:
            return None
        for back in range(15):
            spans = self.spans(contract, contract.expiry - timedelta(days=back))
            if spans:
                return spans[-1][1]
        return self.close_of(contract.expiry)

    def settles(self, contract: Contract) -> datetime:
        """When an option stops living: the close of its last day, or that day's open where the opening prices settle it."""
        if contract.expiry is None:
            return datetime.max.replace(tzinfo=UTC)
        return new_york(contract.expiry, time(9, 30)) if _settles_in_the_morning(contract) else self.close_of(contract.expiry)

    def last_traded(self, contract: Contract, moment: datetime) -> datetime:
        """``moment`` while the contract trades, else the end of its last session, or when it settled: prices stand still from then on."""
        if self.is_open(contract, moment):
            return moment
        settled = self.settles(contract)
        if settled <= moment:
            return settled
        today = day_of(moment)
        for ahead in range(1, -15, -1):
            for start, end in reversed(self.spans(contract, today + timedelta(days=ahead))):
                if start <= moment:
                    return min(moment, end)
        return moment

    def in_ib_words(self, contract: Contract, day: date, *, liquid: bool) -> str:
        """IB's text for the week from ``day`` on: ``20261124:0930-20261124:1615;...;20261128:CLOSED``."""
        return ";".join(self._day_in_ib_words(contract, day + timedelta(days=ahead), liquid=liquid) for ahead in range(6))

    def _day_in_ib_words(self, contract: Contract, day: date, *, liquid: bool) -> str:
        spans = self.spans(contract, day, liquid=liquid)
        if not spans:
            return f"{day:%Y%m%d}:CLOSED"
        return ";".join(f"{_ib_minute(start)}-{_ib_minute(end)}" for start, end in spans)


def _spans(contract: Contract, day: date, hours: Hours, *, liquid: bool) -> Iterator[Span]:
    index = contract.symbol in {"SPX", "VIX"}
    quarter_past = _later(hours.closes, 15)
    if contract.kind == "STK":
        closes = hours.closes if liquid else _later(hours.closes, 240)
        yield new_york(day, hours.opens if liquid else time(4)), new_york(day, closes)
        return
    if contract.expiry is not None and day >= contract.expiry and _settles_in_the_morning(contract):
        return
    if contract.expiry is not None and day > contract.expiry:
        return
    if index and not liquid:
        yield new_york(day - timedelta(days=1), time(20, 15)), new_york(day, time(9, 25))
    if index and contract.expiry == day:
        yield new_york(day, hours.opens), new_york(day, hours.closes)
    elif index and not liquid:
        yield new_york(day, hours.opens), new_york(day, _later(hours.closes, 60))
    else:
        yield new_york(day, hours.opens), new_york(day, quarter_past)


def _settles_in_the_morning(contract: Contract) -> bool:
    """Whether the opening prices of its last day settle an option, which trades no more on that day."""
    return contract.trading_class == "SPX"


def _later(at: time, minutes: int) -> time:
    return (datetime.combine(date.min, at) + timedelta(minutes=minutes)).time()


def _ib_minute(moment: datetime) -> str:
    return moment.astimezone(clock.eastern()).strftime("%Y%m%d:%H%M")
