"""The ticks of a quote: message, tick type and fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from v6cli import clock
from v6cli.simulator import faults, noise
from v6cli.simulator.listings import OPTION_CLASSES
from v6cli.simulator.quotes import NO_GREEK, NO_PRICE, Computation, Quote
from v6cli.simulator.subscriptions import Stream
from v6cli.simulator.wire import Value

if TYPE_CHECKING:
    from v6cli.simulator.server import Gateway

COMPUTATION = 21
_PRICE, _SIZE, _GENERIC = 1, 2, 45


def ticks(gateway: Gateway, stream: Stream, quote: Quote) -> Iterator[tuple[int, int, tuple[Value, ...]]]:
    """Every tick of a quote: message, tick type and the fields after it."""
    past_limit = 0
    yield _PRICE, 1, (_shown_bid(gateway, stream, quote), quote.bid_size, past_limit)
    yield _PRICE, 2, (quote.ask, quote.ask_size, past_limit)
    if quote.last != NO_PRICE:
        yield _PRICE, 4, (quote.last, quote.last_size, past_limit)
    yield _SIZE, 0, (quote.bid_size,)
    yield _SIZE, 3, (quote.ask_size,)
    yield _SIZE, 5, (quote.last_size,)
    yield _SIZE, 8, (quote.volume,)
    for tick, price in ((6, quote.high), (7, quote.low), (9, quote.close), (14, quote.opened)):
        if price != NO_PRICE:
            yield _PRICE, tick, (price, 0, past_limit)
    yield from _asked_for(gateway, stream, quote)
    if stream.contract.is_option and not gateway.lacks_greeks(stream.contract):
        for tick, found in ((10, quote.of_bid), (11, quote.of_ask), (12, quote.of_last), (13, quote.model)):
            # A tick that was once there is taken back when the market closes.
            if found is not None or (COMPUTATION, tick) in stream.sent:
                yield COMPUTATION, tick, _computation(found)


def _shown_bid(gateway: Gateway, stream: Stream, quote: Quote) -> float:
    zero = any(str(held["shown"]) == "0" and faults.concerns(held, stream.contract) for held in gateway.faults.each("no-bid"))
    return 0.0 if zero and quote.bid == NO_PRICE else quote.bid


def _computation(found: Computation | None) -> tuple[Value, ...]:
    if found is None:
        return (0, NO_PRICE, NO_GREEK, NO_PRICE, NO_PRICE, NO_GREEK, NO_GREEK, NO_GREEK, NO_PRICE)
    return (0, found.volatility, found.delta, found.price, 0.0, found.gamma, found.vega, found.theta, found.spot)


def _asked_for(gateway: Gateway, stream: Stream, quote: Quote) -> Iterator[tuple[int, int, tuple[Value, ...]]]:
    """What the generic tick list asks for: open interest (101), implied volatility (106), mark price (221, 232)."""
    contract = stream.contract
    if "101" in stream.generic and contract.is_option:
        interest = int((float(noise.scatter(contract.con_id, noise.indices(7))[0]) + 1) * 4000)
        yield _SIZE, 27 if contract.right == "C" else 28, (interest,)
    if "106" in stream.generic and any(family.symbol == contract.symbol for family in OPTION_CLASSES.values()) and not contract.is_option:
        yield _GENERIC, 24, (round(float(gateway.market.implied_volatility(contract.symbol, np.array([clock.timestamp()]))[0]), 6),)
    if {"221", "232"}.intersection(stream.generic) and quote.last != NO_PRICE:
        yield _PRICE, 37, (quote.last, 0, 0)
