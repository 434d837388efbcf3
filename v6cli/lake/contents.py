"""Everything that belongs to a lake at one consistent set of versions, held open while it is copied.

A table at a version is the end of its log (the last checkpoint up to that version and the commits behind it) and the data files that
it names. Those files are opened at once: a file that is open can be read to its end whatever a vacuum or a shortened log removes
meanwhile. What was removed before it could be opened makes the whole look begin anew.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from msgspec import Struct

from v6cli import clock
from v6cli.lake import footers, scan
from v6cli.lake.durability import LOG
from v6cli.lake.errors import LakeEmpty, LakeUnreadable
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS, TABLES
from v6cli.lake.table_files import Vanished, check_deletion_vectors, check_log, data_files, log_files, schema_of
from v6cli.lake.tables import BROKEN, WRITERS_LOCK, open_table

PATIENCE = 5.0  # wall seconds in which a set of versions must be found whole; a sync names a new one meanwhile
_PAUSE = 0.1
_CHUNK = 1 << 20


class DiskFails(LakeUnreadable):
    """The disk does not give the content of a file of ``table``."""

    def __init__(self, table: str, message: str) -> None:
        super().__init__(message)
        self.table = table


class LakeFile:
    """A file of the lake by its path below it. ``descriptor`` is None while it is not open."""

    __slots__ = ("descriptor", "modified", "path", "size")

    def __init__(self, path: str, size: int, modified: int = 0, descriptor: int | None = None) -> None:
        self.path = path
        self.size = size
        self.modified = modified
        self.descriptor = descriptor


class TableContents(Struct, frozen=True):
    """One table at one version: ``log`` and ``data`` are its files, ``named`` says that the last sync named the version."""

    name: str
    version: int
    rows: int
    schema: dict[str, Any]
    named: bool
    log: list[LakeFile]
    data: list[LakeFile]

    @property
    def known(self) -> bool:
        """Whether it is a table that v6 writes."""
        return self.name in TABLES

    @property
    def files(self) -> Iterator[LakeFile]:
        """Its log's files, then its data's."""
        return itertools.chain(self.log, self.data)

    @property
    def bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    def close(self) -> None:
        """Let go of every file that is still open."""
        for file in self.files:
            if file.descriptor is not None:
                os.close(file.descriptor)
                file.descriptor = None


class Contents:
    """A consistent set of tables. ``missing`` are tables that could not be had, with the reason; ``strays`` what belongs to none."""

    def __init__(self, lake: Path, sync: SyncRunRecord | None, strays: list[str]) -> None:
        self.lake = lake
        self.sync = sync
        self.strays = strays
        self.tables: list[TableContents] = []
        self.missing: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every file that is still open."""
        for table in self.tables:
            table.close()

    def files(self) -> Iterator[LakeFile]:
        """Every file of every table."""
        for table in self.tables:
            yield from table.files

    def read(self, file: LakeFile) -> Iterator[bytes]:
        """The content of a file, in one piece where it is small; it is closed at the end. Learns at once when it was modified.

        Raises Vanished, LakeUnreadable where it is not as the log says, DiskFails, OSError.
        """
        descriptor = file.descriptor if file.descriptor is not None else _open(self.lake, file)
        file.descriptor = None
        return self._chunks(descriptor, file)

    def _chunks(self, descriptor: int, file: LakeFile) -> Iterator[bytes]:
        size = file.size
        try:
            while size and (chunk := os.read(descriptor, min(size, _CHUNK))):
                size -= len(chunk)
                yield chunk
            if size:
                raise Vanished("a file became shorter while it was read")
        except OSError as error:
            table = next(one.name for one in self.tables if file.path.startswith(f"{one.name}/"))
            raise DiskFails(table, f"{file.path} cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)


def look(lake: Path, descriptors: int, *, patience: float = PATIENCE, without: Mapping[str, str] = MappingProxyType({})) -> Contents:
    """Every table of the lake, at the versions that the last sync named and others at their latest; up to ``descriptors`` files open.

    With ``descriptors`` 0 nothing is kept open: for a look. What cannot be had whole within ``patience`` wall seconds is in
    ``missing``, as are the tables ``without`` which it must do, each with the reason. Raises LakeUnreadable where the folder itself cannot
    be read.
    """
    deadline = clock.monotonic() + patience
    while True:
        found = _look_once(lake, descriptors, without)
        if not found.missing.keys() - without.keys() or clock.monotonic() >= deadline:
            return found
        found.close()
        clock.pause_blocking(_PAUSE)


def has_tables(lake: Path) -> bool:
    """Whether a table is anywhere in the lake, be it in a folder of it. Raises LakeUnreadable where the folder itself cannot be read."""
    return bool(_walk(lake)[0])


def _look_once(lake: Path, descriptors: int, without: Mapping[str, str]) -> Contents:
    names, strays = _walk(lake)
    why, sync, versions = _named(lake)
    found = Contents(lake, sync, strays)
    try:
        for name in sorted({*names, *versions, *([SYNC_RUNS] if why else ())}):
            with _missed(found, name):
                if name in without:
                    raise LakeUnreadable(without[name])
                if name == SYNC_RUNS and why:
                    raise LakeUnreadable(why)
                table = _table(lake, name, versions.get(name))
                found.tables.append(table)
                for file in table.log:
                    descriptors -= _hold(lake, file, descriptors)
        for table in [*found.tables]:
            with _missed(found, table.name):
                for file in table.data:
                    if descriptors <= 0:
                        break
                    descriptors -= _hold(lake, file, descriptors)
        return found
    except BaseException:
        found.close()
        raise


@contextlib.contextmanager
def _missed(found: Contents, name: str) -> Iterator[None]:
    """A table that cannot be had is said to be missing, and why."""
    try:
        yield
    except (LakeUnreadable, Vanished, OSError) as error:
        found.missing[name] = _reason(error)
        for table in [one for one in found.tables if one.name == name]:
            table.close()
            found.tables.remove(table)


def _named(lake: Path) -> tuple[str | None, SyncRunRecord | None, dict[str, int]]:
    """Why the versions that belong together are not known, if so; the last sync, and the version of each table that it names."""
    if not (lake / SYNC_RUNS).exists():
        return None, None, {}
    try:
        table = open_table(lake, SYNC_RUNS)
        check_log(lake / SYNC_RUNS, table.version())
        record = scan.last_sync_run(table)
        return None, record, ({**record.versions} if record else {}) | {SYNC_RUNS: table.version()}
    except LakeEmpty:
        return None, None, {}
    except LakeUnreadable as error:
        return error.message, None, {}


def _walk(lake: Path) -> tuple[list[str], list[str]]:
    """The Delta tables below the lake, and what belongs to none; links are followed nowhere."""
    tables: list[str] = []
    strays: list[str] = []
    waiting = [lake] if lake.is_dir() else []
    try:
        while waiting:
            folder = waiting.pop()
            for entry in os.scandir(folder):
                name = Path(entry.path).relative_to(lake).as_posix()
                if folder == lake and name in {WRITERS_LOCK, BROKEN}:
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    strays.append(name)
                elif (Path(entry.path) / LOG).is_dir():
                    tables.append(name)
                else:
                    waiting.append(Path(entry.path))
    except OSError as error:
        raise LakeUnreadable(f"the lake {lake} cannot be read: {error.strerror}: {error.filename}") from error
    return sorted(tables), sorted(strays)


def _table(lake: Path, name: str, named: int | None) -> TableContents:
    """The table at the version named, or its latest. Raises LakeUnreadable, Vanished, OSError."""
    table = open_table(lake, name, named)
    version = table.version()
    check_log(lake / name, version)
    log = [LakeFile(f"{name}/{LOG}/{part}", 0) for part in log_files(lake / name / LOG, version)]
    check_deletion_vectors(table, lake / name)
    files, rows = data_files(table)
    data = [LakeFile(f"{name}/{path}", size) for path, size in files]
    _refuse_links(lake, [*log[:1], *data])
    if rows is None:
        rows = footers.count_rows([lake / file.path for file in data])
    return TableContents(name, version, rows, schema_of(table), named is not None, log, data)


def _refuse_links(lake: Path, files: list[LakeFile]) -> None:
    """A partition that is a link leads out of the lake. Raises LakeUnreadable."""
    real = os.path.realpath(lake)
    for folder in {file.path.rpartition("/")[0] for file in files}:
        if os.path.realpath(lake / folder) != os.path.join(real, folder):  # noqa: PTH118  a path as text, to compare
            raise LakeUnreadable(f"{lake / folder} is a link")


def _hold(lake: Path, file: LakeFile, left: int) -> int:
    """Open the file where a descriptor is left for it, else learn its size alone; how many it took. Raises as ``_open``."""
    descriptor = _open(lake, file)
    if left > 0:
        file.descriptor = descriptor
        return 1
    os.close(descriptor)
    return 0


def _open(lake: Path, file: LakeFile) -> int:
    """A descriptor of the file. Raises Vanished, LakeUnreadable where it is no file, or not of the size that the log says, OSError."""
    path = f"{lake}/{file.path}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Vanished(f"{path} is gone") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LakeUnreadable(f"{path} is no file")
        if file.size and status.st_size != file.size:
            raise LakeUnreadable(f"{path} has {status.st_size:,} bytes, the log says {file.size:,}")
    except BaseException:
        os.close(descriptor)
        raise
    file.size, file.modified = status.st_size, max(0, int(status.st_mtime))
    return descriptor


def _reason(error: Exception) -> str:
    if isinstance(error, LakeUnreadable):
        return error.message
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
