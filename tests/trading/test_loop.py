"""v6-trading: it resolves what was left, executes on request, and lets nothing that opens work while trading is not active."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from v6cli import clock, control, latch, locks
from v6cli.broker.account import position_sizes
from v6cli.errors import BadInput, GatewayUnavailable, OutcomeUnknown, Refused
from v6cli.latch import TradingState
from v6cli.models import Contract, Order
from v6cli.runbook import senders
from v6cli.state import alerts, intents
from v6cli.trading import loop
from v6cli.trading.loop import SERVICE, Trading

from .conftest import Trading as Desk
from .test_refusals import refusing

ACTIVE, REDUCING, HALTED = TradingState


class Service:
    """v6-trading in this process, over its real socket."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.ensure_future(Trading(self.stage.home, self.stage.settings, self.stage.state).run())
        await self.until(lambda: 1 in self.stage.gateway.clients, "it has connected")

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def ask(self, verb: str, **arguments: object) -> Any:
        return await control.acall(self.stage.home.control_socket(SERVICE), verb, timeout=10, **arguments)

    def executes(self, action: str = "BUY", limit: float | None = None, quantity: float = 10) -> Awaitable[Any]:
        stock = next(one for one in self.stage.gateway.account.holdings.values() if one.contract.kind == "STK").contract
        order = Order("DU1234567", Contract(stock.con_id, stock.symbol, "STK"), action, quantity, limit)
        return asyncio.ensure_future(self.ask("execute", order=msgspec.to_builtins(order), purpose="roll"))

    @property
    def alive(self) -> list[Any]:
        return [order for order in self.stage.gateway.book.alive if order.client_id == 1]

    async def until(self, holds: Callable[[], object], what: str, within: float = 10.0) -> None:
        try:
            async with asyncio.timeout(within):
                while not holds():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"not within {within} s: {what}")


@pytest.fixture
def service(stage: Any) -> Any:
    def run(act: Callable[[Service], Awaitable[None]], **how: Any) -> None:
        async def on_stage(prepared: Any) -> None:
            own = Service(prepared)
            try:
                await act(own)
            finally:
                if own.task is not None:
                    await own.stop()

        stage(on_stage, **how)

    return run


def test_an_order_on_request_is_recorded_sent_and_followed_to_its_end(service: Any) -> None:
    async def act(own: Service) -> None:
        await own.start()
        said = await own.executes()
        assert (said["ending"], said["filled"]) == ("filled", 10.0)
        intent = intents.find(own.stage.state, ref(own))
        assert intent.state == "filled" and intent.purpose == "roll" and not intent.closing

    service(act)


