"""The one path of an order, against the simulated gateway and its faults: sent once, and ended only by what IB says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from v6cli import barrier, latch, locks, permits
from v6cli.barrier import Halted
from v6cli.broker import orders
from v6cli.broker.account import position_sizes
from v6cli.broker.codes import classify
from v6cli.broker.ib import OrderStatus
from v6cli.errors import GatewayUnavailable, Refused
from v6cli.latch import TradingState
from v6cli.state import intents
from v6cli.trading import resolve
from v6cli.trading.execution import Desk

from .conftest import NEW_YORK, Trading, ends


def test_an_order_fills_and_its_end_is_recorded(trading: Any) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        end = await ends(await at.desk.place(recorded))
        assert (end.ending, end.filled, at.state) == ("filled", 100.0, "filled")
        assert end.average and end.average > 0
        assert recorded.order.contract.con_id not in await position_sizes(at.connection)
        parts = [fill for fill in (await resolve.ask(at.connection)).fills if fill.order_ref.startswith("v6-")]
        assert {fill.order_ref for fill in parts} == {recorded.order_ref}
        assert resolve.filled_of(recorded.order, parts, {recorded.order_ref}) == 100.0, "in however many parts it filled"

    trading(act)


def test_a_resting_order_is_moved_under_its_own_reference(trading: Any) -> None:
    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.5) is None and at.state == "open"
        await working.reprice(at.low)
        assert (await ends(working)).ending == "filled"
        assert at.orders == 1
        assert intents.find(at.stage.state, working.recorded.order_ref).order.limit == at.low, "what it was moved to is what is shown of it"

    trading(act)


def test_a_cancel_ends_an_order_once_the_gateway_says_so(trading: Any) -> None:
    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        await working.cancel()
        await working.cancel()
        end = await ends(working)
        assert (end.ending, end.filled, at.state) == ("cancelled", 0.0, "cancelled")

    trading(act)


@pytest.mark.parametrize("by", ["us", "IB"])
def test_a_change_that_waits_for_its_turn_does_not_leave_once_the_order_is_cancelled(
    trading: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """At IB it would be a new order."""

    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.5) is None
        turn, waits = asyncio.Event(), asyncio.Event()
        bucket, take = at.connection.client.bucket, at.connection.client.bucket.take

        async def long() -> None:
            waits.set()
            await turn.wait()

        async def at_once() -> None:
            """IB can be reached."""

        written: list[int] = []
        monkeypatch.setattr(at.connection.client, "place", lambda order_id, *_order: written.append(order_id))
        monkeypatch.setattr(at.connection, "must_reach_ib", at_once)
        monkeypatch.setattr(bucket, "take", long)
        change = asyncio.ensure_future(working.reprice(at.low))
        await asyncio.wait_for(waits.wait(), 5)
        monkeypatch.setattr(bucket, "take", take)
        if by == "us":
            await working.cancel()
        else:
            await at.connection.client.cancel_order(working.recorded.order_id)
            assert (await ends(working)).ending == "cancelled"
        turn.set()
        left = await change
        assert (await ends(working)).ending == "cancelled"
        assert written == [] and left is False

    trading(act)


def test_a_change_that_waits_for_its_turn_does_not_leave_once_the_link_to_ib_is_lost(trading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At IB it may become a second order."""

    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.5) is None
        bucket, take = at.connection.client.bucket, at.connection.client.bucket.take

        async def until_lost() -> None:
            monkeypatch.setattr(bucket, "take", take)
            at.stage.gateway.faults.set("link-lost", seconds=30)
            async with asyncio.timeout(5):
                while not at.connection.link_lost:
                    await asyncio.sleep(0.01)

        async def at_once() -> None:
            """IB can be reached."""

        written: list[int] = []
        monkeypatch.setattr(at.connection.client, "place", lambda order_id, *_order: written.append(order_id))
        monkeypatch.setattr(at.connection, "must_reach_ib", at_once)
        monkeypatch.setattr(bucket, "take", until_lost)
        with pytest.raises(GatewayUnavailable, match="link to IB was lost"):
            await working.reprice(at.low)
        assert written == []

    trading(act)


