"""What is on its way to one client: it leaves in order, later where the link is slow, and not while the gateway is silent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v6cli.simulator.link import Link


class Outgoing:
    """Messages gathered for one turn of the event loop, then queued until they are due. ``size`` is all that waits, in bytes."""

    def __init__(self, link: Link, write: Callable[[bytes], None]) -> None:
        self.size = 0
        self._link = link
        self._write = write
        self._gathered: list[bytes] = []
        self._queue: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, frame: bytes) -> bool:
        """Gather one message; True when it is the first of this turn."""
        self._gathered.append(frame)
        self.size += len(frame)
        return len(self._gathered) == 1

    def flush(self) -> None:
        """Queue what is gathered, and write what is due."""
        if self._gathered:
            self._queue.append((asyncio.get_running_loop().time() + self._link.delay, b"".join(self._gathered)))
            self._gathered.clear()
        self._write_due()

    def discard(self) -> None:
        """Forget all of it: nobody is there to take it."""
        self._gathered.clear()
        self._queue.clear()
        self.size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_due(self) -> None:
        if self._link.silent:
            return
        loop = asyncio.get_running_loop()
        while self._queue and (not self._link.delay or self._queue[0][0] <= loop.time()):
            _, content = self._queue.popleft()
            self.size -= len(content)
            self._write(content)
        if self._queue and self._timer is None:
            self._timer = loop.call_at(self._queue[0][0], self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._write_due()
