"""An event loop in which time passes only when nobody has anything left to do, and then at once."""

from __future__ import annotations

import asyncio
import functools
import heapq
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from v6cli.simulator.world.processes import Process, of_context, running

T = TypeVar("T")
#: Timers this close to each other are due together: virtual time is a sum of floats.
_RESOLUTION = 1e-9


class Deadlock(RuntimeError):
    """Every task waits for another, and no timer is left that could wake one: real time would stand still for ever."""


class _OfAProcess(asyncio.Handle):
    """A callback of a process runs only while the process lives."""

    __slots__ = ()

    def _run(self) -> None:
        process = of_context(self._context)  # type: ignore[attr-defined]
        if process is None:
            super()._run()
        else:
            process.step(super()._run)


class _Timer(_OfAProcess, asyncio.TimerHandle):
    """As `_OfAProcess`, at a moment."""

    __slots__ = ()


class _Jump:
    """A selector that waits for nothing: it moves the clock to where the loop would have waited to."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits for another, and no timer is left")
        self._loop.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of a world. ``now`` is in seconds since it began, small enough for floats to tell microseconds apart.

    There is one thread, and no descriptor is opened. ``problems`` are exceptions that nobody caught, ``owners`` the processes whose
    tasks there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Jump(self)
        self._clock_resolution = _RESOLUTION
        self.problems: list[dict[str, Any]] = []
        self.owners: weakref.WeakKeyDictionary[asyncio.Task[Any], Process] = weakref.WeakKeyDictionary()
        self.set_exception_handler(lambda _loop, context: self.problems.append(context))

    def time(self) -> float:
        return self.now

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task = super().create_task(coro, name=name, context=context)
        owner = running() if context is None else of_context(context)
        if owner is not None:
            self.owners[task] = owner
        return task

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run ``func`` here and now, and only what it waits for later: with threads the order of things would be the machine's."""
        process = running()
        if process is not None and process.can_wait:
            return process.thread(functools.partial(func, *args))
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  whoever awaits it gets it
            future.set_exception(error)
        return future

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """Of the process whose turn it is."""
        process = running()
        assert process is not None
        process.handlers[sig] = functools.partial(self.call_soon, callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        process = running()
        return process is not None and process.handlers.pop(sig, None) is not None

    def _call_soon(self, callback: Callable[..., Any], args: Any, context: Context | None) -> asyncio.Handle:
        handle = _OfAProcess(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _process_events(self, _events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
