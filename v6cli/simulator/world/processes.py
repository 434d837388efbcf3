"""Processes of a world: each with its tasks, connections and open files, to be killed at any await and at any seam.

A killed process gets no turn any more. Its coroutines are kept until the world ends: dropping one would run its ``finally``,
which kill -9 never does. What the kernel would close is closed by the world: connections, descriptors with their locks, SQLite
handles.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from v6cli.simulator.world.files import Open

if TYPE_CHECKING:
    from v6cli.simulator.world.loop import VirtualLoop
    from v6cli.simulator.world.pipes import End, Listener
    from v6cli.simulator.world.threads import Thread

T = TypeVar("T")
#: Above the largest pid that a Linux kernel gives.
_NO_PID = (1 << 22) + 1
_RUNNING: ContextVar[Process | None] = ContextVar("process of a world", default=None)


def running() -> Process | None:
    """The process whose turn it is; None outside of any."""
    return _RUNNING.get()


def of_context(context: Context) -> Process | None:
    """The process that ``context`` belongs to."""
    return context.get(_RUNNING)


class Process:
    """One life of a program. Started again, it is another Process.

    ``main`` runs in it as a task. ``steps`` counts its turns; it is killed before its turn number ``dies_at_step``, and at a
    seam for which ``dies_at(name)`` answers True. ``number`` gives it a ``pid``, which no process of this machine has.
    """

    def __init__(
        self,
        name: str,
        main: Callable[[], Awaitable[object]],
        *,
        number: int = 0,
        dies_at_step: int | None = None,
        dies_at: Callable[[str], bool] | None = None,
    ) -> None:
        self.name = name
        self.pid = _NO_PID + number
        self.alive = True
        self.steps = 0
        self.ends: dict[End, None] = {}
        self.listeners: list[Listener] = []
        self.open = Open()
        self.killed = False
        self.dies_at_step = dies_at_step
        self._dies_at = dies_at
        self.threads: dict[Thread, None] = {}
        self.handlers: dict[int, Callable[[], object]] = {}  # of signals
        self._frozen: list[Any] = []
        self._stack: Any = None
        self._loop: VirtualLoop = asyncio.get_running_loop()  # type: ignore[assignment]
        context = copy_context()
        context.run(_RUNNING.set, self)
        self.task: asyncio.Task[object] = self._loop.create_task(_run(main), name=name, context=context)
        self.task.add_done_callback(lambda _task: self._ended())

    def step(self, run: Callable[[], None]) -> None:
        """One turn: a callback of this process."""
        if not self.alive:
            return
        self.steps += 1
        if self.steps == self.dies_at_step:
            self.kill()
        elif self._dies_at is None:
            run()
        else:
            self._run_so_that_it_can_stop(run)

    def seam(self, name: str) -> None:
        """A place between two acts, such as before a commit. Does not return where the process dies here."""
        if self.alive and self._dies_at is not None and self._dies_at(name):
            self.kill()
            self._freeze()

    @property
    def can_wait(self) -> bool:
        """Whether its call stacks can be put aside: only where it may die in the middle of one."""
        return self._dies_at is not None

    def thread(self, act: Callable[[], object]) -> asyncio.Future[Any]:
        """Run something beside its event loop. Does not return where the process dies in it."""
        from v6cli.simulator.world.threads import Thread

        future = Thread(self._loop, self, act).begin()
        if not self.alive:
            self._freeze()
        return future

    def current_thread(self) -> Thread | None:
        """The thread of it that runs now; None in what its event loop calls."""
        if not self.threads:
            return None
        from greenlet import getcurrent

        here = getcurrent()
        return here if here in self.threads else None

    def signal(self, number: int) -> None:
        """Have a signal arrive: what handles it is called, else the process is dead."""
        handler = self.handlers.get(number)
        if handler is None:
            self.kill()
        elif self.alive:
            self.in_its_place(handler)

    def interrupt(self) -> None:
        """As ^C, where it is a command."""
        for thread in list(self.threads)[:1]:
            self.in_its_place(thread.interrupt)

    def kill(self) -> None:
        """As kill -9: it gets no turn any more, and nothing of it is cleaned up but by the kernel."""
        if not self.alive:
            return
        self.killed = True
        self._leave()

    def bury(self) -> None:
        """Let go of what was frozen, once nothing it does can matter any more. For the end of a world."""
        from greenlet import getcurrent

        # Threads first: what they were begun in is left behind by them, not the other way round.
        stacks = dict.fromkeys([*self.threads, *self._frozen, self._stack])
        for frozen in filter(None, stacks):  # None and a stack that has come to its end are both false
            frozen.parent = getcurrent()
            with contextlib.suppress(BaseException):
                self.in_its_place(frozen.throw)
        self.threads.clear()
        self._frozen.clear()
        self._stack = None

    def in_its_place(self, act: Callable[[], T]) -> T:
        """Do something as this process, dead or alive: what it opens meanwhile is this process's."""
        context = copy_context()
        context.run(_RUNNING.set, self)
        return context.run(act)

    def _ended(self) -> None:
        """It came to its own end: connections and files that it left open are closed, as the kernel would."""
        if self.alive:
            self._leave()

    def _leave(self) -> None:
        self.alive = False
        for end in list(self.ends):
            end.owner_died()
        for listener in self.listeners:
            listener.close()
        self.open.close()

    def _run_so_that_it_can_stop(self, run: Callable[[], None]) -> None:
        if not self._stack:
            from greenlet import greenlet

            self._stack = greenlet(_one_after_the_other)
        self._stack.switch(run)

    def _freeze(self) -> None:
        """Leave the call stack as it is, for good."""
        from greenlet import getcurrent

        here = getcurrent()
        task = asyncio.current_task()
        if task is not None:
            asyncio.tasks._leave_task(self._loop, task)  # the loop believes that it still runs
        self._frozen.append(here)
        assert here.parent is not None
        here.parent.switch()


def _one_after_the_other(run: Callable[[], None]) -> None:
    """Each turn of a process on one call stack: a new one for each would cost more than most turns."""
    from greenlet import getcurrent

    here = getcurrent()
    while True:
        run()
        del run  # or what it refers to would live on to the next turn
        assert here.parent is not None
        run = here.parent.switch()


async def _run(main: Callable[[], Awaitable[object]]) -> object:
    return await main()
