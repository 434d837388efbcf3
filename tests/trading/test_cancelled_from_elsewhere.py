"""A running closing cancels one of its orders at somebody's request, and leaves what that was to close."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from v6cli.errors import BadInput, OutcomeUnknown
from v6cli.state import intents
from v6cli.trading import flatten
from v6cli.trading.parts import Plan

from .test_flatten import Closing, closing, names, spy  # noqa: F401  a fixture


async def resting(at: Closing) -> int:
    """The number of an order of the closing, once one works."""
    async with asyncio.timeout(10):
        while not at.gateway.book.alive:
            await asyncio.sleep(0.02)
    return int(at.gateway.book.alive[0].perm_id)


def test_its_order_ends_and_nothing_else_is_sent_for_it(closing: Any) -> None:  # noqa: F811
    async def act(at: Closing) -> None:
        at.gateway.faults.set("combos-rest")
        at.own = msgspec.structs.replace(at.own, dwell=30.0)
        plan = await at.plan(chosen=spy)
        part = plan.parts[0]
        before = at.sizes
        closes = asyncio.ensure_future(at.close(Plan((part,))))
        perm_id = await resting(at)
        with pytest.raises(BadInput, match="no order 1 of the closing that runs"):
            await at.flatten.cancel(1)
        assert (await at.flatten.cancel(perm_id))["ending"] == "cancelled"
        left = names(await closes)
        assert len(left) == len(part.legs) and set(left.values()) == {"somebody had its order cancelled: v6 orders cancel"}
        assert at.sizes == before and len(intents.recent(at.stage.state)) == 1

    closing(act)


def test_a_cancel_that_is_not_answered_is_unknown_and_its_price_moves_no_more(
    closing: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flatten, "CANCELLED_WITHIN", 0.3)

    async def act(at: Closing) -> None:
        at.gateway.faults.set("combos-rest")
        at.gateway.faults.set("stuck-cancelling")
        at.own = msgspec.structs.replace(at.own, dwell=1.0, steps=4)
        closes = asyncio.ensure_future(at.close(Plan((await at.plan(chosen=spy)).parts[:1])))
        perm_id = await resting(at)
        with pytest.raises(OutcomeUnknown, match="has not been answered"):
            await at.flatten.cancel(perm_id)
        left = names(await closes)
        assert left and len(at.gateway.book.alive) == 1
        limits = at.stage.state.rows("SELECT limit_price, changed FROM attempts")
        assert len(limits) == 1 and limits[0][1] is None, "it was not moved after its cancel"

    closing(act)
