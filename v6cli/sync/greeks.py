"""Greeks of each option with where they came from: the model, a current quote, the last close, or nowhere.

Off-hours IB sends none. Then the implied volatility of the last session with the underlying as it is now gives greeks ``as of
close``: known and marked, until a few minutes after the contract's next open. From then on silence is not normal any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta

import msgspec

from v6cli import clock, pricing
from v6cli.broker.connection import Connection
from v6cli.broker.contracts import Details, Directory
from v6cli.broker.quotes import Tick, Watchlist
from v6cli.events import Report
from v6cli.models import Contract, Greeks, GreekSource, Position
from v6cli.sessions import Hours, open_at
from v6cli.settings import Greeks as Limits

YEAR = 365.0 * 86400.0
EXPIRES_AT = time(16, 0)  # New York: the close at which equity and PM index options end


class Source:
    """Where greeks come from on one connection."""

    def __init__(self, connection: Connection, lines: int, limits: Limits, hurried: Callable[[], bool]) -> None:
        self._watchlist = Watchlist(connection, lines, limits.wait, limits.budget, hurried)
        self._directory = Directory(connection)
        self._limits = limits

    async def of_positions(self, positions: Sequence[Position], before: Mapping[int, Greeks], report: Report) -> dict[int, Greeks]:
        """Greeks by contract id of every option among the positions; those whose turn did not come are the ones from before.

        Raises GatewayUnavailable where the connection is gone.
        """
        options = _longest_unseen_first([one.contract for one in positions if one.contract.is_option], before)
        ticks = await self._watchlist.look(options, report)
        silent = [own for own in options if own.con_id in ticks and not (ticks[own.con_id].live and ticks[own.con_id].has_model)]
        details = {own.con_id: await self._directory.details(own) for own in silent}
        spots = await self._spots(options, ticks, details)
        now = clock.now()
        return {own.con_id: self._one(own, ticks, spots, before, details, now) for own in options}

    def _one(
        self,
        own: Contract,
        ticks: Mapping[int, Tick],
        spots: Mapping[str, float],
        before: Mapping[int, Greeks],
        details: Mapping[int, Details],
        now: datetime,
    ) -> Greeks:
        last = before.get(own.con_id)
        if own.con_id not in ticks and last is not None and (now - last.at).total_seconds() <= self._limits.stale_after:
            return last
        tick = ticks.get(own.con_id) or Tick(own.con_id, live=False)
        return judge(own, tick, spots.get(own.symbol), last, details.get(own.con_id, Details()).hours, now, self._limits)

    async def _spots(self, options: Sequence[Contract], ticks: Mapping[int, Tick], details: Mapping[int, Details]) -> dict[str, float]:
        """Prices of the underlyings: from options that have a model, else asked for: quote, last trade or close."""
        spots = {}
        for own in options:
            tick = ticks.get(own.con_id)
            if tick is not None and tick.live and tick.has_model and tick.underlying_price is not None:
                spots[own.symbol] = tick.underlying_price
        wanted = {
            own.symbol: found.underlying
            for own in options
            if (found := details.get(own.con_id)) and found.underlying and own.symbol not in spots
        }
        seen = await self._watchlist.glance([own for own in wanted.values() if own is not None])
        for symbol, underlying in wanted.items():
            tick = seen.get(underlying.con_id) if underlying else None
            if tick is not None and (spot := tick.mid or tick.last or tick.close) is not None:
                spots[symbol] = spot
        return spots


def _longest_unseen_first(options: Sequence[Contract], before: Mapping[int, Greeks]) -> list[Contract]:
    return sorted(options, key=lambda own: before[own.con_id].at.timestamp() if own.con_id in before else 0.0)


def judge(
    own: Contract,
    tick: Tick,
    underlying: float | None,
    before: Greeks | None,
    opens: Hours | None,
    now: datetime,
    limits: Limits,
) -> Greeks:
    """What is known of one contract. ``opens`` are its own trading hours; unknown hours are not closed."""
    if tick.live and tick.has_model and tick.at is not None and (now - tick.at).total_seconds() <= limits.stale_after:
        return _model(tick, tick.at)
    left = years(own, now)
    if left > 0 and tick.mid is not None and underlying is not None and (made := _computed(own, tick.mid, underlying, now)):
        return made
    closed = left == 0 or _closed(opens, now, limits.missing_from_open)
    volatility = tick.implied_volatility or (before.implied_volatility if before else None)
    spot = underlying or tick.underlying_price or (before.underlying_price if before else None)
    if closed and spot and (volatility or left == 0):
        return _priced(own, volatility or 0.0, spot, tick.at or (before.at if before else now), GreekSource.AS_OF_CLOSE, now)
    if before is not None and before.delta is not None:
        return msgspec.structs.replace(before, source=GreekSource.STALE)
    return Greeks(own.con_id, GreekSource.MISSING, now)


def _model(tick: Tick, at: datetime) -> Greeks:
    return Greeks(
        tick.con_id,
        GreekSource.MODEL,
        at,
        tick.delta,
        tick.gamma,
        tick.theta,
        tick.vega,
        tick.implied_volatility,
        tick.price,
        tick.underlying_price,
    )


def _computed(own: Contract, mid: float, underlying: float, now: datetime) -> Greeks | None:
    assert own.strike is not None
    volatility = float(pricing.implied_volatility(mid, underlying, own.strike, years(own, now), own.right == "C"))
    return _priced(own, volatility, underlying, now, GreekSource.COMPUTED, now) if not math.isnan(volatility) else None


def _priced(own: Contract, volatility: float, spot: float, at: datetime, source: GreekSource, now: datetime) -> Greeks:
    assert own.strike is not None
    left, call = years(own, now), own.right == "C"
    made = pricing.greeks(spot, own.strike, left, volatility, call)
    value = float(pricing.price(spot, own.strike, left, volatility, call))
    return Greeks(
        own.con_id, source, at, float(made.delta), float(made.gamma), float(made.theta), float(made.vega), volatility, value, spot
    )


def years(own: Contract, now: datetime) -> float:
    """Time to the close of the contract's last day, in years; zero once it is past."""
    assert own.expiry is not None
    ends = datetime.combine(own.expiry, EXPIRES_AT, clock.eastern()).astimezone(UTC)
    return max(0.0, (ends - now).total_seconds() / YEAR)


def _closed(opens: Hours | None, now: datetime, grace: float) -> bool:
    """Whether the last close may still stand: the contract is closed, or has been open for less than the grace."""
    return open_at(opens, now) is False or open_at(opens, now - timedelta(seconds=grace)) is False