def test_an_order_interrupted_on_its_way_has_not_left_and_is_ended_as_not_sent(trading: Any) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        gate = barrier.keep_shut(at.stage.home)  # it waits before it
        assert gate is not None
        with gate:
            sending = asyncio.ensure_future(at.desk.place(recorded))
            await asyncio.sleep(0.2)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert (at.state, at.orders) == ("not sent", 0)
        await at.sells()  # its claim is free again

    trading(act)


def test_a_halted_order_does_not_leave_and_is_ended_as_not_sent(trading: Any) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        latch.tighten(at.stage.home, TradingState.HALTED, "runaway", "ann")
        with pytest.raises(Halted, match="runaway"):
            await at.desk.place(recorded)
        assert (at.state, at.orders) == ("not sent", 0)
        await at.sells()  # its claim is free again

    trading(act)


def test_a_permit_lets_a_closing_order_pass_its_halt(trading: Any) -> None:
    async def act(at: Trading) -> None:
        known = latch.tighten(at.stage.home, TradingState.HALTED, "runaway", "ann")
        run = locks.begin_run(at.stage.home, "v6 close-all")
        at.desk.permit = permits.grant(at.stage.home, run.identity, "v6 close-all", [known])
        working = await at.desk.place(await at.sells(limit=999.0))
        latch.tighten(at.stage.home, TradingState.HALTED, "not even that", "ann")
        with pytest.raises(Halted, match="not even that"):
            await working.reprice(at.low)
        await working.cancel()
        assert (await ends(working)).ending == "cancelled"
        run.end()

    trading(act)


@pytest.mark.parametrize(
    "code", [103, 104, 105, 109, 110, 200, 201, 202, 321, 399, 404, 434, 460, 2109, 10043, 10058, 10147, 10148, 10268, 10349, 98765]
)
def test_a_code_about_an_order_that_lives_ends_nothing(trading: Any, code: int) -> None:
    """Whatever the libraries make of it: the gateway has the order, so it is followed to its real end and never sent again."""

    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("warn-orders", code=code, text="something about your order", count=1)
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.3) is None and at.state == "open"
        assert at.desk.heard.message(working.recorded.order_id) is not None
        assert await working.asked() is None
        await working.reprice(at.low)
        assert (await ends(working)).ending == "filled"
        assert at.orders == 1

    trading(act)


@pytest.mark.parametrize("first", ["status", "error"])
def test_a_rejection_carries_its_text_in_whichever_order_it_comes(trading: Any, first: str) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("reject-orders", code=201, text="Order rejected - reason: no", first=first)
        working = await at.desk.place(await at.sells())
        end = await ends(working)
        assert (end.ending, end.filled, at.state) == ("rejected", 0.0, "rejected")
        assert (end.code, "reason: no" in end.why) == (201, True)

    trading(act)


@pytest.mark.parametrize("status", ["PreSubmitted", "Inactive"])
def test_an_order_that_is_held_for_locate_lives(trading: Any, status: str) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("held-for-locate", status=status)
        working = await at.desk.place(await at.sells())
        assert await working.ended(0.5) is None
        at.stage.gateway.faults.clear("held-for-locate")
        assert (await ends(working)).ending == "filled"

    trading(act)


def test_an_end_that_was_heard_while_nobody_waited_is_recorded_when_it_is_asked_for(trading: Any) -> None:
    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells())
        async with asyncio.timeout(5):
            while at.desk.heard.end(working.recorded.order_id) is None:
                await at.desk.heard.change(1.0)
        assert at.state == "open"
        end = await working.asked()
        assert end is not None and (end.ending, at.state, working.end) == ("filled", "filled", end)

    trading(act)


def test_silence_is_asked_about(trading: Any) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("statuses-missing")
        working = await at.desk.place(await at.sells())
        assert await working.ended(0.5) is None
        end = await working.asked()
        assert end is not None and (end.ending, end.filled, at.state) == ("filled", 100.0, "filled")

    trading(act)


def test_a_cancel_that_crosses_a_fill_is_a_fill(trading: Any) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("cancels-cross-fills")
        working = await at.desk.place(await at.sells(limit=999.0))
        await working.cancel()
        assert (await ends(working)).ending == "filled"

    trading(act)


