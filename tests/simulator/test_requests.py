"""Every request, asked by the real client library over a real socket."""

import asyncio
import math
from datetime import UTC, date, datetime, timedelta

import pytest

from v6cli.models import Contract
from v6cli.simulator import history
from v6cli.simulator.answers.account import contract_fields
from v6cli.simulator.answers.order_messages import execution, open_order
from v6cli.simulator.listings import LISTINGS, listed
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.scenario import AccountSpec, ExecutionSpec, OrderSpec, PositionSpec, Scenario, StrategySpec
from v6cli.simulator.server import Gateway
from v6cli.simulator.subscriptions import BarRequest

ACCOUNT = "DU1234567"
TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)


def spy_put(library):
    return library.Option("SPY", "20261218", 650, "P", "SMART", tradingClass="SPY")


def errors_of(client):
    found = []
    client.errorEvent += lambda id_, code, text, _contract: found.append((id_, code, text))
    return found


def test_connecting_learns_positions_portfolio_and_account(serve, at):
    at(rate=1e-9)  # values and portfolio arrive in two answers: time stands still between them

    async def act(gateway, connect):
        client = await connect()
        held = gateway.account.holdings
        assert client.managedAccounts() == [ACCOUNT]
        assert {position.contract.conId: position.position for position in client.positions()} == {
            key: holding.quantity for key, holding in held.items()
        }
        assert {position.contract.conId: position.avgCost for position in client.positions()} == {
            key: holding.average_cost for key, holding in held.items()
        }
        values = {row.tag: float(row.value) for row in client.accountValues(ACCOUNT) if row.currency == "USD" and row.tag != "Currency"}
        assert values["NetLiquidation"] == pytest.approx(
            values["TotalCashValue"] + sum(item.marketValue for item in client.portfolio()), abs=0.02
        )
        assert {item.contract.conId for item in client.portfolio()} == set(held)

    serve("default", act)


@pytest.mark.parametrize("name", ["thousand", "awkward", "degraded"])
def test_every_packaged_scenario_can_be_connected_to(serve, name):
    async def act(gateway, connect):
        client = await connect()
        assert len(client.positions()) == len(client.portfolio()) == len(gateway.account.holdings)

    serve(name, act, account_every=60.0)


def test_account_values_go_on_coming(serve, until):
    async def act(_gateway, connect):
        client = await connect()
        seen = []
        client.updatePortfolioEvent += seen.append
        await until(lambda: len(seen) > 40)

    serve("default", act)


def test_the_account_summary_has_what_was_asked(serve):
    async def act(_gateway, connect):
        client = await connect()
        rows = {row.tag: row for row in await client.accountSummaryAsync()}
        assert rows["NetLiquidation"].currency == "USD"
        assert float(rows["NetLiquidation"].value) > 200_000
        assert "ExcessLiquidity" in rows
        assert "Cushion" in rows

    serve("default", act)


def test_several_accounts_are_told_apart(serve, until):
    async def act(_gateway, connect):
        client = await connect(account=ACCOUNT)
        assert client.managedAccounts() == [ACCOUNT, "DU7654321"]
        assert {position.account for position in client.positions()} == {ACCOUNT}
        rows = {(row.account, row.tag): row.value for row in client.accountValues() if row.currency == "USD"}
        assert float(rows["DU7654321", "NetLiquidation"]) == 0

        rows = {name: client.reqPnL(name) for name in (ACCOUNT, "DU7654321")}
        await until(lambda: not any(math.isnan(row.dailyPnL) for row in rows.values()))
        assert (rows[ACCOUNT].unrealizedPnL != 0, rows["DU7654321"].unrealizedPnL) == (True, 0)

    serve(Scenario(account=AccountSpec(others=["DU7654321"]), positions=[PositionSpec("SPY", 10)]), act)


def test_profit_and_loss_of_account_and_position(serve, until):
    async def act(gateway, connect):
        client = await connect()
        con_id = next(iter(gateway.account.holdings))
        total, single = client.reqPnL(ACCOUNT), client.reqPnLSingle(ACCOUNT, "", con_id)
        await until(lambda: not math.isnan(total.dailyPnL) and not math.isnan(single.value))
        assert single.position == gateway.account.holdings[con_id].quantity
        assert single.value == pytest.approx(
            single.unrealizedPnL + single.position * gateway.account.holdings[con_id].average_cost, abs=0.02
        )
        client.cancelPnL(ACCOUNT)
        client.cancelPnLSingle(ACCOUNT, "", con_id)
        await until(lambda: gateway.clients[1].pnl == {})

    serve("default", act)


