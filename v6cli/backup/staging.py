"""A backup taken out beside the lake and looked at: what a restore would bring, before anything is decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from v6cli.backup import extract, names, verify
from v6cli.backup.errors import NoManifest
from v6cli.backup.manifest import File, LeftOut, Manifest, Table
from v6cli.errors import BadInput
from v6cli.events import Report
from v6cli.home import Home
from v6cli.lake import contents, newest
from v6cli.lake.errors import LakeUnreadable
from v6cli.procedure import Finding, Status


class Staged(Struct, frozen=True):
    """An archive that was taken out to ``folder`` (laid out like a home) or, for a dry run, only read (None). ``taken`` is UTC.

    ``manifest`` is None for an archive of an older layout, of which nothing is known but what its tables say.
    """

    archive: Path
    folder: Path | None
    sha256: str
    manifest: Manifest | None
    tables: list[Table]
    findings: list[Finding]

    @property
    def taken(self) -> datetime | None:
        """When the backup was taken."""
        return self.manifest.taken if self.manifest else None

    @property
    def lost(self) -> list[LeftOut]:
        """What should be in it, and is not."""
        return self.manifest.lost if self.manifest else []


class Row(Struct, frozen=True):
    """One table now and restored; None where it is not there. ``newest`` is the moment of its newest record (UTC)."""

    table: str
    rows_now: int | None
    rows_then: int | None
    newest_now: datetime | None
    newest_then: datetime | None
    files_then: int


def stage(archive: Path, into: Path, report: Report, *, only: Sequence[str] = ()) -> Staged:
    """Take the archive out to ``into`` and open every table. Raises BadInput where it is not to be restored, CannotWrite."""
    unwanted = tuple(only)

    def wanted(file: File) -> bool:
        return (
            not unwanted or not file.path.startswith(names.LAKE) or file.path.startswith(tuple(f"{names.LAKE}{name}/" for name in unwanted))
        )

    try:
        read = extract.extract(archive, into, report, wanted=wanted)
    except NoManifest:
        from v6cli.backup import older

        return older.stage(archive, into, report, only=only)
    manifest = read.manifest
    check_only({table.name for table in manifest.tables}, only)
    findings = [verify.sum_beside(archive, read.sha256), *verify.open_tables(into, _part(manifest, only), report), *verify.open_state(into)]
    for finding in findings:
        if finding.status is Status.UNHEALTHY:
            raise refused(archive, finding.text)
    return Staged(archive, into, read.sha256, manifest, list(_part(manifest, only).tables), findings)


def look(archive: Path, report: Report, *, only: Sequence[str] = ()) -> Staged:
    """Read all of the archive and check every sum; nothing is written. Raises BadInput; NoManifest for an older layout."""
    read = extract.check(archive, report)
    check_only({table.name for table in read.manifest.tables}, only)
    return Staged(
        archive, None, read.sha256, read.manifest, list(_part(read.manifest, only).tables), [verify.sum_beside(archive, read.sha256)]
    )


def rows(staged: Staged, home: Home, *, only: Sequence[str] = ()) -> list[Row]:
    """Every table of either side, now and restored. A lake that cannot be read has nothing that is known."""
    now = _counted(home.lake)
    then = {table.name: (table.rows, table.files) for table in staged.tables}
    return _rows(now, then, home.lake, staged.folder / names.LAKE if staged.folder else None, only)


def rows_between(lake: Path, other: Path, *, only: Sequence[str] = ()) -> list[Row]:
    """Every table of either of two lakes: of the one there is, and of the one that would take its place."""
    return _rows(_counted(lake), _counted(other), lake, other, only)


def _counted(lake: Path) -> dict[str, tuple[int, int]]:
    """The tables of a lake that can be read, with their rows and files."""
    try:
        with contents.look(lake, 0, patience=1.0) as found:
            return {table.name: (table.rows, len(table.log) + len(table.data)) for table in found.tables}
    except LakeUnreadable:
        return {}


def _rows(
    now: dict[str, tuple[int, int]], then: dict[str, tuple[int, int]], lake: Path, other: Path | None, only: Sequence[str]
) -> list[Row]:
    return [
        Row(
            name,
            now[name][0] if name in now else None,
            then[name][0] if name in then else None,
            _newest(lake, name) if name in now else None,
            _newest(other, name) if name in then and other else None,
            then[name][1] if name in then else 0,
        )
        for name in sorted({*now, *then})
        if not only or name in only
    ]


def refused(archive: Path, why: str) -> BadInput:
    """An archive that is not to be restored."""
    return BadInput(f"{archive.name} is refused: {why}", next_step="v6 backup list shows the others; v6 backup verify proves one")


def check_only(known: Collection[str], only: Sequence[str]) -> None:
    """Raise BadInput where a table that is wanted is not among those ``known`` of the archive."""
    for name in only:
        if name not in known:
            raise BadInput(f"the backup has no table {name!r}", next_step=f"it has {', '.join(sorted(known))}")


def _newest(lake: Path, name: str) -> datetime | None:
    try:
        return newest.newest(lake, name)
    except LakeUnreadable:
        return None


def _part(manifest: Manifest, only: Sequence[str]) -> Manifest:
    """The manifest as if it held the wanted tables alone."""
    import msgspec

    if not only:
        return manifest
    tables = [table for table in manifest.tables if table.name in only]
    inside = tuple(f"{names.LAKE}{table.name}/" for table in tables)
    files = [file for file in manifest.files if not file.path.startswith(names.LAKE) or file.path.startswith(inside)]
    return msgspec.structs.replace(manifest, tables=tables, files=files)
