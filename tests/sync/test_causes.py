"""Each difference between two syncs has its cause; what nobody can explain is called that."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from v6cli.models import Contract, Fill, Position
from v6cli.sync.causes import Difference, label

TODAY = date(2026, 11, 20)
STOCK = Contract(1, "SPY", "STK")
OTHER_STOCK = Contract(2, "QQQ", "STK")
CALL = Contract(10, "SPY", "OPT", TODAY, 600.0, "C", 100.0)
PUT = Contract(11, "SPY", "OPT", TODAY, 590.0, "P", 100.0)
LATER = Contract(12, "SPY", "OPT", date(2026, 12, 18), 590.0, "P", 100.0)
CASH_SETTLED = Contract(13, "SPX", "OPT", TODAY, 6000.0, "C", 100.0)
EVERY = (STOCK, OTHER_STOCK, CALL, PUT, LATER, CASH_SETTLED)


def held(**by_name: float) -> list[Position]:
    return [Position("DU1234567", globals()[name], quantity, 1.0) for name, quantity in by_name.items()]


def fill(contract: Contract, quantity: float, number: int = 1, ref: str = "condor", client: int = 1) -> Fill:
    side = "BOT" if quantity > 0 else "SLD"
    return Fill(f"e{number}", "DU1234567", contract, side, abs(quantity), 1.0, datetime(2026, 11, 20, 15, tzinfo=UTC), 5, 6, client, ref)


def causes(
    before: list[Position] | None, after: list[Position], *fills: Fill, seen: frozenset[str] = frozenset()
) -> dict[int, tuple[str, str]]:
    return {one.con_id: (one.cause, one.detail) for one in label(before, after, fills, seen, TODAY)}


CASES = {
    "nothing changed": (held(CALL=-1, STOCK=100), held(CALL=-1, STOCK=100), (), {}),
    "a fill opens": (held(), held(LATER=-2), (fill(LATER, -2),), {12: "fill"}),
    "a fill closes": (held(LATER=-2), held(), (fill(LATER, 2),), {12: "fill"}),
    "partial fills add up": (held(LATER=-1), held(LATER=-4), (fill(LATER, -1), fill(LATER, -2, 2)), {12: "fill"}),
    "partial fills there and back": (held(LATER=-1), held(LATER=-2), (fill(LATER, -3), fill(LATER, 2, 2)), {12: "fill"}),
    "fills explain a part": (held(LATER=-1), held(LATER=-4), (fill(LATER, -1),), {12: "unexplained"}),
    "expired": (held(PUT=-3), held(), (), {11: "expired"}),
    "expired cash settled": (held(CASH_SETTLED=2), held(), (), {13: "expired"}),
    "gone before its expiry": (held(LATER=-3), held(), (), {12: "unexplained"}),
    "fewer on the last day": (held(PUT=-3), held(PUT=-2), (), {11: "unexplained"}),
    "short put assigned": (held(LATER=-1), held(STOCK=100), (), {12: "assigned or exercised", 1: "assigned or exercised"}),
    "short put partly assigned": (held(LATER=-3), held(LATER=-1, STOCK=200), (), {12: "assigned or exercised", 1: "assigned or exercised"}),
    "short call assigned": (held(CALL=-2, STOCK=200), held(), (), {10: "assigned or exercised", 1: "assigned or exercised"}),
    "long call exercised": (held(CALL=1), held(STOCK=100), (), {10: "assigned or exercised", 1: "assigned or exercised"}),
    "long put exercised": (held(LATER=1, STOCK=100), held(), (), {12: "assigned or exercised", 1: "assigned or exercised"}),
    "shares the wrong way": (held(LATER=-1), held(STOCK=-100), (), {12: "unexplained", 1: "unexplained"}),
    "too few shares": (held(LATER=-2), held(STOCK=100), (), {12: "unexplained", 1: "unexplained"}),
    "shares of another name": (held(LATER=-1), held(OTHER_STOCK=100), (), {12: "unexplained", 2: "unexplained"}),
    "bought back, and shares from nowhere": (held(LATER=-1), held(STOCK=100), (fill(LATER, 1),), {12: "fill", 1: "unexplained"}),
    "expired, and shares bought": (held(PUT=-1), held(STOCK=100), (fill(STOCK, 100),), {11: "expired", 1: "fill"}),
    "one closed, one assigned": (
        held(LATER=-2),
        held(STOCK=100),
        (fill(LATER, 1),),
        {12: "assigned or exercised", 1: "assigned or exercised"},
    ),
    "a put spread, its short leg assigned": (
        held(PUT=-1, LATER=1),
        held(STOCK=100, LATER=1),
        (),
        {11: "assigned or exercised", 1: "assigned or exercised"},
    ),
    "shares alone": (held(STOCK=10), held(STOCK=20), (), {1: "unexplained"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cause(case: str) -> None:
    before, after, fills, wanted = CASES[case]
    assert {con_id: cause for con_id, (cause, _) in causes(before, after, *fills).items()} == wanted


def test_the_first_sync_of_a_home_explains_nothing_and_alarms_nobody() -> None:
    assert causes(None, held(LATER=-1, STOCK=5), fill(STOCK, 5)) == {12: ("first seen", ""), 1: ("first seen", "")}
    assert causes([], held(LATER=-1)) == {12: ("unexplained", "no fill, no expiry")}, "an account that was empty is not a first sync"


def test_an_execution_counts_once() -> None:
    assert causes(held(LATER=-1), held(LATER=-2), fill(LATER, -1), seen=frozenset({"e1"})) == {12: ("unexplained", "no fill, no expiry")}


def test_who_traded_is_named() -> None:
    found = causes(held(), held(LATER=6), fill(LATER, 1), fill(LATER, 2, 2, "", 0), fill(LATER, 2, 3, "", 7), fill(LATER, 1, 4))
    assert found == {12: ("fill", "condor, by hand, client 7")}


def test_one_line_says_it() -> None:
    assert str(Difference(12, "SPY", -1.0, 0.0, "unexplained", "no fill, no expiry")) == "SPY: -1 -> 0 (unexplained: no fill, no expiry)"


quantities = some.integers(-5, 5).map(float)
books = some.dictionaries(some.sampled_from(EVERY), quantities.filter(bool)).map(
    lambda book: [Position("DU1234567", own, size, 1.0) for own, size in book.items()]
)
trades = some.lists(some.tuples(some.sampled_from(EVERY), quantities.filter(bool)), max_size=6).map(
    lambda made: [fill(own, size, n) for n, (own, size) in enumerate(made)]
)


@given(some.none() | books, books, trades)
def test_every_change_is_listed_once_and_nothing_else(before: list[Position] | None, after: list[Position], fills: list[Fill]) -> None:
    found = label(before, after, fills, frozenset(), TODAY)
    was, now = ({one.contract.con_id: one.quantity for one in book or ()} for book in (before, after))
    assert [one.con_id for one in found] == sorted(own for own in {*was, *now} if was.get(own, 0.0) != now.get(own, 0.0))
    for one in found:
        assert (one.before, one.after) == (was.get(one.con_id, 0.0), now.get(one.con_id, 0.0))
        traded = sum(own.quantity if own.side == "BOT" else -own.quantity for own in fills if own.contract.con_id == one.con_id)
        if before is not None:
            assert (one.cause == "fill") == (traded == one.after - one.before), "what fills explain is a fill, and nothing else is"
