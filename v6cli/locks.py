"""Locks between processes, each with a named holder, and runs.

A lock is an flock on a file, so the kernel releases it when its process ends, however it ends. Who holds it exclusively puts a
record lock beside it: that one can be asked after without being taken, so a look at the holder is in nobody's way. A *run* is one
act of one process: it lives while that process holds the flock on ``run/runs/<id>``. A reused pid, a reboot or a crash never looks
alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, Self

from v6cli import clock
from v6cli.errors import CannotWrite, Refused
from v6cli.files import FILE_MODE, private_folder
from v6cli.home import Home

SETTLED = 60.0  # wall seconds after which a run has long taken its lock, or never will

_RECORD = "hhqqi0q"  # the kernel's struct flock: type, whence, start, length (0 is the whole file), pid


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
    return _try(path, descriptor, who, shared=shared)


def try_hold_unwritable(path: Path) -> Held | None:
    """Take the lock exclusively on a file that may only be read, so that its holder stays unnamed; None where another is in the way.

    Raises CannotWrite where there is no such file, or it cannot even be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CannotWrite(f"cannot open the lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Held(path, descriptor)


def _try(path: Path, descriptor: int, who: str, *, shared: bool) -> Held | None:
    try:
        taken = _share(descriptor) if shared else claim(descriptor, f"{who} (pid {os.getpid()})")
    except OSError as error:
        os.close(descriptor)
        raise CannotWrite(f"cannot lock {path}: {error.strerror}") from error
    if not taken:
        os.close(descriptor)
        return None
    return Held(path, descriptor)


def claim(descriptor: int, who: str) -> bool:
    """Take the lock on an open file at once; whether nobody was in the way. It lasts while any process has the descriptor open."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, who.encode(), 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_RECORD, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return True


def _share(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, struct.pack(_RECORD, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        if struct.unpack(_RECORD, found)[0] == fcntl.F_UNLCK:
            return None
        return os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "an unnamed process"
    finally:
        os.close(descriptor)


def sharers(path: Path) -> list[int]:
    """The processes that hold the lock shared, by pid, as the kernel lists them; those of other containers are not seen."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [int(row[4]) for row in rows if row[1] == "FLOCK" and row[3] == "READ" and row[5].rsplit(":", 1)[-1] == str(inode)]


def begin_run(home: Home, what: str) -> Run:
    """Begin one act of this process, and clear away what runs left that were killed. Raises CannotWrite."""
    stamp = clock.wall().strftime("%Y%m%dT%H%M%S.%f")
    for attempt in range(1000):
        identity = f"{stamp}-{os.getpid()}" + (f"-{attempt}" if attempt else "")
        path = home.runs / identity
        if path.exists() or (lock := try_hold(path, what)) is None:
            continue
        if path.exists():
            _sweep(home)
            return Run(identity, lock)
        lock.release()  # so long in coming that another run took it for dead
    raise CannotWrite(f"cannot begin a run in {home.runs}")


def _sweep(home: Home) -> None:
    """Remove the files of runs that have ended without doing it. A file goes only under its own lock: it is nobody's."""
    long_ago = clock.wall().timestamp() - SETTLED
    for path in home.runs.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < long_ago:
                _remove_unheld(path)


def _remove_unheld(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


class Living(NamedTuple):
    """A run that is going on: its identity, the process, and what it said it does."""

    identity: str
    pid: int
    what: str


def living(home: Home) -> list[Living]:
    """The runs of this home that are going on, the oldest first."""
    try:
        names = sorted(path.name for path in home.runs.iterdir())
    except OSError:
        return []
    found = [(name, holder(home.runs / name)) for name in names]
    return [Living(name, int(name.split("-")[1]), what) for name, what in found if what is not None]


def lives(home: Home, identity: str) -> bool:
    """Whether the run is still going on. A name that is no file's is not alive."""
    path = home.runs / Path(identity).name
    return holder(path) is not None
