"""The service v6-position-sync: a sync every interval, at once when asked over its control socket, for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from v6cli import clock, control, locks, settings
from v6cli.broker.connection import connect
from v6cli.errors import CannotWrite, V6Error
from v6cli.events import Event, Note, Report
from v6cli.home import Home
from v6cli.settings import Settings
from v6cli.state.database import State
from v6cli.sync.reconcile import Syncer, SyncRun, alone, failed

SERVICE = "v6-position-sync"
LONGEST_BACKOFF = 30.0
log = logging.getLogger(SERVICE)


class Watch:
    """The loop, and the requests that wait for its next sync."""

    def __init__(self, home: Home, own: Settings, state: State) -> None:
        self._home = home
        self._settings = own
        self._state = state
        self._asked = asyncio.Event()
        self._waiting: list[_Request] = []
        self._failures = 0

    async def run(self) -> None:
        """Sync until cancelled. A gateway that goes away is waited for, with growing pauses."""
        async with await control.serve(self._home.control_socket(SERVICE), {"sync": self._ask}):
            while True:
                try:
                    async with self._syncer() as syncer:
                        log.info("connected to the gateway at %s:%s", self._settings.gateway.host, self._settings.gateway.port)
                        await self._sync_for_ever(syncer)
                except V6Error as error:
                    self._met(error)
                    await self._wait(clock.pause(min(2.0 ** (self._failures - 1), LONGEST_BACKOFF)))
                    self._reload()

    async def _sync_for_ever(self, syncer: Syncer) -> None:
        while True:
            run = locks.begin_run(self._home, "position sync")
            waiting, self._waiting = self._waiting, []
            self._asked.clear()
            try:
                dry = bool(waiting) and all(one.dry_run for one in waiting)
                async with alone(self._home, run.identity):
                    done = await syncer.sync(run.identity, _telling(waiting), dry_run=dry, force=any(one.force for one in waiting))
                log.info(
                    "synced %s positions, %s greeks unknown, in %.2f s",
                    done.positions,
                    done.greeks_unknown,
                    done.fetch + done.greeks + done.write,
                )
            except V6Error as error:
                _answer(waiting, error)
                raise
            finally:
                run.end()
            self._failures = 0
            _answer(waiting, done)
            await self._wait(clock.sleep(self._settings.sync.interval))
            if self._reload():
                return

    async def _wait(self, pause: Coroutine[Any, Any, None]) -> None:
        """Wait for the next sync, cut short by a request."""
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._asked.wait()), asyncio.ensure_future(pause)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _ask(self, report: Report, dry_run: bool = False, force: bool = False) -> SyncRun:
        request = _Request(report, dry_run, force)
        self._waiting.append(request)
        self._asked.set()
        return await request.answer

    def _met(self, error: V6Error) -> None:
        """A sync failed: say so in the log, as an alert and to whoever waits. A disk that takes no alert ends no service."""
        self._failures += 1
        log.warning("%s", error.message)
        try:
            failed(self._state, error)
        except CannotWrite as refused:
            log.error("the alert could not be written: %s", refused.message)  # noqa: TRY400  its traceback says no more
        _answer(self._waiting, error)
        self._waiting = []
        self._asked.clear()

    def _reload(self) -> bool:
        """Take up changed settings. True when they changed."""
        before, self._settings = self._settings, settings.fresh(self._home, self._settings, log)
        return self._settings != before

    @asynccontextmanager
    async def _syncer(self) -> AsyncIterator[Syncer]:
        connection = await connect(self._settings, self._home, "sync", _log)
        try:
            yield Syncer(connection, self._home, self._state, self._settings, lambda: bool(self._waiting))
        finally:
            await connection.close()


class _Request:
    """Somebody waits for a sync: told what happens in it, and answered with its result."""

    def __init__(self, report: Report, dry_run: bool, force: bool) -> None:
        self.report = report
        self.dry_run = dry_run
        self.force = force
        self.answer: asyncio.Future[SyncRun] = asyncio.get_running_loop().create_future()


def _answer(waiting: list[_Request], outcome: SyncRun | V6Error) -> None:
    for one in waiting:
        if one.answer.done():
            continue
        if isinstance(outcome, V6Error):
            one.answer.set_exception(outcome)
        else:
            one.answer.set_result(outcome)


def _telling(waiting: list[_Request]) -> Report:
    """A Report to the log and to everybody who waits."""

    def report(event: Event) -> None:
        _log(event)
        for one in waiting:
            one.report(event)

    return report


def _log(event: Event) -> None:
    if isinstance(event, Note):
        log.info("%s", event.text)
