"""Locks between processes, each with a named holder, and runs.

A lock is an flock on a file, so the kernel releases it when its process ends, however it ends. A *run* is one act of one
process: it lives while that process holds the flock on ``run/runs/<id>``. A reused pid, a reboot or a crash never looks alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from v6cli import clock
from v6cli.errors import CannotWrite, Refused
from v6cli.files import FILE_MODE, private_folder
from v6cli.home import Home


class Held:
    """A lock that this process holds until ``release``."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let the lock go; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


class Run:
    """One act of one process. ``identity`` names it in journal, permits and claims."""

    def __init__(self, identity: str, lock: Held) -> None:
        self.identity = identity
        self._lock = lock

    def end(self) -> None:
        """The act is over: its file goes, and with it the claim to be alive."""
        with contextlib.suppress(OSError):
            self._lock.path.unlink()
        self._lock.release()


def try_hold(path: Path, who: str, *, shared: bool = False) -> Held | None:
    """Take the lock at once, or return None where another holder is in the way. Never waits. Raises CannotWrite."""
    private_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise CannotWrite(f"cannot open the lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{who} (pid {os.getpid()})".encode(), 0)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise CannotWrite(f"cannot lock {path}: {error.strerror}") from error
    return Held(path, descriptor)


@contextlib.asynccontextmanager
async def hold(path: Path, who: str, wait: float) -> AsyncIterator[Held]:
    """Hold the lock exclusively, waiting up to ``wait`` wall seconds for it. Raises Refused, naming the holder."""
    deadline = clock.monotonic() + wait
    while (lock := try_hold(path, who)) is None:
        if clock.monotonic() >= deadline:
            raise Refused(f"{path.stem} is held by {holder(path) or 'another process'}", next_step="wait for it to end, then try again")
        await clock.pause(0.05)
    with lock:
        yield lock


def holder(path: Path) -> str | None:
    """Who holds the lock exclusively, as it named itself; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "an unnamed process"
    finally:
        os.close(descriptor)
    return None


def begin_run(home: Home, what: str) -> Run:
    """Begin one act of this process. Raises CannotWrite."""
    stamp = clock.wall().strftime("%Y%m%dT%H%M%S.%f")
    for attempt in range(1000):
        identity = f"{stamp}-{os.getpid()}" + (f"-{attempt}" if attempt else "")
        path = home.runs / identity
        if not path.exists() and (lock := try_hold(path, what)) is not None:
            return Run(identity, lock)
    raise CannotWrite(f"cannot begin a run in {home.runs}")


def lives(home: Home, identity: str) -> bool:
    """Whether the run is still going on. A name that is no file's is not alive."""
    path = home.runs / Path(identity).name
    return holder(path) is not None
