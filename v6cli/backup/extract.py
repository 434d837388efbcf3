"""An archive taken out into a fresh folder in one pass, bounded and checked on the way.

Nothing is written before the manifest has been read and its names, sizes and the room for them were checked; then each file is
created, never replaced, 0600, in folders 0700 made here, whatever modes and owners the archive states. What is in the folder is
proven once ``extract`` returns: until then it is to be thrown away.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from v6cli.backup import archive, names, scratch
from v6cli.backup.archive import Read
from v6cli.backup.manifest import File, Manifest
from v6cli.errors import CannotWrite
from v6cli.events import Progress, Report
from v6cli.files import FILE_MODE, FOLDER_MODE, private_folder
from v6cli.results import bytes_text

WRITERS = 2
SPARE = 64 << 20  # bytes that stay free on the disk
_BLOCK = 4096
_SMALL = 256 << 10
_WAITING = 64  # small files between the reader and the writers
_TOLD_EVERY = 8 << 20

Wanted = Callable[[File], bool]


def extract(path: Path, into: Path, report: Report, *, wanted: Wanted | None = None, writers: int = WRITERS) -> Read:
    """Take the archive out into the folder ``into``, which must not be there or be empty: ``into/data/lake``, ``into/config``.

    All of the archive is checked, and those files are written that are ``wanted`` (all). What it wrote is not yet on the disk: sync it.
    Raises BadArchive, NoManifest, CannotWrite (no room), BadInput where the archive cannot be read.
    """
    private_folder(into)
    if any(into.iterdir()):
        raise CannotWrite(f"{into} is not empty: a backup is taken out into a fresh folder")
    with _Folder(into, writers) as place:
        return _through(path, report, lambda manifest: _check_room(into, manifest, wanted), place.put, wanted)


def check(path: Path, report: Report) -> Read:
    """Read all of the archive and check every sum; nothing is written. Raises BadArchive, NoManifest, BadInput."""
    return _through(path, report, lambda _manifest: None, None, None)


def _through(
    path: Path,
    report: Report,
    begin: Callable[[Manifest], None],
    put: Callable[[File, int, Iterator[memoryview]], None] | None,
    wanted: Wanted | None,
) -> Read:
    told = _Told(report)

    def begun(manifest: Manifest) -> None:
        told.total = manifest.bytes
        begin(manifest)

    def take(file: File, modified: int, content: Iterator[memoryview]) -> None:
        if put is not None and (wanted is None or wanted(file)):
            put(file, modified, content)
        else:
            for _ in content:
                pass
        told.more(file.size)

    return archive.read(path, begun, take)


def _check_room(into: Path, manifest: Manifest, wanted: Wanted | None) -> None:
    """Refuse what does not fit. Raises CannotWrite."""
    files = [file for file in manifest.files if wanted is None or wanted(file)]
    needed = sum(-(-file.size // _BLOCK) * _BLOCK for file in files) + _BLOCK * len(files) // 8
    free = scratch.free(into) - SPARE
    if needed > free:
        raise CannotWrite(f"{into} has no room for it: {bytes_text(needed)} are needed, {bytes_text(max(0, free))} are free")


class _Told:
    """Progress, told now and then."""

    def __init__(self, report: Report) -> None:
        self.total = 0
        self._report = report
        self._done = 0
        self._told = 0

    def more(self, size: int) -> None:
        self._done += size
        if self._done - self._told >= _TOLD_EVERY or self._done >= self.total > self._told:
            self._told = self._done
            self._report(Progress("reading", self._done, self.total, "bytes"))


class _Folder:
    """Writes files below a folder: small ones by threads of its own, large ones as they come."""

    def __init__(self, root: Path, writers: int) -> None:
        self._root = str(root)
        self._made: set[str] = set()
        self._waiting: queue.Queue[tuple[str, int, bytes] | None] = queue.Queue(_WAITING)
        self._failed: OSError | None = None
        self._threads = [threading.Thread(target=self._work, name="extract", daemon=True) for _ in range(writers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._failed = self._failed or OSError(0, "given up")
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        if kind is None:
            self._raise()

    def put(self, file: File, modified: int, content: Iterator[memoryview]) -> None:
        """Write one file. Raises CannotWrite."""
        self._raise()
        folder = file.path.rpartition("/")[0]
        path = f"{self._root}/{file.path}"
        try:
            if folder not in self._made:
                self._make(folder)
            if self._threads and file.size <= _SMALL:
                self._waiting.put((path, modified, b"".join(content)))
            else:
                _write(path, modified, content)
        except OSError as error:
            raise _cannot(error, path) from error

    def _make(self, folder: str) -> None:
        for one in reversed([folder, *names.folders_of(folder)]):
            if one not in self._made:
                os.mkdir(f"{self._root}/{one}", FOLDER_MODE)  # noqa: PTH102  a path as text, as all of them here
                self._made.add(one)

    def _work(self) -> None:
        while (one := self._waiting.get()) is not None:
            if self._failed is None:
                path, modified, content = one
                try:
                    _write(path, modified, iter([content]))
                except OSError as error:
                    error.filename = path
                    self._failed = error

    def _raise(self) -> None:
        if self._failed is not None:
            raise _cannot(self._failed, str(self._failed.filename or self._root)) from self._failed


def _write(path: str, modified: int, content: Iterator[bytes | memoryview]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        for chunk in content:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        with contextlib.suppress(OverflowError):
            os.utime(descriptor, (modified, modified))
    finally:
        os.close(descriptor)


def _cannot(error: OSError, path: str) -> CannotWrite:
    return CannotWrite(f"{path} cannot be written: {error.strerror}")
