"""Recorded quotes in place of the random market, how often they are pushed, and the clock by which they pass."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from v6cli import clock
from v6cli.errors import BadConfiguration, BadInput
from v6cli.simulator import daemon
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.listings import LISTINGS, YEARS, listed, option, option_of_id
from v6cli.simulator.scenario import Scenario
from v6cli.simulator.server import Gateway

ROOT = Path(__file__).parent.parent.parent
TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
ACCOUNT = "DU1234567"
HEADER = "time,symbol,bid,ask,bid_size,ask_size,last\n"
QUOTES = """\
0,SPY,500.00,500.02,300,500,500.02
0,VIX,,,,,34
10,SPY,501.00,501.02,,,
10,SPY   261218P00480000,3.10,3.20,7,,3.15
20,SPY,,502.02,100,200,502.00
"""
SPY = listed(LISTINGS["SPY"])
PUT = option("SPY", datetime(2026, 12, 18).date(), 480.0, "P")
OTHER = option("SPY", datetime(2026, 12, 18).date(), 490.0, "P")


@pytest.fixture
def gateway(tmp_path, at):
    """A gateway that replays ``quotes`` from TUESDAY on, at a home time that stands still."""

    def make(quotes=QUOTES, more="", **how):
        (tmp_path / "quotes.csv").write_text(HEADER + quotes)
        (tmp_path / "mine.toml").write_text(
            f'{more}\n[replay]\nfile = "quotes.csv"\n' + "".join(f"{key} = {value!r}\n" for key, value in how.items())
        )
        at(rate=0)
        return Gateway(scenarios.load(tmp_path / "mine.toml"))

    return make


def seen(gateway, contract, seconds):
    (quote,) = gateway.quoter.quotes([contract], TUESDAY + timedelta(seconds=seconds))
    return quote


def test_quotes_are_those_recorded(gateway):
    there = gateway()
    first = seen(there, SPY, 0)
    assert (first.bid, first.ask, first.bid_size, first.ask_size, first.last) == (500.0, 500.02, 300, 500, 500.02)
    assert seen(there, SPY, 9.9).bid == 500.0
    second = seen(there, SPY, 10)
    assert (second.bid, second.ask, second.last) == (501.0, 501.02, 501.01)
    assert second.bid_size > 0
    third = seen(there, SPY, 20)
    assert (third.bid, third.bid_size, third.ask, third.last) == (-1, 0, 502.02, 502.0)
    assert seen(there, listed(LISTINGS["VIX"]), 5).last == 34


def test_an_option_of_its_own_is_shown_and_others_follow_the_model(gateway):
    there = gateway()
    own = seen(there, PUT, 12)
    assert (own.bid, own.ask, own.bid_size, own.last) == (3.10, 3.20, 7, 3.15)
    assert own.ask_size > 0
    assert own.model.price == pytest.approx(3.15)
    assert own.of_bid.volatility < own.model.volatility < own.of_ask.volatility
    before, after = seen(there, OTHER, 9), seen(there, OTHER, 10)
    assert before.model.spot == pytest.approx(500.01) and after.model.spot == pytest.approx(501.01)
    assert after.ask < before.ask, "a put is worth less when the underlying rises"
    assert seen(there, OTHER, 5).model.volatility > 0.25, "fear follows the recorded VIX"


def test_an_option_of_its_own_settles_by_its_underlying(gateway, at):
    quotes = "0,SPY,500,500.02,,,\n0,SPY   261124P00480000,4.90,5.10,1,1,\n"
    position = '[[positions]]\nsymbol = "SPY"\nquantity = -1\nright = "P"\nexpiry = "2026-11-24"\nstrike = 480.0\n'
    there = gateway(quotes, position, after="freeze")
    cash = there.account.cash
    at(TUESDAY + timedelta(days=1), rate=0)
    there.advance()
    assert (list(there.account.holdings), there.account.cash) == ([], cash)


def test_files_are_read_as_spreadsheets_save_them(tmp_path, at):
    (tmp_path / "quotes.csv").write_bytes(("\ufeff" + HEADER + QUOTES).replace("\n", "\r\n").encode())
    (tmp_path / "mine.toml").write_text('[replay]\nfile = "quotes.csv"\n')
    at(rate=0)
    assert seen(Gateway(scenarios.load(tmp_path / "mine.toml")), SPY, 10).bid == 501.0


@pytest.mark.parametrize(("after", "bid"), [("repeat", 500.0), ("freeze", -1)])
def test_the_end_begins_anew_or_stays(gateway, after, bid):
    there = gateway(after=after)
    assert seen(there, SPY, 29.9).ask == 502.02
    assert seen(there, SPY, 30.5).bid == bid
    assert seen(there, SPY, 300_041).ask == (501.02 if after == "repeat" else 502.02)


def test_what_was_before_leads_up_to_the_recording(gateway):
    there = gateway()
    grid = TUESDAY.timestamp() - np.array([0.5, 86_400.0, 86_400.0 * 5])
    near, *far = there.market.path("SPY", grid).tolist()
    assert near == pytest.approx(500.01, rel=1e-3)
    assert all(400 < price < 600 and price != near for price in far)
    assert 450 < seen(there, SPY, 0).close < 550


def test_strikes_stand_around_what_was_recorded(gateway):
    there = gateway(more='[[grids]]\ntrading_classes = ["SPY"]\nexpiries = ["monthly"]\ncount = 5\n')
    held = [holding.contract.strike for holding in there.account.holdings.values()]
    assert 440 < min(held) < max(held) < 560


def test_times_may_be_moments_with_their_offset(gateway):
    quotes = "2020-03-02T09:30:00-05:00,QQQ,500,500.02,1,1,\n2020-03-02T14:30:30+00:00,QQQ,510,510.02,1,1,\n"
    there = gateway(quotes)
    qqq = listed(LISTINGS["QQQ"])
    assert (seen(there, qqq, 29).bid, seen(there, qqq, 30).bid) == (500, 510)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("0,SPY,x,500,1,1,500\n", "line 2: bid: 'x' is not a number"),
        ("0,SPY,499,500,1,1,500\n0,SPY,499,-500,1,1,500\n", "line 3: ask: '-500'"),
        ("0,SPY,499,nan,1,1,500\n", "line 2: ask: 'nan'"),
        ("0,SPY,500,499,1,1,500\n", "line 2: ask: 499 is below the bid of 500"),
        ("0,SPY,499,,1,1,\n", "line 2: last: there is neither"),
        ("0,SPY,,0,1,1,500\n", "line 2: ask: a price of 0"),
        ("5,SPY,499,500,1,1,\n4,SPY,499,500,1,1,\n", "line 3: time: '4' is before"),
        ("soon,SPY,499,500,1,1,\n", "line 2: time: 'soon' is neither"),
        ("inf,SPY,499,500,1,1,\n", "line 2: time: 'inf' is no time"),
        ("2026-11-24T09:30:00,SPY,499,500,1,1,\n", "line 2: time: '2026-11-24T09:30:00' has no offset"),
        ("0,XYZ,499,500,1,1,\n", "line 2: symbol: 'XYZ' is not listed"),
        ("0,SPY   269918P00480000,1,2,1,1,\n", "line 2: symbol:"),
        ("0,SPY,499,500\n", "line 2: row: 4 fields under 7 columns"),
        ("", "no quotes in it"),
    ],
)
def test_bad_rows_are_refused_with_file_line_and_column(gateway, lines, said):
    with pytest.raises(BadConfiguration) as caught:
        gateway(lines)
    assert said in caught.value.message and "quotes.csv: " in caught.value.message


def test_bad_files_and_keys_are_refused(tmp_path):
    for header, said in (
        ("time,bid\n", "'symbol' is missing"),
        ("time,symbol,volume\n", "'volume' is unknown"),
        ("time,symbol,bid,bid\n", "twice"),
    ):
        (tmp_path / "other.csv").write_text(header + "0,SPY,1,1\n")
        with pytest.raises(BadConfiguration, match=said):
            scenarios.load(_scenario(tmp_path, 'file = "other.csv"'))
    for text, said in (
        ('file = "none.csv"', "cannot be read"),
        ('fil = "x"', "unknown key 'fil' in replay"),
        ('file = "x"\nafter = "stop"', "replay.after"),
    ):
        with pytest.raises(BadConfiguration, match=said):
            scenarios.load(_scenario(tmp_path, text))


def _scenario(folder, replay):
    path = folder / "bad.toml"
    path.write_text(f"[replay]\n{replay}\n")
    return path


def test_a_stock_of_the_scenario_can_be_replayed(gateway):
    there = gateway("0,ACME,20,20.02,1,1,\n", more='[[stocks]]\nsymbol = "ACME"\n')
    assert seen(there, listed(there.market.listings["ACME"]), 3).bid == 20


@pytest.mark.parametrize(("cadence", "fine"), [(0.05, True), (5, True), (0, False), (-1, False), (4000, False)])
def test_the_cadence_is_bounded(tmp_path, cadence, fine):
    path = tmp_path / "mine.toml"
    path.write_text(f"cadence = {cadence}\n")
    if fine:
        assert Gateway(scenarios.load(path))._quotes_every == cadence
        return
    with pytest.raises(BadConfiguration, match="cadence"):
        scenarios.load(path)


@pytest.mark.parametrize("cadence", [0.3, 1.2])
def test_quotes_are_pushed_at_the_cadence(serve, library, until, cadence):
    async def act(gateway, connect):
        client = await connect()
        stock = library.Stock("SPY", "SMART", "USD")
        await client.qualifyContractsAsync(stock)
        ticker = client.reqMktData(stock)
        await until(lambda: ticker.ask > 0)
        times = []
        ticker.updateEvent += lambda _ticker: times.append(asyncio.get_running_loop().time())
        clock.start(3600.0, clock.now(), clock.wall())  # so that every push has something new
        await until(lambda: len(times) >= 4)
        assert all(0.7 * cadence < late - early < 2 * cadence for early, late in itertools.pairwise(times[1:]))

    serve(Scenario(cadence=cadence), act, quotes_every=None)


def test_what_happens_to_orders_does_not_wait_for_the_next_quotes(serve, library, at, until):
    at()

    async def act(gateway, connect):
        client = await connect()
        trade = client.placeOrder(library.Stock("SPY", "SMART", "USD"), library.LimitOrder("BUY", 1, 500, tif="DAY", account=ACCOUNT))
        await until(lambda: trade.orderStatus.status == "Submitted")
        client.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled", seconds=5)

    serve(Scenario(cadence=60, cancel_seconds=1.0), act, quotes_every=None)


@pytest.mark.parametrize("replayed", [True, False])
def test_the_same_seed_and_the_same_messages_give_the_same_fills(serve, library, at, until, tmp_path, replayed):
    (tmp_path / "quotes.csv").write_text(HEADER + QUOTES)
    (tmp_path / "mine.toml").write_text("[account]\ncash = 1000000\n" + ('[replay]\nfile = "quotes.csv"\n' if replayed else ""))
    here = scenarios.load(tmp_path / "mine.toml")

    async def act(gateway, connect):
        client = await connect()
        stock = library.Stock("SPY", "SMART", "USD")
        put = library.Option("SPY", "20261218", 480 if replayed else 650, "P", "SMART", tradingClass="SPY")
        await client.qualifyContractsAsync(stock, put)
        (start,) = gateway.quoter.prices([gateway.chains.by_id(stock.conId)], TUESDAY)
        low = round(start.ask + (1.01 if replayed else -0.1), 2)
        for contract, action, quantity, price in ((stock, "BUY", 700, low), (put, "SELL", 3, 0), (stock, "SELL", 100, 0)):
            order = library.LimitOrder(action, quantity, price) if price else library.MarketOrder(action, quantity)
            order.tif, order.account = "DAY", ACCOUNT
            trade = client.placeOrder(contract, order)
            await until(lambda made=trade: made.orderStatus.status in {"Submitted", "Filled"})
        for seconds in range(5, 1800, 35):
            at(TUESDAY + timedelta(seconds=seconds), rate=0)
            await client.reqCurrentTimeAsync()
        return [
            (fill.exec_id, fill.contract.local_symbol, fill.side, fill.quantity, fill.price, fill.at)
            for fill in gateway.account.fills(clock.now())
        ]

    def once(pause):
        at(rate=0)
        return serve(here, act, quotes_every=pause)

    first, second = once(0.05), once(0.31)
    assert first == second
    assert {fill[2] for fill in first} == {"BOT", "SLD"}


def test_time_stands_still_at_a_rate_of_zero(at):
    at(rate=0)
    assert clock.now() == TUESDAY == clock.now()

    async def waits():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(clock.sleep(0.001), 0.1)

    asyncio.run(waits())


@pytest.mark.parametrize(("rate", "passes"), [("0", (0, 0)), ("1440", (300, 6000))])
def test_a_gateway_outside_a_home_lives_by_the_clock_it_is_given(raw, rate, passes):
    argv = [sys.executable, "-P", "-m", "v6cli", "gateway", "simulate", "--port", "0", "--at", "2026-11-24 10:30", "--rate", rate]
    process = subprocess.Popen(argv, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd="/", stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        port = int(line.split("127.0.0.1:")[1].split(",")[0])

        async def ask():
            async with raw(port, 1) as (reader, writer):
                told = []
                for _ in range(2):
                    writer.write(raw.frame(49, 1))
                    told.append(int((await raw.read_until(reader, 49))[2]))
                    await asyncio.sleep(0.5)
                return told

        first, second = asyncio.run(ask())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert passes[0] <= second - first <= passes[1]
    assert 0 <= first - TUESDAY.timestamp() <= (0 if rate == "0" else 1440 * 60)


def test_a_home_s_gateway_keeps_its_home_s_clock(v6, demo_home):
    refused = v6("--home", demo_home, "gateway", "simulate", "--rate", "10", check=64)
    assert "shares its home's clock" in refused.stderr
    v6("gateway", "simulate", "--at", "soon", check=65)
    v6("gateway", "simulate", "--rate", "1441", check=64)


@pytest.mark.parametrize("moment", ["2019-06-03 10:00", "2043-06-03 10:00", "9999-12-31T10:00-05:00"])
def test_a_gateway_does_not_begin_where_options_have_no_ids(moment):
    with pytest.raises(BadInput, match=r"years") as refused:
        daemon.run_clock(None, moment, None)
    assert "2020 to 2040" in refused.value.next_step


def test_the_options_of_the_last_year_keep_their_ids():
    expiry = date(max(YEARS) + 1, 12, 31)
    assert option_of_id(option("SPY", expiry, 650.0, "P").con_id).expiry == expiry


def test_a_rate_is_a_number(v6):
    assert "--rate" in v6("gateway", "simulate", "--rate", "nan", "--port", "0", check=64).stderr
