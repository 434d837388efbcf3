"""The lock that says whether a supervisor lives: it is handed over to the supervisor, and the kernel takes it back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from v6cli import locks
from v6cli.errors import ServiceUnavailable
from v6cli.files import FILE_MODE


@contextlib.contextmanager
def to_hand_over(path: Path, holder: str) -> Iterator[int]:
    """A descriptor that holds the flock on ``path``, for a child process to inherit.

    The lock lasts as long as any process has this descriptor open; here it is closed at the end of the block. Raises
    ServiceUnavailable where another process has the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        if not locks.claim(descriptor, holder):
            raise ServiceUnavailable("another supervisor of this home lives", next_step="v6 services status")
        yield descriptor
    finally:
        os.close(descriptor)
