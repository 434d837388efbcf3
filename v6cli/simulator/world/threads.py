"""What of a process runs without an event loop: it may wait, and the world goes on meanwhile.

A command is such a thread: its code waits for locks, for other processes, and for the coroutines that it runs. So is what a
coroutine hands to a thread. While one waits its call stack is put aside, and taken up again when its time has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from v6cli.simulator.world.loop import VirtualLoop
    from v6cli.simulator.world.processes import Process

T = TypeVar("T")


class Thread(greenlet):  # type: ignore[misc]
    """One thread of a process; ``future`` is what comes of it."""

    def __init__(self, loop: VirtualLoop, process: Process, act: Callable[[], object]) -> None:
        super().__init__(self._run)
        self.gr_context = copy_context()
        self.future: asyncio.Future[Any] = loop.create_future()
        self._loop = loop
        self._process = process
        self._act = act
        self._running: asyncio.Task[Any] | None = None
        self._interrupted = False
        process.threads[self] = None

    def begin(self) -> asyncio.Future[Any]:
        """Let it run until it first waits."""
        self.switch()
        return self.future

    def wait(self, wake: Callable[[Callable[..., None]], object]) -> None:
        """Put this call stack aside until what ``wake`` is given is called. Raises KeyboardInterrupt where somebody pressed ^C."""
        wake(self._resume)
        assert self.parent is not None
        self.parent.switch()
        if self._interrupted and self._running is None:
            self._interrupted = False
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Wait so many virtual seconds."""
        self.wait(lambda resume: self._loop.call_later(seconds, resume))

    def run_loop(self, main: Coroutine[Any, Any, T]) -> T:
        """As ``asyncio.run`` does: the coroutine to its end, then the tasks that it left; ^C cancels it."""
        try:
            return self._until_done(main)
        finally:
            if self._process.alive and (left := self._left()):
                self._until_done(_ended(left))
            self._process.handlers.clear()

    def interrupt(self) -> None:
        """As ^C does."""
        self._interrupted = True
        if self._running is not None:
            self._running.cancel()

    def _until_done(self, main: Coroutine[Any, Any, T]) -> T:
        self._running = task = self._loop.create_task(main)
        self.wait(task.add_done_callback)
        self._running = None
        interrupted, self._interrupted = self._interrupted, False
        if interrupted and task.cancelled():
            raise KeyboardInterrupt
        return task.result()

    def _left(self) -> list[asyncio.Future[Any]]:
        """What the coroutine leaves: tasks, which are cancelled, and threads, which are waited for."""
        tasks = [task for task, owner in self._loop.owners.items() if owner is self._process and task is not owner.task and not task.done()]
        for task in tasks:
            task.cancel()
        return [*tasks, *(thread.future for thread in self._process.threads if thread is not self)]

    def _resume(self, *_of: object) -> None:
        self.parent = getcurrent()
        self.switch()

    def _run(self) -> None:
        try:
            result = self._act()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  whoever awaits it gets it
            if not self.future.done():
                self.future.set_exception(_raised(error))
        else:
            if not self.future.done():
                self.future.set_result(result)
        finally:
            self._process.threads.pop(self, None)


class Interrupted(Exception):
    """A thread ended with KeyboardInterrupt, which an event loop would take for its own."""


def _raised(error: BaseException) -> BaseException:
    return Interrupted() if isinstance(error, KeyboardInterrupt) else error


async def _ended(left: list[asyncio.Future[Any]]) -> None:
    await asyncio.gather(*left, return_exceptions=True)
