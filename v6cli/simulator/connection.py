"""One client's socket: its bytes become requests, answers become its bytes, and whatever it does wrong costs it alone."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator.outgoing import Outgoing
from v6cli.simulator.pacing import MESSAGES_PER_SECOND
from v6cli.simulator.wire import BadField, Frames, MalformedFrame, Request, Value, encode, split

if TYPE_CHECKING:
    from v6cli.simulator.server import Gateway
    from v6cli.simulator.subscriptions import Bars, Stream

logger = logging.getLogger(__name__)

SERVER_VERSION = 157

#: Bytes that may wait for a client before it counts as one that does not read.
LONGEST_BACKLOG = 32 << 20
#: Bytes of a client that may wait to be read; the rest waits in its socket.
LONGEST_UNREAD = 1 << 20
#: How often a client is told that it sends too fast before it is dropped for it.
PATIENCE = 3


class Connection(asyncio.Protocol):
    """A client. ``client_id`` is None until it has started the API; the subscriptions are what is pushed to it.

    ``binds`` is whether, as client 0, it takes over orders by hand.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.client_id: int | None = None
        self.server_version = 0
        self.market_data_type = 1
        self.streams: dict[int, Stream] = {}
        self.bars: dict[int, Bars] = {}
        self.positions = False
        self.binds = False
        self.account_updates: str | None = None
        self.summaries: dict[int, list[str]] = {}
        self.pnl: dict[int, tuple[str, int | None]] = {}
        self.writable = True
        self.unheard = False
        self._greeting = bytearray()
        self._frames = Frames()
        self._unread = bytearray()
        self._outgoing = Outgoing(gateway.link, self._write)
        self._refused_after_greeting = False
        self._ending = False
        self._ended = False
        self._transport: asyncio.Transport | None = None
        self._offences = 0
        self._reads_late = False
        self._stuck = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.gateway.arrived(self)
        how = self.gateway.link.refuses()
        self.unheard, self._refused_after_greeting = how == "silent", how == "greeting"
        if how == "close":
            self.drop("logins are refused")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outgoing.discard()
        self._ended = True
        # A client is gone once its socket has been read to its end, and not before.
        if self._ending or self.client_id is None or not self.gateway.link.holds_back(self):
            self.gateway.gone(self)

    def pause_writing(self) -> None:
        # Whoever does not read its answers gets no more questions read: that bounds what waits for it.
        self.writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.writable = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self.gateway.link.holds_back(self):
            self._read(data)
            return
        self._unread += data
        if len(self._unread) > LONGEST_UNREAD and self._transport is not None:
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read what was left unread, unless it still is to be."""
        if self.gateway.link.holds_back(self):
            return
        data, self._unread = bytes(self._unread), bytearray()
        if data:
            self._reads_late = True
            self._read(data)
            self._reads_late = False
        if self._ended:
            self.gateway.gone(self)
        elif self.writable and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _read(self, data: bytes) -> None:
        try:
            if not self.server_version:
                data = self._greet(data)
            if self.server_version:
                for payload in self._frames.feed(data):
                    if self._ending:
                        return
                    self._handle(split(payload))
        except MalformedFrame as error:
            self.drop(error.message)

    # The handshake.

    def _greet(self, data: bytes) -> bytes:
        """Answer the client's greeting once it is complete; what follows it is returned."""
        self._greeting += data
        if not b"API\0".startswith(bytes(self._greeting[:4])):
            raise MalformedFrame("the client does not begin with API")
        if len(self._greeting) < 8:
            return b""
        length = int.from_bytes(self._greeting[4:8], "big")
        if not 0 < length <= 1024:
            raise MalformedFrame(f"a greeting of {length} bytes")
        if len(self._greeting) < 8 + length:
            return b""
        versions = re.match(rb"v(\d{1,9})(?:\.\.(\d{1,9}))?", self._greeting[8 : 8 + length])
        if versions is None:
            raise MalformedFrame("the greeting names no versions")
        lowest, highest = int(versions[1]), int(versions[2] or versions[1])
        if lowest > SERVER_VERSION:
            raise MalformedFrame(f"the client needs server version {lowest}, and this is {SERVER_VERSION}")
        self.server_version = min(highest, SERVER_VERSION)
        self.send(self.server_version, clock.now().astimezone(clock.eastern()).strftime("%Y%m%d %H:%M:%S EST"))
        rest = bytes(self._greeting[8 + length :])
        self._greeting.clear()
        if self._refused_after_greeting:
            self.close()
        return rest

    # Requests.

    def _handle(self, fields: list[str]) -> None:
        if self._too_fast():
            return
        try:
            request = Request(fields)
        except BadField as error:
            self.error(-1, 320, f"Error reading request: {error.message}")
            return
        self.attempt(request, lambda: self.gateway.answer(self, request))

    def _too_fast(self) -> bool:
        """Refuse a message that is one too many of the login's within a second; what is read late says nothing about that."""
        pace = self.gateway.message_pace
        if not self.gateway.pacing or self._reads_late or not pace.exceeded(asyncio.get_running_loop().time()):
            return False
        text = f"Max rate of messages per second has been exceeded:max={MESSAGES_PER_SECOND} rec={MESSAGES_PER_SECOND + 1} (1)"
        self.error(-1, 100, text)
        self._offences += 1
        if self._offences > PATIENCE:
            self.drop("it goes on sending too fast")
        return True

    def attempt(self, request: Request, act: Callable[[], None]) -> None:
        """Do what answers a request, now or when it can be; what comes of one that cannot be read is told to its client alone."""
        try:
            act()
        except BadField as error:
            self.error(request.id, 320, f"Error reading request: {error.message}")
        except Exception:
            # A bug here must not look like a broken network to the client under test, nor take the others down.
            logger.exception("a request could not be answered: %s", request.fields[:20])
            self.error(request.id, 320, "Error reading request: internal error of the simulated gateway")

    # Answers.

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport is None or self._transport.is_closing()

    def send(self, *fields: Value) -> None:
        """Send one message. Messages of one turn of the event loop leave together, in order."""
        if self.closed:
            return
        if self._outgoing.add(encode(*fields)):
            asyncio.get_running_loop().call_soon(self.flush)
        if self._outgoing.size + self._backlog() > LONGEST_BACKLOG:
            self.drop("it does not read its answers")

    def error(self, id_: int, code: int, text: str) -> None:
        """Send one of IB's messages; ``id_`` is -1 when it concerns no request."""
        self.send(4, 2, id_, code, text)

    def end(self, answer: str, *fields: Value) -> None:
        """Send the message that completes ``answer``, unless a fault withholds it."""
        if not self.gateway.faults.withholds(answer):
            self.send(*fields)

    def flush(self) -> None:
        """Hand over what is gathered to the socket, once what it tells of is saved."""
        self.gateway.save()
        if self.closed:
            self._outgoing.discard()
        else:
            self._outgoing.flush()

    def _write(self, content: bytes) -> None:
        if self._transport is not None:
            self._transport.write(content)
            if self._ending and not self._outgoing.size:
                self._transport.close()

    def close(self) -> None:
        """End the connection after what has been sent; nothing more is read."""
        self._ending = True
        self.flush()
        if self._transport is not None and not self._outgoing.size:
            self._transport.close()

    def drop(self, reason: str) -> None:
        """End the connection at once; what is unread is lost."""
        logger.info("client %s is dropped: %s", self.client_id, reason)
        self._ending = True
        if self._transport is not None:
            self._transport.abort()
        elif self._ended:
            self.gateway.gone(self)

    def waited(self, seconds: float, limit: float) -> None:
        """Count time in which this client took nothing, or has not said who it is; past ``limit`` it is dropped."""
        idle = (self.client_id is not None and self.writable) or self.gateway.link.holds_back(self)
        self._stuck = 0.0 if idle else self._stuck + seconds
        if self._stuck > limit:
            self.drop("it does not read its answers" if self.client_id is not None else "it never started the API")

    def _backlog(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0
