"""This role's share of the login's messages a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from v6cli import clock

CATCHES_UP = 0.1  # wall seconds: how far behind its schedule a message may leave without moving those after it


class TokenBucket:
    """``share`` messages a second of wall time, evenly spaced, so that all roles together stay within what the gateway allows.

    Who asks waits in the order of asking, for a moment of a schedule; a cancel goes before all who wait but the one whose turn it is,
    for whoever cancels wants less at the market, and sooner. A timer is always a little late: what it loses is made up for,
    a tenth of a second at most, or the share would lie idle for a twentieth of the time. That never makes it more than the share in
    any one second, and time in which nobody asked is not saved up: the gateway counts all clients of the login, by its own clock, when
    it gets to read. What counts here is when a message leaves, so the caller sends right after ``take`` returns, without waiting.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._due = float("-inf")
        self._left: deque[float] = deque()  # when the last ones left, as many as the share allows in a second
        self._line = asyncio.Lock()  # held by the first of those who are no cancel
        self._turn = asyncio.Lock()

    async def take(self, *, cancels: bool = False) -> None:
        """Wait until a message may leave."""
        asked = clock.monotonic()
        async with contextlib.nullcontext() if cancels else self._line, self._turn:
            self._due = max(self._due + 1 / self.share, asked, clock.monotonic() - CATCHES_UP)
            wait = max(self._due, self._leaves_room()) - clock.monotonic()
            if wait > 0:
                await clock.pause(wait)
            self._left.append(clock.monotonic())

    def _leaves_room(self) -> float:
        """When one more may leave without there being more than the share in a second."""
        most = max(1, int(self.share))
        while len(self._left) > most:
            self._left.popleft()
        return self._left[0] + most / self.share if len(self._left) == most else float("-inf")
