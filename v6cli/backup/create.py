"""One backup: chosen, written under a name that nobody takes for it, made durable, named.

Order: lake first, state after it, so that the state knows at least what the lake carries. The files of the lake are held open from the
look on. Whatever fails before the name leaves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from v6cli import clock, locks
from v6cli.backup import scratch, selection
from v6cli.backup.archive import Writer
from v6cli.backup.manifest import Manifest
from v6cli.backup.selection import Selection
from v6cli.errors import CannotWrite, Refused, Unavailable
from v6cli.events import Note, Progress, Report
from v6cli.files import FILE_MODE, sync_folder, write_durably
from v6cli.home import Home
from v6cli.lake import contents
from v6cli.lake.table_files import Vanished
from v6cli.results import bytes_text
from v6cli.settings import Settings
from v6cli.state.database import State

SUFFIX = ".tar.gz"
SUM_SUFFIX = ".sha256"
_NAME = f"backup_%Y%m%d_%H%M%S{SUFFIX}"
_SET_BACK = timedelta(hours=1)  # as far as a clock goes back, in November or corrected
WHAT = "backup"
ATTEMPTS = 3
USUAL, LEAST = 0.85, 0.4  # of the bytes that go in, what an archive usually takes, and less than which none ever did
_MOST_OPEN = 200_000
_KEPT_BACK = 256  # descriptors for everything else
_TOLD_EVERY = 8 << 20  # bytes


class Backup(Struct, frozen=True):
    """A finished backup: where it is, its sum, its size in bytes, what it holds, and the wall seconds it took."""

    path: Path
    sha256: str
    size: int
    manifest: Manifest
    seconds: float


def create(home: Home, own: Settings, state: State | None, report: Report, *, include_secrets: bool = False) -> Backup:
    """Make one backup of the home. ``state`` is its open SQLite file, None where there is none.

    Tables that cannot be had are in ``manifest.lost``, the rest is written all the same. Raises Refused naming another backup that
    runs, CannotWrite (nothing is left behind), LakeUnreadable, Unavailable.
    """
    began = clock.monotonic()
    with alone(home), _room_for_descriptors() as descriptors, scratch.folder(home.backups, WHAT) as folder:
        without: dict[str, str] = {}
        vanished = 0
        while vanished < ATTEMPTS:
            attempt = folder / str(vanished + len(without))
            try:
                with contents.look(home.lake, descriptors, without=without) as lake:
                    return _written(home, own, state, lake, attempt, report, began, include_secrets=include_secrets)
            except Vanished as gone:
                vanished += 1
                report(Note(f"{gone}: it was removed meanwhile; taking a later set of versions"))
            except contents.DiskFails as error:
                without[error.table] = error.message
                report(Note(f"{error.message}; beginning anew without {error.table}"))
            shutil.rmtree(attempt, ignore_errors=True)  # what was written of it needs its room again
        raise Unavailable(f"files of the lake went away in {ATTEMPTS} attempts", next_step="stop what vacuums the lake, then v6 backup")


def preview(home: Home, own: Settings, *, include_secrets: bool = False) -> Manifest:
    """What a backup would hold now; nothing is written. Raises LakeUnreadable, Unavailable."""
    with contents.look(home.lake, 0, patience=1.0) as lake:
        try:
            state = home.state if home.state.is_file() else None
            return selection.select(home, own, lake, state, clock.now(), include_secrets=include_secrets).manifest
        except OSError as error:
            raise Unavailable(f"the home cannot be read: {error.filename}: {error.strerror}") from error


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Nobody else makes or prunes backups of this home meanwhile. Raises Refused naming who does, CannotWrite."""
    path = home.run / f"{WHAT}.lock"
    lock = locks.try_hold(path, "v6 backup")
    if lock is None:
        raise Refused(f"another backup runs: {locks.holder(path) or 'a process that cannot be seen'}", next_step="wait for it to end")
    with lock:
        yield


def check_whole(backup: Backup) -> None:
    """Raises Unavailable where something is missing in the backup that should be in it."""
    if lost := backup.manifest.lost:
        raise Unavailable(
            f"the backup was made, but it lacks {', '.join(one.what for one in lost)}: {lost[0].why}",
            next_step="mend that, then v6 backup again; keep the older backups until then",
        )


def estimate(manifest: Manifest) -> int:
    """Bytes that the archive will take, about."""
    return int(manifest.bytes * USUAL) + 200 * len(manifest.files) + 4096


