"""Tables made, opened and pinned, and the one lock over those who write them."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from v6cli import clock, locks
from v6cli.errors import CannotWrite, Refused
from v6cli.files import FOLDER_MODE, private_folder, sync_folder
from v6cli.lake import durability, scan, table_files
from v6cli.lake.arrow import arrow_schema
from v6cli.lake.errors import LakeEmpty, LakeUnreadable, first_line
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS, TABLES, TableSchema

if TYPE_CHECKING:
    from deltalake import DeltaTable

WRITERS_LOCK = ".writer.lock"
BROKEN = ".broken"
CREATION_WAIT = 30.0

# What costs in a Delta table is the number of its log files: with these a table opens as fast after 10,000 commits as after ten.
# The writer makes the checkpoints itself, after a sync is named; the setting is for other programs that write here.
_CONFIGURATION: dict[str, str | None] = {
    "delta.checkpointInterval": "20",
    "delta.logRetentionDuration": "interval 6 hours",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}


class Snapshot(Struct, frozen=True):
    """One consistent set of versions: those the last sync named."""

    lake: Path
    record: SyncRunRecord
    versions: dict[str, int]

    def open(self, name: str) -> DeltaTable:
        """The table as the snapshot has it; one that no sync has named yet is as empty as it was made. Raises LakeUnreadable."""
        return open_table(self.lake, name, self.versions.get(name, 0))


def create(lake: Path) -> list[str]:
    """Make every table that is missing, with its schema; the names of those made. Raises CannotWrite, Refused.

    May run beside writers and beside itself.
    """
    if not _missing(lake):
        return []
    private_folder(lake)
    with hold_writers(lake, "create the lake", CREATION_WAIT), private_modes():
        made = _missing(lake)
        for name in made:
            _create_table(lake, TABLES[name])
        return made


def rebuild(lake: Path) -> list[Path]:
    """Set aside every table that cannot be opened, and make it anew, empty; where each was put, below ``.broken``.

    For a sync that must succeed whatever the lake looks like; the tables themselves come back from a backup. Raises
    CannotWrite, Refused.
    """
    private_folder(lake)
    with hold_writers(lake, "rebuild the lake", CREATION_WAIT):
        aside = [_set_aside(lake, name) for name in TABLES if (lake / name).exists() and not _opens(lake, name)]
    create(lake)
    return aside


def open_table(lake: Path, name: str, version: int | None = None) -> DeltaTable:
    """The table ``name``, at ``version`` or the latest. Raises LakeUnreadable naming table and reason.

    Who reads more than one table opens them through ``pin``.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    folder = lake / name
    if not (folder / durability.LOG).is_dir():
        raise LakeUnreadable(f"the lake has no table {name}: {folder} is missing")
    try:
        return DeltaTable(folder, version=version)
    except TableNotFoundError:
        raise LakeUnreadable(f"the lake's table {name} is missing or has no log: {folder}") from None
    except (DeltaError, OSError, ValueError) as error:
        at = "" if version is None else f" at version {version}"
        raise LakeUnreadable(f"the lake's table {name} cannot be read{at}: {first_line(error)}") from error


def pin(lake: Path) -> Snapshot:
    """The versions that the last sync named. Raises LakeEmpty where none has, LakeUnreadable."""
    record = scan.last_sync_run(open_table(lake, SYNC_RUNS))
    if record is None:
        raise LakeEmpty(f"the lake {lake} records no sync yet")
    return Snapshot(lake, record, {**record.versions})


@contextlib.contextmanager
def hold_writers(lake: Path, who: str, wait: float) -> Iterator[None]:
    """Be the lake's only writer, waiting up to ``wait`` wall seconds for another. Raises Refused naming the holder, CannotWrite."""
    path = lake / WRITERS_LOCK
    deadline = clock.monotonic() + wait
    while (lock := locks.try_hold(path, who)) is None:
        if clock.monotonic() >= deadline:
            raise Refused(
                f"the lake is being written by {locks.holder(path) or 'another process'}", next_step="wait for it to end, then try again"
            )
        clock.pause_blocking(0.01)
    with lock:
        yield


@contextlib.contextmanager
def private_modes() -> Iterator[None]:
    """Files that deltalake makes meanwhile are 0600 and folders 0700: it takes no mode, so the umask has to say it."""
    before = os.umask(0o777 & ~FOLDER_MODE)
    try:
        yield
    finally:
        os.umask(before)


def _opens(lake: Path, name: str) -> bool:
    """Whether its log can be read and its last commit is whole; of ``sync_runs`` the last row, too: by it every other table is read."""
    last = durability.last_commit(lake / name)
    try:
        table = open_table(lake, name)
        table.file_uris()
        table_files.check_log(lake / name, table.version())
        if name == SYNC_RUNS:
            scan.last_sync_run(table)
    except LakeUnreadable:
        return False
    return last is None or durability.is_whole(lake / name, last)


def _set_aside(lake: Path, name: str) -> Path:
    broken = private_folder(lake / BROKEN)
    place = next(place for number in itertools.count(1) if not (place := broken / f"{name}-{number}").exists())
    try:
        (lake / name).rename(place)
        sync_folder(broken)
        sync_folder(lake)
    except OSError as error:
        raise CannotWrite(f"cannot set the lake's broken table {name} aside: {error.strerror}") from error
    return place


def _missing(lake: Path) -> list[str]:
    return [name for name in TABLES if not any((lake / name / durability.LOG).glob("*.json"))]


def _create_table(lake: Path, table: TableSchema) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    folder = lake / table.name
    configuration = {**_CONFIGURATION, "delta.dataSkippingStatsColumns": ",".join(table.statistics)}
    try:
        DeltaTable.create(
            folder,
            arrow_schema(table),
            partition_by=table.partitions,
            name=table.name,
            description=table.meaning,
            configuration=configuration,
        )
        durability.sync_commit(folder, 0)
        durability.sync_names(folder)
    except (DeltaError, OSError) as error:
        raise CannotWrite(f"cannot make the lake's table {table.name} in {folder}: {first_line(error)}") from error
