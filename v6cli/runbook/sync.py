"""A sync on request: by the running service where there is one, else by this process."""

from __future__ import annotations

import contextlib

import msgspec

from v6cli import clock, control, locks
from v6cli.broker.connection import connect
from v6cli.errors import CannotWrite, ServiceUnavailable, UsageError, V6Error
from v6cli.events import Report
from v6cli.home import Home
from v6cli.lake import tables
from v6cli.runbook import service
from v6cli.settings import Settings
from v6cli.state import mirror
from v6cli.state.database import State
from v6cli.sync.reconcile import Syncer, SyncRun, alone, failed
from v6cli.sync.watch import SERVICE, Watch

LONGEST = 300.0


def fresh_for(state: State, settings: Settings) -> str | None:
    """The age of the last sync where that is still fresh, else None. One that lies in the future is not: a clock was set back."""
    seen = mirror.seen(state)
    if seen is None:
        return None
    age = (clock.now() - seen.at).total_seconds()
    return clock.show_age(age) if -settings.health.clock_skew <= age < settings.sync.fresh else None


async def once(home: Home, settings: Settings, state: State, report: Report, *, dry_run: bool, force: bool) -> SyncRun:
    """One sync. Raises GatewayUnavailable, Refused, CannotWrite."""
    try:
        answer = await control.acall(home.control_socket(SERVICE), "sync", timeout=LONGEST, report=report, dry_run=dry_run, force=force)
        return msgspec.convert(answer, SyncRun)
    except ServiceUnavailable:
        return await _here(home, settings, state, report, dry_run=dry_run, force=force)


async def _here(home: Home, settings: Settings, state: State, report: Report, *, dry_run: bool, force: bool) -> SyncRun:
    if dry_run:
        return await _sync(home, settings, state, report, "dry run", dry_run=True, force=force)
    tables.create(home.lake)
    run = locks.begin_run(home, "position sync")
    try:
        async with alone(home, run.identity):
            return await _sync(home, settings, state, report, run.identity, dry_run=False, force=force)
    except V6Error as error:
        with contextlib.suppress(CannotWrite):  # what went wrong first is what the operator must hear
            failed(state, error)
        raise
    finally:
        run.end()


async def _sync(home: Home, settings: Settings, state: State, report: Report, run: str, *, dry_run: bool, force: bool) -> SyncRun:
    connection = await connect(settings, home, "sync", report)
    try:
        return await Syncer(connection, home, state, settings).sync(run, report, dry_run=dry_run, force=force)
    finally:
        await connection.close()


def watch(home: Home, settings: Settings, state: State, *, dry_run: bool, force: bool) -> None:
    """Be the service v6-position-sync until SIGTERM. Raises UsageError for options that make no sense with it."""
    if dry_run or force:
        raise UsageError("--watch syncs for ever: neither --force nor --dry-run goes with it")
    tables.create(home.lake)
    service.run(home, settings, SERVICE, Watch(home, settings, state).run)
