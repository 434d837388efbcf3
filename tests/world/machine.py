"""The machine that a world's v6 finds itself on: its processes are the world's, and so is what hosts its services."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from v6cli import clock
from v6cli.errors import OutcomeUnknown, ServiceUnavailable
from v6cli.events import Report
from v6cli.services import processes
from v6cli.services.backend import ServiceState
from v6cli.services.processes import Found
from v6cli.simulator.world import Process, World
from v6cli.trading.loop import SERVICE

STOPS_WITHIN = 8.0  # virtual seconds after which the host kills what it has asked to stop
LOOKS_EVERY = 0.5


class Machine:
    """Processes by pid, and the host of v6-trading, which ``start`` starts.

    The host starts the service again when it ends by itself. ``answers`` is whether it can be asked for anything, ``lives`` whether it
    does anything at all. Processes that are ``deaf`` do not hear SIGTERM.
    """

    def __init__(self, world: World, start: Callable[[], Process]) -> None:
        self.answers = True
        self.lives = True
        self.deaf: set[Process] = set()
        self.trading: Process
        self._world = world
        self._start = start
        self._wanted = False

    # The processes, as the system tells of them.

    @contextmanager
    def known(self) -> Iterator[None]:
        """Within the block v6 finds these processes, and signals reach them."""
        with (
            patch.object(processes, "of", self._of),
            patch.object(processes, "_same", self._same),
            patch.object(processes, "_signal", self._signal),
        ):
            yield

    def _of(self, pid: int) -> Found | None:
        alive = self._alive(pid)
        return None if alive is None else Found(pid, float(pid), alive.name, f"v6 {alive.name}")

    def _same(self, found: Found) -> bool:
        return self._alive(found.pid) is not None

    def _signal(self, found: Found, number: int) -> None:
        process = self._alive(found.pid)
        if process is not None and (number == signal.SIGKILL or process not in self.deaf):
            process.signal(number)

    def _alive(self, pid: int) -> Process | None:
        return next((one for one in self._world.processes if one.pid == pid and one.alive), None)

    # The host.

    async def run(self) -> None:
        """Host the service, for as long as the world goes on."""
        self.start([SERVICE], lambda _event: None)
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            if self._wanted and self.lives and not self.trading.alive:
                await asyncio.sleep(self._world.chance(f"again {len(self._world.processes)}").uniform(0.1, 5))
                if self._wanted and self.lives:
                    self.trading = self._start()

    def start(self, names: Sequence[str], _report: Report) -> None:
        self._answer()
        if SERVICE in names:
            self._wanted = True
            if not hasattr(self, "trading") or not self.trading.alive:
                self.trading = self._start()

    def stop(self, names: Sequence[str], _report: Report) -> None:
        self._answer()
        if SERVICE not in names:
            return
        self._wanted = False
        stopped = self.trading
        if stopped not in self.deaf:
            stopped.signal(signal.SIGTERM)
        deadline = clock.monotonic() + STOPS_WITHIN
        while stopped.alive and clock.monotonic() < deadline:
            clock.pause_blocking(LOOKS_EVERY)
        stopped.kill()
        if self.trading.alive:  # started again meanwhile
            raise OutcomeUnknown(f"{SERVICE} still runs")

    def restart(self, names: Sequence[str], report: Report) -> None:
        self.stop(names, report)
        self.start(names, report)

    def shutdown(self, report: Report) -> None:
        self.stop([SERVICE], report)

    def status(self, _names: Sequence[str] = ()) -> list[ServiceState]:
        self._answer()
        return [ServiceState(SERVICE, "running" if self.trading.alive else "stopped", self.trading.pid if self.trading.alive else None)]

    def log_files(self, _name: str) -> list[Path]:
        return []

    def _answer(self) -> None:
        if not (self.answers and self.lives):
            raise ServiceUnavailable("the service manager does not answer")
