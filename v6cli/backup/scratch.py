"""Folders for work that must leave nothing behind: each is locked while its process lives, and what one left that died is cleared away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from v6cli.errors import CannotWrite
from v6cli.files import private_folder


@contextlib.contextmanager
def folder(parent: Path, kind: str) -> Iterator[Path]:
    """A private empty folder below ``parent``, on the same file system, removed at the end with all that is in it. Raises CannotWrite."""
    private_folder(parent)
    sweep(parent, kind)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=parent))
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CannotWrite(f"cannot make a folder in {parent}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path, kind: str) -> None:
    """Remove what processes left that were killed."""
    for left in parent.glob(f".{kind}-*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


def free(place: Path) -> int:
    """Bytes that may still be written to the disk of ``place``, or of the nearest folder above it that is there."""
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
