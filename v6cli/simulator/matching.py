"""What the market gives an order at one moment: whether its stop is reached, at which price it fills, and how much of it.

Pure: the same order, quotes, seed and moment give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

import numpy as np
from msgspec import Struct

from v6cli.simulator import noise
from v6cli.simulator.listings import OPTION_CLASSES, tick
from v6cli.simulator.orders import Order
from v6cli.simulator.quotes import NO_PRICE, Prices

#: How far into a combo's spread the market may come to meet it, as a share of the half spread.
_COMBO_REACH = 0.6
_WHOLE_SIZE_CHANCE = 0.6


class Sides(Struct, frozen=True):
    """Both sides of the market for an order's contract, per share, None where there is none; sizes in its own units.

    A combo's sides are those of buying it: what its legs cost and bring together. They may be negative.
    """

    bid: float | None
    ask: float | None
    bid_size: int
    ask_size: int
    last: float | None = None

    @property
    def middle(self) -> float | None:
        """Halfway between the sides."""
        return (self.bid + self.ask) / 2 if self.bid is not None and self.ask is not None else self.ask


def sides(order: Order, quotes: Mapping[int, Prices]) -> Sides:
    """The market for ``order``; ``quotes`` are by contract id, each leg's for a combo."""
    if not order.legs:
        quote = quotes[order.contract.con_id]
        return Sides(_known(quote.bid), _known(quote.ask), quote.bid_size, quote.ask_size, _known(quote.last))
    bid, bid_size = _net(order, quotes, buying=False)
    ask, ask_size = _net(order, quotes, buying=True)
    return Sides(bid, ask, bid_size, ask_size)


def _known(price: float) -> float | None:
    return None if price == NO_PRICE else price


def _net(order: Order, quotes: Mapping[int, Prices], *, buying: bool) -> tuple[float | None, int]:
    total, size = 0.0, 1 << 30
    for leg in order.legs:
        quote = quotes[leg.con_id]
        takes_ask = (leg.action == "BUY") is buying
        price, offered = (quote.ask, quote.ask_size) if takes_ask else (quote.bid, quote.bid_size)
        if price == NO_PRICE:
            return None, 0
        total += leg.signed_ratio * price
        size = min(size, offered // leg.ratio)
    return round(total, 4), size


def step(order: Order, price: float) -> float:
    """The price step for ``order`` at ``price``. Combos move in the finest step of their legs' class."""
    name = order.contract.trading_class
    if order.legs:
        return 0.05 if order.contract.symbol in {"SPX", "VIX"} else 0.01
    return tick(OPTION_CLASSES[name].rule, abs(price)) if order.contract.is_option else 0.01


def is_on_step(order: Order, price: float) -> bool:
    """Whether ``price`` is one that the exchange takes."""
    steps = price / step(order, price)
    return abs(steps - round(steps)) < 1e-6


def triggers(order: Order, market: Sides) -> bool:
    """Whether a stop's price is reached: a stock's by its last price, all else by the side that the order would take."""
    if order.stop is None:
        return False
    side = market.ask if order.sign > 0 else market.bid
    seen = market.last if order.contract.kind == "STK" else side
    return seen is not None and (seen - order.stop) * order.sign >= 0


def price(order: Order, market: Sides, seed: int, moment: datetime) -> float | None:
    """The price at which ``order`` fills now; None when it does not. Its limit is kept, and bettered where the market is better."""
    near = _reached(order, market, seed, moment) if order.legs else (market.ask if order.sign > 0 else market.bid)
    if near is None or (order.limit is not None and (near - order.limit) * order.sign > 1e-9):
        return None
    return near


def met(order: Order, quotes: Mapping[int, Prices]) -> float | None:
    """The price at which ``order`` fills once the market comes to it: its limit, or else the side that it takes."""
    market = sides(order, quotes)
    side = market.ask if order.sign > 0 else market.bid
    price = order.limit if order.limit is not None else side
    if price is None or not order.legs:
        return price
    made = sum(leg.signed_ratio * at for leg, at in zip(order.legs, leg_prices(order, price, quotes), strict=True))
    return price if abs(made - price) < 1e-6 else None  # there are nets that no prices of the legs make


def _reached(order: Order, market: Sides, seed: int, moment: datetime) -> float | None:
    """The price that somebody offers for a combo: makers meet it inside the spread of its legs, more or less far."""
    if market.bid is None or market.ask is None:
        return market.ask if order.sign > 0 else market.bid
    give = _chance(order, seed, moment, "reach") * _COMBO_REACH * (market.ask - market.bid) / 2
    size = step(order, 0.0)
    if order.sign > 0:
        return round(math.ceil(round((market.ask - give) / size, 6)) * size, 4)
    return round(math.floor(round((market.bid + give) / size, 6)) * size, 4)


def amount(order: Order, market: Sides, seed: int, moment: datetime) -> float:
    """How much of the rest fills now: what is shown at most, and often only a part of that."""
    shown = max(1, market.ask_size if order.sign > 0 else market.bid_size)
    chance = _chance(order, seed, moment, "size")
    if chance > _WHOLE_SIZE_CHANCE:
        shown = max(1, math.ceil(shown * (1 - chance)))
    return min(order.remaining, float(shown))


def _chance(order: Order, seed: int, moment: datetime, what: str) -> float:
    """A number from 0 to 1 that depends on nothing but the seed, the order and the second."""
    stream = noise.stream(seed, f"{what} {order.perm_id}")
    return (float(noise.scatter(stream, noise.indices(int(moment.timestamp())))[0]) + 1) / 2


def leg_prices(order: Order, net: float, quotes: Mapping[int, Prices]) -> list[float]:
    """A price per share for each leg, near its own market, so that together they make ``net`` exactly."""
    prices = []
    for leg in order.legs:
        quote = quotes[leg.con_id]
        known = [side for side in (quote.bid, quote.ask) if side != NO_PRICE]
        prices.append(round(float(np.mean(known)), 2) if known else 0.01)
    missing = net - sum(leg.signed_ratio * at for leg, at in zip(order.legs, prices, strict=True))
    # What is missing goes to one leg, of ratio one and dear where there is such: a price does not fall below zero.
    places = sorted(range(len(prices)), key=lambda place: (order.legs[place].ratio, -prices[place]))
    for place in places:
        ratio = order.legs[place].signed_ratio
        moved = round(max(0.0, prices[place] + missing / ratio), 6)
        missing -= ratio * (moved - prices[place])
        prices[place] = moved
    return prices
