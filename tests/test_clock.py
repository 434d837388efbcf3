"""Home time may run; wall time never does; New York's nights of change are read as they are."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from v6cli import clock
from v6cli.errors import BadInput


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2026-11-24 09:30", utc(2026, 11, 24, 14, 30)),
        ("2026-07-01 09:30", utc(2026, 7, 1, 13, 30)),
        ("2026-11-24T09:30:00-08:00", utc(2026, 11, 24, 17, 30)),
        ("2026-11-24T09:30:00Z", utc(2026, 11, 24, 9, 30)),
        ("2026-11-01 00:59:59", utc(2026, 11, 1, 4, 59, 59)),
        ("2026-11-01 02:00", utc(2026, 11, 1, 7)),
        ("2026-11-01T01:30-04:00", utc(2026, 11, 1, 5, 30)),
        ("2026-11-01T01:30-05:00", utc(2026, 11, 1, 6, 30)),
        ("2026-03-08 01:59:59", utc(2026, 3, 8, 6, 59, 59)),
        ("2026-03-08 03:00", utc(2026, 3, 8, 7)),
    ],
)
def test_what_a_person_types(typed: str, moment: datetime) -> None:
    found = clock.read_moment(typed)
    assert found == moment and found.tzinfo is UTC


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("2026-11-01 01:00", "names two moments"),
        ("2026-11-01 01:59:59", "names two moments"),
        ("2026-03-08 02:00", "does not exist"),
        ("2026-03-08 02:59:59", "does not exist"),
        ("yesterday", "is not a time"),
        ("", "is not a time"),
        ("2026-02-30 09:30", "is not a time"),
        ("9999-12-31 23:00", "is not a time"),
        ("0001-01-01T00:00+05:00", "is not a time"),
    ],
)
def test_what_names_no_moment_is_refused(typed: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refusal:
        clock.read_moment(typed)
    assert repr(typed) in refusal.value.message and refusal.value.next_step


def test_the_advice_for_the_hour_that_repeats_can_be_typed() -> None:
    with pytest.raises(BadInput) as refusal:
        clock.read_moment("2026-11-01 01:30")
    words = (refusal.value.next_step or "").removeprefix("add the offset: ").split(" or ")
    assert [clock.read_moment(word) for word in words] == [utc(2026, 11, 1, 6, 30), utc(2026, 11, 1, 5, 30)]


def test_what_is_shown_names_the_zone() -> None:
    assert clock.show(utc(2026, 11, 1, 5, 30)) == "2026-11-01 01:30:00 EDT"
    assert clock.show(utc(2026, 11, 1, 6, 30)) == "2026-11-01 01:30:00 EST"


def test_home_time_runs_as_told_and_wall_time_does_not() -> None:
    since = clock.wall() - timedelta(seconds=100)
    clock.start(60.0, utc(2026, 11, 24, 14, 30), since)
    assert timedelta(seconds=6000) <= clock.now() - utc(2026, 11, 24, 14, 30) < timedelta(seconds=6600)
    assert abs(clock.wall() - since) < timedelta(seconds=110) and clock.rate() == 60
    clock.start()
    assert abs(clock.now() - clock.wall()) < timedelta(seconds=1)


def test_a_faster_day_without_an_origin_begins_where_it_was() -> None:
    since = clock.wall() - timedelta(seconds=10)
    clock.start(100.0, None, since)
    assert timedelta(seconds=1000) <= clock.now() - since < timedelta(seconds=2000)


def test_sleep_is_home_time_and_pause_is_wall_time() -> None:
    clock.start(100.0, utc(2026, 11, 24), clock.wall())

    async def main() -> tuple[float, float]:
        began = clock.monotonic()
        await clock.sleep(20)
        slept = clock.monotonic()
        await clock.pause(0.2)
        return slept - began, clock.monotonic() - slept

    slept, paused = asyncio.run(main())
    assert 0.19 <= slept < 2 and 0.19 <= paused < 2


def test_a_time_out_is_wall_time() -> None:
    clock.start(1000.0, utc(2026, 11, 24), clock.wall())

    async def main() -> None:
        async with clock.timeout(5):
            await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            async with clock.timeout(0.05):
                await asyncio.sleep(5)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("home", "day"),
    [
        (utc(2026, 11, 25, 4, 59, 59), date(2026, 11, 24)),
        (utc(2026, 11, 25, 5), date(2026, 11, 25)),
        (utc(2026, 7, 2, 3, 59, 59), date(2026, 7, 1)),
        (utc(2026, 7, 2, 4), date(2026, 7, 2)),
    ],
)
def test_today_is_new_yorks(home: datetime, day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "timestamp", home.timestamp)
    assert clock.today() == day


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
        (86399, "23h 59m"),
        (86400, "1d 0h"),
        (360000, "4d 4h"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert clock.show_age(seconds) == text
