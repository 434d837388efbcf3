"""Where greeks come from, and what is never taken for one; and the lines they cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from v6cli import clock, events, pricing, settings
from v6cli.broker.account import positions_and_account
from v6cli.broker.ib import _library
from v6cli.broker.quotes import SPARE, Tick, Watchlist, _Line
from v6cli.models import Contract, Greeks, GreekSource
from v6cli.sessions import Hours, parse_hours
from v6cli.sync.greeks import Source, judge, years

LIMITS = settings.builtin("paper").greeks
CALL = Contract(7, "SPY", "OPT", date(2026, 12, 18), 600.0, "C", 100.0)
HOURS = parse_hours("20261124:0930-20261124:1600;20261125:0930-20261125:1600;20261126:CLOSED", "America/New_York")
OPEN = datetime(2026, 11, 24, 15, tzinfo=UTC)  # 10:00 in New York
NIGHT = datetime(2026, 11, 25, 2, tzinfo=UTC)
BELL = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)
SILENT = Tick(7, live=True)
MODEL = Tick(7, live=True, at=OPEN, delta=0.4, gamma=0.02, theta=-0.3, vega=0.5, implied_volatility=0.2, price=4.0, underlying_price=595.0)
QUOTE = Tick(7, live=True, bid=5.0, ask=5.2)
BEFORE = Greeks(7, GreekSource.MODEL, OPEN, 0.4, 0.02, -0.3, 0.5, 0.2, 4.0, 595.0)


def seen(
    tick: Tick,
    now: datetime,
    *,
    underlying: float | None = 595.0,
    before: Greeks | None = BEFORE,
    hours: Hours | None = HOURS,
    own: Contract = CALL,
) -> Greeks:
    return judge(own, tick, underlying, before, hours, now, LIMITS)


def late(seconds: float) -> datetime:
    return OPEN + timedelta(seconds=seconds)


CASES = {
    "the model has just spoken": (MODEL, OPEN, {}, GreekSource.MODEL),
    "the model is as old as it may be": (MODEL, late(LIMITS.stale_after), {}, GreekSource.MODEL),
    "the model is older": (MODEL, late(LIMITS.stale_after + 1), {}, GreekSource.STALE),
    "the model is older and nothing came before": (MODEL, late(LIMITS.stale_after + 1), {"before": None}, GreekSource.MISSING),
    "old model, current quote": (msgspec.structs.replace(MODEL, bid=5.0, ask=5.2), late(1000), {}, GreekSource.COMPUTED),
    "a quote": (QUOTE, OPEN, {}, GreekSource.COMPUTED),
    "a quote without the underlying's price": (QUOTE, OPEN, {"underlying": None}, GreekSource.STALE),
    "a quote below what exercising gives": (QUOTE, OPEN, {"underlying": 700.0}, GreekSource.STALE),
    "crossed": (Tick(7, live=True, bid=5.2, ask=5.0), OPEN, {}, GreekSource.STALE),
    "no bid": (Tick(7, live=True, ask=5.2), OPEN, {}, GreekSource.STALE),
    "no ask": (Tick(7, live=True, bid=5.0), OPEN, {}, GreekSource.STALE),
    "a bid of zero": (Tick(7, live=True, bid=0.0, ask=0.05), OPEN, {}, GreekSource.STALE),
    "frozen or delayed": (Tick(7, live=False, bid=5.0, ask=5.2), OPEN, {}, GreekSource.STALE),
    "silent while open": (SILENT, OPEN, {}, GreekSource.STALE),
    "silent while open, never known": (SILENT, OPEN, {"before": None}, GreekSource.MISSING),
    "closed": (SILENT, NIGHT, {}, GreekSource.AS_OF_CLOSE),
    "closed, the underlying without a quote": (SILENT, NIGHT, {"underlying": None}, GreekSource.AS_OF_CLOSE),
    "closed, never known": (SILENT, NIGHT, {"before": None}, GreekSource.MISSING),
    "closed, hours unknown": (SILENT, NIGHT, {"hours": None}, GreekSource.STALE),
    "hours that do not speak of now": (
        SILENT,
        NIGHT + timedelta(days=30),
        {"own": msgspec.structs.replace(CALL, expiry=date(2027, 6, 18))},
        GreekSource.STALE,
    ),
    "at the bell": (SILENT, BELL, {}, GreekSource.AS_OF_CLOSE),
    "just before five minutes are over": (SILENT, BELL + timedelta(seconds=LIMITS.missing_from_open - 1), {}, GreekSource.AS_OF_CLOSE),
    "after five minutes": (SILENT, BELL + timedelta(seconds=LIMITS.missing_from_open), {}, GreekSource.STALE),
    "after five minutes, never known": (SILENT, BELL + timedelta(seconds=LIMITS.missing_from_open), {"before": None}, GreekSource.MISSING),
    "a holiday": (SILENT, datetime(2026, 11, 26, 17, tzinfo=UTC), {}, GreekSource.AS_OF_CLOSE),
    "it was stale before the close": (
        SILENT,
        NIGHT,
        {"before": msgspec.structs.replace(BEFORE, source=GreekSource.STALE)},
        GreekSource.AS_OF_CLOSE,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_source(case: str) -> None:
    tick, now, how, source = CASES[case]
    found = seen(tick, now, **how)
    assert found.source is source
    assert found.known == (source not in {GreekSource.STALE, GreekSource.MISSING})


def test_computed_greeks_are_those_of_the_quotes_own_volatility() -> None:
    found = seen(QUOTE, OPEN)
    left = years(CALL, OPEN)
    assert left == pytest.approx((datetime(2026, 12, 18, 21, tzinfo=UTC) - OPEN).total_seconds() / (365 * 86400))
    volatility = float(pricing.implied_volatility(5.1, 595.0, 600.0, left, True))
    wanted = pricing.greeks(595.0, 600.0, left, volatility, True)
    assert (found.delta, found.gamma, found.theta, found.vega) == pytest.approx(tuple(float(one) for one in wanted))
    assert found.price == pytest.approx(5.1) and found.at == OPEN


@pytest.mark.parametrize(("underlying", "spot"), [(610.0, 610.0), (None, 595.0)])
def test_as_of_close_is_yesterdays_volatility_at_the_spot_there_is(underlying: float | None, spot: float) -> None:
    found = seen(SILENT, NIGHT, underlying=underlying)
    wanted = pricing.greeks(spot, 600.0, years(CALL, NIGHT), 0.2, True)
    assert found.delta == pytest.approx(float(wanted.delta)) and found.theta == pytest.approx(float(wanted.theta))
    assert found.underlying_price == spot and found.implied_volatility == 0.2
    assert found.at == OPEN, "as old as the volatility it rests on"


@pytest.mark.parametrize(("right", "spot", "delta"), [("C", 610.0, 1.0), ("C", 590.0, 0.0), ("P", 590.0, -1.0), ("P", 610.0, 0.0)])
def test_an_expired_option_is_shares_or_nothing(right: str, spot: float, delta: float) -> None:
    ended = datetime(2026, 12, 18, 21, tzinfo=UTC)
    own = msgspec.structs.replace(CALL, right=right)
    found = seen(SILENT, ended, underlying=spot, before=None, hours=None, own=own)
    assert (found.source, found.delta, found.gamma, found.vega) == (GreekSource.AS_OF_CLOSE, delta, 0.0, 0.0)
    assert seen(SILENT, ended, underlying=None, before=None, own=own).source is GreekSource.MISSING


@pytest.mark.parametrize(
    ("expiry", "closes_utc"), [(date(2026, 3, 6), 21), (date(2026, 3, 9), 20), (date(2026, 10, 30), 20), (date(2026, 11, 2), 21)]
)
def test_an_option_ends_at_four_in_new_york_on_either_side_of_a_change_of_clocks(expiry: date, closes_utc: int) -> None:
    own = msgspec.structs.replace(CALL, expiry=expiry)
    end = datetime(expiry.year, expiry.month, expiry.day, closes_utc, tzinfo=UTC)
    assert years(own, end) == 0.0
    assert years(own, end - timedelta(hours=1)) == pytest.approx(1 / (365 * 24))


def test_the_weekend_on_which_clocks_change_is_closed_from_bell_to_bell() -> None:
    hours = parse_hours("20261030:0930-20261030:1600;20261031:CLOSED;20261101:CLOSED;20261102:0930-20261102:1600", "America/New_York")
    friday, monday = datetime(2026, 10, 30, 20, tzinfo=UTC), datetime(2026, 11, 2, 14, 30, tzinfo=UTC)
    before = msgspec.structs.replace(BEFORE, at=friday)
    states = [
        seen(SILENT, at, before=before, hours=hours).source
        for at in (friday - timedelta(seconds=1), friday, monday - timedelta(hours=1), monday + timedelta(minutes=5))
    ]
    assert states == [GreekSource.STALE, GreekSource.AS_OF_CLOSE, GreekSource.AS_OF_CLOSE, GreekSource.STALE]


@pytest.mark.parametrize("missing", ["delta", "gamma", "theta", "vega"])
def test_a_model_without_one_greek_is_no_model(missing: str) -> None:
    assert seen(msgspec.structs.replace(MODEL, **{missing: None}), OPEN, before=None).source is GreekSource.MISSING


def a_line() -> _Line:
    async def made() -> _Line:  # the libraries want a loop to be imported in
        return _Line(CALL, None, 1, _library().Ticker())

    return asyncio.run(made())


@pytest.mark.parametrize("mark", [-2.0, float("nan"), 1.7976931348623157e308, None])
def test_ibs_marks_for_nothing_are_no_greek(mark: float | None) -> None:
    line = a_line()
    line.ticker.modelGreeks = SimpleNamespace(impliedVol=0.2, delta=mark, gamma=mark, theta=mark, vega=mark, optPrice=4.0, undPrice=595.0)
    tick = line.tick()
    assert (tick.delta, tick.gamma, tick.theta, tick.vega, tick.has_model) == (None, None, None, None, False)
    assert tick.implied_volatility == 0.2


@pytest.mark.parametrize(
    ("bid", "bid_size", "ask", "ask_size", "kind"),
    [
        (5, 0, 5.2, 9, 1),
        (5, 9, 5.2, 0, 1),
        (-1, 9, 5.2, 9, 1),
        (0, 9, 5.2, 9, 1),
        (5, 9, 5.2, 9, 2),
        (5, 9, 5.2, 9, 3),
        (5, 9, 5.2, 9, 4),
        (6, 9, 5.2, 9, 1),
    ],
)
def test_what_is_no_quote(bid: float, bid_size: float, ask: float, ask_size: float, kind: int) -> None:
    line = a_line()
    line.ticker.bid, line.ticker.bidSize, line.ticker.ask, line.ticker.askSize, line.ticker.marketDataType = 5.0, 9.0, 5.2, 9.0, 1
    assert line.tick().mid == 5.1
    line.ticker.bid, line.ticker.bidSize, line.ticker.ask, line.ticker.askSize, line.ticker.marketDataType = (
        bid,
        bid_size,
        ask,
        ask_size,
        kind,
    )
    assert line.tick().mid is None


# The lines of the simulated gateway.


def lines_of(stage) -> int:
    return sum(len(connection.streams) for connection in stage.gateway.connections)


async def watched(stage, connection, lines: int, contracts, wait: float = 0.5):
    """One look, with the highest number of lines the gateway ever had, and what the client counted as asked."""
    most = 0
    subscribe = connection.client.subscribe

    async def counting(contract):
        nonlocal most
        answer = await subscribe(contract)
        await asyncio.sleep(0)
        most = max(most, lines_of(stage))
        return answer

    connection.client.subscribe = counting
    watchlist = Watchlist(connection, lines, wait, budget=60.0)

    async def sampling() -> None:
        nonlocal most
        while True:
            most = max(most, lines_of(stage))
            await asyncio.sleep(0.002)

    sampler = asyncio.ensure_future(sampling())
    try:
        ticks = await watchlist.look(contracts, events.ignore)
    finally:
        sampler.cancel()
        connection.client.subscribe = subscribe
    return watchlist, ticks, most


async def options_held(connection) -> list[Contract]:
    positions, _ = await positions_and_account(connection)
    return [one.contract for one in positions if one.contract.is_option]


@pytest.mark.parametrize("lines", [1, 7])
def test_a_book_larger_than_its_share_is_rotated_within_it(stage, lines: int) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = (await options_held(connection))[:24]
        _, ticks, most = await watched(stage, connection, lines, options, wait=10.0)
        assert 0 < most <= lines
        assert set(ticks) == {own.con_id for own in options} and all(tick.has_model for tick in ticks.values())
        await connection.client.current_time()
        assert lines_of(stage) == 0, "nothing is held after a rotation"
        await connection.close()

    stage(act, "thousand", timeout=10.0)


def test_a_book_that_fits_keeps_its_lines_and_gives_back_those_of_closed_positions(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = await options_held(connection)
        watchlist, ticks, most = await watched(stage, connection, len(options) + SPARE, options, wait=10.0)
        assert most == len(options) == lines_of(stage) and all(tick.has_model for tick in ticks.values())
        (theirs,) = stage.gateway.connections
        requests = set(theirs.streams)
        await watchlist.look(options, events.ignore)
        assert set(theirs.streams) == requests, "a second look costs no message"
        await watchlist.look(options[2:], events.ignore)
        await connection.client.current_time()
        assert set(theirs.streams) < requests and len(theirs.streams) == len(options) - 2
        await watchlist.look([], events.ignore)
        await connection.client.current_time()
        assert theirs.streams == {}
        await connection.close()

    stage(act)


def test_a_look_ends_with_its_budget_and_the_next_goes_on_where_it_ended(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = (await options_held(connection))[:120]
        watchlist = Watchlist(connection, 20, 1.0, budget=0.5)
        first = await watchlist.look(options, events.ignore)
        assert 0 < len(first) < len(options)
        second = await watchlist.look(options, events.ignore)
        unseen = len(options) - len(first)
        assert len(set(second) - set(first)) >= min(unseen, len(second) - 20)
        await connection.close()

    stage(act, "thousand", timeout=10.0)


def test_what_a_look_did_not_reach_keeps_its_greeks_until_they_are_stale(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        positions, _ = await positions_and_account(connection)
        own = msgspec.structs.replace(stage.settings.greeks, budget=1e-9)
        now = clock.now()
        fresh = {one.contract.con_id: Greeks(one.contract.con_id, GreekSource.MODEL, now, 0.1, 0.1, 0.1, 0.1) for one in positions}
        found = await Source(connection, 8, own, lambda: False).of_positions(positions, fresh, events.ignore)
        assert found and all(greeks is fresh[con_id] for con_id, greeks in found.items())
        old = {con_id: msgspec.structs.replace(one, at=now - timedelta(seconds=own.stale_after + 1)) for con_id, one in fresh.items()}
        found = await Source(connection, 8, own, lambda: False).of_positions(positions, old, events.ignore)
        assert found and not any(greeks.known for greeks in found.values())
        await connection.close()

    stage(act, "thousand", timeout=10.0)


def test_a_book_that_outgrows_its_lines_lets_the_held_ones_go_first(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = await options_held(connection)
        watchlist, _, _ = await watched(stage, connection, 6, options[:6], wait=10.0)
        most = 0

        async def sampling() -> None:
            nonlocal most
            while True:
                most = max(most, lines_of(stage))
                await asyncio.sleep(0.002)

        sampler = asyncio.ensure_future(sampling())
        ticks = await watchlist.look(options, events.ignore)
        sampler.cancel()
        assert most <= 6 and all(tick.has_model for tick in ticks.values())
        await connection.close()

    stage(act)


@pytest.mark.parametrize("code", ["354", "10089", "10168"])
def test_a_refused_line_is_not_waited_for(stage, code: str) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("no-market-data", code=code)
        connection = await stage.connect()
        options = (await options_held(connection))[:4]
        async with asyncio.timeout(10):
            _, ticks, _ = await watched(stage, connection, 60, options, wait=30.0)
        assert all(tick.refused and not tick.has_model for tick in ticks.values())
        await connection.close()

    stage(act)


def test_a_silent_line_is_waited_for_once(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("missing-greeks", of="SPY")
        connection = await stage.connect()
        options = await options_held(connection)
        loop = asyncio.get_running_loop()
        began = loop.time()
        watchlist, ticks, _ = await watched(stage, connection, 60, options, wait=1.0)
        assert loop.time() - began >= 1.0
        assert {own.symbol for own in options if not ticks[own.con_id].has_model} == {"SPY"}
        began = loop.time()
        await watchlist.look(options, events.ignore)
        assert loop.time() - began < 0.5
        stage.gateway.faults.clear("missing-greeks")
        async with asyncio.timeout(10):
            while not all(tick.has_model for tick in (await watchlist.look(options, events.ignore)).values()):
                await asyncio.sleep(0.05)
        await connection.close()

    stage(act)
