"""The small language of scenarios: which expiry, which strike, which moment of opening."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import numpy as np

from v6cli.errors import BadConfiguration
from v6cli.models import Contract
from v6cli.simulator.chains import expiries, is_monthly, is_quarterly, is_weekly, strikes
from v6cli.simulator.listings import Listing, OptionClass, option
from v6cli.simulator.market import Market
from v6cli.simulator.sessions import Exchange, day_of, new_york

_CYCLES = {"weekly": is_weekly, "monthly": is_monthly, "quarterly": is_quarterly}
_OPENING_TIME = time(10, 30)


def expiry_of(rule: str, family: OptionClass, exchange: Exchange, today: date) -> date:
    """The day that an expiry rule names as of ``today``. Raises BadConfiguration."""
    cycle = re.fullmatch(r"(weekly|monthly|quarterly)([+-]\d+)?(?:>=(\d+))?", rule)
    if cycle:
        return _of_cycle(cycle, exchange, today)
    distance = re.fullmatch(r"dte (\d+)", rule)
    if distance:
        wanted = int(distance.group(1))
        return min(expiries(family, exchange, today), key=lambda day: (abs((day - today).days - wanted), day))
    try:
        return date.fromisoformat(rule)
    except ValueError:
        raise BadConfiguration(
            f"{rule!r} is no rule for an expiry", next_step="write monthly, weekly+1, monthly>=21, dte 30 or a date such as 2026-12-18"
        ) from None


def _of_cycle(cycle: re.Match[str], exchange: Exchange, today: date) -> date:
    belongs, steps, least = _CYCLES[cycle.group(1)], int(cycle.group(2) or 0), int(cycle.group(3) or 0)
    direction = -1 if steps < 0 else 1
    start = today - timedelta(days=1) if steps < 0 else today + timedelta(days=least)
    left = -steps - 1 if steps < 0 else steps
    for distance in range(800):
        day = start + timedelta(days=direction * distance)
        if exchange.calendar(day) and belongs(day, exchange):
            if left == 0:
                return day
            left -= 1
    raise BadConfiguration(f"{cycle.group(0)!r} names no expiry within two years")


def opening_of(rule: str, expiry: date | None, exchange: Exchange, now: datetime) -> datetime:
    """The moment that an opening rule names; never later than the last close before today. Raises BadConfiguration."""
    last_close = exchange.previous_close(now)
    if not rule:
        return min(last_close, _before(expiry, exchange, last_close))
    days = re.fullmatch(r"(\d+)(d|dte)", rule)
    if not days:
        raise BadConfiguration(f"{rule!r} is no rule for an opening", next_step="write 12d (days ago) or 45dte (days before expiry)")
    if days.group(2) == "dte" and expiry is None:
        raise BadConfiguration(f"{rule!r}: a stock has no expiry to count from", next_step="write it in days ago: 12d")
    base = expiry if days.group(2) == "dte" and expiry is not None else day_of(now)
    opened = new_york(exchange.session_on_or_before(base - timedelta(days=int(days.group(1)))), _OPENING_TIME)
    return min(opened, last_close)


def _before(expiry: date | None, exchange: Exchange, last_close: datetime) -> datetime:
    # What has already expired was opened while it lived.
    return last_close if expiry is None or expiry >= day_of(last_close) else exchange.close_of(exchange.session_before(expiry))


def strike_of(rule: str | float, template: Contract, family: OptionClass, market: Market, opened: datetime) -> float:
    """The listed strike that a rule names, for an option like ``template`` opened at ``opened``. Raises BadConfiguration."""
    if isinstance(rule, int | float):
        return float(rule)
    listed = strikes(family, market.listings[family.symbol])
    delta = re.fullmatch(r"delta (0?\.\d+)", rule)
    if delta:
        return _by_delta(float(delta.group(1)), template, listed, market, opened)
    offset = re.fullmatch(r"spot(?:([+-]\d+(?:\.\d+)?)(%)?)?", rule)
    if offset is None:
        raise BadConfiguration(f"{rule!r} is no rule for a strike", next_step="write spot, spot+2%, spot-15, delta 0.16 or a number")
    spot = float(market.path(family.symbol, np.array([opened.timestamp()]))[0])
    moved = float(offset.group(1) or 0)
    return nearest(listed, spot * (1 + moved / 100) if offset.group(2) else spot + moved)


def _by_delta(wanted: float, template: Contract, listed: list[float], market: Market, opened: datetime) -> float:
    if template.expiry is None or template.right is None:
        raise BadConfiguration("a strike by delta needs an option's expiry and right")
    spot = float(market.path(template.symbol, np.array([opened.timestamp()]))[0])
    near = [strike for strike in listed if abs(strike / spot - 1) < 0.2]
    candidates = [option(template.trading_class, template.expiry, strike, template.right) for strike in near]
    values = market.values(candidates, np.array([opened.timestamp()]))
    distance = np.abs(np.abs(market.greeks(candidates, values, values.volatility).delta) - wanted)
    return near[int(np.argmin(distance))]


def nearest(listed: list[float], wanted: float) -> float:
    """The listed strike nearest to ``wanted``."""
    return min(listed, key=lambda strike: (abs(strike - wanted), strike))


def spread(count: int, lowest: float, highest: float, family: OptionClass, listing: Listing) -> Iterator[float]:
    """``count`` different strikes from ``lowest`` to ``highest`` percent around the level the price wanders about.

    Raises BadConfiguration when there are not that many strikes.
    """
    centre = listing.price
    below, above = centre * (1 + lowest / 100), centre * (1 + highest / 100)
    inside = [strike for strike in strikes(family, listing) if below <= strike <= above]
    if len(inside) < count:
        raise BadConfiguration(f"{family.name} has {len(inside)} strikes from {lowest}% to {highest}%, and {count} are asked for")
    for place in range(count):
        yield inside[math.floor(place * len(inside) / count)]
