"""v6 orders, over a real gateway: what works, what was refused and why, each order cancelled by its owner, unknown ones settled by word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from v6cli import events
from v6cli.broker import connection as connections
from v6cli.broker.connection import connect
from v6cli.errors import BadInput, OutcomeUnknown, Refused, UsageError
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.models import Contract, Order
from v6cli.runbook import orders
from v6cli.state import intents
from v6cli.state.database import open_state

from ..conftest import free_port


class Desk:
    """A stage with clients that place orders through the library."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.gateway = stage.as_client
        self.clients: list[Any] = []

    async def rests(self, client_id: int, reference: str = "resting") -> Any:
        """An order of this client that nobody fills."""
        connection = await connect(self.stage.settings, self.stage.home, "cancel", events.ignore, client_id=client_id)
        self.clients.append(connection)
        library, client = connection.client.library, connection.client
        order = library.LimitOrder("BUY", 1, 560.0, account="DU1234567", orderRef=reference, tif="GTC")
        before = len(self.stage.gateway.book.alive)
        client.place(client.next_order_id(), library.Stock("SPY", "SMART", "USD"), order)
        async with asyncio.timeout(5):
            while len(self.stage.gateway.book.alive) == before:
                await asyncio.sleep(0.02)
        return connection

    async def leave(self) -> None:
        for connection in self.clients:
            await connection.close()


@pytest.fixture
def desk(stage: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(connections, "WAIT_FOR_ID", 0.5)

    def run(act: Callable[[Desk], Awaitable[None]]) -> None:
        async def on_stage(prepared: Any) -> None:
            own = Desk(prepared)
            try:
                await act(own)
            finally:
                await own.leave()

        stage(on_stage)

    return run


def test_orders_are_found_by_number_or_reference(desk: Any) -> None:
    async def act(own: Desk) -> None:
        await own.rests(55)
        (found,) = await orders.listed(own.gateway)
        for which in (str(found.perm_id), "resting"):
            assert await orders.one(own.gateway, which) == [found]
        with pytest.raises(BadInput, match="no order '9' works"):
            await orders.one(own.gateway, "9")
        await own.rests(56)
        with pytest.raises(BadInput, match="2 orders work under 'resting'"):
            await orders.one(own.gateway, "resting")

    desk(act)


def test_the_order_of_a_client_that_has_gone_is_cancelled_in_its_place(desk: Any) -> None:
    async def act(own: Desk) -> None:
        connection = await own.rests(55)
        (found,) = await orders.listed(own.gateway)
        with pytest.raises(Refused, match="only it can cancel"):
            await orders.cancel(own.stage.home, own.gateway, found)
        await connection.close()
        assert "works no more" in str(await orders.cancel(own.stage.home, own.gateway, found))
        assert own.stage.gateway.book.alive == []

    desk(act)


def test_an_order_by_hand_is_cancelled_once_client_0_has_bound_it(desk: Any) -> None:
    async def act(own: Desk) -> None:
        own.stage.gateway.faults.set("orders-by-hand", of="SPY", quantity=1, limit=560.0)
        (found,) = await orders.listed(own.gateway)
        assert found.client_id == 0
        await orders.cancel(own.stage.home, own.gateway, found)
        assert own.stage.gateway.book.alive == []

    desk(act)


def test_no_name_is_not_the_name_of_an_order_by_hand(desk: Any) -> None:
    async def act(own: Desk) -> None:
        own.stage.gateway.faults.set("orders-by-hand", of="SPY", quantity=1, limit=560.0)
        (found,) = await orders.listed(own.gateway)
        assert found.order_ref == ""
        for which in ("", " "):
            with pytest.raises(BadInput, match="no order"):
                await orders.one(own.gateway, which)

    desk(act)


@pytest.mark.parametrize("fault", ["stuck-cancelling", "link-lost", "silent"])
def test_what_is_not_proven_is_unknown(desk: Any, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "CANCELLED_WITHIN", 0.5)

    async def act(own: Desk) -> None:
        connection = await own.rests(55)
        await connection.close()
        (found,) = await orders.listed(own.gateway)
        told = own.stage.gateway.desk

        def and_then(*args: Any, real: Any = told.cancel, **options: Any) -> Any:
            own.stage.gateway.faults.set(fault)
            return real(*args, **options)

        monkeypatch.setattr(told, "cancel", and_then)
        with pytest.raises(OutcomeUnknown):
            await orders.cancel(own.stage.home, own.gateway, found)
        own.stage.gateway.faults.clear_all()

    desk(act)


def test_a_look_that_cannot_be_had_is_unknown_and_not_nothing() -> None:
    shown = orders.table("nothing listens", [])
    assert "UNKNOWN" in shown.title and shown.empty == "none was sent by v6 yet"


def sent(home: Home, run: str = "run", con_id: int = 1, **end: Any) -> str:
    """An order of v6 that ended so; its reference."""
    with open_state(home) as state:
        order = Order("DU1234567", Contract(con_id, "SPY", "STK"), "SELL", 100, 1.0)
        recorded = intents.claim_close(state, order, run, 90, 7, "close", {con_id: 100.0}, intents.turn(state))
        if end:
            intents.end(state, recorded.intent, **end)
        return recorded.order_ref


@pytest.mark.parametrize(("working", "recent", "empty"), [
    ((), None, "no order works, and none was sent by v6 yet"),
    ((), "damaged", "no order works"),
    ("silent", "damaged", "nothing is known of any order"),
])  # fmt: skip
def test_nothing_is_said_of_what_is_not_known(working: Any, recent: Any, empty: str) -> None:
    assert orders.table(working, recent).empty == empty
    assert orders.to_cancel([]).empty == "no order works at the gateway"


def test_a_damaged_state_file_hides_no_order_that_works(desk: Any, v6: Any) -> None:
    async def act(own: Desk) -> None:
        await own.rests(55)
        home = own.stage.home
        own.stage.state.close()
        home.state.write_bytes(b"no SQLite file" * 1000)
        for beside in home.state.parent.glob("v6.sqlite-*"):
            beside.unlink()
        done = await asyncio.to_thread(v6, "--home", home, "orders", "-o", "json")
        assert done.returncode == 69 and "what became of v6's own orders is unknown" in done.stderr, done.stderr
        (row,) = json.loads(done.stdout)["rows"]
        assert row["reference"] == "resting" and "UNKNOWN" in done.stdout

    desk(act)


@pytest.fixture
def home(folder: Any) -> Home:
    return new_home.make(folder / "h", "demo", port=free_port())


def test_a_rejection_is_listed_with_what_to_do(v6: Any, home: Home) -> None:
    sent(home, ending="rejected", filled=0.0, note="Order rejected - reason: no", code=201)
    done = v6("--home", home, "orders", "-o", "json", check=69)
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["state"], row["reason and what to do" if "reason and what to do" in row else "remark"][:9]) == ("rejected", "201: Orde")
    assert "read IB's text" in done.stdout and "what works at the gateway is unknown" in done.stderr


def test_one_or_all(v6: Any, home: Home) -> None:
    with pytest.raises(UsageError):
        orders.check_choice("5", everything=True)
    assert "name one order" in v6("--home", home, "orders", "cancel", check=64).stderr
    for empty in ("", "  "):
        assert "an empty id names no order" in v6("--home", home, "orders", "cancel", empty, "--yes", check=64).stderr
