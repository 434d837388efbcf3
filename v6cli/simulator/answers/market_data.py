"""Market data: streams and snapshots, live, frozen or delayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator import faults, noise
from v6cli.simulator.answers.contracts import read_wanted
from v6cli.simulator.listings import OPTION_CLASSES
from v6cli.simulator.orders import COMBO_ID, ComboLeg, combo
from v6cli.simulator.quotes import NO_GREEK, NO_PRICE, Computation, Quote
from v6cli.simulator.sessions import day_of
from v6cli.simulator.subscriptions import Stream
from v6cli.simulator.wire import BadField, Value

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway
    from v6cli.simulator.wire import Request

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
LINES = 100  # of all clients of a login together

_DELAYED_TICK = {1: 66, 2: 67, 4: 68, 0: 69, 3: 70, 5: 71, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76, 10: 80, 11: 81, 12: 82, 13: 83}
_PRICE, _SIZE, _GENERIC, _COMPUTATION = 1, 2, 45, 21

_REFUSALS = {
    354: "Requested market data is not subscribed.Check API status by selecting the Account menu then under Management choose Market Data Subscription Manager",
    10089: "Requested market data requires additional subscription for API.See link in 'Market Data Connections' dialog for more details.",
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
}
_DELAYED_NOTICE = "Requested market data is not subscribed. Displaying delayed market data."


def request_data(connection: Connection, request: Request) -> None:
    """1: a stream of ticks, or with the snapshot flag one picture and its End."""
    request.skip(1)
    id_, wanted = request.identify(), read_wanted(request)
    legs = read_legs(request) if wanted.kind == "BAG" else ()
    if request.boolean():  # a delta-neutral contract
        request.skip(3)
    generic, snapshot = request.text(), request.boolean()
    gateway = connection.gateway
    found = (
        [combo(wanted.symbol)]
        if legs
        else gateway.chains.matching(wanted, day_of(clock.now()), expired=wanted.con_id in gateway.account.holdings)
    )
    if len(found) != 1 or not all(gateway.chains.by_id(leg.con_id) for leg in legs):
        text = (
            "The contract description specified is ambiguous."
            if len(found) > 1
            else "No security definition has been found for the request"
        )
        connection.error(id_, 200, text)
        return
    data_type = _permitted(connection, id_, found[0])
    if data_type is None:
        return
    if not snapshot and sum(len(other.streams) for other in gateway.connections) >= LINES:
        connection.error(id_, 101, "Max number of tickers has been reached")
        return
    stream = Stream(found[0], legs, tuple(generic.split(",")), data_type, {})
    connection.send(58, 1, id_, data_type)
    connection.send(81, id_, 0.01, "9c0001", 3)
    (quote,) = _quotes(gateway, [stream])
    _send(connection, id_, stream, quote)
    if snapshot:
        connection.end("snapshot", 57, 1, id_)
    else:
        connection.streams[id_] = stream


def read_legs(request: Request) -> tuple[ComboLeg, ...]:
    """The legs of a combo, in the short form of data requests. Raises BadField for more than IB takes."""
    count = request.integer()
    if not 0 <= count <= 6:
        raise BadField(f"a combo of {count} legs")
    return tuple(ComboLeg(request.integer(), request.integer(), request.text().upper(), request.text()) for _ in range(count))


def cancel_data(connection: Connection, request: Request) -> None:
    """2: end a stream."""
    request.skip(1)
    connection.streams.pop(request.identify(), None)


def choose_type(connection: Connection, request: Request) -> None:
    """59: live, frozen, delayed or delayed-frozen, for the requests that follow."""
    request.skip(1)
    chosen = request.integer()
    if chosen not in {LIVE, FROZEN, DELAYED, DELAYED_FROZEN}:
        connection.error(-1, 321, f"Error validating request.-'bX' : cause - Invalid market data type {chosen}")
        return
    connection.market_data_type = chosen


def _permitted(connection: Connection, id_: int, contract: Contract) -> int | None:
    """The type of data that this client gets; None once it was refused."""
    gateway, asked = connection.gateway, connection.market_data_type
    refused = [
        int(str(held.get("code", 354)))
        for held in gateway.faults.each("no-market-data")
        if not faults.names(held.get("of")) or contract.symbol in faults.names(held.get("of"))
    ]
    if not refused:
        # Whoever may have live data gets it, unless it asked for the last picture of a market that is closed.
        frozen = asked in {FROZEN, DELAYED_FROZEN} and not _is_open(gateway, contract)
        return FROZEN if frozen else LIVE
    if refused[0] == 10167 and asked in {DELAYED, DELAYED_FROZEN}:
        connection.error(id_, 10167, _DELAYED_NOTICE)
        return DELAYED if asked == DELAYED or _is_open(gateway, contract) else DELAYED_FROZEN
    code = 354 if refused[0] == 10167 else refused[0]
    connection.error(id_, code, _REFUSALS[code])
    return None


def _is_open(gateway: Gateway, contract: Contract) -> bool:
    return gateway.exchange.is_open(contract, clock.now())


def push(gateway: Gateway) -> None:
    """Send every stream what has changed. Streams of clients that do not keep up skip a beat."""
    rows = [
        (connection, id_, stream)
        for connection in gateway.clients.values()
        if connection.writable
        for id_, stream in connection.streams.items()
    ]
    for (connection, id_, stream), quote in zip(rows, _quotes(gateway, [stream for _, _, stream in rows]), strict=True):
        _send(connection, id_, stream, quote)


def _quotes(gateway: Gateway, streams: Sequence[Stream]) -> list[Quote]:
    """The quote of each stream, priced together."""
    wanted: dict[tuple[int, bool], Contract] = {}
    for stream in streams:
        for contract in _parts(gateway, stream):
            wanted[contract.con_id, _shows_last(stream)] = contract
    known: dict[tuple[int, bool], Quote] = {}
    now = clock.now()
    for frozen in (False, True):
        keys = [key for key in wanted if key[1] is frozen]
        known |= zip(keys, gateway.quoter.quotes([wanted[key] for key in keys], now, frozen=frozen), strict=True)
    return [
        _of_combo(stream.legs, [known[leg.con_id, _shows_last(stream)] for leg in stream.legs])
        if stream.contract.con_id == COMBO_ID
        else known[stream.contract.con_id, _shows_last(stream)]
        for stream in streams
    ]


def _parts(gateway: Gateway, stream: Stream) -> Iterator[Contract]:
    if stream.contract.con_id != COMBO_ID:
        yield stream.contract
    for leg in stream.legs:
        contract = gateway.chains.by_id(leg.con_id)
        if contract is not None:
            yield contract


def _shows_last(stream: Stream) -> bool:
    return stream.data_type in {FROZEN, DELAYED_FROZEN}


def _of_combo(legs: tuple[ComboLeg, ...], quotes: list[Quote]) -> Quote:
    """A combo's quote follows from its legs: there is none unless every leg has the side that is needed."""

    def side(bid: bool) -> float:
        prices = [(leg, quote.bid if (leg.action == "BUY") is bid else quote.ask) for leg, quote in zip(legs, quotes, strict=True)]
        if any(price == NO_PRICE for _, price in prices):
            return NO_PRICE
        return round(sum(leg.ratio * (price if leg.action == "BUY" else -price) for leg, price in prices), 4)

    bid, ask = side(bid=True), side(bid=False)
    return Quote(bid, ask, int(bid != NO_PRICE), int(ask != NO_PRICE), NO_PRICE, 0, NO_PRICE, NO_PRICE, NO_PRICE, NO_PRICE, 0)


def _send(connection: Connection, id_: int, stream: Stream, quote: Quote) -> None:
    delayed = stream.data_type in {DELAYED, DELAYED_FROZEN}
    for kind, tick, values in _ticks(connection.gateway, stream, quote):
        number = _DELAYED_TICK.get(tick, tick) if delayed else tick
        if stream.sent.get((kind, number)) == values:
            continue
        stream.sent[kind, number] = values
        if kind == _COMPUTATION:
            connection.send(kind, id_, number, *values)
        else:
            connection.send(kind, 6, id_, number, *values)


def _ticks(gateway: Gateway, stream: Stream, quote: Quote) -> Iterator[tuple[int, int, tuple[Value, ...]]]:
    """Every tick of a quote: message, tick type and the fields after it."""
    past_limit = 0
    yield _PRICE, 1, (quote.bid, quote.bid_size, past_limit)
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
            if found is not None or (_COMPUTATION, tick) in stream.sent:
                yield _COMPUTATION, tick, _computation(found)


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


HANDLERS = {1: request_data, 2: cancel_data, 59: choose_type}
