"""Scenario files: refused with a reason, relative to today, and the default one inside its limits."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from v6cli.errors import BadConfiguration
from v6cli.simulator import scenario
from v6cli.simulator.account import Account
from v6cli.simulator.holdings import stock_listing
from v6cli.simulator.listings import OPTION_CLASSES
from v6cli.simulator.market import Market
from v6cli.simulator.rules import expiry_of
from v6cli.simulator.scripted import working
from v6cli.simulator.sessions import Exchange, new_york_exchanges

NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)


def account(name, now=NOW, **changed):
    loaded = replace(scenario.load(name) if isinstance(name, str) else name, **changed)
    market = Market(
        loaded.seed,
        Exchange(always=loaded.market == "always", calendar=new_york_exchanges),
        [stock_listing(stock) for stock in loaded.stocks],
    )
    return Account(loaded, market, now), market


@pytest.mark.parametrize("name", ["default", "thousand", "awkward", "degraded"])
def test_packaged_scenarios_can_be_built(name):
    assert name in scenario.packaged()
    built, _ = account(name)
    assert built.holdings


def test_a_thousand_positions_are_a_thousand_contracts():
    built, _ = account("thousand")
    assert len(built.holdings) == 1000
    assert built.standing(NOW).excess_liquidity > 0


@pytest.mark.parametrize(
    ("text", "said", "allowed"),
    [
        ("markt = 'always'", "unknown key 'markt'", "market"),
        ("[account]\ncsh = 1", "unknown key 'csh' in account", "cash"),
        ("[[strategies]]\ntemplate = 'vertical'\nsymbol = 'SPY'\norder_ref = 'x'\nwdth = 3", "unknown key 'wdth' in strategies[", "width"),
        ("market = 'sometimes'", "Invalid enum value 'sometimes'", ""),
        ("[[faults]]\nname = 'no-such'", "there is no fault 'no-such'", "withhold-end"),
        ("[[faults]]\nname = 'withhold-end'\nanswr = 'positions'", "has no parameter 'answr'", "answer"),
        ("[[faults]]\nname = 'withhold-end'\nanswer = 'everything'", "cannot be 'everything'", "positions"),
        ("[[faults]]\nname = 'delay'\nby = -1", "by of delay cannot be -1", "not negative"),
        ("[[orders]]\ncloses = 'x'", "nothing was opened as 'x'", ""),
        ("seed = ", "not valid TOML", ""),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_key_and_choice(tmp_path, text, said, allowed):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadConfiguration) as caught:
        scenario.load(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message
    assert allowed in (caught.value.next_step or "")


def test_a_scenario_that_is_not_there_names_those_that_are():
    with pytest.raises(BadConfiguration) as caught:
        scenario.load("defualt")
    assert "default" in (caught.value.next_step or "")


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        ([scenario.PositionSpec("SPY", 1, "C", expiry="someday")], "positions[0]: 'someday' is no rule for an expiry"),
        ([scenario.PositionSpec("SPY", 1, "C", strike="near")], "'near' is no rule for a strike"),
        ([scenario.PositionSpec("SPY", 1, opened="45dte")], "a stock has no expiry"),
        ([scenario.PositionSpec("XYZ", 1)], "'XYZ' is not listed"),
    ],
)
def test_a_rule_that_means_nothing_names_its_position(positions, said):
    with pytest.raises(BadConfiguration) as caught:
        account(scenario.Scenario(positions=positions))
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        ("weekly", "2026-11-27"),
        ("weekly+2", "2026-12-11"),
        ("weekly-1", "2026-11-20"),
        ("monthly", "2026-12-18"),
        ("monthly+1", "2027-01-15"),
        ("monthly-1", "2026-11-20"),
        ("monthly>=30", "2027-01-15"),
        ("quarterly", "2026-12-31"),
        ("dte 10", "2026-12-04"),
        ("2026-12-04", "2026-12-04"),
    ],
)
def test_expiries_are_relative_to_the_day(rule, day):
    assert expiry_of(rule, OPTION_CLASSES["SPY"], Exchange(always=True), NOW.date()).isoformat() == day


def test_a_restart_and_the_next_day_find_the_same_book():
    first, _ = account("default")
    again, _ = account("default", NOW + timedelta(minutes=5))
    morrow, _ = account("default", NOW + timedelta(days=1))
    assert first.holdings == again.holdings
    assert [(key, holding.quantity) for key, holding in first.holdings.items()] == [
        (key, holding.quantity) for key, holding in morrow.holdings.items()
    ]


def test_nothing_of_the_default_expires_while_it_runs():
    for week in range(0, 60, 2):
        now = NOW + timedelta(days=7 * week, hours=week)
        built, _ = account("default", now)
        assert 18 <= len(built.holdings) <= 25
        assert min(holding.contract.expiry for holding in built.holdings.values() if holding.contract.is_option) > now.date()


def portfolio(built, market, now):
    held = list(built.holdings.values())
    values = market.values([holding.contract for holding in held], market.live_moments([holding.contract for holding in held], now))
    options = [place for place, holding in enumerate(held) if holding.contract.is_option]
    greeks = market.greeks([holding.contract for holding in held], values, values.volatility)
    delta = sum(holding.quantity for holding in held if not holding.contract.is_option)
    delta += sum(held[place].quantity * 100 * greeks.delta[place] for place in options)
    gamma = sum(held[place].quantity * 100 * greeks.gamma[place] for place in options)
    return float(delta), float(gamma)


@pytest.mark.parametrize("mode", ["always", "exchange"])
def test_the_default_stays_inside_its_limits_at_any_hour_of_the_year(mode):
    """Opened at many moments of a year, and looked at for a day after."""
    worst_delta = worst_gamma = worst_share = 0.0
    for sample in range(0, 366 * 24, 83):
        opened = NOW + timedelta(hours=sample)
        built, market = account("default", opened, market=mode)
        for later in (0, 20):
            now = opened + timedelta(hours=later)
            delta, gamma = portfolio(built, market, now)
            state = built.standing(now)
            values = {}
            for position in state.positions:
                symbol = position.holding.contract.symbol
                values[symbol] = values.get(symbol, 0.0) + abs(position.value)
            worst_delta, worst_gamma = max(worst_delta, abs(delta)), max(worst_gamma, abs(gamma))
            worst_share = max(worst_share, max(values.values()) / state.net_liquidation)
            assert state.excess_liquidity > 0.5 * state.net_liquidation
    assert worst_delta < 150
    assert worst_gamma < 100
    assert worst_share < 0.25


def test_the_degraded_account_is_over_its_limits():
    built, market = account("degraded")
    delta, _ = portfolio(built, market, NOW)
    state = built.standing(NOW)
    assert delta > 200
    assert sum(abs(each.value) for each in state.positions if each.holding.contract.symbol == "SPY") > 0.3 * state.net_liquidation
    orders = working(scenario.load("degraded"), built.initial, NOW.toordinal())
    assert {order.client_id for order in orders} == {0, 1, 12}


def test_the_awkward_account_has_each_of_its_oddities():
    built, _market = account("awkward")
    held = list(built.holdings.values())
    assert [holding for holding in held if holding.contract.trading_class == "SPY1"]
    assert [holding for holding in held if holding.quantity % 1]
    assert [holding for holding in held if holding.contract.expiry and holding.contract.expiry < NOW.date()]
    assert {holding.quote for holding in held} == {"normal", "none", "no-bid"}
