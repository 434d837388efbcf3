"""The one SQLite file: opened to write, opened to look, migrated, copied.

WAL with synchronous FULL: a transaction that returned is on the disk. One ``State`` may be used from several threads, one
transaction at a time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from v6cli.errors import BadConfiguration, CannotWrite
from v6cli.files import FILE_MODE, legible, private_folder, sync_folder
from v6cli.home import Home
from v6cli.state import errors

SCHEMA_VERSION = 3
LARGEST_ID = (1 << 63) - 1  # SQLite knows no larger number
BUSY_SECONDS = 5.0

Parameters = Sequence[Any] | dict[str, Any]
Migration = str | Callable[[sqlite3.Connection], None]  # a statement, or what no statement can say


class State:
    """An open state file. ``read_only`` ones refuse every write.

    Every method raises CannotWrite (disk full, read-only, locked for too long) or StateCorrupt.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0
        self._reading = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; a second call does nothing."""
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """Every row that the statement returns, as tuples."""
        with self._lock, _said(self.path, writing=not self.read_only):
            return self._connection.execute(sql, _legible(parameters)).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> Any | None:
        """The first row that the statement returns, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def write(self, sql: str, parameters: Parameters = ()) -> int:
        """Execute one statement that changes something; how many rows it changed."""
        self._refuse_to_write()
        with self._lock, _said(self.path, writing=True):
            return self._connection.execute(sql, _legible(parameters)).rowcount

    def write_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Execute one statement for each set of parameters."""
        self._refuse_to_write()
        with self._lock, _said(self.path, writing=True):
            self._connection.executemany(sql, parameters)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block, or none. A transaction inside a transaction is a part of it that may fail alone."""
        self._refuse_to_write()
        with self._lock:
            begin, commit, rollback = self._statements()
            with _said(self.path, writing=True):
                self._connection.execute(begin)
            self._depth += 1
            try:
                yield
                with _said(self.path, writing=True):
                    self._connection.execute(commit)
            except BaseException:
                self._undo(rollback)
                raise
            finally:
                self._depth -= 1

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads of the block see the file at one moment."""
        with self._lock:
            if self._depth or self._reading:
                yield
                return
            with _said(self.path, writing=False):
                self._connection.execute("BEGIN")
            self._reading = True
            try:
                yield
            finally:
                self._reading = False
                self._undo(("ROLLBACK",))

    def copy_to(self, path: Path) -> None:
        """A consistent copy as one durable file that needs no -wal, while others write. Raises CannotWrite if ``path`` exists."""
        private_folder(path.parent)
        _claim(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy, _said(path, writing=True):
            with self._lock:
                self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(path.parent)

    def _statements(self) -> tuple[str, str, tuple[str, ...]]:
        if self._depth == 0:
            return "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
        name = f"inner{self._depth}"
        return f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}")

    def _undo(self, statements: Sequence[str]) -> None:
        """Take back what a block did. SQLite has already done so itself after some failures, such as a full disk."""
        for statement in statements:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute(statement)

    def _refuse_to_write(self) -> None:
        if self.read_only:
            raise CannotWrite(f"{self.path} was opened to look, not to write")
        if self._reading:
            raise RuntimeError("a write inside a snapshot, which only reads")


def open_state(home: Home) -> State:
    """The home's state, made or migrated first where needed. Raises CannotWrite, StateCorrupt, BadConfiguration (a newer v6 wrote it)."""
    path = home.state
    private_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        _create(path)
    _make_private(path)
    with _said(path, writing=True):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        with _said(path, writing=True):
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return State(path, connection)


def open_read_only(home: Home) -> State:
    """The home's state to look at; works where nothing can be written. Raises StateMissing, StateCorrupt, Unavailable.

    A file of an older v6 is migrated in a copy in memory; the file stays as it is.
    """
    path = home.state
    if not path.exists() or path.stat().st_size == 0:
        raise errors.missing(path)
    with _said(path, writing=False):
        connection = _connect_to_look(path)
    try:
        with _said(path, writing=False):
            if _version(connection) < SCHEMA_VERSION:
                connection = _in_memory(connection)
                _migrate(connection, path)
            _refuse_newer(connection, path)
    except BaseException:
        connection.close()
        raise
    return State(path, connection, read_only=True)


