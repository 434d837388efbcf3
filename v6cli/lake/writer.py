"""One sync into the lake: each table once, ``sync_runs`` last.

Readers see the versions that the last row of ``sync_runs`` names, so a commit that ends in between, however it ends, changes
nothing for them. The next commit builds on what it left: a current table is overwritten, executions are known by their key,
and rows of a history belong to a run that no row of ``sync_runs`` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from v6cli import clock
from v6cli.lake import rows, scan
from v6cli.lake.durability import LOG
from v6cli.lake.errors import LakeUnreadable
from v6cli.lake.handles import Handles
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS
from v6cli.lake.tables import hold_writers, private_modes
from v6cli.models import Account, Fill, Greeks, Position

WRITER_WAIT = 30.0

_PICTURE_HISTORIES = ("position_history", "greeks_history", "account_history")


class Batch(Struct, frozen=True):
    """What one sync writes.

    ``positions`` is everything the account holds when ``record.at`` says when it was seen, and must be empty when that is
    None: a sync without a picture leaves positions, greeks and account as they are.
    """

    record: SyncRunRecord
    positions: Sequence[Position] = ()
    greeks: Sequence[Greeks] = ()
    account: Account | None = None
    executions: Sequence[Fill] = ()


class Writer:
    """Commits to one lake, with its tables held open. Keep it for as long as you sync; threads take turns."""

    def __init__(self, lake: Path, *, wait: float = WRITER_WAIT) -> None:
        self._lake = lake
        self._wait = wait
        self._handles = Handles(lake)
        self._executions = KnownExecutions()

    def commit(self, batch: Batch) -> dict[str, int]:
        """Write the batch; the version of each table it wrote.

        Raises Refused naming another writer that does not end in time, LakeUnreadable for a missing or broken table, and
        CannotWrite. After an error readers see the sync before, unless only the last fsync failed.
        """
        if not (self._lake / SYNC_RUNS / LOG).is_dir():
            raise LakeUnreadable(f"no lake in {self._lake}")
        with hold_writers(self._lake, f"sync {batch.record.run}", self._wait), private_modes():
            try:
                return self._commit(batch)
            except BaseException:
                self._handles.forget()
                raise

    def look_again(self) -> None:
        """Trust nothing that was open: a held table does not notice what became of its older files."""
        self._handles.forget()

    def _commit(self, batch: Batch) -> dict[str, int]:
        handles, record = self._handles, batch.record
        if handles.refresh():
            self._executions.forget()
        before = handles.versions()
        self._clear_earlier_attempt(record.run)
        if record.at is not None:
            _put_picture(handles, batch, record.at)
        fresh = self._executions.fresh(handles, batch.executions)
        if fresh:
            recorded = clock.now()
            handles.put("executions", [rows.execution_row(record.run, recorded, fill) for fill in fresh])
            self._executions.add(fresh)
        handles.make_durable()
        named = _complete(batch, handles, len(fresh))
        handles.put(SYNC_RUNS, [rows.sync_run_row(named)])
        handles.make_durable()
        handles.last = named
        written = {name: version for name, version in named.versions.items() if version != before[name]}
        written[SYNC_RUNS] = handles.table(SYNC_RUNS).version()
        handles.shorten_logs()
        return written

    def _clear_earlier_attempt(self, run: str) -> None:
        """A run that is committed again must not count its rows twice."""
        handles = self._handles
        repeated = handles.last is not None and handles.last.run == run
        for name in _PICTURE_HISTORIES:
            if repeated or name in handles.unnamed:
                handles.delete_run(name, run)
        handles.unnamed.clear()


class KnownExecutions:
    """Which executions the lake has, for the days that were asked about: exec_id to whether its commission is known."""

    def __init__(self) -> None:
        self._days: set[date] = set()
        self._complete: dict[str, bool] = {}

    def forget(self) -> None:
        """Somebody else wrote: read again."""
        self._days.clear()
        self._complete.clear()

    def fresh(self, handles: Handles, fills: Iterable[Fill]) -> list[Fill]:
        """Those of the fills that tell the lake something: it lacks them, or it has them without their commission."""
        told: dict[str, Fill] = {}
        for fill in fills:
            if fill.exec_id not in told or fill.commission is not None:
                told[fill.exec_id] = fill
        self._read(handles, {rows.session_date(fill.at) for fill in told.values()})
        return [fill for fill in told.values() if not self._complete.get(fill.exec_id, False) and self._tells(fill)]

    def add(self, fills: Iterable[Fill]) -> None:
        """They are in the lake now."""
        self._complete.update((fill.exec_id, fill.commission is not None) for fill in fills)

    def _tells(self, fill: Fill) -> bool:
        return fill.exec_id not in self._complete or fill.commission is not None

    def _read(self, handles: Handles, days: set[date]) -> None:
        unread = sorted(days - self._days)
        if not unread:
            return
        where = "date in ({})".format(", ".join(scan.day(day) for day in unread))
        for row in scan.select(handles.table("executions"), "executions", where, columns=("exec_id", "commission")):
            self._complete[row["exec_id"]] = self._complete.get(row["exec_id"], False) or row["commission"] is not None
        self._days.update(unread)


def commit(lake: Path, batch: Batch) -> dict[str, int]:
    """Write one batch with a Writer of its own; see ``Writer.commit``."""
    return Writer(lake).commit(batch)


def _put_picture(handles: Handles, batch: Batch, at: datetime) -> None:
    run, account = batch.record.run, batch.record.account
    held = [rows.position_row(run, at, position) for position in batch.positions]
    handles.put("positions", held)
    if held:
        handles.put("position_history", held)
    symbols = {position.contract.con_id: position.contract.symbol for position in batch.positions}
    seen = [rows.greeks_row(run, at, account, symbols.get(greeks.con_id), greeks) for greeks in batch.greeks]
    if seen:
        handles.put("greeks_history", seen)
    if batch.account is not None:
        handles.put("account_history", [rows.account_row(run, at, batch.account)])


def _complete(batch: Batch, handles: Handles, executions: int) -> SyncRunRecord:
    """The record with everything that only the writer knows."""
    record, last = batch.record, handles.last
    counts: dict[str, int] = {}
    if record.at is not None:
        known = {greeks.con_id for greeks in batch.greeks if greeks.known}
        unknown = sum(1 for position in batch.positions if position.contract.is_option and position.contract.con_id not in known)
        counts = {"positions": len(batch.positions), "greeks_known": len(known), "greeks_unknown": unknown}
    return msgspec.structs.replace(
        record,
        number=last.number + 1 if last else 1,
        ended=clock.now(),
        executions=executions,
        versions=handles.versions(),
        **counts,
    )
