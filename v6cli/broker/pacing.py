"""This role's share of the login's messages a second."""

from __future__ import annotations

from collections import deque

from v6cli import clock


class TokenBucket:
    """At most ``share`` messages within any second of wall time: the gateway counts the same way, over all clients of the login.

    Who asks waits in the order of asking.
    """

    def __init__(self, share: int) -> None:
        self.share = share
        self._given: deque[float] = deque(maxlen=share)

    async def take(self) -> None:
        """Wait for the next moment at which a message may leave."""
        now = clock.monotonic()
        free = self._given[0] + 1.0 if len(self._given) == self.share else now
        at = max(now, free)
        self._given.append(at)
        if at > now:
            await clock.pause(at - now)
