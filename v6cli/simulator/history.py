"""Bars of the past, read off the same paths as today's quotes.

History keeps the exchange's hours even where a scenario's market is always open: a chart of Sundays helps nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from v6cli.models import Contract
from v6cli.simulator import noise
from v6cli.simulator.market import Floats, Market
from v6cli.simulator.sessions import Exchange, Span, day_of
from v6cli.simulator.subscriptions import BarRequest
from v6cli.simulator.times import read_time

MOST_BARS = 20_000
#: The first day with bars.
BEGINS = date(2004, 1, 23)
_SIZES = {
    **{f"{number} secs": number for number in (1, 5, 10, 15, 30)},
    "1 sec": 1,
    **{f"{number} min{'s' if number > 1 else ''}": 60 * number for number in (1, 2, 3, 5, 10, 15, 20, 30)},
    **{f"{number} hour{'s' if number > 1 else ''}": 3600 * number for number in (1, 2, 3, 4, 8)},
    "1 day": 86_400,
}
_SHOWN = {"TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "OPTION_IMPLIED_VOLATILITY", "ADJUSTED_LAST"}
_DAYS_IN = {"D": 1, "W": 5, "M": 21, "Y": 252}
_SAMPLES = 9


class Unanswerable(Exception):
    """A question about history that IB would answer with this error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Bar(Struct, frozen=True):
    """One bar. ``start`` is its first moment, or its day for daily bars; volume, average and count are -1 where IB has none."""

    start: datetime | date
    opened: float
    high: float
    low: float
    close: float
    volume: int
    average: float
    count: int


def bars(market: Market, request: BarRequest, now: datetime) -> list[Bar]:
    """The bars that a request asks for, oldest first. Raises Unanswerable."""
    return _made(market, request, _pieces(market, request, now))


def growing(market: Market, request: BarRequest, now: datetime) -> list[Bar]:
    """The last of the bars that a request asks for, if there is one: who keeps a history up to date has the others."""
    return _made(market, request, _pieces(market, request, now)[-1:])