def _written(
    home: Home,
    own: Settings,
    state: State | None,
    lake: contents.Contents,
    folder: Path,
    report: Report,
    began: float,
    *,
    include_secrets: bool,
) -> Backup:
    taken = clock.now()
    free = scratch.free(home.backups)
    with _full_disk(home, 0, free):
        folder.mkdir()
    copy = None
    if state is not None:
        copy = folder / home.state.name
        with _full_disk(home, home.state.stat().st_size, free):
            state.copy_to(copy)
    with _full_disk(home, 0, free):
        chosen = selection.select(home, own, lake, copy, taken, include_secrets=include_secrets)
        needed = estimate(chosen.manifest)
    if free < chosen.manifest.bytes * LEAST:
        raise CannotWrite(
            f"{home.backups} has no room: about {bytes_text(needed)} are needed, {bytes_text(free)} are free",
            next_step="free room, or v6 backup prune",
        )
    with _full_disk(home, needed, free):
        draft = folder / "draft"
        sha256 = _write(draft, chosen, report)
        path = _named(home, taken, draft, sha256)
        return Backup(path, sha256, path.stat().st_size, chosen.manifest, clock.monotonic() - began)


def _write(draft: Path, chosen: Selection, report: Report) -> str:
    """Write the archive and make it durable; its sum. Raises Vanished, LakeUnreadable, OSError."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        writer = Writer(file, chosen.manifest)
        try:
            total, done, told = chosen.manifest.bytes, 0, 0
            for one, content, modified in chosen.opened():
                writer.add(one, content, modified)
                done += one.size
                if done - told >= _TOLD_EVERY:
                    told = done
                    report(Progress(WHAT, done, total, "bytes"))
            writer.close()
        except BaseException:
            writer.give_up()
            raise
        os.fsync(descriptor)
    report(Progress(WHAT, total, total, "bytes"))
    return writer.sha256


def _named(home: Home, taken: datetime, draft: Path, sha256: str) -> Path:
    """Give the draft a name that nobody has, its sum beside it; another home may keep its backups in the same folder."""
    while True:
        with contextlib.suppress(FileExistsError):
            return _named_as(_free_name(home.backups, taken), draft, sha256)


def _named_as(path: Path, draft: Path, sha256: str) -> Path:
    """The sum comes first, since an archive that is there must have one. Raises FileExistsError where the name was taken meanwhile."""
    sums = draft.with_name("sum")
    write_durably(sums, f"{sha256}  {path.name}\n".encode())
    made: list[Path] = []
    try:
        for half, name in ((sums, _beside(path)), (draft, path)):
            os.link(half, name)  # unlike a rename it replaces nothing
            made.append(name)
            sync_folder(path.parent)
    except BaseException:
        for name in made:
            with contextlib.suppress(OSError):
                name.unlink(missing_ok=True)
        raise
    return path


def _free_name(folder: Path, taken: datetime) -> Path:
    """``backup_YYYYMMDD_HHMMSS.tar.gz`` in New York; where it is taken the next second's that is free.

    Names sort as the backups were made: in the hour that repeats, or on a clock that was set back, it is a second after the last one.
    """
    moment = wall = taken.astimezone(clock.eastern()).replace(tzinfo=None)
    for path in folder.glob(f"*{SUFFIX}"):
        if (other := moment_in(path.name)) and wall <= other < wall + _SET_BACK:
            moment = max(moment, other + timedelta(seconds=1))
    while os.path.lexists(path := folder / f"{moment:{_NAME}}") or os.path.lexists(_beside(path)):
        moment += timedelta(seconds=1)
    return path


def moment_in(name: str) -> datetime | None:
    """The moment in the name of a backup, as a clock in New York showed it; None where it has none."""
    try:
        return datetime.strptime(name, _NAME)  # noqa: DTZ007  the hour that repeats has no zone of its own
    except ValueError:
        return None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUM_SUFFIX)


@contextlib.contextmanager
def _full_disk(home: Home, needed: int, free: int) -> Iterator[None]:
    """A disk that is full says how much room it takes. Raises CannotWrite."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise CannotWrite(
                f"the disk of {home.backups} is full: about {bytes_text(needed)} are needed, {bytes_text(free)} were free; nothing was left there",
                next_step="free room, or v6 backup prune",
            ) from error
        raise CannotWrite(f"the backup cannot be written: {error.filename or home.backups}: {error.strerror}") from error


@contextlib.contextmanager
def _room_for_descriptors() -> Iterator[int]:
    """Let this process open as many files as it may at most; how many of them a lake may take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_OPEN if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _KEPT_BACK)
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
