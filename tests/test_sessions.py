"""The market calendar against its source, and the hours of contracts in the nights when the clocks change."""

from __future__ import annotations

import runpy
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from v6cli import sessions
from v6cli.errors import BadConfiguration, BadInput
from v6cli.sessions import Session

FRIDAY_AFTER_THANKSGIVING = date(2026, 11, 27)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # between exchange_calendars and pandas
def test_the_calendar_is_what_its_source_says() -> None:
    written = sessions.CALENDAR.read_text()
    generated = runpy.run_path(str(Path(__file__).with_name("calendar_generate.py")))["generate"](tomllib.loads(written)["last"])
    assert written == generated, "python tests/calendar_generate.py writes it anew"


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2026, 11, 24), "2026-11-24 14:30", "2026-11-24 21:00"),
        (date(2026, 7, 6), "2026-07-06 13:30", "2026-07-06 20:00"),
        (date(2026, 3, 6), "2026-03-06 14:30", "2026-03-06 21:00"),
        (date(2026, 3, 9), "2026-03-09 13:30", "2026-03-09 20:00"),
        (date(2026, 10, 30), "2026-10-30 13:30", "2026-10-30 20:00"),
        (date(2026, 11, 2), "2026-11-02 14:30", "2026-11-02 21:00"),
        (date(2026, 11, 27), "2026-11-27 14:30", "2026-11-27 18:00"),
        (date(2026, 12, 24), "2026-12-24 14:30", "2026-12-24 18:00"),
        (date(2027, 11, 26), "2027-11-26 14:30", "2027-11-26 18:00"),
    ],
)
def test_sessions_on_ordinary_days_around_clock_changes_and_before_holidays(day: date, opens: str, closes: str) -> None:
    assert sessions.session(day) == Session(day, utc(opens), utc(closes))


@pytest.mark.parametrize(
    "day",
    [date(2026, 11, 26), date(2026, 12, 25), date(2026, 7, 3), date(2026, 4, 3), date(2025, 1, 9), date(2026, 11, 28), date(2026, 11, 29)],
)
def test_no_session_on_holidays_weekends_and_days_of_mourning(day: date) -> None:
    assert sessions.session(day) is None
    assert sessions.resolve("open-60m", day) is None
    assert sessions.resolve("16:30", day) is None


def test_neighbours_and_counts() -> None:
    thanksgiving = date(2026, 11, 26)
    assert sessions.previous(thanksgiving).day == date(2026, 11, 25)
    assert sessions.following(thanksgiving).day == FRIDAY_AFTER_THANKSGIVING
    assert sessions.following(FRIDAY_AFTER_THANKSGIVING).day == date(2026, 11, 30)
    assert [found.day.day for found in sessions.sessions(date(2026, 11, 23), date(2026, 11, 30))] == [23, 24, 25, 27, 30]
    assert [found.day.day for found in sessions.last_sessions(3, FRIDAY_AFTER_THANKSGIVING)] == [24, 25, 27]
    assert [found.day.day for found in sessions.last_sessions(2, date(2026, 11, 29))] == [25, 27]
    assert sessions.last_sessions(0, thanksgiving) == []


def test_open_includes_the_first_instant_and_excludes_the_last() -> None:
    moments = ["2026-11-27 14:29:59", "2026-11-27 14:30:00", "2026-11-27 17:59:59", "2026-11-27 18:00:00", "2026-11-28 15:00:00"]
    assert [sessions.is_open(utc(moment)) for moment in moments] == [False, True, True, False, False]
    assert sessions.is_open(datetime.fromisoformat("2026-11-24T23:30:00+09:00")), "any zone will do"


@pytest.mark.parametrize(
    ("text", "day", "moment"),
    [
        ("open-60m", date(2026, 11, 24), "2026-11-24 13:30"),
        ("open", date(2026, 11, 24), "2026-11-24 14:30"),
        ("close+30m", date(2026, 11, 24), "2026-11-24 21:30"),
        ("close+30m", FRIDAY_AFTER_THANKSGIVING, "2026-11-27 18:30"),
        ("close-1h15m", FRIDAY_AFTER_THANKSGIVING, "2026-11-27 16:45"),
        ("open-60m", date(2026, 3, 9), "2026-03-09 12:30"),
        ("16:30", FRIDAY_AFTER_THANKSGIVING, "2026-11-27 21:30"),
        ("16:30", date(2026, 7, 6), "2026-07-06 20:30"),
    ],
)
def test_times_of_a_session(text: str, day: date, moment: str) -> None:
    assert sessions.resolve(text, day) == utc(moment)


@pytest.mark.parametrize(
    "text", ["", "opening", "open-", "open-60", "open 60m", "close+30s", "25:00", "9:30", "16:30:00", "16:30+00", "-60m"]
)
@pytest.mark.parametrize("day", [date(2026, 11, 24), date(2026, 11, 26)])
def test_what_names_no_time_is_refused_on_any_day(text: str, day: date) -> None:
    with pytest.raises(BadInput):
        sessions.resolve(text, day)


def test_beyond_the_calendar_nothing_is_guessed() -> None:
    last = tomllib.loads(sessions.CALENDAR.read_text())["last"]
    assert last >= date(2028, 12, 31)
    for ask in (
        lambda: sessions.session(last + timedelta(days=1)),
        lambda: sessions.following(last),
        lambda: sessions.last_sessions(2, date(2020, 1, 2)),
    ):
        with pytest.raises(BadConfiguration, match="covers 2020-01-01 to ") as failure:
            ask()
        assert failure.value.next_step == "install a newer v6"


