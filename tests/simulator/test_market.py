"""The market: the same for the same seed, without arbitrage, and on the exchange's hours."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6cli.simulator import noise
from v6cli.simulator.chains import Chains, Wanted, expiries, strikes
from v6cli.simulator.faults import Faults
from v6cli.simulator.listings import LISTINGS, OPTION_CLASSES, listed, option, option_of_id, tick
from v6cli.simulator.market import RATE, Market
from v6cli.simulator.quotes import NO_PRICE, Quoter
from v6cli.simulator.sessions import Exchange, Hours, new_york, new_york_exchanges, weekdays

TODAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)
EXPIRY = date(2026, 12, 18)


def market(*, seed=1, always=True):
    return Market(seed, Exchange(always=always))


@given(
    st.sampled_from(sorted(OPTION_CLASSES)),
    st.dates(date(2021, 1, 1), date(2041, 1, 1)),
    st.integers(1, 8000),
    st.sampled_from("CP"),
)
def test_a_contract_id_can_be_read_backwards(name, expiry, strike, right):
    contract = option(name, expiry, float(strike), right)
    assert 0 < contract.con_id < 1 << 31
    assert option_of_id(contract.con_id) == contract


def test_ids_of_listed_contracts_differ():
    chains = Chains(Exchange(always=True), LISTINGS)
    ids = [
        contract.con_id for symbol in ("SPY", "QQQ", "IWM", "SPX") for contract in chains.matching(Wanted(symbol=symbol, kind="OPT"), TODAY)
    ] + [listing.con_id for listing in LISTINGS.values()]
    assert len(ids) == len(set(ids)) > 30_000


def test_another_process_sees_the_same_prices():
    program = """
import numpy as np
from v6cli.simulator.market import Market
from v6cli.simulator.sessions import Exchange
print(Market(7, Exchange(always=True)).path("QQQ", np.array([1.79e9, 1.795e9])).tolist())
"""
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(market(seed=7).path("QQQ", np.array([1.79e9, 1.795e9])).tolist())


def test_another_seed_sees_other_prices():
    moments = np.array([1.79e9])
    assert market(seed=1).path("SPY", moments) != market(seed=2).path("SPY", moments)


def test_prices_walk_and_stay_near_where_they_began():
    """A day's change deviates by about what a listing says, and no seed wanders off."""
    days = np.arange(250) * 86_400.0 + 1.79e9
    walks = np.array([noise.walk(noise.stream(seed, "x"), days) for seed in range(40)])
    assert np.diff(walks).std() == pytest.approx(1.0, abs=0.1)
    assert np.abs(walks).max() < 7.7
    seconds = np.arange(3600) + 1.79e9
    assert np.diff(noise.walk(1, seconds)).std() < 0.02


def test_chains_have_dailies_weeklies_monthlies_and_quarterlies():
    exchange = Exchange(always=True)
    found = expiries(OPTION_CLASSES["SPY"], exchange, TODAY)
    assert found[0] == TODAY
    assert {date(2026, 11, 25), date(2027, 1, 8), date(2026, 12, 18), date(2026, 12, 31), date(2027, 3, 31), date(2027, 5, 21)} <= set(
        found
    )
    assert expiries(OPTION_CLASSES["SPX"], exchange, TODAY)[0] == date(2026, 12, 18)
    for family in OPTION_CLASSES.values():
        listed_strikes = np.array(strikes(family, LISTINGS[family.symbol]))
        gaps = np.diff(listed_strikes)
        near = np.abs(listed_strikes[1:] / LISTINGS[family.symbol].price - 1) < 0.1
        assert set(gaps[near].tolist()) == {family.step}
        assert gaps[0] == gaps[-1] == family.wide_step


def test_a_holiday_moves_the_monthly_expiry():
    def closed_on_good_friday(day):
        return None if day == date(2027, 3, 26) or day == date(2027, 1, 15) else weekdays(day)

    found = expiries(OPTION_CLASSES["SPX"], Exchange(always=False, calendar=closed_on_good_friday), TODAY)
    assert date(2027, 1, 14) in found
    assert date(2027, 1, 15) not in found


