"""A world in which time is ours: v6, the client library and the simulated gateway in one thread, the same for the same seed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import hashlib
import inspect
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from random import Random
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from v6cli import clock
from v6cli.simulator.world import files
from v6cli.simulator.world.loop import VirtualLoop
from v6cli.simulator.world.pipes import Network, Weather
from v6cli.simulator.world.processes import Process, running

if TYPE_CHECKING:
    from v6cli.simulator.world.threads import Thread

T = TypeVar("T")
#: A Tuesday, a minute after the open in New York.
START = datetime(2026, 11, 24, 14, 31, tzinfo=UTC)
#: So many clean-ups that await, one around the other, are cleared away.
_MOST_FINALLYS = 10


class Blocked(RuntimeError):
    """Code that runs in a world waited without awaiting: real time would have passed."""


class World:
    """``run`` plays one coroutine, and whatever processes it starts, from ``start`` on.

    ``weather`` is how connections behave. ``trace`` is a digest of every byte that was read, when and where; ``pieces`` the
    same in full where ``keep`` asks for it, to find where two runs part. ``problems`` are exceptions that nobody caught.
    """

    def __init__(self, seed: int, *, start: datetime = START, keep: bool = False) -> None:
        self.seed = seed
        self.weather = Weather(self.chance("network"))
        self.pieces: list[tuple[float, int, bytes]] = []
        self.processes: list[Process] = []
        self._start = start.timestamp()
        self._keep = keep
        self._seams: list[tuple[Any, str]] = []
        self._digest = hashlib.sha256()
        self._loop = VirtualLoop()
        self._network = Network(self.weather, self._heard)

    def chance(self, of: str) -> Random:
        """A source of chance of its own for each subject, so that one more draw in one does not move the others."""
        return Random(f"{self.seed}:{of}")  # noqa: S311  chance that can be had again is the point

    @property
    def trace(self) -> str:
        """What every byte read so far comes to."""
        return self._digest.hexdigest()

    def watch_writes(self, watch: Callable[[Process | None, bytes], None]) -> None:
        """Have ``watch`` called with whatever a process writes to a connection, at the moment it does so."""
        self._network.wrote = watch

    @property
    def problems(self) -> list[dict[str, Any]]:
        """What the loop would have logged: exceptions that nobody caught."""
        return self._loop.problems

    @property
    def seconds(self) -> float:
        """Virtual seconds since the beginning."""
        return self._loop.now

    def process(self, name: str, main: Callable[[], Awaitable[object]], **how: Any) -> Process:
        """Start a program as a process of this world; ``how`` it dies is as `Process` has it."""
        started = Process(name, main, number=len(self.processes), **how)
        self.processes.append(started)
        return started

    def command(self, name: str, act: Callable[[], object], *, dies_at: Callable[[str], bool]) -> Process:
        """Start a program that is no event loop but may run some, one after the other, and may wait beside them."""

        async def main() -> object:
            return await _process().thread(act)

        return self.process(name, main, dies_at=dies_at)

    def seam(self, owner: Any, name: str) -> None:
        """Let processes die before and after ``owner.name``, for as long as this world runs: ``before name``, ``after name``."""
        self._seams.append((owner, name))

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Play ``main`` to its end and clear the world away. What it raises is raised here."""
        loop = self._loop
        loop.create_connection = self._connect  # type: ignore[method-assign, assignment]
        loop.create_server = self._listen  # type: ignore[method-assign, assignment]
        loop.create_unix_connection = self._connect_unix  # type: ignore[method-assign, assignment]
        loop.create_unix_server = self._listen_unix  # type: ignore[method-assign, assignment]
        with clock.replaced(lambda: self._start + loop.now, loop.time, _wait), files.watched(), _numbered(), _wrapped(self._seams):
            asyncio.set_event_loop(loop)
            try:
                return loop.run_until_complete(main())
            finally:
                self._clear_away()
                asyncio.set_event_loop(None)
                loop.close()

    async def _connect(self, factory: Callable[[], asyncio.BaseProtocol], _host: str, port: int, **_options: Any) -> Any:
        return await self._network.connect(factory, port)

    async def _listen(self, factory: Callable[[], asyncio.BaseProtocol], _host: str, port: int, **_options: Any) -> Any:
        return self._network.listen(factory, port)

    async def _connect_unix(self, factory: Callable[[], asyncio.BaseProtocol], path: str, **_options: Any) -> Any:
        return await self._network.connect(factory, path)

    async def _listen_unix(
        self, factory: Callable[[], asyncio.BaseProtocol], _path: str | None = None, *, sock: socket.socket, **_options: Any
    ) -> Any:
        """The socket is a real one, which holds the path; who connects in this world is led past it."""
        return self._network.listen(factory, sock.getsockname(), sock.close)

    def _heard(self, end: int, piece: bytes) -> None:
        self._digest.update(b"%.6f %d " % (self._loop.now, end))
        self._digest.update(piece)
        if self._keep:
            self.pieces.append((self._loop.now, end, piece))

    def _clear_away(self) -> None:
        """End what still runs, so that nothing of it is left for the next world; what comes of that is nobody's problem."""
        self._loop.set_exception_handler(lambda _loop, _context: None)
        for process in self.processes:
            process.kill()
            process.bury()
        self._network.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            owner = self._loop.owners.get(task)
            close = functools.partial(_close_inside_out, task.get_coro())
            if owner is None:
                close()
            else:
                owner.in_its_place(close)
        for process in self.processes:
            process.open.forget()