def test_the_profit_and_loss_of_a_position_that_is_closed_is_told(serve, library, until):
    async def act(gateway, connect):
        client = await connect()
        (holding,) = gateway.account.holdings.values()
        single = client.reqPnLSingle(ACCOUNT, "", holding.contract.con_id)
        await until(lambda: single.position == 10)
        sold = client.placeOrder(library.Stock("SPY", "SMART", "USD"), library.MarketOrder("SELL", 10, tif="DAY"))
        await until(lambda: single.position == 0)
        assert (single.value, single.unrealizedPnL) == (0, 0)
        assert single.realizedPnL == pytest.approx(sold.fills[0].commissionReport.realizedPNL, abs=0.01)

    serve(Scenario(positions=[PositionSpec("SPY", 10)]), act)


def test_contract_details_by_description_and_by_id(serve, library, at):
    at()

    async def act(_gateway, connect):
        client = await connect()
        (details,) = await client.reqContractDetailsAsync(spy_put(library))
        contract = details.contract
        assert (contract.strike, contract.right, contract.multiplier, contract.localSymbol) == (650.0, "P", "100", "SPY   261218P00650000")
        assert (details.minTick, details.timeZoneId, details.underConId) == (0.01, "US/Eastern", 756733)
        assert len(details.marketRuleIds.split(",")) == len(details.validExchanges.split(","))
        assert details.tradingHours.split(";")[0] == "20261124:0000-20261125:0000"
        (again,) = await client.reqContractDetailsAsync(library.Contract(conId=contract.conId))
        assert again.contract == contract
        (index,) = await client.reqContractDetailsAsync(library.Index("SPX", "CBOE"))
        assert (index.contract.conId, index.longName) == (416904, "S&P 500 STOCK INDEX")

    serve("default", act)


def test_a_partial_description_finds_several_and_a_wrong_one_none(serve, library, at):
    at()

    async def act(_gateway, connect):
        client = await connect()
        heard = errors_of(client)
        both = await client.reqContractDetailsAsync(library.Option("SPX", "20261218", 6600, "C", "SMART"))
        assert [details.contract.tradingClass for details in both] == ["SPX", "SPXW"]
        month = await client.reqContractDetailsAsync(library.Option("IWM", "202612", 240, "C", "SMART"))
        assert len(month) > 5
        assert await client.reqContractDetailsAsync(library.Option("SPY", "20261218", 651.37, "C", "SMART")) == []
        assert [code for _, code, _ in heard] == [200]

    serve("default", act)


def test_option_chains(serve, at):
    at()

    async def act(_gateway, connect):
        client = await connect()
        chains = await client.reqSecDefOptParamsAsync("SPX", "", "IND", 416904)
        by_class = {chain.tradingClass: chain for chain in chains if chain.exchange == "SMART"}
        assert set(by_class) == {"SPX", "SPXW"}
        assert set(by_class["SPX"].expirations) < set(by_class["SPXW"].expirations)
        assert 6600.0 in by_class["SPX"].strikes
        assert (by_class["SPXW"].multiplier, int(by_class["SPXW"].underlyingConId)) == ("100", 416904)

    serve("default", act)


def test_market_rules_symbols_and_the_time(serve, at):
    at()

    async def act(_gateway, connect):
        client = await connect()
        rule = await client.reqMarketRuleAsync(109)
        assert [(step.lowEdge, step.increment) for step in rule] == [(0.0, 0.05), (3.0, 0.1)]
        found = await client.reqMatchingSymbolsAsync("SP")
        assert [item.contract.symbol for item in found] == ["SPY", "SPX"]
        assert found[0].derivativeSecTypes == ["OPT", "BAG"]
        now = await client.reqCurrentTimeAsync()
        assert abs(now - datetime(2026, 11, 24, 15, 30, tzinfo=UTC)) < timedelta(seconds=30)

    serve("default", act)