def test_a_cancel_that_is_not_answered_ends_nothing(trading: Any) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("stuck-cancelling")
        working = await at.desk.place(await at.sells(limit=999.0))
        await working.cancel()
        assert await working.ended(0.5) is None
        assert await working.asked() is None and at.state == "open"

    trading(act)


def test_a_gateway_that_has_lost_ib_is_not_believed(trading: Any) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("statuses-missing")
        working = await at.desk.place(await at.sells(limit=999.0))
        at.stage.gateway.faults.set("link-lost")
        await asyncio.sleep(0.1)
        with pytest.raises(GatewayUnavailable):
            await working.asked()
        with pytest.raises(GatewayUnavailable):
            await working.reprice(at.low)
        assert at.state == "open" and at.stage.state.row("SELECT limit_price FROM attempts") == (999.0,)

    trading(act)


def test_a_gateway_that_manages_another_account_now_does_not_prove_an_order_dead(trading: Any) -> None:
    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.3) is None
        at.stage.gateway.faults.set("other-account")
        with pytest.raises(GatewayUnavailable, match="manages"):
            await working.asked()
        at.stage.gateway.faults.clear_all()
        assert await working.asked() is None and at.state == "open"

    trading(act)


def test_an_order_does_not_queue_behind_what_a_gateway_does_not_read(trading: Any) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        at.stage.gateway.faults.set("stop-reading")
        transport = at.connection.client._ib.client.conn.transport
        for _ in range(400):
            transport.write(b"\0\0\0\x0849\0001\0" * 10_000)
        assert transport.get_write_buffer_size()
        with pytest.raises(GatewayUnavailable, match="not sent"):
            await at.desk.place(recorded)
        assert at.state == "not sent"
        transport.abort()

    trading(act)


def test_an_order_of_another_connection_is_not_sent(trading: Any) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        other = await at.stage.connect("trading")
        with pytest.raises(Refused, match="client 90"):
            await Desk(other, at.stage.state, at.stage.home, NEW_YORK).place(recorded)
        await other.close()

    trading(act)


def test_ids_that_a_gateway_issues_anew_do_not_modify_an_order_that_works(trading: Any) -> None:
    async def act(at: Trading) -> None:
        await at.desk.place(await at.sells(50, limit=999.0))
        at.stage.gateway.faults.set("ids-roll-back")
        await at.again()
        (working,) = [order.order_id for order in at.stage.gateway.book.alive if order.client_id == 90]
        assert at.desk.next_order_id() > working

    trading(act)


def test_a_connection_that_is_gone_has_no_order_id(trading: Any) -> None:
    async def act(at: Trading) -> None:
        await at.connection.close()
        with pytest.raises(GatewayUnavailable, match="no order id"):
            at.desk.next_order_id()

    trading(act)


@pytest.mark.parametrize("lets_go", [True, False])
def test_an_order_that_finds_the_gate_shut_waits_for_the_halt_and_never_slips_past_it(
    trading: Any, monkeypatch: pytest.MonkeyPatch, lets_go: bool
) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        gate = barrier.keep_shut(at.stage.home)
        assert gate is not None
        if lets_go:
            asyncio.get_running_loop().call_later(0.6, gate.release)
            assert (await ends(await at.desk.place(recorded))).ending == "filled"
            return
        monkeypatch.setattr(orders, "GATE_WITHIN", 0.05)
        with gate, pytest.raises(barrier.Shut):
            await at.desk.place(recorded)
        assert (at.state, at.orders) == ("not sent", 0)

    trading(act)


def test_a_reason_that_comes_after_the_end_is_waited_for_and_a_fill_that_is_not_whole_is_no_end(trading: Any) -> None:
    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.3) is None
        heard, order_id = at.desk.heard, working.recorded.order_id
        heard._hear_status(OrderStatus(order_id, "Filled", 40, 60, 1.0, 5, 90, ""))
        assert heard.end(order_id) is None
        heard._hear_status(OrderStatus(order_id, "Inactive", 0, 100, None, 5, 90, ""))
        late = (classify(201, "no"), "Order rejected - reason: no")
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, heard._hear_message, order_id + 1, classify(399, "held"), "of another order")
        loop.call_later(0.05, heard._hear_message, order_id, *late)
        end = await ends(working)
        assert (end.ending, end.why, end.code) == ("rejected", late[1], 201)

    trading(act)
