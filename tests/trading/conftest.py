"""A desk of client 90 at a simulated gateway, with the account's stock to sell."""

from __future__ import annotations

from typing import Any

import pytest

from v6cli import clock, permits
from v6cli.broker.account import position_sizes
from v6cli.broker.connection import Connection
from v6cli.models import Contract, Order, RecordedIntent
from v6cli.state import intents
from v6cli.trading.execution import Desk, End

NEW_YORK = clock.eastern()


class Trading:
    """A desk at a stage's gateway. ``low`` is a price at which a sale fills, known once something was to be sold."""

    def __init__(self, stage: Any, connection: Connection, permit: permits.Permit | None = None) -> None:
        self.stage = stage
        self.connection = connection
        self.desk = Desk(connection, stage.state, stage.home, NEW_YORK, permit)
        self.contract: Contract
        self.low: float

    async def sells(self, quantity: float = 100, limit: float | None = None) -> RecordedIntent:
        """Record a sale of stock."""
        held = await position_sizes(self.connection)
        _, lines = await self.connection.client.account_values(self.connection.account)
        stock = next(one for one in self.stage.gateway.account.holdings.values() if one.contract.kind == "STK").contract
        self.contract = Contract(stock.con_id, stock.symbol, "STK")
        self.low = round(next(line.marketPrice for line in lines if line.contract.conId == stock.con_id) * 0.995, 2)
        order = Order(self.connection.account, self.contract, "SELL", quantity, limit)
        asked = intents.turn(self.stage.state)
        return intents.claim_close(
            self.stage.state, order, "run", self.connection.client_id, self.desk.next_order_id(), "close", held, asked
        )

    async def again(self) -> None:
        """Lose the connection, and make another one under the same id."""
        await self.connection.close()
        self.connection = await self.stage.connect("closing")
        self.desk = Desk(self.connection, self.stage.state, self.stage.home, NEW_YORK)

    @property
    def orders(self) -> int:
        """How many orders the gateway has ever had of this client."""
        book = self.stage.gateway.book
        return sum(order.client_id == self.connection.client_id for order in [*book.alive, *book.ended])

    @property
    def state(self) -> str:
        """The state of the last intent."""
        return str(self.stage.state.row("SELECT state FROM intents ORDER BY number DESC")[0])


@pytest.fixture
def trading(stage: Any) -> Any:
    """Run ``act(trading)`` at a desk of client 90."""

    def run(act: Any, **how: Any) -> Any:
        async def on_stage(prepared: Any) -> Any:
            at = Trading(prepared, await prepared.connect("closing"))
            try:
                return await act(at)
            finally:
                await at.connection.close()

        return stage(on_stage, **how)

    return run


async def ends(working: Any, within: float = 5.0) -> End:
    """Its end, which must come."""
    end = await working.ended(within)
    assert end is not None, "it lives"
    return end
