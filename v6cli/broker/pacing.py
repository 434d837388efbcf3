"""This role's share of the login's messages a second."""

from __future__ import annotations

import asyncio

from v6cli import clock


class TokenBucket:
    """``share`` messages a second of wall time, evenly spaced, so that all roles together stay within what the gateway allows.

    Bursts would keep the average and still be too many: the gateway counts all clients of the login, by its own clock, when it
    gets to read. What counts here is when a message leaves, so the caller sends right after ``take`` returns, without waiting in
    between; time in which nothing was sent is not saved up. Who asks waits in the order of asking.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._left = float("-inf")
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Wait until a message may leave."""
        async with self._turn:
            wait = self._left + 1 / self.share - clock.monotonic()
            if wait > 0:
                await clock.pause(wait)
            self._left = clock.monotonic()
