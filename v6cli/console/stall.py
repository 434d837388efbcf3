"""Writing where nobody may be reading: at a terminal that stands still, or into a pipe whose reader does.

^S stops a terminal, a network that is gone below an ssh session stops it without a word, and a write waits there for ever, and with it
whatever was under way. A terminal, pipe or socket (the journal of systemd is one) that went through ``reopen`` is waited for a moment;
what does not fit then is dropped.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import select
import stat
from collections.abc import Callable, Iterator
from threading import Lock
from typing import IO, TYPE_CHECKING, TextIO, cast

from v6cli import clock

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE = 1.0  # seconds of wall time that whoever stopped reading is waited for, once, not for each line
GROWS = 0.1  # seconds that come back to it in each second in which what is written is read
MISSED = "something was not shown while nothing could be written here; what was done, and how it ended: v6 journal"

Put = Callable[[memoryview], int]  # takes what fits and says how much; raises BlockingIOError where nothing does

_WIPES = re.compile(rb"(?:\r|\x1b\[[0-9;?]*[A-Za-ln-z])*")  # how a live view takes its last frame back
_PLAIN = b"\x1b[0m"  # ends what was cut off in the midst of a colour's code, and the colour


class Reader:
    """Whoever reads what is written, at the terminal or from the pipe or socket that stdout and stderr may share."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.waited_for = False  # for ever, as who is asked a question is
        self._left = PATIENCE
        self._since = clock.monotonic()  # from when on it grows

    def give(self, descriptor: int, put: Put, data: bytes) -> int:
        """Write it as far as it is taken within what is left of the patience; how many bytes were. Raises OSError where none ever will be."""
        rest = memoryview(data)
        began = clock.monotonic()
        waited = False
        while rest:
            try:
                rest = rest[put(rest) :]
            except BlockingIOError:
                waited = True
                left = self._left - (clock.monotonic() - began)
                if left <= 0 and not self.waited_for:
                    break
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll(None if self.waited_for else left * 1000)
        now = clock.monotonic()
        if waited:
            self._left = max(0.0, self._left - (now - began))
            self._since = now
        elif now > self._since:
            self._left = min(PATIENCE, self._left + (now - self._since) * GROWS)
            self._since = now
        return len(data) - len(rest)


class Unwaited(io.RawIOBase):
    """A descriptor that no write blocks at. ``missed`` is whether something was dropped of which nobody has been told.

    What ``tells`` says so itself, in a line of its own, with the next thing that can be written.
    """

    def __init__(self, descriptor: int, reader: Reader, *, tells: bool, put: Put | None = None) -> None:
        self.missed = False
        self._put = put or functools.partial(os.write, descriptor)
        self._descriptor = descriptor
        self._reader = reader
        self._tells = tells
        self._cut = False  # whether the last thing to be seen is the beginning of something

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer) -> int:
        """Write it or drop it; either way it counts as written. Raises OSError where nobody will ever read it."""
        whole = bytes(data)
        # Another thread may wait for the reader: whoever has waited as long for that thread drops what it has.
        if not self._reader.lock.acquire(timeout=-1 if self._reader.waited_for else PATIENCE):
            self.missed = True
            return len(whole)
        try:
            telling = self.missed and self._tells
            said = self._with_what_was_missed(whole) if telling else whole
            if self._cut:
                said = (_PLAIN if self.isatty() else b"") + b"\n" + said
            taken = self._reader.give(self._descriptor, self._put, said)
            if taken < len(said):
                self.missed = True
                self._cut = self._cut or taken > 0
            else:
                self.missed = self.missed and not telling
                self._cut = False
        finally:
            self._reader.lock.release()
        return len(whole)

    @staticmethod
    def _with_what_was_missed(data: bytes) -> bytes:
        """The line that says so, before the data, but behind what would wipe it from the screen."""
        begin = match.end() if (match := _WIPES.match(data)) else 0
        return b"".join((data[:begin], MISSED.encode(), b"\n", data[begin:]))

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Within the block whoever reads is waited for as long as it takes, and nothing is dropped."""
        self._reader.waited_for = True
        try:
            yield
        finally:
            self._reader.waited_for = False


def reopen(stream: TextIO, descriptor: int, readers: dict[tuple[int, int], Reader], *, tells: bool) -> tuple[TextIO, Unwaited] | None:
    """A stream in the place of the one that writes to a descriptor, at whose terminal, pipe or socket it does not wait; None where it is
    none of these, or may not be opened by this user. ``readers`` are those known by now: stdout and stderr may have the same.
    """
    try:
        if stream.fileno() != descriptor:
            return None
        found = os.fstat(descriptor)
        if stat.S_ISSOCK(found.st_mode):
            put: Put = functools.partial(_send, descriptor)
        elif stat.S_ISFIFO(found.st_mode) or os.isatty(descriptor):
            put = _opened_anew(descriptor)
        else:
            return None
    except (OSError, ValueError):  # no /proc, a terminal of another user's, one that went away; a stream without a descriptor
        return None
    with contextlib.suppress(OSError):
        stream.flush()
    raw = Unwaited(descriptor, readers.setdefault((found.st_dev, found.st_ino), Reader()), tells=tells, put=put)
    text = io.TextIOWrapper(cast("IO[bytes]", raw), stream.encoding, stream.errors, newline="\n", line_buffering=True)
    return text, raw


def _opened_anew(descriptor: int) -> Put:
    """Not to block is a property of what was opened, which the shell that started v6 has open, too: so it is opened once more, in its
    place, so that what the stream still holds stops nothing either. Raises OSError.
    """
    own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.dup2(own, descriptor)
    os.close(own)
    return functools.partial(os.write, descriptor)


def _send(descriptor: int, data: memoryview) -> int:
    """A socket cannot be opened once more, but each send may say for itself that it does not wait."""
    import socket

    own = socket.socket(fileno=descriptor)
    try:
        return own.send(data, socket.MSG_DONTWAIT)
    finally:
        own.detach()
