"""Black-Scholes-Merton against textbooks, against itself, and at the edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v6cli import pricing

levels = st.floats(1.0, 10_000.0)
moneyness = st.floats(0.5, 2.0)
years = st.floats(1 / 365, 3.0)
volatilities = st.floats(0.03, 2.0)
rates = st.floats(-0.02, 0.15)


def test_prices_of_a_textbook():
    """Hull, Options, Futures and Other Derivatives, example 15.6."""
    assert float(pricing.price(42, 40, 0.5, 0.2, True, rate=0.1)) == pytest.approx(4.76, abs=0.005)
    assert float(pricing.price(42, 40, 0.5, 0.2, False, rate=0.1)) == pytest.approx(0.81, abs=0.005)


def test_prices_with_a_dividend_yield_of_a_textbook():
    """Hull, example 17.1: an index option with a yield of 3 %."""
    assert float(pricing.price(930, 900, 2 / 12, 0.2, True, rate=0.08, dividend=0.03)) == pytest.approx(51.83, abs=0.005)


def test_greeks_of_a_textbook():
    """Hull, section 19: delta 0.522, gamma 0.066, theta -4.31 a year, vega 12.1 per 1.00 of volatility."""
    found = pricing.greeks(49, 50, 0.3846, 0.2, True, rate=0.05)
    assert float(found.delta) == pytest.approx(0.522, abs=0.0005)
    assert float(found.gamma) == pytest.approx(0.066, abs=0.0005)
    assert float(found.theta) * 365 == pytest.approx(-4.31, abs=0.005)
    assert float(found.vega) * 100 == pytest.approx(12.1, abs=0.05)


def test_the_normal_distribution_is_exact():
    points = np.linspace(-38, 38, 4001)
    exact = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in points])
    assert np.abs(pricing._cumulative(points) - exact).max() < 1e-14


@given(levels, moneyness, years, volatilities, rates, rates)
def test_put_call_parity(spot, ratio, time, volatility, rate, dividend):
    strike = spot * ratio
    call, put = (float(pricing.price(spot, strike, time, volatility, right, rate=rate, dividend=dividend)) for right in (True, False))
    forward = spot * math.exp(-dividend * time) - strike * math.exp(-rate * time)
    assert call - put == pytest.approx(forward, abs=1e-9 * spot)


@given(levels, moneyness, years, volatilities, rates, st.booleans())
def test_implied_volatility_finds_the_volatility_again(spot, ratio, time, volatility, rate, call):
    strike = spot * ratio
    value = float(pricing.price(spot, strike, time, volatility, call, rate=rate))
    found = float(pricing.implied_volatility(value, spot, strike, time, call, rate=rate))
    if math.isnan(found):
        # Only where the price says nothing about the volatility any more.
        floor = max(0.0, (1 if call else -1) * (spot - strike * math.exp(-rate * time)))
        assert value - floor <= 1e-9 * spot
    else:
        again = float(pricing.price(spot, strike, time, found, call, rate=rate))
        assert again == pytest.approx(value, abs=1e-8 * spot)


@given(levels, moneyness, years, volatilities, st.booleans())
@settings(max_examples=50)
def test_greeks_are_the_slopes_of_the_price(spot, ratio, time, volatility, call):
    strike, step = spot * ratio, spot * 1e-4

    def at(**moved):
        values = {"spot": spot, "years": time, "volatility": volatility} | moved
        return float(pricing.price(values["spot"], strike, values["years"], values["volatility"], call, rate=0.04, dividend=0.01))

    found = pricing.greeks(spot, strike, time, volatility, call, rate=0.04, dividend=0.01)
    assert float(found.delta) == pytest.approx((at(spot=spot + step) - at(spot=spot - step)) / (2 * step), abs=2e-3)
    assert float(found.vega) == pytest.approx((at(volatility=volatility + 1e-5) - at(volatility=volatility - 1e-5)) / 2e-3, abs=1e-5 * spot)
    assert float(found.theta) == pytest.approx((at(years=time - 1e-6) - at(years=time + 1e-6)) / 2e-6 / 365, abs=2e-4 * spot)


@given(levels, moneyness, years, volatilities, st.booleans())
def test_prices_stay_within_what_any_volatility_can_give(spot, ratio, time, volatility, call):
    strike = spot * ratio
    value = float(pricing.price(spot, strike, time, volatility, call, rate=0.03))
    discounted = strike * math.exp(-0.03 * time)
    floor = max(0.0, spot - discounted if call else discounted - spot)
    assert floor - 1e-9 * spot <= value <= (spot if call else discounted) + 1e-9 * spot


@pytest.mark.parametrize("time", [0.0, -0.5])
def test_past_expiry_only_exercising_is_left(time):
    assert pricing.price([90, 110], 100, time, 0.2, True).tolist() == [0.0, 10.0]
    assert pricing.price([90, 110], 100, time, 0.2, False).tolist() == [10.0, 0.0]
    found = pricing.greeks([90, 110], 100, time, 0.2, False)
    assert found.delta.tolist() == [-1.0, 0.0]
    assert found.gamma.tolist() == found.theta.tolist() == found.vega.tolist() == [0.0, 0.0]
    assert np.isnan(pricing.implied_volatility(10.0, 110, 100, time, True))


def test_far_from_the_money_nothing_overflows():
    spots = np.array([1e-3, 1.0, 1e6])
    for call in (True, False):
        assert np.isfinite(pricing.price(spots, 1000.0, 1e-9, 0.01, call)).all()
        assert all(np.isfinite(each).all() for each in pricing.greeks(spots, 1000.0, 1e-9, 0.01, call))


def test_a_price_outside_the_bounds_has_no_volatility():
    values = [0.0, 9.0, 10.0, 110.0, 200.0, -1.0, float("nan")]
    assert np.isnan(pricing.implied_volatility(values, 110, 100, 0.5, True)).all()


def test_arguments_are_broadcast():
    table = pricing.price(100, np.array([[90], [100], [110]]), np.array([0.1, 0.5]), 0.2, True)
    assert table.shape == (3, 2)
    assert (np.diff(table, axis=0) < 0).all()
    assert (np.diff(table, axis=1) > 0).all()
