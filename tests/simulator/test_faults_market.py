"""Faults of market data, each while it is set; and every fault there is, set at once with a conversation going on."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from v6cli import clock
from v6cli.simulator.faults import FAULTS
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario

ACCOUNT = "DU1234567"
TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
SPY = 756733
EVERYTHING = Scenario(account=AccountSpec(cash=1_000_000.0), positions=[PositionSpec("SPY", 10), PositionSpec("IWM", -2, "P", "monthly")])
HELD = Scenario(account=AccountSpec(cash=1_000_000.0), positions=[PositionSpec("SPY", 10)])


@pytest.fixture
def frozen(at):
    """Home time stands still until it is moved."""
    at(rate=1e-9)
    return lambda seconds: at(TUESDAY + timedelta(seconds=seconds), rate=1e-9)


def codes_of(client):
    found = []
    client.errorEvent += lambda _id, code, _text, _contract: found.append(code)
    return found


async def streams(client, library, until):
    """Tickers of SPY and QQQ, once they show something."""
    stocks = [library.Stock(symbol, "SMART", "USD") for symbol in ("SPY", "QQQ")]
    await client.qualifyContractsAsync(*stocks)
    tickers = [client.reqMktData(stock) for stock in stocks]
    await until(lambda: all(ticker.ask > 0 for ticker in tickers))
    return tickers


@pytest.mark.parametrize(("of", "meant"), [("SPY", ("SPY",)), (None, ("SPY", "QQQ"))])
def test_another_session_takes_the_market_data_that_is_meant(serve, library, frozen, until, of, meant):
    async def act(gateway, connect):
        client = await connect()
        heard = codes_of(client)
        tickers = await streams(client, library, until)
        before = [ticker.ask for ticker in tickers]
        gateway.faults.set("another-session", **({"of": of} if of else {}))
        await until(lambda: heard == [10197] * len(meant))
        frozen(7200)
        await asyncio.sleep(0.3)
        moved = [ticker.ask != ask for ticker, ask in zip(tickers, before, strict=True)]
        assert moved == [ticker.contract.symbol not in meant for ticker in tickers]
        gateway.faults.clear("another-session")
        await until(lambda: all(ticker.ask != ask for ticker, ask in zip(tickers, before, strict=True)))
        assert len(heard) == len(meant)

    serve(HELD, act)


@pytest.mark.parametrize(("of", "meant"), [("SPY", ("SPY",)), (None, ("SPY", "QQQ"))])
def test_stale_quotes_stay_as_they_were_while_the_market_goes_on(serve, library, frozen, until, of, meant):
    async def act(gateway, connect):
        client = await connect()
        tickers = await streams(client, library, until)
        before = [ticker.ask for ticker in tickers]
        gateway.faults.set("stale-quotes", **({"of": of} if of else {}))
        frozen(7200)
        await asyncio.sleep(0.3)
        moved = [ticker.ask != ask for ticker, ask in zip(tickers, before, strict=True)]
        assert moved == [ticker.contract.symbol not in meant for ticker in tickers]
        fresh = await connect(2)
        (seen,) = await fresh.reqTickersAsync(library.Contract(conId=SPY, exchange="SMART"))
        assert seen.ask == before[0]
        (real,) = gateway.quoter.prices([gateway.chains.by_id(SPY)], clock.now())
        assert real.ask != before[0]
        bought = client.placeOrder(tickers[0].contract, library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT))
        await until(lambda: bought.fills)
        assert bought.fills[0].execution.price == real.ask
        gateway.faults.clear("stale-quotes")
        await until(lambda: all(ticker.ask != ask for ticker, ask in zip(tickers, before, strict=True)))

    serve(HELD, act)


def test_without_quotes_prices_are_none_and_nothing_fills(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        spy, qqq = await streams(client, library, until)
        gateway.faults.set("no-quotes", of="SPY")
        await until(lambda: (spy.bid, spy.ask, spy.bidSize, spy.askSize) == (-1, -1, 0, 0))
        assert qqq.ask > 0
        trade = client.placeOrder(spy.contract, library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT))
        await until(lambda: trade.orderStatus.status == "Submitted")
        frozen(5)
        await asyncio.sleep(0.3)
        assert not trade.fills
        gateway.faults.clear("no-quotes")
        frozen(10)
        await until(lambda: spy.ask > 0 and trade.fills)
        (fresh,) = await (await connect(2)).reqTickersAsync(library.Contract(conId=SPY, exchange="SMART"))
        assert fresh.bid > 0

    serve(HELD, act)


@pytest.mark.parametrize("shown", [-1, 0])
def test_without_a_bid_nobody_buys_it(serve, library, raw, frozen, until, shown):
    async def act(gateway, connect):
        client = await connect()
        spy, qqq = await streams(client, library, until)
        gateway.faults.set("no-bid", of=["SPY", "IWM"], shown=shown)
        await until(lambda: not spy.bid > 0)
        assert spy.ask > 0 and qqq.bid > 0
        async with raw(connect.port, 9) as (reader, writer):
            writer.write(raw.frame(1, 11, 9, SPY, "", "", "", 0, "", "", "SMART", "", "USD", "", "", 0, "", 1, 0, ""))
            assert [float(field) for field in (await raw.read_until(reader, 1, 6, 9, 1))[4:6]] == [shown, 0]
        sold = client.placeOrder(spy.contract, library.MarketOrder("SELL", 1, tif="DAY", account=ACCOUNT))
        bought = client.placeOrder(spy.contract, library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT))
        await until(lambda: bought.fills)
        frozen(5)
        await asyncio.sleep(0.2)
        assert not sold.fills
        gateway.faults.clear("no-bid")
        frozen(10)
        await until(lambda: sold.fills and spy.bid > 0)

    serve(HELD, act)


def test_greeks_are_missing_of_everything_where_nothing_is_named(serve, library):
    async def act(gateway, connect):
        client = await connect()
        option = library.Option("SPY", "20261218", 650, "P", "SMART", tradingClass="SPY")
        await client.qualifyContractsAsync(option)
        for form, known in (({}, False), ({"of": "QQQ"}, True), ({"of": option.localSymbol}, False)):
            gateway.faults.set("missing-greeks", **form)
            (ticker,) = await (await connect(2)).reqTickersAsync(option)
            assert (ticker.modelGreeks is not None) is known and ticker.ask > 0
            gateway.faults.clear("missing-greeks")
            gateway.clients[2].drop("done")
            await asyncio.sleep(0.1)
        (ticker,) = await client.reqTickersAsync(option)
        assert ticker.modelGreeks is not None

    serve(HELD, act)


async def conversation(client, library, until):
    """All that a client does in a day, small."""
    async with asyncio.timeout(15):
        assert client.accountValues()
        stock = library.Stock("SPY", "SMART", "USD")
        await client.qualifyContractsAsync(stock)
        (ticker,) = await client.reqTickersAsync(stock)
        assert ticker.bid > 0
        option = library.Option("SPY", "20261218", 650, "P", "SMART", tradingClass="SPY")
        await client.qualifyContractsAsync(option)
        (ticker,) = await client.reqTickersAsync(option)
        assert ticker.modelGreeks.delta < 0
        bars = await client.reqHistoricalDataAsync(stock, "", "1 D", "1 hour", "TRADES", True)
        assert bars
        trade = client.placeOrder(stock, library.LimitOrder("BUY", 1, 500, tif="DAY", account=ACCOUNT))
        await until(lambda: trade.orderStatus.status == "Submitted")
        client.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        bought = client.placeOrder(stock, library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT))
        await until(lambda: bought.orderStatus.status == "Filled")
        assert await client.reqPositionsAsync()
        assert await client.reqExecutionsAsync()
        assert await client.reqCompletedOrdersAsync(False)
        assert await client.accountSummaryAsync()


async def trade_a_share(client, library, until):
    """Something for the faults of executions to happen to."""
    bought = client.placeOrder(library.Stock("SPY", "SMART", "USD"), library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT))
    await until(lambda: bought.orderStatus.status == "Filled")


@pytest.mark.parametrize("name", FAULTS)
def test_after_any_fault_is_healed_a_fresh_client_is_served_in_full(serve, library, at, until, name):
    at()

    async def act(gateway, connect):
        old = await connect(1)
        await trade_a_share(old, library, until)
        gateway.faults.set(name)
        with contextlib.suppress(TimeoutError, ConnectionError, AssertionError, ValueError, IndexError, AttributeError):
            async with asyncio.timeout(1.0):
                await conversation(old, library, until)
        gateway.faults.clear_all()
        assert gateway.faults.held == []
        await conversation(await connect(3), library, until)
        old.disconnect()
        await until(lambda: 1 not in gateway.clients)
        await conversation(await connect(1), library, until)

    serve(EVERYTHING, act, pacing=False)


def test_all_faults_at_once_and_healed_leave_nothing_behind(serve, library, at, until):
    at()

    async def act(gateway, connect):
        clients = [await connect(1), await connect(2)]
        await trade_a_share(clients[0], library, until)
        for name in sorted(FAULTS, key=lambda name: not FAULTS[name].moment):  # what happens, while it still can
            gateway.faults.set(name)
        await asyncio.sleep(0.5)
        gateway.faults.clear_all()
        for client in clients:
            client.disconnect()
        await until(lambda: not gateway.clients)
        await conversation(await connect(1), library, until)

    serve(EVERYTHING, act)
