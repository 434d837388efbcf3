from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from v6cli.home import Home
from v6cli.models import Account, Contract, Greeks, GreekSource, Position
from v6cli.state import database, mirror
from v6cli.state.database import State, open_read_only, open_state
from v6cli.state.errors import StateCorrupt
from v6cli.state.moments import to_text

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
    assert mirror.symbols(state) == ["SPX", "SPY"]


def test_the_next_sync_replaces_everything(state: State) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL, STOCK], greeks=[KNOWN])
    later = AT + timedelta(minutes=1)
    mirror.write(state, "r2", later, ACCOUNT, positions=[], greeks=[])
    assert mirror.read(state) == mirror.Mirror("r2", later, ACCOUNT, [], {})


@pytest.mark.parametrize("refused", [[STOCK, STOCK], [replace(STOCK, quantity=float("nan"))]], ids=["a contract twice", "no number"])
def test_a_book_that_could_not_be_read_again_leaves_the_mirror_before(home: Home, state: State, refused: list[Position]) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL], greeks=[KNOWN])
    with pytest.raises(ValueError, match=r"twice|quantity"):
        mirror.write(state, "r2", AT, ACCOUNT, positions=refused, greeks=[])
    with open_read_only(home) as looking:
        assert mirror.read(looking) == mirror.Mirror("r1", AT, ACCOUNT, [CALL], {2: KNOWN})


def test_a_price_or_a_greek_that_is_no_number_is_unknown(state: State) -> None:
    nan = float("nan")
    mirror.write(state, "r1", AT, ACCOUNT, positions=[replace(STOCK, price=nan)], greeks=[replace(KNOWN, delta=nan)])
    assert mirror.read(state) == mirror.Mirror("r1", AT, ACCOUNT, [STOCK], {2: replace(KNOWN, delta=None)})


def test_a_reader_sees_one_sync_while_the_next_is_written(home: Home, state: State) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL], greeks=[KNOWN])
    with open_read_only(home) as looking, looking.snapshot():
        assert mirror.seen(looking) == mirror.Seen("r1", AT)
        with open_state(home) as other:
            mirror.write(other, "r2", AT, ACCOUNT, positions=[STOCK], greeks=[])
        read = mirror.read(looking)
        assert read is not None
        assert (read.run, read.positions) == ("r1", [CALL])


@pytest.mark.parametrize("damage", ["substr(book, 1, 40)", "json_remove(book, '$.account')", "'[]'", "replace(book, '1234.5', '\"?\"')"])
def test_a_book_that_cannot_be_understood_is_damage_and_never_an_empty_one(state: State, damage: str) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL], greeks=[KNOWN])
    state.write(f"UPDATE mirror SET book = {damage}")
    with pytest.raises(StateCorrupt, match="what the last sync saw cannot be read"):
        mirror.read(state)


def test_sql_looks_into_the_book(state: State) -> None:
    mirror.write(state, "r1", AT, ACCOUNT, positions=[CALL, STOCK], greeks=[KNOWN])
    line = next(line.strip() for line in (mirror.__doc__ or "").splitlines() if "SELECT" in line)
    assert state.rows(line) == [("SPX", 2.0), ("SPY", -100.0)]


COLUMNS = (
    "mirror VALUES (1, 'r1', '{at}', 'DU1', 'USD', '{at}', 100000.0, 5.0, NULL, 7.0, 8.0, 9.0, 10.0, -11.0, 0.0, NULL)",
    "mirror_positions VALUES (0, 'DU1', 2, 'SPX', 'OPT', '2026-12-18', 6000, 'C', 100, 'USD', 'CBOE', '{name}', 'SPXW', 2, 1234.5, 12.3, 2460, -9, 0)",
    "mirror_positions VALUES (1, 'DU1', 1, 'SPY', 'STK', NULL, NULL, NULL, 1.0, 'USD', '', '', '', -100.0, 600.25, NULL, NULL, NULL, NULL)",
    "mirror_greeks VALUES (2, 'as of close', '{hour_before}', 0.5, 0.01, -1.5, 2.5, 0.18, 12.3, 6001.0)",
    "mirror_greeks VALUES (1, 'missing', '{at}', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "mirror_executions VALUES ('0001.01'), ('0001.02')",
)


@pytest.mark.parametrize("rows", [COLUMNS, ()], ids=["a book", "no sync yet"])
def test_the_columns_of_an_older_v6_are_carried_over(home: Home, rows: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the file is opened to look, which migrates a copy, or to write."""
    with monkeypatch.context() as older:
        older.setattr(database, "SCHEMA_VERSION", 2)
        older.setattr(database, "migrations", lambda now=database.migrations: now()[:2])
        with open_state(home) as state:
            for row in rows:
                state.write(
                    "INSERT INTO "
                    + row.format(at=to_text(AT), name=CALL.contract.local_symbol, hour_before=to_text(AT - timedelta(hours=1)))
                )
    saw = mirror.Mirror("r1", AT, ACCOUNT, [CALL, STOCK], {1: MISSING, 2: KNOWN}, frozenset({"0001.01", "0001.02"})) if rows else None
    for opened in (open_read_only, open_state, open_read_only):
        with opened(home) as state:
            assert mirror.read(state) == saw
            assert mirror.seen(state) == (mirror.Seen("r1", AT) if rows else None)


def test_times_are_kept_in_utc(state: State) -> None:
    new_york = AT.astimezone(timezone(timedelta(hours=-5)))
    mirror.write(state, "r1", new_york, ACCOUNT, positions=[], greeks=[])
    assert state.row("SELECT at FROM mirror") == ("2026-11-24T15:00:00.123456+00:00",)
