"""Connections of a world: two ends in memory, bytes on the way between them for a seeded time, in seeded pieces.

They keep what a TCP socket of this machine has and programs rely on without knowing. Bytes arrive in order, cut anywhere.
What is written goes into the sender's kernel until it is full, then waits in the sender's own memory: the first outlives a
kill, the second does not. What was sent before a close is read before the end of the stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from random import Random
from typing import Any

from v6cli import clock
from v6cli.simulator.world.processes import Process, running

#: Bytes that fit between two ends before the sender's own memory fills; a loopback socket takes some megabytes.
KERNEL_BYTES = 256 << 10
_HIGH_WATER = 64 << 10
#: Pieces on one connection are at least this far apart: timers of one moment have no order.
_APART = 1e-6


class Weather:
    """How long bytes are on the way, in seconds, and how they are cut. ``calm`` is a network without delays of its own."""

    def __init__(self, chance: Random, *, latency: float = 0.0, jitter: float = 0.0, cuts: float = 0.0) -> None:
        self._chance = chance
        self.latency = latency
        self.jitter = jitter
        self.cuts = cuts

    def delay(self) -> float:
        """How long the next piece is on its way."""
        return self.latency + (self._chance.random() * self.jitter if self.jitter else 0.0)

    def pieces(self, data: bytes) -> list[bytes]:
        """The data, cut somewhere, or not."""
        if len(data) < 2 or not self.cuts or self._chance.random() >= self.cuts:
            return [data]
        at = self._chance.randrange(1, len(data))
        return [data[:at], data[at:]]


class End(asyncio.Transport):
    """One end of a connection, as the program at it sees it."""

    def __init__(self, network: Network, protocol: asyncio.BaseProtocol, process: Process | None, name: tuple[str, int | str]) -> None:
        super().__init__()
        self.peer: End
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._process = process
        self._context = copy_context()
        self._name = name
        self._unsent = bytearray()
        self._in_kernel = 0  # bytes on the way to the peer, or arrived there and not read
        self._arrived: deque[bytes | None] = deque()  # None is the end of the stream
        self._last_arrival = 0.0
        self._reading = True
        self._closing = False
        self._lost = False
        self._write_paused = False
        self._ended = False  # nothing more is written from here
        if process is not None:
            process.ends[self] = None

    # What the program does.

    def write(self, data: Any) -> None:
        if self._closing or self._ended or not data:
            return
        self._network.wrote(self._process, bytes(data))
        self._unsent += data
        self._send()
        if len(self._unsent) > _HIGH_WATER and not self._write_paused:
            self._write_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        self._end_stream()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._arrived.clear()
        if not self._unsent:
            self._end_stream()
            self._call(self._lose, None)

    def abort(self) -> None:
        self._unsent.clear()
        if not self._lost:
            self._closing = True
            self._arrived.clear()
            self._end_stream()
            self._call(self._lose, None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._call(self._read)

    def is_reading(self) -> bool:
        return self._reading

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The limits are the world's."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": self._name, "peername": self.peer._name}.get(name, default)

    # What the kernel does.

    def owner_died(self) -> None:
        """The process at this end is gone: what it had not handed over is lost, what it had arrives."""
        self._unsent.clear()
        self._closing = self._lost = True
        self._arrived.clear()
        self._end_stream()
        self._forget()

    def _send(self) -> None:
        room = KERNEL_BYTES - self._in_kernel
        if room <= 0 or not self._unsent or self.peer._lost:
            if self.peer._lost:
                self._unsent.clear()
            return
        taken = bytes(self._unsent[:room])
        del self._unsent[:room]
        self._in_kernel += len(taken)
        for piece in self._network.weather.pieces(taken):
            self._carry(piece)

    def _carry(self, piece: bytes | None) -> None:
        at = max(self._loop.time() + self._network.weather.delay(), self._last_arrival + _APART)
        self._last_arrival = at
        self._loop.call_at(at, self.peer._arrive, piece, context=self.peer._context)

    def _end_stream(self) -> None:
        if not self._ended:
            self._ended = True
            self._carry(None)

    def _arrive(self, piece: bytes | None) -> None:
        if self._lost or self._closing:
            return
        self._arrived.append(piece)
        self._read()

    def _read(self) -> None:
        while self._reading and self._arrived and not self._closing:
            piece = self._arrived.popleft()
            if piece is None:
                self._stream_ended()
                return
            self._network.carried(self, piece)
            self.peer._was_read(len(piece))
            self._protocol.data_received(piece)  # type: ignore[attr-defined]

    def _was_read(self, size: int) -> None:
        self._in_kernel -= size
        if self._lost:
            return
        self._send()
        if self._write_paused and len(self._unsent) <= _HIGH_WATER // 4:
            self._write_paused = False
            self._call(self._protocol.resume_writing)
        if self._closing and not self._unsent and not self._ended:
            self._end_stream()
            self._call(self._lose, None)

    def _stream_ended(self) -> None:
        if not self._protocol.eof_received():  # type: ignore[attr-defined]
            self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._forget()
            self._protocol.connection_lost(error)

    def _forget(self) -> None:
        if self._process is not None:
            self._process.ends.pop(self, None)

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon(callback, *args, context=self._context)


class Listener(asyncio.AbstractServer):
    """A port, or the path of a socket, on which a program of the world listens."""

    def __init__(self, network: Network, port: int | str, factory: Callable[[], asyncio.BaseProtocol], closed: Callable[[], None]) -> None:
        self.port = port
        self._closed = closed
        self.factory = factory
        self.context = copy_context()
        self.process = running()
        self._network = network

    @property
    def sockets(self) -> list[Listener]:
        """What stands in for its sockets: it can be asked for its name."""
        return [self]

    def getsockname(self) -> tuple[str, int | str]:
        """Address and port."""
        return ("127.0.0.1", self.port)

    def close(self) -> None:
        if self.is_serving():
            del self._network.listeners[self.port]
            self._closed()

    async def wait_closed(self) -> None:
        pass

    async def start_serving(self) -> None:
        pass

    async def serve_forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    def is_serving(self) -> bool:
        return self._network.listeners.get(self.port) is self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()


class Network:
    """Every port and connection of a world.

    ``heard`` is called with each piece as it is read: at which end, and the bytes. ``wrote`` with what a process writes.
    """

    def __init__(self, weather: Weather, heard: Callable[[int, bytes], None]) -> None:
        self.weather = weather
        self.wrote: Callable[[Process | None, bytes], None] = lambda _process, _data: None
        self.listeners: dict[int | str, Listener] = {}
        self._heard = heard
        self._numbers: dict[End, int] = {}
        self._last_port = 49152

    def carried(self, end: End, piece: bytes) -> None:
        """A piece was read."""
        self._heard(self._numbers[end], piece)

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], port: int | str, closed: Callable[[], None] = lambda: None) -> Listener:
        """Raises OSError where somebody listens already."""
        if not port:
            self._last_port += 1
            port = self._last_port
        found = self.listeners.get(port)
        if found is not None:
            raise OSError(98, "Address already in use")
        listener = self.listeners[port] = Listener(self, port, factory, closed)
        if listener.process is not None:
            listener.process.listeners.append(listener)
        return listener

    def close(self) -> None:
        """Listen nowhere any more."""
        for listener in list(self.listeners.values()):
            listener.close()

    async def connect(self, factory: Callable[[], asyncio.BaseProtocol], port: int | str) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Raises ConnectionRefusedError where nobody listens."""
        await clock.pause(self.weather.delay() + _APART)
        listener = self.listeners.get(port)
        if listener is None:
            raise ConnectionRefusedError(111, f"Connect call failed ({port!r})")
        self._last_port += 1
        near = End(self, factory(), running(), ("127.0.0.1", self._last_port))
        far = listener.context.copy().run(lambda: End(self, listener.factory(), listener.process, ("127.0.0.1", port)))
        near.peer, far.peer = far, near
        self._numbers[near], self._numbers[far] = len(self._numbers), len(self._numbers) + 1
        asyncio.get_running_loop().call_soon(far.get_protocol().connection_made, far, context=far._context)
        near.get_protocol().connection_made(near)
        return near, near.get_protocol()
