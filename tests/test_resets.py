"""IB's reset windows: their edges, and the nights in which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from v6cli import clock, resets, settings
from v6cli.resets import Window

NEW_YORK = "America/New_York"
OWN = settings.builtin("paper").gateway


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def end(moment: str, windows=OWN.resets, zone: str = NEW_YORK) -> str | None:
    found = resets.end_of_reset(windows, zone, utc(moment))
    return clock.show(found) if found else None


@pytest.mark.parametrize(
    ("moment", "ends"),
    [
        # Tuesday, 24 November: the night's window alone.
        ("2026-11-24T00:14:59-05:00", None),
        ("2026-11-24T00:15:00-05:00", "2026-11-24 01:45:00 EST"),
        ("2026-11-24T01:44:59-05:00", "2026-11-24 01:45:00 EST"),
        ("2026-11-24T01:45:00-05:00", None),
        ("2026-11-24T12:00:00-05:00", None),
        # Saturday night into Sunday: the week's window holds the night's.
        ("2026-11-28T22:59:59-05:00", None),
        ("2026-11-28T23:00:00-05:00", "2026-11-29 03:00:00 EST"),
        ("2026-11-29T00:30:00-05:00", "2026-11-29 03:00:00 EST"),
        ("2026-11-29T02:59:59-05:00", "2026-11-29 03:00:00 EST"),
        ("2026-11-29T03:00:00-05:00", None),
        # Sunday night into Monday is a night like any other.
        ("2026-11-29T23:30:00-05:00", None),
        ("2026-11-30T00:15:00-05:00", "2026-11-30 01:45:00 EST"),
        # The same instants, told in another zone.
        ("2026-11-29T04:00:00+00:00", "2026-11-29 03:00:00 EST"),
        ("2026-11-29T08:00:00+00:00", None),
    ],
)
def test_the_edges_of_the_windows_of_north_america(moment: str, ends: str | None) -> None:
    assert end(moment) == ends


@pytest.mark.parametrize(
    ("moment", "ends"),
    [
        # 8 March 2026: 02:00 EST is 03:00 EDT, and the week's window an hour shorter.
        ("2026-03-07T23:00:00-05:00", "2026-03-08 03:00:00 EDT"),
        ("2026-03-08T01:59:59-05:00", "2026-03-08 03:00:00 EDT"),
        ("2026-03-08T03:00:00-04:00", None),
        # 1 November 2026: 02:00 EDT is 01:00 EST, and the window ends at the only 03:00 there is.
        ("2026-10-31T23:00:00-04:00", "2026-11-01 03:00:00 EST"),
        ("2026-11-01T01:30:00-04:00", "2026-11-01 03:00:00 EST"),
        ("2026-11-01T02:59:59-05:00", "2026-11-01 03:00:00 EST"),
        ("2026-11-01T03:00:00-05:00", None),
    ],
)
def test_the_weekend_in_which_the_clocks_change(moment: str, ends: str | None) -> None:
    assert end(moment) == ends


@pytest.mark.parametrize(
    ("moment", "window", "ends"),
    [
        # 01:45 comes twice: the window lasts until the second.
        ("2026-11-01T00:15:00-04:00", "00:15 - 01:45", "2026-11-01 01:45:00 EST"),
        ("2026-11-01T01:50:00-04:00", "00:15 - 01:45", "2026-11-01 01:45:00 EST"),
        ("2026-11-01T01:44:00-05:00", "00:15 - 01:45", "2026-11-01 01:45:00 EST"),
        ("2026-11-01T01:45:00-05:00", "00:15 - 01:45", None),
        # 01:10 comes twice: the window begins at the first.
        ("2026-11-01T01:10:00-04:00", "01:10 - 04:00", "2026-11-01 04:00:00 EST"),
        ("2026-11-01T01:09:59-04:00", "01:10 - 04:00", None),
        # 02:30 does not come: the window is not cut short by it.
        ("2026-03-08T03:29:00-04:00", "00:15 - 02:30", "2026-03-08 03:30:00 EDT"),
        ("2026-03-08T03:30:00-04:00", "00:15 - 02:30", None),
        ("2026-03-08T01:30:00-05:00", "02:30 - 04:00", "2026-03-08 04:00:00 EDT"),
        ("2026-03-08T01:29:59-05:00", "02:30 - 04:00", None),
    ],
)
def test_an_edge_that_comes_twice_or_never(moment: str, window: str, ends: str | None) -> None:
    assert end(moment, (window,)) == ends


def test_the_windows_of_another_region() -> None:
    hong_kong = ("Sat 23:00 - Sun 03:00", "05:00 - 06:00")
    assert end("2026-11-24T05:30:00+08:00", hong_kong, "Asia/Hong_Kong") == "2026-11-23 17:00:00 EST"
    assert end("2026-11-24T00:30:00-05:00", hong_kong, "Asia/Hong_Kong") is None
    assert end("2026-11-24T00:30:00-05:00", ()) is None


def test_a_window_that_begins_before_a_midnight_that_is_skipped() -> None:
    """In Beirut 00:15 did not come on 29 March 2026: it is read as 23:15 of the day before, too."""
    found = resets.end_of_reset(("00:15 - 01:45",), "Asia/Beirut", utc("2026-03-28T23:20:00+02:00"))
    assert found == utc("2026-03-29T01:45:00+03:00")


def test_every_night_of_a_year_has_its_window() -> None:
    first = utc("2026-01-01T05:20:00+00:00")  # 00:20 EST, and 01:20 EDT
    nights = [first + timedelta(days=day) for day in range(365)]
    assert [night for night in nights if not resets.end_of_reset(OWN.resets, NEW_YORK, night)] == []


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("Sat 23:00 - Sun 03:00", Window(5, time(23), 1, time(3))),
        ("Sat 23:00-03:00", Window(5, time(23), 1, time(3))),
        ("  Sun 01:00  -  Sun 02:00 ", Window(6, time(1), 0, time(2))),
        ("Sun 23:00 - Mon 01:00", Window(6, time(23), 1, time(1))),
        ("23:30 - 00:30", Window(None, time(23, 30), 1, time(0, 30))),
        ("00:00 - 12:00", Window(None, time(0), 0, time(12))),
    ],
)
def test_windows_as_they_are_written(text: str, window: Window) -> None:
    assert resets.parse(text) == window


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no end"),
        ("23:00", "no end"),
        ("Sat 23:00 - Sun 24:00", "'Sun 24:00' is no time"),
        ("sat 23:00 - Sun 03:00", "'sat 23:00' is no time"),
        ("Saturday 23:00 - 03:00", "is no time"),
        ("1:00 - 2:00", "'1:00' is no time"),
        ("00:15 - 01:45 - 02:00", "is no time"),
        ("00:15 - Sun 01:45", "its begin has none"),
        ("00:15 - 00:15", "lasts 1d 0h"),
        ("00:15 - 12:16", "lasts 12h 01m"),
        ("Sat 23:00 - Mon 03:00", "lasts 1d 4h"),
        ("Sat 23:00 - Sat 22:00", "lasts 6d 23h"),
        ("00:15\n- 01:45\x00", "is no time"),
    ],
)
def test_what_is_no_window_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        resets.parse(text)
