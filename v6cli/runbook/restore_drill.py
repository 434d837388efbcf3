"""A restore rehearsed: a backup taken out to scratch, opened, held against the lake there is and against IB, and how long that took.

Nothing of the home changes. What a restore would do beyond it, the exchange of two folders, takes no time that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6cli import clock
from v6cli.backup import extract, names, scratch, verify
from v6cli.backup.errors import BadArchive
from v6cli.backup.manifest import Manifest
from v6cli.errors import V6Error
from v6cli.events import Report
from v6cli.home import Home
from v6cli.lake import contents, lineage, reader
from v6cli.lake.errors import LakeEmpty, LakeUnreadable
from v6cli.models import Contract, Fill, Position
from v6cli.procedure import Finding, Fix, Status, exit_code, verdict
from v6cli.results import Column, Table, bytes_text, count

if TYPE_CHECKING:
    from v6cli.broker.connection import Connection
    from v6cli.settings import Settings

NAME = "restore-drill"
WHAT = "drill"
BACKUP = Fix(("backup",))
LIVE = "live lake"
RECONCILE = "reconcile"
_SAME = 1e-9

Gateway = Callable[[], AbstractAsyncContextManager["Connection"]]


class Book(Struct, frozen=True):
    """What a lake says the account held, and the executions that it knows."""

    positions: Sequence[Position]
    fills: Sequence[Fill]


class Drill(Struct, frozen=True):
    """What came of it. ``seconds`` is the wall time until every table was open: what a restore of this backup takes."""

    archive: Path
    size: int
    seconds: float
    findings: list[Finding]
    then: Book | None = None
    since: Sequence[Fill] = ()

    @property
    def code(self) -> int:
        """0 healthy, 1 degraded, 2 unhealthy."""
        return exit_code(self.findings)


def rehearse(home: Home, own: Settings, archive: Path, report: Report) -> Drill:
    """Take the backup out, open all of it, hold it against the lake there is. Raises CannotWrite without room, BadInput."""
    began = clock.monotonic()
    with scratch.folder(home.backups, WHAT) as folder:
        into = folder / names.TOP
        try:
            read = extract.extract(archive, into, report)
        except BadArchive as error:
            return Drill(
                archive, archive.stat().st_size, clock.monotonic() - began, [Finding(archive.name, Status.UNHEALTHY, error.message)]
            )
        findings = [verify.sum_beside(archive, read.sha256), *verify.open_tables(into, read.manifest, report), *verify.open_state(into)]
        seconds = clock.monotonic() - began
        findings += verify.completeness(read.manifest)
        findings += _against_lake(home, own, into / names.LAKE, read.manifest)
        then = _book(into / names.LAKE)
        now = _book(home.lake)
        known = {fill.exec_id for fill in then.fills} if then else set()
        since = [fill for fill in now.fills if fill.exec_id not in known] if now else []
        return Drill(archive, read.size, seconds, findings, then, since)


async def reconciled(drill: Drill, gateway: Gateway) -> list[Finding]:
    """The positions of the backup, and what was executed since, against those that IB states; nothing is sent. Never raises V6Error."""
    from v6cli.sync.fetch import fetch

    if drill.then is None:
        return [Finding(RECONCILE, Status.UNKNOWN, "the backup has no picture of the account to hold against IB")]
    try:
        async with gateway() as connection:
            picture = await fetch(connection, {}, lambda _event: None)
    except V6Error as error:
        return [Finding(RECONCILE, Status.UNKNOWN, f"not reconciled with IB: {error.message}")]
    return against_ib(drill.then, [*drill.since, *picture.fills], picture.positions, clock.today())


def against_ib(then: Book, since: Sequence[Fill], now: Sequence[Position], today: date) -> list[Finding]:
    """Each contract: what the backup has, with each execution since counted once, against what IB has now. Expired ones may be gone."""
    contracts = {own.con_id: own for own in (*(one.contract for one in (*then.positions, *now)), *(one.contract for one in since))}
    known = {fill.exec_id for fill in then.fills}
    fills = {fill.exec_id: fill for fill in since if fill.exec_id not in known}
    expected = {one.contract.con_id: one.quantity for one in then.positions}
    for fill in fills.values():
        signed = fill.quantity if fill.side == "BOT" else -fill.quantity
        expected[fill.contract.con_id] = expected.get(fill.contract.con_id, 0.0) + signed
    held = {one.contract.con_id: one.quantity for one in now}
    differing = [
        f"{contracts[con_id]}: {expected.get(con_id, 0.0):g} expected, IB has {held.get(con_id, 0.0):g}"
        for con_id in sorted(contracts)
        if abs(expected.get(con_id, 0.0) - held.get(con_id, 0.0)) > _SAME and not _expired(contracts[con_id], held.get(con_id, 0.0), today)
    ]
    counted = f"{count(len(then.positions), 'position')} of the backup and {count(len(fills), 'execution')} since"
    if not differing:
        return [Finding(RECONCILE, Status.OK, f"{counted} make the {len(held)} that IB has")]
    few = "; ".join(differing[:5]) + (f"; {len(differing) - 5} more" if len(differing) > 5 else "")
    return [Finding(RECONCILE, Status.DEGRADED, f"{counted} do not make what IB has: {few}", advice="v6 sync --force, then v6 backup")]


def table(drill: Drill) -> Table:
    """What the drill found, a row for each thing that was looked at."""
    columns = (
        Column("what"),
        Column("status", kind="status"),
        Column("finding", wraps=True),
        Column("next", title="next step", wraps=True),
    )
    rows = [(one.subject, one.status.value, one.text, str(one.fix) if one.fix else one.advice) for one in drill.findings]
    title = (
        f"{drill.archive.name.removesuffix('.tar.gz')}: {bytes_text(drill.size)} restored to scratch and opened in {drill.seconds:.1f} s"
    )
    facts: list[tuple[Column, Any]] = [(Column("seconds", unit="s"), round(drill.seconds, 3)), (Column("archive"), str(drill.archive))]
    return Table("v6.restore-drill/1", title, columns, list(rows), as_of=clock.now(), verdict=verdict(drill.findings), facts=facts)


def evidence(drill: Drill) -> Mapping[str, Any]:
    """What the record keeps of it."""
    return {
        "archive": drill.archive.name,
        "bytes": drill.size,
        "seconds": round(drill.seconds, 3),
        "findings": [{"subject": one.subject, "status": one.status.value, "text": one.text} for one in drill.findings],
    }


def _against_lake(home: Home, own: Settings, lake: Path, manifest: Manifest) -> list[Finding]:
    """Each table of the backup must be an earlier version of the one that the lake has."""
    findings = []
    if manifest.account != (own.account or ""):
        text = f"it is of account {manifest.account or 'none'}, this home of {own.account or 'none'}"
        findings.append(Finding(LIVE, Status.UNHEALTHY, text))
    findings += [_descent(home, lake, one.name) for one in manifest.tables]
    try:
        with contents.look(home.lake, 0, patience=1.0) as live:
            here = {one.name for one in live.tables}
    except LakeUnreadable as error:
        return [*findings, Finding(LIVE, Status.UNKNOWN, error.message)]
    missing = sorted(here - {one.name for one in manifest.tables} - {lost.what.removeprefix(names.LAKE) for lost in manifest.lost})
    return [*findings, *(Finding(one, Status.DEGRADED, f"{one} is in the lake, and not in the backup", BACKUP) for one in missing)]


def _descent(home: Home, lake: Path, name: str) -> Finding:
    try:
        found = lineage.compare(home.lake, lake, name)
    except LakeUnreadable as error:
        return Finding(name, Status.UNKNOWN, f"not compared: {error.message}")
    except OSError as error:
        return Finding(name, Status.UNKNOWN, f"not compared: {error.filename}: {error.strerror}")
    if found.relation == "foreign":
        return Finding(name, Status.UNHEALTHY, f"{name} in the backup is another table: the backup is of another lake", BACKUP)
    if found.relation == "parted":
        return Finding(name, Status.UNHEALTHY, f"{name} has another history here than in the backup from commit {found.at} on", BACKUP)
    if found.relation == "ahead":
        return Finding(name, Status.DEGRADED, f"{name} was set back to {found.here}, the backup has version {found.there}", BACKUP)
    return Finding(name, Status.OK, f"{name}: version {found.there} of the lake's table, which is at {found.here}")


def _book(lake: Path) -> Book | None:
    try:
        return Book(reader.positions(lake), reader.executions(lake))
    except (LakeEmpty, LakeUnreadable):
        return None


def _expired(contract: Contract, held: float, today: date) -> bool:
    return held == 0 and contract.expiry is not None and contract.expiry < today
