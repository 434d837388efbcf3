"""v6 orders cancel: for whom it may speak, whom it does not wait for, and what filled before it came."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from v6cli import clock, locks
from v6cli.broker import connection as connections
from v6cli.broker import orders as broker
from v6cli.errors import GatewayUnavailable, OutcomeUnknown, Refused
from v6cli.models import Contract, WorkingOrder
from v6cli.runbook import cancelling, orders
from v6cli.runbook.consent import Consent
from v6cli.runbook.orders import Gone
from v6cli.runbook.shutdown_wish import Wish

from .test_orders import Desk, desk

__all__ = ["desk"]
ORDER = WorkingOrder(5, 1, 55, "DU1234567", Contract(1, "SPY", "STK"), "BUY", 3.0, 1.0, "LMT", "Submitted")


def everything(own: Desk, account: str = "") -> cancelling.Everything:
    return cancelling.Everything(own.gateway, Consent(own.stage.home, Wish(account=account), own.stage.settings))


def by_hand(own: Desk, **more: Any) -> None:
    own.stage.gateway.faults.set("orders-by-hand", of="SPY", quantity=1, **more)


def test_all_of_them_are_cancelled_at_once(desk: Any) -> None:
    async def act(own: Desk) -> None:
        await own.rests(55)
        by_hand(own, limit=560.0)
        every = everything(own)
        assert len(await every.look()) == 2
        assert cancelling.said_of(await every.cancel()) == "2 orders cancelled: none of them works any more"
        assert own.stage.gateway.book.alive == []

    desk(act)


@pytest.mark.parametrize("alone", [True, False])
def test_what_fills_before_the_cancel_is_not_called_cancelled(desk: Any, alone: bool) -> None:
    async def act(own: Desk) -> None:
        by_hand(own, limit=560.0)
        own.stage.gateway.faults.set("cancels-cross-fills")
        every = everything(own)
        (found,) = await every.look()
        gone = [await orders.cancel(own.stage.home, own.gateway, found)] if alone else await every.cancel()
        assert own.stage.gateway.book.alive == [] and [one.filled for one in gone] == [1.0]
        assert "FILLED 1 of 1" in cancelling.said_of(gone) and "cancelled" not in cancelling.said_of(gone)
        with pytest.raises(Refused, match="1 order filled before the cancel"):
            orders.check_cancelled(gone)

    desk(act)


def test_where_executions_cannot_be_asked_what_filled_is_unknown(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_connection: Any) -> Any:
        raise GatewayUnavailable("silence")

    async def act(own: Desk) -> None:
        by_hand(own, limit=560.0)
        monkeypatch.setattr(broker, "executions", silent)
        every = everything(own)
        await every.look()
        gone = await every.cancel()
        assert "WHAT FILLED OF IT IS UNKNOWN" in cancelling.said_of(gone)
        with pytest.raises(OutcomeUnknown, match="cancelled or filled"):
            orders.check_cancelled(gone)

    desk(act)


def test_what_had_filled_before_it_was_shown_is_not_held_against_the_cancel() -> None:
    orders.check_cancelled([Gone(ORDER, 1.0)])
    assert cancelling.said_of([Gone(ORDER, 1.0)]).startswith("1 order cancelled")
    with pytest.raises(Refused, match="FILLED 2 of 3"):
        orders.check_cancelled([Gone(ORDER, 2.0)])


def test_the_orders_of_another_account_go_only_with_a_typed_one(desk: Any, v6: Any) -> None:
    async def act(own: Desk) -> None:
        await own.rests(55)
        own.stage.gateway.faults.set("second-account")
        for account in ("", "DU7654321"):
            every = everything(own, account)
            await every.look()
            with pytest.raises(Refused, match="NO ORDER WAS CANCELLED"):
                await every.cancel()
        assert len(own.stage.gateway.book.alive) == 1
        line = ("--home", own.stage.home, "orders", "cancel", "--all", "--yes")
        done = await asyncio.to_thread(v6, *line)
        assert done.returncode == 77 and "nobody typed that account" in done.stderr, done.stderr
        done = await asyncio.to_thread(v6, *line, "--account", "DU1234567")
        assert done.returncode == 0 and "1 order cancelled" in done.stdout, done.stderr
        done = await asyncio.to_thread(v6, *line)
        assert "no order works at the gateway" in done.stdout

    desk(act)


def test_what_is_asked_for_is_the_account_where_others_are_reached(desk: Any) -> None:
    async def act(own: Desk) -> None:
        await own.rests(55)
        own.stage.gateway.faults.set("second-account")
        every = everything(own)
        await every.look()
        with pytest.raises(Refused, match="nobody to ask"):
            every.agree(None, yes=False)
        with pytest.raises(Refused, match="not confirmed"):
            every.agree(lambda _question: "y", yes=False)
        asked: list[str] = []
        every.agree(lambda question: asked.append(question) or "DU1234567", yes=False)  # type: ignore[func-returns-value]
        assert "DU1234567 and DU7654321" in asked[0]
        await every.cancel()
        assert own.stage.gateway.book.alive == []

    desk(act)


def test_an_order_of_another_account_is_listed_and_what_filled_of_it_unknown(desk: Any) -> None:
    async def act(own: Desk) -> None:
        async with own.gateway("cancel", None) as connection:
            foreign = WorkingOrder(5, 1, 55, "DU7654321", ORDER.contract, "BUY", 1.0, 0.0, "LMT", "Submitted")
            assert [one.filled for one in await orders.what_filled(connection, {foreign: clock.now()})] == [None]
        assert "DU7654321" in orders.to_cancel([foreign]).rows[0]

    desk(act)


def test_looks_that_hang_keep_no_cancel_waiting_and_are_named(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAIT_FOR_LOOK", 0.2)

    async def act(own: Desk) -> None:
        await own.rests(55)
        held = [locks.try_hold(own.stage.home.run / f"look-{number}.lock", "a look at the gateway") for number in (1, 2)]
        assert None not in held
        (found,) = await orders.one(own.gateway, "resting")
        assert await everything(own).look() == [found]
        with pytest.raises(GatewayUnavailable, match=r"a look at the gateway \(pid \d+\), a look at the gateway \(pid"):
            await orders.listed(own.gateway)
        for one in held:
            assert one is not None
            one.release()

    desk(act)


def test_an_account_goes_with_all_of_them_alone(v6: Any, demo_home: Any) -> None:
    assert "exclude each other" in v6("--home", demo_home, "orders", "cancel", "5", "--account", "DU1", check=64).stderr
