"""This role's share of the login's messages a second."""

from __future__ import annotations

import asyncio
from collections import deque

from v6cli import clock

WINDOW = 1.05  # wall seconds: the gateway counts a second by its own clock, when it gets to read


class TokenBucket:
    """At most ``share`` messages within any second: the gateway counts the same way, over all clients of the login.

    What counts is when a message leaves, so the caller sends right after ``take`` returns, without waiting in between. Who asks
    waits in the order of asking.
    """

    def __init__(self, share: int) -> None:
        self.share = share
        self._left: deque[float] = deque(maxlen=share)
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Wait until a message may leave."""
        async with self._turn:
            while len(self._left) == self.share and (wait := self._left[0] + WINDOW - clock.monotonic()) > 0:
                await clock.pause(wait)
            self._left.append(clock.monotonic())
