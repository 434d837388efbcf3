"""Closing positions at the simulated gateway: all of it, in the right order, never more than is held, and what is left is said."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from v6cli import barrier, clock, events, latch, locks, permits
from v6cli.broker import account, orders
from v6cli.errors import GatewayUnavailable
from v6cli.latch import TradingState
from v6cli.state import intents
from v6cli.trading import flatten, parts
from v6cli.trading.execution import Desk
from v6cli.trading.flatten import Flatten, Left, Stopped
from v6cli.trading.holdings import Holdings
from v6cli.trading.parts import How, Plan

from .conftest import NEW_YORK


class Closing:
    """A closing of client 90 on a stage, with short waits."""

    def __init__(self, stage: Any, connection: Any) -> None:
        self.stage = stage
        self.connection = connection
        self.gateway = stage.gateway
        self.desk = Desk(connection, stage.state, stage.home, NEW_YORK)
        self.own = msgspec.structs.replace(stage.settings.closing, dwell=0.3, steps=2, lag=2.0, percent=1.0)
        self.flatten: Flatten
        self.report: events.Report = events.ignore
        #: The greatest size that each position has had: closing may not make one larger, or turn it.
        self.before = self.sizes

    @property
    def sizes(self) -> dict[int, float]:
        return {con_id: holding.quantity for con_id, holding in self.gateway.account.holdings.items() if holding.quantity}

    async def plan(self, **chosen: Any) -> Plan:
        return parts.plan(await account.positions(self.connection), **chosen)

    async def close(self, plan: Plan | None = None, **how: Any) -> list[Left]:
        wanted = plan or await self.plan()
        async with Holdings(self.connection, self.stage.state, self.own.lag) as holdings:
            self.flatten = Flatten(self.desk, holdings, "run", How(self.own, **how), 30, self.report)
            try:
                return await self.flatten.close(wanted.parts)
            finally:
                assert self.never_grew() == []

    def never_grew(self) -> list[str]:
        return [
            f"contract {con_id}: {self.before.get(con_id, 0):+g} became {now:+g}"
            for con_id, now in self.sizes.items()
            if now * self.before.get(con_id, 0.0) <= 0 or abs(now) > abs(self.before.get(con_id, 0.0))
        ]


@pytest.fixture
def closing(stage: Any) -> Any:
    def run(act: Callable[[Closing], Awaitable[None]], **how: Any) -> None:
        async def on_stage(prepared: Any) -> None:
            quick = prepared.settings
            prepared.settings = msgspec.structs.replace(quick, messages=msgspec.structs.replace(quick.messages, closing=45))
            connection = await prepared.connect("closing")
            try:
                await act(Closing(prepared, connection))
            finally:
                await connection.close()

        stage(on_stage, **how)

    return run


def names(left: list[Left]) -> dict[str, str]:
    return {str(one.contract): one.why for one in left}


def test_everything_with_a_price_is_closed(closing: Any) -> None:
    """The one long that nobody bids for is offered, said to be left to expire, and keeps nothing else from closing."""

    async def act(at: Closing) -> None:
        left = await at.close(market=True)
        assert set(at.sizes) == {one.contract.con_id for one in left} and len(left) <= 2
        assert all("left to expire" in one.why and one.quantity > 0 for one in left), names(left)
        assert intents.unsettled(at.stage.state) == []
        assert {one.order.contract.kind for one in intents.recent(at.stage.state, 100)} == {"BAG", "OPT", "STK"}

    closing(act)


def spy(part: parts.Part) -> bool:
    return part.symbol == "SPY"


def test_a_part_of_it_leaves_the_rest_alone(closing: Any) -> None:
    async def act(at: Closing) -> None:
        before = at.sizes
        plan = await at.plan(chosen=spy)
        assert await at.close(plan) == []
        assert at.sizes == {con_id: size for con_id, size in before.items() if con_id not in plan.sizes}

    closing(act)


def test_a_combo_that_does_not_fill_falls_to_its_legs_shorts_first(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("combos-rest")
        assert await at.close(await at.plan(chosen=spy)) == []
        sent = [one.order for one in reversed(intents.recent(at.stage.state, 100))]
        kinds = [(order.contract.kind, order.action) for order in sent]
        assert kinds[0] == ("BAG", "BUY")
        legs = [action for kind, action in kinds if kind == "OPT"]
        assert legs == sorted(legs), f"a long was sold before its short was bought: {legs}"

    closing(act)


def test_a_combo_that_is_refused_falls_to_its_legs(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("reject-orders", code=10043, text="combination rejected", count=1)
        assert await at.close(await at.plan(chosen=spy)) == []

    closing(act)


def test_what_ib_refuses_is_left_and_its_cover_kept(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("reject-orders", code=201, text="Order rejected - reason: no")
        plan = await at.plan(chosen=spy)
        before = at.sizes
        left = names(await at.close(plan))
        assert at.sizes == before and len(left) == len(plan.sizes)
        assert any("IB refused it" in why for why in left.values())
        assert any("it may cover" in why for why in left.values())

    closing(act)


def test_positions_that_lag_are_waited_for_and_never_closed_twice(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("positions-lag", by=1.5)
        assert await at.close(await at.plan(chosen=spy)) == []

    closing(act)


def test_positions_that_do_not_agree_are_left_alone(closing: Any) -> None:
    """What the gateway says is held is older than a fill for longer than is waited for."""

    async def act(at: Closing) -> None:
        at.own = msgspec.structs.replace(at.own, lag=0.5)
        plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and "condor" in part.name)
        at.gateway.faults.set("positions-lag", by=3600)
        left = names(await at.close(plan))
        assert left and all("do not agree" in why for why in left.values())

    closing(act)


def test_a_fill_by_hand_takes_the_order_back_and_only_the_rest_is_closed(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.own = msgspec.structs.replace(at.own, dwell=3.0)
        at.gateway.faults.set("combos-rest")
        plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and len(part.legs) > 1)
        work = asyncio.ensure_future(at.close(plan))
        async with asyncio.timeout(10):
            while not at.gateway.book.alive:
                await asyncio.sleep(0.05)
        at.gateway.faults.set("fills-by-hand", of="SPY", quantity=1)
        left = await work
        assert all(abs(one.quantity) <= abs(at.before[one.contract.con_id]) for one in left)

    closing(act)


def test_a_halt_stops_it_and_its_orders_are_taken_back(closing: Any) -> None:
    async def act(at: Closing) -> None:
        known = latch.tighten(at.stage.home, TradingState.HALTED, "close-all", "ann")
        run = locks.begin_run(at.stage.home, "v6 close-all")
        at.desk.permit = permits.grant(at.stage.home, run.identity, "v6 close-all", [known])
        at.own = msgspec.structs.replace(at.own, dwell=5.0)
        at.gateway.faults.set("combos-rest")
        work = asyncio.ensure_future(at.close(await at.plan(chosen=lambda part: part.symbol == "SPY" and len(part.legs) > 1)))
        async with asyncio.timeout(10):
            while not at.gateway.book.alive:
                await asyncio.sleep(0.05)
        latch.tighten(at.stage.home, TradingState.HALTED, "stop that too", "ann")
        with pytest.raises(Stopped, match="stop that too"):
            await work
        assert await at.flatten.withdraw() == []
        assert at.gateway.book.alive == [] and intents.unsettled(at.stage.state) == []
        run.end()

    closing(act)


@pytest.mark.parametrize("working", [True, False])
def test_a_gate_that_stays_shut_stops_it_as_a_halt_does(closing: Any, monkeypatch: pytest.MonkeyPatch, working: bool) -> None:
    """Somebody halts and is stopped in the midst of it: who that is, is said, and no order of this run is left to itself."""
    monkeypatch.setattr(orders, "GATE_WITHIN", 0.2)

    async def act(at: Closing) -> None:
        at.gateway.faults.set("combos-rest")
        work = asyncio.ensure_future(at.close(await at.plan(chosen=lambda part: part.symbol == "SPY" and len(part.legs) > 1)))
        async with asyncio.timeout(10):
            while working and not at.gateway.book.alive:
                await asyncio.sleep(0.02)
        gate = barrier.keep_shut(at.stage.home)
        assert gate is not None
        with gate, pytest.raises(Stopped, match=rf"tightened by a halt .*{os.getpid()}"):
            await work
        assert await at.flatten.withdraw() == []
        assert at.gateway.book.alive == [] and intents.unsettled(at.stage.state) == [] and at.sizes == at.before

    closing(act)


def test_a_reduce_only_that_comes_meanwhile_holds_a_new_price_up_and_stops_nothing(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("combos-rest")
        at.own = msgspec.structs.replace(at.own, dwell=0.5)
        work = asyncio.ensure_future(at.close(await at.plan(chosen=lambda part: part.symbol == "SPY" and len(part.legs) > 1)))
        async with asyncio.timeout(10):
            while not at.gateway.book.alive:
                await asyncio.sleep(0.02)
        latch.tighten(at.stage.home, TradingState.REDUCING, "no more risk", "ann")
        gate = barrier.keep_shut(at.stage.home)
        assert gate is not None
        asyncio.get_running_loop().call_later(1.0, gate.release)
        assert await work == [] and "SPY" not in {one.contract.symbol for one in at.gateway.account.holdings.values() if one.quantity}

    closing(act)


def test_a_cancel_that_is_not_answered_leaves_the_contract_claimed(closing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten, "CANCELLED_WITHIN", 0.5)

    async def act(at: Closing) -> None:
        at.gateway.faults.set("combos-rest")
        at.gateway.faults.set("stuck-cancelling")
        plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and "condor" in part.name)
        left = names(await at.close(plan))
        assert left and all("is open" in why or "may cover" in why for why in left.values())
        assert at.sizes == at.before and len(intents.unsettled(at.stage.state)) == 1

    closing(act)


def test_unanswered_cancels_are_waited_for_at_once(closing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten, "CANCELLED_WITHIN", 1.0)

    async def act(at: Closing) -> None:
        at.own = msgspec.structs.replace(at.own, dwell=30.0)
        at.gateway.faults.set("combos-rest")
        at.gateway.faults.set("stuck-cancelling")
        work = asyncio.ensure_future(at.close(await at.plan(chosen=lambda part: len(part.legs) == 4)))
        async with asyncio.timeout(20):
            while len(at.gateway.book.alive) < 3:
                await asyncio.sleep(0.05)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        began = time.monotonic()
        alive = await at.flatten.withdraw()
        assert len(alive) >= 3 and time.monotonic() - began < 2.5
        assert {one.recorded.order_ref for one in alive} == {one.order_ref for one in at.gateway.book.alive}

    closing(act)


@pytest.mark.parametrize("kind", ["STK", "OPT"])
def test_what_has_no_quote_at_all_is_not_given_away(closing: Any, kind: str) -> None:
    """That nobody is seen to bid is no bid of nothing: a sale at the least price would take whatever there is."""

    async def act(at: Closing) -> None:
        at.gateway.faults.set("no-quotes")
        plan = await at.plan()
        longs = tuple(
            parts.Part(part.symbol, part.name, (leg,)) for part in plan.parts for leg in part.legs if leg[1] > 0 and leg[0].kind == kind
        )
        left = await at.close(Plan(longs))
        assert len(left) == len(longs) > 0 and all("no quote of" in one.why for one in left)
        assert intents.recent(at.stage.state, 100) == []

    closing(act)


def test_what_has_no_quote_is_closed_at_a_typed_price_only(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("no-quotes", of="SPY")
        stock = await at.plan(chosen=lambda part: part.symbol == "SPY" and len(part.legs) == 1)
        if not stock.parts:
            stock = await at.plan(chosen=lambda part: part.symbol == "SPY")
        left = await at.close(stock)
        assert left and all("--limit" in one.why or "may cover" in one.why for one in left)

    closing(act)


def one_stock(part: parts.Part) -> bool:
    return len(part.legs) == 1 and not part.legs[0][0].is_option


def test_what_nobody_took_at_its_cap_goes_at_the_market_only_where_that_was_asked_for(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.own = msgspec.structs.replace(at.own, percent=0.0, ticks=0, amount=0.0)
        plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and "condor" in part.name)
        left = await at.close(plan)
        assert left and any("a larger --cap, or --market" in one.why for one in left)
        assert (
            await at.close(await at.plan(chosen=lambda part: bool({own.con_id for own, _ in part.legs} & set(plan.sizes))), market=True)
            == []
        )
        assert any(one.order.limit is None for one in intents.recent(at.stage.state, 100))

    closing(act)


def test_a_typed_price_is_the_only_one_that_is_offered(closing: Any) -> None:
    async def act(at: Closing) -> None:
        plan = Plan((await at.plan(chosen=one_stock)).parts[:1])
        own, _ = plan.parts[0].legs[0]
        assert [one.why for one in await at.close(plan, limits={own.con_id: 9_999.0})] == ["nobody took it at the price you gave"]
        assert {one.order.limit for one in intents.recent(at.stage.state, 100)} == {9_999.0}

    closing(act)


def test_a_leg_with_a_typed_price_goes_alone_and_at_that(closing: Any) -> None:
    """Its combo would go at a price of the combo's own."""

    async def act(at: Closing) -> None:
        plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and "condor" in part.name)
        short = next(own for own, quantity in plan.parts[0].legs if quantity < 0)
        left = names(await at.close(plan, limits={short.con_id: 0.01}))
        assert left[str(short)] == "nobody took it at the price you gave", left
        sent = [one.order for one in intents.recent(at.stage.state, 100)]
        assert {one.contract.kind for one in sent} == {"OPT"}
        assert {one.limit for one in sent if one.contract.con_id == short.con_id} == {0.01}

    closing(act)


