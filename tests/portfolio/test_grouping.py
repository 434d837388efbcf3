"""Legs into strategies: by name, and without losing or inventing a contract."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as some

from v6cli.models import Contract, Position
from v6cli.portfolio.grouping import group

NUMBERS = count(2)
NEAR, FAR = date(2026, 12, 18), date(2027, 1, 15)


def option(quantity: float, strike: float, right: str, expiry: date = NEAR, symbol: str = "SPY", trading_class: str = "") -> Position:
    return Position(
        "DU1234567", Contract(next(NUMBERS), symbol, "OPT", expiry, strike, right, 100.0, trading_class=trading_class), quantity, 1.0
    )


def stock(quantity: float) -> Position:
    return Position("DU1234567", Contract(1, "SPY", "STK"), quantity, 1.0)


def names(*positions: Position) -> list[tuple[str, list[float]]]:
    return [(one.name, [leg.quantity for leg in one.legs]) for one in group(positions)]


CASES = {
    "condor": (
        [option(1, 580, "P"), option(-1, 585, "P"), option(-1, 615, "C"), option(1, 620, "C")],
        [("iron condor 18Dec26", [-1, 1, -1, 1])],
    ),
    "reverse condor": (
        [option(-1, 580, "P"), option(1, 585, "P"), option(1, 615, "C"), option(-1, 620, "C")],
        [("reverse condor 18Dec26", [-1, 1, -1, 1])],
    ),
    "iron butterfly": (
        [option(1, 590, "P"), option(-1, 600, "P"), option(-1, 600, "C"), option(1, 610, "C")],
        [("iron condor 18Dec26", [-1, 1, -1, 1])],
    ),
    "spreads that cross are no condor": (
        [option(1, 610, "P"), option(-1, 620, "P"), option(-1, 590, "C"), option(1, 600, "C")],
        [("put credit spread 18Dec26", [-1, 1]), ("call credit spread 18Dec26", [-1, 1])],
    ),
    "put credit": ([option(1, 580, "P"), option(-1, 585, "P")], [("put credit spread 18Dec26", [-1, 1])]),
    "put debit": ([option(-1, 580, "P"), option(1, 585, "P")], [("put debit spread 18Dec26", [-1, 1])]),
    "call credit": ([option(-1, 615, "C"), option(1, 620, "C")], [("call credit spread 18Dec26", [-1, 1])]),
    "call debit": ([option(1, 615, "C"), option(-1, 620, "C")], [("call debit spread 18Dec26", [-1, 1])]),
    "covered call": ([stock(250), option(-2, 615, "C")], [("covered call 18Dec26", [200, -2]), ("stock", [50])]),
    "naked beyond the shares": ([stock(100), option(-2, 615, "C")], [("covered call 18Dec26", [100, -1]), ("short call 18Dec26", [-1])]),
    "too few shares cover nothing": ([stock(99), option(-1, 615, "C")], [("stock", [99]), ("short call 18Dec26", [-1])]),
    "short shares cover nothing": ([stock(-100), option(-1, 615, "C")], [("stock", [-100]), ("short call 18Dec26", [-1])]),
    "short strangle": ([option(-1, 580, "P"), option(-1, 620, "C")], [("short strangle 18Dec26", [-1, -1])]),
    "long straddle": ([option(2, 600, "P"), option(2, 600, "C")], [("long straddle 18Dec26", [2, 2])]),
    "a put and a call on two sides are two singles": (
        [option(1, 600, "P"), option(-1, 600, "C")],
        [("long put 18Dec26", [1]), ("short call 18Dec26", [-1])],
    ),
    "ratio": ([option(1, 600, "C"), option(-2, 610, "C")], [("call debit spread 18Dec26", [-1, 1]), ("short call 18Dec26", [-1])]),
    "two expiries never pair": ([option(1, 580, "P"), option(-1, 585, "P", FAR)], [("long put 18Dec26", [1]), ("short put 15Jan27", [-1])]),
    "two classes never pair": (
        [option(1, 580, "P", trading_class="SPX"), option(-1, 585, "P", trading_class="SPXW")],
        [("long put 18Dec26", [1]), ("short put 18Dec26", [-1])],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_shape(case: str) -> None:
    positions, wanted = CASES[case]
    assert names(*positions) == wanted


def test_symbols_stay_apart() -> None:
    found = group([option(1, 580, "P"), option(-1, 585, "P", symbol="QQQ")])
    assert [(one.symbol, one.name) for one in found] == [("QQQ", "short put 18Dec26"), ("SPY", "long put 18Dec26")]


books = some.lists(
    some.tuples(
        some.sampled_from(["SPY", "QQQ"]),
        some.sampled_from(["C", "P", "S"]),
        some.sampled_from([580.0, 590.0, 600.0, 610.0]),
        some.sampled_from([NEAR, FAR]),
        some.integers(-4, 4).filter(bool),
    ),
    max_size=14,
    unique_by=lambda leg: (leg[0], "S") if leg[1] == "S" else leg[:4],
)


@given(books)
def test_shares_add_up_to_the_position_and_keep_its_side(book) -> None:
    positions = [
        Position("DU1", Contract(n, symbol, "STK"), quantity * 50.0, 1.0)
        if right == "S"
        else Position("DU1", Contract(n, symbol, "OPT", expiry, strike, right, 100.0), float(quantity), 1.0)
        for n, (symbol, right, strike, expiry, quantity) in enumerate(book)
    ]
    total: dict[int, float] = defaultdict(float)
    for one in group(positions):
        assert {leg.position.contract.symbol for leg in one.legs} == {one.symbol}
        for leg in one.legs:
            assert 0 < leg.share <= 1
            total[leg.position.contract.con_id] += leg.quantity
    assert total == {one.contract.con_id: one.quantity for one in positions}