def open_without_trace(home: Home) -> State:
    """The home's state for a dry run: not even SQLite's own -wal and -shm appear, and a home without state has an empty one.

    Raises StateCorrupt, Unavailable.
    """
    path = home.state
    if not path.exists() or path.stat().st_size == 0:
        empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _migrate(empty, path)
        return State(path, empty, read_only=True)
    with _said(path, writing=False):
        connection = None if _wal(path).exists() else _in_memory(_connect(path, "mode=ro&immutable=1"))
    if connection is None:
        return open_read_only(home)
    try:
        # Without a -wal nobody had it open, so the file stood still; one that has appeared since may have moved it.
        with _said(path, writing=False):
            if _wal(path).exists():
                connection.close()
                return open_read_only(home)
            _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return State(path, connection, read_only=True)


def open_in_memory() -> State:
    """A state that knows nothing and is gone with the process, to try on it what is to be done to another."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    _migrate(connection, path := Path(":memory:"))
    return State(path, connection)


def migrations() -> list[Sequence[Migration]]:
    """What leads from each schema version to the next; each room owns the DDL of its tables."""
    from v6cli.state import alerts, intents, journal, mirror, runs

    return [(*journal.TABLES, *alerts.TABLES, *runs.TABLES, *mirror.TABLES), intents.TABLES, mirror.IN_ONE_TEXT]


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _refuse_newer(connection, path)
        for number, steps in enumerate(migrations()[_version(connection) :], _version(connection) + 1):
            for step in steps:
                connection.execute(step) if isinstance(step, str) else step(connection)
            connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    found = _version(connection)
    if found > SCHEMA_VERSION:
        raise BadConfiguration(
            f"{path} was written by a newer v6: its schema is {found}, this one knows {SCHEMA_VERSION}", next_step="use that version of v6"
        )


def _connect_to_look(path: Path) -> sqlite3.Connection:
    """SQLite wants to write beside a WAL file even when it only reads; where it may not, a file without -wal can be read as it is."""
    try:
        return _connect(path, "mode=ro")
    except sqlite3.OperationalError:
        if _wal(path).exists():
            return _copied_with_wal(path)
        return _connect(path, "mode=ro&immutable=1")


def _wal(path: Path) -> Path:
    """Where SQLite keeps what is not yet in the file; there while a process has the file open, or died with it."""
    return path.with_name(path.name + "-wal")


def _connect(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(os.fspath(path))}?{how}", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _copied_with_wal(path: Path) -> sqlite3.Connection:
    """A process died before it could fold its -wal into a file that nobody can write now: read a copy of both."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="v6-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(_wal(path), _wal(copy))
        return _in_memory(_connect(copy, "mode=rw"))


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of the whole file in memory, in place of ``connection``, which is closed."""
    with contextlib.closing(connection):
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.backup(memory)
    return memory


def _create(path: Path) -> None:
    """Make the file private from its first moment; SQLite gives -wal and -shm the modes it finds on it."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise CannotWrite(f"cannot make {path}: {error.strerror}") from error


def _claim(path: Path) -> None:
    try:
        _create(path)
    except FileExistsError:
        raise CannotWrite(f"{path} exists already") from None


def _make_private(path: Path) -> None:
    with contextlib.suppress(OSError):  # another user's file: their business
        if path.stat().st_mode & 0o777 != FILE_MODE:
            path.chmod(FILE_MODE)


def _legible(parameters: Parameters) -> Parameters:
    """Parameters that SQLite takes, whatever bytes somebody typed."""
    if isinstance(parameters, dict):
        return {name: legible(value) if isinstance(value, str) else value for name, value in parameters.items()}
    return [legible(value) if isinstance(value, str) else value for value in parameters]


@contextlib.contextmanager
def _said(path: Path, *, writing: bool) -> Iterator[None]:
    """Errors of SQLite and of the disk leave as v6's own; what is a bug stays what it is."""
    try:
        yield
    except sqlite3.Error as error:
        said = errors.translated(error, path, writing=writing)
        if said is None:
            raise
        raise said from error
