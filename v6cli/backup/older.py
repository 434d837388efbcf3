"""Archives of the older layouts, without a manifest: what they hold is known only once it was taken out and opened.

``backup/data/lake/…``, ``backup_<stamp>/data/lake/…`` and ``data/lake/…`` are read; nothing else of them is taken out. There are no sums
of single files to check: what compressed it has one over the whole, and it must have an end. Beyond that such a backup is believed as far as
its tables open, and no further.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from v6cli.backup import names, scratch, tar
from v6cli.backup.extract import SPARE
from v6cli.backup.manifest import Table
from v6cli.backup.staging import Staged, check_only, refused
from v6cli.errors import CannotWrite
from v6cli.events import Progress, Report
from v6cli.files import FILE_MODE, private_folder
from v6cli.lake import contents
from v6cli.lake.durability import LOG
from v6cli.lake.errors import LakeUnreadable
from v6cli.procedure import Finding, Status
from v6cli.results import bytes_text

_PLACE = re.compile(r"(?:\./)?(?:backup(?:_[0-9A-Za-z_-]+)?/)?(data/lake/.+)")
_TOLD_EVERY = 8 << 20
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 16  # bytes: names and attributes need no more
_HEADERS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
#: How what compressed an archive begins, and what reads it back and checks its sum; ``tarfile`` by itself checks none in a stream.
_COMPRESSED: dict[bytes, Callable[[BinaryIO], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def stage(archive: Path, into: Path, report: Report, *, only: Sequence[str] = ()) -> Staged:
    """Take the lake out of such an archive, and open every table that is in it, or those of ``only``. Raises BadInput, CannotWrite."""
    private_folder(into)
    try:
        _extract(archive, into, report)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RecursionError) as error:
        raise refused(archive, f"it is damaged: {error}") from error
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)) == archive:
            raise refused(archive, f"it is damaged: {error}") from error
        raise CannotWrite(f"{error.filename} cannot be written: {error.strerror}") from error
    lake = into / names.LAKE
    if not lake.is_dir():
        raise refused(archive, "there is no data/lake in it")
    if only:
        _leave(lake, only)
    try:
        with contents.look(lake, 0, patience=0.0) as found:
            if found.missing:
                name, why = next(iter(found.missing.items()))
                raise refused(archive, f"its table {name}: {why}")
            tables = [
                Table(one.name, one.version, one.rows, len(one.log) + len(one.data), one.bytes, one.schema, one.known, one.named)
                for one in found.tables
            ]
    except LakeUnreadable as error:
        raise refused(archive, error.message) from error
    if not tables:
        raise refused(archive, "there is no table in it")
    unproven = Finding("archive", Status.DEGRADED, "it has no manifest: its tables open, and nothing more can be said of it")
    return Staged(archive, into, "", None, tables, [unproven])


def _leave(lake: Path, only: Sequence[str]) -> None:
    """Leave these tables alone in the lake. Raises BadInput where one is not in it."""
    found = {log.parent.relative_to(lake).as_posix() for log in lake.rglob(LOG)}
    check_only(found, only)
    for name in found.difference(only):
        shutil.rmtree(lake / name)


def _extract(archive: Path, into: Path, report: Report) -> None:
    free = scratch.free(into) - SPARE
    done = told = 0
    seen: list[str] = []
    with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as packed:
        for path, member in _members(archive, packed):
            seen.append(path)
            done += member.size
            if done > free:
                raise CannotWrite(f"{into} has no room for it: more than {bytes_text(free)} are needed")
            source = packed.extractfile(member)
            assert source is not None
            _write(into / path, source.read)
            if done - told >= _TOLD_EVERY:
                told = done
                report(Progress("reading", done, max(done, archive.stat().st_size), "bytes"))
        stream.check_end()
    if both := names.collision(seen):
        raise refused(archive, f"{both[0]!r} and {both[1]!r} are one name on other file systems")


class _Header(tarfile.TarInfo):
    """A header of an archive. Those that say something of the next one ``tarfile`` reads into memory at once, and where the holes of a
    sparse file are, however long that is.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        """Take in what belongs to this header, where that is bounded: the way in for subclasses, says ``tarfile``. Raises TarError."""
        if self.type in _HEADERS and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(f"{self.name!r} is a sparse file")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Stream:
    """What an archive holds, decompressed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._last = b""

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``."""
        chunk = self._file.read(size)
        self._last = (self._last + chunk[-len(tar.END) :])[-len(tar.END) :]
        return chunk

    def check_end(self) -> None:
        """Read to the end, where the sum of what compressed it is checked. Raises EOFError where it is not the end of an archive."""
        while self.read(_CHUNK):
            pass
        if self._last != tar.END:
            raise EOFError("it is cut off")


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Any]:
    with archive.open("rb") as file:
        begin = file.read(8)
        file.seek(0)
        decompress = next((how for mark, how in _COMPRESSED.items() if begin.startswith(mark)), None)
        with contextlib.nullcontext(file) if decompress is None else decompress(file) as plain:
            yield _Stream(plain)


def _members(archive: Path, packed: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The files of the lake, each by a path that stays in it. Raises BadInput."""
    taken: set[str] = set()
    for member in packed:
        match = _PLACE.fullmatch(member.name)
        if match is None or member.isdir():
            if member.name.startswith("/") or ".." in member.name.split("/"):
                raise refused(archive, f"the name {member.name!r} leaves the archive's folder")
            continue
        path = match[1]
        if why := names.problem(path):
            raise refused(archive, f"the name {path!r} {why}")
        if not member.isreg():
            raise refused(archive, f"{path!r} is no file")
        if path in taken:
            raise refused(archive, f"{path!r} is in it twice")
        taken.add(path)
        yield path, member


def _write(path: Path, read: object) -> None:
    private_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := read(1 << 20):  # type: ignore[operator]
            file.write(chunk)
