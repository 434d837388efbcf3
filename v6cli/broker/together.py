"""One act for all who wait for it at once, such as one question whose answer serves everybody who asked before it left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from v6cli.errors import V6Error


class Together:
    """Whoever comes while the act is under way waits for the next one: what began before is no answer to who comes later."""

    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self._act = act
        self._begun = 0
        self._ended = 0
        self._failure: V6Error | None = None
        self._turn = asyncio.Lock()

    async def done(self) -> None:
        """Return once the act, begun after this call, has been done. Raises what it raises, to all who waited for it."""
        wanted = self._begun + 1
        async with self._turn:
            if self._ended < wanted:
                await self._do()
            if self._failure is not None:
                raise self._failure

    async def _do(self) -> None:
        self._begun += 1
        number, self._failure = self._begun, None
        try:
            await self._act()
        except V6Error as error:
            self._failure = error
        self._ended = number  # not where it was interrupted: then the next who waits does it
