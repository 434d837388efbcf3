from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from v6cli.errors import V6Error
from v6cli.home import Home
from v6cli.models import Account, Contract, Greeks, GreekSource, Position
from v6cli.state import mirror
from v6cli.state.database import State, open_read_only, open_state

AT = datetime(2026, 11, 24, 15, 0, 0, 123456, tzinfo=UTC)
ACCOUNT = Account("DU1", "USD", AT, 100_000.0, 5.0, None, 7.0, 8.0, 9.0, 10.0, -11.0, 0.0, None)
STOCK = Position("DU1", Contract(1, "SPY", "STK"), -100.0, 600.25)
CALL = Position(
    "DU1",
    Contract(2, "SPX", "OPT", date(2026, 12, 18), 6000.0, "C", 100.0, "USD", "CBOE", "SPXW  261218C06000000", "SPXW"),
    2.0,
    1234.5,
    12.3,
    2460.0,
    -9.0,
    0.0,
)
KNOWN = Greeks(2, GreekSource.AS_OF_CLOSE, AT - timedelta(hours=1), 0.5, 0.01, -1.5, 2.5, 0.18, 12.3, 6001.0)
MISSING = Greeks(1, GreekSource.MISSING, AT)


def test_the_mirror_is_what_was_written(state: State) -> None:
    assert mirror.read(state) is None
    assert mirror.seen(state) is None
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL, STOCK], greeks=[KNOWN, MISSING])
    assert mirror.read(state) == mirror.Mirror("r1", AT, ACCOUNT, [CALL, STOCK], {1: MISSING, 2: KNOWN})
    assert mirror.seen(state) == mirror.Seen("r1", AT)
    assert mirror.positions(state) == [CALL, STOCK]
    assert mirror.greeks(state) == {1: MISSING, 2: KNOWN}
    assert mirror.account(state) == ACCOUNT


def test_every_field_comes_back(state: State) -> None:
    """A field added to a model and forgotten here would come back as its default."""
    for noun in (CALL, CALL.contract, KNOWN):
        fields = type(noun).__struct_fields__
        assert all(getattr(noun, field) not in (None, "") for field in fields), f"give each field of {type(noun).__name__} a value here"
    full = Account("DU1", "EUR", AT, *(float(number) for number in range(1, len(Account.__struct_fields__) - 2)))
    mirror.write(state, "r1", AT, full, positions=[CALL], greeks=[KNOWN])
    assert mirror.account(state) == full


def test_the_next_sync_replaces_everything(state: State) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL, STOCK], greeks=[KNOWN])
    later = AT + timedelta(minutes=1)
    mirror.write(state, "r2", later, ACCOUNT, positions=[], greeks=[])
    assert mirror.read(state) == mirror.Mirror("r2", later, ACCOUNT, [], {})


def test_a_write_that_fails_leaves_the_mirror_before(home: Home, state: State) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL], greeks=[KNOWN])
    with pytest.raises((sqlite3.IntegrityError, V6Error)):
        mirror.write(state, "r2", AT, ACCOUNT, positions=[STOCK, STOCK], greeks=[])
    with open_read_only(home) as looking:
        assert mirror.read(looking) == mirror.Mirror("r1", AT, ACCOUNT, [CALL], {2: KNOWN})


def test_a_reader_sees_one_sync_while_the_next_is_written(home: Home, state: State) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL], greeks=[KNOWN])
    with open_read_only(home) as looking, looking.snapshot():
        assert mirror.seen(looking) == mirror.Seen("r1", AT)
        with open_state(home) as other:
            mirror.write(other, "r2", AT, ACCOUNT, positions=[STOCK], greeks=[])
        assert mirror.positions(looking) == [CALL]
        read = mirror.read(looking)
        assert read is not None
        assert read.run == "r1"


def test_reading_is_one_look(home: Home, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL], greeks=[KNOWN])
    real = mirror.positions

    def positions(looked_at: State) -> list[Position]:
        with open_state(home) as other:
            mirror.write(other, "r2", AT, ACCOUNT, positions=[STOCK], greeks=[])
        return real(looked_at)

    monkeypatch.setattr(mirror, "positions", positions)
    with open_read_only(home) as looking:
        assert mirror.read(looking) == mirror.Mirror("r1", AT, ACCOUNT, [CALL], {2: KNOWN})


def test_times_are_kept_in_utc(state: State) -> None:
    new_york = AT.astimezone(timezone(timedelta(hours=-5)))
    mirror.write(state, "r1", new_york, ACCOUNT, positions=[], greeks=[])
    assert state.row("SELECT at FROM mirror") == ("2026-11-24T15:00:00.123456+00:00",)
