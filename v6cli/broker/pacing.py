"""This role's share of the login's messages a second."""

from __future__ import annotations

from v6cli import clock


class TokenBucket:
    """A token for each message: ``share`` a second of wall time, at most one second's worth saved up.

    Who asks waits in the order of asking.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._tokens = float(share)
        self._filled = clock.monotonic()

    async def take(self) -> None:
        """Wait for one token."""
        now = clock.monotonic()
        self._tokens = min(self.share, self._tokens + (now - self._filled) * self.share)
        self._filled = now
        self._tokens -= 1
        if self._tokens < 0:
            await clock.pause(-self._tokens / self.share)
