"""Faults of positions, executions and commissions, and what happens to the account from outside, as a real client sees it."""

import math

import pytest

from v6cli import clock
from v6cli.errors import BadConfiguration
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario

RICH = Scenario(account=AccountSpec(cash=1_000_000.0))
SHORT_CALL = PositionSpec("SPY", -2, right="C", expiry="2026-12-18", strike=650, order_ref="call")
HELD = Scenario(account=AccountSpec(cash=1_000_000.0), positions=[PositionSpec("SPY", 300, order_ref="stock"), SHORT_CALL])


@pytest.fixture
def spy(library):
    return library.Stock("SPY", "SMART", "USD")


@pytest.fixture
def market(library):
    return lambda action, quantity, **how: library.MarketOrder(action, quantity, **({"tif": "DAY", "orderRef": "ref/1"} | how))


async def settled(client):
    """Everything the gateway sent before this has arrived."""
    await client.reqCurrentTimeAsync()


def held_by(client):
    return {position.contract.localSymbol: position.position for position in client.positions()}


def consistent(gateway):
    """What the gateway states of its account adds up."""
    state = gateway.account.standing(clock.now())
    assert state.net_liquidation == pytest.approx(gateway.account.cash + sum(each.value for each in state.positions), abs=0.05)


async def asked(client):
    """What the account says in each answer: positions, portfolio, cash in account values and in the summary."""
    positions = {position.contract.symbol: position.position for position in await client.reqPositionsAsync()}
    values = {(value.tag, value.currency): value.value for value in client.accountValues()}
    summary = {value.tag: value.value for value in await client.accountSummaryAsync()}
    portfolio = {item.contract.symbol: item.position for item in client.portfolio()}
    return positions, portfolio, float(values["TotalCashValue", "USD"]), float(summary["TotalCashValue"])