def test_a_snapshot_has_quote_and_greeks(serve, library, at):
    at()

    async def act(_gateway, connect):
        client = await connect()
        option, stock, index = spy_put(library), library.Stock("SPY", "SMART", "USD"), library.Index("SPX", "CBOE")
        await client.qualifyContractsAsync(option, stock, index)
        quote, share, level = await client.reqTickersAsync(option, stock, index)
        assert 0 < quote.bid < quote.ask
        assert min(quote.bidSize, quote.askSize) > 0
        assert quote.modelGreeks.delta < 0 < quote.modelGreeks.gamma
        assert quote.modelGreeks.theta < 0 < quote.modelGreeks.vega
        assert quote.bidGreeks.impliedVol < quote.modelGreeks.impliedVol < quote.askGreeks.impliedVol
        assert quote.modelGreeks.undPrice == pytest.approx(share.last, abs=0.5)
        assert share.low <= share.last <= share.high
        assert level.last == pytest.approx(10 * share.last, rel=0.02)
        assert level.close > 0

    serve("default", act)


def test_a_stream_moves_until_it_is_cancelled(serve, library, until, at):
    at(rate=60.0)

    async def act(gateway, connect):
        client = await connect()
        contract = library.Stock("QQQ", "SMART", "USD")
        await client.qualifyContractsAsync(contract)
        ticker = client.reqMktData(contract, "106,221")
        seen = []
        ticker.updateEvent += lambda ticker: seen.append(ticker.last)
        await until(lambda: len(set(seen)) > 2, seconds=10)
        assert 0.05 < ticker.impliedVolatility < 0.5
        assert ticker.marketDataType == 1
        client.cancelMktData(contract)
        await until(lambda: gateway.clients[1].streams == {})

    serve("default", act)


def test_a_combo_is_quoted_from_its_legs(serve, library):
    async def act(gateway, connect):
        client = await connect()
        legs = [
            library.ComboLeg(conId=key, ratio=1, action="BUY" if holding.quantity > 0 else "SELL", exchange="SMART")
            for key, holding in gateway.account.holdings.items()
            if holding.order_ref == "condor-spy"
        ]
        combo = library.Contract(secType="BAG", symbol="SPY", exchange="SMART", currency="USD", comboLegs=legs)
        (ticker,) = await client.reqTickersAsync(combo)
        assert ticker.bid < ticker.ask < 0  # sold for a credit

    serve("default", act)


def test_the_hundred_lines_of_a_login_are_shared(serve, raw):
    async def act(gateway, connect):
        async with raw(connect.port, 1) as (_, one), raw(connect.port, 2) as (reader, other):
            for number in range(101):
                wanted = ("", "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", "")
                (one if number < 60 else other).write(raw.frame(1, 11, 1000 + number, *wanted, 0, "", 0, 0, ""))
                if number == 59:
                    one.write(raw.frame(49, 1))
                    await asyncio.sleep(0.2)
            await raw.read_until(reader, 4, 2, 1100, 101)
            assert [len(client.streams) for client in gateway.clients.values()] == [60, 40]

    serve("default", act, quotes_every=5.0, pacing=False)


def test_outside_the_exchange_s_hours_there_is_no_quote_but_a_frozen_one(serve, library, at):
    at(datetime(2026, 11, 22, 17, 0, tzinfo=UTC))  # a Sunday

    async def act(_gateway, connect):
        client = await connect()
        option = spy_put(library)
        await client.qualifyContractsAsync(option)
        (closed,) = await client.reqTickersAsync(option)
        assert closed.modelGreeks is None
        assert closed.bid == -1
        assert closed.bidSize == 0
        assert closed.close > 0
        client.reqMarketDataType(2)
        (frozen,) = await client.reqTickersAsync(option)
        assert frozen.marketDataType == 2
        assert 0 < frozen.bid < frozen.ask
        assert frozen.modelGreeks.delta < 0

    serve(Scenario(market="exchange"), act)


