"""Orders as the operator sees and ends them: listed with what to do about each, and cancelled by whoever placed them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from v6cli import clock, control
from v6cli.broker import orders
from v6cli.broker.codes import classify
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import BadInput, GatewayUnavailable, OutcomeUnknown, Refused, ServiceUnavailable, UsageError
from v6cli.home import Home
from v6cli.models import WorkingOrder
from v6cli.results import Column, Table
from v6cli.state.intents import Intent
from v6cli.trading.flatten import SOCKET
from v6cli.trading.loop import SERVICE

if TYPE_CHECKING:
    from v6cli.broker.connection import Connection

CANCELLED_WITHIN = 5.0  # wall seconds
Gateway = Callable[[str, int | None], AbstractAsyncContextManager["Connection"]]
BY_HAND = 0
OWNERS = {1: SERVICE, 90: SOCKET}  # at whose control socket the orders of a client id are cancelled while it runs

_COLUMNS = (
    Column("order", kind="identity", title="id", missing=""),
    Column("client", kind="integer", missing=""),
    Column("action"),
    Column("quantity", kind="quantity"),
    Column("contract"),
    Column("limit", kind="price", missing="market"),
    Column("filled", kind="quantity"),
    Column("state", kind="status"),
    Column("reference", rank=1),
    Column("remark", title="reason and what to do", wraps=True),
)


def table(working: Sequence[WorkingOrder] | str, recent: Sequence[Intent]) -> Table:
    """Working orders of every client, or why they are unknown; then v6's own recent ones."""
    unknown = isinstance(working, str)
    alive = () if isinstance(working, str) else working
    listed = {one.order_ref for one in alive}
    rows = [_working_row(one) for one in alive]
    rows += [_recent_row(one) for one in recent if not listed & set(one.order_refs)]
    empty = "none was sent by v6 yet" if unknown else "no order works, and none was sent by v6 yet"
    return Table(
        "v6.orders/1", "orders of v6; WHAT WORKS IS UNKNOWN" if unknown else "orders", _COLUMNS, rows, as_of=clock.now(), empty=empty
    )


def check_known(working: Sequence[WorkingOrder] | str) -> None:
    """Raise GatewayUnavailable where what works could not be told."""
    if isinstance(working, str):
        raise GatewayUnavailable(f"what works at the gateway is unknown: {working}")


def _working_row(one: WorkingOrder) -> tuple[object, ...]:
    remark = "entered by hand" if not one.client_id and one.order_id <= 0 else ""
    return (
        one.perm_id,
        one.client_id,
        one.action,
        one.quantity,
        str(one.contract),
        one.limit_price,
        one.filled,
        one.status,
        one.order_ref,
        remark,
    )


def _recent_row(one: Intent) -> tuple[object, ...]:
    wanted = one.order
    return (
        None,
        one.client_id,
        wanted.action,
        wanted.quantity,
        str(wanted.contract),
        wanted.limit,
        one.filled,
        one.state,
        one.order_refs[-1],
        _remark(one),
    )


def _remark(one: Intent) -> str:
    if one.state == "unknown":
        return f"{one.note}; look in TWS, then: v6 orders settle {one.order_refs[-1]} --filled N, or --dead"
    if one.code is None:
        return one.note
    meaning = classify(one.code, one.note)
    return f"{one.code}: {one.note}{f' ({meaning.do})' if meaning.do else ''}"


async def listed(gateway: Gateway) -> list[WorkingOrder]:
    """The orders of every client that work, as IB itself has them now. Raises GatewayUnavailable."""
    async with gateway("look", None) as connection:
        return await _proven(connection)


async def one(gateway: Gateway, which: str) -> list[WorkingOrder]:
    """The working order of this number or reference, alone. Raises BadInput, GatewayUnavailable."""
    found = [one for one in await listed(gateway) if which in _names(one)]
    if not found:
        raise BadInput(f"no order {which!r} works at the gateway", next_step="v6 orders")
    if len(found) > 1:
        raise BadInput(
            f"{len(found)} orders work under {which!r}: {', '.join(str(one.perm_id) for one in found)}", next_step="name one by its number"
        )
    return found


def _names(order: WorkingOrder) -> set[str]:
    """What an order may be called by: one entered by hand has no reference, and a number only once IB has given it one."""
    return {str(order.perm_id or ""), order.order_ref} - {""}


async def cancel(home: Home, gateway: Gateway, order: WorkingOrder) -> str:
    """Cancel one order by way of the client that placed it, and wait until it is gone; what came of it, in words.

    Raises Refused where its owner lives and is none of this home's services, OutcomeUnknown, GatewayUnavailable.
    """
    if owner := OWNERS.get(order.client_id):
        try:
            said = await control.acall(home.control_socket(owner), "cancel", timeout=30.0, perm_id=order.perm_id)
        except ServiceUnavailable:
            pass  # it does not run: it is stood in for
        except OutcomeUnknown as error:
            raise OutcomeUnknown(error.message, next_step="v6 orders") from error
        else:
            return f"order {order.perm_id}: {said['ending']}, {said['filled']:g} filled" if isinstance(said, dict) else str(said)
    async with _in_the_place_of(gateway, order) as connection:
        own = await _as_its_owner_sees_it(connection, order)
        await orders.cancel(connection, own)
        await _gone(connection, {order.perm_id})
    return f"order {order.perm_id} works no more"


async def cancel_all(gateway: Gateway) -> str:
    """Cancel every order of every client, and wait until none is listed. Raises OutcomeUnknown, GatewayUnavailable."""
    async with gateway("cancel", None) as connection:
        before = {one.perm_id for one in await _proven(connection)}
        await orders.cancel_everything(connection)
        await _gone(connection, before)
    return f"{len(before)} orders cancelled: none of them works any more"


def check_choice(which: str | None, *, everything: bool) -> None:
    """Raise UsageError unless exactly one of an order and all of them is asked for, the one by a name that it can have."""
    if (which is None) == (not everything):
        raise UsageError("name one order, or say --all", next_step="v6 orders")
    if which is not None and not which.strip():
        raise UsageError("an empty id names no order", next_step="v6 orders")


@asynccontextmanager
async def _in_the_place_of(gateway: Gateway, order: WorkingOrder) -> AsyncIterator[Connection]:
    try:
        async with gateway("cancel", order.client_id) as connection:
            yield connection
    except ClientIdInUse as error:
        raise Refused(
            f"order {order.perm_id} was placed by client {order.client_id}, which is connected: only it can cancel this one",
            next_step="cancel it there, or every order with v6 orders cancel --all",
        ) from error


async def _as_its_owner_sees_it(connection: Connection, order: WorkingOrder) -> WorkingOrder:
    """The order under the id by which this client cancels it: one by hand is given an id once client 0 binds it."""
    if order.client_id == BY_HAND:
        await connection.client.bind_orders_by_hand()
    for one in await _proven(connection):
        if one.perm_id == order.perm_id:
            return one
    raise BadInput(f"order {order.perm_id} works no more", next_step="v6 orders")


async def _proven(connection: Connection) -> list[WorkingOrder]:
    found = await orders.working(connection)
    await connection.must_reach_ib()
    return found


async def _gone(connection: Connection, perm_ids: set[int]) -> None:
    """Wait until none of these orders is listed. Raises OutcomeUnknown."""
    deadline = clock.monotonic() + CANCELLED_WITHIN
    try:
        while left := [one for one in await _proven(connection) if one.perm_id in perm_ids]:
            if clock.monotonic() >= deadline:
                raise OutcomeUnknown(
                    "not cancelled yet: " + ", ".join(f"{one.perm_id} {one.contract} ({one.status})" for one in left),
                    next_step="v6 orders shows it; where the market is closed, IB answers at the open",
                )
            await clock.pause(0.25)
    except GatewayUnavailable as error:
        raise OutcomeUnknown(
            f"the cancel was sent, and whether it was obeyed is not known: {error.message}", next_step="v6 orders"
        ) from error
