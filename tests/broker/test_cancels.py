"""Cancels, the list of everything that works, and standing in the place of a dead client."""

from __future__ import annotations

import asyncio

import pytest

from v6cli import events
from v6cli.broker import connection as module
from v6cli.broker import orders
from v6cli.broker.connection import connect
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import GatewayUnavailable, Refused


async def placed(stage, client_id: int, count: int = 1) -> None:
    """A client of the bare library places orders far from the market, and goes."""
    one = await connect(stage.settings, stage.home, "look", events.ignore, client_id=client_id)
    library, raw = one.client.library, one.client._ib
    for number in range(count):
        order = library.LimitOrder("BUY", 1, 100.0 + number, tif="GTC", orderRef=f"ref/{client_id}")
        raw.placeOrder(library.Stock("SPY", "SMART", "USD"), order)
    await raw.reqCurrentTimeAsync()
    await one.close()


def test_everything_is_every_clients_and_every_accounts_in_full(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("second-account")
        await placed(stage, 1, 2)
        await placed(stage, 90)
        stage.gateway.book.alive[-1].account = "DU7654321"  # the simulated desk trades for its own account alone
        stage.gateway.faults.set("orders-by-hand", of=["SPY"], limit=50.0, quantity=2)
        one = await stage.connect("cancel")
        listed = await orders.everything(one)
        await one.close()
        assert listed.complete and one.client_id == 91
        assert sorted((order.client_id, order.account) for order in listed.orders) == [
            (0, "DU1234567"), (1, "DU1234567"), (1, "DU1234567"), (90, "DU7654321"),
        ]  # fmt: skip
        full = next(full for full in listed.in_full if full["order"].get("clientId") == 90)
        assert full["order"]["tif"] == "GTC" and full["order"]["lmtPrice"] == 100.0 and full["contract"]["symbol"] == "SPY"

    stage(act)


def test_a_list_without_its_end_is_kept_as_incomplete(stage) -> None:
    async def act(stage) -> None:
        await placed(stage, 1, 2)
        stage.gateway.faults.set("withhold-end", answer="open-orders")
        one = await stage.connect("cancel")
        listed = await orders.everything(one)
        await one.close()
        assert not listed.complete and len(listed.orders) == 2

    stage(act, timeout=0.5)


def test_a_global_cancel_takes_everything_and_a_cancel_its_own(stage) -> None:
    async def act(stage) -> None:
        await placed(stage, 1, 2)
        await placed(stage, 90)
        own = await connect(stage.settings, stage.home, "trading", events.ignore)
        first, second, other = sorted((await orders.everything(own)).orders, key=lambda order: (order.client_id, order.order_id))
        await orders.cancel(own, first)
        await orders.cancel(own, first)  # IB says that it is gone already: information
        with pytest.raises(Refused, match="belongs to client 90"):
            await orders.cancel(own, other)
        assert {order.perm_id for order in (await orders.everything(own)).orders} == {second.perm_id, other.perm_id}
        await orders.cancel_everything(own)
        assert (await orders.everything(own)).orders == ()
        await stage.gateway.close()
        async with asyncio.timeout(5):
            while own.client.connected:  # until then it may be sent, and nobody says what became of it
                await asyncio.sleep(0.01)
        with pytest.raises(GatewayUnavailable, match="not sent"):
            await orders.cancel_everything(own)
        with pytest.raises(GatewayUnavailable, match="not sent"):
            await orders.cancel(own, first)
        await own.close()

    stage(act)


def test_a_dead_clients_place_is_free_once_its_last_byte_was_read(stage, monkeypatch) -> None:
    """Whoever is let in under its id sees what it sent last."""

    async def act(stage) -> None:
        monkeypatch.setattr(module, "WAIT_FOR_ID", 0.3)
        dying = await connect(stage.settings, stage.home, "trading", events.ignore)
        stage.gateway.faults.set("stop-reading", client=1)
        library = dying.client.library
        dying.client._ib.placeOrder(library.Stock("SPY", "SMART", "USD"), library.LimitOrder("BUY", 1, 100.0))
        await asyncio.sleep(0.05)
        await dying.close()
        with pytest.raises(ClientIdInUse, match="client id 1 is still in use"):
            await connect(stage.settings, stage.home, "cancel", events.ignore, client_id=1)
        stage.gateway.faults.clear("stop-reading")
        stand_in = await connect(stage.settings, stage.home, "cancel", events.ignore, client_id=1)
        assert [order.client_id for order in (await orders.everything(stand_in)).orders] == [1]
        await stand_in.close()

    stage(act)


def test_who_closes_waits_for_its_one_id(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        monkeypatch.setattr(module, "WAIT_FOR_ID", 0.3)
        first = await stage.connect("closing")
        assert first.client_id == 90
        with pytest.raises(ClientIdInUse, match="client id 90"):
            await stage.connect("closing")
        cancels = [await stage.connect("cancel") for _ in range(3)]
        assert [one.client_id for one in cancels] == [91, 92, 93]
        for one in (first, *cancels):
            await one.close()

    stage(act)
