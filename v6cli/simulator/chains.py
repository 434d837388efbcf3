"""Which options exist: expiries and strikes of each class, and the contracts that a request's partial description names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
from msgspec import Struct

from v6cli.models import Contract
from v6cli.simulator.listings import OPTION_CLASSES, Listing, OptionClass, listed, option, option_of_id
from v6cli.simulator.sessions import Exchange

_DAILY_DAYS = 14
_WEEKLY_DAYS = 60
_LISTED_DAYS = 215


class Wanted(Struct, frozen=True):
    """A contract as a request describes it; what is empty, 0 or None does not narrow the choice.

    ``expiry`` is ``YYYYMMDD`` or ``YYYYMM``.
    """

    con_id: int = 0
    symbol: str = ""
    kind: str = ""
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""


def expiries(family: OptionClass, exchange: Exchange, today: date) -> list[date]:
    """The listed expiries of a class, in order: daily for two weeks, weekly for two months, then monthly and quarterly."""
    found = []
    for ahead in range(_LISTED_DAYS):
        day = today + timedelta(days=ahead)
        if exchange.calendar(day) is None:
            continue
        month_end = is_monthly(day, exchange)
        if month_end or (not family.monthly_only and family.weekly and _is_listed_weekly(day, ahead, exchange)):
            found.append(day)
    return found


def _is_listed_weekly(day: date, ahead: int, exchange: Exchange) -> bool:
    return ahead < _DAILY_DAYS or (ahead < _WEEKLY_DAYS and is_weekly(day, exchange)) or is_quarterly(day, exchange)


def is_weekly(day: date, exchange: Exchange) -> bool:
    """The last session of a week."""
    return exchange.session_on_or_before(day + timedelta(days=4 - day.weekday())) == day if day.weekday() < 5 else False


def is_monthly(day: date, exchange: Exchange) -> bool:
    """The session on the third Friday of a month, or the one before where that is a holiday."""
    return exchange.session_on_or_before(third_friday(day.year, day.month)) == day


def is_quarterly(day: date, exchange: Exchange) -> bool:
    """The last session of March, June, September or December."""
    if day.month % 3:
        return False
    next_month = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return exchange.session_before(next_month) == day


def third_friday(year: int, month: int) -> date:
    """The third Friday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def strikes(family: OptionClass, listing: Listing) -> list[float]:
    """The listed strikes of a class: close together near the level that the price stays around, wide apart beyond."""
    centre = listing.price
    near = np.arange(np.ceil(centre * 0.86 / family.step), np.floor(centre * 1.14 / family.step) + 1) * family.step
    wide = np.arange(np.ceil(centre * 0.65 / family.wide_step), np.floor(centre * 1.30 / family.wide_step) + 1) * family.wide_step
    return [float(strike) for strike in np.union1d(near, wide)]


class Chains:
    """The contracts that exist on a day."""

    def __init__(self, exchange: Exchange, listings: dict[str, Listing]) -> None:
        self._exchange = exchange
        self._listings = listings

    def of_underlying(self, symbol: str, today: date) -> list[tuple[OptionClass, list[date], list[float]]]:
        """Each class on ``symbol`` that is still being listed, with its expiries and strikes."""
        return [
            (family, expiries(family, self._exchange, today), strikes(family, self._listings[symbol]))
            for family in OPTION_CLASSES.values()
            if family.symbol == symbol and family.deliverable is None
        ]

    def by_id(self, con_id: int) -> Contract | None:
        """The contract with this id, listed now or earlier."""
        for listing in self._listings.values():
            if listing.con_id == con_id:
                return listed(listing)
        found = option_of_id(con_id)
        return found if found is not None and self._is_plausible(found) else None

    def _is_plausible(self, contract: Contract) -> bool:
        strike = contract.strike or 0.0
        family = OPTION_CLASSES[contract.trading_class]
        return (
            contract.expiry is not None
            and self._exchange.calendar(contract.expiry) is not None
            and 0.5 < strike / self._listings[contract.symbol].price < 2
            and strike % family.step == 0
        )

    def matching(self, wanted: Wanted, today: date, *, expired: bool = False) -> list[Contract]:
        """Every contract that fits the description, in order of class, expiry, strike and right.

        ``expired`` lets an id name an option that no longer trades.
        """
        if wanted.con_id:
            found = self.by_id(wanted.con_id)
            alive = found is not None and (expired or found.expiry is None or found.expiry >= today)
            return [found] if found is not None and alive else []
        if wanted.currency not in {"", "USD"} or wanted.exchange not in _EXCHANGES:
            return []
        if wanted.kind in {"STK", "IND", ""} and not wanted.right:
            return [
                listed(listing)
                for listing in self._listings.values()
                if wanted.symbol in {listing.symbol, ""}
                and wanted.local_symbol in {listing.symbol, ""}
                and wanted.kind in {listing.kind, ""}
                and (wanted.symbol or wanted.local_symbol)
            ]
        return list(self._options(wanted, today)) if wanted.kind == "OPT" else []

    def _options(self, wanted: Wanted, today: date) -> Iterator[Contract]:
        symbol = wanted.symbol or wanted.local_symbol[:6].strip().rstrip("W")
        if symbol not in self._listings:
            return
        for family, days, prices in self.of_underlying(symbol, today):
            if wanted.trading_class not in {"", family.name} or wanted.multiplier not in {"", "100", "100.0"}:
                continue
            for day in days:
                if not f"{day:%Y%m%d}".startswith(wanted.expiry):
                    continue
                for strike in prices:
                    if wanted.strike not in {0.0, strike}:
                        continue
                    for right in "CP":
                        if wanted.right[:1] in {"", right}:
                            contract = option(family.name, day, strike, right)
                            if wanted.local_symbol in {"", contract.local_symbol}:
                                yield contract


_EXCHANGES = {"", "SMART", "CBOE", "ARCA", "NASDAQ", "AMEX", "PHLX", "ISE", "NYSE", "ISLAND"}
