"""The one send, and orders as the gateway lists them: working ones of every client, and executions."""

from __future__ import annotations

from typing import Any

from v6cli import barrier, clock
from v6cli.broker import translate
from v6cli.broker.codes import Meaning
from v6cli.broker.connection import Connection
from v6cli.errors import Refused
from v6cli.home import Home
from v6cli.models import CompletedOrder, Fill, RecordedIntent, WorkingOrder
from v6cli.permits import Permit

GATE_WITHIN = 2.0  # wall seconds for a halt that is being set to let go of the gate


async def send(connection: Connection, home: Home, recorded: RecordedIntent, permit: Permit | None = None) -> None:
    """Send a recorded order, new or modified. No other function writes one.

    A token of this role's share, then without an await: the gate, the latch, an empty buffer, the write. Nothing has left where this
    raises Halted, Shut, Refused or GatewayUnavailable.
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
        try:
            with barrier.passage(home, closing=recorded.closing, permit=permit):
                connection.client.place(recorded.order_id, contract, order)
                return
        except barrier.Shut:
            if clock.monotonic() >= deadline:
                raise
        await clock.pause(0.01)


async def working(connection: Connection) -> list[WorkingOrder]:
    """Working orders of every client in the account. Raises GatewayUnavailable."""
    raw = await connection.client.all_open_orders()
    return [translate.working_order(one) for one in raw if one.order.account in {connection.account, ""}]


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
