"""The socket's grammar: frames of a four-byte length, holding fields that each end with a NUL.

What cannot be read raises MalformedFrame (the stream is lost, so the connection is) or BadField (only this request is).
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator

from v6cli.errors import V6Error

#: A client's requests are short: the longest real ones (a combo with conditions and an algorithm) stay below 8 KB.
LONGEST_REQUEST = 1 << 20

#: What IB sends and expects for a number that is not set.
UNSET = 1.7976931348623157e308


class MalformedFrame(V6Error):
    """The bytes of a client cannot be cut into requests any more; its connection has to end."""


class BadField(V6Error):
    """A request has a field that cannot be read, or too few of them; the connection can go on."""


Value = str | int | float | bool | None


def encode(*values: Value) -> bytes:
    """One frame holding ``values``."""
    texts = [value if type(value) is str else _text(value) for value in values]
    joined = "\0".join(texts)
    if joined.count("\0") >= len(texts):  # a text that holds what ends a field would become two
        joined = "\0".join([text.replace("\0", " ") for text in texts])
    payload = joined.encode() + b"\0"
    return struct.pack(">I", len(payload)) + payload


@functools.lru_cache(maxsize=4096, typed=True)  # most fields of the long messages are the same in each of them
def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        # ibapi reads sizes and volumes with int(): "100.0" would end its read loop.
        if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
            return str(int(value))
        return repr(value)
    return str(value)


class Frames:
    """Cuts a stream of bytes into the payloads of frames, whatever pieces it arrives in."""

    def __init__(self, longest: int = LONGEST_REQUEST) -> None:
        self._longest = longest
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the payloads that ``data`` completes. Raises MalformedFrame for a length that no request has."""
        self._bytes += data
        while len(self._bytes) >= 4:
            (length,) = struct.unpack_from(">I", self._bytes)
            if not 0 < length <= self._longest:
                raise MalformedFrame(f"a frame announces {length} bytes, and a request has 1 to {self._longest}")
            if len(self._bytes) < 4 + length:
                return
            payload = bytes(self._bytes[4 : 4 + length])
            del self._bytes[: 4 + length]
            yield payload


def split(payload: bytes) -> list[str]:
    """The fields of a payload. Raises MalformedFrame when the last one does not end."""
    if not payload.endswith(b"\0"):
        raise MalformedFrame("a frame ends in the middle of a field")
    return payload[:-1].decode(errors="backslashreplace").split("\0")


class Request:
    """A request's fields, read one after the other.

    ``kind`` is its message number. ``id`` is the id that answers carry, -1 until ``identify`` has read one: an error about
    this request goes to it.
    """

    def __init__(self, fields: list[str]) -> None:
        self.fields = fields
        self._at = 0
        self.id = -1
        self.kind = self.integer()

    def text(self) -> str:
        """The next field as it is. Raises BadField when there is none."""
        if self._at >= len(self.fields):
            raise BadField(f"the request ends after {len(self.fields)} fields")
        self._at += 1
        return self.fields[self._at - 1]

    def integer(self) -> int:
        """The next field as a whole number; empty is 0. Raises BadField."""
        text = self.text()
        try:
            return int(text) if text else 0
        except ValueError:
            raise BadField(f"{text[:40]!r} is not a whole number") from None

    def number(self) -> float:
        """The next field as a number; empty is 0. Raises BadField, also for NaN and infinities."""
        text = self.text()
        try:
            value = float(text) if text else 0.0
        except ValueError:
            raise BadField(f"{text[:40]!r} is not a number") from None
        if not math.isfinite(value):
            raise BadField(f"{text[:40]!r} is not a finite number")
        return value

    def boolean(self) -> bool:
        """The next field as yes or no; empty is no. Raises BadField."""
        return self.integer() != 0

    def identify(self) -> int:
        """The next field as the request's id."""
        self.id = self.integer()
        return self.id

    def skip(self, count: int) -> None:
        """Pass over ``count`` fields, versions mostly."""
        self._at += count
        if self._at > len(self.fields):
            raise BadField(f"the request ends after {len(self.fields)} fields")

    def rest(self) -> list[str]:
        """The fields that are left."""
        left = self.fields[self._at :]
        self._at = len(self.fields)
        return left
