"""Every code of the table, about an order that works: it is followed, nothing is sent again, and it can be cancelled."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from v6cli import clock, events, settings
from v6cli.broker import codes
from v6cli.broker.connection import connect
from v6cli.errors import GatewayUnavailable
from v6cli.home import Home
from v6cli.models import Contract, Order
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import World
from v6cli.state import intents
from v6cli.state.database import open_state
from v6cli.trading.execution import Desk

from .order_books import PLACE_ORDER
from .play import PORT, scenario_of


@pytest.mark.parametrize("code", sorted(codes._table()))
def test_an_order_outlives_every_code_and_is_not_sent_again(code: int, home: Home) -> None:
    """Whatever a message says of an order, only its status, a completed order or proven absence ends it."""
    world, written = World(code), []

    async def act() -> dict[str, Any]:
        gateway = Gateway(scenario_of(1), quotes_every=5.0)
        await gateway.start(PORT)
        gateway.faults.set("warn-orders", code=code, text=codes.classify(code, "").text, count=1)
        with open_state(home) as state:
            connection = await connect(settings.load(home), home, "trading", events.ignore)
            desk = Desk(connection, state, home, clock.eastern())
            spy = Contract(gateway.market.listings["SPY"].con_id, "SPY", "STK")
            recorded = intents.record(state, Order(connection.account, spy, "BUY", 1, 1.0), "run", 1, desk.next_order_id(), "roll")
            working = await desk.place(recorded)
            lived = await working.ended(3)
            told = desk.heard.message(recorded.order_id)
            asked = None
            with contextlib.suppress(GatewayUnavailable):  # of codes that speak of the link: then nobody can say, and it stays open
                asked = await working.asked()
            open_ = [intent.state for intent in intents.unsettled(state)]
            alive = [order.order_ref for order in gateway.book.alive]
            await working.cancel()
            end = await working.ended(5)
            await connection.close()
        await gateway.close()
        return {"lived": lived, "told": told, "asked": asked, "open": open_, "alive": alive, "ref": recorded.order_ref, "end": end}

    world.watch_writes(lambda _process, data: written.append(data) if data[4:6] == PLACE_ORDER else None)
    said = world.run(act)
    assert said["told"] is not None and said["told"][0].code == code
    assert said["lived"] is None and said["asked"] is None and said["open"] == ["open"] and said["alive"] == [said["ref"]]
    assert said["end"] is not None and said["end"].ending == "cancelled"
    assert len(written) == 1
