"""Between the nouns of ``models`` and rows of the lake. A row is a dict from column to value; what no column is called is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from v6cli import clock
from v6cli.models import Account, Contract, Fill, Greeks, GreekSource, Position

Row = dict[str, Any]

_ACCOUNT_FIELDS = Account.__struct_fields__
_CONTRACT_FIELDS = Contract.__struct_fields__
_POSITION_FIELDS = tuple(field for field in Position.__struct_fields__ if field != "contract")
_FILL_FIELDS = tuple(field for field in Fill.__struct_fields__ if field != "contract")
_GREEK_VALUES = ("delta", "gamma", "theta", "vega", "implied_volatility", "price", "underlying_price")


class SyncRunRecord(Struct, frozen=True):
    """One row of ``sync_runs``: what a sync was, and which versions of the tables belong together.

    The sync fills ``run``, ``began``, ``outcome``, ``account``, ``at`` (when the gateway showed the picture, None where it
    got none), ``differences`` (JSON), ``carried`` and ``note``; the writer fills the rest. Times are UTC.
    """

    run: str
    began: datetime
    outcome: str
    account: str
    at: datetime | None = None
    ended: datetime | None = None
    number: int = 0
    positions: int | None = None
    greeks_known: int | None = None
    greeks_unknown: int | None = None
    executions: int = 0
    differences: str = "[]"
    versions: dict[str, int] = {}
    carried: int | None = None
    note: str = ""


@lru_cache(maxsize=64)
def session_date(moment: datetime) -> date:
    """The New York day of a moment: the partition its rows go to."""
    return moment.astimezone(clock.eastern()).date()


def position_row(run: str, at: datetime, position: Position) -> Row:
    """A position as a row of ``positions`` and ``position_history``."""
    return {"run": run, "at": at, "date": session_date(at), **asdict(position), **asdict(position.contract)}


def position(row: Mapping[str, Any]) -> Position:
    """The position in a row."""
    return Position(contract=_contract(row), **{field: row[field] for field in _POSITION_FIELDS})


def greeks_row(run: str, at: datetime, account: str, symbol: str | None, greeks: Greeks) -> Row:
    """Greeks as a row of ``greeks_history``; ``at`` is when the sync saw them, ``greeks.at`` when they were true."""
    row = asdict(greeks)
    row.update(run=run, at=at, date=session_date(at), account=account, symbol=symbol, source=greeks.source.value, greeks_at=greeks.at)
    return row


def greeks(row: Mapping[str, Any]) -> Greeks:
    """The greeks in a row."""
    values = {field: row[field] for field in _GREEK_VALUES}
    return Greeks(con_id=row["con_id"], source=GreekSource(row["source"]), at=_utc(row["greeks_at"]), **values)


def account_row(run: str, at: datetime, account: Account) -> Row:
    """The account as a row of ``account_history``, filed under the day of the sync's picture."""
    return {"run": run, "date": session_date(at), **asdict(account)}


def account(row: Mapping[str, Any]) -> Account:
    """The account in a row."""
    values = {field: row[field] for field in _ACCOUNT_FIELDS}
    return Account(**{**values, "at": _utc(row["at"])})


def execution_row(run: str, recorded: datetime, fill: Fill) -> Row:
    """A fill as a row of ``executions``, filed under the day it was filled."""
    return {"run": run, "recorded": recorded, "date": session_date(fill.at), **asdict(fill), **asdict(fill.contract)}


def execution(row: Mapping[str, Any]) -> Fill:
    """The fill in a row."""
    values = {field: row[field] for field in _FILL_FIELDS}
    return Fill(contract=_contract(row), **{**values, "at": _utc(row["at"])})


def sync_run_row(record: SyncRunRecord) -> Row:
    """A sync as a row of ``sync_runs``, filed under the day it began."""
    row = asdict(record)
    row["versions"] = msgspec.json.encode(record.versions, order="sorted").decode()
    row["date"] = session_date(record.began)
    return row


def sync_run(row: Mapping[str, Any]) -> SyncRunRecord:
    """The sync in a row."""
    values = {field: row[field] for field in SyncRunRecord.__struct_fields__}
    values["versions"] = msgspec.json.decode(row["versions"], type=dict[str, int])
    for field in ("began", "ended", "at"):
        values[field] = _utc(row[field]) if row[field] is not None else None
    return SyncRunRecord(**values)


def _contract(row: Mapping[str, Any]) -> Contract:
    return Contract(**{field: row[field] for field in _CONTRACT_FIELDS})


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
