"""Durable small writes and private modes: what v6 writes is 0600, in folders that are 0700."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from v6cli.errors import CannotWrite

FILE_MODE = 0o600
FOLDER_MODE = 0o700
ROOM = 1 << 20  # bytes: a disk with less is full for what v6 writes


def private_folder(path: Path) -> Path:
    """Make ``path`` and its missing parents, readable by the owner alone. Raises CannotWrite."""
    try:
        missing = []
        probe = path
        while not probe.exists():
            missing.append(probe)
            probe = probe.parent
        for folder in reversed(missing):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            folder.chmod(FOLDER_MODE)
    except OSError as error:
        raise CannotWrite(f"cannot make the folder {path}: {error.strerror}") from error
    if not path.is_dir():
        raise CannotWrite(f"{path} is in the way: a folder is needed there")
    return path


def way_out(folder: Path) -> str:
    """What to do where nothing can be written in a folder, or it cannot be made: a line to type, or a short sentence."""
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        found = os.statvfs(folder)
    except OSError:
        return f"ls -ld {folder}"
    if found.f_blocks and found.f_bavail * found.f_frsize < ROOM:
        return f"the disk is full: free some of it, df -h {folder}"
    if found.f_flag & os.ST_RDONLY:
        return f"it is on a file system that is mounted read-only: findmnt -T {folder}"
    return f"ls -ld {folder}, and df -h {folder}"


def legible(text: str) -> str:
    """A name or an argument as it can be stored and shown anywhere: its bytes that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a new file's own fsync does not keep its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_small(path: Path) -> bytes:
    """The beginning of a file, up to 64 kB. Raises OSError, also for a pipe or a device: to open one may take for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return os.read(descriptor, 64 << 10)
    finally:
        os.close(descriptor)


def reserve(path: Path, size: int) -> None:
    """Keep ``size`` bytes of the disk in a file that can be given up when it is full. Raises CannotWrite."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CannotWrite(f"cannot reserve {size} bytes in {path}: {error.strerror}") from error


def append_durably(path: Path, line: bytes) -> None:
    """Add a line to a file. Raises CannotWrite."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            os.write(descriptor, line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """A new private file that gets its name at the end of the block, once it is on the disk; a block that fails leaves nothing.

    Raises CannotWrite, also where ``path`` is there already.
    """
    if path.exists():
        raise CannotWrite(f"{path} is there already: nothing was replaced")
    with _durably_in_place(path) as file:
        yield file


def write_durably(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` at once: after a crash it is the old file or the new one. Raises CannotWrite."""
    with _durably_in_place(path) as file:
        file.write(content)


@contextlib.contextmanager
def _durably_in_place(path: Path) -> Iterator[BinaryIO]:
    """A private draft that takes the place of ``path`` once it is on the disk, and its name with it."""
    private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}") from error