@pytest.mark.parametrize("content", [None, "", "first = 3", 'first = 2020-01-01\nlast = 2020-02-01\nopens = "late"'])
def test_a_damaged_calendar_says_so(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if content is not None:
        (tmp_path / "calendar.toml").write_text(content)
    monkeypatch.setattr(sessions, "CALENDAR", tmp_path / "calendar.toml")
    sessions._calendar.cache_clear()
    try:
        with pytest.raises(BadConfiguration, match="cannot be read"):
            sessions.session(date(2026, 11, 24))
    finally:
        sessions._calendar.cache_clear()


REGULAR = "20261124:0930-20261124:1615;20261125:0930-20261125:1615;20261126:CLOSED;20261127:0930-20261127:1315"
NIGHTLY = "20261031:CLOSED;20261101:1700-20261102:0830;20261102:0930-20261102:1615;20261102:1700-20261103:0830"


@pytest.mark.parametrize("zone", ["US/Eastern", "EST5EDT", "America/New_York", "EST (Eastern Standard Time)", "EST"])
def test_hours_in_every_name_of_new_york(zone: str) -> None:
    hours = sessions.parse_hours(REGULAR, zone)
    assert hours is not None
    assert hours.ranges[0] == (utc("2026-11-24 14:30"), utc("2026-11-24 21:15"))
    summer = sessions.parse_hours("20260706:0930-20260706:1615", zone)
    assert summer is not None
    assert summer.ranges == ((utc("2026-07-06 13:30"), utc("2026-07-06 20:15")),)


def test_a_contract_is_open_closed_or_unknown() -> None:
    hours = sessions.parse_hours(REGULAR, "US/Eastern")
    expected = {
        "2026-11-24 04:59": None,
        "2026-11-24 05:00": False,
        "2026-11-24 14:30": True,
        "2026-11-24 21:14": True,
        "2026-11-24 21:15": False,
        "2026-11-26 15:00": False,
        "2026-11-27 18:14": True,
        "2026-11-28 04:59": False,
        "2026-11-28 05:00": None,
    }
    assert {moment: sessions.open_at(hours, utc(moment)) for moment in expected} == expected


def test_the_next_opening_of_a_contract() -> None:
    hours = sessions.parse_hours(REGULAR, "US/Eastern")
    asked = ["2026-11-24 12:00", "2026-11-24 15:00", "2026-11-25 22:00", "2026-11-27 19:00", "2026-11-20 12:00"]
    found = [sessions.next_open(hours, utc(moment)) for moment in asked]
    assert found == [utc("2026-11-24 14:30"), utc("2026-11-24 15:00"), utc("2026-11-27 14:30"), None, None]


def test_sunday_evening_after_the_clocks_went_back() -> None:
    hours = sessions.parse_hours(NIGHTLY, "US/Central")
    assert hours is not None
    assert hours.ranges[0] == (utc("2026-11-01 23:00"), utc("2026-11-02 14:30"))
    expected = {
        "2026-10-31 12:00": False,
        "2026-11-01 22:59": False,
        "2026-11-01 23:00": True,
        "2026-11-02 14:45": False,
        "2026-11-03 14:29": True,
        "2026-11-03 14:30": None,  # the evening of the 3rd belongs to a session that is not stated
    }
    assert {moment: sessions.open_at(hours, utc(moment)) for moment in expected} == expected


def test_before_the_first_stated_night_nothing_is_known() -> None:
    hours = sessions.parse_hours("20260308:1700-20260309:1600", "US/Central")
    assert hours is not None
    assert hours.ranges == ((utc("2026-03-08 22:00"), utc("2026-03-09 21:00")),)
    assert sessions.open_at(hours, utc("2026-03-08 12:00")) is None
    assert sessions.next_open(hours, utc("2026-03-08 12:00")) is None


def test_hours_as_older_gateways_write_them() -> None:
    older = sessions.parse_hours("20261124:0930-1200,1230-1615;20261125:1700-0830", "EST5EDT")
    assert older is not None
    assert older.ranges == (
        (utc("2026-11-24 14:30"), utc("2026-11-24 17:00")),
        (utc("2026-11-24 17:30"), utc("2026-11-24 21:15")),
        (utc("2026-11-25 22:00"), utc("2026-11-26 13:30")),
    )
    whole = sessions.parse_hours("20261124:0000-2400", "UTC")
    assert whole is not None
    assert whole.ranges == ((utc("2026-11-24 00:00"), utc("2026-11-25 00:00")),)


@pytest.mark.parametrize("zone", ["", "CST", "MST", "MST (Mountain Standard Time)", "Eastern", "../../etc/passwd", "US"])
def test_an_unknown_zone_makes_hours_unknown(zone: str) -> None:
    assert sessions.parse_hours(REGULAR, zone) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "CLOSED",
        "20261124",
        "20261124:",
        "2026-11-24:0930-1600",
        "20261124:0930",
        "20261324:CLOSED",
        "20261124:0930-20261124:2560",
        "20261124:1600-20261124:0930",
        REGULAR + ";x",
    ],
)
def test_hours_that_cannot_be_read_are_unknown(text: str) -> None:
    assert sessions.parse_hours(text, "US/Eastern") is None
    assert sessions.open_at(None, utc("2026-11-24 15:00")) is None
    assert sessions.next_open(None, utc("2026-11-24 15:00")) is None
