"""Orders as the gateway lists them: working ones of every client, and executions."""

from __future__ import annotations

from typing import Any

from v6cli.broker import translate
from v6cli.broker.codes import Meaning
from v6cli.broker.connection import Connection
from v6cli.models import Fill, WorkingOrder


async def working(connection: Connection) -> list[WorkingOrder]:
    """Working orders of every client in the account. Raises GatewayUnavailable."""
    raw = await connection.client.all_open_orders()
    return [translate.working_order(one) for one in raw if one.order.account in {connection.account, ""}]


async def executions(connection: Connection) -> list[Fill]:
    """Executions of the account since the gateway's midnight. Raises GatewayUnavailable."""
    raw = await connection.client.executions()
    fills = [translate.fill(one) for one in raw if one.execution.acctNumber == connection.account]
    return sorted(fills, key=lambda one: (one.at, one.exec_id))


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
