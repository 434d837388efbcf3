"""A close of one position, as an operator's: under client id 90, with a permit for the halts that stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from math import fsum
from random import Random
from typing import TYPE_CHECKING

from v6cli import clock, events, latch, locks, permits
from v6cli.broker import account, orders
from v6cli.broker.connection import Connection, connect
from v6cli.errors import GatewayUnavailable
from v6cli.home import Home
from v6cli.models import Contract, Order, Position
from v6cli.settings import Settings
from v6cli.state import intents
from v6cli.state.database import State, open_state
from v6cli.trading import resolve
from v6cli.trading.execution import Desk

if TYPE_CHECKING:
    from .order_books import Books

CLIENT_ID = 90
SETTLES_WITHIN = 30.0


class Closer:
    """One close: what an earlier one left is settled, then a position whose size is confirmed is closed, or a part of it."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        books: Books,
        chance: Random,
        baseline: Mapping[int, float],
        price: Callable[[Contract], float],
        counted: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._home = home
        self._settings = settings
        self._books = books
        self._chance = chance
        self._baseline = baseline
        self._price = price
        self._counted = counted

    async def run(self) -> None:
        with self._counted("closed"), open_state(self._home) as state:
            run = locks.begin_run(self._home, "v6 close")
            try:
                permit = permits.grant(self._home, run.identity, "v6 close", latch.read(self._home).marks)
                self._books.permits[run.identity] = permit
                connection = await connect(self._settings, self._home, "closing", events.ignore)
                try:
                    desk = Desk(connection, state, self._home, clock.eastern(), permit)
                    await self._settle(connection, state)
                    await self._close(desk, run.identity)
                finally:
                    await connection.close()
                    permits.withdraw(self._home, permit)
            finally:
                run.end()

    async def _settle(self, connection: Connection, state: State) -> None:
        deadline = clock.monotonic() + SETTLES_WITHIN
        while clock.monotonic() < deadline:
            alive = [one for verdict in await resolve.resolve(connection, state, clock.eastern()) for one in verdict.alive]
            if not alive:
                return
            for one in alive:
                await orders.cancel(connection, one)
            await clock.pause(1)
        raise GatewayUnavailable("an order of an earlier close goes on working")

    async def _close(self, desk: Desk, run: str) -> None:
        self._books.asked[run] = clock.now()
        asked = intents.turn(desk.state)
        held = await self._confirmed(desk.connection)
        if not held:
            return
        position = self._chance.choice(held)
        action = "SELL" if position.quantity > 0 else "BUY"
        quantity = self._chance.choice([abs(position.quantity), self._chance.randint(1, int(abs(position.quantity)))])
        away = self._chance.choice([None, 0.001, 0.05])
        limit = None if away is None else round(self._price(position.contract) * (1 + away if action == "SELL" else 1 - away), 2)
        order = Order(desk.connection.account, position.contract, action, quantity, limit)
        sizes = {one.contract.con_id: one.quantity for one in held}
        recorded = intents.claim_close(desk.state, order, run, CLIENT_ID, desk.next_order_id(), "close", sizes, asked)
        working = await desk.place(recorded)
        if await working.ended(self._chance.uniform(0.5, 8)):
            return
        if limit is not None and self._chance.random() < 0.6:
            await working.reprice(round(self._price(position.contract) * (0.995 if action == "SELL" else 1.005), 2))
            if await working.ended(self._chance.uniform(0.5, 8)):
                return
        await working.cancel()
        if not await working.ended(5):
            await working.asked()

    async def _confirmed(self, connection: Connection) -> list[Position]:
        """The positions whose sizes agree with executions, and on which nobody's order rests. Raises GatewayUnavailable."""
        lost = connection.losses
        await connection.must_reach_ib()
        held = await account.positions(connection)
        fills = await orders.executions(connection)
        resting = await orders.working(connection)
        again = await account.position_sizes(connection)
        await connection.must_reach_ib()
        if connection.losses != lost:
            raise GatewayUnavailable("the link to IB was lost meanwhile")
        once = {fill.exec_id.rpartition(".")[0]: fill for fill in fills if fill.contract.kind != "BAG"}
        busy = {order.contract.con_id for order in resting} | {None}

        def by_executions(con_id: int) -> float:
            own = [fill for fill in once.values() if fill.contract.con_id == con_id]
            return self._baseline.get(con_id, 0.0) + fsum(fill.quantity * (1 if fill.side == "BOT" else -1) for fill in own)

        return [
            one
            for one in held
            if one.quantity == again.get(one.contract.con_id)
            and one.quantity == by_executions(one.contract.con_id)
            and one.contract.con_id not in busy
        ]
