"""A running closing is asked over its control socket: only its own client can cancel what it has sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from v6cli import control, events
from v6cli.errors import OutcomeUnknown
from v6cli.runbook import orders
from v6cli.trading import flatten

from .closing_on_stage import closing_of


def test_v6_orders_cancel_reaches_a_running_closing(stage: Any) -> None:
    async def act(stage: Any) -> None:
        closing = closing_of(stage, "SPY", dwell=30.0)
        await closing.look()
        stage.gateway.faults.set("combos-rest")
        closes = asyncio.ensure_future(closing.carry_out(events.ignore))

        async with asyncio.timeout(20):
            while not (found := await orders.listed(stage.as_client)):
                await asyncio.sleep(0.1)
        assert await orders.cancel(stage.home, stage.as_client, found[0]) == orders.Gone(found[0], 0.0)
        left = await closes
        assert left and all("somebody had its order cancelled" in one.why for one in left)
        assert not stage.home.control_socket(flatten.SOCKET).exists()

    stage(act, timeout=3.0)


def test_where_it_cannot_be_asked_it_closes_all_the_same(stage: Any) -> None:
    async def act(stage: Any) -> None:
        async with await control.serve(stage.home.control_socket(flatten.SOCKET), {}):
            closing = closing_of(stage, "SPY")
            await closing.look()
            told: list[events.Event] = []
            assert await closing.carry_out(told.append) == []
        assert any(isinstance(one, events.Note) and "no single order of it can be cancelled from elsewhere" in one.text for one in told)

    stage(act, timeout=3.0)


def test_an_owner_that_does_not_say_what_came_of_it_is_unknown(stage: Any) -> None:
    async def act(stage: Any) -> None:
        async def cancel(perm_id: int) -> None:
            raise OutcomeUnknown(f"{perm_id}: not answered", next_step="v6 logs")

        working = orders.WorkingOrder(7, 7, 90, "DU1234567", None, "SELL", 1.0, 0.0, "LMT", "Submitted")  # type: ignore[arg-type]
        async with await control.serve(stage.home.control_socket(flatten.SOCKET), {"cancel": cancel}):
            with pytest.raises(OutcomeUnknown, match="7: not answered") as error:
                await orders.cancel(stage.home, None, working)  # type: ignore[arg-type]
        assert error.value.next_step == "v6 orders"

    stage(act)
