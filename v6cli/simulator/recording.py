"""Recorded quotes: a CSV file, and what it says of a contract at any moment since the replay began.

Columns, by name in the first line: ``time`` (a moment with its offset, or seconds from the start), ``symbol`` (of a stock or an
index, or the local symbol of an option), ``bid``, ``ask``, ``bid_size``, ``ask_size``, ``last``. Times never go back. What is
left empty is not there: no bid, no size. Every row has a bid and an ask, or a last price.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from v6cli.errors import BadConfiguration
from v6cli.simulator.listings import Listing, option_named

Floats = NDArray[np.float64]

COLUMNS = ("time", "symbol", "bid", "ask", "bid_size", "ask_size", "last")
_NEEDED = ("time", "symbol")


class Row(Struct, frozen=True):
    """A recorded quote, prices per share; None is not there."""

    bid: float | None
    ask: float | None
    bid_size: int | None
    ask_size: int | None
    last: float | None

    @property
    def worth(self) -> float:
        """Halfway between the sides, else the last price."""
        if self.bid is not None and self.ask is not None:
            return (self.bid + self.ask) / 2
        assert self.last is not None  # or it would not have been read
        return self.last


class _Series(Struct):
    times: Floats
    rows: list[Row]
    worth: Floats


class Recording:
    """Rows by the name of their contract, ``start`` being when the replay begins (seconds since 1970).

    After its end it begins anew where ``repeats``; else the last quotes stay. Before a contract's first row that row holds.
    """

    def __init__(self, rows: Iterable[tuple[float, str, Row]], start: float, *, repeats: bool) -> None:
        self.start = start
        self._repeats = repeats
        read: dict[str, list[tuple[float, Row]]] = {}
        moments = []
        for at, name, row in rows:
            read.setdefault(name, []).append((at, row))
            moments.append(at)
        self._series = {
            name: _Series(np.array([at for at, _ in found]), [row for _, row in found], np.array([row.worth for _, row in found]))
            for name, found in read.items()
        }
        gaps = np.diff(np.unique(moments))
        # The last quotes stay as long as those before them did.
        self._length = float(moments[-1] + (gaps[-1] if gaps.size else 1.0))

    def covers(self, name: str) -> bool:
        """Whether a contract was recorded."""
        return name in self._series

    def row(self, name: str, moment: float) -> Row | None:
        """The quote of a recorded contract; None before the replay begins."""
        if name not in self._series or moment < self.start:
            return None
        series = self._series[name]
        return series.rows[int(self._places(series, np.array([moment]))[0])]

    def worth(self, name: str, moments: Floats) -> Floats:
        """What a recorded contract was worth; of moments before the replay that of its first row."""
        series = self._series[name]
        return np.asarray(series.worth[self._places(series, moments)])

    def move(self, listings: dict[str, Listing]) -> dict[str, Listing]:
        """The listings, each at the level at which it was recorded. The VIX keeps its own: its distance from it is what fear is."""
        start = np.array([self.start])
        recorded = {symbol for symbol in listings if self.covers(symbol)} - {"VIX"}
        return {
            symbol: replace(listing, price=round(float(self.worth(symbol, start)[0]), 2)) if symbol in recorded else listing
            for symbol, listing in listings.items()
        }

    def _places(self, series: _Series, moments: Floats) -> NDArray[np.int64]:
        passed = np.maximum(moments - self.start, 0.0)
        if self._repeats:
            passed = np.mod(passed, self._length)
        return np.asarray(np.maximum(np.searchsorted(series.times, passed, side="right") - 1, 0), np.int64)


def read(path: Path, symbols: Collection[str]) -> list[tuple[float, str, Row]]:
    """The rows of a file: seconds from the start, contract, quote. Raises BadConfiguration naming file, line and column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(csv.reader(file, strict=True), path, symbols))
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            f"{path}: cannot be read: {error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'}"
        ) from None
    except csv.Error as error:
        raise BadConfiguration(f"{path}: not valid CSV: {error}") from None
    if not rows:
        raise BadConfiguration(f"{path}: there are no quotes in it")
    return rows


def _rows(lines: Iterator[list[str]], path: Path, symbols: Collection[str]) -> Iterator[tuple[float, str, Row]]:
    header = [name.strip() for name in next(lines, [])]
    wrong = [name for name in header if name not in COLUMNS] or [name for name in _NEEDED if name not in header]
    if wrong or len(set(header)) < len(header):
        named = f"column {wrong[0]!r} is {'unknown' if wrong[0] in header else 'missing'}" if wrong else "a column is there twice"
        raise BadConfiguration(f"{path}: line 1: {named}", next_step=f"its columns: {', '.join(COLUMNS)}")
    times = _Times()
    for number, fields in enumerate(lines, 2):
        if not fields:
            continue
        line = _Line(f"{path}: line {number}", dict(zip(header, fields, strict=False)))
        if len(fields) != len(header):
            raise line.wrong("row", f"{len(fields)} fields under {len(header)} columns")
        yield times.seconds(line), _name(line, symbols), _row(line)


class _Line(Struct, frozen=True):
    """One line of the file, and where it stands."""

    place: str
    fields: dict[str, str]

    def text(self, column: str) -> str:
        return self.fields.get(column, "").strip()

    def number(self, column: str) -> float | None:
        text = self.text(column)
        try:
            value = float(text) if text else None
        except ValueError:
            raise self.wrong(column, f"{text!r} is not a number") from None
        if value is not None and not 0 <= value < 1e9:
            raise self.wrong(column, f"{text!r} is not a number from 0 on")
        return value

    def wrong(self, column: str, why: str) -> BadConfiguration:
        return BadConfiguration(f"{self.place}: {column}: {why}")


class _Times:
    """Times of a file as seconds from its start."""

    def __init__(self) -> None:
        self._first: datetime | None = None
        self._last = 0.0

    def seconds(self, line: _Line) -> float:
        text = line.text("time")
        try:
            passed = float(text)
        except ValueError:
            passed = self._since_first(line, text)
        if not math.isfinite(passed) or passed < self._last:
            raise line.wrong("time", f"{text!r} is before the line above" if math.isfinite(passed) else f"{text!r} is no time")
        self._last = passed
        return passed

    def _since_first(self, line: _Line, text: str) -> float:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise line.wrong("time", f"{text!r} is neither seconds nor a moment like 2026-11-24T09:30:00-05:00") from None
        if moment.tzinfo is None:
            raise line.wrong("time", f"{text!r} has no offset, like -05:00")
        self._first = self._first or moment
        return (moment - self._first).total_seconds()


def _name(line: _Line, symbols: Collection[str]) -> str:
    text = line.text("symbol")
    option = option_named(text)
    if option is not None:
        return option.local_symbol
    if text not in symbols:
        raise line.wrong("symbol", f"{text!r} is not listed")
    return text


def _row(line: _Line) -> Row:
    bid, ask, last = line.number("bid"), line.number("ask"), line.number("last")
    if (bid is None or ask is None) and last is None:
        raise line.wrong("last", "there is neither a bid with an ask nor a last price")
    if bid is not None and ask is not None and ask < bid:
        raise line.wrong("ask", f"{ask:g} is below the bid of {bid:g}")
    for column, price in (("ask", ask), ("last", last)):
        if price == 0:
            raise line.wrong(column, "a price of 0; leave it empty where there is none")
    sizes = [line.number(column) for column in ("bid_size", "ask_size")]
    bid_size, ask_size = (None if size is None else int(size) for size in sizes)
    return Row(bid or None, ask, bid_size, ask_size, last)