def test_two_classes_of_the_index_share_the_third_friday():
    chains = Chains(Exchange(always=True), LISTINGS)
    found = chains.matching(Wanted(symbol="SPX", kind="OPT", expiry="20261218", strike=6600.0, right="P"), TODAY)
    assert [contract.trading_class for contract in found] == ["SPX", "SPXW"]


def test_calls_and_puts_are_at_parity_and_chains_without_arbitrage():
    there = market()
    prices = strikes(OPTION_CLASSES["SPY"], LISTINGS["SPY"])
    at = np.array([NOON.timestamp()])
    calls, puts = (there.values([option("SPY", EXPIRY, strike, right) for strike in prices], at) for right in "CP")
    forward = calls.spot * np.exp(-LISTINGS["SPY"].dividend * calls.years) - np.array(prices) * np.exp(-RATE * calls.years)
    assert np.allclose(calls.price - puts.price, forward, atol=1e-8)
    slope = np.diff(calls.price) / np.diff(prices)
    assert (slope <= 1e-9).all()
    assert (np.diff(slope) >= -1e-7).all(), "a butterfly has a negative price"


def test_the_smile_is_higher_below_the_money():
    there = market()
    spot = float(there.path("SPY", np.array([NOON.timestamp()]))[0])
    found = there.values([option("SPY", EXPIRY, round(spot * part), "P") for part in (0.93, 1.0, 1.03)], np.array([NOON.timestamp()]))
    assert found.volatility[0] > found.volatility[1] > found.volatility[2]


def test_quotes_stand_on_the_tick_and_widen_out_of_the_money():
    there = market()
    contracts = [option("SPXW", EXPIRY, strike, right) for strike in strikes(OPTION_CLASSES["SPXW"], LISTINGS["SPX"]) for right in "CP"]
    quotes = Quoter(there, {}, Faults()).quotes(contracts, NOON)
    for quote in quotes:
        assert quote.ask > max(quote.bid, 0)
        for price in (quote.bid, quote.ask):
            if price > 0:
                steps = price / tick(109, price)
                assert steps == pytest.approx(round(steps), abs=1e-6)
    relative = [(quote.ask - quote.bid) / quote.ask for quote in quotes if quote.model and quote.bid > 0.5 and abs(quote.model.delta) < 0.5]
    deltas = [abs(quote.model.delta) for quote in quotes if quote.model and quote.bid > 0.5 and abs(quote.model.delta) < 0.5]
    assert np.corrcoef(deltas, relative)[0, 1] < -0.3


def test_a_closed_market_has_neither_quotes_nor_greeks_but_frozen_ones():
    quoter = Quoter(market(always=False), {}, Faults())
    contract = option("SPY", EXPIRY, 650.0, "P")
    (closed,) = quoter.quotes([contract], SUNDAY)
    (frozen,) = quoter.quotes([contract], SUNDAY, frozen=True)
    (live,) = quoter.quotes([contract], NOON)
    assert (closed.bid, closed.ask, closed.bid_size, closed.ask_size, closed.model) == (NO_PRICE, NO_PRICE, 0, 0, None)
    assert closed.close > 0
    assert frozen.bid > 0
    assert frozen.model is not None
    assert live.bid > 0
    assert live.model is not None
    (always,) = Quoter(market(always=True), {}, Faults()).quotes([contract], SUNDAY)
    assert always.bid > 0


def test_prices_stand_still_while_the_exchange_is_closed():
    there = market(always=False)
    contract = listed(LISTINGS["SPY"])
    assert there.marks([contract], SUNDAY) == there.marks([contract], SUNDAY + timedelta(hours=9))
    assert there.marks([contract], NOON) != there.marks([contract], NOON + timedelta(hours=1))