@pytest.mark.parametrize("market", [False, True])
def test_a_typed_price_beyond_the_market_is_offered_only_where_that_was_asked_for(closing: Any, market: bool) -> None:
    async def act(at: Closing) -> None:
        plan = Plan((await at.plan(chosen=one_stock)).parts[:1])
        own, quantity = plan.parts[0].legs[0]
        assert quantity > 0
        (mark,) = at.gateway.market.marks([own], clock.now())
        typed = round(0.99 * mark.price)
        left = names(await at.close(plan, limits={own.con_id: typed}, market=market))
        assert market is not bool(left) and all(f"your price {typed} is beyond the market's own" in why for why in left.values())
        assert [one.order.limit for one in intents.recent(at.stage.state, 100)] == ([typed] if market else [])

    closing(act)


def test_what_has_no_quote_goes_at_the_market_where_that_was_asked_for(closing: Any) -> None:
    async def act(at: Closing) -> None:
        at.gateway.faults.set("no-quotes")
        await at.close(await at.plan(chosen=one_stock), market=True)
        sent = intents.recent(at.stage.state, 100)
        assert sent and all(one.order.limit is None for one in sent)

    closing(act)


def test_what_has_expired_is_not_offered(closing: Any) -> None:
    async def act(at: Closing) -> None:
        plan = await at.plan()
        assert plan.expired
        part = parts.Part("SPY", "expired", tuple((one.contract, one.quantity) for one in plan.expired[:1]))
        left = await at.close(Plan((part,), *[getattr(plan, field) for field in Plan.__struct_fields__[1:]]))
        assert [one.why for one in left] == ["it has expired: IB removes it"] and at.gateway.book.alive == []

    closing(act, scenario="awkward")


