"""Quotes: what a market-data line shows of a contract, with the option model's computations."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from datetime import datetime, time

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from v6cli import pricing
from v6cli.models import Contract
from v6cli.simulator import noise
from v6cli.simulator.faults import Faults, concerns
from v6cli.simulator.holdings import Holding
from v6cli.simulator.listings import OPTION_CLASSES, tick
from v6cli.simulator.market import RATE, Floats, Market, Values, moved
from v6cli.simulator.recording import Row
from v6cli.simulator.scenario import QuoteState
from v6cli.simulator.sessions import day_of, new_york

#: How IB says that there is none.
NO_PRICE = -1.0
NO_GREEK = -2.0

#: What faults leave of a quote, the worst first.
_STATES: tuple[tuple[str, QuoteState], ...] = (("no-quotes", "none"), ("no-bid", "no-bid"))


class Computation(Struct, frozen=True):
    """The option model at one price: greeks per share, theta per calendar day, vega per volatility point."""

    volatility: float
    delta: float
    price: float
    gamma: float
    vega: float
    theta: float
    spot: float


class Prices(Struct, frozen=True):
    """Both sides and the last price, per share, -1 where there is none, with sizes in contracts or shares."""

    bid: float
    ask: float
    bid_size: int
    ask_size: int
    last: float
    last_size: int


_NOTHING = Prices(NO_PRICE, NO_PRICE, 0, 0, NO_PRICE, 0)


class Quote(Prices, frozen=True):
    """All that a market-data line shows, prices per share; computations are None when unknown."""

    close: float
    opened: float
    high: float
    low: float
    volume: int
    model: Computation | None = None
    of_bid: Computation | None = None
    of_ask: Computation | None = None
    of_last: Computation | None = None


class Quoter:
    """Quotes of a market. ``holdings`` may say of their contracts that they have no quote, or no bid, and so may ``faults``."""

    def __init__(self, market: Market, holdings: dict[int, Holding], faults: Faults) -> None:
        self._market = market
        self._holdings = holdings
        self._faults = faults
        self._second: datetime | None = None
        self._in_second: dict[int, Prices] = {}

    def quotes(self, contracts: Sequence[Contract], now: datetime, *, frozen: bool = False) -> list[Quote]:
        """The quote of each contract. A contract that does not trade now has none; ``frozen`` shows its last one."""
        if not contracts:
            return []
        now = moved(now)
        moments = self._market.live_moments(contracts, now)
        values = self._market.values(contracts, moments)
        closes = self._market.previous_close(contracts, now)
        bids, asks = _sides(contracts, values)
        alive = [frozen or moment >= now.timestamp() for moment in moments.tolist()]
        found = []
        for row, contract in enumerate(contracts):
            offer = self._offer(contract, bids[row], asks[row], values.price[row], moments[row])
            sides = self._left_of(contract, self._offered(contract, offer, now, alive=alive[row]))
            found.append(self._quote(contract, sides, float(closes[row]), now))
        return self._with_computations(contracts, values, found, alive)

    def prices(self, contracts: Sequence[Contract], now: datetime) -> list[Prices]:
        """What orders are matched against: the sides that a quote of each contract shows now."""
        if not contracts:
            return []
        now = moved(now)
        if now != self._second:
            self._second, self._in_second = now, {}
        # Orders of one second are matched against the same few contracts, over and over.
        missing = [contract for contract in contracts if contract.con_id not in self._in_second]
        if missing:
            self._in_second |= self._all_offered(missing, now)
        return [self._left_of(contract, self._in_second[contract.con_id]) for contract in contracts]

    def _all_offered(self, contracts: Sequence[Contract], now: datetime) -> dict[int, Prices]:
        """What is shown of each contract, by its id, before faults and holdings have their say."""
        moments = self._market.live_moments(contracts, now)
        values = self._market.values(contracts, moments)
        bids, asks = _sides(contracts, values)
        return {
            contract.con_id: self._offered(
                contract,
                self._offer(contract, bids[row], asks[row], values.price[row], moments[row]),
                now,
                alive=bool(moments[row] >= now.timestamp()),
            )
            for row, contract in enumerate(contracts)
        }

    def _offer(self, contract: Contract, bid: float, ask: float, value: float, moment: float) -> Row:
        """What the market offers of a contract: what was recorded of it, else what the model makes of it."""
        recorded = self._market.recorded(contract, float(moment))
        if recorded is None:
            return Row(float(bid) or None, float(ask), None, None, _on_step(contract, float(value)))
        return recorded if recorded.last is not None else replace(recorded, last=_on_step(contract, float(value)))

    def _offered(self, contract: Contract, offer: Row, now: datetime, *, alive: bool) -> Prices:
        """An offer with its sizes; only while the contract trades are there sides."""
        sizes = _sizes(contract.con_id, int(now.timestamp()) // 60)
        index = self._market.listings[contract.symbol].is_index and not contract.is_option
        offered = alive and not index
        bid = offer.bid if offered else None
        ask = offer.ask if offered else None
        lots = 100 if not contract.is_option else 1
        made_up = [lots * (1 + int(size * 80)) for size in sizes[:2]]
        return Prices(
            bid=NO_PRICE if bid is None else bid,
            ask=NO_PRICE if ask is None else ask,
            bid_size=0 if bid is None else made_up[0] if offer.bid_size is None else offer.bid_size,
            ask_size=0 if ask is None else made_up[1] if offer.ask_size is None else offer.ask_size,
            last=NO_PRICE if offer.last is None else offer.last,
            last_size=0 if index else lots * (1 + int(sizes[2] * 9)),
        )

    def _left_of(self, contract: Contract, prices: Prices) -> Prices:
        """What faults and holdings leave of what is shown."""
        state = self._state(contract)
        if state == "none":
            return _NOTHING
        return replace(prices, bid=NO_PRICE, bid_size=0) if state == "no-bid" else prices

    def _state(self, contract: Contract) -> QuoteState:
        for name, state in _STATES:
            for held in self._faults.each(name):
                if concerns(held, contract):
                    return state
        return self._holdings[contract.con_id].quote if contract.con_id in self._holdings else "normal"

    def _quote(self, contract: Contract, sides: Prices, close: float, now: datetime) -> Quote:
        opened, high, low = self._day_range(contract, now, sides.last)
        return Quote(
            bid=sides.bid,
            ask=sides.ask,
            bid_size=sides.bid_size,
            ask_size=sides.ask_size,
            last=sides.last,
            last_size=sides.last_size,
            close=_on_step(contract, close),
            opened=opened,
            high=high,
            low=low,
            volume=0 if sides.last == NO_PRICE else self._volume(contract, now),
        )

    def _day_range(self, contract: Contract, now: datetime, last: float) -> tuple[float, float, float]:
        """Today's first, highest and lowest price, none before the open; of options nothing is said."""
        if contract.is_option:
            return NO_PRICE, NO_PRICE, NO_PRICE
        opens = time(0) if self._market.exchange.always else time(9, 30)
        start, until = new_york(day_of(now), opens).timestamp(), float(self._market.live_moments([contract], now)[0])
        if until < start:
            return NO_PRICE, NO_PRICE, NO_PRICE
        seen = np.round(self._market.path(contract.symbol, np.arange(start, until + 1, 1800.0)), 2)
        return float(seen[0]), max(float(seen.max()), last), min(float(seen.min()), last)

    def _volume(self, contract: Contract, now: datetime) -> int:
        day = day_of(now)
        spent = min(1.0, max(0.0, (now - new_york(day, time(9, 30))).total_seconds() / 23_400))
        usual = 2_000 if contract.is_option else 40_000_000
        part = (float(noise.scatter(contract.con_id, np.array([day.toordinal()]))[0]) + 1.2) / 2
        return int(usual * part * spent)

    def _with_computations(self, contracts: Sequence[Contract], values: Values, quotes: list[Quote], alive: list[bool]) -> list[Quote]:
        rows = [row for row, contract in enumerate(contracts) if contract.is_option and alive[row] and values.years[row] > 0]
        if not rows:
            return quotes
        options = [contracts[row] for row in rows]
        part = Values(*(getattr(values, name)[rows] for name in Values.__struct_fields__))
        quoted = np.array([[quotes[row].bid, quotes[row].ask, quotes[row].last] for row in rows]).T
        prices, volatility = np.vstack([part.price, quoted]), np.vstack([part.volatility, self._implied(options, part, quoted)])
        # One look at the model for all that a quote shows: every call costs more than the few numbers that it is asked for.
        made = zip(*self._computations(options, part, prices, volatility), strict=True)
        done = list(quotes)
        for row, (model, of_bid, of_ask, of_last) in zip(rows, made, strict=True):
            if quotes[row].last != NO_PRICE:  # without a quote the model has nothing to stand on
                done[row] = replace(quotes[row], model=model, of_bid=of_bid, of_ask=of_ask, of_last=of_last)
        return done

    def _implied(self, contracts: list[Contract], values: Values, prices: Floats) -> Floats:
        return pricing.implied_volatility(
            prices,
            values.spot,
            np.array([contract.strike or 1.0 for contract in contracts]),
            values.years,
            np.array([contract.right == "C" for contract in contracts]),
            rate=RATE,
            dividend=np.array([self._market.listings[contract.symbol].dividend for contract in contracts]),
        )

    def _computations(
        self, contracts: list[Contract], values: Values, prices: Floats, volatility: Floats
    ) -> list[list[Computation | None]]:
        """The model at each price, one row for each row of prices; None where no volatility gives it."""
        greeks = self._market.greeks(contracts, values, np.nan_to_num(volatility))
        spot = np.broadcast_to(values.spot, prices.shape)
        table = np.stack([volatility, greeks.delta, prices, greeks.gamma, greeks.vega, greeks.theta, spot], axis=-1).round(8)
        return [[None if math.isnan(numbers[0]) else Computation(*numbers) for numbers in row] for row in table.tolist()]


