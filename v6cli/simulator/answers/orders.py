"""Working orders, completed orders and executions; placing and cancelling are refused until orders are simulated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator.answers.account import contract_fields
from v6cli.simulator.answers.order_messages import commission, completed_order, execution, open_order, order_status
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.wire import BadField

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.wire import Request

_READ_ONLY = "Error validating request.-'bN' : cause - The API interface is currently in Read-Only mode."


def open_orders(connection: Connection, _request: Request) -> None:
    """5: this client's own working orders."""
    if connection.gateway.faults.each("read-only"):
        connection.error(-1, 321, _READ_ONLY)
        return
    _send_open(connection, [order for order in connection.gateway.account.orders if order.client_id == connection.client_id])


def all_open_orders(connection: Connection, _request: Request) -> None:
    """16: every client's working orders, and those entered by hand."""
    _send_open(connection, connection.gateway.account.orders)


def bind(connection: Connection, request: Request) -> None:
    """15: client 0 takes over orders entered by hand: each gets an id of its own, below zero."""
    request.skip(1)
    if not request.boolean() or connection.client_id != 0:
        return
    orders = [order for order in connection.gateway.account.orders if order.client_id == 0]
    lowest = min((order.order_id for order in orders), default=0)
    for order in orders:
        if order.order_id == 0:
            lowest -= 1
            order.order_id = lowest


def _send_open(connection: Connection, orders: Iterable[Order]) -> None:
    for order in orders:
        if order.alive:
            connection.send(*open_order(order))
            connection.send(*order_status(order))
    connection.end("open-orders", 53, 1)


def completed_orders(connection: Connection, request: Request) -> None:
    """99: today's orders that have come to their end; with its flag set, only those of API clients."""
    if connection.gateway.faults.each("read-only"):
        connection.error(-1, 321, _READ_ONLY)
        return
    api_only = request.boolean()
    for order in connection.gateway.account.completed(clock.now()):
        if order.client_id or not api_only:
            connection.send(*completed_order(order))
    connection.end("completed-orders", 102)


def executions(connection: Connection, request: Request) -> None:
    """7: today's fills that pass the request's filter, each with its commission."""
    request.skip(1)
    id_ = request.identify()
    client, account, since, symbol, kind, exchange, side = request.integer(), *(request.text() for _ in range(6))
    earliest = _moment(since)
    for fill in connection.gateway.account.fills(clock.now()):
        fits = (
            client in {0, fill.client_id}
            and account in {"", fill.account}
            and symbol in {"", fill.contract.symbol}
            and kind in {"", fill.contract.kind}
            and exchange in {"", "SMART"}
            and side.upper() in {"", fill.side, "BUY" if fill.side == "BOT" else "SELL"}
        )
        if fits and fill.at >= earliest:
            _send_fill(connection, id_, fill)
    connection.end("executions", 55, 1, id_)


def _send_fill(connection: Connection, id_: int, fill: Execution) -> None:
    connection.send(*execution(id_, fill, contract_fields(fill.contract, "SMART")))
    connection.send(*commission(fill))


def _moment(text: str) -> datetime:
    """A filter's time, in New York unless it is in UTC (``20261124-15:30:00``); empty is the beginning of time."""
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    day, _, rest = text.replace("-", " ").partition(" ")
    at = rest.split()[0] if rest.split() else "00:00:00"
    try:
        moment = datetime.strptime(f"{day} {at}", "%Y%m%d %H:%M:%S").replace(tzinfo=UTC if "-" in text else clock.eastern())
    except ValueError:
        raise BadField(f"{text[:40]!r} is not a time") from None
    return moment.astimezone(UTC)


def place(connection: Connection, request: Request) -> None:
    """3: refused."""
    connection.error(request.identify(), 387, "order type not supported by this simulator yet")


def cancel(connection: Connection, request: Request) -> None:
    """4: no order of this id can be cancelled."""
    request.skip(1)
    id_ = request.identify()
    connection.error(id_, 10147, f"OrderId {id_} that needs to be cancelled is not found.")


def cancel_everything(connection: Connection, _request: Request) -> None:
    """58: refused like any other cancel."""
    connection.error(-1, 10147, "OrderId 0 that needs to be cancelled is not found.")


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
