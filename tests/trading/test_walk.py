"""Closing prices: from the middle to the cap, never beyond the natural price, rounded inside."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6cli import settings
from v6cli.trading.walk import Side, allowance, inside, prices

OWN = settings.builtin().closing


def own(**changes: float) -> settings.Closing:
    return msgspec.structs.replace(OWN, **changes)


def test_a_short_is_bought_from_the_middle_to_its_ask() -> None:
    found = prices([Side(1, 1, 1.00, 1.10)], own(steps=5), 0.01, 100)
    assert found == [1.05, 1.06, 1.07, 1.08, 1.09, 1.1]


def test_a_long_is_sold_from_the_middle_to_its_bid() -> None:
    found = prices([Side(-1, 1, 1.00, 1.10)], own(steps=5), 0.01, 100)
    assert found == [1.05, 1.04, 1.03, 1.02, 1.01, 1.0]


def test_the_cap_is_the_largest_of_three() -> None:
    side = [Side(1, 1, 1.0, 9.0)]
    assert allowance(side, own(percent=0.1, ticks=0, amount=0), 0.01, 100) == pytest.approx(0.5)
    assert allowance(side, own(percent=0.01, ticks=100, amount=0), 0.01, 100) == pytest.approx(1.0)
    assert allowance(side, own(percent=0.01, ticks=0, amount=200), 0.01, 100) == pytest.approx(2.0)


def test_a_combo_walks_on_its_net_price() -> None:
    """Buying back the short at 2.00-2.10 and selling the long at 1.00-1.10: from 1.00 to the natural 1.10."""
    sides = [Side(1, 1, 2.00, 2.10), Side(-1, 1, 1.00, 1.10)]
    found = prices(sides, own(steps=2), 0.05, 100)
    assert found == [1.0, 1.05, 1.1]


def test_a_combo_that_brings_money_in_has_a_negative_price() -> None:
    sides = [Side(-1, 1, 2.00, 2.10), Side(1, 1, 1.00, 1.10)]
    found = prices(sides, own(steps=1), 0.01, 100)
    assert found == [-1.0, -0.9]


@given(
    legs=st.lists(
        st.tuples(st.sampled_from([1, -1]), st.integers(1, 3), st.integers(1, 5000), st.integers(0, 300)), min_size=1, max_size=4
    ),
    percent=st.floats(0.01, 1),
    tick=st.sampled_from([0.01, 0.05, 0.1]),
)
def test_no_price_is_worse_than_the_market_itself_or_than_the_cap(
    legs: list[tuple[int, int, int, int]], percent: float, tick: float
) -> None:
    sides = [Side(sign, ratio, bid / 100, (bid + wide) / 100) for sign, ratio, bid, wide in legs]
    single = len(sides) == 1
    sign = sides[0].sign if single else 1
    settings_ = own(percent=percent)
    found = prices(sides, settings_, tick, 100)
    middle = sum(side.sign * side.ratio * side.mid for side in sides) * sign
    natural = sum(side.ratio * (side.ask if side.sign > 0 else -side.bid) for side in sides) * sign
    worst = middle + sign * min(abs(natural - middle), allowance(sides, settings_, tick, 100))
    for price in found:
        assert sign * price <= sign * worst + 1e-6 or (single and price == tick)
        assert abs(price / tick - round(price / tick)) < 1e-6
    assert found == sorted(found, reverse=sign < 0)


@pytest.mark.parametrize(
    ("price", "sign", "expected"), [(1.057, 1, 1.05), (1.053, -1, 1.06), (-0.437, 1, -0.44), (2.0, 1, 2.0), (2.0, -1, 2.0)]
)
def test_rounding_is_inside(price: float, sign: int, expected: float) -> None:
    assert inside(price, sign, 0.01) == expected