@pytest.mark.parametrize("queue", [False, True])
def test_outside_its_hours_a_contract_is_offered_only_where_that_was_asked_for(
    closing: Any, monkeypatch: pytest.MonkeyPatch, queue: bool
) -> None:
    monkeypatch.setattr(flatten, "open_at", lambda *_: False)

    async def act(at: Closing) -> None:
        left = names(await at.close(await at.plan(chosen=one_stock), queue=queue))
        assert all("does not trade now" in why and "--queue" in why for why in left.values())
        assert bool(intents.recent(at.stage.state, 100)) is queue is not bool(left)

    closing(act)


def test_halted_without_a_permit_nothing_is_offered(closing: Any) -> None:
    async def act(at: Closing) -> None:
        latch.tighten(at.stage.home, TradingState.HALTED, "runaway", "ann")
        with pytest.raises(Stopped, match="runaway"):
            await at.close()
        assert at.sizes == at.before and await at.flatten.withdraw() == [] and intents.unsettled(at.stage.state) == []

    closing(act)


async def resting(at: Closing) -> tuple[asyncio.Future[list[Left]], Any]:
    """A closing of a condor whose combo rests at the gateway, and that order."""
    at.own = msgspec.structs.replace(at.own, dwell=30.0)
    at.gateway.faults.set("combos-rest")
    plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and "condor" in part.name)
    work = asyncio.ensure_future(at.close(plan, market=True))
    async with asyncio.timeout(10):
        while not at.gateway.book.alive:
            await asyncio.sleep(0.05)
    return work, at.gateway.book.alive[0]


