"""Being a service: its log, the settings it began with, and an end in good order when it is asked for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from v6cli import logs
from v6cli.backup import restoration
from v6cli.home import Home
from v6cli.settings import Settings, remember


def run(home: Home, settings: Settings, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Be the service ``name`` until SIGTERM or SIGINT, which cancel its work and let it tidy up.

    Raises BadConfiguration while a restore is unfinished.
    """
    restoration.check_finished(home)
    logs.as_daemon(home, name)
    remember(home, settings)
    asyncio.run(_until_stopped(work))


async def _until_stopped(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.ensure_future(work())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()):
        raise error
