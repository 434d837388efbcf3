"""Market data: streams and snapshots, live, frozen or delayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator import faults
from v6cli.simulator.answers.contracts import read_wanted
from v6cli.simulator.answers.ticks import COMPUTATION, ticks
from v6cli.simulator.faults import Parameter
from v6cli.simulator.orders import COMBO_ID, ComboLeg, combo
from v6cli.simulator.quotes import NO_PRICE, Quote
from v6cli.simulator.sessions import day_of
from v6cli.simulator.subscriptions import Stream
from v6cli.simulator.wire import BadField

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway
    from v6cli.simulator.wire import Request

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
COMPETING = "No market data during competing live session"
LINES = 100  # of all clients of a login together

_DELAYED_TICK = {1: 66, 2: 67, 4: 68, 0: 69, 3: 70, 5: 71, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76, 10: 80, 11: 81, 12: 82, 13: 83}

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
    if _is_interrupted(gateway, found[0]):
        connection.error(id_, 10197, COMPETING)
        if not snapshot:
            connection.streams[id_] = stream
        return
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
    refused = [int(str(held["code"])) for held in gateway.faults.each("no-market-data") if faults.concerns(held, contract)]
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


def interrupt(gateway: Gateway, forms: Sequence[dict[str, Parameter]]) -> None:
    """Tell the streams that another session has taken away."""
    for connection in gateway.connections:
        for id_, stream in connection.streams.items():
            if any(faults.concerns(form, stream.contract) for form in forms):
                connection.error(id_, 10197, COMPETING)


def _is_interrupted(gateway: Gateway, contract: Contract) -> bool:
    taken = [*gateway.faults.each("competing-login"), *gateway.faults.each("another-session")]
    return any(faults.concerns(held, contract) for held in taken)


def _is_open(gateway: Gateway, contract: Contract) -> bool:
    return gateway.exchange.is_open(contract, clock.now())


def push(gateway: Gateway) -> None:
    """Send every stream what has changed. Streams of clients that do not keep up skip a beat."""
    rows = [
        (connection, id_, stream)
        for connection in gateway.clients.values()
        if connection.writable
        for id_, stream in connection.streams.items()
        if not _is_interrupted(gateway, stream.contract)
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
    together: dict[tuple[bool, datetime], list[tuple[int, bool]]] = {}
    for key, contract in wanted.items():
        together.setdefault((key[1], _shown_at(gateway, contract, now)), []).append(key)
    for (frozen, moment), keys in together.items():
        known |= zip(keys, gateway.quoter.quotes([wanted[key] for key in keys], moment, frozen=frozen), strict=True)
    return [
        _of_combo(stream.legs, [known[leg.con_id, _shows_last(stream)] for leg in stream.legs])
        if stream.contract.con_id == COMBO_ID
        else known[stream.contract.con_id, _shows_last(stream)]
        for stream in streams
    ]


def _shown_at(gateway: Gateway, contract: Contract, now: datetime) -> datetime:
    """The moment whose quote is shown of a contract: now, unless quotes stand still."""
    stands = [gateway.faults.since("link-lost"), gateway.faults.since("stale-quotes", lambda held: faults.concerns(held, contract))]
    return min((since for since in stands if since is not None), default=now)


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
    for kind, tick, values in ticks(connection.gateway, stream, quote):
        number = _DELAYED_TICK.get(tick, tick) if delayed else tick
        if stream.sent.get((kind, number)) == values:
            continue
        stream.sent[kind, number] = values
        if kind == COMPUTATION:
            connection.send(kind, id_, number, *values)
        else:
            connection.send(kind, 6, id_, number, *values)


HANDLERS = {1: request_data, 2: cancel_data, 59: choose_type}
