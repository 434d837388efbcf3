"""The tables of one writer, held open across its commits.

Opening a table costs as much as a commit, so handles are kept; and a held handle grows slower with each commit it has seen, so
a table is opened anew after each of its checkpoints, one in twenty commits. All of it happens under the writers' lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from v6cli.errors import CannotWrite, V6Error
from v6cli.lake import durability, scan, table_files
from v6cli.lake.arrow import record_batch
from v6cli.lake.errors import LakeUnreadable, first_line
from v6cli.lake.rows import Row, SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS, TABLES
from v6cli.lake.tables import open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable, PostCommitHookProperties

CHECKPOINT_EVERY = 20
ATTEMPTS = 5
TORN_AT_MOST = 2  # commits: the last one, and one that was built on it before the power went

_log = logging.getLogger(__name__)


class Handles:
    """Open tables of one lake. ``last`` is the last named sync; ``unnamed`` the tables with commits that no sync named."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self.last: SyncRunRecord | None = None
        self.unnamed: set[str] = set()
        self._tables: dict[str, DeltaTable] = {}
        self._written: dict[str, int] = {}
        self._put: list[str] = []  # since all was durable
        self._identity: tuple[int, int] | None = None

    def refresh(self) -> bool:
        """See what others committed, opening what is not open; whether anyone did. Raises LakeUnreadable, CannotWrite."""
        if self._written and self._identity == _identity(self.lake) and not self._others_wrote():
            return False
        self.forget()
        self._open()
        return True

    def forget(self) -> None:
        """Trust nothing that was open: after a failure the next commit looks at the files again."""
        self._tables.clear()
        self._written.clear()
        self._put.clear()
        self.unnamed.clear()
        self.last = None

    def table(self, name: str) -> DeltaTable:
        """The held table, opened anew where its last checkpoint let it go. Raises LakeUnreadable."""
        if name not in self._tables:
            self._tables[name] = open_table(self.lake, name)
        return self._tables[name]

    def put(self, name: str, rows: Sequence[Row]) -> None:
        """Write the rows in one commit: over a current table's, or to a history's end. ``make_durable`` has to follow.

        Raises CannotWrite, LakeUnreadable.
        """
        from deltalake.exceptions import CommitFailedError, DeltaError

        try:
            for _ in range(ATTEMPTS):
                try:
                    write(self.table(name), name, rows)
                    break
                except CommitFailedError:  # a writer outside v6's lock came between, and deltalake's own retries did not help
                    self._tables.pop(name, None)
            else:
                raise CannotWrite(
                    f"other writers keep getting in the way of the lake's table {name}", next_step="end them, then v6 sync --force"
                )
            self._put.append(name)
        except (DeltaError, OSError) as error:
            raise self._cannot_write(name, error) from error

    def make_durable(self) -> None:
        """Bring what was put to the disk, all tables at once: a disk takes many files together in little more time than one. Raises CannotWrite."""
        versions = {name: self.table(name).version() for name in self._put}
        self._put.clear()
        with ThreadPoolExecutor(len(TABLES)) as threads:
            syncing = {name: threads.submit(durability.sync_commit, self.lake / name, version) for name, version in versions.items()}
        for name, synced in syncing.items():
            try:
                synced.result()
            except OSError as error:
                raise self._cannot_write(name, error) from error
        self._written.update(versions)

    def delete_run(self, name: str, run: str) -> None:
        """Take out what an earlier attempt of the same run left in a history. Raises CannotWrite, LakeUnreadable."""
        from deltalake.exceptions import DeltaError

        table = self.table(name)
        before = table.version()
        try:
            table.delete(f"run = {scan.text(run)}", post_commithook_properties=_no_hooks())
        except (DeltaError, OSError) as error:
            raise self._cannot_write(name, error) from error
        if table.version() > before:
            self._put.append(name)
            self.make_durable()

    def versions(self) -> dict[str, int]:
        """The version each table but ``sync_runs`` is at: what the next row of ``sync_runs`` names."""
        return {name: self.table(name).version() for name in TABLES if name != SYNC_RUNS}

    def shorten_logs(self) -> None:
        """Checkpoint the tables that are due and let go of expired log files. What fails here is tried again at the next commit."""
        for name in TABLES:
            folder = self.lake / name
            if self._written.get(name, 0) - durability.last_checkpoint(folder) < CHECKPOINT_EVERY:
                continue
            try:
                self._checkpoint(name)
            except (V6Error, OSError) as error:
                _log.warning("no checkpoint of the lake's table %s: %s", name, first_line(error))

    def _checkpoint(self, name: str) -> None:
        from deltalake.exceptions import DeltaError

        table = self.table(name)
        try:
            table.create_checkpoint()
            durability.sync_checkpoint(self.lake / name, table.version())
            table.cleanup_metadata()
            del self._tables[name]
        except DeltaError as error:
            raise CannotWrite(first_line(error)) from error

    def _others_wrote(self) -> bool:
        return any(
            durability.commit_file(self.lake / name, version + 1).exists()
            or durability.last_checkpoint(self.lake / name) > version  # of a log that was cut since, that is all there is to see
            for name, version in self._written.items()
        )

    def _open(self) -> None:
        """Open every table, after taking torn commits off the ends of their logs."""
        self._identity = _identity(self.lake)
        self._drop_torn_end(SYNC_RUNS)
        self._tables[SYNC_RUNS] = self._opened(SYNC_RUNS)
        self.last = scan.last_sync_run(self._tables[SYNC_RUNS])
        named = self.last.versions if self.last else {}
        for name in TABLES:
            if name != SYNC_RUNS:
                if self.last is None:
                    self._drop_torn_end(name)
                else:
                    self._drop_torn(name, named.get(name, 0))
                self._tables[name] = self._opened(name)
                if self._tables[name].version() > named.get(name, 0):
                    self.unnamed.add(name)
            self._written[name] = self._tables[name].version()

    def _opened(self, name: str) -> DeltaTable:
        """The table, its log whole: what is built upon one that lost commits would hide the loss. Raises LakeUnreadable."""
        table = open_table(self.lake, name)
        table_files.check_log(self.lake / name, table.version())
        return table

    def _drop_torn_end(self, name: str) -> None:
        """Without a sync that names a version, the last commits alone can be torn: those before were on the disk when they were made."""
        torn = durability.torn_end(self.lake / name, TORN_AT_MOST + 1)
        if len(torn) > TORN_AT_MOST:
            raise LakeUnreadable(
                f"the lake's table {name} is damaged: its last commits cannot be read, more of them than a crash could tear"
            )
        if torn:
            self._drop(name, torn)

    def _drop_torn(self, name: str, named: int) -> None:
        later = durability.later_commits(self.lake / name, named)
        torn = [version for version in later if not durability.is_whole(self.lake / name, version)]
        if torn:
            self._drop(name, [version for version in later if version >= torn[0]])

    def _drop(self, name: str, versions: list[int]) -> None:
        _log.warning("the lake's table %s: commits %s were never named by a sync and are torn; they are taken back", name, versions)
        try:
            durability.drop_commits(self.lake / name, versions)
        except OSError as error:
            raise CannotWrite(f"cannot repair the lake's table {name} in {self.lake}: {first_line(error)}") from error

    def _cannot_write(self, name: str, error: Exception) -> CannotWrite:
        return CannotWrite(f"cannot write the lake's table {name} in {self.lake}: {first_line(error)}")


def write(table: DeltaTable, name: str, rows: Sequence[Row]) -> None:
    """One deltalake call: overwrite a current table as one file, append to a history."""
    from deltalake import write_deltalake

    schema = TABLES[name]
    batch = record_batch(schema, rows)
    if schema.kind == "current":
        write_deltalake(table, batch, mode="overwrite", post_commithook_properties=_no_hooks())
    else:
        write_deltalake(table, batch, mode="append", post_commithook_properties=_no_hooks())


def _identity(lake: Path) -> tuple[int, int]:
    """Which folder this is: a restore exchanges the whole lake for another under the same name."""
    found = lake.stat()
    return found.st_dev, found.st_ino


def _no_hooks() -> PostCommitHookProperties:
    """Checkpoints wait until a sync has named the commit."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