def test_an_order_refused_without_a_status_is_told_of_once_the_lists_prove_it_dead(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(own: Service) -> None:
        await own.start()
        refusing(monkeypatch, 110, 1)
        async with asyncio.timeout(10):  # silent orders are asked for after twice that
            said = await own.executes(limit=near(own, 0.9))
        assert (said["ending"], said["filled"], said["why"]) == ("rejected", 0.0, "no")
        assert intents.find(own.stage.state, ref(own)).state == "rejected" and own.alive == []

    service(act)


def ref(own: Service) -> str:
    return str(own.stage.state.row("SELECT order_ref FROM attempts ORDER BY rowid DESC")[0])


@pytest.mark.parametrize("state", [REDUCING, HALTED])
def test_what_opens_is_cancelled_and_refused_while_trading_is_not_active(service: Any, state: TradingState) -> None:
    async def act(own: Service) -> None:
        await own.start()
        resting = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        latch.tighten(own.stage.home, state, "enough", "ann")
        assert (await resting)["ending"] == "cancelled"
        with pytest.raises(Refused, match="enough"):
            await own.executes()
        assert own.alive == [] and len([order for order in own.stage.gateway.book.ended if order.client_id == 1]) == 1

    service(act)


def near(own: Service, share: float) -> float:
    holding = next(one for one in own.stage.gateway.account.holdings.values() if one.contract.kind == "STK")
    (quote,) = own.stage.gateway.quoter.quotes([holding.contract], clock.now())
    return round(quote.last * share, 2)


def test_it_starts_in_any_state_and_takes_up_what_it_left(service: Any) -> None:
    """Killed while an order rested: started again it finds it, and a halt that came meanwhile cancels it."""

    async def act(own: Service) -> None:
        await own.start()
        asked = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        await own.stop()
        assert isinstance(await asyncio.gather(asked, return_exceptions=True), list) and own.alive
        latch.tighten(own.stage.home, HALTED, "enough", "ann")
        await own.start()
        await own.until(lambda: not own.alive, "the order is cancelled")
        await own.until(lambda: not intents.unsettled(own.stage.state), "its end is recorded")

    service(act)


def test_stopped_while_halted_it_takes_its_orders_back_first(service: Any) -> None:
    async def act(own: Service) -> None:
        await own.start()
        asked = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        latch.tighten(own.stage.home, HALTED, "enough", "ann")
        await own.stop()
        await asyncio.gather(asked, return_exceptions=True)
        assert own.alive == []

    service(act)


def test_a_cancel_by_its_number(service: Any) -> None:
    async def act(own: Service) -> None:
        await own.start()
        asked = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        with pytest.raises(BadInput, match="no order 77"):
            await own.ask("cancel", perm_id=77)
        assert (await own.ask("cancel", perm_id=own.alive[0].perm_id))["ending"] == "cancelled"
        assert (await asked)["ending"] == "cancelled"

    service(act)


def test_a_cancel_that_is_not_answered_is_unknown(service: Any) -> None:
    async def act(own: Service) -> None:
        await own.start()
        own.stage.gateway.faults.set("stuck-cancelling")
        asked = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        with pytest.raises(OutcomeUnknown, match="has not been answered"):
            await own.ask("cancel", perm_id=own.alive[0].perm_id)
        own.stage.gateway.faults.clear_all()
        asked.cancel()

    service(act)


def test_a_lost_connection_is_made_again_and_the_order_is_found(service: Any) -> None:
    async def act(own: Service) -> None:
        await own.start()
        asked = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        own.stage.gateway.faults.set("drop-connections")
        with pytest.raises(OutcomeUnknown):
            await asked
        await own.until(lambda: 1 in own.stage.gateway.clients, "it has connected again")
        await own.until(lambda: own.alive, "the order lives on")
        assert (await own.ask("cancel", perm_id=own.alive[0].perm_id))["ending"] == "cancelled"
        assert intents.unsettled(own.stage.state) == []

    service(act)


def test_it_settles_what_a_dead_close_left_under_its_own_id(service: Any, trading: Any) -> None:
    """A close that was killed: its order is cancelled in its place. One that lives is left alone."""

    async def act(own: Service) -> None:
        connection = await own.stage.connect("closing")
        dead = Desk(own.stage, connection)
        await dead.desk.place(await dead.sells(limit=999.0))
        await connection.close()
        await own.start()
        await own.until(lambda: not intents.unsettled(own.stage.state), "it is settled")
        assert not [order for order in own.stage.gateway.book.alive if order.client_id == 90]

    service(act)


def test_it_settles_what_a_close_leaves_that_dies_while_it_runs(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the client id meanwhile keeps nothing up: what opens is cancelled as soon as trading is not active."""
    monkeypatch.setattr(loop, "ASK_EVERY", 0.2)

    async def act(own: Service) -> None:
        await own.start()
        asked = own.executes(limit=near(own, 0.9))
        await own.until(lambda: own.alive, "the order rests")
        connection = await own.stage.connect("closing")
        dead = Desk(own.stage, connection)
        other = next(one for one in own.stage.gateway.account.holdings.values() if one.contract.is_option and one.quantity > 0).contract
        order = Order("DU1234567", other, "SELL", 1, 999.0)
        held = await position_sizes(connection)
        turn = intents.turn(own.stage.state)
        await dead.desk.place(intents.claim_close(own.stage.state, order, "dead", 90, dead.desk.next_order_id(), "close", held, turn))
        await asyncio.sleep(0.5)  # it waits for the client id
        latch.tighten(own.stage.home, HALTED, "enough", "ann")
        assert (await asked)["ending"] == "cancelled"
        await connection.close()
        await own.until(lambda: not intents.unsettled(own.stage.state), "it is settled")
        assert not own.stage.gateway.book.alive

    service(act)


def test_an_order_without_a_record_that_may_open_is_cancelled_while_halted(service: Any) -> None:
    async def act(own: Service) -> None:
        connection = await own.stage.connect("trading")
        library, client = connection.client.library, connection.client
        stock = next(one for one in own.stage.gateway.account.holdings.values() if one.contract.kind == "STK").contract
        for action, limit in (("BUY", near(own, 0.9)), ("SELL", near(own, 1.1))):
            order = library.LimitOrder(action, 10, limit, account="DU1234567", orderRef="from an older state")
            client.place(client.next_order_id(), library.Stock(stock.symbol, "SMART", "USD"), order)
        await own.until(lambda: len(own.alive) == 2, "both rest")
        await connection.close()
        latch.tighten(own.stage.home, HALTED, "enough", "ann")
        await own.start()
        await own.until(lambda: len(own.alive) == 1, "the one that opens is cancelled")
        assert own.alive[0].action == "SELL", "what reduces a position protects it"

    service(act)


def test_somebody_else_in_its_place_is_an_alert(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from v6cli.broker import connection as connections

    monkeypatch.setattr(connections, "WAIT_FOR_ID", 0.3)

    async def act(own: Service) -> None:
        other = await own.stage.connect("trading")
        own.task = asyncio.ensure_future(Trading(own.stage.home, own.stage.settings, own.stage.state).run())
        await own.until(lambda: [one for one in alerts.open_alerts(own.stage.state) if one.key == "trading-refused"], "the alert")
        with pytest.raises(GatewayUnavailable, match="not connected"):
            await own.executes()
        await other.close()

    service(act)


def test_it_is_known_as_a_sender_and_runs_once(service: Any) -> None:
    async def act(own: Service) -> None:
        await own.start()
        assert [run.what.split(" (")[0] for run in senders.find(own.stage.home)] == [senders.TRADING] == [SERVICE]
        with pytest.raises(Refused, match="runs already"):
            await Trading(own.stage.home, own.stage.settings, own.stage.state).run()
        await asyncio.sleep(0.05)  # that it was asked whether it runs has come to its end
        await own.stop()
        assert senders.find(own.stage.home) == [] and locks.living(own.stage.home) == []

    service(act)
