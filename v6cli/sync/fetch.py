"""One full picture from the gateway. What shrank is believed only when a second answer says the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from v6cli import clock
from v6cli.broker.account import position_sizes, positions_and_account
from v6cli.broker.connection import Connection
from v6cli.broker.orders import executions, working
from v6cli.errors import GatewayUnavailable
from v6cli.events import Note, Report
from v6cli.models import Account, Fill, Position, WorkingOrder

SECOND_PROOF_AFTER = 1.0


class Picture(Struct, frozen=True):
    """What the account is, all of it awaited to its End on one connection. ``at`` is home time, UTC."""

    at: datetime
    account: Account
    positions: Sequence[Position]
    fills: Sequence[Fill]
    working: Sequence[WorkingOrder]


async def fetch(connection: Connection, before: Mapping[int, float], report: Report) -> Picture:
    """The picture now. ``before`` is what the last sync saw, quantity by contract id.

    Raises GatewayUnavailable where one answer does not come to its End, where a position that is gone in one answer is there
    again in the next, and where IB cannot be reached: the gateway then tells what it remembers.
    """
    (positions, account), fills, orders, reaches_ib = await asyncio.gather(
        positions_and_account(connection), executions(connection), working(connection), connection.reaches_ib()
    )
    if not reaches_ib:
        raise GatewayUnavailable("the gateway has lost its connection to IB: what it says of the account may be old", next_step="v6 health")
    held = {one.contract.con_id: one.quantity for one in positions}
    gone = [con_id for con_id in before if con_id not in held]
    if gone or not held:
        report(
            Note(f"{len(gone)} of {len(before)} positions are gone: asking a second time" if gone else "no positions: asking a second time")
        )
        await clock.pause(SECOND_PROOF_AFTER)
        again = await position_sizes(connection)
        back = [con_id for con_id in again if con_id in gone or not held]
        if back:
            raise GatewayUnavailable(
                f"the gateway's answers differ: {len(back)} positions missing in one are there in the next", next_step="v6 sync --force"
            )
    return Picture(clock.now(), account, positions, fills, orders)
