"""What goes into one backup, chosen and held before a byte is written: the manifest without its sums, and where each file comes from."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from v6cli import __version__, clock, latch
from v6cli.backup import beside, names
from v6cli.backup.beside import Small
from v6cli.backup.manifest import FORMAT, File, LeftOut, Manifest, Sync, Table
from v6cli.home import Home
from v6cli.lake.contents import Contents, LakeFile, TableContents
from v6cli.lake.rows import SyncRunRecord
from v6cli.results import visible
from v6cli.settings import Settings

Source = LakeFile | Path | Small


class Selection:
    """One backup's contents: the manifest, and where each of its files comes from, in their order."""

    def __init__(self, manifest: Manifest, lake: Contents, sources: list[Source]) -> None:
        self.manifest = manifest
        self._lake = lake
        self._sources = sources

    def opened(self) -> Iterator[tuple[File, Iterator[bytes], int]]:
        """Each file with its content and when it was modified, in seconds since 1970. Raises Vanished, LakeUnreadable, OSError."""
        for file, source in zip(self.manifest.files, self._sources, strict=True):
            if isinstance(source, LakeFile):
                content = self._lake.read(source)
                yield file, content, source.modified
            elif isinstance(source, Small):
                yield file, iter([source.content]), source.modified
            else:
                yield file, _chunks(source), int(clock.wall().timestamp())


def select(home: Home, own: Settings, lake: Contents, state: Path | None, taken: datetime, *, include_secrets: bool) -> Selection:
    """Choose; ``state`` is a copy of the SQLite file that stands still. Raises OSError."""
    tables, left_out = _tables(lake)
    small, without = beside.settings_files(home, include_secrets=include_secrets)
    marks, unread = beside.latch_files(home)
    small, colliding = _apart(small + marks)
    files = [File(names.LAKE + file.path, file.size) for table in tables for file in table.files]
    sources: list[Source] = [file for table in tables for file in table.files]
    if state is not None:
        files.append(File(names.STATE + home.state.name, state.stat().st_size))
        sources.append(state)
    files += [File(one.path, len(one.content)) for one in small]
    sources += small
    manifest = _manifest(home, own, lake, tables, files, taken, include_secrets=include_secrets)
    manifest.left_out.extend([*left_out, *without, *unread, *colliding])
    return Selection(manifest, lake, sources)


def _manifest(
    home: Home, own: Settings, lake: Contents, tables: list[TableContents], files: list[File], taken: datetime, *, include_secrets: bool
) -> Manifest:
    state = latch.read(home)
    return Manifest(
        format=FORMAT,
        taken=taken,
        home=str(home),
        profile=own.profile,
        account=own.account,
        trading_state=state.state.value,
        trading_reason=state.reason,
        software=software(),
        sync=_sync(lake.sync),
        tables=[_table(table) for table in tables],
        left_out=[],
        strays=[visible(name) for name in lake.strays],
        secrets=include_secrets,
        files=files,
    )


def software() -> dict[str, str]:
    """v6 and what wrote the files, with versions."""
    from importlib import metadata

    packages = {name: metadata.version(name) for name in ("deltalake", "isal")}
    return {"v6": __version__, "python": platform.python_version(), **packages}


def _tables(lake: Contents) -> tuple[list[TableContents], list[LeftOut]]:
    """The tables whose names every file system keeps, and those that cannot be had or kept."""
    left_out = [LeftOut(names.LAKE + name, why, lost=True) for name, why in lake.missing.items()]
    tables = []
    for table in lake.tables:
        paths = [names.LAKE + file.path for file in table.files]
        bad = next((f"{path!r} {why}" for path in paths if (why := names.problem(path))), "")
        if both := None if bad else names.collision(paths):
            bad = f"{both[0]!r} and {both[1]!r} are one name on other file systems"
        if bad:
            left_out.append(LeftOut(names.LAKE + table.name, bad, lost=True))
        else:
            tables.append(table)
    return tables, left_out


def _apart(small: list[Small]) -> tuple[list[Small], list[LeftOut]]:
    """Without the files whose names differ from an earlier one's in case or Unicode form alone."""
    kept: list[Small] = []
    left_out: list[LeftOut] = []
    for one in small:
        if names.collision([*(other.path for other in kept), one.path]):
            left_out.append(LeftOut(one.path, "another file has its name on other file systems", lost=True))
        else:
            kept.append(one)
    return kept, left_out


def _table(table: TableContents) -> Table:
    count = len(table.log) + len(table.data)
    return Table(table.name, table.version, table.rows, count, table.bytes, table.schema, table.known, table.named)


def _sync(record: SyncRunRecord | None) -> Sync | None:
    return None if record is None else Sync(record.run, record.number, record.began, record.ended)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk
