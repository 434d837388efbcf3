"""The one send; cancels; orders as the gateway lists them, and executions.

That an order is gone is never read from an answer to its cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from v6cli import barrier, clock
from v6cli.broker import translate
from v6cli.broker.codes import Meaning
from v6cli.broker.connection import Connection
from v6cli.broker.ib import NoAnswer
from v6cli.errors import Refused
from v6cli.home import Home
from v6cli.models import CompletedOrder, Fill, RecordedIntent, WorkingOrder
from v6cli.permits import Permit

GATE_WITHIN = 2.0  # wall seconds for a halt that is being set to let go of the gate


async def send(
    connection: Connection,
    home: Home,
    recorded: RecordedIntent,
    permit: Permit | None = None,
    *,
    needless: Callable[[], bool] = lambda: False,
) -> bool:
    """Send a recorded order, new or modified; False where that had become ``needless`` by its turn. No other function writes one.

    A token of this role's share, then without an await: the gate, the latch, an empty buffer, the write. Nothing has left where this
    returns False, or raises Halted, Shut, Refused or GatewayUnavailable.
    """
    if recorded.client_id != connection.client_id or recorded.order.account != connection.account:
        raise Refused(
            f"the order {recorded.order_ref} is of client {recorded.client_id} in {recorded.order.account}, "
            f"this connection of client {connection.client_id} in {connection.account}"
        )
    contract, order = translate.for_order(recorded, connection.client.library)
    deadline = clock.monotonic() + GATE_WITHIN
    while True:
        await connection.client.bucket.take()
        if needless():
            return False
        try:
            with barrier.passage(home, closing=recorded.closing, permit=permit):
                connection.client.place(recorded.order_id, contract, order)
                return True
        except barrier.Shut:
            if clock.monotonic() >= deadline:
                raise
        await clock.pause(0.01)


class Listed(Struct, frozen=True):
    """Every order that works at the gateway, of whichever account, each beside all that IB says of it, by IB's own names.

    ``complete`` is whether the list came to its End: one that did not proves nothing.
    """

    orders: tuple[WorkingOrder, ...]
    in_full: tuple[dict[str, Any], ...]
    complete: bool


async def working(connection: Connection) -> list[WorkingOrder]:
    """Working orders of every client in the account. Raises GatewayUnavailable."""
    raw = await connection.client.all_open_orders()
    return [translate.working_order(one) for one in raw if one.order.account in {connection.account, ""}]


async def everything(connection: Connection) -> Listed:
    """The open orders of every client and every account. Raises GatewayUnavailable where the connection is gone.

    After one that is not complete no other list is asked for on the same connection: its End would be taken for the other's.
    """
    try:
        raw, complete = await connection.client.all_open_orders(), True
    except NoAnswer:
        raw, complete = connection.client.open_orders_so_far(), False
    each = list({id(one): one for one in raw}.values())
    return Listed(tuple(map(translate.any_order, each)), tuple(map(translate.order_in_full, each)), complete)


async def cancel_everything(connection: Connection) -> None:
    """Ask IB to cancel every order of every client and account, the trader's own included. Nothing is awaited as its answer.

    Raises GatewayUnavailable where it was not sent.
    """
    await connection.client.global_cancel()


async def cancel(connection: Connection, order: WorkingOrder) -> None:
    """Ask IB to cancel an order of this connection's own client id; what became of it a list of open orders tells.

    IB's answers (202 cancelled, 135 and 10147 unknown, 10148 too late) are information, not failure. Raises Refused for an order of
    another client, GatewayUnavailable where it was not sent.
    """
    if order.client_id != connection.client_id:
        raise Refused(f"order {order.perm_id} belongs to client {order.client_id}: client {connection.client_id} cannot cancel it")
    await connection.client.cancel_order(order.order_id)


async def executions(connection: Connection) -> list[Fill]:
    """Executions of the account since the gateway's midnight. Raises GatewayUnavailable."""
    raw = await connection.client.executions()
    fills = [translate.fill(one) for one in raw if one.execution.acctNumber == connection.account]
    return sorted(fills, key=lambda one: (one.at, one.exec_id))


async def completed(connection: Connection) -> list[CompletedOrder]:
    """Orders of the account that have ended since the gateway's midnight. Raises GatewayUnavailable."""
    raw = await connection.client.completed_orders()
    return [translate.completed_order(one) for one in raw if one.order.account in {connection.account, ""}]


async def may_write(connection: Connection) -> bool:
    """Whether the gateway's API takes orders.

    A read-only gateway answers every look, but refuses to list this client's own open orders and the completed ones with
    error 321; that refusal is the only sign. Raises GatewayUnavailable where neither answer nor refusal comes.
    """
    import asyncio

    refused: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def hear(_request: int, meaning: Meaning, _text: str) -> None:
        if meaning.kind == "read-only" and not refused.done():
            refused.set_result(True)

    connection.client.listen(hear)
    asked = asyncio.ensure_future(connection.client.completed_orders())
    waited: set[asyncio.Future[Any]] = {asked, refused}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if refused.done():
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        return False
    refused.cancel()
    await asked
    return True