def test_a_fill_of_somebody_else_takes_the_order_back_at_once_and_the_rest_goes_leg_by_leg(closing: Any) -> None:
    async def act(at: Closing) -> None:
        work, combo = await resting(at)
        leg = at.gateway.account.holdings[combo.legs[0].con_id].contract
        at.gateway.faults.set("fills-by-hand", of=leg.local_symbol, quantity=1)
        async with asyncio.timeout(15):  # less than its dwell
            while combo in at.gateway.book.alive or not at.gateway.book.alive:
                await asyncio.sleep(0.05)
        assert at.gateway.book.alive[0].contract.kind == "OPT", "what is left of it is no whole combo"
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert await at.flatten.withdraw() == []

    closing(act)


def test_an_order_whose_connection_is_lost_is_told_of_as_one_that_may_live(closing: Any) -> None:
    async def act(at: Closing) -> None:
        work, combo = await resting(at)
        await at.connection.close()
        with pytest.raises(GatewayUnavailable):
            await work
        (alive,) = await at.flatten.withdraw()
        assert alive.recorded.order_ref == combo.order_ref and combo in at.gateway.book.alive

    closing(act)


def test_a_combo_whose_legs_are_no_longer_in_proportion_goes_leg_by_leg(closing: Any) -> None:
    async def act(at: Closing) -> None:
        plan = await at.plan(chosen=lambda part: part.symbol == "SPY" and "condor" in part.name)
        at.gateway.faults.set("fills-by-hand", of=plan.parts[0].legs[0][0].local_symbol, quantity=1)
        assert await at.close(plan, market=True) == []
        assert {one.order.contract.kind for one in intents.recent(at.stage.state, 100)} == {"OPT"}

    closing(act)


