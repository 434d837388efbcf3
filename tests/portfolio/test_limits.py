"""Sums of greeks and the limits on them: one unknown leg makes the answer unknown, and unknown is never green."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import msgspec
import pytest

from v6cli import settings
from v6cli.models import Account, Contract, Greeks, GreekSource, Position
from v6cli.portfolio import positions
from v6cli.portfolio.greeks import of_position, roll_up
from v6cli.portfolio.limits import findings, measure, outdated, table
from v6cli.procedure import Status, exit_code

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
LIMITS = settings.builtin().limits
ACCOUNT = Account("DU1234567", "USD", AT, net_liquidation=100_000.0)


def option(
    con_id: int,
    quantity: float = 1.0,
    symbol: str = "SPY",
    value: float | None = 100.0,
    multiplier: float = 100.0,
    expiry: date = date(2026, 12, 18),
) -> Position:
    return Position("DU1234567", Contract(con_id, symbol, "OPT", expiry, 600.0, "C", multiplier), quantity, 1.0, value=value)


def stock(quantity: float, value: float | None = 100.0) -> Position:
    return Position("DU1234567", Contract(1, "SPY", "STK"), quantity, 1.0, value=value)


def greeks(
    con_id: int, delta: float | None = 0.5, gamma: float | None = 0.01, source: GreekSource = GreekSource.MODEL
) -> dict[int, Greeks]:
    return {con_id: Greeks(con_id, source, AT, delta, gamma, -0.1, 0.2)}


def test_position_greeks_are_those_of_all_its_shares() -> None:
    found = of_position(option(2, -3), greeks(2)[2])
    assert (found.delta, found.gamma, found.theta, found.vega) == pytest.approx((-150.0, -3.0, 30.0, -60.0))
    assert of_position(option(2, 1, multiplier=10.0), greeks(2)[2]).delta == 5.0
    assert of_position(stock(-70), None) == of_position(stock(-70), None).__class__(delta=-70.0, legs=1)


@pytest.mark.parametrize("source", GreekSource)
@pytest.mark.parametrize("by", ["symbol", "expiry", "strategy"])
def test_what_is_unknown_stays_unknown_in_every_sum_above_it(source: GreekSource, by: str) -> None:
    book = [option(2), option(3, symbol="QQQ", expiry=date(2027, 1, 15)), stock(10)]
    rolled = roll_up(book, greeks(2) | greeks(3, source=source), by)
    known = source not in {GreekSource.STALE, GreekSource.MISSING}
    assert rolled.complete == known and rolled.total.legs == 3
    assert sum(part.unknown for part in rolled.parts.values()) == (0 if known else 1)
    assert rolled.total.delta == pytest.approx(60 + (50 if known else 0))


NAN, INFINITE = math.nan, math.inf


@pytest.mark.parametrize(
    "change", [{"delta": NAN}, {"gamma": -INFINITE}, {"theta": NAN}, {"vega": INFINITE}, {"delta": INFINITE, "gamma": -INFINITE}]
)
def test_a_greek_that_is_no_number_is_not_known(change: dict[str, float]) -> None:
    found = msgspec.structs.replace(greeks(2)[2], **change)
    assert greeks(2)[2].known and not found.known
    assert of_position(option(2), found).unknown == 1
    assert positions.table([option(2)], {2: found}, AT.date(), AT).rows[0][9:13] == (None,) * 4


def test_an_option_that_lacks_everything_still_has_a_name() -> None:
    assert str(Contract(7, "SPY", "OPT")) == "SPY ? ??"


@pytest.mark.parametrize(
    "lacking", [{}, greeks(2, delta=None), greeks(2, gamma=None), greeks(2, delta=NAN), greeks(2, source=GreekSource.STALE)]
)
def test_a_limit_over_an_unknown_leg_is_unknown(lacking: dict[int, Greeks]) -> None:
    found = measure([option(2)], lacking, ACCOUNT, LIMITS)
    assert [(one.name, one.status, one.value) for one in found[:2]] == [("delta", Status.UNKNOWN, None), ("gamma", Status.UNKNOWN, None)]
    assert "SPY 2026-12-18 600C" in found[0].text
    assert exit_code(findings(found)) == 2


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("delta", "status"),
    [
        (0, Status.OK),
        (159.9, Status.OK),
        (160, Status.DEGRADED),
        (200, Status.DEGRADED),
        (200.1, Status.UNHEALTHY),
        (math.inf, Status.UNHEALTHY),
        (math.nan, Status.UNKNOWN),
    ],
)
def test_delta_at_its_limit(delta: float, sign: int, status: Status) -> None:
    assert measure([stock(sign * delta)], {}, ACCOUNT, LIMITS)[0].status is status


@pytest.mark.parametrize(
    ("gamma", "status"),
    [(399.9, Status.OK), (400, Status.DEGRADED), (500, Status.DEGRADED), (501, Status.UNHEALTHY), (math.nan, Status.UNKNOWN)],
)
def test_gamma_at_its_limit(gamma: float, status: Status) -> None:
    found = measure([option(2)], greeks(2, 0.0, gamma / 100), ACCOUNT, LIMITS)
    assert found[1].status is status
    assert table(found, findings(found), AT).rows[1][1] == status.value


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (23_900, Status.OK),
        (24_100, Status.DEGRADED),
        (30_000, Status.DEGRADED),
        (30_100, Status.UNHEALTHY),
        (math.nan, Status.UNKNOWN),
        (None, Status.UNKNOWN),
    ],
)
def test_concentration_at_its_limit(value: float | None, status: Status) -> None:
    found = measure([stock(1, value)], {}, ACCOUNT, LIMITS)
    assert found[2].status is status
    assert table(found, findings(found), AT).rows[2][1] == status.value


def test_concentration_is_gross_long_and_short() -> None:
    assert measure([option(2, value=20_000.0), option(3, -1, value=-15_000.0)], {}, ACCOUNT, LIMITS)[2].value == pytest.approx(0.35)


@pytest.mark.parametrize("net", [None, 0.0, -5.0, math.nan, math.inf])
def test_without_net_liquidation_concentration_is_unknown(net: float | None) -> None:
    for account in (msgspec.structs.replace(ACCOUNT, net_liquidation=net), None):
        found = measure([stock(1)], {}, account, LIMITS)[2]
        assert (found.status, found.value) == (Status.UNKNOWN, None)


def test_an_empty_book_uses_nothing() -> None:
    assert [(one.status, one.used) for one in measure([], {}, None, LIMITS)] == [(Status.OK, 0.0)] * 3


def test_a_book_that_is_too_old_says_nothing() -> None:
    assert {(one.status, one.value, one.used) for one in outdated(measure([], {}, ACCOUNT, LIMITS))} == {(Status.UNKNOWN, None, None)}
