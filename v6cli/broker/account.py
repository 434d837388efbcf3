"""Positions and account, filtered by account. An answer that does not come is an error, never an empty list."""

from __future__ import annotations

from v6cli import clock
from v6cli.broker import translate
from v6cli.broker.connection import Connection
from v6cli.models import Account, Position


async def positions_and_account(connection: Connection) -> tuple[list[Position], Account]:
    """The positions of the account, with prices and P&L as the gateway states them, and the account itself.

    Both downloads are awaited to their End. Raises GatewayUnavailable.
    """
    import asyncio

    client, own = connection.client, connection.account
    raw, (values, lines), daily = await asyncio.gather(client.positions(), client.account_values(own), client.daily_profit(own))
    by_contract = {line.contract.conId: line for line in lines}
    held = [translate.position(one, by_contract.get(one.contract.conId)) for one in raw if one.account == own and one.position]
    return sorted(held, key=_order), translate.account(own, values, daily, clock.now())


async def positions(connection: Connection) -> list[Position]:
    """The positions of the account, asked anew, without prices. Raises GatewayUnavailable."""
    raw = await connection.client.positions()
    return sorted((translate.position(one, None) for one in raw if one.account == connection.account and one.position), key=_order)


async def position_sizes(connection: Connection) -> dict[int, float]:
    """Quantity by contract id of what the account holds, asked anew. Raises GatewayUnavailable."""
    raw = await connection.client.positions()
    return {int(one.contract.conId): float(one.position) for one in raw if one.account == connection.account and one.position}


def _order(position: Position) -> tuple[object, ...]:
    own = position.contract
    return (own.symbol, own.is_option, str(own.expiry), own.right or "", own.strike or 0.0, own.con_id)
