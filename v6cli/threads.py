"""Work in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(look: Callable[..., T], *arguments: Any) -> T:
    """``look`` in a thread of its own. One that hangs, on a dead disk or a silent supervisor, holds up neither the other looks
    nor the end of this process, as a thread of the loop's own pool would: what the process ends with is cut off where it stands.
    """
    within = functools.partial(copy_context().run, look, *arguments)
    return await asyncio.get_running_loop().run_in_executor(_LeftBehind(), within)


class _LeftBehind(Executor):
    """A thread for each piece of work, which ends with the process."""

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                future.set_result(work(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  raised again where it is awaited
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future
