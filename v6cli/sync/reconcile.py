"""Fetch, validate, diff, label, write once: what a sync is, whoever asks for it. One at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import msgspec
from msgspec import Struct

from v6cli import clock, locks
from v6cli.broker.connection import Connection
from v6cli.errors import V6Error
from v6cli.events import Note, Report
from v6cli.home import Home
from v6cli.lake import tables, writer
from v6cli.lake.errors import LakeUnreadable
from v6cli.lake.rows import SyncRunRecord
from v6cli.models import Alert, Greeks, Severity
from v6cli.settings import Settings
from v6cli.state import alerts, mirror
from v6cli.state.database import State
from v6cli.sync import causes
from v6cli.sync.causes import Difference
from v6cli.sync.fetch import Picture, fetch
from v6cli.sync.greeks import Source

LONGEST_SYNC = 30.0  # wall seconds that the sync of another process is waited for
FAILED = "sync-failed"
UNEXPLAINED = "position-unexplained"


class SyncRun(Struct, frozen=True):
    """What one sync did. ``fetch``, ``greeks`` and ``write`` are the wall seconds each took."""

    run: str
    at: datetime
    account: str
    positions: int
    greeks_known: int
    greeks_unknown: int
    executions: int
    working_orders: int
    differences: list[Difference]
    fetch: float
    greeks: float
    write: float
    written: bool
    versions: dict[str, int] = {}


def failed(state: State, error: V6Error) -> None:
    """Let the operator know that a sync failed; the next one that does not takes it back. Raises CannotWrite."""
    alerts.raise_alert(state, Alert(FAILED, Severity.WARNING, f"position sync failed: {error.message}", "v6 health"))


def alone(home: Home, run: str) -> AbstractAsyncContextManager[locks.Held]:
    """One sync of a home at a time: hold this from before the connection, whose client id another sync would be waited for in
    vain. Raises Refused naming the holder.
    """
    return locks.hold(home.run / "sync.lock", f"sync {run}", LONGEST_SYNC)


class Syncer:
    """What is kept from sync to sync on one connection: subscriptions and open tables.

    ``hurried`` tells whether somebody waits for the next sync: then the greeks that are not known yet are left to that one.
    """

    def __init__(
        self, connection: Connection, home: Home, state: State, settings: Settings, hurried: Callable[[], bool] = lambda: False
    ) -> None:
        self._connection = connection
        self._home = home
        self._state = state
        self._writer = writer.Writer(home.lake)
        self._source = Source(connection, settings.lines.sync, settings.greeks, hurried)

    async def sync(self, run: str, report: Report, *, dry_run: bool = False, force: bool = False) -> SyncRun:
        """One sync, while the caller is ``alone``. A dry run fetches and compares, needs no lock and writes nothing; a forced one
        sets tables aside that cannot be read.

        Raises GatewayUnavailable where the picture is not complete: then nothing is written.
        """
        began, start = clock.now(), clock.monotonic()
        before = mirror.read(self._state)
        same = before if before and before.account.account == self._connection.account else None
        picture = await fetch(self._connection, {one.contract.con_id: one.quantity for one in same.positions} if same else {}, report)
        fetched = clock.monotonic()
        greeks = await self._source.of_positions(picture.positions, same.greeks if same else {}, report)
        judged = clock.monotonic()
        differences = causes.label(
            same.positions if same else None,
            picture.positions,
            picture.fills,
            same.executions if same else frozenset(),
            picture.at,
        )
        versions: dict[str, int] = {}
        if not dry_run:
            record = SyncRunRecord(
                run=run,
                began=began,
                outcome="done",
                account=picture.account.account,
                at=picture.at,
                differences=msgspec.json.encode(differences).decode(),
            )
            batch = writer.Batch(record, picture.positions, list(greeks.values()), picture.account, picture.fills)
            versions, notes = await asyncio.to_thread(self._write, batch, differences, force=force)
            for text in (*notes, *map(str, differences)):
                report(Note(text))
        return _result(run, picture, greeks, differences, versions, (fetched - start, judged - fetched, clock.monotonic() - judged))

    def _write(self, batch: writer.Batch, differences: Sequence[Difference], *, force: bool) -> tuple[dict[str, int], list[str]]:
        """Lake first, then the mirror that names this run: the mirror is never ahead of the lake. Returns versions and notes.

        What nobody can explain becomes an alert together with the mirror: the next sync would no longer see the difference.
        """
        notes = []
        if force:
            self._writer.look_again()
        try:
            versions = self._writer.commit(batch)
        except LakeUnreadable as error:
            if not force:
                raise
            aside = tables.rebuild(self._home.lake)
            kept = f"; what could not be read is kept in {', '.join(map(str, aside))}" if aside else ""
            notes.append(f"{error.message}: begun anew{kept}")
            versions = self._writer.commit(batch)
        assert batch.record.at is not None and batch.account is not None
        with self._state.transaction():
            mirror.write(
                self._state,
                batch.record.run,
                batch.record.at,
                batch.account,
                positions=batch.positions,
                greeks=batch.greeks,
                executions=[fill.exec_id for fill in batch.executions],
            )
            alerts.resolve(self._state, FAILED)
            for difference in differences:
                if difference.cause == "unexplained":
                    alerts.raise_alert(self._state, _unexplained(difference))
        return versions, notes


def _unexplained(difference: Difference) -> Alert:
    text = f"position changed without a known cause: {difference}"
    return Alert(f"{UNEXPLAINED}:{difference.con_id}", Severity.WARNING, text, "v6 positions")


def _result(
    run: str,
    picture: Picture,
    greeks: dict[int, Greeks],
    differences: list[Difference],
    versions: dict[str, int],
    times: tuple[float, float, float],
) -> SyncRun:
    known = sum(one.known for one in greeks.values())
    return SyncRun(
        run=run,
        at=picture.at,
        account=picture.account.account,
        positions=len(picture.positions),
        greeks_known=known,
        greeks_unknown=len(greeks) - known,
        executions=len(picture.fills),
        working_orders=len(picture.working),
        differences=differences,
        fetch=times[0],
        greeks=times[1],
        write=times[2],
        written=bool(versions),
        versions=versions,
    )
