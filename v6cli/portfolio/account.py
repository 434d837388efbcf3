"""The account as a record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from v6cli.broker.account import positions_and_account
from v6cli.broker.connection import Connection
from v6cli.models import Account
from v6cli.results import Column, Record

Gateway = Callable[[str], AbstractAsyncContextManager[Connection]]
FIELDS = (
    ("net_liquidation", "net liquidation"),
    ("cash", "cash"),
    ("buying_power", "buying power"),
    ("excess_liquidity", "excess liquidity"),
    ("initial_margin", "initial margin"),
    ("maintenance_margin", "maintenance margin"),
    ("gross_position_value", "gross position value"),
    ("unrealized", "unrealized P&L"),
    ("realized", "realized P&L"),
    ("daily", "daily P&L"),
)


async def from_gateway(gateway: Gateway) -> Account:
    """The account as IB states it now. Raises GatewayUnavailable."""
    async with gateway("look") as connection:
        _, known = await positions_and_account(connection)
        await connection.must_reach_ib()
        return known


def record(known: Account) -> Record:
    """The account for showing; what IB did not state is unknown."""
    items = [
        (Column(name, title, kind="money", unit=known.currency, sign=title.endswith("P&L")), getattr(known, name)) for name, title in FIELDS
    ]
    return Record("v6.account/1", f"account {known.account} in {known.currency}", list(items), as_of=known.at)
