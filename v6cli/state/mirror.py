"""What the sync saw last: positions, greeks and account, replaced as one.

One JSON text: every look at the present reads the whole of it. Measured with 1,000 positions and their greeks, decoding it takes
18 million instructions, as columns of a row each they were 49 million, a tenth of ``v6 positions``. SQL still looks into it::

    SELECT json_extract(value, '$.contract.symbol'), json_extract(value, '$.quantity') FROM mirror, json_each(book, '$.positions')
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from v6cli.models import Account, Greeks, Position
from v6cli.state.errors import damaged, other_account
from v6cli.state.moments import from_text, to_text

if TYPE_CHECKING:
    from v6cli.state.database import Migration, State

TABLES = (
    """
    CREATE TABLE mirror (             -- one row, or none before the first sync
        only INTEGER PRIMARY KEY CHECK (only = 1),
        run TEXT NOT NULL,            -- the sync that saw all of this
        at TEXT NOT NULL,             -- UTC, when it saw it
        account TEXT NOT NULL,
        currency TEXT NOT NULL,
        account_at TEXT NOT NULL,     -- UTC, when the amounts were true
        net_liquidation REAL, cash REAL, buying_power REAL, excess_liquidity REAL, initial_margin REAL,
        maintenance_margin REAL, gross_position_value REAL, unrealized REAL, realized REAL, daily REAL
    ) STRICT
    """,
    """
    CREATE TABLE mirror_positions (
        place INTEGER PRIMARY KEY,    -- the order in which the sync wrote them
        account TEXT NOT NULL,
        con_id INTEGER NOT NULL,
        symbol TEXT NOT NULL, kind TEXT NOT NULL, expiry TEXT, strike REAL, right TEXT, multiplier REAL NOT NULL,
        currency TEXT NOT NULL, exchange TEXT NOT NULL, local_symbol TEXT NOT NULL, trading_class TEXT NOT NULL,
        quantity REAL NOT NULL, average_cost REAL NOT NULL,
        price REAL, value REAL, unrealized REAL, realized REAL,  -- NULL is unknown
        UNIQUE (account, con_id)
    ) STRICT
    """,
    """
    CREATE TABLE mirror_greeks (
        con_id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        at TEXT NOT NULL,             -- UTC, when they were true
        delta REAL, gamma REAL, theta REAL, vega REAL, implied_volatility REAL, price REAL, underlying_price REAL
    ) STRICT
    """,
    """
    CREATE TABLE mirror_executions (  -- those the sync knew, so that the next one can tell which are new
        exec_id TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID
    """,
)


class Seen(Struct, frozen=True):
    """Which sync saw what the mirror holds, and when (UTC): enough for its age."""

    run: str
    at: datetime


class Mirror(Struct, frozen=True):
    """All that one sync saw, at ``at`` (UTC). ``greeks`` are by contract id; a contract without any has unknown greeks.

    ``executions`` are the ids of the executions it knew, so that the next one can tell which are new.
    """

    run: str
    at: datetime
    account: Account
    positions: list[Position]
    greeks: dict[int, Greeks]
    executions: frozenset[str] = frozenset()

    def check_account(self, pinned: str) -> None:
        """Raise OtherAccount where it is the book of another account than the one that the home is pinned to, if it is."""
        if pinned not in {"", self.account.account}:
            raise other_account(self.account.account, pinned)


def write(
    state: State,
    run: str,
    at: datetime,
    account: Account,
    *,
    positions: Iterable[Position],
    greeks: Iterable[Greeks],
    executions: Iterable[str] = (),
) -> None:
    """Replace everything by what the sync ``run`` saw at ``at``. Readers see the old mirror or the new one.

    Raises CannotWrite, and ValueError for a book that could not be read again: a quantity that is no number, a contract held twice.
    """
    book = Mirror(run, at, account, list(positions), {one.con_id: one for one in greeks}, frozenset(executions))
    if len({(held.account, held.contract.con_id) for held in book.positions}) < len(book.positions):
        raise ValueError(f"the sync {run} holds a contract twice")
    text = msgspec.json.encode(book).decode()
    msgspec.json.decode(text, type=Mirror)
    state.write("INSERT OR REPLACE INTO mirror (only, run, at, book) VALUES (1, ?, ?, ?)", (run, to_text(at), text))


def read(state: State) -> Mirror | None:
    """What one sync saw, whole; None before the first sync. Raises StateCorrupt where it cannot be understood."""
    found = state.row("SELECT book FROM mirror")
    if found is None:
        return None
    try:
        return msgspec.json.decode(found[0], type=Mirror)
    except msgspec.DecodeError as error:
        raise damaged(state.path, f"what the last sync saw cannot be read: {error}") from error


def seen(state: State) -> Seen | None:
    """Which sync wrote the mirror; None before the first."""
    found = state.row("SELECT run, at FROM mirror")
    return Seen(found[0], from_text(found[1])) if found else None


def symbols(state: State) -> list[str]:
    """The symbols held, in order."""
    book = read(state)
    return sorted({held.contract.symbol for held in book.positions}) if book else []


def fold(connection: sqlite3.Connection) -> None:
    """Carry the columns of schema 2 over into the one text of schema 3: the next sync compares with what the last one saw."""
    cursor = connection.cursor()
    cursor.row_factory = lambda rows, row: dict(zip((column[0] for column in rows.description), row, strict=True))
    for last in cursor.execute("SELECT * FROM mirror_columns").fetchall():
        held = cursor.execute("SELECT * FROM mirror_positions ORDER BY place").fetchall()
        known = cursor.execute("SELECT * FROM mirror_greeks ORDER BY con_id").fetchall()
        book = {
            **last,
            "account": {**last, "at": last["account_at"]},
            "positions": [{**row, "contract": row} for row in held],
            "greeks": {row["con_id"]: row for row in known},
            "executions": [exec_id for (exec_id,) in connection.execute("SELECT exec_id FROM mirror_executions")],
        }
        text = msgspec.json.encode(msgspec.convert(book, Mirror)).decode()
        connection.execute("INSERT INTO mirror (only, run, at, book) VALUES (1, ?, ?, ?)", (last["run"], last["at"], text))


IN_ONE_TEXT: tuple[Migration, ...] = (
    "ALTER TABLE mirror RENAME TO mirror_columns",
    """
    CREATE TABLE mirror (             -- one row, or none before the first sync
        only INTEGER PRIMARY KEY CHECK (only = 1),
        run TEXT NOT NULL,            -- the sync that saw all of this
        at TEXT NOT NULL,             -- UTC, when it saw it
        book TEXT NOT NULL            -- JSON: all that it saw
    ) STRICT
    """,
    fold,
    *(f"DROP TABLE {table}" for table in ("mirror_columns", "mirror_positions", "mirror_greeks", "mirror_executions")),
)
