"""The account adds up, and its margin is what the positions can lose."""

from datetime import UTC, date, datetime

import pytest

from v6cli.simulator.account import Account
from v6cli.simulator.holdings import Holding
from v6cli.simulator.listings import LISTINGS, listed, option
from v6cli.simulator.margin import requirement
from v6cli.simulator.market import Market
from v6cli.simulator.scenario import ExecutionSpec, Scenario, StrategySpec, load
from v6cli.simulator.sessions import Exchange
from v6cli.simulator.valuation import values

NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
EXPIRY = date(2026, 12, 18)


def put(strike, quantity):
    return Holding(option("SPY", EXPIRY, float(strike), "P"), quantity, 100.0)


def call(strike, quantity):
    return Holding(option("SPY", EXPIRY, float(strike), "C"), quantity, 100.0)


def shares(quantity):
    return Holding(listed(LISTINGS["SPY"]), quantity, 600.0)


def margin(*holdings, price=2.0, spot=660.0):
    prices = [price if holding.contract.is_option else spot for holding in holdings]
    return requirement(holdings, prices, [spot] * len(holdings))


def test_a_vertical_needs_its_width():
    assert margin(put(640, -1), put(630, 1)) == 1000
    assert margin(put(640, -3), put(630, 3)) == 3000


def test_an_iron_condor_needs_its_wider_wing_once():
    assert margin(put(630, 2), put(640, -2), call(680, -2), call(695, 2)) == 3000


def test_a_debit_spread_and_a_long_option_need_nothing():
    assert margin(put(640, 1), put(630, -1)) == 0
    assert margin(call(700, 5)) == 0


def test_a_naked_put_needs_twenty_percent_less_what_it_is_out_of_the_money():
    assert margin(put(640, -1)) == pytest.approx(100 * (2 + 0.2 * 660 - 20))
    assert margin(put(400, -1), price=0.05) == pytest.approx(100 * (0.05 + 0.1 * 400))


def test_a_covered_call_needs_only_its_shares():
    assert margin(shares(100), call(680, -1)) == pytest.approx(0.25 * 66_000)
    assert margin(shares(100), call(680, -2)) == pytest.approx(0.25 * 66_000 + 100 * (2 + 0.2 * 660 - 20))


def test_shares_cover_calls_of_one_expiry_only_once():
    later = Holding(option("SPY", date(2027, 1, 15), 680.0, "C"), -1, 100.0)
    assert margin(shares(100), call(680, -1), later) == pytest.approx(0.25 * 66_000 + 100 * (2 + 0.2 * 660 - 20))


def test_a_ratio_spread_is_a_spread_and_a_naked_short():
    assert margin(put(640, -2), put(630, 1)) == pytest.approx(1000 + 100 * (2 + 0.2 * 660 - 20))


@pytest.mark.parametrize("name", ["default", "thousand", "degraded"])
def test_cash_and_positions_add_up_to_net_liquidation(name):
    loaded = load(name)
    market = Market(loaded.seed, Exchange(always=True))
    state = Account(loaded, market, NOW).standing(NOW)
    told = {tag: value for tag, value, currency in values(state, "X") if currency in {"USD", ""}}
    total = state.cash + sum(position.value for position in state.positions)
    assert float(told["NetLiquidation"]) == pytest.approx(total, abs=0.02)
    assert float(told["StockMarketValue"]) + float(told["OptionMarketValue"]) + float(told["CashBalance"]) == pytest.approx(total, abs=0.02)
    assert float(told["GrossPositionValue"]) == pytest.approx(sum(abs(position.value) for position in state.positions), abs=0.02)
    assert state.unrealized == pytest.approx(
        sum(position.value - position.holding.quantity * position.holding.average_cost for position in state.positions), abs=1.0
    )
    for position in state.positions:
        held = position.holding
        assert position.value == pytest.approx(held.quantity * position.price * held.contract.multiplier, abs=0.01)


def test_what_was_bought_today_earns_from_its_own_price():
    spec = StrategySpec("stock", "SPY", "x", quantity=10)
    bought = ExecutionSpec("09:31", "BOT", 10, order_ref="x", price=500.0)
    market = Market(1, Exchange(always=True))
    state = Account(Scenario(strategies=[spec], executions=[bought]), market, NOW).standing(NOW)
    assert state.daily == pytest.approx(10 * (state.positions[0].price - 500.0), abs=0.01)
