"""What a process of a world has open: descriptors, and with them locks, and SQLite connections.

Within ``watched()`` every ``os.open`` and ``sqlite3.connect`` is noted under the process whose turn it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any


class Open:
    """The open files of one process."""

    def __init__(self) -> None:
        self.descriptors: dict[int, None] = {}
        self.databases: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Close everything, as the kernel does when a process ends: locks are free, transactions are rolled back."""
        if descriptors := list(self.descriptors):
            # The numbers stay taken: the program may still try to close them when its remains are cleared away.
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for descriptor in descriptors:
                os.dup2(nothing, descriptor, inheritable=False)
            os.close(nothing)
        self._close_databases()

    def forget(self) -> None:
        """Give back the numbers of what was closed. For the end of a world."""
        for descriptor in self.descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.descriptors.clear()
        self._close_databases()  # those that its remains opened while they were cleared away

    def _close_databases(self) -> None:
        for database in self.databases:
            with contextlib.suppress(sqlite3.Error):
                database.close()
        self.databases.clear()


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Note what the processes of a world open and close."""
    from v6cli.simulator.world.processes import running

    really_open, really_close, really_file, really_connect = os.open, os.close, os.fdopen, sqlite3.connect

    def open_(*args: Any, **options: Any) -> int:
        descriptor = really_open(*args, **options)
        if (process := running()) is not None:
            process.open.descriptors[descriptor] = None
        return descriptor

    def close(descriptor: int) -> None:
        if (process := running()) is not None:
            process.open.descriptors.pop(descriptor, None)
        really_close(descriptor)

    def fdopen(descriptor: int, *args: Any, **options: Any) -> Any:
        """From here on the file object closes it, and nobody dies before it does: nothing is awaited meanwhile."""
        if (process := running()) is not None:
            process.open.descriptors.pop(descriptor, None)
        return really_file(descriptor, *args, **options)

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = really_connect(*args, **options)
        if (process := running()) is not None:
            process.open.databases.append(connection)
        return connection

    os.open, os.close, os.fdopen, sqlite3.connect = open_, close, fdopen, connect  # type: ignore[assignment]
    try:
        yield
    finally:
        os.open, os.close, os.fdopen, sqlite3.connect = really_open, really_close, really_file, really_connect