ASKED = st.tuples(
    st.sampled_from(
        [
            listed(LISTINGS["SPY"]),
            listed(LISTINGS["VIX"]),
            option("SPY", TODAY, 650.0, "P"),
            option("SPX", EXPIRY, 6600.0, "C"),
            option("SPXW", date(2026, 11, 25), 6600.0, "P"),
        ]
    ),
    # Near the edges of sessions and around the hour of expiry, on every kind of day.
    st.sampled_from([SUNDAY, NOON, NOON + timedelta(hours=4), NOON + timedelta(days=1), datetime(2026, 12, 18, 14, 30, tzinfo=UTC)]),
    st.integers(-30_000, 30_000),
    st.booleans(),
)


@given(st.booleans(), st.lists(ASKED, min_size=2, max_size=12))
def test_what_is_remembered_is_what_would_be_found_anew(always, asked):
    faults = Faults()
    lived = market(always=always)
    quoter = Quoter(lived, {}, faults)
    for contract, moment, seconds, disturbed in asked:
        now, new = moment + timedelta(seconds=seconds), market(always=always)
        faults.set("no-bid", of=contract.symbol) if disturbed else faults.clear_all()
        for liquid in (False, True):
            assert lived.exchange.session_at(contract, now, liquid=liquid) == new.exchange.session_at(contract, now, liquid=liquid)
        assert lived.exchange.last_traded(contract, now) == new.exchange.last_traded(contract, now)
        assert lived.marks([contract], now) == new.marks([contract], now)
        assert quoter.prices([contract], now) == Quoter(new, {}, faults).prices([contract], now)


def hours(contract, *, always=False, liquid=False, calendar=weekdays):
    return Exchange(always=always, calendar=calendar).in_ib_words(contract, TODAY, liquid=liquid).split(";")


def test_hours_in_ib_words():
    spy, put = listed(LISTINGS["SPY"]), option("SPY", EXPIRY, 650.0, "P")
    assert hours(spy)[0] == "20261124:0400-20261124:2000"
    assert hours(spy, liquid=True)[0] == "20261124:0930-20261124:1600"
    assert hours(put)[0] == "20261124:0930-20261124:1615"
    assert hours(put)[-1] == "20261129:CLOSED"
    assert hours(option("SPXW", EXPIRY, 6600.0, "P"))[:2] == ["20261123:2015-20261124:0925", "20261124:0930-20261124:1700"]
    assert hours(listed(LISTINGS["VIX"]), liquid=True)[0] == "20261124:0930-20261124:1615"
    assert hours(spy, always=True) == [f"202611{day}:0000-202611{day + 1}:0000" for day in range(24, 30)]


def test_expiring_index_options_stop_at_four_and_morning_ones_do_not_trade_that_day():
    assert hours(option("SPXW", TODAY, 6600.0, "P"))[1] == "20261124:0930-20261124:1600"
    assert hours(option("SPY", TODAY, 650.0, "P"))[0] == "20261124:0930-20261124:1615"
    assert hours(option("SPX", TODAY, 6600.0, "P"))[0] == "20261124:CLOSED"


def test_an_early_close_moves_every_session():
    early = hours(
        option("SPY", EXPIRY, 650.0, "P"), calendar=lambda day: Hours(closes=Hours().closes.replace(hour=13)) if day.weekday() < 5 else None
    )
    assert early[0] == "20261124:0930-20261124:1315"


def test_the_exchanges_keep_their_holidays():
    thanksgiving = hours(option("SPY", EXPIRY, 650.0, "P"), calendar=new_york_exchanges)
    assert thanksgiving[2:4] == ["20261126:CLOSED", "20261127:0930-20261127:1315"]
    assert new_york_exchanges(date(2060, 1, 5)) == Hours()


def test_the_night_session_belongs_to_the_next_day():
    exchange = Exchange(always=False)
    contract = option("SPXW", EXPIRY, 6600.0, "P")
    assert exchange.is_open(contract, new_york(date(2026, 11, 22), Hours().opens.replace(hour=21)))  # Sunday evening
    assert not exchange.is_open(contract, new_york(date(2026, 11, 27), Hours().opens.replace(hour=21)))  # Friday evening
