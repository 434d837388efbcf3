"""What was: positions, greeks, account, executions and syncs, as the last sync named them.

Each function takes the lake's folder, or a Snapshot of it: who reads several tables takes one ``tables.pin`` and hands it to
each, so that all of them show the same sync.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadInput
from v6cli.lake import durability, rows, scan, table_files
from v6cli.lake.errors import LakeEmpty, LakeUnreadable
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS, TABLES
from v6cli.lake.tables import Snapshot, open_table, pin
from v6cli.models import Account, Fill, Greeks, Position


def positions(lake: Path | Snapshot, at: datetime | None = None) -> list[Position]:
    """What the account held when the last sync saw it, or the last sync at or before ``at``; by symbol and contract.

    Raises LakeEmpty where no sync has a picture, BadInput where none has one that early, LakeUnreadable.
    """
    snapshot = _pinned(lake)
    if at is None:
        _picture(snapshot)
        found = scan.select(snapshot.open("positions"), "positions", order="symbol, expiry, strike, con_id")
    else:
        found = scan.select(
            snapshot.open("position_history"), "position_history", _of(_picture(snapshot, at)), order="symbol, expiry, strike, con_id"
        )
    return [rows.position(row) for row in found]


def greeks(lake: Path | Snapshot) -> dict[int, Greeks]:
    """The greeks that the last sync with a picture saw, by contract id. Raises LakeEmpty, LakeUnreadable."""
    snapshot = _pinned(lake)
    found = scan.select(snapshot.open("greeks_history"), "greeks_history", _of(_picture(snapshot)), order="con_id")
    return {row["con_id"]: rows.greeks(row) for row in found}


def account(lake: Path | Snapshot) -> Account | None:
    """The account as the last sync with a picture saw it; None where it did not. Raises LakeEmpty, LakeUnreadable."""
    snapshot = _pinned(lake)
    found = scan.select(snapshot.open("account_history"), "account_history", _of(_picture(snapshot)), limit=1)
    return rows.account(found[0]) if found else None


def executions(lake: Path | Snapshot, since: datetime | None = None) -> list[Fill]:
    """Every fill at or after ``since``, each once, in the order of their times. Raises LakeEmpty, LakeUnreadable."""
    where = "" if since is None else f"date >= {scan.day(rows.session_date(since))} and at >= {scan.moment(since)}"
    found = scan.select(_pinned(lake).open("executions"), "executions", where, order="recorded")
    latest = {row["exec_id"]: rows.execution(row) for row in found}
    return sorted(latest.values(), key=lambda fill: (fill.at, fill.exec_id))


def sync_runs(lake: Path, limit: int = 20) -> list[SyncRunRecord]:
    """The last syncs, newest first; empty in a lake that has none. Raises LakeUnreadable."""
    table = open_table(lake, SYNC_RUNS)
    last = scan.last_sync_run(table)
    if last is None:
        return []
    return [
        rows.sync_run(row) for row in scan.select(table, SYNC_RUNS, f"number > {last.number - limit}", order="number desc", limit=limit)
    ]


def last_run(lake: Path) -> SyncRunRecord | None:
    """The last sync, None in a lake that has none. Raises LakeUnreadable."""
    return scan.last_sync_run(open_table(lake, SYNC_RUNS))


def readable(lake: Path) -> list[str]:
    """What is wrong with the lake, one line each; empty when every table opens at the version the last sync named. Never raises V6Error."""
    try:
        versions = pin(lake).versions
    except LakeEmpty:
        versions = {}
    except LakeUnreadable as error:
        return [error.message]
    problems = []
    for name in TABLES:
        try:
            _files(lake, name, versions.get(name))
        except LakeUnreadable as error:
            problems.append(error.message)
    return problems


class TableVersion(Struct, frozen=True):
    """A table: the version that the last sync named (None before one did), the last one in its log, its files, what is wrong."""

    table: str
    named: int | None
    last: int | None
    files: int | None
    problem: str = ""


def versions(lake: Path) -> list[TableVersion]:
    """Every table with its versions. Never raises V6Error."""
    problem = ""
    try:
        named = pin(lake).versions
    except (LakeEmpty, LakeUnreadable) as error:
        named, problem = {}, error.message
    return [_version(lake, name, named.get(name), problem) for name in TABLES]


def _version(lake: Path, name: str, named: int | None, problem: str) -> TableVersion:
    last = durability.last_commit(lake / name)
    try:
        return TableVersion(name, named, last, _files(lake, name, named), problem)
    except LakeUnreadable as error:
        return TableVersion(name, named, last, None, error.message)


def _files(lake: Path, name: str, version: int | None) -> int:
    """How many data files the table has, whose log is looked at, too. Raises LakeUnreadable."""
    table = open_table(lake, name, version)
    table_files.check_log(lake / name, table.version())
    return len(table.file_uris())


def _pinned(lake: Path | Snapshot) -> Snapshot:
    return lake if isinstance(lake, Snapshot) else pin(lake)


def _picture(snapshot: Snapshot, at: datetime | None = None) -> SyncRunRecord:
    """The last sync that saw the account's positions, at or before ``at``."""
    if at is None and snapshot.record.at is not None:
        return snapshot.record
    where = f"number <= {snapshot.record.number} and at is not null"
    where += "" if at is None else f" and at <= {scan.moment(at)}"
    found = scan.select(open_table(snapshot.lake, SYNC_RUNS), SYNC_RUNS, where, order="at desc, number desc", limit=1)
    if found:
        return rows.sync_run(found[0])
    if at is None:
        raise LakeEmpty(f"no sync in the lake {snapshot.lake} has seen the account's positions")
    raise BadInput(f"the lake knows no positions at or before {clock.show(at)}", next_step="ask for a later time")


def _of(record: SyncRunRecord) -> str:
    """The rows of one sync, as SQL; the day keeps the other partitions closed."""
    assert record.at is not None
    return f"date = {scan.day(rows.session_date(record.at))} and run = {scan.text(record.run)}"