def test_history_daily_and_intraday(serve, library, at):
    at()

    async def act(_gateway, connect):
        client = await connect()
        stock = library.Stock("SPY", "SMART", "USD")
        await client.qualifyContractsAsync(stock)
        year = await client.reqHistoricalDataAsync(stock, "", "1 Y", "1 day", "TRADES", True)
        assert len(year) == 252
        assert year[-1].date == date(2026, 11, 24)
        assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in year)
        assert all(bar.volume > 0 for bar in year)
        hours = await client.reqHistoricalDataAsync(stock, "20261123 16:00:00 US/Eastern", "2 D", "1 hour", "MIDPOINT", True)
        assert [str(bar.date)[:16] for bar in hours[:2]] == ["2026-11-20 09:30", "2026-11-20 10:30"]
        assert len(hours) == 14
        assert hours[-1].close == pytest.approx(year[-2].close, abs=0.02)
        (sides,) = await client.reqHistoricalDataAsync(stock, "", "1 D", "1 day", "BID_ASK", True)
        assert sides.low < sides.high
        implied = await client.reqHistoricalDataAsync(stock, "", "1 M", "1 day", "OPTION_IMPLIED_VOLATILITY", True)
        assert all(0.05 < bar.close < 0.4 for bar in implied)
        schedule = await client.reqHistoricalScheduleAsync(stock, 3)
        assert [session.refDate for session in schedule.sessions] == ["20261120", "20261123", "20261124"]

    serve("default", act)


@pytest.mark.parametrize(
    "end",
    [
        "20261123 12:30:00",
        "20261123 12:30:00 US/Eastern",
        "20261123  12:30:00 America/Chicago",
        "20261123 18:30:00 Europe/Berlin",
        "20261124 02:30:00 Asia/Tokyo",
        "20261123-17:30:00",
        "20261123 17:30:00 UTC",
        "12:30:00",
    ],
)
def test_history_ends_when_its_zone_says(serve, library, at, end):
    at(datetime(2026, 11, 23, 20, 0, tzinfo=UTC) if end[2] == ":" else TUESDAY)

    async def act(_gateway, connect):
        client = await connect()
        stock = library.Stock("SPY", "SMART", "USD")
        await client.qualifyContractsAsync(stock)
        bars = await client.reqHistoricalDataAsync(stock, end, "3600 S", "30 mins", "TRADES", True)
        shown = [str(bar.date)[:16] for bar in bars]
        assert shown == (["2026-11-23 11:30", "2026-11-23 12:00"] if "Chicago" not in end else ["2026-11-23 12:30", "2026-11-23 13:00"])

    serve("default", act)


def test_history_is_kept_up_to_date(serve, library, until, at):
    at()

    async def act(gateway, connect):
        client = await connect()
        stock = library.Stock("SPY", "SMART", "USD")
        await client.qualifyContractsAsync(stock)
        bars = await client.reqHistoricalDataAsync(stock, "", "3600 S", "1 min", "TRADES", True, keepUpToDate=True)
        updates = []
        bars.updateEvent += lambda bars, new: updates.append(bars[-1].close)
        await until(lambda: len(updates) > 1, seconds=5)
        client.cancelHistoricalData(bars)
        await until(lambda: gateway.clients[1].bars == {})

    serve("default", act)


@pytest.mark.parametrize(
    ("end", "size", "duration", "what", "code"),
    [
        ("", "1 day", "1 D", "FEE_RATE", 162),
        ("", "7 mins", "1 D", "TRADES", 321),
        ("", "1 day", "1 fortnight", "TRADES", 321),
        ("yesterday", "1 day", "1 D", "TRADES", 10314),
        ("20261341 10:00:00", "1 day", "1 D", "TRADES", 10314),
        ("20261124", "1 day", "1 D", "TRADES", 10314),
        ("20261124 10:00:00 Mars/Base", "1 day", "1 D", "TRADES", 10314),
        ("20261124-15:30:00 UTC", "1 day", "1 D", "TRADES", 10314),
        ("00010101 00:00:00", "1 day", "1 D", "TRADES", 162),
        ("", "1 sec", "30 D", "TRADES", 162),
    ],
)
def test_history_that_does_not_exist_is_refused_with_its_code(serve, raw, end, size, duration, what, code):
    async def act(_gateway, connect):
        async with raw(connect.port, 1) as (reader, writer):
            writer.write(
                raw.frame(20, 8, 0, "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", "", 0, end, size, duration, 1, what, 1, 0, "")
            )
            await raw.read_until(reader, 4, 2, 8, code)

    serve("default", act)


def test_more_bars_than_ib_gives_are_refused_before_they_are_cut(serve, raw, monkeypatch):
    """A year of seconds took the gateway minutes, in which it served nobody."""
    monkeypatch.setattr(history, "_starts", None)

    async def act(_gateway, connect):
        async with raw(connect.port, 1) as (reader, writer):
            asked = [8, 0, "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", "", 0, "", "1 secs", "1 Y", 1, "TRADES", 1, 0, ""]
            writer.write(raw.frame(20, *asked))
            assert (await raw.read_until(reader, 4, 2, 8))[3] == "162"

    serve("default", act)