def test_nothing_is_offered_while_nobody_watches_what_others_fill(closing: Any) -> None:
    async def act(at: Closing) -> None:
        async with Holdings(at.connection, at.stage.state, at.own.lag) as holdings:
            assert holdings.foreign(at.sizes) == 0
            await at.connection.close()
            with pytest.raises(GatewayUnavailable, match="watched no more"):
                async with asyncio.timeout(10):
                    while True:
                        holdings.foreign(at.sizes)
                        await asyncio.sleep(0.05)

    closing(act)


def test_an_awkward_book_ends_with_every_reason_said(closing: Any) -> None:
    async def act(at: Closing) -> None:
        plan = await at.plan()
        left = await at.close(plan)
        held = at.sizes
        expired = {one.contract.con_id for one in plan.expired}
        assert {one.contract.con_id for one in left} == set(held) - expired and all(one.why for one in left)

    closing(act, scenario="awkward")


def test_each_position_tells_what_it_does_and_what_came_of_it(closing: Any) -> None:
    async def act(at: Closing) -> None:
        told: list[events.Event] = []
        at.report = told.append
        plan = await at.plan(chosen=spy)
        assert await at.close(plan) == []
        for part in plan.parts:
            doing = [one.text for one in told if isinstance(one, events.Doing) and one.what == part.line]
            assert doing[0].startswith(part.label) and " offered at " in doing[0] and doing[-1] == ""
            assert " filled at " in doing[-2] and max(map(len, doing)) <= 78, doing
        said = [one.text for one in told if isinstance(one, events.Note)]
        assert sorted(said) == sorted(f"{part.label}: closed" for part in plan.parts)

    closing(act)


def test_what_stays_open_is_told_with_why_as_soon_as_it_is_known(closing: Any) -> None:
    async def act(at: Closing) -> None:
        told: list[events.Event] = []
        at.report = told.append
        at.gateway.faults.set("reject-orders", code=201, text="Order rejected - reason: no")
        part = (await at.plan(chosen=spy)).parts[0]
        left = await at.close(Plan((part,)))
        first = next(one for one in left if one.contract.con_id == next(own.con_id for own, _ in part.legs))
        assert events.Note(f"{part.label}: {first.quantity:+g} {first.contract} left, {first.why}") in told

    closing(act)