def _close_inside_out(awaiting: Any) -> None:
    """Close what a coroutine awaits before itself: closed from outside, a clean-up that awaits would be left suspended in it."""
    chain: list[Any] = []
    while awaiting is not None:
        chain.append(awaiting)
        awaiting = next(filter(None, (getattr(awaiting, name, None) for name in ("cr_await", "gi_yieldfrom", "ag_await"))), None)
        if type(awaiting).__name__.startswith("async_generator_"):  # a step of a generator, which alone knows what it awaits
            awaiting = next((one for one in gc.get_referents(awaiting) if isinstance(one, AsyncGeneratorType)), None)
    for each in reversed(chain):
        for _ in range(_MOST_FINALLYS):
            with contextlib.suppress(BaseException):
                if hasattr(each, "close"):
                    each.close()
                break


@contextlib.contextmanager
def _wrapped(seams: list[tuple[Any, str]]) -> Iterator[None]:
    """Within the block each function asks the process that calls it whether it dies here, before and after."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in seams]
    for owner, name, original in originals:
        setattr(owner, name, _with_seams(name, original))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _with_seams(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def act_and_wait(*args: Any, **options: Any) -> Any:
        process = running()
        if process is None:
            return await original(*args, **options)
        process.seam(f"before {name}")
        result = await original(*args, **options)
        process.seam(f"after {name}")
        return result

    if inspect.iscoroutinefunction(original):
        return act_and_wait

    @functools.wraps(original)
    def act(*args: Any, **options: Any) -> Any:
        process = running()
        if process is None:
            return original(*args, **options)
        process.seam(f"before {name}")
        result = original(*args, **options)
        process.seam(f"after {name}")
        return result

    return act


@contextlib.contextmanager
def _numbered() -> Iterator[None]:
    """Within the block each process has its own pid, and what it runs as a whole event loop runs in this one."""
    really_pid, really_run = os.getpid, asyncio.run

    def getpid() -> int:
        process = running()
        return really_pid() if process is None else process.pid

    def run(main: Coroutine[Any, Any, T], **options: Any) -> T:
        thread = _thread()
        return really_run(main, **options) if thread is None else thread.run_loop(main)

    os.getpid, asyncio.run = getpid, run
    try:
        yield
    finally:
        os.getpid, asyncio.run = really_pid, really_run


def _process() -> Process:
    process = running()
    assert process is not None
    return process


def _thread() -> Thread | None:
    process = running()
    return process.current_thread() if process is not None else None


def _wait(seconds: float) -> None:
    if (thread := _thread()) is not None:
        thread.sleep(seconds)
        return
    process = running()
    raise Blocked(f"{process.name if process else 'the world'} waits {seconds:g} s without awaiting")