@pytest.mark.parametrize(("size", "duration"), [("1 secs", "90 S"), ("1 min", "3 D"), ("1 day", "1 M")])
def test_the_bar_that_is_growing_is_the_last_one(size, duration):
    gateway = Gateway(Scenario())
    asked = BarRequest(listed(LISTINGS["SPY"]), "", duration, size, "TRADES", regular_hours=True, epoch=False)
    every = history.bars(gateway.market, asked, TUESDAY)
    assert len(every) > 1 and history.growing(gateway.market, asked, TUESDAY) == every[-1:]


def test_the_long_messages_have_as_many_fields_as_the_clients_read():
    """120 for a plain open order, 31 for an execution: with another count, ibapi drops them without a word."""
    contract = Contract(1, "SPY", "STK")
    order = Order(1, 1, 1, ACCOUNT, contract, "BUY", 1, "LMT")
    fill = Execution("x", 1, 1, 1, ACCOUNT, contract, "BOT", 1, 1.0, datetime(2026, 11, 24, tzinfo=UTC))
    assert len(open_order(order)) == 120
    assert len(execution(-1, fill, contract_fields(contract))) == 31


BOOK = Scenario(
    strategies=[
        StrategySpec("iron_condor", "SPY", "condor", quantity=2, expiry="monthly>=14", opened="45dte", width=10),
        StrategySpec("vertical", "QQQ", "spread", expiry="monthly>=14", opened="45dte"),
        StrategySpec("stock", "IWM", "shares", quantity=50),
    ],
    orders=[
        OrderSpec("condor", client=1, price="50%"),
        OrderSpec("spread", client=7, type="STP LMT", price="320%", stop="300%", of=[0], status="PreSubmitted"),
        OrderSpec("shares", client=0, type="STP", stop="90%", order_ref=""),
    ],
    executions=[
        ExecutionSpec("09:45", "SLD", 1, order_ref="spread", realized=12.5),
        ExecutionSpec("10:15:30", "BOT", 50, symbol="IWM", client=0, price=240.0),
        ExecutionSpec("15:45", "BOT", 1, order_ref="spread"),
    ],
)


def test_asking_for_small_bars_too_often_is_a_pacing_violation(serve, library, at):
    async def act(_gateway, connect):
        client = await connect()
        heard = errors_of(client)

        async def ask(contract, size="5 secs", duration="60 S"):
            heard.clear()
            bars = await client.reqHistoricalDataAsync(contract, "", duration, size, "TRADES", True)
            return [code for _, code, _ in heard] or len(bars)

        spy, qqq = library.Stock("SPY", "SMART", "USD"), library.Stock("QQQ", "SMART", "USD")
        assert await ask(spy) == 12
        assert await ask(spy) == [162]  # the same within 15 seconds
        assert await ask(qqq) == 12
        assert [await ask(spy, "1 min", "600 S") for _ in range(8)] == [10] * 8  # longer bars are free
        assert [await ask(spy, duration=f"{count} S") for count in (65, 70, 75, 80)] == [13, 14, 15, 16]
        assert await ask(spy, duration="85 S") == [162]  # the sixth on one contract within 2 seconds
        at(datetime(2026, 11, 24, 18, 0, 20, tzinfo=UTC), rate=1e-9)
        assert await ask(spy) == 12

    at(datetime(2026, 11, 24, 18, 0, tzinfo=UTC), rate=1e-9)
    serve("default", act)


def test_open_orders_own_and_everybody_s(serve, at):
    at()

    async def act(gateway, connect):
        client = await connect(1)
        (own,) = client.openTrades()
        condor = [key for key, holding in gateway.account.holdings.items() if holding.order_ref == "condor"]
        assert (own.contract.secType, own.order.orderRef, own.order.action, own.order.totalQuantity) == ("BAG", "condor", "BUY", 2)
        assert [leg.conId for leg in own.contract.comboLegs] == condor
        assert own.order.permId > 0
        assert own.orderStatus.remaining == 2
        credit = -sum(gateway.account.holdings[key].average_cost * gateway.account.holdings[key].quantity for key in condor) / 200
        assert own.order.lmtPrice == pytest.approx(credit / 2, abs=0.01)
        everyone = {trade.order.clientId: trade for trade in await client.reqAllOpenOrdersAsync()}
        assert set(everyone) == {0, 1, 7}
        assert (everyone[7].order.orderType, everyone[7].orderStatus.status) == ("STP LMT", "PreSubmitted")
        assert everyone[7].order.auxPrice < everyone[7].order.lmtPrice
        assert (everyone[0].order.orderId, everyone[0].order.orderRef) == (0, "")

    serve(BOOK, act)


