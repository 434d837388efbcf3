"""How many rows a Parquet file has, by its end alone.

The footer is a Thrift structure in the compact protocol: version, schema, number of rows, then what is of no interest here. Files of
one table begin their footers alike, so its schema is walked through once and then only compared. DuckDB needs a hundred times as long
for many small files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from v6cli.lake.errors import LakeUnreadable

_MAGIC = b"PAR1"
_TAIL = 8 << 10
_LARGEST = 64 << 20
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS = {4, 5, 6}  # i16, i32, i64
_ROWS_FIELD = 3


class Footers:
    """Reads footers, and remembers how those it has seen begin."""

    def __init__(self) -> None:
        self._begin = b"\xff"  # begins no footer

    def rows(self, path: str | Path, size: int | None = None) -> int:
        """The rows in the file, which must be of the ``size`` that is given. Raises LakeUnreadable."""
        try:
            footer = _read(path, size)
            if not footer.startswith(self._begin):
                self._begin = footer[: _place_of_rows(footer)]
            return _zigzag(footer, len(self._begin))[0]
        except (OSError, ValueError, IndexError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no Parquet file, damaged, or not of its size"
            raise LakeUnreadable(f"{path} cannot be read: {reason}") from error


def count_rows(paths: Iterable[Path]) -> int:
    """The rows in all of these files. Raises LakeUnreadable."""
    footers = Footers()
    return sum(footers.rows(path) for path in paths)


def _read(path: str | Path, said: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        if said is not None and said != size:
            raise ValueError("another size")
        tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
        length = int.from_bytes(tail[-8:-4], "little")
        if tail[-4:] != _MAGIC or not 0 < length <= min(size - 12, _LARGEST):
            raise ValueError("no footer")
        if length + 8 <= len(tail):
            return tail[-8 - length : -8]
        return os.pread(descriptor, length, size - 8 - length)
    finally:
        os.close(descriptor)


def _place_of_rows(footer: bytes) -> int:
    """Where the number of rows stands. Raises ValueError, IndexError."""
    at, field = 0, 0
    while (head := footer[at]) != _STOP:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _zigzag(footer, at)
        if field == _ROWS_FIELD:
            if head & 15 not in _VARINTS:
                raise ValueError("rows are no number")
            return at
        at = _skip(footer, at, head & 15, 0)
    raise ValueError("no number of rows")


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value of this kind ends."""
    if depth > 16:
        raise ValueError("too deep")
    if kind in {_TRUE, _FALSE}:
        return at
    if kind in _VARINTS:
        return _varint(data, at)[1]
    if kind == _BYTE:
        return at + 1
    if kind == _DOUBLE:
        return at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        return at + length
    if kind in {_LIST, _SET}:
        return _skip_list(data, at, depth)
    if kind != _STRUCT:
        raise ValueError(f"an unknown kind {kind}")
    while (head := data[at]) != _STOP:
        at = _skip(data, at + 1 if head >> 4 else _varint(data, at + 1)[1], head & 15, depth + 1)
    return at + 1


def _skip_list(data: bytes, at: int, depth: int) -> int:
    head, at = data[at], at + 1
    size = head >> 4
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data):
        raise ValueError("a list longer than the footer")
    kind = head & 15
    if kind in {_TRUE, _FALSE}:
        return at + size
    for _ in range(size):
        at = _skip(data, at, kind, depth + 1)
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number too long")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
