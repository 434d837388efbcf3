"""A backup proven: every sum, then every table opened where it was taken out to, counted and compared with the manifest."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from v6cli import clock
from v6cli.backup import extract, names, scratch
from v6cli.backup.create import SUM_SUFFIX
from v6cli.backup.manifest import Manifest, Table
from v6cli.errors import BadInput, V6Error
from v6cli.events import Progress, Report
from v6cli.home import Home
from v6cli.lake import proof
from v6cli.lake.durability import LOG
from v6cli.lake.errors import LakeUnreadable
from v6cli.procedure import Finding, Status
from v6cli.results import count
from v6cli.state import renewal, union
from v6cli.state.database import open_read_only

WHAT = "verify"


class Verified(Struct, frozen=True):
    """What came of verifying one archive. ``manifest`` is None where it could not even be read, ``at`` is UTC, ``seconds`` wall time."""

    path: Path
    sha256: str
    size: int
    manifest: Manifest | None
    findings: list[Finding]
    at: datetime
    seconds: float

    @property
    def code(self) -> int:
        """0 healthy, 1 degraded, 2 unhealthy."""
        return max((finding.exit_code for finding in self.findings), default=0)


def verify(path: Path, place: Path, report: Report) -> Verified:
    """Take the archive out to a folder below ``place``, which is removed again, and look at all of it.

    One that cannot be read is as bad as a damaged one, and keeps nobody from looking at the others. Raises CannotWrite where there is no room.
    """
    began = clock.monotonic()
    with scratch.folder(place, WHAT) as folder:
        into = folder / names.TOP
        try:
            read = extract.extract(path, into, report)
        except BadInput as error:
            bad = Finding(path.name, Status.UNHEALTHY, error.message)
            return Verified(path, "", _size_of(path), None, [bad], clock.now(), clock.monotonic() - began)
        findings = [
            sum_beside(path, read.sha256),
            *open_tables(into, read.manifest, report),
            *open_state(into),
            *completeness(read.manifest),
        ]
        return Verified(path, read.sha256, read.size, read.manifest, findings, clock.now(), clock.monotonic() - began)


def sum_beside(path: Path, sha256: str) -> Finding:
    """Whether the archive's own sum is the one in the file beside it."""
    beside = path.with_name(path.name + SUM_SUFFIX)
    try:
        said = re.match(r"([0-9a-f]{64})\s", beside.read_text("ascii", errors="replace"))
    except OSError as error:
        return Finding("archive", Status.DEGRADED, f"{beside.name} cannot be read: {error.strerror}")
    if said is None or said[1] != sha256:
        return Finding("archive", Status.UNHEALTHY, f"the archive is not the one whose sum is in {beside.name}")
    return Finding("archive", Status.OK, "every sum is right")


def open_tables(folder: Path, manifest: Manifest, report: Report) -> list[Finding]:
    """Open every table below ``folder/data/lake`` and compare it with the manifest: version, schema, files, rows. Never raises V6Error."""
    findings = _outsiders(manifest)
    for done, table in enumerate(manifest.tables, 1):
        findings.append(_table(folder, manifest, table))
        report(Progress("tables", done, len(manifest.tables)))
    return findings


def open_state(folder: Path) -> list[Finding]:
    """Look through the SQLite file below ``folder``, where there is one, and whether it can be taken in. Never raises V6Error."""
    copy = Home(folder)
    if not copy.state.exists():
        return []
    try:
        wrong = renewal.damage(copy)
        if not wrong:
            with open_read_only(copy) as state:
                wrong = union.problem(state)
    except V6Error as error:
        wrong = error.message
    return [Finding("state", Status.UNHEALTHY if wrong else Status.OK, wrong or "the state is whole")]


def completeness(manifest: Manifest) -> list[Finding]:
    """What the backup itself says that it lacks."""
    return [Finding(one.what, Status.DEGRADED, f"not in the backup: {one.why}") for one in manifest.lost]


def _outsiders(manifest: Manifest) -> list[Finding]:
    """Files in the lake that are of no table which the manifest lists: nothing has opened them."""
    within = tuple(f"{names.LAKE}{table.name}/" for table in manifest.tables)
    found = [file.path for file in manifest.files if file.path.startswith(names.LAKE) and not file.path.startswith(within)]
    return [Finding("lake", Status.UNHEALTHY, f"{count(len(found), 'file')} of no table, {found[0]} for one")] if found else []


def _table(folder: Path, manifest: Manifest, table: Table) -> Finding:
    try:
        found = proof.open_and_count(folder / names.LAKE, table.name)
    except LakeUnreadable as error:
        return Finding(table.name, Status.UNHEALTHY, error.message)
    except OSError as error:
        return Finding(table.name, Status.UNHEALTHY, f"{table.name} cannot be read: {error.strerror}")
    within = f"{names.LAKE}{table.name}/"
    listed = {
        file.path.removeprefix(within): file.size
        for file in manifest.table_files(table.name)
        if not file.path.startswith(f"{within}{LOG}/")
    }
    for what, said, is_now in (
        ("version", table.version, found.version),
        ("schema", table.schema, found.schema),
        ("set of files", listed, dict(found.files)),
        ("number of rows", table.rows, found.rows),
    ):
        if said != is_now:
            told = f": {is_now}, not {said}" if isinstance(said, int) else ""
            return Finding(table.name, Status.UNHEALTHY, f"{table.name} has another {what} than the manifest says{told}")
    return Finding(table.name, Status.OK, f"{table.name}: version {found.version}, {found.rows:,} rows")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