@functools.lru_cache(maxsize=4096)  # orders of one minute are matched against the same sizes, over and over
def _sizes(con_id: int, minute: int) -> list[float]:
    """What is offered, wanted and last traded in a minute, each from 0 to 1."""
    return [float(size) for size in (noise.scatter(con_id, np.arange(minute, minute + 3)) + 1.0) / 2]


def _sides(contracts: Sequence[Contract], values: Values) -> tuple[Floats, Floats]:
    """Bid and ask around the worth, on the tick; the farther out of the money, the wider for its price."""
    options = np.array([contract.is_option for contract in contracts])
    wide = np.array([2.0 if contract.trading_class in {"SPX", "SPXW"} else 1.0 for contract in contracts])
    width = np.where(options, wide * (0.015 + 0.004 * values.price) * (1 + 0.35 * np.abs(values.depth)), 0.01)
    step = _steps(contracts, values.price)
    bid = np.maximum(np.floor((values.price - width / 2) / step) * step, 0.0)
    ask = np.maximum(np.ceil((values.price + width / 2) / step) * step, bid + step)
    # A side that came to lie across an edge of the rule moves outwards to the wider steps there.
    wider = _steps(contracts, ask)
    outer: Floats = np.ceil(np.round(ask / wider, 6)) * wider
    inner: Floats = bid
    return inner.round(4), outer.round(4)


def _steps(contracts: Sequence[Contract], prices: Floats) -> Floats:
    return np.array([_step(contract, float(price)) for contract, price in zip(contracts, prices, strict=True)])


def _on_step(contract: Contract, price: float) -> float:
    step = _step(contract, price)
    return round(max(step, round(price / step) * step), 4)


def _step(contract: Contract, price: float) -> float:
    family = OPTION_CLASSES.get(contract.trading_class) if contract.is_option else None
    return tick(family.rule, price) if family else 0.01