def test_positions_and_account_values_lag_behind_fills(serve, spy, market, frozen, heard, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("positions-lag", by=20)
        pushed = heard(client, 61)
        trade = client.placeOrder(spy, market("BUY", 10))
        await until(lambda: trade.orderStatus.status == "Filled")
        frozen(19)
        assert await asked(await connect(3)) == ({}, {}, 1_000_000.0, 1_000_000.0)
        assert [fill.execution.shares for fill in await client.reqExecutionsAsync()] == [10], "executions do not lag"
        assert pushed == []
        frozen(21)
        await until(lambda: pushed)
        cash = pytest.approx(gateway.account.cash, abs=0.01)
        assert await asked(await connect(4)) == ({"SPY": 10}, {"SPY": 10}, cash, cash)

    serve(RICH, act, account_every=60.0)


def test_lagging_positions_follow_one_by_one_and_all_at_once_when_healed(serve, spy, market, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("positions-lag", by=20)
        for seconds in (0, 10, 15):
            frozen(seconds)
            trade = client.placeOrder(spy, market("BUY", 10))
            await settled(client)
            assert trade.orderStatus.status == "Filled"
        assert client.positions() == []
        frozen(21)
        await until(lambda: held_by(client) == {"SPY": 10})
        frozen(31)
        await until(lambda: held_by(client) == {"SPY": 20})
        gateway.faults.clear("positions-lag")
        await until(lambda: held_by(client) == {"SPY": 30})
        client.placeOrder(spy, market("SELL", 30))
        await until(lambda: client.positions() == [])

    serve(RICH, act)


def test_positions_lag_for_so_many_changes(serve, spy, market, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("positions-lag", by=20, count=1)
        client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        assert client.positions() == []
        assert not gateway.faults.held
        frozen(21)
        await until(lambda: held_by(client) == {"SPY": 10})
        client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        assert held_by(client) == {"SPY": 20}

    serve(RICH, act)


def test_executions_are_doubled_under_one_id(serve, spy, market, heard, frozen):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 11)
        gateway.faults.set("duplicate-executions", count=1)
        for _ in range(2):
            client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        first, again, other = told
        assert first == again
        assert other[14] != first[14]
        assert gateway.account.holdings[756733].quantity == 20
        assert len(await client.reqExecutionsAsync()) == 2

    serve(RICH, act)


def test_commissions_come_late_in_pushes_and_answers(serve, spy, market, heard, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 59)
        gateway.faults.set("late-commissions", by=30, count=1)
        trade = client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        frozen(29)
        (fill,) = await client.reqExecutionsAsync()
        assert told == []
        assert fill.commissionReport.execId == ""
        frozen(31)
        await until(lambda: told)
        assert trade.fills[0].commissionReport.commission == 1.0
        await client.reqExecutionsAsync()
        assert [fields[2] for fields in told] == [trade.fills[0].execution.execId] * 2
        client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        assert len(told) == 3

    serve(RICH, act)


@pytest.mark.parametrize("report", ["unset", "none"])
def test_commissions_are_never_known(serve, spy, market, heard, frozen, report):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 59)
        gateway.faults.set("unset-commissions", count=1, report=report)
        trade = client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        frozen(3600)
        await client.reqExecutionsAsync()
        assert [(fields[3], fields[5]) for fields in told] == ([("1.7976931348623157e+308",) * 2] * 2 if report == "unset" else [])
        assert trade.fills[0].commissionReport.commission in ({0.0} if report == "none" else {1.7976931348623157e308, 0.0})
        told.clear()
        client.placeOrder(spy, market("SELL", 10))
        await settled(client)
        assert [float(fields[3]) for fields in told] == [1.0]
        assert math.isfinite(float(told[0][5]))

    serve(RICH, act)


@pytest.mark.parametrize("closing", [False, True])
def test_an_execution_is_corrected_under_the_next_id(serve, spy, market, frozen, until, closing):
    async def act(gateway, connect):
        client = await connect()
        trade = client.placeOrder(spy, market("BUY", 10))
        if closing:
            trade = client.placeOrder(spy, market("SELL", 10))
        await until(lambda: trade.orderStatus.status == "Filled")
        cash, worth = gateway.account.cash, gateway.account.standing(clock.now())
        gateway.faults.set("corrected-executions", by=0.5)
        await until(lambda: len(trade.fills) == 2)
        old, new = (fill.execution for fill in trade.fills)
        assert (new.execId[:-2], old.execId[-2:], new.execId[-2:]) == (old.execId[:-2], "01", "02")
        assert (new.price, new.shares, new.side, new.permId) == (pytest.approx(old.price + 0.5), old.shares, old.side, old.permId)
        assert trade.orderStatus.avgFillPrice == pytest.approx(old.price + 0.5)
        gained = 5.0 if closing else -5.0
        assert gateway.account.cash == pytest.approx(cash + gained)
        state = gateway.account.standing(clock.now())
        assert state.unrealized + state.realized == pytest.approx(worth.unrealized + worth.realized + gained, abs=0.02)
        assert state.daily == pytest.approx(worth.daily + gained, abs=0.02)
        assert [fill.execution.execId for fill in await connect_and_ask(connect)][-1:] == [new.execId]
        consistent(gateway)
        gateway.faults.set("corrected-executions", by=-0.5)
        await until(lambda: len(trade.fills) == 3)
        assert trade.fills[-1].execution.execId.endswith(".03")
        assert gateway.account.cash == pytest.approx(cash)

    async def connect_and_ask(connect):
        return await (await connect(2)).reqExecutionsAsync()

    serve(RICH, act)


def test_an_order_by_hand_has_no_id_until_client_0_binds_it(serve, library, market, frozen, until):
    async def act(gateway, connect):
        other = await connect(7)
        gateway.faults.set("orders-by-hand", of="SPY", quantity=-3, limit=800.0)
        (listed,) = await other.reqAllOpenOrdersAsync()
        assert (listed.order.orderId, listed.order.clientId, listed.order.action, listed.order.totalQuantity) == (0, 0, "SELL", 3)
        assert listed.order.permId
        assert await other.reqOpenOrdersAsync() == []
        zero = await connect(0)
        (bound,) = zero.openTrades()
        assert (bound.order.orderId, bound.order.permId) == (-1, listed.order.permId)
        gateway.faults.set("orders-by-hand", of="call", limit=1.0)
        await until(lambda: len(zero.openTrades()) == 2)
        assert {order.order_id for order in gateway.book.alive} == {-1, -2}, "client 0 is there and binds what comes"
        for trade in zero.openTrades():
            zero.cancelOrder(trade.order)
        await until(lambda: not gateway.book.alive)
        with pytest.raises(BadConfiguration, match="refused: 110"):
            gateway.faults.set("orders-by-hand", of="SPY", limit=500.001)
        with pytest.raises(BadConfiguration, match="nothing is held of QQQQ"):
            gateway.faults.set("orders-by-hand", of="QQQQ")
        assert gateway.faults.met == {"orders-by-hand": 2}

    serve(HELD, act)


def test_a_trade_by_hand_shrinks_a_position_under_a_working_order(serve, library, spy, frozen, until):
    async def act(gateway, connect):
        client, master = await connect(1), await connect(2)
        client.placeOrder(spy, library.LimitOrder("SELL", 300, 800.0, tif="DAY"))
        await settled(client)
        gateway.faults.set("fills-by-hand", of=["stock"], quantity=250)
        await until(lambda: held_by(client)["SPY"] == 50)
        (fill,) = await client.reqExecutionsAsync()
        assert (fill.execution.clientId, fill.execution.orderId, fill.execution.shares, fill.execution.side) == (0, 0, 250, "SLD")
        assert fill.execution.liquidation == 0
        assert [seen.execution.execId for seen in master.fills()] == [fill.execution.execId]
        assert [order.remaining for order in gateway.book.alive] == [300]
        gateway.faults.set("fills-by-hand", of=["stock"], quantity=250)
        await until(lambda: "SPY" not in held_by(client))
        consistent(gateway)

    serve(HELD, act)


def test_a_short_call_is_assigned_early(serve, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        cash = gateway.account.cash
        gateway.faults.set("early-assignment", of=["call"], quantity=1)
        await until(lambda: held_by(client) == {"SPY": 200, "SPY   261218C00650000": -1})
        assert gateway.account.cash == cash + 65_000
        gateway.faults.set("early-assignment")
        await until(lambda: held_by(client) == {"SPY": 100})
        assert await client.reqExecutionsAsync() == []
        assert await client.reqCompletedOrdersAsync(False) == []
        consistent(gateway)
        with pytest.raises(BadConfiguration):
            gateway.faults.set("early-assignment")

    serve(HELD, act)


def test_options_on_indices_and_long_ones_are_not_assigned(serve):
    european = PositionSpec("SPX", -1, right="P", expiry="monthly", strike="spot-5%", trading_class="SPX")
    american = PositionSpec("SPY", 1, right="P", expiry="monthly", strike="spot-5%")

    async def act(gateway, _connect):
        with pytest.raises(BadConfiguration):
            gateway.faults.set("early-assignment")
        assert len(gateway.account.holdings) == 2

    serve(Scenario(positions=[european, american]), act)


def test_ib_closes_positions_by_itself_and_marks_it(serve, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("liquidation", of="call")
        await until(lambda: held_by(client) == {"SPY": 300})
        (fill,) = await client.reqExecutionsAsync()
        assert (fill.execution.liquidation, fill.execution.clientId, fill.execution.side) == (1, 0, "BOT")
        assert fill.commissionReport.realizedPNL != 0
        gateway.faults.set("liquidation")
        await until(lambda: client.positions() == [])
        assert gateway.account.standing(clock.now()).initial_margin == 0
        consistent(gateway)

    serve(HELD, act)


def test_what_happens_while_the_link_is_lost_is_learnt_when_it_is_back(serve, spy, market, heard, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("late-commissions", by=5)
        client.placeOrder(spy, market("BUY", 10))
        await settled(client)
        told = heard(client, 59, 61)
        gateway.faults.set("link-lost")
        gateway.faults.set("liquidation", of="SPY")
        gateway.faults.set("liquidation", of="QQQ")
        frozen(60)
        await client.reqExecutionsAsync()
        assert gateway.account.holdings[756733].quantity == 10
        assert [fields[0] for fields in told] == ["59"], "only what was asked for"
        gateway.faults.clear("link-lost")
        frozen(70)
        await until(lambda: client.positions() == [])
        assert [fill.execution.liquidation for fill in await client.reqExecutionsAsync()] == [0, 1]

    serve(RICH, act)


def test_nothing_that_happens_outside_is_undone_by_a_restart(serve, frozen, tmp_path):
    state = tmp_path / "gateway.json"

    async def before(gateway, connect):
        client = await connect()
        gateway.faults.set("liquidation", of="stock")
        await settled(client)

    async def after(gateway, connect):
        client = await connect()
        assert held_by(client) == {"SPY   261218C00650000": -2}
        assert [fill.execution.liquidation for fill in client.fills()] == [1]

    serve(HELD, before, state=state)
    serve(HELD, after, state=state)
