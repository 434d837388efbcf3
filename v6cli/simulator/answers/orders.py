"""Placing, changing and cancelling orders; working orders, completed orders and executions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator.answers.account import contract_fields
from v6cli.simulator.answers.order_messages import completed_order, execution, margins, open_order, order_status, venue
from v6cli.simulator.answers.place_order import Placed
from v6cli.simulator.checks import Refused
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.sessions import day_of
from v6cli.simulator.ticket import Ticket
from v6cli.simulator.times import read_time
from v6cli.simulator.wire import BadField

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.wire import Request

_READ_ONLY = "Error validating request.-'bN' : cause - The API interface is currently in Read-Only mode."


def open_orders(connection: Connection, _request: Request) -> None:
    """5: this client's own working orders."""
    if connection.gateway.faults.strikes("read-only") is not None:
        connection.error(-1, 321, _READ_ONLY)
        return
    _send_open(connection, [order for order in connection.gateway.book.alive if order.client_id == connection.client_id])


def all_open_orders(connection: Connection, _request: Request) -> None:
    """16: every client's working orders, and those entered by hand."""
    _send_open(connection, connection.gateway.book.alive)


def bind(connection: Connection, request: Request) -> None:
    """15: client 0 takes over orders entered by hand, now or later: each gets an id of its own, below zero."""
    request.skip(1)
    connection.binds = request.boolean() and connection.client_id == 0
    if connection.binds:
        connection.gateway.desk.bind_by_hand()


def _send_open(connection: Connection, orders: Iterable[Order]) -> None:
    managed = connection.gateway.account.ids
    for order in orders:
        if order.account in managed:
            connection.send(*open_order(order))
            connection.send(*order_status(order))
    connection.end("open-orders", 53, 1)


def completed_orders(connection: Connection, request: Request) -> None:
    """99: today's orders that have come to their end; with its flag set, only those of API clients."""
    if connection.gateway.faults.strikes("read-only") is not None:
        connection.error(-1, 321, _READ_ONLY)
        return
    api_only = request.boolean()
    now, gateway = clock.now(), connection.gateway
    for order in [*gateway.account.scripted_orders(now), *gateway.book.ended_on(day_of(now))]:
        if order.account in gateway.account.ids and (order.client_id or not api_only):
            connection.send(*completed_order(order))
    connection.end("completed-orders", 102)


def executions(connection: Connection, request: Request) -> None:
    """7: today's fills that pass the request's filter, each with its commission."""
    request.skip(1)
    id_ = request.identify()
    client, account, since, symbol, kind, exchange, side = request.integer(), *(request.text() for _ in range(6))
    earliest = _earliest(since)
    for fill in connection.gateway.account.fills(clock.now()):
        fits = (
            fill.account in connection.gateway.account.ids
            and client in {0, fill.client_id}
            and account in {"", fill.account}
            and symbol in {"", fill.contract.symbol}
            and kind in {"", fill.contract.kind}
            and exchange in {"", "SMART", venue(fill)}
            and side.upper() in {"", fill.side, "BUY" if fill.side == "BOT" else "SELL"}
        )
        if fits and fill.at >= earliest:
            _send_fill(connection, id_, fill)
    connection.end("executions", 55, 1, id_)


def _send_fill(connection: Connection, id_: int, fill: Execution) -> None:
    connection.send(*execution(id_, fill, contract_fields(fill.contract, "SMART")))
    cost = connection.gateway.announcer.distortion.cost_of(fill, clock.now())
    if cost is not None:
        connection.send(*cost)


def _earliest(text: str) -> datetime:
    """A filter's time, midnight for a day alone; empty is the beginning of time."""
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    try:
        return read_time(text if ":" in text else f"{text} 00:00:00", clock.now())
    except ValueError as error:
        raise BadField(str(error)) from None


def place(connection: Connection, request: Request) -> None:
    """3: take an order, change one, or say what it would do."""
    assert connection.client_id is not None
    placed = Placed(request, connection.client_id)
    gateway, now = connection.gateway, clock.now()
    try:
        _refuse_when_read_only(connection)
        ticket = placed.ticket(gateway.chains)
        if placed.what_if:
            gateway.uplink.ask(lambda then: _what_if(connection, ticket, then), now)
        else:
            gateway.uplink.place(ticket, now)
    except Refused as refusal:
        connection.error(placed.order_id, refusal.code, refusal.text)
        unchanged = gateway.book.working(connection.client_id, placed.order_id)
        if unchanged is not None and not placed.what_if:
            gateway.announcer.order(unchanged)  # a client may take the refusal for its end


def _what_if(connection: Connection, ticket: Ticket, now: datetime) -> None:
    try:
        order, found = connection.gateway.desk.what_if(ticket, now)
    except Refused as refusal:
        connection.error(ticket.order_id, refusal.code, refusal.text)
        return
    order.status = "PreSubmitted"
    connection.send(*open_order(order, margins=margins(found), fee=found.commission, what_if=True))


def cancel(connection: Connection, request: Request) -> None:
    """4: cancel an order that this client placed, or, for client 0, one by hand that is bound."""
    assert connection.client_id is not None
    request.skip(1)
    id_ = request.identify()
    try:
        _refuse_when_read_only(connection)
        connection.gateway.uplink.cancel(connection.client_id, id_, clock.now())
    except Refused as refusal:
        connection.error(id_, refusal.code, refusal.text)


def cancel_everything(connection: Connection, _request: Request) -> None:
    """58: cancel every client's orders, and those entered by hand."""
    try:
        _refuse_when_read_only(connection)
        connection.gateway.uplink.cancel_everything(clock.now())
    except Refused as refusal:
        connection.error(-1, refusal.code, refusal.text)


def _refuse_when_read_only(connection: Connection) -> None:
    if connection.gateway.faults.strikes("read-only") is not None:
        raise Refused(321, _READ_ONLY)


HANDLERS = {
    3: place,
    4: cancel,
    58: cancel_everything,
    5: open_orders,
    7: executions,
    15: bind,
    16: all_open_orders,
    99: completed_orders,
}