def test_client_zero_binds_orders_entered_by_hand(serve, at):
    at()

    async def act(_gateway, connect):
        client = await connect(0)
        (manual,) = client.openTrades()
        assert manual.order.orderId < 0
        assert manual.contract.symbol == "IWM"

    serve(BOOK, act)


def test_executions_of_the_day_with_commissions_and_completed_orders(serve, at, library):
    at()

    async def act(_gateway, connect):
        client = await connect(1)
        first, second = sorted(client.fills(), key=lambda fill: fill.execution.time)
        assert (first.execution.side, first.execution.orderRef, first.commissionReport.realizedPNL) == ("SLD", "spread", 12.5)
        assert first.execution.time == datetime(2026, 11, 24, 14, 45, tzinfo=UTC)
        assert first.commissionReport.commission == 0.65
        assert (second.execution.clientId, second.execution.price) == (0, 240.0)
        done = await client.reqCompletedOrdersAsync(False)
        assert {trade.order.permId for trade in done} == {first.execution.permId, second.execution.permId}
        assert len(await client.reqCompletedOrdersAsync(True)) == 1
        only = await client.reqExecutionsAsync(library.ExecutionFilter(symbol="IWM"))
        assert [fill.contract.symbol for fill in only] == ["IWM"]
        assert await client.reqExecutionsAsync(library.ExecutionFilter(time="20261124 11:00:00")) == []
        for since, exchange, found in (
            ("20261124 10:00:00 US/Eastern", "", ["IWM"]),
            ("20261124 15:00:00 UTC", "", ["IWM"]),
            ("20261124-15:00:00", "", ["IWM"]),
            ("20261124 16:00:00 UTC", "", []),
            ("10:00:00", "", ["IWM"]),
            ("20261124", "ARCA", ["IWM"]),
            ("", "CBOE", ["QQQ"]),
        ):
            fills = await client.reqExecutionsAsync(library.ExecutionFilter(time=since, exchange=exchange))
            assert [fill.contract.symbol for fill in fills] == found, since

    serve(BOOK, act)


def test_ids_are_never_used_twice_by_a_client(serve, raw):
    async def act(_gateway, connect):
        async with raw(connect.port, 5) as (reader, writer):
            assert int((await raw.read_until(reader, 9))[2]) == 1
            writer.write(raw.frame(9, 8, 41, 0, "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", "", 0, "", ""))
            await raw.read_until(reader, 52)
            writer.write(raw.frame(8, 1, 1))
            assert int((await raw.read_until(reader, 9))[2]) == 42
        async with raw(connect.port, 6) as (reader, _):
            assert int((await raw.read_until(reader, 9))[2]) == 1
        async with raw(connect.port, 5) as (reader, _):
            assert int((await raw.read_until(reader, 9))[2]) == 42

    serve("default", act)


def test_the_same_seed_answers_the_same(serve, at):
    seen = []

    async def act(_gateway, connect):
        client = await connect()
        seen.append([(position.contract.conId, position.position, position.avgCost) for position in client.positions()])

    for _ in range(2):
        at()
        serve("default", act)
    assert seen[0] == seen[1]


def test_an_unknown_request_is_an_error_and_no_crash(serve, raw):
    async def act(_gateway, connect):
        async with raw(connect.port, 5) as (reader, writer):
            writer.write(raw.frame(4711, 1, 2))
            assert (await raw.read_until(reader, 4, 2, -1, 505))[4].startswith("Fatal Error")
            writer.write(raw.frame(22, 17, "x"))
            await raw.read_until(reader, 4, 2, 17, 321)
            writer.write(raw.frame(9, 8, 31, "no number"))
            await raw.read_until(reader, 4, 2, 31, 320)
            writer.write(raw.frame(49, 1))
            await raw.read_until(reader, 49)

    serve("default", act)