def _pieces(market: Market, request: BarRequest, now: datetime) -> list[Span]:
    """The first and the last moment of each bar that a request asks for. Raises Unanswerable."""
    size = _SIZES.get(request.size)
    if size is None:
        raise Unanswerable(
            321,
            f"Error validating request.-'bX' : cause - Historical data bar size setting is invalid. Legal ones are: {', '.join(_SIZES)}.",
        )
    if request.what not in _SHOWN:
        raise Unanswerable(
            162, f"Historical Market Data Service error message:No historical market data for {request.contract.symbol}@{request.what}"
        )
    end = _end(request.end, now)
    spans = [(first, min(last, end)) for first, last in _spans(market, request, size, end)]
    if size == 86_400:
        return spans
    step = timedelta(seconds=size)
    there = sum(-((first - last) // step) for first, last in spans)
    wanted = min(there, _count(request.duration, size) or there)
    if wanted > MOST_BARS:  # refused before they are cut: years of seconds take minutes
        raise Unanswerable(162, "Historical Market Data Service error message:Time length exceed max.")
    pieces = [(start, min(start + step, last)) for first, last in spans for start in _starts(first, last, size)]
    return pieces[there - wanted :]


def sessions(market: Market, request: BarRequest, now: datetime) -> list[tuple[date, Span]]:
    """The regular sessions that a SCHEDULE request covers: each day with its first and last moment. Raises Unanswerable."""
    end = _end(request.end, now)
    return [(day_of(last), (first, last)) for first, last in _spans(market, request, 86_400, end)]


def _end(text: str, now: datetime) -> datetime:
    """The end of a request, not later than ``now``, which is what an empty one means. Raises Unanswerable."""
    try:
        return min(read_time(text, now), now) if text else now
    except ValueError:
        raise Unanswerable(10314, "End Date/Time: The date, time, or time-zone entered is invalid.") from None


def _days(duration: str) -> int:
    found = re.fullmatch(r"(\d{1,5}) ([SDWMY])", duration)
    if found is None:
        raise Unanswerable(321, "Error validating request.-'bX' : cause - Historical data queries require a duration such as '1 D'.")
    count = int(found[1])
    days = count // 23_400 + 2 if found[2] == "S" else count * _DAYS_IN[found[2]]
    return min(max(days, 1), 2600)


def _count(duration: str, size: int) -> int | None:
    """How many bars a duration in seconds covers; None where it counts days."""
    seconds = re.fullmatch(r"(\d+) S", duration)
    return max(1, -(-int(seconds[1]) // size)) if seconds else None


def _spans(market: Market, request: BarRequest, size: int, end: datetime) -> list[Span]:
    """The sessions of the days that are asked for and have begun, oldest first."""
    exchange = Exchange(always=False, calendar=market.exchange.calendar)
    wanted, day = _days(request.duration), day_of(end)
    found: list[list[Span]] = []
    for _ in range(2 * wanted + 30):
        if len(found) == wanted or day < BEGINS:
            break
        spans = [span for span in exchange.spans(request.contract, day, liquid=request.regular_hours or size == 86_400) if span[0] < end]
        if spans:
            found.append(spans)
        day -= timedelta(days=1)
    return [span for spans in reversed(found) for span in spans]


def _starts(first: datetime, last: datetime, size: int) -> Iterator[datetime]:
    start = first
    while start < last:
        yield start
        start += timedelta(seconds=size)


def _made(market: Market, request: BarRequest, pieces: list[Span]) -> list[Bar]:
    measured = _measure(market, request, pieces)
    if request.size != "1 day":
        return measured
    return [replace(bar, start=day_of(first)) for bar, (first, _) in zip(measured, pieces, strict=True)]


def _measure(market: Market, request: BarRequest, pieces: list[Span]) -> list[Bar]:
    if not pieces:
        return []
    starts = np.array([start.timestamp() for start, _ in pieces])
    stops = np.array([stop.timestamp() for _, stop in pieces])
    moments = (starts[:, None] + (stops - starts)[:, None] * np.linspace(0.0, 1.0, _SAMPLES)[None, :]).ravel()
    seen, digits = _series(market, request, moments)
    grid = np.round(seen.reshape(len(pieces), _SAMPLES), digits)
    half = _half_spread(request.contract, grid) if request.what in {"BID", "ASK", "BID_ASK"} else np.zeros(grid.shape)
    low = grid - half if request.what in {"BID", "BID_ASK"} else grid + half
    high = grid + half if request.what in {"ASK", "BID_ASK"} else grid - half
    opens, closes = (low.mean(axis=1), high.mean(axis=1)) if request.what == "BID_ASK" else (low[:, 0], high[:, -1])
    volumes = _volumes(market, request.contract, starts, stops) if request.what in {"TRADES", "ADJUSTED_LAST"} else np.full(len(pieces), -1)
    found = []
    for row, (start, _) in enumerate(pieces):
        opened, highest, lowest, closed = (
            round(float(number), digits) for number in (opens[row], high[row].max(), low[row].min(), closes[row])
        )
        volume = int(volumes[row])
        average = round(float(grid[row].mean()), digits + 1) if volume >= 0 else -1.0
        found.append(Bar(start, opened, highest, lowest, closed, volume, average, volume // 120 if volume >= 0 else -1))
    return found


def _series(market: Market, request: BarRequest, moments: Floats) -> tuple[Floats, int]:
    """What the bars are about at each moment, and the digits it is told in."""
    if request.what == "OPTION_IMPLIED_VOLATILITY":
        return market.implied_volatility(request.contract.symbol, moments), 6
    return market.values([request.contract] if not request.contract.is_option else [request.contract] * len(moments), moments).price, 2


def _half_spread(contract: Contract, grid: Floats) -> Floats:
    return np.asarray(np.maximum(0.01, np.round(0.004 * grid, 2)) if contract.is_option else np.full(grid.shape, 0.01))


def _volumes(market: Market, contract: Contract, starts: Floats, stops: Floats) -> Floats:
    if market.listings[contract.symbol].is_index and not contract.is_option:
        return np.zeros(starts.shape)
    usual = 0.05 if contract.is_option else 1700.0  # a second
    return np.floor(usual * (stops - starts) * (1 + 0.6 * noise.scatter(contract.con_id, starts.astype(np.int64))))
