"""What outlives the gateway, what happens overnight, and that the same conversation has the same outcome."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from v6cli import clock
from v6cli.errors import BadConfiguration
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario, StockSpec
from v6cli.simulator.server import Gateway

TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
ROOT = Path(__file__).parent.parent.parent
SCENARIO = Scenario(account=AccountSpec(cash=100_000.0), positions=[PositionSpec("SPY", 10)])


def spy(library):
    return library.Stock("SPY", "SMART", "USD")


def test_account_orders_and_ids_outlive_the_gateway(serve, library, at, until, tmp_path):
    at(rate=1e-9)
    state = tmp_path / "gateway.json"

    async def before(gateway, connect):
        client = await connect()
        client.placeOrder(spy(library), library.MarketOrder("BUY", 3, tif="DAY", orderRef="kept"))
        waiting = client.placeOrder(spy(library), library.LimitOrder("BUY", 1, 500.0, tif="GTC"))
        await until(lambda: waiting.orderStatus.status == "Submitted" and client.fills())
        # What a client was told is already saved: the process may die now.
        saved = msgspec.json.decode(state.read_bytes())
        assert [order["perm_id"] for order in saved["alive"]] == [waiting.order.permId]
        return waiting.order.permId, client.fills()[0].execution.execId, gateway.account.cash, gateway.next_id(1)

    perm_id, exec_id, cash, next_id = serve(SCENARIO, before, state=state)

    async def after(gateway, connect):
        client = await connect()
        assert [trade.order.permId for trade in client.openTrades()] == [perm_id]
        assert [fill.execution.execId for fill in client.fills()] == [exec_id]
        assert [position.position for position in client.positions()] == [13]
        assert gateway.account.cash == cash
        assert client.client.getReqId() >= next_id
        trade = client.placeOrder(spy(library), library.MarketOrder("SELL", 13, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Filled")
        assert trade.order.permId > perm_id
        assert trade.fills[0].execution.execId > exec_id

    serve(SCENARIO, after, state=state)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b'{"format": 9}'])
def test_a_damaged_state_is_refused_by_name(tmp_path, content):
    path = tmp_path / "gateway.json"
    path.write_bytes(content)
    with pytest.raises(BadConfiguration, match=r"gateway\.json"):
        Gateway(SCENARIO, state=path)


def test_another_account_s_state_is_refused(tmp_path, at):
    at()
    path = tmp_path / "gateway.json"
    Gateway(SCENARIO, state=path).save()
    with pytest.raises(BadConfiguration, match="DU7654321"):
        Gateway(msgspec.structs.replace(SCENARIO, account=AccountSpec(id="DU7654321")), state=path)


def test_the_state_of_a_scenario_with_stocks_of_its_own_is_refused_without_them(tmp_path, at):
    at()
    path = tmp_path / "gateway.json"
    Gateway(Scenario(stocks=[StockSpec("ACME")], positions=[PositionSpec("ACME", 10)]), state=path).save()
    with pytest.raises(BadConfiguration, match="ACME") as refused:
        Gateway(Scenario(), state=path)
    assert f"move {path} aside" in refused.value.next_step


@contextlib.contextmanager
def simulating(state):
    """The port of a gateway in a process of its own, which dies of a kill -9."""
    argv = [sys.executable, "-P", "-m", "v6cli", "gateway", "simulate", "--port", "0", "--at", "2026-11-24 10:30", "--state", str(state)]
    process = subprocess.Popen(argv, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd="/", stderr=subprocess.PIPE, text=True)
    try:
        yield int(process.stderr.readline().split("127.0.0.1:")[1].split(",")[0])
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)


def test_the_state_that_a_command_line_names_outlives_a_kill_and_serves_one_gateway(library, v6, folder, until):
    state = folder / "gateway.json"

    async def place(port):
        client = library.IB()
        await client.connectAsync("127.0.0.1", port, 1)
        waiting = client.placeOrder(spy(library), library.LimitOrder("BUY", 1, 500.0, tif="GTC", orderRef="kept"))
        await until(lambda: waiting.orderStatus.status == "Submitted")
        client.disconnect()
        return waiting.order.permId

    async def look(port):
        client = library.IB()
        await client.connectAsync("127.0.0.1", port, 1)
        found = [(trade.order.permId, trade.order.orderRef) for trade in client.openTrades()]
        client.disconnect()
        return found

    with simulating(state) as port:
        perm_id = asyncio.run(place(port))
        refused = v6("gateway", "simulate", "--port", "0", "--state", state, check=77)
        assert str(state) in refused.stderr
    with simulating(state) as port:
        assert asyncio.run(look(port)) == [(perm_id, "kept")]
    refused = v6("gateway", "simulate", "--port", "0", "--state", state / "below.json", check=74)
    assert f"{state} is in the way" in refused.stderr and f"ls -ld {state}" in refused.stderr, "the next step is where the state is to be"
    state.write_bytes(b"[1, 2")
    assert f"move {state} aside" in v6("gateway", "simulate", "--port", "0", "--state", state, check=78).stderr


def settled(at, positions, days):
    """Cash and positions before and after some nights."""
    at(rate=1e-9)
    gateway = Gateway(Scenario(account=AccountSpec(cash=500_000.0), positions=positions))
    before = gateway.account.cash, {key: holding.quantity for key, holding in gateway.account.holdings.items()}
    marks = []
    for day in range(1, days + 1):
        at(TUESDAY + timedelta(days=day), rate=1e-9)
        gateway.floor.advance(clock.now())
        marks.append({holding.contract.local_symbol: holding.quantity for holding in gateway.account.holdings.values()})
    return before, gateway.account, marks


def test_options_in_the_money_turn_into_shares_and_others_vanish_after_the_weekend(at):
    friday = "2026-11-27"
    positions = [
        PositionSpec("SPY", -2, right="P", expiry=friday, strike="spot+5%"),
        PositionSpec("SPY", 1, right="C", expiry=friday, strike="spot+5%"),
    ]
    (cash, _), account, marks = settled(at, positions, 6)
    put, call = marks[0]
    assert marks[2] == {put: -2, call: 1}  # Friday
    assert marks[3] == {call: 1, "SPY": 200}  # Saturday: assigned
    assert marks[5] == {"SPY": 200}  # Monday
    (shares,) = account.holdings.values()
    assert account.cash == pytest.approx(cash - 200 * int(put[-8:]) / 1000)
    assert shares.average_cost == pytest.approx(int(put[-8:]) / 1000)
    assert account.fills(clock.now()) == []


def test_what_happened_while_the_link_was_lost_is_not_lost_with_the_gateway(serve, library, at, until, tmp_path):
    friday = TUESDAY + timedelta(days=3)
    scenario = Scenario(positions=[PositionSpec("SPY", -1, right="P", expiry="2026-11-27", strike="spot+5%")])
    state = tmp_path / "gateway.json"

    async def before(gateway, connect):
        client = await connect()
        gateway.faults.set("link-lost")
        at(friday + timedelta(days=1), rate=1e-9)
        waiting = client.placeOrder(spy(library), library.LimitOrder("BUY", 1, 500.0, tif="GTC"))
        await until(lambda: waiting.orderStatus.status == "PendingSubmit")

    async def after(gateway, connect):
        client = await connect()
        gateway.advance()
        assert [position.contract.secType for position in client.positions()] == ["STK"]

    at(friday, rate=1e-9)
    serve(scenario, before, state=state)
    serve(scenario, after, state=state)


def test_an_order_that_never_left_a_gateway_goes_with_it(serve, library, at, until, tmp_path):
    at(rate=1e-9)
    state = tmp_path / "gateway.json"

    def order(ref, **how):
        return library.LimitOrder("BUY", 1, 500.0, tif="GTC", orderRef=ref, **how)

    async def before(gateway, connect):
        client = await connect()
        sent = client.placeOrder(spy(library), order("sent"))
        client.placeOrder(spy(library), order("kept back", transmit=False))
        await until(lambda: sent.orderStatus.status == "Submitted")
        gateway.faults.set("link-lost")
        waiting = client.placeOrder(spy(library), order("waits for the link"))
        await until(lambda: waiting.orderStatus.status == "PendingSubmit" and waiting.order.permId)
        return waiting.order.orderId, waiting.order.permId

    order_id, perm_id = serve(SCENARIO, before, state=state)

    async def after(gateway, connect):
        client = await connect()
        assert [trade.order.orderRef for trade in await client.reqAllOpenOrdersAsync()] == ["sent"]
        assert await client.reqCompletedOrdersAsync(False) == []
        again = client.placeOrder(spy(library), order("again"))
        await until(lambda: again.orderStatus.status == "Submitted")
        assert again.order.orderId > order_id and again.order.permId > perm_id

    serve(SCENARIO, after, state=state)


def test_index_options_pay_cash(at):
    positions = [PositionSpec("SPX", -1, right="C", expiry="2026-11-27", strike="spot-3%", trading_class="SPXW")]
    (cash, _), account, marks = settled(at, positions, 4)
    assert len(marks[2]) == 1
    assert marks[3] == {}
    assert account.cash < cash - 5_000


@pytest.mark.parametrize("market", ["exchange", "always"])
def test_what_settles_in_the_morning_trades_no_more_and_is_carried_at_what_it_pays(at, market):
    at(datetime(2026, 12, 17, 15, 30, tzinfo=UTC), rate=0)
    positions = [PositionSpec("SPX", 1, right="C", expiry="2026-12-18", strike="spot-3%", trading_class="SPX")]
    gateway = Gateway(Scenario(market=market, positions=positions))
    (held,) = gateway.account.holdings.values()
    worth = []
    for hours in (23.5, 31, 35, 47):  # Friday at 10:00, 17:30 and 21:30, and Saturday, when it has been paid
        at(datetime(2026, 12, 17, 15, 30, tzinfo=UTC) + timedelta(hours=hours), rate=0)
        gateway.advance()
        assert gateway.exchange.session_at(held.contract, clock.now()) is None
        worth.append(gateway.account.standing(clock.now()).net_liquidation)
    assert gateway.account.holdings == {}
    assert worth == [pytest.approx(worth[-1], abs=0.01)] * 4


def test_fills_do_not_depend_on_how_often_the_gateway_looks(serve, library, at, until):
    def conversation(quotes_every, pause):
        at(rate=1e-9)

        async def act(gateway, connect):
            client = await connect()
            contract = library.Option("SPY", "20261218", 650, "P", "SMART", tradingClass="SPY")
            bought = client.placeOrder(contract, library.MarketOrder("BUY", 300, tif="GTC"))
            await until(lambda: bought.orderStatus.filled > 0)
            assert bought.orderStatus.remaining > 0
            for second in range(1, 30):
                at(TUESDAY + timedelta(seconds=second), rate=1e-9)
                await asyncio.sleep(pause)
            gateway.floor.advance(clock.now())
            return gateway.account.own_fills

        return serve(Scenario(account=AccountSpec(cash=1_000_000.0)), act, quotes_every=quotes_every)

    often, seldom = conversation(0.005, 0.02), conversation(60.0, 0)
    assert often == seldom
    assert len({fill.at for fill in often}) > 2
